//! TLS records after the handshake: of every size, cut and joined anywhere, forged at the end.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use board::status::Led;
use e2e::server::{
    PINGREQ, PUBACK, PUBLISH, SUBSCRIBE, Server, Session, tls_config, tls_config_of,
};
use e2e::{Device, SOON, Stage};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite};

const CONTROL: &str = "esp8266/control";

/// For a reconnect of the device and the slowness of the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A message on the control topic as bytes, at QoS 1.
fn message(id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (CONTROL.len() as u16).to_be_bytes().to_vec();
    body.extend(CONTROL.as_bytes());
    body.extend(id.to_be_bytes());
    body.extend(payload);
    let mut packet = vec![PUBLISH << 4 | 2];
    let mut length = body.len();
    loop {
        packet.push((length % 128) as u8 | if length >= 128 { 0x80 } else { 0 });
        length /= 128;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// The larger key, and the other hash that comes with it.
#[test]
fn aes_256_and_sha_384() {
    let mut stage = Stage::new();
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384],
        ..ring::default_provider()
    };
    let pki = &stage.cloud.pki;
    let config = tls_config_of(provider, pki.clients.certificate(), &pki.server);
    let server = Server::tls(config, |session| {
        session.welcome(0)?;
        session.serve_until_subscribed(1)?;
        session.send(&message(1, &[b'x'; 9000]))?;
        until_acknowledged(session, 1)?;
        session.send(&message(2, b"on"))?;
        session.serve()
    });
    stage.identity.endpoints.port = server.port();
    let mut device = stage.boot();
    device.expect_led(Led::On);
    assert_eq!(device.count("connected to "), 1);
    device.assert_sound();
}

/// Serves as a broker until the device has acknowledged this message.
fn until_acknowledged(session: &mut Session, id: u16) -> Result<()> {
    loop {
        let (kind, body) = session.receive()?;
        match kind {
            PUBACK if body == id.to_be_bytes() => return Ok(()),
            PUBACK => bail!("PUBACK of {body:?}, not of {id}"),
            kind => session.answer_to(kind, &body, 1)?,
        }
    }
}

/// A device whose broker does what `serve` says, once it has subscribed.
fn start(
    stage: &mut Stage,
    serve: impl Fn(&mut Session, usize) -> Result<()> + Send + Sync + 'static,
) -> (Server, Device) {
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let connections = Mutex::new(0);
    let server = Server::tls(config, move |session| {
        let connection = {
            let mut connections = connections.lock().unwrap();
            *connections += 1;
            *connections
        };
        session.welcome(0)?;
        session.serve_until_subscribed(1)?;
        serve(session, connection)?;
        session.serve()
    });
    stage.identity.endpoints.port = server.port();
    let device = stage.boot();
    (server, device)
}

/// Tells the test how far the server has come.
fn tell(steps: &Sender<&'static str>, step: &'static str) {
    let _ = steps.send(step);
}

#[test]
fn packets_are_cut_and_joined_anywhere() {
    let mut stage = Stage::new();
    let (steps, done) = channel();
    let (_server, mut device) = start(&mut stage, move |session, _| {
        // A record for each byte.
        for byte in message(1, b"on") {
            session.send(&[byte])?;
        }
        until_acknowledged(session, 1)?;
        tell(&steps, "bytes");
        // Two records, cut at each place; an empty one between them.
        let packet = message(2, b"off");
        for cut in 1..packet.len() {
            session.send(&packet[..cut])?;
            session.send(&packet[cut..])?;
            until_acknowledged(session, 2)?;
        }
        tell(&steps, "halves");
        // Several packets in one record, and the beginning of one more.
        let mut many: Vec<u8> = (3..7).flat_map(|id| message(id, b"no command")).collect();
        many.extend(message(7, b"on"));
        let rest = many.split_off(many.len() - 3);
        session.send(&many)?;
        for id in 3..7 {
            until_acknowledged(session, id)?;
        }
        session.send(&rest)?;
        until_acknowledged(session, 7)?;
        tell(&steps, "many");
        Ok(())
    });
    for step in ["bytes", "halves", "many"] {
        assert_eq!(done.recv_timeout(PATIENCE).expect("the device's answers"), step);
    }
    device.expect_led(Led::On);
    assert_eq!(device.count("connected to "), 1);
    device.assert_sound();
}

