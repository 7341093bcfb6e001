//! Servers that are not the one that the device was made for. It must say what is wrong, never
//! connect, stay alive, and connect as soon as the right server is there.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use board::status::Led;
use certificates::{Authority, Credential, KeyKind, LeafRequest, Purpose, Validity};
use cloud::pki::{Pki, SERVER_NAME};
use e2e::server::{Server, stay_silent, tls_config, tls_config_for, trickle};
use e2e::{Device, Relay, SOON, Stage};
use process::programs::{self, Owned};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// For the device's 20 s for a handshake and 30 s for a connection.
const PATIENCE: Duration = Duration::from_secs(90);

/// The broker shows `credential`; the device must say `words` about it, twice.
#[track_caller]
fn refuses(credential: impl FnOnce(&Pki) -> Result<Credential>, words: &str) {
    let mut stage = Stage::with(|pki, options| {
        options.server = credential(pki)?;
        Ok(())
    });
    let mut device = stage.boot();
    for _ in 0..2 {
        device.expect(SOON, &format!("connect failed: TLS: {words}"));
        device.expect_delay();
    }
    assert_eq!(device.count("connected to "), 0);
    let good = stage.cloud.pki.server.clone();
    stage.cloud.broker.restart_with(&good).unwrap();
    device.expect_connected();
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

fn server_certificate(change: impl FnOnce(&mut LeafRequest)) -> LeafRequest {
    let mut request = LeafRequest::server(&[SERVER_NAME]);
    change(&mut request);
    request
}

#[test]
fn certificate_of_an_unknown_authority() {
    refuses(
        |_| {
            let root = Authority::root("Other root", KeyKind::P256, Validity::for_days(30))?;
            root.intermediate("Local IoT server authority", KeyKind::P256, Validity::for_days(30))?
                .issue(&server_certificate(|_| {}))
        },
        "the server's certificate is not signed by a root that this device trusts",
    );
}

/// The same names all over, another key.
#[test]
fn certificate_of_an_authority_of_the_same_name() {
    refuses(
        |_| {
            Authority::root("Local IoT root", KeyKind::P256, Validity::for_days(30))?
                .issue(&server_certificate(|_| {}))
        },
        "the server's certificate is not signed by a root that this device trusts",
    );
}

/// Devices' certificates come from an authority that only the broker trusts.
#[test]
fn certificate_of_another_device() {
    refuses(
        |pki| pki.clients.issue(&server_certificate(|request| request.purpose = Purpose::Client)),
        "the server's certificate is not signed by a root that this device trusts",
    );
}

#[test]
fn certificate_for_another_purpose() {
    refuses(
        |pki| {
            let request = server_certificate(|request| request.purpose = Purpose::Client);
            pki.intermediate.issue(&request)
        },
        "the server's certificate is not ",
    );
}

#[test]
fn certificate_for_another_host() {
    refuses(
        |pki| pki.intermediate.issue(&LeafRequest::server(&["other-ats.iot.test"])),
        "the server's certificate is for another host name",
    );
}

#[test]
fn certificate_expired() {
    refuses(
        |pki| {
            let request = server_certificate(|request| request.validity = Validity::expired());
            pki.intermediate.issue(&request)
        },
        "the server's certificate has expired",
    );
}

#[test]
fn certificate_not_yet_valid() {
    refuses(
        |pki| {
            let request = server_certificate(|request| request.validity = Validity::not_yet());
            pki.intermediate.issue(&request)
        },
        "the server's certificate is not valid yet",
    );
}

#[test]
fn intermediate_is_missing() {
    refuses(
        |pki| {
            let mut credential = pki.server.clone();
            credential.chain.truncate(1);
            Ok(credential)
        },
        "the server's certificate is not signed by a root that this device trusts",
    );
}

/// A stage whose device meets `port` first.
fn misled(port: u16) -> (Stage, Relay, Device) {
    let mut stage = Stage::new();
    let relay = stage.relay();
    relay.set_target(port);
    let device = stage.boot();
    (stage, relay, device)
}

/// The right server is there now.
#[track_caller]
fn recovers(stage: &Stage, relay: &Relay, device: &mut Device) {
    assert_eq!(device.count("connected to "), 0);
    relay.set_target(stage.cloud.broker.device_port());
    device.expect_connected_within(PATIENCE);
    stage.watch().switch(device, Led::On);
    let delays = device.delays();
    assert!(delays.iter().all(|delay| (1_000..=2_000).contains(delay)), "{delays:?}");
    device.assert_sound();
}

/// OpenSSL as a server of TLS 1.1: the policy level that allows it must be asked for.
#[test]
fn server_of_tls_1_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new();
    let (chain, key) = stage.cloud.pki.server.save(folder.path(), "server").unwrap();
    let mut server = Owned::spawn(
        Command::new(programs::find("openssl", "openssl").unwrap())
            .args(["s_server", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-www"])
            .args(["-accept", "127.0.0.1:0", "-cert"])
            .arg(&chain)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )
    .unwrap();
    let port = openssl_port(&mut server).unwrap();
    let relay = stage.relay();
    relay.set_target(port);
    let mut device = stage.boot();
    for _ in 0..2 {
        // All that the device offers are suites of TLS 1.2.
        device.expect(SOON, "connect failed: TLS: the server ended the handshake with alert 40: no common cipher, TLS version or key type");
    }
    recovers(&stage, &relay, &mut device);
}

/// OpenSSL says where it listens: `ACCEPT 127.0.0.1:12345`.
fn openssl_port(server: &mut Owned) -> Result<u16> {
    let output = server.child().stdout.take().context("no output")?;
    for line in BufReader::new(output).lines() {
        if let Some(port) = line?.strip_prefix("ACCEPT ").and_then(|line| line.rsplit(':').next()) {
            return Ok(port.parse()?);
        }
    }
    anyhow::bail!("openssl does not say where it listens")
}

/// One that chooses TLS 1.1 though it was offered 1.2 alone.
#[test]
fn server_that_chooses_tls_1_1() {
    let server = Server::start(|mut stream: TcpStream| {
        // A ServerHello of version 3.2 (RFC 4346): no session, suite C0 09, no compression.
        let mut hello = vec![2, 0, 0, 38, 3, 2];
        hello.extend([7; 32]);
        hello.extend([0, 0xC0, 0x09, 0]);
        let mut record = vec![22, 3, 2, 0, u8::try_from(hello.len())?];
        record.extend(hello);
        stream.write_all(&record)?;
        stay_silent(stream)
    });
    let (stage, relay, mut device) = misled(server.port());
    for _ in 0..2 {
        device.expect(
            SOON,
            "connect failed: TLS: handshake failed: the server does not speak TLS 1.2",
        );
    }
    recovers(&stage, &relay, &mut device);
}

#[test]
fn server_that_never_answers() {
    let server = Server::start(stay_silent);
    let (stage, relay, mut device) = misled(server.port());
    device.expect(PATIENCE, "connect failed: TLS: the server did not answer in time");
    recovers(&stage, &relay, &mut device);
}

/// Each byte is in time; the handshake as a whole is not.
#[test]
fn server_that_sends_one_byte_a_second() {
    let server = Server::start(|stream| {
        // A handshake record of 4 KB, and in it a ServerHello.
        let start = [22, 3, 3, 16, 0, 2, 0, 15, 252];
        trickle(stream, start.into_iter().chain(std::iter::repeat_n(0, 60)))
    });
    let (stage, relay, mut device) = misled(server.port());
    let line = device.expect(PATIENCE, "connect failed: TLS: the server did not answer in time");
    assert!(line.ms < 30_000, "given up after {} ms", line.ms);
    recovers(&stage, &relay, &mut device);
}

/// Answers each connection with the next of `answers` and has nothing more to say.
fn answering(answers: Vec<Vec<u8>>) -> Server {
    let next = AtomicUsize::new(0);
    Server::start(move |mut stream| {
        let index = next.fetch_add(1, Ordering::Relaxed) % answers.len();
        stream.write_all(&answers[index])?;
        stream.shutdown(Shutdown::Write)?;
        stay_silent(stream)
    })
}

#[test]
fn server_that_does_not_speak_tls() {
    let mut noise = 0x2545_F491_u32;
    let random = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise.to_le_bytes()[0]
    });
    let answers = vec![
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        vec![0; 4096],
        vec![0xFF; 4096],
        random.take(8192).collect(),
    ];
    let count = answers.len();
    let server = answering(answers);
    let (stage, relay, mut device) = misled(server.port());
    for _ in 0..count {
        device.expect(
            SOON,
            "connect failed: TLS: handshake failed: the server sent a record that is not TLS",
        );
    }
    recovers(&stage, &relay, &mut device);
}

