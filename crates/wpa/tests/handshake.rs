//! Both handshakes against an access point, and what may go wrong on the way without anybody's
//! ill will.

mod common;

use common::{Authenticator, BSSID, RSN, STATION};
use common::{answer, answer_fresh, connected, half_way, station, station_with};
use wpa::{Config, Heard, Progress, Supplicant};

#[test]
fn four_messages_and_both_keys() {
    let (mut station, mut ap) = (station(), Authenticator::new());
    assert_eq!(station.progress(), Progress::Silent);
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    assert_eq!(station.progress(), Progress::Unproven);
    let fourth = answer(&mut station, &ap.message_3()).unwrap();
    ap.take_message_4(&fourth);
    assert_eq!(station.progress(), Progress::Proven);

    let install = station.acknowledged();
    assert_eq!(install.pairwise.unwrap()[..], ap.ptk.unwrap()[32..]);
    let group = install.group.unwrap();
    assert_eq!((group.index, group.key(), group.rsc), (1, &[0x11; 16][..], [5, 0, 0, 0, 0, 0]));
    assert!(install.complete);
    assert_eq!(station.progress(), Progress::Complete);
    assert!(station.acknowledged() == Default::default(), "keys are handed out once");
}

#[test]
fn a_lost_second_message() {
    let (mut station, mut ap) = (station(), Authenticator::new());
    let lost = answer(&mut station, &ap.message_1()).unwrap();
    let second = answer_fresh(&mut station, &ap.message_1(), [0x44; 32]).unwrap();
    assert_eq!(lost[17..49], second[17..49], "one nonce for one handshake");
    assert!(ap.take_message_2(&second));
    answer(&mut station, &ap.message_3()).unwrap();
    assert!(station.acknowledged().complete);
}

#[test]
fn a_lost_fourth_message() {
    let (mut station, mut ap) = half_way();
    answer(&mut station, &ap.message_3()).unwrap();
    // Not acknowledged: nothing is installed, and the next try brings it all.
    let fourth = answer(&mut station, &ap.message_3()).unwrap();
    ap.take_message_4(&fourth);
    let install = station.acknowledged();
    assert!(install.complete && install.pairwise.is_some() && install.group.is_some());
}

#[test]
fn group_keys_are_renewed_in_turn() {
    let (mut station, mut ap) = connected();
    for (index, byte) in [(2, 0x22), (1, 0x33), (2, 0x44)] {
        ap.gtk_index = index;
        ap.gtk = vec![byte; 16];
        let reply = answer(&mut station, &ap.group_1()).unwrap();
        ap.take_group_2(&reply);
        let install = station.acknowledged();
        assert!(install.pairwise.is_none() && !install.complete);
        let group = install.group.unwrap();
        assert_eq!((group.index, group.key()), (index, &[byte; 16][..]));
    }
}

#[test]
fn the_pairwise_key_is_renewed() {
    let (mut station, mut ap) = connected();
    let old = ap.ptk.unwrap();
    ap.anonce = [0x78; 32];
    let second = answer_fresh(&mut station, &ap.message_1(), [0x34; 32]).unwrap();
    assert_eq!(second[17..49], [0x34; 32], "a new handshake has a new nonce");
    assert!(ap.take_message_2(&second));
    assert_ne!(ap.ptk.unwrap(), old);
    answer(&mut station, &ap.message_3()).unwrap();
    let install = station.acknowledged();
    assert_eq!(install.pairwise.unwrap()[..], ap.ptk.unwrap()[32..]);
    assert!(install.group.is_none(), "the group key is the one that is installed");
}

#[test]
fn a_network_where_old_stations_are_welcome() {
    let mut beacon = vec![0, 3, b'o', b'l', b'd'];
    let mut rsn = RSN;
    rsn[7] = 2;
    beacon.extend(rsn);
    let mut station = station_with(2, Some(&beacon));
    let mut ap = Authenticator::new();
    ap.rsn = rsn.to_vec();
    ap.gtk = (0..32).collect();
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    answer(&mut station, &ap.message_3()).unwrap();
    let group = station.acknowledged().group.unwrap();
    let michael_swapped: Vec<u8> = (0..16).chain(24..32).chain(16..24).collect();
    assert_eq!(group.key(), michael_swapped);
}

#[test]
fn unknown_key_data_does_no_harm() {
    let (mut station, mut ap) = half_way();
    let mut data = ap.rsn.clone();
    data.extend([0xDD, 10, 0, 0x0F, 0xAC, 9, 4, 0, 0, 0, 0, 0]); // an IGTK, cut short
    data.extend([0xDD, 5, 1, 2, 3, 4, 5]); // somebody's
    data.extend(ap.group_key_data());
    answer(&mut station, &ap.message_3_with(&data)).unwrap();
    assert!(station.acknowledged().complete);
}

#[test]
fn padding_of_the_link_is_not_the_frame() {
    let (mut station, mut ap) = (station(), Authenticator::new());
    let mut first = ap.message_1();
    first.extend([0; 20]);
    assert!(ap.take_message_2(&answer(&mut station, &first).unwrap()));
}

#[test]
fn a_wrong_passphrase_leaves_it_unproven() {
    let config = Config { pmk: [9; 32], own: STATION, bssid: BSSID, group: 4 };
    let mut station = Supplicant::new(config, Heard::new());
    let mut ap = Authenticator::new();
    assert_ne!(ap.pmk, [9; 32]);
    for _ in 0..4 {
        let second = answer(&mut station, &ap.message_1()).unwrap();
        assert!(!ap.take_message_2(&second));
    }
    assert_eq!(station.progress(), Progress::Unproven);
    assert!(station.acknowledged() == Default::default());
}
