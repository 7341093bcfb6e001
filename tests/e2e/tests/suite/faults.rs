//! Bad networks and broken servers: the device notices, says so, and comes back by itself.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use board::status::Led;
use certificates::{Authority, KeyKind, LeafRequest, Validity};
use cloud::client::MqttClient;
use cloud::dns::HOST_FROM_GUEST;
use cloud::local::TIME_SERVER_NAME;
use cloud::pki::SERVER_NAME;
use e2e::server::{Server, stay_silent, tls_config};
use e2e::{Device, Line, SOON, Stage, Watcher};
use time::OffsetDateTime;

/// Within 1.5 keep-alives (the tests' is 30 s) a dead peer must be noticed.
const PEER_DEAD_MS: u64 = 45_000;

/// For a time-out of the device and the slowness of the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until the device says that it has lost its connection.
#[track_caller]
fn expect_lost(device: &mut Device) -> Line {
    device.expect_where(PATIENCE, "the loss of the connection", |line| {
        line.contains("connection lost: ") || line.contains("connection given up")
    })
}

/// An operator and a connected device.
fn connected(stage: &Stage) -> (Watcher, Device) {
    connected_as(stage, stage.boot())
}

fn connected_as(stage: &Stage, mut device: Device) -> (Watcher, Device) {
    let mut watcher = stage.watch();
    device.expect_connected();
    watcher.status("status", |_| true);
    (watcher, device)
}

#[test]
fn broker_killed_and_restarted() {
    let mut stage = Stage::new();
    let (_, mut device) = connected(&stage);
    stage.cloud.broker.kill();
    expect_lost(&mut device);
    device.expect(SOON, "connect failed: TLS: no TCP connection");
    device.expect(SOON, "connect failed: TLS: no TCP connection");
    stage.cloud.broker.restart().unwrap();
    // The broker has forgotten the session.
    device.expect(SOON, "subscribed to ");
    let mut watcher = stage.watch();
    watcher.switch(&mut device, Led::On);
    watcher.status("status", |status| status.reconnects == 1);
    device.assert_sound();
}

