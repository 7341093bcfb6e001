//! What is outside of the chip at its pins: resistors, the button, parts, whoever holds a wire.

use std::str::FromStr;

use super::gpio::{PINS, RTC_PIN};
use crate::snapshot::keep;

/// What somebody outside does to a pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drive {
    /// Nothing: the wire is let go.
    #[default]
    Open,
    /// Holds it low.
    Low,
    /// Holds it high.
    High,
}

/// The resistor at a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// None: a pin that nobody drives reads low, unless the chip's own pull-up is on.
    None,
    /// To 3.3 V.
    Up,
    /// To ground.
    Down,
}

impl FromStr for Drive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "open" => Ok(Self::Open),
            "low" => Ok(Self::Low),
            "high" => Ok(Self::High),
            _ => Err("one of low, high, open".to_owned()),
        }
    }
}

impl FromStr for Pull {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            _ => Err("one of none, up, down".to_owned()),
        }
    }
}

/// What all of the outside together does, a bit for each pin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Pins that somebody holds low; this wins.
    pub low: u32,
    /// Pins that somebody holds high.
    pub high: u32,
    /// Pins with a resistor to 3.3 V.
    pub up: u32,
    /// Pins with a resistor to ground, which is stronger than the chip's pull-up.
    pub down: u32,
}

impl Outside {
    /// Levels `levels`, driven hard.
    #[must_use]
    pub fn driven(levels: u32) -> Self {
        Self { low: !levels & PINS, high: levels & PINS, up: 0, down: 0 }
    }

    /// The levels of pins that the chip leaves alone; its pull-ups are those of `chip_up`.
    #[must_use]
    pub fn levels(self, chip_up: u32) -> u32 {
        (self.high | self.up | chip_up & !self.down) & !self.low & PINS
    }
}

/// Who is at the pins.
#[derive(Clone, Debug)]
pub struct Wiring {
    up: u32,
    down: u32,
    /// By the button FLASH or the transistor at DTR.
    gpio0_low: bool,
    held_low: u32,
    held_high: u32,
}

// The button and the transistor belong to whoever is at the board.
keep!(Wiring { up, down, held_low, held_high } but { gpio0_low });

impl Wiring {
    /// A board whose resistors pull the pins `up`, the others down.
    #[must_use]
    pub fn new(up: u32) -> Self {
        Self { up, down: !up & PINS, gpio0_low: false, held_low: 0, held_high: 0 }
    }

    /// Holds `pin`, or lets it go.
    pub fn hold(&mut self, pin: u32, drive: Drive) {
        let bit = 1 << pin & PINS;
        self.held_low &= !bit;
        self.held_high &= !bit;
        match drive {
            Drive::Open => {}
            Drive::Low => self.held_low |= bit,
            Drive::High => self.held_high |= bit,
        }
    }

    /// Who holds `pin`.
    #[must_use]
    pub fn held(&self, pin: u32) -> Drive {
        if self.held_low >> pin & 1 != 0 {
            Drive::Low
        } else if self.held_high >> pin & 1 != 0 {
            Drive::High
        } else {
            Drive::Open
        }
    }

    /// Another resistor at `pin`.
    pub fn set_pull(&mut self, pin: u32, pull: Pull) {
        let bit = 1 << pin & PINS;
        self.up = self.up & !bit | if pull == Pull::Up { bit } else { 0 };
        self.down = self.down & !bit | if pull == Pull::Down { bit } else { 0 };
    }

    /// The resistor at `pin`.
    #[must_use]
    pub fn pull(&self, pin: u32) -> Pull {
        if self.up >> pin & 1 != 0 {
            Pull::Up
        } else if self.down >> pin & 1 != 0 {
            Pull::Down
        } else {
            Pull::None
        }
    }

    /// The button FLASH or the transistor at DTR pulls GPIO0 low, or lets it go.
    pub fn set_gpio0_low(&mut self, low: bool) {
        self.gpio0_low = low;
    }

    /// All of it, with the pins that parts hold.
    #[must_use]
    pub fn outside(&self, parts_low: u32, parts_high: u32) -> Outside {
        Outside {
            low: self.held_low | u32::from(self.gpio0_low) | parts_low,
            high: self.held_high | parts_high,
            up: self.up,
            down: self.down,
        }
    }
}

/// GPIO of D0 to D8 on a NodeMCU.
const PLACES: [u32; 9] = [16, 5, 4, 0, 2, 14, 12, 13, 15];

/// What a NodeMCU has printed at a pin.
#[must_use]
pub fn place(pin: u32) -> &'static str {
    const NAMES: [&str; 9] = ["D0", "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8"];
    match PLACES.iter().position(|gpio| *gpio == pin) {
        Some(place) => NAMES[place],
        None if pin == 1 => "TX",
        None if pin == 3 => "RX",
        None if pin == 9 => "SD2",
        None if pin == 10 => "SD3",
        None => "",
    }
}

/// A pin by its number (`4`), name (`GPIO4`) or place on a NodeMCU (`D2`); 0 to 16.
///
/// # Errors
/// With the names that there are.
pub fn pin(text: &str) -> Result<u32, String> {
    let upper = text.to_ascii_uppercase();
    let number = |digits: &str| digits.parse::<u32>().ok();
    let found = match (upper.strip_prefix("GPIO"), upper.strip_prefix('D')) {
        (Some(digits), _) => number(digits),
        (_, Some(digits)) => number(digits).and_then(|place| PLACES.get(place as usize).copied()),
        _ => number(&upper),
    };
    match found {
        Some(pin) if pin <= RTC_PIN => Ok(pin),
        _ => Err(format!("{text}: a pin is D0 to D8, GPIO0 to GPIO16, or 0 to 16")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_wins_then_high_then_resistors() {
        let mut wiring = Wiring::new(0b1);
        let levels = |wiring: &Wiring| wiring.outside(0, 0).levels(0);
        assert_eq!(levels(&wiring), 0b1);
        wiring.hold(1, Drive::High);
        assert_eq!(levels(&wiring), 0b11);
        assert_eq!(wiring.outside(0b10, 0b100).levels(0), 0b101, "a part's low wins");
        wiring.hold(1, Drive::Open);
        wiring.set_pull(0, Pull::None);
        assert_eq!((levels(&wiring), wiring.pull(0)), (0, Pull::None));
        assert_eq!(wiring.outside(0, 0).levels(0b1), 0b1, "the chip's own pull-up");
        wiring.set_pull(0, Pull::Down);
        assert_eq!(wiring.outside(0, 0).levels(0b1), 0, "is weaker than a resistor to ground");
        wiring.set_gpio0_low(true);
        assert_eq!(wiring.outside(0, 1).levels(0b1), 0);
    }

    #[test]
    fn pins_have_three_names() {
        for text in ["D2", "d2", "GPIO4", "gpio4", "4"] {
            assert_eq!(pin(text), Ok(4), "{text}");
        }
        assert_eq!((pin("D0"), pin("gpio16")), (Ok(16), Ok(16)));
        for text in ["D9", "GPIO17", "-1", "", "D", "4294967296", "GPIO"] {
            assert!(pin(text).is_err(), "{text}");
        }
    }
}
