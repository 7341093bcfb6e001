//! How networks are told apart by their beacons.

use wpa::element::{Cut, Offer, RSN, Security, cipher, elements, own_rsn};

const CCMP: [u8; 4] = [0, 0x0F, 0xAC, 4];
const TKIP: [u8; 4] = [0, 0x0F, 0xAC, 2];

fn rsn(group: [u8; 4], pairwise: &[[u8; 4]], akms: &[u8], capabilities: u16) -> Vec<u8> {
    let mut value = vec![1, 0];
    value.extend(group);
    value.extend((pairwise.len() as u16).to_le_bytes());
    value.extend(pairwise.concat());
    value.extend((akms.len() as u16).to_le_bytes());
    akms.iter().for_each(|akm| value.extend([0, 0x0F, 0xAC, *akm]));
    value.extend(capabilities.to_le_bytes());
    [vec![RSN, value.len() as u8], value].concat()
}

fn wpa(pairwise: u8, akm: u8) -> Vec<u8> {
    let oui = [0, 0x50, 0xF2];
    let mut value =
        [&oui[..], &[1, 1, 0], &oui, &[2, 1, 0], &oui, &[pairwise, 1, 0], &oui].concat();
    value.push(akm);
    [vec![221, value.len() as u8], value].concat()
}

#[test]
fn each_kind_of_network() {
    let of = |elements: &[Vec<u8>]| {
        let beacon =
            [vec![vec![0, 1, b'x'], vec![1, 1, 0x82]], elements.to_vec()].concat().concat();
        Security::of(true, &beacon)
    };
    assert_eq!(Security::of(false, &[0, 1, b'x']), Security::Open);
    assert_eq!(of(&[]), Security::Wep);
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[2], 0)]), Security::Wpa2 { group: cipher::CCMP });
    let mixed = [wpa(2, 2), rsn(TKIP, &[TKIP, CCMP], &[2], 0)];
    assert_eq!(of(&mixed), Security::Wpa2 { group: cipher::TKIP });
    // WPA2 and WPA3 at once, with protected management frames as an option.
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[2, 8], 0x80)]), Security::Wpa2 { group: cipher::CCMP });
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[8], 0xC0)]), Security::Wpa3Only);
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[2, 8], 0xC0)]), Security::Wpa3Only);
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[1], 0)]), Security::Enterprise);
    assert_eq!(of(&[rsn(CCMP, &[CCMP], &[5], 0)]), Security::Enterprise);
    assert_eq!(of(&[rsn(TKIP, &[TKIP], &[2], 0)]), Security::TkipOnly);
    assert_eq!(of(&[wpa(2, 2)]), Security::TkipOnly);
    assert_eq!(of(&[wpa(2, 1)]), Security::Enterprise);
    assert_eq!(of(&[rsn(CCMP, &[[0, 0x0F, 0xAC, 9]], &[2], 0)]), Security::Unknown);
    assert_eq!(of(&[rsn([1, 2, 3, 4], &[CCMP], &[2], 0)]), Security::Unknown);
    assert_eq!(of(&[vec![RSN, 1, 1]]), Security::Unknown);
}

#[test]
fn what_may_be_left_out_and_what_may_not() {
    let whole = rsn(CCMP, &[CCMP], &[2], 0);
    let value = &whole[2..];
    let readable: Vec<usize> =
        (0..=value.len()).filter(|length| Offer::rsn(&value[..*length]).is_some()).collect();
    assert_eq!(readable, [2, 6, 12, 18, 19, 20]);
    assert_eq!(Offer::rsn(&[2, 0]), None, "another version");
    let none = [&value[..6], &[0, 0]].concat();
    assert_eq!(Offer::rsn(&none), None, "a list of nothing");
    let many = [&value[..6], &[0xFF, 0xFF], &value[8..]].concat();
    assert_eq!(Offer::rsn(&many), None, "a list that is longer than the element");
}

#[test]
fn elements_that_are_cut_off() {
    let row = [0, 2, b'a', b'b', 5, 0, 7, 3, 1];
    let found: Vec<_> =
        elements(&row).map(|one| one.map(|one| (one.id, one.value.len()))).collect();
    assert_eq!(found, [Ok((0, 2)), Ok((5, 0)), Err(Cut)]);
    assert_eq!(elements(&[9]).collect::<Vec<_>>(), [Err(Cut)]);
}

#[test]
fn own_element_is_what_the_standard_says() {
    for group in [cipher::CCMP, cipher::TKIP] {
        let own = own_rsn(group);
        let offer = Offer::rsn(&own[2..]).unwrap();
        assert_eq!((own[0], usize::from(own[1])), (RSN, own.len() - 2));
        assert_eq!((offer.group, offer.capabilities), (group, 0));
        assert!(offer.pairwise.has(cipher::CCMP) && !offer.pairwise.has(cipher::TKIP));
        assert!(offer.akm.has(2) && !offer.akm.has(1));
    }
}
