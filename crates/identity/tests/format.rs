//! The format: round trips, damage of every kind, and what is said about it.

mod common;

use common::{Material, body_of, certificate, copy_with_header, field, full, pkcs8_key, small};
use identity::{
    COPY_SIZE, Damage, Error, Field, Identity, Level, LogLevel, NtpServer, REGION_SIZE, Stored,
    WifiKey, WifiNetwork, decode, decode_copy, next_write,
};

/// A copy with the given body and matching checksums.
fn copy_with_body(body: &[u8]) -> Vec<u8> {
    copy_with_header(1, &[], 1, body)
}

fn reason(error: &Error) -> (Field, &'static str) {
    match error {
        Error::Invalid { field, reason } => (*field, reason),
        other => panic!("{other:?}"),
    }
}

/// Encodes, which must fail because of `blamed`; a decoder must say the same, so it cannot be
/// talked into what the encoder refuses.
fn refused(identity: &Identity<'_>, blamed: Field) -> &'static str {
    let (field, reason) = reason(&identity.encode_copy(1).unwrap_err());
    assert_eq!(field, blamed, "{reason}");
    reason
}

/// The body of a small identity with one more field.
fn small_and(tag: u16, value: &[u8]) -> Vec<u8> {
    let material = Material::new();
    let copy = small(&material).encode_copy(1).unwrap();
    // The fields that must not be repeated are replaced.
    let mut body = Vec::new();
    let mut rest = body_of(&copy);
    while let [t0, t1, l0, l1, ..] = rest {
        let size = 4 + usize::from(u16::from_le_bytes([*l0, *l1])).next_multiple_of(4);
        if u16::from_le_bytes([*t0, *t1]) != tag {
            body.extend_from_slice(&rest[..size]);
        }
        rest = &rest[size..];
    }
    body.extend(field(tag, value));
    body
}

/// Decodes a small identity with one field added or replaced.
fn decode_small_and(tag: u16, value: &[u8]) -> Result<(), Error> {
    decode_copy(&copy_with_body(&small_and(tag, value))).map(drop)
}

#[test]
fn round_trip_of_every_field() {
    let material = Material::new();
    let identity = full(&material);
    let region = identity.encode_region().unwrap();
    assert_eq!(region.len(), REGION_SIZE);
    assert_eq!(decode(&region).unwrap(), identity);
    assert_eq!(identity.ntp_servers()[0].host, "time.iot.test");
}

#[test]
fn round_trip_of_defaults() {
    let material = Material::new();
    let region = small(&material).encode_region().unwrap();
    let identity = decode(&region).unwrap();
    assert_eq!(identity, small(&material));
    assert_eq!(identity.port, 8883);
    assert_eq!(identity.status_topic, "esp8266/status");
    assert_eq!(identity.control_topic, "esp8266/control");
    assert_eq!(identity.keep_alive_s, 60);
    assert_eq!(identity.backoff_cap_s, 60);
    assert!(!identity.clean_session);
    assert!(identity.update_keys.is_empty());
    assert_eq!(identity.trial_s, 300);
    assert!(!identity.modem_sleep);
    assert_eq!(identity.ntp_servers()[0].to_string(), "pool.ntp.org");
}

#[test]
fn what_is_left_out_has_its_default() {
    let material = Material::new();
    let body =
        [field(1, b"local-ats.iot.test"), field(7, &material.device), field(8, &material.key)]
            .concat();
    assert_eq!(decode_copy(&copy_with_body(&body)).unwrap(), small(&material));
}

#[test]
fn bytes_are_as_documented() {
    let material = Material::new();
    let identity = full(&material);
    let expected = [
        field(1, b"local-ats.iot.test"),
        field(2, &[0xBB, 0x01]),
        field(3, "Küche".as_bytes()),
        field(4, b"kitchen_1:a-b"),
        field(5, b"a/status"),
        field(6, b"a/control"),
        field(7, &material.device),
        field(7, &material.intermediate),
        field(8, &material.key),
        field(9, &material.root),
        field(9, &material.root),
        field(10, b"\x04caf\xE9\x0Dcorrect horse"),
        field(17, b"\x04homeSECRET and thirty-two bytes long"),
        field(10, b"\x04open\x00"),
        field(11, b"time.iot.test:10123"),
        field(11, b"10.0.2.2"),
        field(12, b"10.0.2.2:5353"),
        field(12, b"10.0.2.3"),
        field(13, &[0xB0, 0x04]),
        field(14, &[0x2C, 0x01]),
        field(15, &[1]),
        field(16, b"\x02*"),
        field(16, b"\x05mqtt"),
        field(18, &[0xA5; 64]),
        field(18, &[0x5A; 64]),
        field(19, &[0x84, 0x03]),
        field(20, &[1]),
    ]
    .concat();
    let mut copy = copy_with_header(1, &[], 0x0102_0304, &expected);
    copy.resize(COPY_SIZE, 0xFF);
    assert_eq!(identity.encode_copy(0x0102_0304).unwrap(), copy);
}

#[test]
fn pkcs8_key_is_taken() {
    let material = Material { key: pkcs8_key(), ..Material::new() };
    let copy = small(&material).encode_copy(1).unwrap();
    assert_eq!(decode_copy(&copy).unwrap().private_key, pkcs8_key());
}

#[test]
fn every_bit_flip_of_a_copy_is_detected() {
    let material = Material::new();
    let mut copy = full(&material).encode_copy(7).unwrap();
    let used = 24 + body_of(&copy).len();
    for bit in 0..used * 8 {
        copy[bit / 8] ^= 1 << (bit % 8);
        let error = decode_copy(&copy).unwrap_err();
        assert!(matches!(error, Error::Missing | Error::Damaged(_)), "bit {bit}: {error:?}");
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    // The rest of the copy is not used.
    copy[used..].fill(0);
    assert_eq!(decode_copy(&copy).unwrap(), full(&material));
}

#[test]
fn every_bit_flip_of_a_region_does_no_harm() {
    let material = Material::new();
    let mut region = small(&material).encode_region().unwrap();
    let used = 24 + body_of(&region).len();
    for bit in (0..used * 8).chain(COPY_SIZE * 8..(COPY_SIZE + used) * 8) {
        region[bit / 8] ^= 1 << (bit % 8);
        let stored = Stored::read(&region).unwrap();
        assert_eq!(stored.identity, small(&material), "bit {bit}");
        assert!(stored.other.is_some(), "bit {bit}");
        region[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_truncation_is_detected() {
    let material = Material::new();
    let copy = full(&material).encode_copy(7).unwrap();
    let used = 24 + body_of(&copy).len();
    for length in 0..used {
        let error = decode_copy(&copy[..length]).unwrap_err();
        let expected = match length {
            0..4 => Error::Missing,
            4..24 => Error::Damaged(Damage::HeaderLength),
            _ => Error::Damaged(Damage::BodyLength),
        };
        assert_eq!(error, expected, "{length} bytes");
    }
    assert!(decode_copy(&copy[..used]).is_ok());

    let region = full(&material).encode_region().unwrap();
    for length in 0..region.len() {
        assert_eq!(decode(&region[..length]).unwrap_err(), Error::RegionSize { length });
    }
}

#[test]
fn every_truncation_of_a_body_with_good_checksums_is_survived() {
    let material = Material::new();
    let copy = full(&material).encode_copy(7).unwrap();
    let body = body_of(&copy);
    for length in 0..body.len() {
        match decode_copy(&copy_with_body(&body[..length])) {
            // Whole fields that are not mandatory may be cut off.
            Ok(_) => assert!(length > 500 && length.is_multiple_of(4), "{length}"),
            Err(Error::Damaged(Damage::BodyLength)) => assert!(!length.is_multiple_of(4)),
            Err(Error::Damaged(Damage::FieldLength)) => assert!(length.is_multiple_of(4)),
            Err(Error::Invalid { .. }) => assert!(length.is_multiple_of(4)),
            Err(error) => panic!("{length}: {error:?}"),
        }
    }
}

#[test]
fn erased_zero_and_foreign_regions_are_told_apart() {
    assert_eq!(decode(&vec![0xFF; REGION_SIZE]).unwrap_err(), Error::Erased);
    assert_eq!(decode(&vec![0; REGION_SIZE]).unwrap_err(), Error::Missing);
    assert_eq!(decode(&vec![0x5A; REGION_SIZE]).unwrap_err(), Error::Missing);
}

#[test]
fn newer_version_is_refused_and_longer_header_is_not() {
    let material = Material::new();
    let copy = small(&material).encode_copy(1).unwrap();
    let body = body_of(&copy);
    assert_eq!(
        decode_copy(&copy_with_header(2, &[], 1, body)).unwrap_err(),
        Error::TooNew { version: 2 }
    );
    // A later version may use the header as it likes but for its length and checksum.
    assert_eq!(
        decode_copy(&copy_with_header(3, &[1; 8], 1, b"what?")).unwrap_err(),
        Error::TooNew { version: 3 }
    );
    for more in [4, 8, 232] {
        let longer = copy_with_header(1, &vec![1; more], 1, body);
        assert_eq!(decode_copy(&longer).unwrap(), small(&material));
    }
    for more in [1, 2, 3, 236] {
        assert_eq!(
            decode_copy(&copy_with_header(1, &vec![1; more], 1, body)).unwrap_err(),
            Error::Damaged(Damage::HeaderLength)
        );
    }
}

#[test]
fn unknown_tags_are_skipped() {
    let material = Material::new();
    let copy = small(&material).encode_copy(1).unwrap();
    for tag in [0, 21, 32, 33, 0x1234, 0xFFFF] {
        for size in [0, 1, 2, 3, 4, 5, 4000] {
            let unknown = field(tag, &vec![0xA5; size]);
            for body in
                [[&unknown, body_of(&copy)].concat(), [body_of(&copy), &unknown, &unknown].concat()]
            {
                assert_eq!(decode_copy(&copy_with_body(&body)).unwrap(), small(&material));
            }
        }
    }
}

#[test]
fn newer_copy_counts() {
    let material = Material::new();
    let old = small(&material);
    let new = full(&material);
    for (older, newer) in
        [(1, 2), (0, u32::MAX / 2), (u32::MAX, 0), (u32::MAX - 5, 5), (0x7FFF_FFFF, 0x8000_0000)]
    {
        let old = old.encode_copy(older).unwrap();
        let new_copy = new.encode_copy(newer).unwrap();
        for (region, copy) in [([&*old, &new_copy], 1), ([&*new_copy, &old], 0)] {
            let region = region.concat();
            let stored = Stored::read(&region).unwrap();
            assert_eq!((stored.copy, stored.sequence), (copy, newer));
            assert_eq!(stored.identity, new);
            assert_eq!(stored.other, None);
        }
    }
    // Equal: the first.
    let region = [old.encode_copy(3).unwrap(), new.encode_copy(3).unwrap()].concat();
    assert_eq!(decode(&region).unwrap(), old);
}

#[test]
fn other_copy_serves_when_the_newer_one_is_of_no_use() {
    let material = Material::new();
    let good = small(&material).encode_copy(1).unwrap();
    let whole = |mut copy: Vec<u8>| {
        copy.resize(COPY_SIZE, 0xFF);
        copy
    };
    let mut damaged = small(&material).encode_copy(2).unwrap();
    damaged[100] ^= 0x10;
    let bad = [
        (vec![0xFF; COPY_SIZE], Error::Erased),
        (vec![0; COPY_SIZE], Error::Missing),
        (damaged, Error::Damaged(Damage::BodyChecksum)),
        (whole(copy_with_header(2, &[], 2, b"")), Error::TooNew { version: 2 }),
        (
            whole(copy_with_header(1, &[], 2, &small_and(2, &[0, 0]))),
            Error::Invalid { field: Field::Port, reason: "must not be 0" },
        ),
    ];
    for (copy, error) in &bad {
        for (region, valid) in [([&good, copy], 0), ([copy, &good], 1)] {
            let region = region.map(|copy| &**copy).concat();
            let stored = Stored::read(&region).unwrap();
            assert_eq!((stored.copy, stored.sequence), (valid, 1));
            assert_eq!(stored.other, Some(*error));
        }
    }
    // Neither: the error that tells more, which is the later one in the list but for the last two.
    let order = [0, 1, 2, 4, 3];
    for (i, less) in order.iter().enumerate() {
        for more in &order[i..] {
            for pair in [[less, more], [more, less]] {
                let region = pair.map(|index| &*bad[*index].0).concat();
                assert_eq!(decode(&region).unwrap_err(), bad[*more].1);
            }
        }
    }
}

#[test]
fn power_cut_at_any_byte_of_an_update_leaves_an_identity() {
    let material = Material::new();
    let old = small(&material);
    let new = full(&material);
    let mut region = old.encode_region().unwrap();
    // Twice, so that both copies have their turn.
    for (from, to) in [(&old, &new), (&new, &old)] {
        let next = next_write(&region).unwrap();
        let copy = to.encode_copy(next.sequence).unwrap();
        let used = 24 + body_of(&copy).len();
        let mut at = |index: usize, byte: u8| {
            region[next.offset + index] = byte;
            decode(&region).map(|identity| identity == *to)
        };
        for index in 0..COPY_SIZE {
            assert_eq!(at(index, 0xFF), Ok(false), "erased up to {index}");
        }
        for (index, byte) in copy.iter().enumerate() {
            assert_eq!(
                at(index, *byte),
                // An 0xFF at the end is there before it is written.
                Ok(index + 1 >= used),
                "written up to {index}"
            );
        }
        assert_ne!(from, to);
        assert_eq!(decode(&region).unwrap(), *to);
    }
    assert_eq!(next_write(&region).unwrap().sequence, 4);
}

#[test]
fn next_write_of_a_region_without_identity_is_its_first_copy() {
    for byte in [0, 0xFF] {
        let next = next_write(&vec![byte; REGION_SIZE]).unwrap();
        assert_eq!((next.offset, next.sequence), (0, 1));
    }
    assert_eq!(next_write(&[]).unwrap_err(), Error::RegionSize { length: 0 });
}

#[test]
fn next_write_wraps() {
    let material = Material::new();
    let mut region = small(&material).encode_copy(u32::MAX).unwrap();
    region.resize(REGION_SIZE, 0xFF);
    let next = next_write(&region).unwrap();
    assert_eq!((next.offset, next.sequence), (COPY_SIZE, 0));
    region[COPY_SIZE..].copy_from_slice(&full(&material).encode_copy(0).unwrap());
    assert_eq!(decode(&region).unwrap(), full(&material));
}

#[test]
fn host_names() {
    let material = Material::new();
    let base = || small(&material);
    let label = "a".repeat(63);
    let longest = [&*label, &label, &label, &label[..61]].join(".");
    assert_eq!(longest.len(), 253);
    for good in [
        "a",
        "localhost",
        "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        "1.2.3.x4",
        "xn--bcher-kva.example",
        &longest,
    ] {
        Identity { endpoint: good, ..base() }.validate().unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    for bad in [
        "".to_owned(),
        format!("{longest}a"),
        "a".repeat(64),
        ".a".into(),
        "a.".into(),
        "a..b".into(),
        "-a".into(),
        "a-.b".into(),
        "a_b".into(),
        "a b".into(),
        "a\0".into(),
        "bücher.example".into(),
        "mqtts://a".into(),
        "a:8883".into(),
        "10.0.2.2".into(),
    ] {
        refused(&Identity { endpoint: &bad, ..base() }, Field::Endpoint);
    }
}

#[test]
fn client_ids_thing_names_and_topics() {
    let material = Material::new();
    let base = || small(&material);
    let text = "x".repeat(257);

    for good in ["x", &text[..128], "Küche 1"] {
        let client_id = Some(good);
        assert_eq!(Identity { client_id, ..base() }.validate(), Ok(()));
    }
    for bad in ["", &text[..129], "a\nb", "a\0"] {
        let client_id = Some(bad);
        refused(&Identity { client_id, ..base() }, Field::ClientId);
    }

    for good in ["x", &text[..128], "a:b_c-D9"] {
        let thing_name = Some(good);
        assert_eq!(Identity { thing_name, ..base() }.validate(), Ok(()));
    }
    for bad in ["", &text[..129], "a b", "a/b", "ü"] {
        let thing_name = Some(bad);
        refused(&Identity { thing_name, ..base() }, Field::ThingName);
    }

    for good in
        ["x", &text[..256], "1/2/3/4/5/6/7/8", "/a b/ü", "a/$b", "$aws/rules/r/1/2/3/4/5/6/7/8"]
    {
        let topics = Identity { status_topic: good, ..base() };
        assert_eq!(topics.validate(), Ok(()));
    }
    for bad in [
        "",
        &text,
        "1/2/3/4/5/6/7/8/",
        "a/+",
        "#",
        "a\u{85}",
        "a\0",
        "$x",
        "$SYS/a",
        "$aws",
        "$awsome/a",
        "$aws/rules/r/1/2/3/4/5/6/7/8/",
        "$aws/things/t/3/4/5/6/7/8",
    ] {
        refused(&Identity { status_topic: bad, ..base() }, Field::StatusTopic);
        refused(&Identity { control_topic: bad, ..base() }, Field::ControlTopic);
    }
    refused(&Identity { control_topic: "esp8266/status", ..base() }, Field::ControlTopic);
}

#[test]
fn credentials() {
    let material = Material::new();
    let base = || small(&material);
    let long = certificate(6145, 0);
    let short = certificate(127, 0);
    let mut trailing = certificate(200, 0);
    trailing.push(0);
    let mut cut = certificate(200, 0);
    cut.pop();
    let mut inner = certificate(200, 0);
    inner[3] = 0x31;
    let mut long_form = certificate(200, 0);
    long_form.splice(1..3, [0x82, 0, 197]);
    let pem = [b"-----BEGIN CERTIFICATE-----\n", &*vec![b'A'; 200]].concat();
    for bad in [&*long, &short, &trailing, &cut, &inner, &long_form, &pem, b""] {
        let certificates = vec![&*material.device, bad];
        refused(&Identity { certificates, ..base() }, Field::Certificate);
        let roots = vec![bad];
        refused(&Identity { roots, ..base() }, Field::Root);
    }
    let none = Identity { certificates: vec![], ..base() };
    assert_eq!(refused(&none, Field::Certificate), "is missing");
    let many = vec![&*material.device; 5];
    refused(&Identity { certificates: many.clone(), ..base() }, Field::Certificate);
    refused(&Identity { roots: many, ..base() }, Field::Root);

    let with_byte = |mut key: Vec<u8>, index: usize, byte: u8| {
        key[index] = byte;
        key
    };
    let sec1 = common::sec1_key;
    for bad in [
        vec![],
        sec1()[..38].to_vec(),
        [sec1(), vec![0]].concat(),
        with_byte(sec1(), 4, 2),
        with_byte(sec1(), 5, 0x30),
        with_byte(sec1(), 6, 0x21),
        // PKCS #8 with another algorithm: here, an RSA key.
        with_byte(pkcs8_key(), 12, 0xF7),
        // PKCS #1.
        [b"\x30\x42\x02\x01\x00\x02\x3D", &*vec![1; 61]].concat(),
        vec![0; 121],
        vec![0x30; 600],
    ] {
        refused(&Identity { private_key: &bad, ..base() }, Field::PrivateKey);
    }
}

/// What the device sends of them has 7 bytes, and 3 more for each (RFC 5246, 7.4.2).
#[test]
fn certificates_that_do_not_fit_into_a_handshake() {
    let material = Material::new();
    let chain =
        |sizes: &[usize]| sizes.iter().map(|size| certificate(*size, 0)).collect::<Vec<_>>();
    let with = |chain: &[Vec<u8>], judge: &dyn Fn(&Identity<'_>)| {
        let certificates = chain.iter().map(|der| &**der).collect();
        judge(&Identity { certificates, ..small(&material) });
    };
    let too_much = |identity: &Identity<'_>| {
        assert!(refused(identity, Field::Certificate).contains("at most 2038 bytes"));
        let fields = identity.certificates.iter().map(|der| field(7, der));
        let body = [field(1, b"a.b"), field(8, &material.key), fields.collect::<Vec<_>>().concat()];
        decode_copy(&copy_with_body(&body.concat())).unwrap_err();
    };
    for sizes in [&[2038][..], &[512, 1523], &[128, 300, 1604], &[500, 501, 502, 526]] {
        with(&chain(sizes), &|identity| assert_eq!(identity.validate(), Ok(())));
        for index in 0..sizes.len() {
            let mut more = sizes.to_vec();
            more[index] += 1;
            with(&chain(&more), &too_much);
        }
    }
    // Where mbedTLS's own check wraps.
    for first in 2035..=2041 {
        with(&chain(&[first, 1523]), &too_much);
    }
}

#[test]
fn network_settings() {
    let material = Material::new();
    let base = || small(&material);
    let text = "x".repeat(64);
    let wifi = |ssid, key| Identity { wifi: vec![WifiNetwork { ssid, key }], ..base() };
    let phrase = WifiKey::Passphrase;
    for (ssid, key) in [
        (&b"x"[..], WifiKey::None),
        (&[0; 32], phrase("12345678")),
        (b"\xFF", phrase(&text[..63])),
        (b"x", phrase("spaces ~!")),
        (b"x", WifiKey::Pmk(&[0; 32])),
    ] {
        assert_eq!(wifi(ssid, key).validate(), Ok(()));
    }
    for (ssid, key) in [
        (&b""[..], WifiKey::None),
        (&[0; 33], WifiKey::None),
        (b"", WifiKey::Pmk(&[0; 32])),
        (b"x", phrase("")),
        (b"x", phrase("1234567")),
        (b"x", phrase(&text)),
        (b"x", phrase("umläute!")),
        (b"x", phrase("tab\tinside")),
    ] {
        refused(&wifi(ssid, key), Field::Wifi);
    }
    let network = WifiNetwork { ssid: b"x", key: WifiKey::None };
    refused(&Identity { wifi: vec![network; 9], ..base() }, Field::Wifi);

    for good in ["a.b", "10.0.2.2", "a:1", "a:65535"] {
        let own_ntp_servers = vec![NtpServer::parse(good).unwrap()];
        let identity = Identity { own_ntp_servers, ..base() };
        assert_eq!(identity.validate(), Ok(()));
        assert_eq!(identity.own_ntp_servers[0].to_string(), good);
    }
    for bad in ["a:", "a:+1", "a:65536", "a:1:2", "a:x", ":"] {
        let error = NtpServer::parse(bad).unwrap_err();
        assert_eq!(reason(&error).0, Field::NtpServer);
    }
    let longest = [&*"a".repeat(63), &"a".repeat(63)].join(".");
    let named = |host| Identity { own_ntp_servers: vec![NtpServer { host, port: 1 }], ..base() };
    assert_eq!(named(&longest).validate(), Ok(()));
    let too_long = format!("a.{longest}");
    for (host, port) in [("", 1), ("a", 0), ("a b", 1), ("::1", 1), (&*too_long, 1)] {
        refused(
            &Identity { own_ntp_servers: vec![NtpServer { host, port }], ..base() },
            Field::NtpServer,
        );
    }
    refused(
        &Identity { own_ntp_servers: vec![NtpServer { host: "a", port: 1 }; 5], ..base() },
        Field::NtpServer,
    );

    for bad in ["0.0.0.0:53", "255.255.255.255:53", "224.0.0.1:53", "1.2.3.4:0"] {
        refused(&Identity { dns_servers: vec![bad.parse().unwrap()], ..base() }, Field::DnsServer);
    }
    refused(
        &Identity { dns_servers: vec!["1.2.3.4:53".parse().unwrap(); 5], ..base() },
        Field::DnsServer,
    );
}

#[test]
fn numbers_and_levels() {
    let material = Material::new();
    let base = || small(&material);
    refused(&Identity { port: 0, ..base() }, Field::Port);
    for keep_alive_s in [0, 29, 1201, u16::MAX] {
        refused(&Identity { keep_alive_s, ..base() }, Field::KeepAlive);
    }
    for backoff_cap_s in [0, 1, 3601] {
        refused(&Identity { backoff_cap_s, ..base() }, Field::BackoffCap);
    }
    for trial_s in [0, 59, 3601] {
        refused(&Identity { trial_s, ..base() }, Field::TrialTime);
    }
    refused(&Identity { update_keys: vec![&[1; 64]; 3], ..base() }, Field::UpdateKey);
    let text = "x".repeat(33);
    for module in ["", &text, "a b", "ü"] {
        let level = Level::Info;
        refused(
            &Identity { log_levels: vec![LogLevel { module, level }], ..base() },
            Field::LogLevel,
        );
    }
    let level = LogLevel { module: "*", level: Level::Off };
    refused(&Identity { log_levels: vec![level; 17], ..base() }, Field::LogLevel);
    assert_eq!(Identity { log_levels: vec![level; 16], ..base() }.validate(), Ok(()));
}

#[test]
fn decoder_refuses_values_that_the_encoder_cannot_make() {
    for (tag, value, field) in [
        (1, &b"\xFF"[..], Field::Endpoint),
        (2, &[1], Field::Port),
        (2, &[1, 2, 3], Field::Port),
        (3, b"\xC0\x80", Field::ClientId),
        (10, b"", Field::Wifi),
        (10, b"\x01", Field::Wifi),
        (10, b"\x01x", Field::Wifi),
        (10, b"\x01x\x01", Field::Wifi),
        (10, b"\x01x\x00y", Field::Wifi),
        (10, b"\x01x\x08\xFF2345678", Field::Wifi),
        (11, b"\xFF", Field::NtpServer),
        (11, b"a:b", Field::NtpServer),
        (12, b"dns.example", Field::DnsServer),
        (12, b"1.2.3", Field::DnsServer),
        (12, b"1.2.3.4:", Field::DnsServer),
        (12, b"1.2.3.4:+53", Field::DnsServer),
        (12, b"fe80::1", Field::DnsServer),
        (13, b"", Field::KeepAlive),
        (14, &[0; 4], Field::BackoffCap),
        (15, &[2], Field::CleanSession),
        (15, b"", Field::CleanSession),
        (15, &[0, 0], Field::CleanSession),
        (16, b"", Field::LogLevel),
        (16, b"\x06*", Field::LogLevel),
        (16, b"\x03\xFF", Field::LogLevel),
        (17, b"", Field::WifiKey),
        (17, b"\x01x", Field::WifiKey),
        (17, b"\x01x0123456789abcdef0123456789abcde", Field::WifiKey),
        (17, b"\x01x0123456789abcdef0123456789abcdefg", Field::WifiKey),
        (17, b"\x000123456789abcdef0123456789abcdef", Field::Wifi),
        (18, &[4; 63], Field::UpdateKey),
        (18, &[4; 65], Field::UpdateKey),
        (19, &[0; 4], Field::TrialTime),
        (20, &[2], Field::ModemSleep),
        (20, b"", Field::ModemSleep),
    ] {
        let error = decode_small_and(tag, value).unwrap_err();
        assert_eq!(reason(&error).0, field, "tag {tag} value {value:?}");
    }
    assert_eq!(decode_small_and(12, b"1.2.3.4:53"), Ok(()));
}

#[test]
fn repeated_and_missing_fields() {
    let material = Material::new();
    let copy = full(&material).encode_copy(1).unwrap();
    let body = body_of(&copy);
    for (tag, value) in
        [(1, &b"a.b"[..]), (2, &[1, 0]), (8, &material.key), (15, &[1]), (19, &[60, 0]), (20, &[0])]
    {
        let body = [body, &field(tag, value)].concat();
        let error = decode_copy(&copy_with_body(&body)).unwrap_err();
        assert_eq!(reason(&error).1, "occurs more than once");
    }
    for (tag, value) in [
        (7, &*material.device),
        (9, &material.root),
        (10, b"\x01x\x00"),
        (11, b"a"),
        (12, b"1.2.3.4"),
        (16, b"\x03*"),
        (18, &[4; 64]),
    ] {
        let body = [body, &field(tag, value).repeat(16)].concat();
        let error = decode_copy(&copy_with_body(&body)).unwrap_err();
        assert_eq!(reason(&error).1, "occurs too often");
    }
    let all = [
        (1, &b"a.b"[..], Field::Endpoint),
        (7, &material.device, Field::Certificate),
        (8, &material.key, Field::PrivateKey),
    ];
    for (without, _, blamed) in all {
        let present = all.iter().filter(|(tag, ..)| *tag != without);
        let body: Vec<_> = present.flat_map(|(tag, value, _)| field(*tag, value)).collect();
        let error = decode_copy(&copy_with_body(&body)).unwrap_err();
        assert_eq!(reason(&error), (blamed, "is missing"));
    }
}

#[test]
fn too_large_is_told_and_the_largest_fits() {
    let material = Material::new();
    let base = small(&material);
    let spare = COPY_SIZE - 24 - body_of(&base.encode_copy(1).unwrap()).len();
    let fits = certificate(4096, 0);
    let rest = certificate(spare - 4 - 4096 - 4, 0);
    let identity = Identity { roots: vec![&fits, &rest], ..base.clone() };
    let region = identity.encode_region().unwrap();
    assert_eq!(decode(&region).unwrap(), identity);
    let rest = certificate(spare - 4 - 4096 - 4 + 1, 0);
    let identity = Identity { roots: vec![&fits, &rest], ..base };
    assert_eq!(identity.encode_copy(1).unwrap_err(), Error::TooLarge { needed: COPY_SIZE + 4 });
}

#[test]
fn secrets_are_not_shown() {
    let material = Material {
        key: [b"\x30\x25\x02\x01\x01\x04\x20", &b"SECRETSECRETSECRETSECRETSECRET!!"[..]].concat(),
        ..Material::new()
    };
    let identity = full(&material);
    let stored = Stored { identity: identity.clone(), copy: 0, sequence: 1, other: None };
    for text in [
        format!("{identity:?}"),
        format!("{identity:#?}"),
        format!("{identity}"),
        format!("{stored:?}"),
        format!("{:?}", identity.wifi),
    ] {
        for secret in ["horse", "SECRET", "83, 69, 67", "53, 45, 43"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(format!("{identity:?}").contains("key: passphrase, hidden"));
    assert!(format!("{identity:?}").contains("key: none"));
    assert_eq!(
        identity.to_string(),
        "endpoint local-ats.iot.test:443, thing kitchen_1:a-b, client id Küche, \
         2 certificate(s), 2 own root(s), 3 Wi-Fi network(s)"
    );
}

#[test]
fn errors_say_what_to_do() {
    let errors = [
        Error::Erased,
        Error::Missing,
        Error::Damaged(Damage::HeaderLength),
        Error::Damaged(Damage::HeaderChecksum),
        Error::Damaged(Damage::BodyLength),
        Error::Damaged(Damage::BodyChecksum),
        Error::Damaged(Damage::FieldLength),
        Error::TooNew { version: 2 },
        decode_small_and(2, &[0, 0]).unwrap_err(),
        Error::TooLarge { needed: 9000 },
        Error::RegionSize { length: 1 },
    ];
    for (i, error) in errors.iter().enumerate() {
        let text = error.to_string();
        assert!(text.contains("`make identity`"), "{text}");
        assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        for other in &errors[..i] {
            assert_ne!(text, other.to_string());
        }
    }
    assert_eq!(
        errors[8].to_string(),
        "the identity's port must not be 0; \
         correct it, make it again by `make identity` and write it"
    );
}
