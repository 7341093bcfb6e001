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

/// Offsets of the RTC's registers for GPIO16, from 0x60000700 (SDK, eagle_soc.h): output, its
/// enable, input, and the pad, which shows the output when its function (bits 6, 1:0) is 1.
mod rtc {
    pub const OUT: u32 = 0x68;
    pub const ENABLE: u32 = 0x74;
    pub const IN: u32 = 0x8C;
    pub const PAD: u32 = 0xA0;
    pub const PAD_FUNCTION: u32 = 0x43;
}

/// Bits of PINn: the output only pulls low; the level that its type names ends a light sleep.
const OPEN_DRAIN: u32 = 1 << 2;
const WAKES: u32 = 1 << 10;

/// Pins 0 to 16.
pub const PINS: u32 = 0x1_FFFF;
/// Those of the GPIO registers: 0 to 15.
const OWN: u32 = 0xFFFF;
/// The RTC's.
pub const RTC_PIN: u32 = 16;

/// The pins. Levels at IN are what is driven from outside, or by the output if that is enabled.
#[derive(Clone, Debug, Default)]
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
    /// GPIO16: its output is enabled, and its pad shows it.
    rtc_enable: bool,
    rtc_pad: u32,
}

// What is outside comes from the board.
keep!(
    Gpio { out, enable, status, pins, open_drain, pull_ups, straps, rtc_enable, rtc_pad }
    but { outside, other }
);

impl Gpio {
    /// After a reset with `outside` at the pins, whose levels are latched as straps.
    #[must_use]
    pub fn new(outside: Outside) -> Self {
        let bit = |pin: u32| outside.levels(0) >> pin & 1;
        let straps = bit(15) << 2 | bit(0) << 1 | bit(2);
        Self { outside, straps, ..Self::default() }
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
            reg::OUT | reg::OUT_W1TS | reg::OUT_W1TC => self.out & OWN,
            reg::ENABLE | reg::ENABLE_W1TS | reg::ENABLE_W1TC => self.enable & OWN,
            reg::IN => self.straps << 16 | self.levels() & OWN,
            reg::STATUS | reg::STATUS_W1TS | reg::STATUS_W1TC => self.status,
            reg::PIN0..=reg::PIN15 => self.pins[(offset - reg::PIN0) as usize / 4],
            _ => 0,
        }
    }

    /// Writes the register at `offset`.
    pub fn write(&mut self, offset: u32, value: u32) {
        let before = self.levels();
        match offset {
            reg::OUT => self.out = self.out & !OWN | value & OWN,
            reg::OUT_W1TS => self.out |= value & OWN,
            reg::OUT_W1TC => self.out &= !(value & OWN),
            reg::ENABLE => self.enable = self.enable & !OWN | value & OWN,
            reg::ENABLE_W1TS => self.enable |= value & OWN,
            reg::ENABLE_W1TC => self.enable &= !(value & OWN),
            reg::STATUS => self.status = value & OWN,
            reg::STATUS_W1TS => self.status |= value & OWN,
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

    /// Reads the RTC's register at `offset`, if it is one of GPIO16's.
    #[must_use]
    pub fn read_rtc(&self, offset: u32) -> Option<u32> {
        match offset {
            rtc::OUT => Some(self.out >> RTC_PIN),
            rtc::ENABLE => Some(self.rtc_enable.into()),
            rtc::IN => Some(self.levels() >> RTC_PIN),
            rtc::PAD => Some(self.rtc_pad),
            _ => None,
        }
    }

    /// Writes the RTC's register at `offset`; whether it is one of GPIO16's.
    pub fn write_rtc(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            rtc::OUT => self.out = self.out & OWN | (value & 1) << RTC_PIN,
            rtc::ENABLE => self.rtc_enable = value & 1 != 0,
            rtc::IN => {}
            rtc::PAD => self.rtc_pad = value,
            _ => return false,
        }
        let shown = self.rtc_enable && self.rtc_pad & rtc::PAD_FUNCTION == 1;
        self.enable = self.enable & OWN | u32::from(shown) << RTC_PIN;
        true
    }

    /// Whether a pin has the level by which it ends a light sleep.
    #[must_use]
    pub fn wakes(&self) -> bool {
        let levels = self.levels();
        self.pins.iter().enumerate().any(|(pin, config)| {
            let high = levels >> pin & 1 != 0;
            config & WAKES != 0 && matches!((config >> 7 & 7, high), (4, false) | (5, true))
        })
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
        assert_eq!(at(PINS & !(1 << 15)).read(reg::IN) >> 16, 3, "GPIO16 is not among them");
    }

    #[test]
    fn gpio16_is_the_rtcs() {
        let mut gpio = at(PINS);
        assert_eq!((gpio.read_rtc(rtc::IN), gpio.driven()), (Some(1), 0));
        assert!(gpio.write_rtc(rtc::ENABLE, 1));
        assert_eq!(gpio.enabled(), 0, "its pad shows something else");
        gpio.write_rtc(rtc::PAD, 1);
        assert_eq!((gpio.read_rtc(rtc::IN), gpio.enabled()), (Some(0), 1 << 16));
        gpio.write_rtc(rtc::OUT, 3);
        assert_eq!((gpio.read_rtc(rtc::OUT), gpio.levels()), (Some(1), PINS));
        // The registers of the others have nothing to do with it.
        gpio.write(reg::OUT, 0);
        gpio.write(reg::ENABLE, 0);
        gpio.write(reg::OUT_W1TC, u32::MAX);
        gpio.write(reg::ENABLE_W1TC, u32::MAX);
        assert_eq!((gpio.levels(), gpio.enabled()), (PINS, 1 << 16));
        assert_eq!((gpio.read(reg::OUT), gpio.read(reg::ENABLE)), (0, 0));
        assert!(!gpio.write_rtc(0, 1) && gpio.read_rtc(4).is_none());
    }

    #[test]
    fn a_level_wakes_where_it_may() {
        let mut gpio = at(PINS);
        gpio.write(reg::PIN0 + 16, 4 << 7);
        gpio.set_outside(Outside::driven(PINS & !(1 << 4)));
        assert!(!gpio.wakes());
        gpio.write(reg::PIN0 + 16, 4 << 7 | WAKES);
        assert!(gpio.wakes());
        gpio.write(reg::PIN0 + 16, 5 << 7 | WAKES);
        assert!(!gpio.wakes());
        gpio.write(reg::PIN0 + 16, 2 << 7 | WAKES);
        assert!(!gpio.wakes(), "edges do not");
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
