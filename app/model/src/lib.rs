//! What the application decides, without the tasks and queues that carry it out.
//!
//! Nothing here knows a chip or a network, so all of it is tested on the host.
//!
//! ```
//! use app_model::Led;
//! use app_model::command::{self, Command};
//!
//! assert_eq!(command::parse(br#"{"led":"on"}"#), Ok(Command::SetLed(Led::On)));
//! println!("{}", command::parse(b"once").unwrap_err());
//! ```

#![no_std]
#![forbid(unsafe_code)]

pub mod command;

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