/// More than any buffer of the device: acknowledged and dropped, and the connection lives on.
#[test]
fn messages_of_many_kilobytes_are_acknowledged_and_dropped() {
    let mut stage = Stage::new();
    let (steps, done) = channel();
    let (_server, mut device) = start(&mut stage, move |session, _| {
        for (id, size) in [(1, 16_384), (2, 131_072), (3, 9000)] {
            // Records of 16 KB: this TLS library does not know the wish for smaller ones.
            session.send(&message(id, &vec![b'x'; size]))?;
            until_acknowledged(session, id)?;
        }
        if session.longest_record() < 16_384 {
            bail!("records of {} bytes only", session.longest_record());
        }
        // With a command behind it in the same record.
        session.send(&[message(4, &[b'y'; 5000]), message(5, b"on")].concat())?;
        until_acknowledged(session, 4)?;
        until_acknowledged(session, 5)?;
        tell(&steps, "done");
        Ok(())
    });
    assert_eq!(done.recv_timeout(PATIENCE).expect("the device's answers"), "done");
    device.expect(SOON, "message of 131072 bytes on esp8266/control dropped");
    device.expect_led(Led::On);
    assert_eq!(device.count("connected to "), 1);
    device.assert_sound();
}

/// Of a record whose tag is wrong nothing is acted on, told or acknowledged.
#[test]
fn a_forged_record_shows_nothing() {
    let mut stage = Stage::new();
    let forged: Arc<[Vec<u8>]> = Arc::new([
        message(1, b"on"),
        [message(1, b"on"), message(2, b"on")].concat(),
        // Too large for the device, and all of it but its tag arrives.
        message(3, &vec![b'x'; 16_000]),
        [message(1, b"on"), message(3, &vec![b'x'; 9000])].concat(),
        // What the device did not ask for.
        vec![0x40, 2, 0, 9],
        vec![0xFF; 40],
    ]);
    let count = forged.len();
    let (answers, heard) = channel();
    let (_server, mut device) = start(&mut stage, move |session, connection| {
        let Some(bytes) = forged.get(connection - 1) else {
            session.send(&message(8, b"on"))?;
            return until_acknowledged(session, 8);
        };
        session.send_forged(bytes)?;
        // The device sends an alert, which ends the reading.
        loop {
            match session.receive() {
                Ok((PUBACK, _)) => answers.send("PUBACK")?,
                Ok((kind @ (PUBLISH | SUBSCRIBE | PINGREQ), body)) => {
                    let _ = session.answer_to(kind, &body, 1);
                }
                Ok(_) => answers.send("something else")?,
                Err(error) => {
                    let told = format!("{error:#}").contains("BadRecordMac");
                    answers.send(if told { "alert" } else { "no alert" })?;
                    return Err(error);
                }
            }
        }
    });
    for connection in 1..=count {
        device.expect(PATIENCE, "connection broken: a record was changed on the way");
        let answer = heard.recv_timeout(PATIENCE).expect("an alert");
        assert_eq!(answer, "alert", "connection {connection}");
        assert_eq!(device.count("LED on"), 0, "connection {connection}");
    }
    for trace in ["dropped", "unexpected packet", "malformed", "no command"] {
        assert_eq!(device.count(trace), 0, "{trace}");
    }
    device.expect_led(Led::On);
    device.assert_sound();
}

/// What comes in one segment with the end of the handshake is not lost: here a packet that must
/// not come yet, so that the device says so.
#[test]
fn data_that_comes_with_the_finished_is_seen() {
    let mut stage = Stage::new();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls_with_early(config, &[0xD0, 0], Session::serve);
    stage.identity.endpoints.port = server.port();
    let mut device = stage.boot();
    device.expect(PATIENCE, "unexpected packet of type 13");
    device.assert_sound();
}

/// A stream that ends within a record is no orderly end.
#[test]
fn a_cut_record_is_told() {
    let mut stage = Stage::new();
    let (_server, mut device) = start(&mut stage, |session, _| {
        session.send_cut(&message(1, b"on"), 20)?;
        bail!("cut")
    });
    device.expect(PATIENCE, "the server closed the connection in the middle of it");
    assert_eq!(device.count("LED on"), 0);
    device.assert_sound();
}