#[test]
fn broker_ended_in_order_and_restarted() {
    let mut stage = Stage::new();
    let (_, mut device) = connected(&stage);
    stage.cloud.broker.stop().unwrap();
    expect_lost(&mut device);
    stage.cloud.broker.restart().unwrap();
    device.expect_connected();
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

#[test]
fn broker_frozen_and_thawed() {
    let stage = Stage::new();
    let (_watcher, mut device) = connected(&stage);
    let published = device.expect(SOON, "published ");
    stage.cloud.broker.freeze().unwrap();
    let lost = expect_lost(&mut device);
    assert!(lost.ms - published.ms <= PEER_DEAD_MS, "noticed after {} ms", lost.ms - published.ms);
    stage.cloud.broker.thaw().unwrap();
    device.expect_connected_within(PATIENCE);
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

#[test]
fn connection_reset_and_closed_under_way() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let (mut watcher, mut device) = connected(&stage);
    relay.reset();
    expect_lost(&mut device);
    watcher.status("status", |status| status.reconnects == 1);
    relay.close();
    let lost = expect_lost(&mut device);
    assert!(lost.text.contains("the server closed the connection"), "{lost:?}");
    watcher.status("status", |status| status.reconnects == 2);
    watcher.switch(&mut device, Led::On);
    relay.assert_spaced();
    device.assert_sound();
}

/// Half-open: nothing comes through, and nobody says so.
#[test]
fn network_gone_silent() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let (mut watcher, mut device) = connected(&stage);
    let published = device.expect(SOON, "published ");
    relay.stall(true);
    let lost = expect_lost(&mut device);
    assert!(lost.ms - published.ms <= PEER_DEAD_MS, "noticed after {} ms", lost.ms - published.ms);
    relay.stall(false);
    device.expect(PATIENCE, "connected to ");
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

#[test]
fn link_down_for_a_moment_keeps_the_connection() {
    let stage = Stage::new();
    let (mut watcher, mut device) = connected(&stage);
    device.emulator.set_link(false).unwrap();
    device.expect(SOON, "link down");
    device.emulator.set_link(true).unwrap();
    device.expect(SOON, "link up");
    watcher.switch(&mut device, Led::On);
    watcher.status("status", |status| status.reconnects == 0);
    device.assert_sound();
}

#[test]
fn link_down_for_long_ends_in_a_new_connection() {
    let stage = Stage::new();
    let (mut watcher, mut device) = connected_as(&stage, stage.boot_skipping_sleep());
    device.emulator.set_link(false).unwrap();
    let down = device.expect(SOON, "link down");
    let lost = expect_lost(&mut device);
    assert!(lost.ms - down.ms <= PEER_DEAD_MS + 1_000, "noticed after {} ms", lost.ms - down.ms);
    device.expect(SOON, "the link is down: check the cable");
    device.emulator.set_link(true).unwrap();
    device.expect(SOON, "link up");
    device.expect_connected();
    watcher.switch(&mut device, Led::On);
    watcher.status("status", |status| status.reconnects == 1);
    device.assert_sound();
}

/// No cable at boot: nothing is tried until there is one.
#[test]
fn link_down_at_boot() {
    let stage = Stage::new();
    let mut device = Device::boot_with(Some(stage.region()), |options| {
        // Halted before its first instruction, so that the cable is out in time.
        options.further.push("-S".into());
    });
    device.emulator.set_link(false).unwrap();
    device.emulator.resume().unwrap();
    device.expect(SOON, "the link is down: check the cable");
    assert_eq!(device.count("link up"), 0);
    device.emulator.set_link(true).unwrap();
    device.expect_connected();
    device.assert_sound();
}

/// Two devices of one client id push each other out. This one must not take part in that
/// game at full speed.
#[test]
fn duplicate_client_id() {
    let mut stage = Stage::new();
    stage.identity.backoff_cap_s = 10;
    let relay = stage.relay();
    let (mut watcher, mut device) = connected(&stage);
    // The window of the jitter doubles with every attempt: soon there is a delay that no
    // first attempt has.
    let grown = (0..12).any(|_| {
        let mut rival = MqttClient::connect(&stage.rival_options()).unwrap();
        expect_lost(&mut device);
        let delay = device.expect_delay();
        assert!((1_000..=10_000).contains(&delay), "{delay} ms");
        device.expect_connected();
        rival.closed(SOON).unwrap();
        delay > 2_000
    });
    assert!(grown, "delays do not grow: {:?}", device.delays());
    relay.assert_spaced();
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

#[test]
fn connection_refused_by_the_server() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let code = Arc::new(AtomicU8::new(0));
    let given = Arc::clone(&code);
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls(config, move |session| {
        session.welcome(given.load(Ordering::Relaxed))?;
        session.serve()
    });
    relay.set_target(server.port());
    let cases = [
        (5, "refused: not authorised"),
        (1, "refused: the server does not speak MQTT 3.1.1"),
        (2, "refused: the server rejects this client id"),
        (3, "refused: the server is unavailable"),
        (4, "refused: bad user name or password"),
        (6, "refused by the server with code 6"),
        (255, "refused by the server with code 255"),
    ];
    code.store(cases[0].0, Ordering::Relaxed);
    let mut device = stage.boot();
    for (index, (_, words)) in cases.iter().enumerate() {
        device.expect(SOON, &format!("connect failed: {words}"));
        // It waits for a second at least now.
        if let Some((next, _)) = cases.get(index + 1) {
            code.store(*next, Ordering::Relaxed);
        }
        device.expect_delay();
    }
    relay.set_target(stage.cloud.broker.device_port());
    device.expect_connected();
    assert_eq!(device.count("connected to "), 1);
    relay.assert_spaced();
    device.assert_sound();
}

/// A server that takes the connection and drops it, sooner or later.
#[test]
fn connection_dropped_by_the_server_at_every_stage() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let stages = Arc::new(AtomicU8::new(0));
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let reached = Arc::clone(&stages);
    let tls = Server::tls(config, move |session| {
        match reached.load(Ordering::Relaxed) {
            0 => {}
            1 => drop(session.receive()?),
            2 => session.welcome(0)?,
            // CONNECT, SUBSCRIBE.
            3 => {
                session.welcome(0)?;
                session.receive()?;
            }
            // ... SUBACK, the first status without its PUBACK.
            _ => {
                session.welcome(0)?;
                session.serve_until_subscribed(1)?;
                session.receive()?;
            }
        }
        Ok(())
    });
    let tcp = Server::start(|_| Ok(()));
    let hello = Server::start(|mut stream| {
        // Reads the beginning of the ClientHello.
        std::io::Read::read_exact(&mut stream, &mut [0; 5])?;
        Ok(())
    });
    relay.set_target(tcp.port());
    let mut device = stage.boot();
    device.expect(SOON, "connect failed: TLS: ");
    relay.set_target(hello.port());
    device.expect(SOON, "connect failed: TLS: ");
    relay.set_target(tls.port());
    for reached in 0..=1 {
        stages.store(reached, Ordering::Relaxed);
        device.expect(SOON, "connect failed: ");
    }
    for reached in 2..=4 {
        stages.store(reached, Ordering::Relaxed);
        device.expect(SOON, "connected to ");
        expect_lost(&mut device);
    }
    relay.set_target(stage.cloud.broker.device_port());
    device.expect_connected();
    stage.watch().switch(&mut device, Led::On);
    relay.assert_spaced();
    device.assert_sound();
}

