//! What the device does on a good day.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use board::status::{Led, Report};
use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use cloud::broker::Connection;
use cloud::pki::SERVER_NAME;
use e2e::server::{Server, tls_config};
use e2e::{CLIENT_ID, Device, SOON, Stage, THING, seconds};
use identity::MAX_CHAIN_MESSAGE;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use time::{Duration, OffsetDateTime};

#[test]
fn statuses_are_plausible_and_punctual() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    let first: Value = serde_json::from_slice(&watcher.payload(SOON)).unwrap();
    let number = |key: &str| first[key].as_u64().unwrap_or_else(|| panic!("{key} in {first}"));
    assert_eq!(first["online"], true);
    assert_eq!(first["led"], "off");
    assert_eq!(first["reset"], "power-on");
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(number("reconnects"), 0);
    // Emulated, a handshake takes less than a second.
    assert!(number("uptime_s") <= 10, "{first}");
    // All that the heap can be is the DRAM that the radio leaves.
    assert!((4_000..50_000).contains(&number("heap_free")), "{first}");
    assert!((1..=number("heap_free")).contains(&number("heap_min")), "{first}");
    assert!((1..8_000).contains(&number("stack_min")), "{first}");
    assert!(first["stack_task"].as_str().is_some_and(|name| !name.is_empty()), "{first}");
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 10, "{keys:?}");

    let second = watcher.status("second status", |_| true);
    let period = second.uptime_s - number("uptime_s");
    assert!((9..=11).contains(&period), "a status after {period} s");
    assert_eq!(
        device_connections(&stage),
        [Connection {
            client_id: CLIENT_ID.to_owned(),
            user: stage.cloud.thing.clone(),
            keep_alive_s: 30,
            clean_session: false,
        }]
    );
    device.assert_sound();
    assert_eq!(device.lines().iter().filter(|line| line.starts_with("E (")).count(), 0);
}

/// Connections of the device that the broker has accepted.
fn device_connections(stage: &Stage) -> Vec<Connection> {
    let mut connections = stage.cloud.broker.connections();
    connections.retain(|connection| connection.user == stage.cloud.thing);
    connections
}

#[test]
fn commands_are_obeyed() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    for (command, led) in [
        ("on", Led::On),
        ("off", Led::Off),
        (r#"{"led":"on"}"#, Led::On),
        (r#"{"led":"off"}"#, Led::Off),
        (" on \r\n", Led::On),
        ("\t{ \"led\" : \"off\" }\n", Led::Off),
    ] {
        watcher.obeys(&mut device, command.as_bytes(), led);
    }
    // The same again changes nothing and is no error.
    watcher.switch(&mut device, Led::On);
    watcher.send(b"on");
    device.expect(SOON, "LED on");
    watcher.switch(&mut device, Led::Off);
    device.assert_sound();
}

#[test]
fn a_quick_succession_of_commands_ends_in_the_last() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    for _ in 0..20 {
        watcher.send(b"on");
        watcher.send(b"off");
    }
    watcher.send(b"on");
    let settled = watcher.status("status", |_| true).uptime_s + 10;
    watcher.status("lit LED ten seconds later", |status| {
        status.uptime_s >= settled && status.led == Led::On
    });
    device.assert_sound();
}

#[test]
fn identity_rules_names_topics_and_session() {
    let mut stage = Stage::with(|_, options| {
        options.grants[0].publish = vec!["building/7/status".to_owned()];
        options.grants[0].receive = vec!["building/7/control".to_owned()];
        Ok(())
    });
    stage.cloud.topics.status = "building/7/status".to_owned();
    stage.cloud.topics.control = "building/7/control".to_owned();
    stage.identity.topics = stage.cloud.topics.clone();
    stage.identity.client_id = Some("lamp-7".to_owned());
    stage.identity.keep_alive_s = 1200;
    stage.identity.clean_session = true;
    let relay = stage.relay();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect(SOON, "client id lamp-7, endpoint local-ats.iot.test:");
    device.expect(SOON, "subscribed to building/7/control");
    watcher.switch(&mut device, Led::On);
    relay.reset();
    // Nothing was kept, as asked for: it subscribes again.
    device.expect(SOON, "subscribed to building/7/control");
    watcher.switch(&mut device, Led::Off);
    let wanted = Connection {
        client_id: "lamp-7".to_owned(),
        user: stage.cloud.thing.clone(),
        keep_alive_s: 1200,
        clean_session: true,
    };
    assert_eq!(device_connections(&stage), [wanted.clone(), wanted]);
    device.assert_sound();
}

