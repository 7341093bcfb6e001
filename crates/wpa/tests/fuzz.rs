//! Hostile frames: nothing panics, and what was not signed installs nothing.

mod common;

use common::{Authenticator, RSN, answer, connected, half_way, station};
use fuzz::Random;
use wpa::element::{Offer, Security, elements};
use wpa::{Install, Supplicant};

/// Bytes that mean something in a frame.
const TELLING: [u8; 12] = [0, 1, 2, 3, 8, 0x0A, 0x13, 0x30, 0x5F, 0xCA, 0xDD, 0xFF];

/// Changes bytes, cuts off or adds some.
fn scribble(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        match random.below(5) {
            0 => bytes.truncate(random.below(bytes.len() + 1)),
            1 => (0..random.below(40)).for_each(|_| bytes.push(random.byte())),
            _ if bytes.is_empty() => {}
            _ => {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }
        }
    }
}

/// An attacker who does not have the key, at each stage of a connection.
fn without_the_key(random: &mut Random) {
    let (mut station, mut ap): (Supplicant, Authenticator) = match random.below(3) {
        0 => (station(), Authenticator::new()),
        1 => half_way(),
        _ => connected(),
    };
    for _ in 0..16 {
        let original = match (random.below(4), ap.ptk) {
            (0, _) | (_, None) => ap.message_1(),
            (1, _) => ap.message_3(),
            (2, _) => ap.group_1(),
            _ => (0..random.below(300)).map(|_| random.byte()).collect(),
        };
        let mut frame = original.clone();
        scribble(random, &mut frame);
        // Padding of the link is not part of the frame.
        if frame.starts_with(&original) && !original.is_empty() {
            continue;
        }
        if answer(&mut station, &frame).is_ok() {
            let info = u16::from_be_bytes([frame[5], frame[6]]);
            assert_eq!(info & 0x1DCF, 0x008A, "only first messages need no key: {info:#06x}");
        }
        assert!(station.acknowledged() == Install::default(), "installed after {frame:02x?}");
    }
}

/// An access point that has the key and sends nonsense.
fn with_the_key(random: &mut Random) {
    let (mut station, mut ap) = if random.below(2) == 0 { half_way() } else { connected() };
    for _ in 0..8 {
        let mut data = [&RSN[..], &ap.group_key_data()].concat();
        scribble(random, &mut data);
        let mut frame =
            if random.below(2) == 0 { ap.message_3_with(&data) } else { ap.group_1_with(&data) };
        if random.below(4) == 0 {
            let at = random.below(frame.len());
            frame[at] = random.byte();
            if frame.len() > 97 {
                ap.sign(&mut frame);
            }
        }
        if answer(&mut station, &frame).is_ok() {
            let install = station.acknowledged();
            if let Some(group) = install.group {
                assert!((1..=3).contains(&group.index) && group.key().len() == 16);
            }
        }
    }
}

fn beacons(random: &mut Random) {
    for _ in 0..8 {
        let mut beacon = [&[0, 2, b'h', b'i'][..], &RSN].concat();
        scribble(random, &mut beacon);
        let _ = Security::of(random.below(2) == 0, &beacon);
        let _ = (Offer::rsn(&beacon), Offer::wpa(&beacon));
        let total: usize = elements(&beacon).flatten().map(|element| element.whole.len()).sum();
        assert!(total <= beacon.len());
    }
}

#[test]
fn hostile_frames() {
    let (inputs, random) = fuzz::begin(200_000);
    let mut random = random.with_telling(&TELLING);
    let mut done = 0;
    while done < inputs {
        without_the_key(&mut random);
        with_the_key(&mut random);
        beacons(&mut random);
        done += 16 + 8 + 8;
    }
}