/// Records that TLS allows and no server sends.
#[test]
fn server_that_sends_broken_handshakes() {
    let record = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3], &length[..], body].concat()
    };
    let answers = vec![
        // Empty; longer than the buffer; a ServerHello that ends early; one that claims 16 MB; a
        // Certificate before any ServerHello; application data; a ChangeCipherSpec; an unknown
        // alert.
        record(22, &[]),
        record(22, &[0x55; 8000]),
        record(22, &[2, 0, 0, 4, 3, 3, 0, 0]),
        record(22, &[2, 0xFF, 0xFF, 0xFF, 3, 3]),
        record(22, &[11, 0, 0, 3, 0, 0, 0]),
        record(23, &[1, 2, 3, 4]),
        record(20, &[1]),
        record(21, &[2, 200]),
    ];
    let count = answers.len();
    let server = answering(answers);
    let (stage, relay, mut device) = misled(server.port());
    for _ in 0..count {
        device.expect(PATIENCE, "connect failed: TLS: ");
    }
    recovers(&stage, &relay, &mut device);
}

/// Larger than the receive buffer, in one record.
#[test]
fn flight_larger_than_the_buffer() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let mut request = LeafRequest::server(&[SERVER_NAME]);
    request.padding = 9_000;
    let credential = stage.cloud.pki.intermediate.issue(&request).unwrap();
    let server = Server::tls(tls_config(&stage.cloud.pki, &credential), |_| Ok(()));
    relay.set_target(server.port());
    let mut device = stage.boot();
    for _ in 0..2 {
        device.expect(SOON, "connect failed: TLS: handshake failed: the server sent a record that is not TLS or too large");
    }
    recovers(&stage, &relay, &mut device);
}

