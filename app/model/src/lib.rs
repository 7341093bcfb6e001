//! What the application decides, without the tasks and queues that carry it out.
//!
//! Nothing here knows a chip, a clock, a network or a random source: time and random numbers are
//! arguments. That makes all of it testable on the host.
//!
//! ```
//! use app_model::Led;
//! use app_model::backoff::Backoff;
//! use app_model::command::{self, Command};
//!
//! assert_eq!(command::parse(br#"{"led":"on"}"#), Ok(Command::SetLed(Led::On)));
//! println!("{}", command::parse(b"once").unwrap_err());
//! // The first window has a second.
//! let mut backoff = Backoff::new(60);
//! assert!((1_000..=2_000).contains(&backoff.next_delay_ms(0x8000_0000)));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backoff;
pub mod command;
pub mod patience;
pub mod status;
pub mod throttle;
pub mod wifi;

use alloc::format;
use alloc::string::String;
use core::fmt;

/// State of the LED.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Led {
    /// Dark.
    #[default]
    Off,
    /// Lit.
    On,
}

impl Led {
    /// The state as commands and the status spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

impl fmt::Display for Led {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    use alloc::string::ToString;

    #[test]
    fn client_id_has_every_digit() {
        assert_eq!(client_id([0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6]), "ESP-A1B2C3D4E5F6");
        assert_eq!(client_id([0, 1, 2, 3, 4, 0xF]), "ESP-00010203040F");
    }

    #[test]
    fn led_is_off_until_told() {
        assert_eq!(Led::default(), Led::Off);
        assert_eq!(Led::Off.to_string(), "off");
        assert_eq!(Led::On.to_string(), "on");
    }
}
