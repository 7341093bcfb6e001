//! Any bytes are survived, and no time comes from a packet that breaks a rule.

mod common;

use clock::packet::{SIZE, answer};
use common::{NTP_TO_UNIX, STAMP, good};

#[test]
fn any_bytes_are_survived() {
    let (inputs, mut random) = fuzz::begin(200_000);
    let mut believed = 0;
    for _ in 0..inputs {
        let mut packet = good(random.number() as u32).to_vec();
        for _ in 0..random.number() % 4 {
            let at = random.number() as usize % packet.len();
            packet[at] = random.number() as u8;
        }
        if random.number().is_multiple_of(8) {
            packet.truncate(random.number() as usize % (SIZE + 1));
        }
        if random.number().is_multiple_of(8) {
            packet.extend(random.number().to_be_bytes());
        }
        if let Ok(seconds) = answer(&packet, STAMP) {
            believed += 1;
            assert!(packet.len() >= SIZE);
            assert_eq!(packet[0] & 7, 4);
            assert_ne!(packet[0] >> 6, 3);
            assert!((1..=15).contains(&packet[1]));
            assert_eq!(packet[24..32], STAMP.to_be_bytes());
            assert_ne!(packet[40..48], [0; 8]);
            let told = u32::from_be_bytes(packet[40..44].try_into().unwrap());
            assert_eq!(told, seconds.wrapping_add(NTP_TO_UNIX));
        }
    }
    assert!(
        believed > inputs / 20,
        "{believed} believed: the inputs are too wild to mean anything"
    );
}
