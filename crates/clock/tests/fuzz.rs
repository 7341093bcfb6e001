//! Any bytes are survived, and no time comes from a packet that breaks a rule.
//!
//! The inputs follow from a seed, so that a failure can be repeated: `CLOCK_FUZZ_INPUTS` is their
//! number (200000 when not set). `make fuzz` runs ten million.

use clock::packet::{SIZE, answer};

const STAMP: u64 = 0x0123_4567_89AB_CDEF;
const NTP_TO_UNIX: u32 = 2_208_988_800;

/// A good answer that tells `seconds` since 1970.
fn good(seconds: u32) -> [u8; SIZE] {
    let mut packet = [0; SIZE];
    packet[0] = 4 << 3 | 4;
    packet[1] = 2;
    packet[4..8].copy_from_slice(&0x100_u32.to_be_bytes());
    packet[8..12].copy_from_slice(&0x100_u32.to_be_bytes());
    packet[12..16].copy_from_slice(b"TEST");
    packet[24..32].copy_from_slice(&STAMP.to_be_bytes());
    packet[40..44].copy_from_slice(&seconds.wrapping_add(NTP_TO_UNIX).to_be_bytes());
    packet
}

/// xorshift64* (Vigna): small and good enough to choose inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[test]
fn any_bytes_are_survived() {
    let mut random = Random(1);
    let mut believed = 0;
    let inputs: u64 = std::env::var("CLOCK_FUZZ_INPUTS")
        .map_or(200_000, |text| text.parse().expect("CLOCK_FUZZ_INPUTS must be a number"));
    for _ in 0..inputs {
        let mut packet = good(random.next() as u32).to_vec();
        for _ in 0..random.next() % 4 {
            let at = random.next() as usize % packet.len();
            packet[at] = random.next() as u8;
        }
        if random.next().is_multiple_of(8) {
            packet.truncate(random.next() as usize % (SIZE + 1));
        }
        if random.next().is_multiple_of(8) {
            packet.extend(random.next().to_be_bytes());
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