#[test]
fn server_that_does_not_know_the_device() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let other =
        Authority::root("Other client authority", KeyKind::P256, Validity::for_days(30)).unwrap();
    let config = tls_config_for(other.certificate(), &stage.cloud.pki.server);
    let server = Server::tls(config, |_| Ok(()));
    relay.set_target(server.port());
    let mut device = stage.boot();
    device.expect(SOON, "it does not know the issuer of this device's certificate");
    recovers(&stage, &relay, &mut device);
}

/// TLS is set up, then nothing.
#[test]
fn server_that_never_sends_connack() {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls(config, |session| {
        loop {
            session.receive()?;
        }
    });
    relay.set_target(server.port());
    let mut device = stage.boot_skipping_sleep();
    device.expect(PATIENCE, "connect failed: the server did not answer in time");
    recovers(&stage, &relay, &mut device);
}

/// What a broken server may send after CONNACK. Whether the device ends the connection or
/// ignores the packet is its choice; what counts is that it lives.
#[test]
fn server_that_sends_broken_packets() {
    let packets: Vec<Vec<u8>> = vec![
        // A length of more than four bytes.
        vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        // Reserved packet types.
        vec![0x00, 0x00],
        vec![0xF0, 0x00],
        // PUBLISH: empty, half a topic length, a topic longer than the packet, no topic at all,
        // no packet id, QoS 3, a topic with NUL, one that is not UTF-8.
        vec![0x30, 0x00],
        vec![0x30, 0x01, 0x00],
        vec![0x30, 0x05, 0xFF, 0xFF, b'a', b'b', b'c'],
        vec![0x30, 0x02, 0x00, 0x00],
        vec![0x32, 0x05, 0x00, 0x03, b'a', b'b', b'c'],
        vec![0x36, 0x07, 0x00, 0x01, b'a', 0x00, 0x07, b'o', b'n'],
        vec![0x30, 0x07, 0x00, 0x03, b'a', 0x00, b'c', b'o', b'n'],
        vec![0x30, 0x07, 0x00, 0x03, 0xC3, 0x28, 0xFF, b'o', b'n'],
        // PUBLISH at QoS 2, which no AWS server sends, and PUBREL for nothing.
        vec![0x34, 0x07, 0x00, 0x01, b'a', 0x00, 0x09, b'o', b'n'],
        vec![0x62, 0x02, 0x12, 0x34],
        // PUBACK for nothing, too short a one, SUBACK and UNSUBACK for nothing.
        vec![0x40, 0x02, 0x12, 0x34],
        vec![0x40, 0x00],
        vec![0x90, 0x03, 0x12, 0x34, 0x01],
        vec![0x90, 0x00],
        vec![0xB0, 0x02, 0x12, 0x34],
        // A second CONNACK, an unasked PINGRESP, packets that only clients send.
        vec![0x20, 0x02, 0x00, 0x05],
        vec![0xD0, 0x00],
        vec![0x10, 0x02, 0x00, 0x00],
        vec![0xC0, 0x00],
        vec![0xE0, 0x00],
        // More than is ever kept: of a PUBLISH and of another kind.
        [&[0x90, 0xFF, 0x7F][..], &[0; 64]].concat(),
        [&[0x30, 0xFF, 0x7F][..], &[0; 64]].concat(),
    ];
    let count = packets.len();
    let mut stage = Stage::new();
    let relay = stage.relay();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let next = AtomicUsize::new(0);
    let served = Arc::new(AtomicUsize::new(0));
    let done = Arc::clone(&served);
    let server = Server::tls(config, move |session| {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let packet = packets.get(index).context("no more")?;
        session.welcome(0)?;
        session.serve_until_subscribed(1)?;
        session.send(packet)?;
        // The first status, if it still comes, shows that the packet was read.
        let _ = session.receive();
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    relay.set_target(server.port());
    let mut device = stage.boot_skipping_sleep();
    for _ in 0..count {
        device.expect(SOON, "connected to ");
        device.expect_delay();
    }
    assert!(served.load(Ordering::Relaxed) >= count);
    // What the server must not send ends the connection by name.
    assert!(device.count("mqtt: unexpected packet of type 11: closing") >= 1);
    relay.set_target(stage.cloud.broker.device_port());
    device.expect(PATIENCE, "subscribed to ");
    let mut watcher = stage.watch();
    watcher.switch(&mut device, Led::On);
    device.assert_sound();
}

/// A certificate on P-384, signed by itself, and its key, both as DER.
fn stranger(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let folder = process::scratch::folder().unwrap();
    let file = |name: &str| folder.path().join(name);
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"])
        .args(["-nodes", "-outform", "DER", "-subj", &format!("/CN={name}"), "-days", "30"])
        .arg("-addext")
        .arg(format!("subjectAltName=DNS:{name}"))
        .arg("-out")
        .arg(file("certificate"))
        .arg("-keyout")
        .arg(file("key.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = std::fs::read(file("certificate")).unwrap().into();
    (certificate, PrivateKeyDer::from_pem_file(file("key.pem")).unwrap())
}

/// What the chain can do without is not looked at.
#[test]
fn unneeded_certificate_of_another_curve() {
    let stage = Stage::with(|_, options| {
        options.server.chain.insert(1, stranger("Stranger").0);
        Ok(())
    });
    let mut device = stage.boot();
    device.expect_connected();
    device.assert_sound();
}

/// Of a further root, which is left out, and of who issued the device's certificate, which is sent as
/// it is.
#[test]
fn unneeded_certificates_of_another_curve_in_the_identity() {
    let mut stage = Stage::new();
    stage.identity.roots.insert(0, stranger("Root").0);
    stage.identity.credential.chain.push(stranger("Maker").0);
    let mut device = stage.boot();
    let line = device.expect(SOON, "certificate 2 (roots first) in the identity cannot be read");
    assert_eq!(line.level, 'W', "{line:?}");
    device.expect_connected();
    assert_eq!(device.count("cannot be read"), 1);
    device.assert_sound();
}

#[test]
fn certificate_of_another_curve() {
    let mut stage = Stage::new();
    let (certificate, key) = stranger(SERVER_NAME);
    let credential = Credential { chain: vec![certificate], key };
    let config = tls_config(&stage.cloud.pki, &credential);
    let server = Server::tls(config, |session| session.serve());
    stage.identity.endpoints.port = server.port();
    let mut device = stage.boot();
    device.expect(SOON, "a key on an elliptic curve other than P-256, which this device does not");
    device.assert_sound();
}
