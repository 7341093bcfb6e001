//! Messages that an attacker sends, or an access point that is out of its mind.

mod common;

use common::{
    Authenticator, RSN, answer, answer_fresh, connected, half_way, station, station_with,
};
use wpa::{Install, Refused};

fn nothing_to_install(station: &mut wpa::Supplicant) {
    assert!(station.acknowledged() == Install::default());
}

#[test]
fn each_bit_of_the_third_message_counts() {
    let third = half_way().1.message_3();
    for bit in 0..third.len() * 8 {
        let (mut station, mut twin) = half_way();
        let mut forged = third.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        // The version of 802.1X is signed like everything else.
        answer(&mut station, &forged).unwrap_err();
        nothing_to_install(&mut station);
        // And it has done no harm.
        answer(&mut station, &twin.message_3()).unwrap();
        assert!(station.acknowledged().complete);
    }
}

#[test]
fn replayed_messages() {
    let (mut station, mut ap) = half_way();
    let third = ap.message_3();
    answer(&mut station, &third).unwrap();
    station.acknowledged();
    assert_eq!(answer(&mut station, &third), Err(Refused::Replay));
    let group = ap.group_1();
    answer(&mut station, &group).unwrap();
    assert_eq!(answer(&mut station, &group), Err(Refused::Replay));
    let mut old = Authenticator::new();
    assert_eq!(answer(&mut station, &old.message_1()), Err(Refused::Replay));
    nothing_to_install(&mut station);
}

/// KRACK: the access point, or somebody who held its message back, sends the third message
/// again under a new counter.
#[test]
fn installed_keys_are_not_installed_again() {
    let (mut station, mut ap) = connected();
    for _ in 0..3 {
        let fourth = answer(&mut station, &ap.message_3()).unwrap();
        ap.take_message_4(&fourth);
        nothing_to_install(&mut station);
        let reply = answer(&mut station, &ap.group_1()).unwrap();
        ap.take_group_2(&reply);
        nothing_to_install(&mut station);
    }
    // Nor by going to another group key and back: the old one is still installed.
    let first = (ap.gtk_index, ap.gtk.clone());
    (ap.gtk_index, ap.gtk) = (2, vec![0x22; 16]);
    answer(&mut station, &ap.group_1()).unwrap();
    assert!(station.acknowledged().group.is_some());
    (ap.gtk_index, ap.gtk) = first;
    answer(&mut station, &ap.group_1()).unwrap();
    nothing_to_install(&mut station);
}

#[test]
fn a_forged_first_message_does_not_stop_the_handshake() {
    let (mut station, mut ap) = half_way();
    let mut forger = Authenticator::new();
    forger.anonce = [0xEE; 32];
    forger.replay = 1000;
    answer_fresh(&mut station, &forger.message_1(), [0x99; 32]).unwrap();
    let fourth = answer(&mut station, &ap.message_3()).unwrap();
    ap.take_message_4(&fourth);
    assert_eq!(station.acknowledged().pairwise.unwrap()[..], ap.ptk.unwrap()[32..]);
}

#[test]
fn an_access_point_without_the_key() {
    let (mut station, mut ap) = half_way();
    ap.ptk = Some([0; 48]);
    assert_eq!(answer(&mut station, &ap.message_3()), Err(Refused::Mic));
    nothing_to_install(&mut station);
}

#[test]
fn messages_out_of_turn() {
    let (_, mut ap) = half_way();
    assert_eq!(answer(&mut station(), &ap.message_3()), Err(Refused::OutOfTurn));
    let (mut half, mut ap) = half_way();
    assert_eq!(answer(&mut half, &ap.group_1()), Err(Refused::OutOfTurn));
    // Keys that are not installed yet do not change it.
    answer(&mut half, &ap.message_3()).unwrap();
    assert_eq!(answer(&mut half, &ap.group_1()), Err(Refused::OutOfTurn));
}

#[test]
fn a_changed_rsn_element() {
    let mut weaker = RSN;
    weaker[13] = 2; // TKIP in the beacon: what an attacker made of it
    let (mut station, mut ap) = (station_with(4, Some(&weaker)), Authenticator::new());
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    assert_eq!(answer(&mut station, &ap.message_3()), Err(Refused::RsnChanged));
    // Capabilities too.
    let mut other = RSN;
    other[20] = 0;
    let (mut station, mut ap) = (station_with(4, Some(&other)), Authenticator::new());
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    assert_eq!(answer(&mut station, &ap.message_3()), Err(Refused::RsnChanged));
    nothing_to_install(&mut station);

    // None at all.
    let (mut station, mut ap) = half_way();
    let data = ap.group_key_data();
    assert_eq!(answer(&mut station, &ap.message_3_with(&data)), Err(Refused::RsnChanged));

    // A station that never saw a beacon holds it to what it asked for.
    let (mut station, mut ap) = (station_with(4, None), Authenticator::new());
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    ap.rsn[7] = 2;
    assert_eq!(answer(&mut station, &ap.message_3()), Err(Refused::RsnChanged));
    ap.rsn[7] = 4;
    answer(&mut station, &ap.message_3()).unwrap();
}

