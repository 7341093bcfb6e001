//! Decoding survives any bytes, and what it takes is what the encoder would have made.

mod common;

use common::{Material, body_of, copy_with_header, field, full, pkcs8_key, small};
use fuzz::Random;
use identity::{
    COPY_SIZE, Error, Identity, MAX_CERTIFICATES, MAX_DNS_SERVERS, MAX_LOG_LEVELS, MAX_NTP_SERVERS,
    MAX_ROOTS, MAX_UPDATE_KEYS, MAX_WIFI_NETWORKS, REGION_SIZE, Stored, decode_copy,
};

/// Bytes that mean something in a region.
const TELLING: [u8; 16] =
    [0, 1, 2, 3, 4, 7, 0x20, b'.', b':', b'/', 0x30, 0x7F, 0x80, 0x82, 0xFE, 0xFF];

/// Changes bytes here and there, without regard to structure.
fn scribble(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.byte(),
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, random.byte()),
            _ => {
                let end = (at + random.below(16)).min(bytes.len());
                let fill = random.byte();
                bytes[at..end].fill(fill);
            }
        }
    }
}

/// Takes a body apart, changes, repeats, drops and adds fields, and puts it together again.
fn change_fields(random: &mut Random, body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut rest = body;
    while let [t0, t1, l0, l1, ..] = rest {
        let length = usize::from(u16::from_le_bytes([*l0, *l1]));
        let tag = u16::from_le_bytes([*t0, *t1]);
        fields.push((tag, rest[4..4 + length].to_vec()));
        rest = &rest[4 + length.next_multiple_of(4)..];
    }
    for _ in 0..=random.below(3) {
        let at = random.below(fields.len());
        match random.below(7) {
            0 => {
                if fields.len() > 1 {
                    fields.remove(at);
                }
            }
            1 => {
                let copy = fields[at].clone();
                let to = random.below(fields.len());
                fields.insert(to, copy);
            }
            2 => {
                let to = random.below(fields.len());
                fields.swap(at, to);
            }
            3 => fields[at].0 = random.below(22) as u16,
            4 => fields[at].1 = random.bytes(40),
            5 => {
                let tag = random.below(22) as u16;
                fields.insert(at, (tag, random.bytes(40)));
            }
            _ => scribble(random, &mut fields[at].1),
        }
    }
    let mut body: Vec<u8> = fields.iter().flat_map(|(tag, value)| field(*tag, value)).collect();
    if random.once_in(8) {
        // Lengths that do not fit, padding that is not zero.
        scribble(random, &mut body);
    }
    body
}

/// A copy that is right in more or less of its layers.
fn copy(random: &mut Random, bodies: &[Vec<u8>]) -> Vec<u8> {
    let body = &bodies[random.below(bodies.len())];
    let body = match random.below(8) {
        0 => body.clone(),
        1 => random.bytes(200),
        _ => change_fields(random, body),
    };
    let version = if random.once_in(16) { random.number() as u16 } else { 1 };
    let more = vec![random.byte(); random.below(64) & !3];
    let more = if random.once_in(8) { &*more } else { &[] };
    let sequence = if random.once_in(4) { random.number() as u32 } else { random.below(3) as u32 };
    let mut copy = copy_with_header(version, more, sequence, &body);
    match random.below(16) {
        0 => scribble(random, &mut copy),
        1 => {
            // A header that was changed and yet has its checksum.
            let at = random.below(20);
            copy[at] = random.byte();
            let length = usize::from(u16::from_le_bytes([copy[6], copy[7]]));
            if (24..=copy.len()).contains(&length) {
                let crc = crc32fast::hash(&copy[..length - 4]);
                copy[length - 4..length].copy_from_slice(&crc.to_le_bytes());
            }
        }
        2 => copy = random.bytes(300),
        _ => {}
    }
    copy
}

/// What holds of every identity that decoding gives.
fn check(random: &mut Random, identity: &Identity<'_>) {
    assert!(identity.certificates.len() <= MAX_CERTIFICATES);
    assert!(identity.roots.len() <= MAX_ROOTS);
    assert!(identity.wifi.len() <= MAX_WIFI_NETWORKS);
    assert!(identity.own_ntp_servers.len() <= MAX_NTP_SERVERS);
    assert!(identity.dns_servers.len() <= MAX_DNS_SERVERS);
    assert!(identity.log_levels.len() <= MAX_LOG_LEVELS);
    assert!(identity.update_keys.len() <= MAX_UPDATE_KEYS);
    // Now and then only: it takes longer than all the rest.
    if !random.once_in(16) {
        return;
    }
    let again = identity.encode_copy(1).expect("valid, and no longer");
    assert_eq!(decode_copy(&again).expect("just encoded"), *identity);
}

#[test]
fn decoding_survives_any_bytes() {
    let (inputs, random) = fuzz::begin(200_000);
    let mut random = random.with_telling(&TELLING);
    let material = Material::new();
    let pkcs8 = Material { key: pkcs8_key(), ..Material::new() };
    let bodies = [small(&material), small(&pkcs8), small(&material), full(&material)]
        .map(|identity| body_of(&identity.encode_copy(1).unwrap()).to_vec());

    let (mut taken, mut taken_regions, mut refused) = (0_u64, 0_u64, 0_u64);
    let mut region = vec![0xFF; REGION_SIZE];
    for _ in 0..inputs {
        if random.once_in(4) {
            let mut longest = 0;
            for offset in [0, COPY_SIZE] {
                let copy = copy(&mut random, &bodies);
                let length = copy.len().min(COPY_SIZE);
                longest = longest.max(length);
                region[offset..offset + length].copy_from_slice(&copy[..length]);
            }
            let read = Stored::read(&region);
            match read {
                Ok(stored) => {
                    check(&mut random, &stored.identity);
                    taken_regions += 1;
                }
                Err(error) => assert!(error.to_string().contains("; ")),
            }
            for offset in [0, COPY_SIZE] {
                region[offset..offset + longest].fill(0xFF);
            }
        } else {
            match decode_copy(&copy(&mut random, &bodies)) {
                Ok(identity) => {
                    check(&mut random, &identity);
                    taken += 1;
                }
                Err(error) => {
                    assert!(!matches!(error, Error::TooLarge { .. } | Error::RegionSize { .. }));
                    refused += 1;
                }
            }
        }
    }
    println!(
        "{inputs} inputs: {taken} copies and {taken_regions} regions taken, {refused} refused"
    );
    // The inputs reach both sides of every check only when neither outcome is rare.
    assert!(inputs < 1000 || (taken > inputs / 50 && refused > inputs / 50));
}
