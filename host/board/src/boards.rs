//! The boards that the firmware is for.

use crate::status::Led;

/// A board that can run on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Board {
    /// QEMU's machine with the ESP8266's CPU
    Qemu,
    /// A NodeMCU with its ESP-12E
    Nodemcu,
    /// An Adafruit HUZZAH
    Huzzah,
}

impl Board {
    /// Its name in file names and on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Nodemcu => "nodemcu",
            Self::Huzzah => "huzzah",
        }
    }

    /// What one calls it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Qemu => "An emulated ESP8266",
            Self::Nodemcu => "A virtual NodeMCU",
            Self::Huzzah => "A virtual HUZZAH",
        }
    }

    /// Whether a line of the console shows the application's light itself in that state, and not
    /// only what the firmware says of it.
    #[must_use]
    pub fn shows(self, line: &str, led: Led) -> bool {
        let light = match self {
            Self::Qemu if led == Led::On => "[board] GPIO2 low: LED ",
            Self::Qemu => "[board] GPIO2 high: LED ",
            Self::Nodemcu => "[board] LED blue (GPIO2) ",
            Self::Huzzah => "[board] LED red (GPIO0) ",
        };
        line.strip_prefix(light) == Some(led.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_has_its_light() {
        for (board, on, off) in [
            (Board::Qemu, "[board] GPIO2 low: LED on", "[board] GPIO2 high: LED off"),
            (Board::Nodemcu, "[board] LED blue (GPIO2) on", "[board] LED blue (GPIO2) off"),
            (Board::Huzzah, "[board] LED red (GPIO0) on", "[board] LED red (GPIO0) off"),
        ] {
            assert!(board.shows(on, Led::On) && !board.shows(on, Led::Off), "{on}");
            assert!(board.shows(off, Led::Off) && !board.shows(off, Led::On), "{off}");
            assert!(!board.shows("I (1234) led: LED on", Led::On));
        }
        assert!(!Board::Huzzah.shows("[board] LED blue (GPIO2) on", Led::On));
    }
}