#[test]
fn subscription_refused() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls(config, |session| {
        session.welcome(0)?;
        session.serve_until_subscribed(0x80)?;
        session.serve()
    });
    relay.set_target(server.port());
    let mut device = stage.boot();
    device.expect(
        SOON,
        "connection lost: the server refuses the subscription; on AWS: it is too busy",
    );
    device.expect_delay();
    relay.set_target(stage.cloud.broker.device_port());
    device.expect_connected();
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

#[test]
fn name_does_not_exist() {
    let stage = Stage::new();
    stage.cloud.dns.set(SERVER_NAME, None);
    let mut device = stage.boot();
    for _ in 0..2 {
        device.expect(SOON, "connect failed: TLS: the endpoint's name cannot be resolved");
        device.expect_delay();
    }
    stage.cloud.dns.set(SERVER_NAME, Some(cloud::dns::HOST_FROM_GUEST));
    device.expect_connected();
    device.assert_sound();
}

/// A name with two addresses: nobody is at the first, the server is at the second.
#[test]
fn the_second_address_of_a_name_is_tried_after_the_first() {
    let stage = Stage::new();
    let nobody = Ipv4Addr::new(10, 0, 2, 99);
    stage.cloud.dns.set(SERVER_NAME, [nobody, HOST_FROM_GUEST]);
    let mut device = stage.boot_skipping_sleep();
    device.expect_connected();
    assert_eq!(device.count("connect failed"), 0);
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

/// At the first somebody takes connections and is of no use.
#[test]
fn another_address_comes_first_after_a_failure() {
    let mut stage = Stage::new();
    let useless = Server::start(|_| Ok(()));
    stage.identity.endpoints.port = useless.port();
    stage.cloud.dns.set(SERVER_NAME, [HOST_FROM_GUEST, Ipv4Addr::new(10, 0, 2, 99)]);
    let mut device = stage.boot_skipping_sleep();
    device.expect(PATIENCE, "connect failed: TLS: ");
    // Now the other one first, where nobody is, which takes its time; then the useless one again.
    let first = device.expect(PATIENCE, "next try in ");
    let second = device.expect(PATIENCE, "connect failed: TLS: ");
    assert!(second.ms - first.ms >= 4_000, "{first:?}, {second:?}");
    device.assert_sound();
}

/// A name server that is silent: the look-up ends in time, and with it the attempt.
#[test]
fn a_silent_name_server_takes_no_longer_than_a_connect_may() {
    let mut stage = Stage::new();
    let mut device = stage.boot_skipping_sleep();
    device.expect_connected();
    stage.cloud.dns.silence(true);
    stage.cloud.broker.kill();
    let lost = expect_lost(&mut device);
    let delay = device.expect_delay();
    let failed =
        device.expect(PATIENCE, "connect failed: TLS: the endpoint's name cannot be resolved");
    assert!(failed.ms - lost.ms - delay <= 12_000, "{} ms after {lost:?}", failed.ms - lost.ms);
    device.assert_sound();
}

#[test]
fn name_server_does_not_answer() {
    let stage = Stage::new();
    stage.cloud.dns.silence(true);
    let mut device = stage.boot_skipping_sleep();
    // The time server's name is looked up first.
    device.expect(PATIENCE, "no answer from a time server: it is later than ");
    device.expect(PATIENCE, "connect failed: TLS: the endpoint's name cannot be resolved");
    stage.cloud.dns.silence(false);
    // Where the firmware is older than the certificates, it needs the time first.
    device.expect(PATIENCE, "connected to ");
    device.assert_sound();
}

/// A cloud whose certificates were valid when any firmware was built.
fn old_certificates() -> Stage {
    let mut roots = Vec::new();
    let mut stage = Stage::with(|_, options| {
        let validity = Validity {
            not_before: OffsetDateTime::from_unix_timestamp(1_577_836_800)?, // 2020
            not_after: OffsetDateTime::now_utc() + time::Duration::days(365),
        };
        let root = Authority::root("Old root", KeyKind::P256, validity)?;
        let mut request = LeafRequest::server(&[SERVER_NAME]);
        request.validity = validity;
        options.server = root.issue(&request)?;
        roots.push(root.certificate().clone());
        Ok(())
    });
    stage.identity.roots = roots;
    stage
}

#[test]
fn time_server_does_not_answer() {
    let stage = old_certificates();
    stage.cloud.sntp.silence(true);
    let mut device = stage.boot_skipping_sleep();
    let line = device.expect(PATIENCE, "no answer from a time server: it is later than ");
    assert!((20_000..25_000).contains(&line.ms), "waited until {} ms", line.ms);
    device.expect_connected();
    stage.cloud.sntp.silence(false);
    device.expect(PATIENCE, "clock set by SNTP: ");
    device.assert_sound();
}

/// A clock that can be turned back makes expired certificates valid again.
#[test]
fn time_server_lies_into_the_past() {
    let stage = old_certificates();
    stage.cloud.sntp.lie_by(-10 * 365 * 86_400);
    let mut device = stage.boot_skipping_sleep();
    device.expect(SOON, "before this firmware was built: ignored");
    device.expect(PATIENCE, "no answer from a time server: it is later than 20");
    device.expect_connected();
    assert_eq!(device.count("clock set by SNTP"), 0);
    device.assert_sound();
}

#[test]
fn time_server_is_unknown() {
    let stage = old_certificates();
    stage.cloud.dns.set(TIME_SERVER_NAME, None);
    let mut device = stage.boot_skipping_sleep();
    device.expect(PATIENCE, "no answer from a time server: it is later than 20");
    device.expect_connected();
    device.assert_sound();
}

/// Statuses are not queued while nobody takes them: only the newest counts.
#[test]
fn after_an_outage_only_the_newest_status_is_published() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let (mut watcher, mut device) = connected_as(&stage, stage.boot_skipping_sleep());
    let nowhere = Server::start(|mut stream| {
        stream.write_all(b"\x15\x03\x03\x00\x02\x02\x28")?; // Alert: handshake failure.
        stay_silent(stream)
    });
    relay.set_target(nowhere.port());
    relay.reset();
    let outage = device.expect(SOON, "alert 40");
    watcher.forget();
    // Three periods of the status.
    while device.expect(SOON, "alert 40").ms < outage.ms + 30_000 {}
    relay.set_target(stage.cloud.broker.device_port());
    let line = device.expect(SOON, "connected to ");
    let first = watcher.status("status", |_| true);
    assert_eq!(first.reconnects, 1, "a stale status: {first:?}");
    assert!(first.uptime_s >= line.ms / 1000, "a stale status: {first:?} at {} ms", line.ms);
    device.assert_sound();
}