#[test]
fn last_will_is_published_when_the_device_is_lost() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let device = stage.boot();
    watcher.status("status", |_| true);
    drop(device);
    assert_eq!(watcher.report(SOON), Report::Offline);
}

#[test]
fn a_kept_session_needs_no_subscription_and_loses_no_command() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect(SOON, "subscribed to esp8266/control");
    watcher.status("status", |status| status.reconnects == 0);
    relay.reset();
    // A second at least without the device: what is sent now waits at the broker.
    device.expect_delay();
    watcher.send(b"on");
    device.expect(SOON, "the server kept the session");
    device.expect_led(Led::On);
    watcher.status("status", |status| status.reconnects == 1 && status.led == Led::On);
    assert_eq!(stage.log_count(&format!("Received SUBSCRIBE from {CLIENT_ID}")), 1);
    device.assert_sound();
}

#[test]
fn connection_outlives_several_keep_alives() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    // The broker ends a connection after 1.5 keep-alives of 30 s without a packet.
    watcher.status("status", |_| true);
    for _ in 0..6 {
        watcher.status("status", |_| true);
    }
    watcher.switch(&mut device, Led::On);
    assert_eq!(device_connections(&stage).len(), 1);
    device.assert_sound();
}

/// A server's certificate with RSA all the way up, padded to a size, and its root.
fn rsa_chain(padding: usize) -> (Credential, CertificateDer<'static>) {
    let year = Validity::for_days(365);
    let root = Authority::root("RSA root", KeyKind::Rsa2048, year).unwrap();
    let between = root.intermediate("RSA server authority", KeyKind::Rsa2048, year).unwrap();
    let mut request = LeafRequest::server(&[SERVER_NAME]);
    request.key = KeyKind::Rsa2048;
    request.padding = padding;
    (between.issue(&request).unwrap(), root.certificate().clone())
}

