//! The time server of the local cloud: SNTP version 4 (RFC 4330, packet layout of RFC 5905).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::responder::Responder;

/// Seconds between the NTP era (1900) and the Unix epoch (1970).
const NTP_TO_UNIX: u64 = 2_208_988_800;

const PACKET: usize = 48;
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;

/// The running time server; stops when dropped. Its state are the seconds by which the told time
/// differs from this machine's.
pub type SntpServer = Responder<AtomicI64>;

impl SntpServer {
    /// Starts answering on a free port of 127.0.0.1 with this machine's time.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub fn start() -> Result<Self> {
        Self::serve("SNTP", AtomicI64::new(0), |request, offset| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            reply(request, now, offset.load(Ordering::Relaxed))
        })
    }

    /// Tells a time `seconds` away from the true one from now on.
    pub fn lie_by(&self, seconds: i64) {
        self.state().store(seconds, Ordering::Relaxed);
    }
}

/// The reply to one datagram; `None` when it is no client's question.
fn reply(request: &[u8], now: Duration, offset: i64) -> Option<Vec<u8>> {
    let first = *request.first()?;
    let version = (first >> 3) & 7;
    if request.len() < PACKET || first & 7 != MODE_CLIENT || !(1..=4).contains(&version) {
        return None;
    }
    let stamp = timestamp(now, offset);
    let mut packet = vec![0; PACKET];
    // No leap second announced, the client's version, server mode.
    packet[0] = version << 3 | MODE_SERVER;
    packet[1] = 1; // Stratum: primary, fed by a local clock.
    packet[2] = request[2]; // The client's poll interval comes back unchanged.
    packet[3] = (-20_i8).to_be_bytes()[0]; // Precision: 2^-20 s, a microsecond.
    packet[12..16].copy_from_slice(b"LOCL"); // Reference: uncalibrated local clock.
    packet[16..24].copy_from_slice(&stamp); // Reference time: the clock was set just now.
    packet[24..32].copy_from_slice(&request[40..48]); // Originate: the client's transmit time.
    packet[32..40].copy_from_slice(&stamp); // Receive.
    packet[40..48].copy_from_slice(&stamp); // Transmit.
    Some(packet)
}

/// Seconds since 1900 and their fraction, 32 bits each. The seconds wrap in 2036 into
/// era 1, as RFC 4330 section 3 says.
fn timestamp(now: Duration, offset: i64) -> [u8; 8] {
    let seconds = (now.as_secs() + NTP_TO_UNIX).wrapping_add_signed(offset);
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> [u8; PACKET] {
        let mut request = [0; PACKET];
        request[0] = 4 << 3 | MODE_CLIENT;
        request[2] = 6;
        request[40..48].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        request
    }

    #[test]
    fn reply_follows_the_rfc() {
        // RFC 5905's figure 4: 1 January 1970 is 2,208,988,800; half a second is 0x80000000.
        let packet = reply(&request(), Duration::from_millis(500), 0).unwrap();
        assert_eq!(packet.len(), PACKET);
        assert_eq!(packet[0], 0b00_100_100);
        assert_eq!(packet[1], 1);
        assert_eq!(packet[2], 6);
        assert_eq!(&packet[24..32], &[1, 2, 3, 4, 5, 6, 7, 8]);
        let transmit = &packet[40..48];
        assert_eq!(&transmit[..4], &2_208_988_800_u32.to_be_bytes());
        assert_eq!(&transmit[4..], &0x8000_0000_u32.to_be_bytes());
    }

    #[test]
    fn lies_when_told_to() {
        let packet = reply(&request(), Duration::from_secs(1_000_000_000), -86_400).unwrap();
        let seconds = u32::from_be_bytes(packet[40..44].try_into().unwrap());
        assert_eq!(u64::from(seconds), 1_000_000_000 - 86_400 + NTP_TO_UNIX);
    }

    #[test]
    fn era_one_begins_in_2036() {
        // RFC 4330: 6:28:16 UTC on 7 February 2036 is second 0 of the next era.
        assert_eq!(timestamp(Duration::from_secs(2_085_978_496), 0), [0; 8]);
    }

    #[test]
    fn only_clients_are_answered() {
        assert!(reply(&[], Duration::ZERO, 0).is_none());
        assert!(reply(&request()[..47], Duration::ZERO, 0).is_none());
        let mut server = request();
        server[0] = 4 << 3 | MODE_SERVER;
        assert!(reply(&server, Duration::ZERO, 0).is_none());
    }
}
