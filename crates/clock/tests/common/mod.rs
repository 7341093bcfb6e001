//! A good answer of a time server.

use clock::packet::SIZE;

/// The stamp of the request that it answers.
pub const STAMP: u64 = 0x0123_4567_89AB_CDEF;
/// Seconds from 1900 to 1970.
pub const NTP_TO_UNIX: u32 = 2_208_988_800;

/// A good answer that tells `seconds` since 1970.
pub fn good(seconds: u32) -> [u8; SIZE] {
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
