//! What the server says of a session, and what the device knows of it: it hears commands after each
//! of these.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Result, bail};
use board::boards::led_line;
use board::status::Led;
use board_facts::Board;
use e2e::server::{PUBACK, PUBLISH, SUBACK, SUBSCRIBE, Server, Session, tls_config};
use e2e::{Device, SOON, Stage};

/// For a time-out of the device and the slowness of the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server that serves connection number n (from 0) by `serve`, and tells the SUBSCRIBEs that it
/// gets: which connection, packet id, topic.
struct Host {
    stage: Stage,
    server: Server,
    subscribed: Receiver<Subscribe>,
}

#[derive(Debug, PartialEq, Eq)]
struct Subscribe {
    connection: usize,
    id: [u8; 2],
    topic: String,
}

impl Host {
    fn new(
        serve: impl Fn(usize, &mut Session, &dyn Fn(&[u8])) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let stage = Stage::new();
        let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
        let next = AtomicUsize::new(0);
        let (tell, subscribed) = channel();
        let server = Server::tls(config, move |session| {
            let connection = next.fetch_add(1, Ordering::SeqCst);
            serve(connection, session, &|body: &[u8]| {
                let length = usize::from(u16::from_be_bytes([body[2], body[3]]));
                let topic = String::from_utf8(body[4..4 + length].to_vec()).expect("UTF-8");
                let _ = tell.send(Subscribe { connection, id: [body[0], body[1]], topic });
            })
        });
        let mut host = Self { stage, server, subscribed };
        host.stage.identity.endpoints.port = host.server.port();
        host
    }

    #[track_caller]
    fn expect(&self, connection: usize, topic: &str) -> [u8; 2] {
        let got = self.subscribed.recv_timeout(PATIENCE).expect("a SUBSCRIBE");
        assert_eq!((got.connection, got.topic.as_str()), (connection, topic));
        got.id
    }
}

/// Takes packets up to the SUBSCRIBE.
fn subscribe(session: &mut Session) -> Result<Vec<u8>> {
    match session.receive()? {
        (SUBSCRIBE, body) => Ok(body),
        (kind, _) => bail!("the device sent packet type {kind}, no SUBSCRIBE"),
    }
}

fn suback(session: &mut Session, body: &[u8], code: u8) -> Result<()> {
    session.send(&[SUBACK << 4, 3, body[0], body[1], code])
}

/// Publishes `on` when the first status has come, which is acknowledged, and serves on.
fn command(session: &mut Session, topic: &str) -> Result<()> {
    while session.answer(1)? != PUBLISH {}
    session.publish(topic, Some(1), b"on")?;
    while session.answer(1)? != PUBACK {}
    session.serve()
}

#[track_caller]
fn hears(device: &mut Device) {
    device.expect_led(Led::On);
    device.assert_sound();
}

/// The server keeps the session and never got the SUBSCRIBE.
#[test]
fn subscribes_again_when_the_connection_was_lost_before_suback() {
    let host = Host::new(|connection, session, told| {
        session.welcome_back(connection > 0, 0)?;
        let body = subscribe(session)?;
        told(&body);
        if connection == 0 {
            return Ok(());
        }
        suback(session, &body, 1)?;
        command(session, "esp8266/control")
    });
    let mut device = host.stage.boot();
    host.expect(0, "esp8266/control");
    host.expect(1, "esp8266/control");
    hears(&mut device);
}

/// The policy does not allow the topic at first.
#[test]
fn subscribes_again_when_it_was_refused() {
    let host = Host::new(|connection, session, told| {
        session.welcome_back(connection > 0, 0)?;
        let body = subscribe(session)?;
        told(&body);
        suback(session, &body, if connection < 2 { 0x80 } else { 1 })?;
        command(session, "esp8266/control")
    });
    let mut device = host.stage.boot();
    for connection in 0..3 {
        host.expect(connection, "esp8266/control");
    }
    hears(&mut device);
}

