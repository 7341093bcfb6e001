//! What the server says of a session, and what the device knows of it: it hears commands after each
//! of these.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Result, bail};
use board::status::Led;
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