#[test]
fn rsa_chain_is_accepted() {
    let (server, root) = rsa_chain(0);
    let mut stage = Stage::with(|_, options| {
        options.server = server;
        Ok(())
    });
    stage.identity.roots = vec![root];
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

/// A device certificate with its issuer, as just-in-time registration wants them, of as many bytes
/// as an identity may have.
#[test]
fn longest_chain_of_the_device_is_sent() {
    let mut stage = Stage::new();
    let year = Validity::for_days(365);
    let issuer = stage.cloud.pki.clients.intermediate("Maker", KeyKind::P256, year).unwrap();
    let mut request = LeafRequest::client(THING);
    request.padding = 1_000;
    // Signatures differ by a byte or two.
    stage.identity.credential = loop {
        let made = issuer.issue(&request).unwrap();
        let message = made.chain.iter().fold(7, |sum, der| sum + 3 + der.len());
        if message == MAX_CHAIN_MESSAGE {
            break made;
        }
        request.padding = request.padding + MAX_CHAIN_MESSAGE - message;
    };
    assert_eq!(stage.identity.credential.chain.len(), 2);
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

/// AWS IoT sends its part of the handshake in one record: 5.4 KB were seen, 8087 bytes are the
/// most that its TLS library puts into one. The broker would cut it into small ones, as the
/// device asks; this server does not.
#[test]
fn flights_of_6_5_and_8_kb_in_one_record_are_accepted() {
    let ecdsa = |padding| {
        let stage = Stage::new();
        let mut request = LeafRequest::server(&[SERVER_NAME]);
        request.padding = padding;
        let credential = stage.cloud.pki.intermediate.issue(&request).unwrap();
        let root = stage.cloud.pki.root.certificate().clone();
        (stage, (credential, root))
    };
    takes_flight(ecdsa(5_330), 6_500..=6_600);
    takes_flight(ecdsa(6_880), 8_050..=8_100);
    // What needs most memory of all.
    takes_flight((Stage::new(), rsa_chain(5_910)), 8_000..=8_100);
}

/// Connects to a server of these certificates, whose longest record must be in the range.
#[track_caller]
fn takes_flight(
    (mut stage, (credential, root)): (Stage, (Credential, CertificateDer<'static>)),
    wanted: RangeInclusive<usize>,
) {
    let longest = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&longest);
    let server = Server::tls(tls_config(&stage.cloud.pki, &credential), move |session| {
        seen.store(session.longest_record(), Ordering::Relaxed);
        session.welcome(0)?;
        session.serve()
    });
    stage.identity.endpoints.port = server.port();
    stage.identity.roots = vec![root];
    let mut device = stage.boot();
    device.expect_connected();
    device.expect(SOON, "published ");
    let longest = longest.load(Ordering::Relaxed);
    assert!(wanted.contains(&longest), "the longest record had {longest} bytes");
    device.assert_sound();
}

/// On port 443 AWS IoT tells MQTT from HTTPS by ALPN. The emulator's user network offers that
/// port at an address of its own and passes one connection on.
#[test]
fn port_443_is_spoken_to_by_alpn_and_every_server_by_name() {
    let address = Ipv4Addr::new(10, 0, 2, 100);
    let mut stage = Stage::new();
    stage.cloud.dns.set(SERVER_NAME, Some(address));
    let mut config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    config.alpn_protocols = vec![b"h2".to_vec(), b"x-amzn-mqtt-ca".to_vec()];
    let heard = Arc::new(Mutex::new(None));
    let note = Arc::clone(&heard);
    let server = Server::tls(config, move |session| {
        *note.lock().unwrap() = Some((session.server_name(), session.protocol()));
        session.welcome(0)?;
        session.serve()
    });
    stage.identity.endpoints.port = 443;
    let mut device = Device::boot_with(Some(stage.region()), |options| {
        options.guest_forward = Some((
            SocketAddrV4::new(address, 443),
            SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port()),
        ));
    });
    device.expect(SOON, "published ");
    assert_eq!(
        *heard.lock().unwrap(),
        Some((Some(SERVER_NAME.to_owned()), Some(b"x-amzn-mqtt-ca".to_vec())))
    );
    device.assert_sound();
}

/// Ten days from now by the time server alone: only a clock that it has set finds this
/// certificate valid, whenever the firmware was built.
#[test]
fn clock_comes_from_the_time_server() {
    let stage = Stage::with(|pki, options| {
        let now = OffsetDateTime::now_utc();
        let mut request = LeafRequest::server(&[SERVER_NAME]);
        request.validity =
            Validity { not_before: now + Duration::days(9), not_after: now + Duration::days(11) };
        options.server = pki.intermediate.issue(&request)?;
        Ok(())
    });
    stage.cloud.sntp.lie_by(Duration::days(10).whole_seconds());
    let mut device = stage.boot();
    device.expect(SOON, "clock set by SNTP: ");
    device.expect_connected();
    assert!(stage.cloud.dns.answered() >= 2, "both names were looked up");
    device.assert_sound();
}

#[test]
fn reset_button_starts_it_again() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    watcher.status("status", |status| status.reset == "power-on");
    device.emulator.reset().unwrap();
    watcher.status("status after the reset", |status| {
        status.reset == "external" && status.reconnects == 0
    });
    watcher.switch(&mut device, Led::On);
    device.assert_boots(2);
}

/// A reset may come at any moment, also with packets waiting. It must not leave the network
/// deaf.
#[test]
fn reset_button_under_traffic() {
    const RESETS: usize = 10;
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    for resets in 1..=RESETS {
        device.expect_connected();
        for _ in 0..100 {
            watcher.throw(&[b'x'; 1000]);
        }
        device.expect(SOON, "ignored: it is too long");
        device.emulator.reset().unwrap();
        device.expect(SOON, "reset: external");
        device.assert_boots(resets + 1);
    }
    device.expect_connected();
    watcher.switch(&mut device, Led::On);
    device.assert_boots(RESETS + 1);
}

#[test]
fn a_halted_cpu_goes_on_where_it_was() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    watcher.status("status", |_| true);
    device.emulator.pause().unwrap();
    watcher.send(b"on");
    std::thread::sleep(seconds(2));
    assert_eq!(device.count("LED on"), 0, "the CPU was not halted");
    device.emulator.resume().unwrap();
    device.expect_led(Led::On);
    watcher.status("status", |status| status.led == Led::On && status.reconnects == 0);
    device.assert_sound();
}
