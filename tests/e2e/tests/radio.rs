//! The firmware with Espressif's radio libraries, over the air of the virtual NodeMCU and its
//! access points, on good days and bad ones. `make radio-test` builds what this needs and runs it;
//! it wants an ESP8266_RTOS_SDK.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use e2e::server::{Server, tls_config};
use e2e::sleeper::{Awake, Sleeper};
use e2e::{Secrets, Stage, Watcher};
use process::files::{self, SECRET};
use serde_json::{Value, json};
use tempfile::TempDir;
use things::device_identity::{DeviceIdentity, Wifi};
use virtual_nodemcu::board::control::Remote;

const HOME: &str = "ssid=home,psk=correct horse battery,channel=6,rssi=-50";

/// For what happens in some seconds of the board's time, on a machine that is busy.
const LONG: Duration = Duration::from_secs(240);

fn built(path: &str) -> PathBuf {
    e2e::built(path, "make radio-test")
}

fn home() -> Wifi {
    Wifi::new("home".to_owned(), "correct horse battery".to_owned())
}

/// The board says its port before it has its control socket.
fn retry<T>(what: impl Fn() -> std::io::Result<T>) -> T {
    let start = Instant::now();
    loop {
        match what() {
            Ok(done) => return done,
            Err(error) => assert!(start.elapsed() < LONG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A board with the radio's firmware and its access points.
struct Set {
    board: VirtualBoard,
    control: Remote,
    secrets: Secrets,
    _folder: TempDir,
}

impl Set {
    fn new(identity: &DeviceIdentity, access_points: &[&str]) -> Self {
        let folder = process::scratch::folder().unwrap();
        let image = Image::in_folder(&built("image/nodemcu-wifi"));
        let mut flash = vec![0xFF; FLASH_SIZE as usize];
        let region = identity.region().unwrap();
        let secrets = Secrets::of(&region);
        let region = (IDENTITY_OFFSET, region);
        for (at, bytes) in image.contents().unwrap().into_iter().chain([region]) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let flash_file = folder.path().join("flash.bin");
        files::write(&flash_file, &flash, SECRET).unwrap();
        let socket = folder.path().join("control");
        let mut options = VirtualOptions::new(
            &Board::named("nodemcu").unwrap(),
            &built("debug/virtual-nodemcu"),
            &flash_file,
            &built("xtensa-esp8266-none-elf/release/firmware-nodemcu"),
        );
        options.further.extend(["--control".into(), socket.clone().into()]);
        for access_point in access_points {
            options.further.extend(["--ap".into(), access_point.into()]);
        }
        let mut board = VirtualBoard::start(&options).unwrap();
        board.restart().unwrap();
        let control = retry(|| Remote::connect(&socket));
        Self { board, control, secrets, _folder: folder }
    }

    /// Waits for a line with this in it, from `mark` on; the mark behind it.
    #[track_caller]
    fn shows(&self, mark: usize, wanted: &str) -> usize {
        match self.board.console.wait_for(mark, LONG, wanted, |line| line.contains(wanted)) {
            Ok((_, mark)) => mark,
            Err(error) => panic!("{error:#}\n{}", self.board.console.tail(60)),
        }
    }

    fn mark(&self) -> usize {
        self.board.console.mark()
    }

    #[track_caller]
    fn ask(&mut self, request: Value) -> Value {
        self.control.ask(request).unwrap()
    }

    /// No crash, no reset but the first, and no key on the console.
    #[track_caller]
    fn is_whole(&self) {
        let text = self.board.console.tail(5000);
        for sign in ["*** CRASH", "[board] fault", "[board] reset: watchdog"] {
            assert!(!text.contains(sign), "{text}");
        }
        self.secrets.assert_hidden(&text);
    }
}

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.identity.wifi = vec![home()];
    stage
}

/// A status that says this of the radio.
#[track_caller]
fn reports(watcher: &mut Watcher, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let payload: Value = serde_json::from_slice(&watcher.payload(LONG)).unwrap();
        if wanted(&payload) {
            return payload;
        }
    }
}

fn wifi_reconnects(status: &Value) -> u64 {
    status["wifi"]["reconnects"].as_u64().unwrap_or_default()
}

#[test]
fn by_wpa2_to_the_cloud() {
    let stage = stage();
    let mut watcher = stage.watch();
    let set = Set::new(&stage.identity, &[HOME]);
    set.shows(0, "joined home");
    let status = reports(&mut watcher, |status| status["online"] == true);
    assert_eq!(status["wifi"]["ssid"], "home", "{status}");
    assert_eq!(status["wifi"]["channel"], 6);
    assert_eq!(status["wifi"]["rssi"], -50);
    assert!(status["heap_free"].as_u64().unwrap() >= 20 * 1024, "{status}");
    assert!(status["heap_min"].as_u64().unwrap() >= 10 * 1024, "{status}");
    set.is_whole();
}

/// MQTT's session goes on over a short loss of the radio.
#[test]
fn thrown_out_and_back_in_the_same_session() {
    let stage = stage();
    let mut watcher = stage.watch();
    let mut set = Set::new(&stage.identity, &[HOME]);
    let first = reports(&mut watcher, |status| status["online"] == true);
    let mut heap = Vec::new();
    for round in 1..=10 {
        let mark = set.mark();
        set.ask(json!({"do": "ap.deauth", "reason": 7}));
        set.shows(mark, "home ended the connection (reason 7)");
        set.shows(mark, "joined home");
        let status = reports(&mut watcher, |status| wifi_reconnects(status) >= round);
        assert_eq!(status["reconnects"], first["reconnects"], "{status}");
        heap.push(status["heap_free"].as_u64().unwrap());
    }
    let (low, high) = (heap.iter().min().unwrap(), heap.iter().max().unwrap());
    assert!(high - low < 2048, "the heap is not level: {heap:?}");
    set.is_whole();
}

/// With its radio asleep between beacons a device stays in the session over so many keep-alives, and
/// obeys each command that comes behind one.
fn commands_over(keep_alives: u64) {
    let mut stage = stage();
    stage.identity.modem_sleep = true;
    let keep_alive = Duration::from_secs(stage.identity.keep_alive_s.into());
    let mut watcher = stage.watch();
    let set = Set::new(&stage.identity, &[HOME]);
    let first = reports(&mut watcher, |status| status["online"] == true);
    let mut took = Vec::new();
    for round in 0..keep_alives {
        std::thread::sleep(keep_alive + Duration::from_secs(2));
        let led = ["on", "off"][round as usize % 2];
        let sent = Instant::now();
        watcher.send(json!({ "led": led }).to_string().as_bytes());
        let status = reports(&mut watcher, |status| status["led"] == led);
        took.push(sent.elapsed().as_millis());
        assert_eq!(status["reconnects"], first["reconnects"], "{status}");
        assert_eq!(wifi_reconnects(&status), 0, "{status}");
    }
    println!("from command to status, in ms: {took:?}");
    set.is_whole();
}

#[test]
fn a_command_reaches_a_radio_that_sleeps_between_beacons() {
    commands_over(1);
}

#[test]
#[ignore = "six minutes: `make radio-soak`"]
fn ten_keep_alives_with_a_radio_that_sleeps_between_beacons() {
    commands_over(10);
}

#[test]
fn the_access_point_is_switched_off_and_on() {
    let stage = stage();
    let mut watcher = stage.watch();
    let mut set = Set::new(&stage.identity, &[HOME]);
    reports(&mut watcher, |status| status["online"] == true);
    let mark = set.mark();
    set.ask(json!({"do": "ap.off"}));
    let mark = set.shows(mark, "home fell silent");
    set.shows(mark, "home is not in reach");
    set.ask(json!({"do": "ap.on"}));
    set.shows(mark, "joined home");
    reports(&mut watcher, |status| wifi_reconnects(status) >= 1);
    set.is_whole();
}

#[test]
fn the_second_network_when_the_first_is_not_there_and_back() {
    let mut stage = stage();
    stage.identity.wifi = vec![
        Wifi::new("cellar".to_owned(), "another passphrase".to_owned()),
        home(),
        Wifi::new("open house".to_owned(), String::new()),
    ];
    let open = "ssid=open house,channel=11,rssi=-40";
    let far = "ssid=home,psk=correct horse battery,channel=1,rssi=-80";
    let mut set = Set::new(&stage.identity, &[open, far, HOME]);
    // The preferred of those in reach, and its strongest access point.
    let mark = set.shows(0, "joined home");
    let line = set.board.console.tail(5000);
    assert!(line.contains("channel 6, -50 dBm"), "{line}");
    set.ask(json!({"do": "ap.off", "ap": "02:a9:00:00:00:03"}));
    let mark = set.shows(mark, "home fell silent");
    set.shows(mark, "channel 1, -80 dBm");
    set.is_whole();
}

/// A tower block: other people's access points are many and stronger.
#[test]
fn its_own_among_many_stronger_access_points() {
    let others: Vec<String> = (1..=31)
        .map(|flat| {
            format!("ssid=flat {flat},psk=somebody else,channel={},rssi=-45", flat % 13 + 1)
        })
        .collect();
    let stage = stage();
    let access_points: Vec<&str> = others.iter().map(String::as_str).chain([HOME]).collect();
    let set = Set::new(&stage.identity, &access_points);
    let mark = set.shows(0, "joined home");
    set.shows(mark, "connected to ");
    set.is_whole();
}

const BACKUP: &str = "ssid=backup,psk=another passphrase,channel=1,rssi=-70";

/// A device on its preferred network, with another one in reach.
fn with_backup(stage: &mut Stage) -> (Set, usize) {
    stage.identity.wifi =
        vec![home(), Wifi::new("backup".to_owned(), "another passphrase".to_owned())];
    let set = Set::new(&stage.identity, &[HOME, BACKUP]);
    let mark = set.shows(0, "joined home");
    let mark = set.shows(mark, "connected to ");
    (set, mark)
}

#[test]
fn after_a_reset_another_network_when_the_access_point_gives_no_address_any_more() {
    let mut stage = stage();
    let (mut set, mark) = with_backup(&mut stage);
    set.ask(json!({"do": "ap.set", "ap": "home", "dhcp": "off"}));
    set.ask(json!({"do": "reset"}));
    let mark = set.shows(mark, "joined home");
    let mark = set.shows(mark, "home gives no address");
    let mark = set.shows(mark, "joined backup");
    set.shows(mark, "connected to ");
    set.is_whole();
}

/// The address that it has is no proof for the access point that it comes back to: one that has
/// lost its way to the others, and goes on with its beacons. A connection is.
#[test]
fn without_a_reset_another_network_when_no_address_comes_and_no_connection() {
    let mut stage = stage();
    let mut watcher = stage.watch();
    let (mut set, mark) = with_backup(&mut stage);
    let first = reports(&mut watcher, |status| status["online"] == true);
    set.ask(json!({"do": "ap.set", "ap": "home", "dhcp": "off"}));
    set.ask(json!({"do": "ap.deauth", "ap": "home"}));
    let mark = set.shows(mark, "joined home");
    // Longer than it waits for an address: the connection is worth more.
    let joined = reports(&mut watcher, |status| wifi_reconnects(status) == 1);
    let long = joined["uptime_s"].as_u64().unwrap() + 30;
    reports(&mut watcher, |status| {
        assert_eq!(status["reconnects"], first["reconnects"], "{status}");
        assert_eq!(wifi_reconnects(status), 1, "{status}");
        status["uptime_s"].as_u64().unwrap() >= long
    });

    // One that ends is made again with the address of before.
    stage.cloud.broker.kill();
    let mark = set.shows(mark, "connection lost: ");
    stage.cloud.broker.restart().unwrap();
    let mark = set.shows(mark, "connected to ");
    let mut watcher = stage.watch();
    reports(&mut watcher, |status| wifi_reconnects(status) == 1);

    set.ask(json!({"do": "ap.set", "ap": "home", "mute": "data"}));
    stage.cloud.broker.kill();
    let mark = set.shows(mark, "home gives no address");
    let mark = set.shows(mark, "joined backup");
    stage.cloud.broker.restart().unwrap();
    set.shows(mark, "connected to ");
    set.is_whole();
}

#[test]
fn hidden_and_mixed_networks() {
    for access_point in [
        "ssid=home,psk=correct horse battery,channel=3,hidden",
        "ssid=home,psk=correct horse battery,security=mixed",
        "ssid=home,psk=correct horse battery,security=transition,ht",
    ] {
        let stage = stage();
        let set = Set::new(&stage.identity, &[access_point]);
        set.shows(0, "joined home");
        set.shows(0, "net: address 10.0.2.15");
        set.is_whole();
    }
}

#[test]
fn each_trouble_has_its_line() {
    let stage = stage();
    let with = |more: &str| format!("{HOME},{more}");
    for (access_point, line) in [
        ("ssid=home,psk=not the passphrase".to_owned(), "home does not take the key"),
        ("ssid=other,psk=correct horse battery".to_owned(), "home is not in reach"),
        ("ssid=home".to_owned(), "home has no key here"),
        (with("refuse=full"), "home has no room for one more"),
        (with("dhcp=off"), "home gives no address"),
        (with("security=wep"), "home is protected by WEP"),
        (with("security=wpa"), "home offers TKIP only"),
        (with("security=wpa3"), "home offers WPA3 only"),
        (with("security=enterprise"), "home is WPA2 Enterprise"),
    ] {
        let set = Set::new(&stage.identity, &[&access_point]);
        set.shows(0, line);
        set.is_whole();
    }
}

/// Renewed keys, replayed and forged messages, and lost frames: the session goes on.
#[test]
fn a_bad_day_on_the_air() {
    let stage = stage();
    let mut watcher = stage.watch();
    let mut set = Set::new(&stage.identity, &[HOME]);
    let first = reports(&mut watcher, |status| status["online"] == true);
    set.ask(json!({"do": "ap.set", "loss": 10}));
    for _ in 0..2 {
        set.ask(json!({"do": "ap.rekey"}));
        for what in ["message1", "message3", "group", "malformed"] {
            set.ask(json!({"do": "ap.forge", "what": what}));
        }
        for what in ["message1", "message3", "group", "data"] {
            set.ask(json!({"do": "ap.replay", "what": what}));
        }
        let status = reports(&mut watcher, |_| true);
        assert_eq!(status["reconnects"], first["reconnects"], "{status}");
        assert_eq!(wifi_reconnects(&status), 0, "{status}");
    }
    set.shows(0, "a key message of the access point is refused");
    set.is_whole();
}

/// The broker killed, frozen and refusing, and the connection stalled, while a tenth of the frames is
/// lost: MQTT comes back each time, and the radio was never away.
#[test]
fn a_bad_broker_over_a_bad_radio() {
    let mut stage = stage();
    let relay = stage.relay();
    let mut set = Set::new(&stage.identity, &[HOME]);
    let mark = set.shows(0, "connected to ");
    set.ask(json!({"do": "ap.set", "loss": 10}));

    stage.cloud.broker.kill();
    let mark = set.shows(mark, "connection lost: ");
    let mark = set.shows(mark, "connect failed: ");
    stage.cloud.broker.restart().unwrap();
    let mark = set.shows(mark, "connected to ");

    stage.cloud.broker.freeze().unwrap();
    let mark = set.shows(mark, "next try in ");
    stage.cloud.broker.thaw().unwrap();
    let mark = set.shows(mark, "connected to ");

    relay.stall(true);
    let mark = set.shows(mark, "next try in ");
    relay.stall(false);
    let mark = set.shows(mark, "connected to ");

    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let refusing = Server::tls(config, |session| session.welcome(3));
    relay.set_target(refusing.port());
    relay.reset();
    let mark = set.shows(mark, "refused: the server is unavailable");
    relay.set_target(stage.cloud.broker.device_port());
    set.shows(mark, "connected to ");

    let mut watcher = stage.watch();
    let status = reports(&mut watcher, |status| status["online"] == true);
    assert_eq!(wifi_reconnects(&status), 0, "{status}");
    assert!(status["reconnects"].as_u64().unwrap() >= 4, "{status}");
    set.is_whole();
}

/// A thing that sleeps is awake for too short to find out what an access point is good for: it has
/// another one the next time.
#[test]
fn who_was_awake_in_vain_begins_elsewhere() {
    let mut stage = stage();
    stage.identity.wifi =
        vec![home(), Wifi::new("backup".to_owned(), "another passphrase".to_owned())];
    let image = built("apps/battery/image-160-wifi");
    let mut sleeper =
        Sleeper::new(&image, &stage.identity.region().unwrap(), &[HOME, BACKUP]).unwrap();
    for (network, connects) in
        [("home", true), ("home", true), ("home", false), ("backup", true), ("backup", true)]
    {
        if connects {
            stage.cloud.broker.restart().unwrap();
        } else {
            stage.cloud.broker.kill();
        }
        let Awake { said, .. } = sleeper.run().unwrap();
        assert!(said.contains(&format!("joined {network}")), "{said}");
        assert_eq!(said.contains(" connected to "), connects, "{said}");
        sleeper.wake();
    }
}

/// What is wrong with message 3 keeps the device out, and nothing else.
#[test]
fn a_third_message_that_lies() {
    let stage = stage();
    for lie in ["wrong-mic", "wrong-key-data", "no-group-key"] {
        let access_point = format!("{HOME},message3={lie}");
        let mut set = Set::new(&stage.identity, &[&access_point]);
        let mark = set.shows(0, "a key message of the access point is refused");
        set.ask(json!({"do": "ap.set", "message3": "good"}));
        set.shows(mark, "joined home");
        set.is_whole();
    }
}
