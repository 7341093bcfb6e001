//! Questions, answers, and what is neither.

use core::net::Ipv4Addr;

use dns::{Addresses, Fault, MAX_ADDRESSES, Question};

const NAME: &str = "abc-ats.iot.eu-central-1.amazonaws.com";

/// An answer to `question` with these records.
fn answer(question: &Question, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = question.bytes().to_vec();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    bytes.extend(records.iter().flatten());
    bytes
}

/// A record of the name that was asked for.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xC0, 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn a_question_is_as_rfc_1035_has_it() {
    let question = Question::new("ab.c", 0x1234).unwrap();
    let bytes = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', 1, b'c', 0, 0, 1, 0, 1];
    assert_eq!(question.bytes(), bytes);
    assert_eq!(Question::new("ab.c.", 0x1234).unwrap(), question);
    let longest = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
    assert_eq!(longest.len(), 253);
    assert!(Question::new(&longest, 1).is_ok());
    for bad in ["", ".", "a..b", &"x".repeat(64), &format!("{longest}z")] {
        assert_eq!(Question::new(bad, 1), Err(Fault::BadName), "{bad:?}");
    }
}

#[test]
fn all_addresses_come_in_their_order() {
    let question = Question::new(NAME, 7).unwrap();
    let records = [
        record(5, b"\x05alias\xC0\x0C"),
        record(1, &[10, 0, 2, 99]),
        record(28, &[0; 16]),
        record(1, &[10, 0, 2, 2]),
        record(1, &[10, 0, 2, 99]),
        // Where nobody can be.
        record(1, &[0, 0, 0, 0]),
        record(1, &[255, 255, 255, 255]),
        record(1, &[224, 0, 0, 1]),
    ];
    let mut addresses = question.addresses(&answer(&question, 0x8180, &records)).unwrap();
    let (first, second) = (Ipv4Addr::new(10, 0, 2, 99), Ipv4Addr::new(10, 0, 2, 2));
    assert_eq!(addresses.as_slice(), [first, second]);
    addresses.rotate(1);
    assert_eq!(addresses.as_slice(), [second, first]);
    addresses.rotate(4);
    assert_eq!(addresses.as_slice(), [second, first]);
    let many: Vec<_> = (1..100).map(|n| record(1, &[10, 0, 0, n])).collect();
    let addresses = question.addresses(&answer(&question, 0x8180, &many)).unwrap();
    assert_eq!(addresses.as_slice().len(), MAX_ADDRESSES);
    assert_eq!(Addresses::one(first).as_slice(), [first]);
}

#[test]
fn what_is_no_answer_is_told_apart() {
    let question = Question::new(NAME, 7).unwrap();
    let records = [record(1, &[10, 0, 2, 2])];
    let good = answer(&question, 0x8180, &records);
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        question.addresses(&bytes)
    };
    assert!(changed(|_| {}).is_ok());
    assert!(changed(|bytes| bytes.make_ascii_uppercase()).is_ok());
    assert_eq!(changed(|bytes| bytes[1] = 8), Err(Fault::NotOurs));
    assert_eq!(changed(|bytes| bytes[2] = 1), Err(Fault::NotOurs));
    assert_eq!(changed(|bytes| bytes[2] |= 0x08), Err(Fault::NotOurs));
    assert_eq!(changed(|bytes| bytes[5] = 2), Err(Fault::NotOurs));
    assert_eq!(changed(|bytes| bytes[14] ^= 1), Err(Fault::NotOurs));
    assert_eq!(changed(|bytes| bytes[3] = 0x83), Err(Fault::NoSuchName));
    assert_eq!(changed(|bytes| bytes[3] = 0x82), Err(Fault::Server(2)));
    assert_eq!(changed(|bytes| bytes[3] = 0x85), Err(Fault::Server(5)));
    assert_eq!(changed(|bytes| bytes[7] = 0), Err(Fault::NoAddress));
    // Cut off anywhere: no address, and no panic.
    for length in 0..good.len() {
        let fault = question.addresses(&good[..length]).unwrap_err();
        assert!(matches!(fault, Fault::NotOurs | Fault::NoAddress), "{length}: {fault:?}");
    }
    // The second of two is cut off: the first still counts.
    let two = answer(&question, 0x8180, &[records[0].clone(), record(1, &[10, 0, 2, 3])]);
    let addresses = question.addresses(&two[..two.len() - 1]).unwrap();
    assert_eq!(addresses.as_slice(), [Ipv4Addr::new(10, 0, 2, 2)]);
}

/// Any bytes behind a good header: nothing but addresses or a fault.
#[test]
fn any_records_are_survived() {
    let question = Question::new(NAME, 7).unwrap();
    let (inputs, mut random) = fuzz::begin(50_000);
    let mut found = 0;
    for _ in 0..inputs {
        let mut packet = answer(&question, 0x8180, &[record(1, &[10, 0, 2, 2])]);
        let start = question.bytes().len();
        packet[7] = random.byte();
        packet.extend(random.bytes(256));
        for _ in 0..random.below(4) {
            let at = start + random.below(packet.len() - start);
            packet[at] = random.byte();
        }
        if let Ok(addresses) = question.addresses(&packet) {
            found += 1;
            assert!((1..=MAX_ADDRESSES).contains(&addresses.as_slice().len()));
        }
    }
    assert!(found > inputs / 50, "{found}");
}
