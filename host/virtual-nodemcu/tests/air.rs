//! Boards that are processes of their own on one air, and the control socket.

use std::time::Duration;

use serde_json::{Value, json};
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::control::Remote;
use virtual_nodemcu::board::flash::Flash;

#[path = "board/process.rs"]
mod process;
#[path = "board/program.rs"]
mod program;
#[path = "radio/station.rs"]
mod station;

use process::{PATIENCE, Process};
use station::{RATE_54M, RSN, Station};

/// Asks until the answer is as it should be.
fn until(board: &mut Remote, what: &str, good: impl Fn(&Value) -> bool) -> Value {
    let start = std::time::Instant::now();
    loop {
        let status = board.ask(json!({ "do": "status" })).unwrap();
        if good(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Two processes, one access point: each hears the other's broadcasts through it. The lamp tells.
#[test]
fn two_boards_meet_on_one_access_point_and_a_socket_rules_it() {
    let folder = tempfile::tempdir().unwrap();
    let (air, control) = (folder.path().join("air"), folder.path().join("control"));
    let (air_at, control_at) = (air.to_str().unwrap(), control.to_str().unwrap());
    let capture = folder.path().join("air.pcap");
    let image = program::flash(folder.path(), "one.bin", "radio_pair");
    let second_image = folder.path().join("two.bin");
    std::fs::copy(&image, &second_image).unwrap();
    let mut first = Process::new(
        &image,
        &[
            &["--ap", "ssid=cafe,channel=11", "--net", "none", "--air", air_at][..],
            &["--control", control_at, "--pcap", capture.to_str().unwrap()],
        ]
        .concat(),
    );
    first.line("access point cafe: 5c:cf:7f:12:34:56 joined");
    let mut remote = Remote::connect(&control).unwrap();
    let alone = until(&mut remote, "one station", |s| s["aps"][0]["stations"][0]["joined"] == true);
    assert_eq!(alone["channel"], 11);
    let options = ["--join-air", air_at, "--net", "none", "--mac", "5c:cf:7f:00:00:02"];
    let mut second = Process::new(&second_image, &options);
    first.line("access point cafe: 5c:cf:7f:00:00:02 joined");
    first.line("GPIO2");
    second.line("GPIO2");
    until(&mut remote, "two stations", |status| {
        status["aps"][0]["stations"].as_array().is_some_and(|stations| stations.len() == 2)
    });

    // What is wrong with a request is said; nothing has changed then.
    for (request, says) in [
        (json!({ "do": "dance" }), "no such request"),
        (json!({ "what": 1 }), "what to do is missing"),
        (json!({ "do": "ap.set" }), "nothing to set"),
        (json!({ "do": "ap.set", "loss": 101 }), "from 0 to 100"),
        (json!({ "do": "ap.set", "ap": "home", "loss": 1 }), "no access point home"),
        (json!({ "do": "ap.switch" }), "channel: a number from 1 to 14"),
        (json!({ "do": "pin", "pin": 17 }), "GPIO0 to GPIO16"),
        (json!({ "do": "ap.replay", "what": "message3" }), "no station was sent"),
    ] {
        let error = remote.ask(request.clone()).unwrap_err();
        assert!(error.contains(says), "{request}: {error}");
    }
    let pins = remote.ask(json!({ "do": "pins" })).unwrap();
    assert_eq!(pins["outputs"], 1 << 2, "the lamp's");
    remote.ask(json!({ "do": "pin", "pin": 4, "high": false })).unwrap();
    let pins = remote.ask(json!({ "do": "pins" })).unwrap();
    assert_eq!(pins["levels"].as_u64().unwrap() & 1 << 4, 0);
    remote.ask(json!({ "do": "listen" })).unwrap();
    remote.ask(json!({ "do": "ap.set", "loss": 10, "beacons": false })).unwrap();
    let status = remote.ask(json!({ "do": "status" })).unwrap();
    assert_eq!(
        (&status["aps"][0]["loss"], &status["aps"][0]["beacons"]),
        (&json!(10), &json!(false))
    );
    remote.ask(json!({ "do": "ap.off", "seconds": 1 })).unwrap();
    until(&mut remote, "off", |status| status["aps"][0]["on"] == false);
    until(&mut remote, "on again", |status| status["aps"][0]["on"] == true);
    remote.ask(json!({ "do": "reset" })).unwrap();
    let texts: Vec<String> = std::iter::from_fn(|| {
        let event = remote.event().unwrap();
        let text = event["text"].as_str()?.to_owned();
        (!text.starts_with("reset: EN pin")).then_some(text)
    })
    .collect();
    assert!(texts.iter().any(|text| text == "access point cafe: off"), "{texts:#?}");

    // A client that is nonsense, or says nothing, disturbs nobody.
    use std::io::Write as _;
    let mut noise = std::os::unix::net::UnixStream::connect(&control).unwrap();
    noise.write_all(b"{]\n\xFF\xFE\n").unwrap();
    noise.write_all(&vec![b'x'; 200_000]).unwrap_or_default();
    remote.ask(json!({ "do": "status" })).unwrap();
    assert!(std::fs::metadata(&capture).unwrap().len() > 1000);
    // The owner goes: the other board lives on, without an air.
    first.interrupt();
    assert!(!control.exists() && !air.exists());
    std::thread::sleep(Duration::from_millis(200));
    assert!(second.child.try_wait().unwrap().is_none());
}

/// The same with WPA2 and stations of the test: the one's data reaches the other, under keys of
/// their own.
#[test]
fn two_stations_share_a_wpa2_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("air");
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let served = path.clone();
    let owner = std::thread::spawn(move || {
        let mut station = Station::new(&["ssid=home,psk=correct horse,channel=6"]);
        station.board.radio.serve_air(&served).unwrap();
        assert!(station.join_wpa2("home", "correct horse", 6));
        ready.send(()).unwrap();
        let mut heard = Vec::new();
        while stopped.try_recv().is_err() {
            if let Some(payload) = station.await_data([0x12, 0x34], 20) {
                heard.push(payload);
                let other = [0x5C, 0xCF, 0x7F, 0, 0, 2];
                station.send_data(other, [0x12, 0x35], b"and back", RATE_54M);
            }
        }
        heard
    });
    is_ready.recv_timeout(PATIENCE).unwrap();
    let other = [0x5C, 0xCF, 0x7F, 0, 0, 2];
    let mut board = Board::new(Flash::blank(1 << 20), other, 2);
    board.radio.join_air(&path).unwrap();
    let mut station = Station::with_address(board, other);
    assert!((0..20).any(|_| station.join("home", 6, &RSN)));
    assert!(station.handshake("home", "correct horse"));
    station.wait(20_000);
    assert!(station.send_data(station::MAC, [0x12, 0x34], b"from one to the other", RATE_54M));
    let back = station.await_data([0x12, 0x35], 10_000).expect("an answer");
    assert_eq!(back, b"and back");
    stop.send(()).unwrap();
    assert_eq!(owner.join().unwrap(), [b"from one to the other"]);
}
