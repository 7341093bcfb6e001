//! What the runtime decides, without the tasks and queues that carry it out.
//!
//! Nothing here knows a chip, a clock, a network or a random source: time and random numbers are
//! arguments. That makes all of it testable on the host.
//!
//! ```
//! use runtime_model::backoff::Backoff;
//! use runtime_model::topic;
//!
//! assert!(topic::matches("lamps/+/control", "lamps/7/control"));
//! // The first window has a second.
//! let mut backoff = Backoff::new(60);
//! assert!((1_000..=2_000).contains(&backoff.next_delay_ms(0x8000_0000)));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backoff;
pub mod closings;
mod excerpt;
pub mod patience;
pub mod report;
pub mod throttle;
pub mod topic;
pub mod tries;
pub mod wifi;

pub use excerpt::Excerpt;

use alloc::format;
use alloc::string::String;

/// The MQTT client identifier of a device whose identity names none: `ESP-` and the twelve
/// capital hexadecimal digits of its MAC address.
#[must_use]
pub fn client_id(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("ESP-{a:02X}{b:02X}{c:02X}{d:02X}{e:02X}{f:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_has_every_digit() {
        assert_eq!(client_id([0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6]), "ESP-A1B2C3D4E5F6");
        assert_eq!(client_id([0, 1, 2, 3, 4, 0xF]), "ESP-00010203040F");
    }
}