/// Whatever the device itself may have got into, a reset gets it out: once after hours, and told
/// of; then it has hours again. Hours go by in a minute here.
#[test]
fn hours_without_a_connection_end_in_one_reset() {
    const HOURS: Duration = Duration::from_secs(900);
    const LEAST: u64 = runtime_model::patience::LEAST_MS as u64;
    // It looks between two attempts.
    const CAP_S: u16 = 3600;
    const MOST: u64 =
        LEAST + runtime_model::patience::SPREAD_MS as u64 + CAP_S as u64 * 1000 + 120_000;
    // Four hours or five.
    const GAVE_UP: &str = "*** gave up: no connection for ";
    let mut stage = Stage::new();
    stage.identity.backoff_cap_s = CAP_S;
    let relay = stage.relay();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    relay.set_target(nobody);
    let mut watcher = stage.watch();
    let mut device = stage.boot_skipping_sleep();
    device.expect(HOURS, GAVE_UP);
    // Until the device meets it, hours may pass again.
    relay.set_target(stage.cloud.broker.device_port());
    device.expect(SOON, "reset: gave-up");
    device.expect(SOON, "crashed before: gave up: no connection for ");
    device.expect_connected_within(HOURS);
    let told = watcher.online();
    assert_eq!(told["reset"], "gave-up", "{told}");
    let record = told["crash"].as_str().unwrap_or_default();
    assert!(record.starts_with("gave up: no connection for "), "{told}");
    // Told again until the server has acknowledged it, and then no more. Where sleep is skipped, the
    // device may well lose patience with a server that is slow for a moment.
    let acknowledged = device.expect(PATIENCE, "published ").ms / 1000;
    let later = loop {
        let status = watcher.online();
        if status["uptime_s"].as_u64() > Some(acknowledged) {
            break status;
        }
    };
    assert!(later["crash"].is_null(), "told again: {later}");
    // Each reset came after hours, and was the only thing that ended a boot.
    let (mut last, mut resets) = (0, 0);
    for line in device.lines() {
        if line.starts_with(GAVE_UP) {
            assert!((LEAST - 3_600_000..MOST).contains(&last), "the last line was at {last} ms");
            resets += 1;
        }
        last = Line::parse(&line).map_or(last, |line| line.ms);
    }
    assert_eq!(device.count("*** "), 2 * resets, "the reset and its reason");
}