#[test]
fn malformed_key_data() {
    let gtk = Authenticator::new().group_key_data();
    let with = |parts: &[&[u8]]| parts.concat();
    for (name, data, expected) in [
        ("the RSN element twice", with(&[&RSN, &RSN, &gtk]), Refused::KeyData),
        ("the group key twice", with(&[&RSN, &gtk, &gtk]), Refused::KeyData),
        (
            "an element that is longer than the rest",
            with(&[&RSN, &gtk, &[7, 9, 1, 2]]),
            Refused::KeyData,
        ),
        (
            "padding of ones",
            with(&[&RSN, &gtk, &[0xDD, 0, 1, 1, 1, 1, 1, 1, 1, 1]]),
            Refused::KeyData,
        ),
        ("much padding", with(&[&RSN, &gtk, &[0xDD, 0], &[0; 16]]), Refused::KeyData),
        ("no group key", RSN.to_vec(), Refused::GroupKey),
        ("no bytes in it", with(&[&RSN, &[0xDD, 4, 0, 0x0F, 0xAC, 1]]), Refused::GroupKey),
        (
            "a group key of index 0",
            with(&[&RSN, &[0xDD, 22, 0, 0x0F, 0xAC, 1, 0, 0], &[1; 16]]),
            Refused::GroupKey,
        ),
        (
            "a short group key",
            with(&[&RSN, &[0xDD, 21, 0, 0x0F, 0xAC, 1, 1, 0], &[1; 15]]),
            Refused::GroupKey,
        ),
        (
            "a long group key",
            with(&[&RSN, &[0xDD, 38, 0, 0x0F, 0xAC, 1, 1, 0], &[1; 32]]),
            Refused::GroupKey,
        ),
    ] {
        let (mut station, mut ap) = half_way();
        assert_eq!(answer(&mut station, &ap.message_3_with(&data)), Err(expected), "{name}");
        nothing_to_install(&mut station);
    }
}

#[test]
fn wrong_lengths() {
    let (mut station, mut ap) = (station(), Authenticator::new());
    let first = ap.message_1();
    for length in 0..first.len() {
        assert_eq!(answer(&mut station, &first[..length]), Err(Refused::Length), "{length} bytes");
    }
    let mut changed = |at: usize, bytes: [u8; 2]| {
        let mut frame = first.clone();
        frame.resize(300, 0);
        frame[at..at + 2].copy_from_slice(&bytes);
        answer(&mut station, &frame)
    };
    assert_eq!(changed(2, [0, 94]), Err(Refused::Length));
    assert_eq!(changed(2, [0, 96]), Err(Refused::Length));
    assert_eq!(changed(97, [0, 1]), Err(Refused::Length));
    assert_eq!(changed(97, [0xFF, 0xFF]), Err(Refused::Length));
    // Key data that no wrap makes.
    for length in [1, 8, 16, 23, 25] {
        let (mut station, mut ap) = half_way();
        let mut third = ap.message_3();
        third.truncate(99);
        third.resize(99 + length, 7);
        third[2..4].copy_from_slice(&(95 + length as u16).to_be_bytes());
        third[97..99].copy_from_slice(&(length as u16).to_be_bytes());
        ap.sign(&mut third);
        assert_eq!(answer(&mut station, &third), Err(Refused::Wrapping), "{length} bytes");
    }
    let (mut station, mut ap) = half_way();
    ap.key_length = 32;
    assert_eq!(answer(&mut station, &ap.message_3()), Err(Refused::Parameters));
}

#[test]
fn other_protocols_and_versions() {
    let (mut station, mut ap) = (station(), Authenticator::new());
    let first = ap.message_1();
    let mut changed = |at: usize, byte: u8| {
        let mut frame = first.clone();
        frame[at] = byte;
        answer(&mut station, &frame)
    };
    assert_eq!(changed(1, 0), Err(Refused::NotKey));
    assert_eq!(changed(4, 254), Err(Refused::Descriptor)); // WPA
    assert_eq!(changed(6, 0x89), Err(Refused::Version(1))); // MD5 and RC4
    assert_eq!(changed(6, 0x8B), Err(Refused::Version(3))); // SHA-256
    assert_eq!(changed(6, 0x0A), Err(Refused::Information(0x000A))); // no answer wanted
    assert_eq!(changed(5, 0x0C), Err(Refused::Information(0x0C8A))); // error and request
    assert_eq!(changed(5, 0x01), Err(Refused::Information(0x018A))); // signed, but with what?
    assert_eq!(changed(6, 0xCA), Err(Refused::Information(0x00CA))); // install now
    let mut zeros = first.clone();
    zeros[17..49].fill(0);
    assert_eq!(answer(&mut station, &zeros), Err(Refused::Parameters));
}

/// Key data in clear, signed or not, is a downgrade.
#[test]
fn a_third_message_in_clear() {
    let (mut station, mut ap) = half_way();
    let mut third = ap.message_3();
    third[5] &= !0x10;
    ap.sign(&mut third);
    assert_eq!(answer(&mut station, &third), Err(Refused::Information(0x03CA)));
}

/// A driver hears several access points, and cannot tell which element is whose.
#[test]
fn one_of_those_that_were_heard() {
    let mut beacons = Vec::new();
    for capabilities in 1..=3 {
        let mut other = RSN;
        other[20] = capabilities;
        beacons.extend(other);
    }
    let third = |beacons: &[u8]| {
        let (mut station, mut ap) = (station_with(4, Some(beacons)), Authenticator::new());
        let second = answer(&mut station, &ap.message_1()).unwrap();
        assert!(ap.take_message_2(&second));
        answer(&mut station, &ap.message_3())
    };
    assert_eq!(third(&beacons), Err(Refused::RsnChanged));
    beacons.extend(RSN);
    assert!(third(&beacons).is_ok());
    // The same again takes no place; a fifth takes the oldest's.
    beacons.extend(RSN);
    assert!(third(&beacons).is_ok());
    for capabilities in 5..=8 {
        let mut other = RSN;
        other[20] = capabilities;
        beacons.extend(other);
    }
    assert_eq!(third(&beacons), Err(Refused::RsnChanged));
}