/// A SUBSCRIBE without answer is sent again with its packet id, then given up with the connection;
/// on the next one it is sent as well, though the server says that it kept the session.
#[test]
fn subscribes_again_when_suback_does_not_come() {
    let host = Host::new(|connection, session, told| {
        session.welcome_back(connection > 0, 0)?;
        loop {
            let body = subscribe(session)?;
            told(&body);
            if connection > 0 {
                suback(session, &body, 1)?;
                return command(session, "esp8266/control");
            }
        }
    });
    let mut device = host.stage.boot_skipping_sleep();
    let first = host.expect(0, "esp8266/control");
    assert_eq!(host.expect(0, "esp8266/control"), first, "the same packet id");
    let connected = device.expect(PATIENCE, "connected to ");
    let lost = device.expect(PATIENCE, "connection lost: the server did not answer in time");
    // In what is left of the 30 s for a connection, and 15 s at most.
    assert!(lost.ms - connected.ms <= 16_000, "after {} ms", lost.ms - connected.ms);
    let last = loop {
        let next = host.subscribed.recv_timeout(PATIENCE).expect("a SUBSCRIBE");
        if next.connection > 0 {
            break next;
        }
        assert_eq!(next.id, first, "the same packet id");
    };
    assert_eq!((last.connection, last.topic.as_str()), (1, "esp8266/control"));
    hears(&mut device);
}

/// One that comes late, after it was asked for again, counts once.
#[test]
fn a_late_suback_and_a_second_one_are_fine() {
    let host = Host::new(|_, session, told| {
        session.welcome(0)?;
        let body = subscribe(session)?;
        told(&body);
        let again = subscribe(session)?;
        anyhow::ensure!(again == body, "another SUBSCRIBE");
        suback(session, &body, 1)?;
        suback(session, &again, 1)?;
        command(session, "esp8266/control")
    });
    let mut device = host.stage.boot_skipping_sleep();
    host.expect(0, "esp8266/control");
    device.expect(PATIENCE, "subscribed to ");
    hears(&mut device);
    assert_eq!(device.count("connected to "), 1);
}

/// Two boots with one client id on one server, which keeps the session; the identity of the second
/// names another control topic.
#[test]
fn subscribes_to_the_control_topic_of_a_new_identity() {
    let mut host = Host::new(|connection, session, told| {
        session.welcome_back(connection > 0, 0)?;
        let body = subscribe(session)?;
        told(&body);
        suback(session, &body, 1)?;
        command(session, if connection == 0 { "esp8266/control" } else { "esp8266/other" })
    });
    let mut device = host.stage.boot();
    host.expect(0, "esp8266/control");
    hears(&mut device);
    drop(device);
    host.stage.identity.topics.control = "esp8266/other".to_owned();
    let mut device = host.stage.boot();
    host.expect(1, "esp8266/other");
    hears(&mut device);
}

/// A subscription that this boot knows of is not asked for again.
#[test]
fn a_known_subscription_is_trusted() {
    let host = Host::new(|connection, session, told| {
        session.welcome_back(connection > 0, 0)?;
        if connection == 0 {
            let body = subscribe(session)?;
            told(&body);
            suback(session, &body, 1)?;
            session.receive()?;
            return Ok(());
        }
        command(session, "esp8266/control")
    });
    let mut device = host.stage.boot();
    host.expect(0, "esp8266/control");
    device.expect(SOON, "the server kept the session");
    hears(&mut device);
}

/// A server that answers a clean session with "session present" has mixed something up
/// (MQTT-3.2.2-1).
#[test]
fn a_session_in_answer_to_a_clean_one_is_refused() {
    let mut host = Host::new(|connection, session, told| {
        session.welcome_back(connection == 0, 0)?;
        let body = subscribe(session)?;
        told(&body);
        suback(session, &body, 1)?;
        command(session, "esp8266/control")
    });
    host.stage.identity.clean_session = true;
    let mut device = host.stage.boot();
    device.expect(SOON, "mqtt: a kept session in answer to a clean one: closing");
    device.expect(SOON, "connect failed: TLS: the server sent what is not MQTT 3.1.1");
    host.expect(1, "esp8266/control");
    hears(&mut device);
}

/// Answers to SUBSCRIBE that are none.
#[test]
fn broken_subacks_end_the_connection() {
    const ANSWERS: [&[u8]; 7] = [
        &[0x90, 0],
        &[0x90, 2, 0, 1],
        &[0x90, 4, 0, 1, 1, 1],
        &[0x91, 3, 0, 1, 1],
        &[0x90, 3, 0xAB, 0xCD, 1],
        &[0x90, 3, 0, 1, 3],
        &[0x20, 2, 0, 0],
    ];
    let host = Host::new(|connection, session, told| {
        session.welcome(0)?;
        let body = subscribe(session)?;
        told(&body);
        match ANSWERS.get(connection) {
            Some(answer) => {
                session.send(answer)?;
                session.serve()
            }
            None => {
                suback(session, &body, 1)?;
                command(session, "esp8266/control")
            }
        }
    });
    let mut device = host.stage.boot_skipping_sleep();
    for connection in 0..ANSWERS.len() {
        host.expect(connection, "esp8266/control");
        device.expect(
            SOON,
            if connection < 6 {
                "malformed packet of type 9"
            } else {
                "unexpected packet of type 2"
            },
        );
        device.expect(SOON, "connection lost: TLS: the server sent what is not MQTT 3.1.1");
    }
    device.expect(SOON, "subscribed to ");
    hears(&mut device);
}

