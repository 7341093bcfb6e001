//! Servers that do not answer, close without a word, or send without end: each costs what it must,
//! and nothing of it outlives its connection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use board::status::{Led, Report, Status};
use cloud::pki::SERVER_NAME;
use e2e::server::{PUBLISH, SUBSCRIBE, Server, Session, tls_config};
use e2e::{SOON, Stage};

/// For a time-out of the device and the slowness of the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// More connections than paho keeps messages in flight (10).
const MANY: usize = 13;

/// A PUBLISH of the device at QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    connection: usize,
    dup: bool,
    id: u16,
    payload: Vec<u8>,
}

impl Published {
    fn read(connection: usize, first: u8, body: &[u8]) -> Result<Self> {
        let (length, rest) = body.split_first_chunk().context("no topic")?;
        let (_, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .context("half a topic")?;
        let (id, payload) = rest.split_first_chunk().context("no packet id")?;
        Ok(Self {
            connection,
            dup: first & 8 != 0,
            id: u16::from_be_bytes(*id),
            payload: payload.to_vec(),
        })
    }

    fn status(&self) -> Status {
        match Report::parse(&self.payload).expect("a status") {
            Report::Online(status) => status,
            Report::Offline => panic!("the device says that it is offline"),
        }
    }
}

/// Serves as a broker, without PUBACK, and tells what is published. The connection is counted at
/// its first PUBLISH: one that the device has given up before, as the machine was too slow for its
/// clock, is none of this.
fn never_acknowledge(
    published: &AtomicUsize,
    session: &mut Session,
    tell: &dyn Fn(Published),
) -> Result<()> {
    let mut connection = None;
    loop {
        let (first, body) = session.packet()?;
        match first >> 4 {
            PUBLISH => {
                let connection =
                    *connection.get_or_insert_with(|| published.fetch_add(1, Ordering::SeqCst));
                tell(Published::read(connection, first, &body)?);
            }
            SUBSCRIBE => session.send(&[0x90, 3, body[0], body[1], 1])?,
            _ => session.send(&[0xD0, 0])?,
        }
    }
}

/// A PUBLISH without PUBACK is sent again with its packet id and DUP, then given up with the
/// connection, however often that happens; and what comes first afterwards is new.
#[test]
fn a_status_without_acknowledgement_is_repeated_and_then_given_up() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let (tell, published) = channel();
    let (known, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls(config, move |session| {
        session.welcome_back(known.swap(true, Ordering::SeqCst), 0)?;
        never_acknowledge(&count, session, &|publish| drop(tell.send(publish)))
    });
    relay.set_target(server.port());
    let mut device = stage.boot_skipping_sleep();
    let mut uptime = None;
    let mut sent = published.recv_timeout(PATIENCE).expect("a status");
    for connection in 0..MANY {
        assert_eq!((sent.connection, sent.dup), (connection, false), "{sent:?}");
        // Not the one that was given up before.
        let status = sent.status();
        assert!(uptime < Some(status.uptime_s), "stale: {status:?} after {uptime:?}");
        uptime = Some(status.uptime_s);
        let connected = device.expect(PATIENCE, "connected to ").ms;
        let lost = device.expect(PATIENCE, "connection lost: the server did not answer in time");
        assert!((15_000..20_000).contains(&(lost.ms - connected)), "{lost:?} from {connected} ms");
        let mut repetitions = 0;
        sent = loop {
            let next = published.recv_timeout(PATIENCE).expect("a status");
            if next.connection > connection {
                break next;
            }
            assert_eq!(next, Published { dup: true, ..sent.clone() });
            repetitions += 1;
        };
        assert!(repetitions > 0, "connection {connection}: not sent again");
    }
    relay.set_target(stage.cloud.broker.device_port());
    let mut watcher = stage.watch();
    let connected = device.expect_connected_within(PATIENCE);
    let first = watcher.status("status", |_| true);
    assert!(first.uptime_s >= connected.ms / 1000, "stale: {first:?} at {} ms", connected.ms);
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

/// AWS closes the connection when the policy does not allow the topic. However often it does, there
/// is memory for the next handshake, and as soon as the policy is mended the device works.
#[test]
fn closed_at_each_publish_with_the_largest_chain() {
    let mut stage = Stage::new();
    let (credential, root) = certificates::largest_chain(SERVER_NAME).expect("a chain");
    stage.identity.roots = vec![root];
    stage.identity.topics.status = format!("site/{}/status", "x".repeat(76));
    assert_eq!(stage.identity.topics.status.len(), 88);
    let allowed = Arc::new(AtomicBool::new(false));
    let allows = Arc::clone(&allowed);
    let next = AtomicUsize::new(0);
    let (tell, published) = channel();
    let config = tls_config(&stage.cloud.pki, &credential);
    let server = Server::tls(config, move |session| {
        let connection = next.fetch_add(1, Ordering::SeqCst);
        session.welcome(0)?;
        session.serve_until_subscribed(1)?;
        let (first, body) = session.packet()?;
        let publish = Published::read(connection, first, &body)?;
        let _ = tell.send(publish.clone());
        if allows.load(Ordering::SeqCst) {
            let [high, low] = publish.id.to_be_bytes();
            session.send(&[0x40, 2, high, low])?;
            session.serve()?;
        }
        Ok(())
    });
    stage.identity.endpoints.port = server.port();
    let mut device = stage.boot_skipping_sleep();
    for connection in 0..MANY {
        let sent = published.recv_timeout(PATIENCE).expect("a status");
        assert_eq!((sent.connection, sent.dup), (connection, false), "{sent:?}");
        device.expect(
            SOON,
            "connection lost: the server closed the connection in answer to PUBLISH; on AWS: the policy",
        );
        device.expect_delay();
    }
    allowed.store(true, Ordering::SeqCst);
    device.expect(PATIENCE, "published {");
    assert_eq!(device.count("out of memory"), 0);
    device.assert_sound();
}

/// AWS closes the connection, without CONNACK, when the policy does not allow the client id.
#[test]
fn a_close_is_told_at_once_and_what_it_means() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let stages = Arc::new(AtomicUsize::new(0));
    let reached = Arc::clone(&stages);
    let server = Server::tls(config, move |session| {
        if reached.load(Ordering::SeqCst) > 0 {
            session.welcome(0)?;
        }
        session.receive()?;
        session.end()
    });
    relay.set_target(server.port());
    let mut device = stage.boot();
    for _ in 0..2 {
        device.expect(
            SOON,
            "connect failed: the server closed the connection in answer to CONNECT; on AWS: the policy does not allow this client id, or the certificate is inactive",
        );
        device.expect_delay();
    }
    stages.store(1, Ordering::SeqCst);
    let connected = device.expect(SOON, "connected to ");
    let lost = device.expect(
        SOON,
        "connection lost: the server closed the connection in answer to SUBSCRIBE; on AWS: the policy does not allow this topic filter",
    );
    assert!(lost.ms - connected.ms < 2_000, "after {} ms", lost.ms - connected.ms);
    device.assert_sound();
}

/// Attempts of a device in its first 30 s, counted by its own clock, for each kind of failure.
#[test]
fn attempts_have_a_floor_whatever_fails() {
    type Fails = fn(&mut Session) -> Result<()>;
    let fails: [(&str, Fails); 4] = [
        ("after the handshake", |_| Ok(())),
        ("at CONNECT", |session| {
            session.receive()?;
            session.end()
        }),
        ("refused", |session| session.welcome(5)),
        ("at PUBLISH", |session| {
            session.welcome(0)?;
            session.serve_until_subscribed(1)?;
            session.receive()?;
            session.end()
        }),
    ];
    for (what, fail) in fails {
        let mut stage = Stage::new();
        // The default, in which the window doubles up to a minute.
        stage.identity.backoff_cap_s = 60;
        let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let server = Server::tls(config, move |session| {
            counted.fetch_add(1, Ordering::SeqCst);
            fail(session)
        });
        stage.identity.endpoints.port = server.port();
        let mut device = stage.boot_skipping_sleep();
        let mut delays = Vec::new();
        while device
            .lines()
            .iter()
            .rev()
            .find_map(|line| e2e::Line::parse(line))
            .map_or(0, |line| line.ms)
            < 30_000
        {
            delays.push(device.expect_delay());
        }
        let attempts = count.load(Ordering::SeqCst);
        // A second each at least, and more each time: 30 s are used up within ten attempts, but
        // for the luck of the draw.
        assert!((2..=15).contains(&attempts), "{what}: {attempts} attempts, delays {delays:?}");
        assert!(delays.iter().all(|delay| *delay >= 1_000), "{what}: {delays:?}");
        device.assert_sound();
    }
}

/// After a power cut all devices of a house, or of a town, boot at once.
#[test]
fn devices_that_boot_together_do_not_connect_together() {
    const DEVICES: usize = 5;
    let mut stage = Stage::new();
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let server = Server::start(move |_| {
        noted.lock().unwrap().push(Instant::now());
        Ok(())
    });
    stage.identity.endpoints.port = server.port();
    let mut devices: Vec<_> = (0..DEVICES).map(|_| stage.boot_skipping_sleep()).collect();
    let waits: Vec<u64> = devices
        .iter_mut()
        .map(|device| {
            let clock = device.expect(SOON, "clock set by SNTP").ms;
            device.expect(PATIENCE, "connect failed: ").ms - clock
        })
        .collect();
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(most - least >= 500, "all connect within {} ms: {waits:?}", most - least);
    for device in &mut devices {
        device.assert_sound();
    }
}
