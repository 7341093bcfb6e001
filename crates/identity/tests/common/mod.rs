//! Identities to test with. Certificates and keys only look like some from outside.

use identity::{Identity, Level, LogLevel, NtpServer, WifiKey, WifiNetwork};

/// A value of `SEQUENCE { SEQUENCE { filler } }`, `size` bytes long, as a certificate begins.
pub fn certificate(size: usize, filler: u8) -> Vec<u8> {
    let mut der = sequence(size);
    der.extend(sequence(size - der.len()));
    der.resize(size, filler);
    der
}

/// Tag and length of a `SEQUENCE` that takes `size` bytes with them.
fn sequence(size: usize) -> Vec<u8> {
    match size {
        0..=0x81 => vec![0x30, (size - 2) as u8],
        0x83..=0x102 => vec![0x30, 0x81, (size - 3) as u8],
        0x104.. => [&[0x30, 0x82][..], &(size as u16 - 4).to_be_bytes()].concat(),
        _ => panic!("no DER value takes {size} bytes"),
    }
}

/// A key as SEC 1 has it, without the optional parts.
pub fn sec1_key() -> Vec<u8> {
    let mut der = vec![0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20];
    der.extend([0x5A; 32]);
    der
}

/// The same in PKCS #8: version 0, id-ecPublicKey with secp256r1, the key.
pub fn pkcs8_key() -> Vec<u8> {
    let mut der = vec![0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13];
    der.extend([0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]);
    der.extend([0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]);
    der.extend([0x04, 0x27]);
    der.extend(sec1_key());
    der
}

/// What [`full`] and [`small`] borrow.
pub struct Material {
    pub device: Vec<u8>,
    pub intermediate: Vec<u8>,
    pub root: Vec<u8>,
    pub key: Vec<u8>,
}

impl Material {
    pub fn new() -> Self {
        Self {
            device: certificate(140, 1),
            intermediate: certificate(300, 2),
            root: certificate(128, 3),
            key: sec1_key(),
        }
    }
}

/// An identity with no more than it must have.
pub fn small(material: &Material) -> Identity<'_> {
    Identity::new("local-ats.iot.test", &material.device, &material.key)
}

/// An identity that has something in every field, and nothing that is a default.
pub fn full(material: &Material) -> Identity<'_> {
    Identity {
        port: 443,
        client_id: Some("Küche"),
        thing_name: Some("kitchen_1:a-b"),
        status_topic: "a/status",
        control_topic: "a/control",
        certificates: vec![&material.device, &material.intermediate],
        roots: vec![&material.root, &material.root],
        wifi: vec![
            WifiNetwork { ssid: b"caf\xE9", key: WifiKey::Passphrase("correct horse") },
            WifiNetwork { ssid: b"home", key: WifiKey::Pmk(b"SECRET and thirty-two bytes long") },
            WifiNetwork { ssid: b"open", key: WifiKey::None },
        ],
        own_ntp_servers: vec![
            NtpServer { host: "time.iot.test", port: 10123 },
            NtpServer { host: "10.0.2.2", port: 123 },
        ],
        dns_servers: vec!["10.0.2.2:5353".parse().unwrap(), "10.0.2.3:53".parse().unwrap()],
        keep_alive_s: 1200,
        backoff_cap_s: 300,
        clean_session: true,
        log_levels: vec![
            LogLevel { module: "*", level: Level::Warn },
            LogLevel { module: "mqtt", level: Level::Trace },
        ],
        update_keys: vec![&[0xA5; 64], &[0x5A; 64]],
        trial_s: 900,
        modem_sleep: true,
        ..small(material)
    }
}

/// A copy with the given version, additional header bytes, sequence number and body.
pub fn copy_with_header(version: u16, more: &[u8], sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut copy = b"EID1".to_vec();
    copy.extend(version.to_le_bytes());
    copy.extend((24 + more.len() as u16).to_le_bytes());
    copy.extend(sequence.to_le_bytes());
    copy.extend((body.len() as u32).to_le_bytes());
    copy.extend(crc32fast::hash(body).to_le_bytes());
    copy.extend(more);
    let crc = crc32fast::hash(&copy);
    copy.extend(crc.to_le_bytes());
    copy.extend(body);
    copy
}

/// One field of a body.
pub fn field(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut field = tag.to_le_bytes().to_vec();
    field.extend((value.len() as u16).to_le_bytes());
    field.extend(value);
    field.resize(field.len().next_multiple_of(4), 0);
    field
}

/// The body of a copy that [`Identity::encode_copy`] made.
pub fn body_of(copy: &[u8]) -> &[u8] {
    let length = u32::from_le_bytes(copy[12..16].try_into().unwrap());
    &copy[24..24 + length as usize]
}
