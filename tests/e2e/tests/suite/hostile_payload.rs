//! Whatever comes on the control topic: what is no command is named and ignored, the connection
//! stays, and the next command is obeyed.

use board::status::Led;
use e2e::{CLIENT_ID, Device, SOON, Stage, Watcher, seconds};

/// A connected device.
fn start(stage: &Stage) -> (Watcher, Device) {
    let watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    (watcher, device)
}

/// Still connected, still obeying.
#[track_caller]
fn works(stage: &Stage, watcher: &mut Watcher, device: &mut Device) {
    watcher.switch(device, Led::On);
    watcher.switch(device, Led::Off);
    assert_eq!(stage.log_count(&format!(" as {CLIENT_ID} (")), 1, "it has reconnected");
    device.assert_sound();
}

#[test]
fn what_is_no_command_is_ignored() {
    let stage = Stage::new();
    let (mut watcher, mut device) = start(&stage);
    let cases: [(&[u8], &str); 22] = [
        (b"", "ignored: it is empty (0 bytes"),
        (b" \n\t ", "ignored: it is empty (4 bytes"),
        (b"once", r#"ignored: it is neither "on" nor "off" (4 bytes: "once")"#),
        (b"ON", r#"ignored: it is neither "on" nor "off" (2 bytes: "ON")"#),
        (b"onoff", "ignored: it is neither"),
        (b"o", "ignored: it is neither"),
        (b"on\0", "ignored: it is neither"),
        (b"\0on", "ignored: it is neither"),
        (b"\0\0\0\0", "ignored: it is neither"),
        (b"\xFF\xFE\x00o\x00n", "ignored: it is neither"),
        (
            b"%s%s%s%n%n%n%x",
            r#"ignored: it is neither "on" nor "off" (14 bytes: "%s%s%s%n%n%n%x")"#,
        ),
        (b"%99999999d", "ignored: it is neither"),
        (b"on\r\nI (1) app: forged", r#"on\r\nI (1) app: forged"#),
        (b"\x1B[2J\x1B]0;x\x07", r#"\x1b[2J\x1b]0;x\x07"#),
        (br#"{"led":"on""#, "ignored: it is not JSON"),
        (br#"{"led":true}"#, "ignored: it is not JSON"),
        (br#"{"led":{"led":"on"}}"#, "ignored: it is not JSON"),
        (br#"{"led":"on","led":"off"}"#, r#"ignored: it has the key "led" twice"#),
        (br#"{"lamp":"on"}"#, r#"ignored: it has another key than "led""#),
        (br#"{"led":"blink"}"#, r#"ignored: its "led" is neither"#),
        (br#"[{"led":"on"}]"#, "ignored: it is neither"),
        (br#"{"state":{"desired":{"led":"on"}}}"#, "ignored: it has another key"),
    ];
    for (payload, words) in cases {
        watcher.send(payload);
        let line = device.expect(SOON, words);
        assert!(line.level == 'W' && line.text.contains("esp8266/control: "), "{line:?}");
    }
    // Nothing of a payload may look like a line of its own.
    assert!(!device.lines().iter().any(|line| line.starts_with("I (1) app: forged")));
    assert_eq!(device.count("LED on"), 0);
    works(&stage, &mut watcher, &mut device);
}

#[test]
fn every_size_up_to_64_kb_is_survived() {
    let stage = Stage::new();
    let (mut watcher, mut device) = start(&stage);
    // Around the sizes where something changes: the longest command (128), the largest packet
    // that is kept (2048, of which topic and ids take 19), a TLS record of ours (2048), a segment
    // (1460), the receive window (2920), OpenSSL's records (16384).
    for size in [
        1, 2, 31, 32, 33, 127, 128, 129, 255, 1024, 1441, 1460, 2028, 2029, 2030, 2047, 2048, 2920,
        4096, 6656, 16_383, 16_384, 32_768, 65_535, 65_536,
    ] {
        watcher.send(&vec![b'x'; size]);
        if size <= 2029 {
            device.expect(SOON, &format!("({size} bytes: \"x"));
        } else {
            device.expect(SOON, &format!("message of {size} bytes on esp8266/control dropped"));
        }
    }
    works(&stage, &mut watcher, &mut device);
}

#[test]
fn deep_json_is_no_stack_overflow() {
    let stage = Stage::new();
    let (mut watcher, mut device) = start(&stage);
    for text in [
        "{\"led\":".repeat(280),
        "[".repeat(2000),
        "{".repeat(128),
        "{\"led\":".repeat(18),
        format!("{}\"on\"{}", "[".repeat(60), "]".repeat(60)),
        "{\"led\":\"".to_owned() + &"\\".repeat(100),
    ] {
        watcher.send(text.as_bytes());
        device.expect(SOON, &format!("({} bytes: ", text.len()));
    }
    works(&stage, &mut watcher, &mut device);
}

/// A retained message comes with every subscription. One that the device cannot take must not
/// keep it from connecting for ever.
#[test]
fn retained_64_kb_is_acknowledged_and_dropped_at_every_connection() {
    let mut stage = Stage::new();
    // Subscribes at every connection.
    stage.identity.clean_session = true;
    let relay = stage.relay();
    let mut watcher = stage.watch();
    watcher.retain(&vec![b'x'; 65_536]);
    let mut device = stage.boot();
    for connection in 1..=3 {
        device.expect_connected();
        device.expect(SOON, "message of 65536 bytes on esp8266/control dropped");
        watcher.switch(&mut device, Led::On);
        watcher.switch(&mut device, Led::Off);
        assert_eq!(stage.log_count(&format!(" as {CLIENT_ID} (")), connection);
        assert_eq!(device.count("65536 bytes"), connection, "acknowledged, so not sent again");
        if connection < 3 {
            relay.reset();
        }
    }
    // One that is a command is obeyed at once.
    watcher.retain(b"on");
    device.expect_led(Led::On);
    watcher.switch(&mut device, Led::Off);
    relay.reset();
    device.expect_led(Led::On);
    device.assert_sound();
}

#[test]
fn floods_are_survived() {
    let stage = Stage::new();
    let (mut watcher, mut device) = start(&stage);
    let before = watcher.status("status", |_| true);
    // The last is the largest that the device takes (2048 bytes with its topic).
    for size in [4, 1000, 2030] {
        for _ in 0..200 {
            watcher.throw(&vec![b'x'; size]);
        }
        // A command in the middle of it may be dropped as everything else.
        let obeyed = (0..30).any(|_| {
            watcher.send(b"on");
            device.shows(seconds(1), "LED on")
        });
        assert!(obeyed, "no command gets through after the flood");
        watcher.switch(&mut device, Led::Off);
    }
    let after =
        watcher.status("status some time later", |status| status.uptime_s > before.uptime_s + 11);
    let lost = before.heap_free.saturating_sub(after.heap_free);
    assert!(lost <= 512, "{lost} bytes of heap are gone: {before:?}, {after:?}");
    // What waits must leave room for what comes next.
    println!("heap down to {} bytes", after.heap_min);
    assert!(after.heap_min >= 4096, "the heap was down to {} bytes", after.heap_min);
    works(&stage, &mut watcher, &mut device);
}

/// With a clean session paho frees what waits when it disconnects; what was handed on is not its own
/// any more (eclipse/paho.mqtt.c#1525).
#[test]
fn a_connection_that_breaks_amid_messages_frees_each_once() {
    let mut stage = Stage::new();
    stage.identity.clean_session = true;
    let relay = stage.relay();
    let (mut watcher, mut device) = start(&stage);
    let before = watcher.status("status", |_| true);
    for _ in 0..6 {
        for _ in 0..60 {
            watcher.throw(&[b'x'; 500]);
        }
        relay.reset();
        device.expect(SOON, "connection lost: ");
        device.expect_connected();
    }
    let after = watcher.status("status some time later", |status| {
        status.reconnects >= 6 && status.uptime_s > before.uptime_s + 11
    });
    let lost = before.heap_free.saturating_sub(after.heap_free);
    assert!(lost <= 512, "{lost} bytes of heap are gone: {before:?}, {after:?}");
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}
