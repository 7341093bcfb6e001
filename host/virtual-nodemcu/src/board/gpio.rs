//! GPIO, and the straps that the ROM reads at reset.

/// Register offsets.
mod reg {
    pub const OUT: u32 = 0x00;
    pub const OUT_W1TS: u32 = 0x04;
    pub const OUT_W1TC: u32 = 0x08;
    pub const ENABLE: u32 = 0x0C;
    pub const ENABLE_W1TS: u32 = 0x10;
    pub const ENABLE_W1TC: u32 = 0x14;
    pub const IN: u32 = 0x18;
    pub const STATUS: u32 = 0x1C;
    pub const STATUS_W1TS: u32 = 0x20;
    pub const STATUS_W1TC: u32 = 0x24;
    pub const PIN0: u32 = 0x28;
    pub const PIN15: u32 = 0x64;
}

use super::hspi::Shown;
use super::pins::Outside;
use crate::snapshot::keep;

/// Bit of PINn: the output only pulls low.
const OPEN_DRAIN: u32 = 1 << 2;

/// Pins 0 to 15 (GPIO16 belongs to the RTC).
pub const PINS: u32 = 0xFFFF;

/// The pins. Levels at IN are what is driven from outside, or by the output if that is enabled.
#[derive(Clone, Debug)]
pub struct Gpio {
    out: u32,
    enable: u32,
    status: u32,
    pins: [u32; 16],
    open_drain: u32,
    /// Pins with the chip's own pull-up.
    pull_ups: u32,
    outside: Outside,
    straps: u32,
    /// Pins that another device has.
    other: Shown,
}

// What is outside comes from the board.
keep!(Gpio { out, enable, status, pins, open_drain, pull_ups, straps } but { outside, other });

impl Gpio {
    /// After a reset with `outside` at the pins, whose levels are latched as straps.
    #[must_use]
    pub fn new(outside: Outside) -> Self {
        let bit = |pin: u32| outside.levels(0) >> pin & 1;
        let straps = bit(15) << 2 | bit(0) << 1 | bit(2);
        Self {
            out: 0,
            enable: 0,
            status: 0,
            pins: [0; 16],
            open_drain: 0,
            pull_ups: 0,
            outside,
            straps,
            other: Shown::default(),
        }
    }

    /// The boot mode the straps ask for: 3 flash, 1 serial loader, others are not used on boards.
    #[must_use]
    pub fn boot_mode(&self) -> u32 {
        self.straps
    }

    /// The level of every pin.
    #[must_use]
    pub fn levels(&self) -> u32 {
        let low = self.drives() & !self.out();
        (self.driven_high() | self.outside.levels(self.pull_ups)) & !low & PINS
    }

    fn driven_high(&self) -> u32 {
        self.drives() & self.out() & !self.open_drain()
    }

    fn drives(&self) -> u32 {
        self.enable & !self.other.pins | self.other.driven
    }

    fn out(&self) -> u32 {
        self.out & !self.other.pins | self.other.high
    }

    fn open_drain(&self) -> u32 {
        self.open_drain & !self.other.pins
    }

    /// Another device shows this at its pins.
    pub fn set_other(&mut self, other: Shown) {
        let before = self.levels();
        self.other = other;
        self.sense(before);
    }

    /// Pins whose level is the chip's doing: it is an output, and no open drain that is let go.
    #[must_use]
    pub fn driven(&self) -> u32 {
        self.drives() & (!self.out() | !self.open_drain()) & PINS
    }

    /// Pins that drive their level.
    #[must_use]
    pub fn enabled(&self) -> u32 {
        self.drives()
    }

