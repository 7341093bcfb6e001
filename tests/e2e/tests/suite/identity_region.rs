//! A device whose identity is missing or damaged says so once and waits quietly.

use std::time::Duration;

use certificates::LeafRequest;
use e2e::{Device, SOON, Stage};
use identity::{COPY_SIZE, REGION_SIZE};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use things::device_identity::Wifi;

/// Says `words`, then nothing; does nothing.
#[track_caller]
fn waits_quietly(region: Option<Vec<u8>>, words: &str) {
    let mut device = Device::boot(region);
    let line = device.expect(SOON, words);
    assert_eq!(line.level, 'E', "{line:?}");
    device.expect(SOON, "waiting; this device ");
    assert_quiet(&mut device);
    assert_eq!(device.count(words), 1);
}

/// Nothing on the console and no computing for a while: idle means that the CPU sleeps.
#[track_caller]
fn assert_quiet(device: &mut Device) {
    const WHILE: Duration = Duration::from_secs(3);
    let (lines, before) = (device.lines().len(), device.cpu_time());
    std::thread::sleep(WHILE);
    let used = device.cpu_time().saturating_sub(before);
    assert_eq!(device.lines().len(), lines, "it is not quiet");
    assert!(used < WHILE / 4, "it computes: {used:?} in {WHILE:?}");
    device.assert_sound();
}

/// A good region.
fn region() -> Vec<u8> {
    Stage::new().region()
}

/// Flips one bit of each copy in the middle of its body.
fn damage(region: &mut [u8], copies: &[usize]) {
    for copy in copies {
        region[copy * COPY_SIZE + 300] ^= 0x10;
    }
}

#[test]
fn erased() {
    waits_quietly(Some(vec![0xFF; REGION_SIZE]), "identity: the identity region is erased");
}

#[test]
fn zeros() {
    waits_quietly(None, "identity: there is no identity in the identity region");
}

#[test]
fn something_else() {
    let noise = (0..REGION_SIZE).map(|index| ((index * 7919) >> 3) as u8).collect();
    waits_quietly(Some(noise), "identity: there is no identity in the identity region");
}

#[test]
fn both_copies_damaged() {
    let mut region = region();
    damage(&mut region, &[0, 1]);
    waits_quietly(
        Some(region),
        "identity: the identity region is damaged (body checksum does not match)",
    );
}

#[test]
fn written_half() {
    let mut region = region();
    region[400..].fill(0xFF);
    waits_quietly(Some(region), "identity: the identity region is damaged");
}

#[test]
fn one_copy_damaged_works_with_a_warning() {
    for copy in [0, 1] {
        let stage = Stage::new();
        let mut region = stage.region();
        damage(&mut region, &[copy]);
        let mut device = Device::boot(Some(region));
        let line = device.expect(SOON, "one of its two copies cannot be used");
        assert_eq!(line.level, 'W', "{line:?}");
        device.expect_connected();
        device.assert_sound();
    }
}

/// The format is version 1 and must be refused from version 2 on, with valid checksums.
#[test]
fn too_new() {
    let mut region = region();
    for copy in region.chunks_exact_mut(COPY_SIZE) {
        copy[4] = 2;
        let checksum = crc32fast::hash(&copy[..20]).to_le_bytes();
        copy[20..24].copy_from_slice(&checksum);
    }
    waits_quietly(Some(region), "identity: the identity has format version 2");
}

/// Checksums are good and the key is one, but not this certificate's.
#[test]
fn key_of_another_certificate() {
    let mut stage = Stage::new();
    let other = stage.cloud.pki.clients.issue(&LeafRequest::client("other")).unwrap();
    stage.identity.credential.key = other.key;
    waits_quietly(Some(stage.region()), "the private key in the identity cannot be read or does");
}

#[test]
fn key_that_is_none() {
    let mut stage = Stage::new();
    let mut der = stage.identity.credential.key.secret_der().to_vec();
    // Inside: the shape stays that of a key.
    let middle = der.len() / 2;
    der[middle - 30..middle + 30].fill(0);
    stage.identity.credential.key = PrivatePkcs8KeyDer::from(der).into();
    waits_quietly(Some(stage.region()), "the private key in the identity cannot be read or does");
}

#[test]
fn certificate_that_is_none() {
    let mut stage = Stage::new();
    let mut der = stage.identity.credential.chain[0].to_vec();
    der[20..80].fill(0);
    stage.identity.credential.chain[0] = CertificateDer::from(der);
    waits_quietly(Some(stage.region()), "in the identity cannot be read: make the identity again");
}

/// It is the one that is needed.
#[test]
fn root_that_is_none() {
    let mut stage = Stage::new();
    let mut der = stage.identity.roots[0].to_vec();
    der[20..80].fill(0);
    stage.identity.roots[0] = CertificateDer::from(der);
    let mut device = stage.boot();
    let line = device.expect(SOON, "certificate 2 (roots first) in the identity cannot be read");
    assert_eq!(line.level, 'W', "{line:?}");
    device.expect(SOON, "is not signed by a root that this device trusts");
    device.assert_sound();
}

#[test]
fn nothing_secret_is_logged() {
    let mut stage = Stage::new();
    stage.identity.log_levels = vec![("*".to_owned(), identity::Level::Trace)];
    stage.identity.wifi = vec![Wifi::new("home".to_owned(), "correct horse battery".to_owned())];
    let relay = stage.relay();
    let mut device = stage.boot();
    device.expect_connected();
    device.expect(SOON, "published ");
    // Nor when something fails.
    drop(relay);
    device.expect(SOON, "connect failed: ");
    device.assert_sound();
}
