//! The other side is rustls, which made the handshake and gives the client's secrets away.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;

use common::{Log, Numbers, feed, record};
use records::{Content, OVERHEAD, PREFIX, Progress, Receiver, Sender, alert};
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite,
};

/// The bytes that the server has to send.
fn output(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives the server bytes and returns the plain text that came of them.
fn input(server: &mut ServerConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        server.process_new_packets().unwrap();
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = server.reader().read(&mut part) {
            plain.extend_from_slice(&part[..length]);
        }
    }
    plain
}

/// A handshake with one cipher suite, then the client's side as ours.
fn connect(suite: SupportedCipherSuite) -> (Sender, Receiver, ServerConnection) {
    let provider = Arc::new(rustls::crypto::CryptoProvider {
        cipher_suites: vec![suite],
        ..default_provider()
    });
    let issued = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = issued.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    client.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from("server.test").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        input(&mut server, &bytes);
        let bytes = output(&mut server);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let secrets = client.dangerous_extract_secrets().unwrap();
    let parts = |secret: ConnectionTrafficSecrets| match secret {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv } => {
            (key.as_ref().to_vec(), iv.as_ref()[..4].to_vec())
        }
        _ => panic!("not AES-GCM"),
    };
    let ((sent, ours), (received, theirs)) = (secrets.tx, secrets.rx);
    let ((our_key, our_salt), (their_key, their_salt)) = (parts(ours), parts(theirs));
    // As this crate's documentation says.
    assert_eq!((sent, received), (1, 1));
    let size = our_key.len();
    let block = [our_key, their_key, our_salt, their_salt].concat();
    let (sender, receiver) = common::client(&block, size, sent, received).unwrap();
    (sender, receiver, server)
}

const SUITES: [SupportedCipherSuite; 2] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
];

#[test]
fn both_directions_in_all_sizes() {
    for suite in SUITES {
        let (mut sender, mut receiver, mut server) = connect(suite);
        let (mut log, mut numbers) = (Log::default(), Numbers(5));
        for size in [1, 2, 15, 16, 17, 31, 100, 2047, 8087, 16_384, 16_385, 131_072] {
            let plain = numbers.bytes(size);
            // More than a record's worth is sent in full records.
            server.set_buffer_limit(None);
            server.writer().write_all(&plain).unwrap();
            let bytes = output(&mut server);
            let came = feed(&mut receiver, &mut log, &bytes, &[1460, 700, 1]).unwrap();
            assert_eq!(came, vec![Progress::Data; size.div_ceil(16_384)]);
            assert!(std::mem::take(&mut log.committed) == plain);

            let sent: Vec<u8> = plain
                .chunks(16_384)
                .flat_map(|part| record(&mut sender, Content::Data, part))
                .collect();
            assert!(input(&mut server, &sent) == plain);
        }
    }
}

#[test]
fn both_sides_close() {
    for suite in SUITES {
        let (mut sender, mut receiver, mut server) = connect(suite);
        server.send_close_notify();
        let bytes = output(&mut server);
        let mut log = Log::default();
        assert_eq!(feed(&mut receiver, &mut log, &bytes, &[64]), Ok(vec![Progress::Closed]));

        let close = sender.alert(alert::CLOSE_NOTIFY).unwrap();
        let mut bytes = &close[..];
        server.read_tls(&mut bytes).unwrap();
        assert!(server.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn rustls_refuses_what_is_changed_on_the_way() {
    let (mut sender, mut receiver, mut server) = connect(SUITES[0]);
    let mut buffer = [0; OVERHEAD + 4];
    buffer[PREFIX..PREFIX + 4].copy_from_slice(b"ping");
    sender.seal(Content::Data, &mut buffer).unwrap();
    buffer[PREFIX] ^= 1;
    server.read_tls(&mut &buffer[..]).unwrap();
    assert!(server.process_new_packets().is_err());
    // And says so.
    let bytes = output(&mut server);
    let error = feed(&mut receiver, &mut Log::default(), &bytes, &[64]).unwrap_err();
    assert_eq!(error, records::Error::Alert(alert::BAD_RECORD_MAC));
}