/// Sends commands between SUBSCRIBE and SUBACK, `on` and `off` in turn: on the first `connections`,
/// because a server that has no PUBACK sends them again. Tells connection and packet id of each PUBACK.
fn waiting_commands(clean: bool, count: u16, connections: usize) -> (Host, Receiver<(usize, u16)>) {
    let (tell, acknowledged) = channel();
    let mut host = Host::new(move |connection, session, told| {
        session.welcome_back(!clean, 0)?;
        let commands = |session: &mut Session| -> Result<()> {
            for id in 1..=count {
                let command: &[u8] = if id % 2 == 0 { b"off" } else { b"on" };
                session.publish("esp8266/control", Some(id), command)?;
            }
            Ok(())
        };
        if connection == 0 {
            let body = subscribe(session)?;
            told(&body);
            commands(session)?;
            suback(session, &body, 1)?;
        } else if connection < connections {
            commands(session)?;
        }
        loop {
            let (kind, body) = session.receive()?;
            if kind == PUBACK {
                let _ = tell.send((connection, u16::from_be_bytes([body[0], body[1]])));
            }
            session.answer_to(kind, &body, 1)?;
        }
    });
    host.stage.identity.clean_session = clean;
    (host, acknowledged)
}

/// So many PUBACKs, and the light as the last command wants it.
#[track_caller]
fn all_obeyed(device: &mut Device, acknowledged: &Receiver<(usize, u16)>, wanted: &[(usize, u16)]) {
    for wanted in wanted {
        let got = acknowledged.recv_timeout(PATIENCE).expect("a PUBACK");
        assert_eq!(got, *wanted);
    }
    // By every second command, the last one included.
    for _ in 0..wanted.len().div_ceil(2) {
        device.expect_led(Led::On);
    }
    assert_eq!(lit(device), wanted.len().div_ceil(2));
    device.assert_sound();
}

/// How often the light was lit.
fn lit(device: &Device) -> usize {
    device.count(&led_line(&Board::named("qemu").expect("its facts"), Led::On))
}

#[test]
fn commands_that_wait_are_obeyed_in_their_order() {
    let (host, acknowledged) = waiting_commands(false, 11, 1);
    let mut device = host.stage.boot();
    let wanted: Vec<_> = (1..=11).map(|id| (0, id)).collect();
    all_obeyed(&mut device, &acknowledged, &wanted);
}

/// None is acknowledged that is not obeyed; they come again once the session is known.
#[test]
fn more_commands_than_there_is_room_for_come_again() {
    let (host, acknowledged) = waiting_commands(false, 41, 2);
    let mut device = host.stage.boot();
    let wanted: Vec<_> = (1..=41).map(|id| (1, id)).collect();
    all_obeyed(&mut device, &acknowledged, &wanted);
    assert_eq!(device.count("they will come again"), 1);
}

/// A clean session brings nothing again: the connection stays, and the log tells.
#[test]
fn more_than_there_is_room_for_in_a_clean_session_are_dropped() {
    let (host, acknowledged) = waiting_commands(true, 41, 1);
    let mut device = host.stage.boot();
    let mut ids: Vec<u16> = (0..41)
        .map(|_| acknowledged.recv_timeout(PATIENCE).expect("a PUBACK"))
        .map(|(connection, id)| {
            assert_eq!(connection, 0);
            id
        })
        .collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=41), "{ids:?}");
    let dropped = device.count("a message was dropped: too many came before SUBACK");
    for _ in 0..(41 - dropped).div_ceil(2) {
        device.expect_led(Led::On);
    }
    let obeyed = lit(&device);
    assert!(
        dropped > 0 && obeyed >= 5 && obeyed == (41 - dropped).div_ceil(2),
        "{dropped}, {obeyed}"
    );
    assert_eq!(device.count("connected to "), 1);
    device.assert_sound();
}