    /// Whether a pin asks for interrupt 4.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.status != 0
    }

    /// The outside does something else.
    pub fn set_outside(&mut self, outside: Outside) {
        let before = self.levels();
        self.outside = outside;
        self.sense(before);
    }

    /// The chip's pull-up at `pin` is on or off (IOMUX, bit 7).
    pub fn set_pull_up(&mut self, pin: u32, on: bool) {
        let before = self.levels();
        self.pull_ups = self.pull_ups & !(1 << pin) | u32::from(on) << pin;
        self.sense(before);
    }

    /// Reads the register at `offset`.
    #[must_use]
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            reg::OUT | reg::OUT_W1TS | reg::OUT_W1TC => self.out,
            reg::ENABLE | reg::ENABLE_W1TS | reg::ENABLE_W1TC => self.enable,
            reg::IN => self.straps << 16 | self.levels(),
            reg::STATUS | reg::STATUS_W1TS | reg::STATUS_W1TC => self.status,
            reg::PIN0..=reg::PIN15 => self.pins[(offset - reg::PIN0) as usize / 4],
            _ => 0,
        }
    }

    /// Writes the register at `offset`.
    pub fn write(&mut self, offset: u32, value: u32) {
        let before = self.levels();
        match offset {
            reg::OUT => self.out = value & PINS,
            reg::OUT_W1TS => self.out |= value & PINS,
            reg::OUT_W1TC => self.out &= !value,
            reg::ENABLE => self.enable = value & PINS,
            reg::ENABLE_W1TS => self.enable |= value & PINS,
            reg::ENABLE_W1TC => self.enable &= !value,
            reg::STATUS => self.status = value & PINS,
            reg::STATUS_W1TS => self.status |= value & PINS,
            reg::STATUS_W1TC => self.status &= !value,
            reg::PIN0..=reg::PIN15 => {
                let pin = (offset - reg::PIN0) / 4;
                self.pins[pin as usize] = value;
                let open = u32::from(value & OPEN_DRAIN != 0);
                self.open_drain = self.open_drain & !(1 << pin) | open << pin;
            }
            _ => {}
        }
        self.sense(before);
    }

    /// Sets interrupt status as PINn's type (bits 9:7) asks.
    fn sense(&mut self, before: u32) {
        let now = self.levels();
        for (pin, config) in self.pins.iter().enumerate() {
            let (was, is) = (before >> pin & 1 != 0, now >> pin & 1 != 0);
            let hit = match config >> 7 & 7 {
                1 => !was && is,
                2 => was && !is,
                3 => was != is,
                4 => !is,
                5 => is,
                _ => false,
            };
            self.status |= u32::from(hit) << pin;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(levels: u32) -> Gpio {
        Gpio::new(Outside::driven(levels))
    }

    #[test]
    fn straps_choose_the_boot_mode() {
        assert_eq!(at(PINS & !(1 << 15)).boot_mode(), 3);
        assert_eq!(at(PINS & !(1 << 15) & !1).boot_mode(), 1);
        assert_eq!(at(PINS & !(1 << 15)).read(reg::IN) >> 16, 3);
    }

    #[test]
    fn output_wins_only_where_enabled() {
        let mut gpio = at(PINS);
        gpio.write(reg::OUT_W1TC, 4);
        assert_eq!(gpio.levels(), PINS);
        gpio.write(reg::ENABLE_W1TS, 4);
        assert_eq!(gpio.levels(), PINS & !4);
        gpio.write(reg::OUT_W1TS, 4);
        assert_eq!(gpio.levels(), PINS);
    }

    #[test]
    fn edges_raise_the_interrupt() {
        let mut gpio = at(PINS);
        gpio.write(reg::PIN0, 2 << 7);
        gpio.set_outside(Outside::driven(PINS & !1));
        assert!(gpio.interrupt());
        gpio.write(reg::STATUS_W1TC, 1);
        assert!(!gpio.interrupt());
        gpio.set_outside(Outside::driven(PINS));
        assert!(!gpio.interrupt(), "falling edges only");
    }

    #[test]
    fn an_open_drain_only_pulls_low() {
        let mut gpio = Gpio::new(Outside { low: 0, high: 0, up: 1 << 4, down: 0 });
        gpio.write(reg::PIN0 + 16, OPEN_DRAIN);
        gpio.write(reg::ENABLE_W1TS, 1 << 4);
        assert_eq!((gpio.levels(), gpio.driven()), (0, 1 << 4));
        gpio.write(reg::OUT_W1TS, 1 << 4);
        assert_eq!((gpio.levels(), gpio.driven()), (1 << 4, 0));
        gpio.set_outside(Outside { low: 1 << 4, high: 0, up: 1 << 4, down: 0 });
        assert_eq!(gpio.levels(), 0);
        gpio.write(reg::PIN0 + 16, 0);
        assert_eq!(gpio.levels(), 1 << 4, "an output of the chip that drives wins");
    }

    #[test]
    fn the_chips_pull_up_holds_a_pin_that_nobody_drives() {
        let mut gpio = Gpio::new(Outside::default());
        assert_eq!(gpio.levels(), 0);
        gpio.set_pull_up(5, true);
        assert_eq!(gpio.levels(), 1 << 5);
        gpio.set_outside(Outside::driven(0));
        assert_eq!(gpio.levels(), 0);
    }
}
