//! The packets of SNTP version 4 (RFC 4330; layout of RFC 5905 section 7.3).

use core::fmt::{self, Write as _};

/// Bytes of a request, and the least of an answer.
pub const SIZE: usize = 48;

/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX: u32 = 2_208_988_800;
const VERSION: u8 = 4;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
/// The clock is not synchronised (leap indicator).
const ALARM: u8 = 3;
/// Strata of servers that have the time: 0 is a "kiss-o'-death", 16 means unsynchronised.
const STRATA: core::ops::RangeInclusive<u8> = 1..=15;
/// Delay or dispersion, in units of 2^-16 s, from which a source has been lost for long
/// (`MAXDISP`, 16 s, in RFC 5905).
const MOST_DISPERSION: u32 = 16 << 16;

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No answer to our request: too short, of another mode, or without our time stamp. Anybody
    /// can send such a thing; the answer may still come.
    Foreign,
    /// The server's own clock is not set (leap indicator 3, stratum 16, or a source that it has
    /// lost).
    Unsynchronised,
    /// The server wants to be asked no more, or less often (stratum 0).
    KissOfDeath([u8; 4]),
    /// Its time of transmission is zero (RFC 4330 section 5).
    NoTime,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => out.write_str("no answer to the question"),
            Self::Unsynchronised => out.write_str("its own clock is not synchronised"),
            Self::KissOfDeath(code) => {
                out.write_str("it does not want to be asked (")?;
                for byte in code {
                    out.write_char(if byte.is_ascii_graphic() { char::from(*byte) } else { '?' })?;
                }
                out.write_str(")")
            }
            Self::NoTime => out.write_str("it tells no time"),
        }
    }
}

/// The request. `stamp` is sent as our time and comes back in the answer: when it is random, only
/// who has seen the request can answer it.
#[must_use]
pub fn request(stamp: u64) -> [u8; SIZE] {
    let mut packet = [0; SIZE];
    packet[0] = VERSION << 3 | MODE_CLIENT;
    packet[40..].copy_from_slice(&stamp.to_be_bytes());
    packet
}

/// Reads an answer to the request with `stamp`: seconds since 1970.
///
/// # Errors
/// The reason why it must not be believed.
pub fn answer(packet: &[u8], stamp: u64) -> Result<u32, Refusal> {
    let packet: &[u8; SIZE] = packet.first_chunk().ok_or(Refusal::Foreign)?;
    let word = |at: usize| {
        u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
    };
    let (leap, mode) = (packet[0] >> 6, packet[0] & 7);
    if mode != MODE_SERVER || packet[24..32] != stamp.to_be_bytes() {
        return Err(Refusal::Foreign);
    }
    let stratum = packet[1];
    if stratum == 0 {
        return Err(Refusal::KissOfDeath([packet[12], packet[13], packet[14], packet[15]]));
    }
    // The delay is signed, but less than nothing is no sane delay.
    if leap == ALARM
        || !STRATA.contains(&stratum)
        || word(4) >= MOST_DISPERSION
        || word(8) >= MOST_DISPERSION
    {
        return Err(Refusal::Unsynchronised);
    }
    let (seconds, fraction) = (word(40), word(44));
    if seconds == 0 && fraction == 0 {
        return Err(Refusal::NoTime);
    }
    // 32 bits of seconds wrap in 2036; what is before 1970 lies after that (RFC 4330 section 3).
    Ok(seconds.wrapping_sub(NTP_TO_UNIX))
}
