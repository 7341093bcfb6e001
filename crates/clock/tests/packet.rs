//! Answers of time servers, kind and hostile.

mod common;

use clock::packet::{Refusal, SIZE, answer, request};
use common::{STAMP, good};

fn changed(change: impl FnOnce(&mut [u8; SIZE])) -> Result<u32, Refusal> {
    let mut packet = good(1_800_000_000);
    change(&mut packet);
    answer(&packet, STAMP)
}

#[test]
fn a_request_is_a_clients_with_our_stamp() {
    let packet = request(STAMP);
    assert_eq!(packet[0], 0b00_100_011);
    assert_eq!(packet[1..40], [0; 39]);
    assert_eq!(packet[40..], STAMP.to_be_bytes());
}

#[test]
fn a_good_answer_tells_the_time() {
    for seconds in [0, 1_800_000_000, 2_085_978_495, 2_085_978_497, u32::MAX] {
        assert_eq!(answer(&good(seconds), STAMP), Ok(seconds));
    }
    // More than the header (extension fields, a message digest) is no fault.
    let mut long = good(1_800_000_000).to_vec();
    long.extend([0; 20]);
    assert_eq!(answer(&long, STAMP), Ok(1_800_000_000));
    // The first moment of era 1, whose seconds are zero but whose fraction is not.
    let mut rollover = good(2_085_978_496);
    rollover[47] = 1;
    assert_eq!(answer(&rollover, STAMP), Ok(2_085_978_496));
}

#[test]
fn what_is_no_answer_is_foreign() {
    for length in 0..SIZE {
        assert_eq!(answer(&good(1_800_000_000)[..length], STAMP), Err(Refusal::Foreign));
    }
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(changed(|packet| packet[0] = 4 << 3 | mode), Err(Refusal::Foreign), "{mode}");
    }
    for byte in 24..32 {
        assert_eq!(changed(|packet| packet[byte] ^= 1), Err(Refusal::Foreign), "{byte}");
    }
}

#[test]
fn a_server_without_the_time_is_not_believed() {
    assert_eq!(changed(|packet| packet[0] |= 3 << 6), Err(Refusal::Unsynchronised));
    for stratum in [16, 17, 255] {
        assert_eq!(changed(|packet| packet[1] = stratum), Err(Refusal::Unsynchronised));
    }
    // A leap second that is announced is none of our business.
    assert_eq!(changed(|packet| packet[0] |= 1 << 6), Ok(1_800_000_000));
    for at in [4, 8] {
        let with =
            |value: u32| changed(|packet| packet[at..at + 4].copy_from_slice(&value.to_be_bytes()));
        assert_eq!(with(0x000F_FFFF), Ok(1_800_000_000));
        assert_eq!(with(0x0010_0000), Err(Refusal::Unsynchronised));
        assert_eq!(with(0xFFFF_FFFF), Err(Refusal::Unsynchronised));
    }
}

#[test]
fn a_kiss_of_death_is_told() {
    let refused = changed(|packet| {
        packet[0] |= 3 << 6;
        packet[1] = 0;
        packet[12..16].copy_from_slice(b"RATE");
    });
    assert_eq!(refused, Err(Refusal::KissOfDeath(*b"RATE")));
    assert_eq!(refused.unwrap_err().to_string(), "it does not want to be asked (RATE)");
    let strange = Refusal::KissOfDeath([b'A', 0, b'\n', 0xFF]);
    assert_eq!(strange.to_string(), "it does not want to be asked (A???)");
}

/// The packet of a public bug report: all is well but the time of transmission.
#[test]
fn a_transmit_time_of_zero_is_no_time() {
    assert_eq!(changed(|packet| packet[40..].fill(0)), Err(Refusal::NoTime));
}
