//! The watchdog of the digital core: first an interrupt, then a reset.
//!
//! The SDK's "software watchdog" is this same hardware's first stage, the "hardware watchdog"
//! its second.

use crate::snapshot::{LATEST, check, keep};

/// Register offsets.
mod reg {
    pub const CTL: u32 = 0x00;
    pub const OP: u32 = 0x04;
    pub const OP_ND: u32 = 0x08;
    pub const RST: u32 = 0x14;
}

const CTL_ENABLE: u32 = 1 << 0;
const CTL_STAGE_1_NO_RESET: u32 = 1 << 1;
const CTL_STAGE_1_DISABLE: u32 = 1 << 2;
const FEED: u32 = 0x73;
/// Stage length is 2^n times this many nanoseconds.
const UNIT_NS: u64 = 800_000;

/// What a stage that ran out demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bite {
    /// Interrupt 8.
    Interrupt,
    /// Reset of the chip, cause 4.
    Reset,
}

/// The watchdog.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    control: u32,
    exponents: [u32; 2],
    /// When the running stage began, in nanoseconds.
    since: u64,
    second_stage: bool,
    raised: bool,
}

keep!(Watchdog { control, exponents, since, second_stage, raised }, |dog: &Watchdog| check(
    dog.exponents.iter().all(|exponent| *exponent <= 0xF) && dog.since < LATEST,
    "the watchdog has no such stage"
));

impl Watchdog {
    /// Whether the first stage ran out and nothing fed since.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.raised
    }

    /// Reads the register at `offset`.
    #[must_use]
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            reg::CTL => self.control,
            reg::OP => self.exponents[0],
            reg::OP_ND => self.exponents[1],
            _ => 0,
        }
    }

    /// Writes the register at `offset` at `time` nanoseconds.
    pub fn write(&mut self, offset: u32, value: u32, time: u64) {
        match offset {
            reg::CTL => {
                if self.control & CTL_ENABLE == 0 && value & CTL_ENABLE != 0 {
                    self.feed(time);
                }
                self.control = value;
            }
            reg::OP => self.exponents[0] = value & 0xF,
            reg::OP_ND => self.exponents[1] = value & 0xF,
            reg::RST if value & 0xFF == FEED => self.feed(time),
            _ => {}
        }
    }

    /// Starts it anew at `time`, both stages 0.8 ms << `exponent` long.
    pub fn start(&mut self, exponent: u32, time: u64) {
        *self =
            Self { control: CTL_ENABLE, exponents: [exponent; 2], since: time, ..Self::default() };
    }

    /// Its clock stood still for so many nanoseconds.
    pub fn stand_still(&mut self, nanoseconds: u64) {
        self.since += nanoseconds;
    }

    /// When the running stage ends, in nanoseconds; none while it is off.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let stage = usize::from(self.second_stage);
        (self.control & CTL_ENABLE != 0).then(|| self.since + (UNIT_NS << self.exponents[stage]))
    }

    /// Lets the time up to `time` pass; says what came due.
    pub fn advance(&mut self, time: u64) -> Option<Bite> {
        let due = self.next().filter(|due| *due <= time)?;
        self.since = due;
        if self.second_stage && self.control & CTL_STAGE_1_NO_RESET == 0 {
            return Some(Bite::Reset);
        }
        self.second_stage = !self.second_stage && self.control & CTL_STAGE_1_DISABLE == 0;
        self.raised = true;
        Some(Bite::Interrupt)
    }

    fn feed(&mut self, time: u64) {
        self.since = time;
        self.second_stage = false;
        self.raised = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Watchdog {
        let mut dog = Watchdog::default();
        dog.write(reg::OP, 10, 0);
        dog.write(reg::OP_ND, 5, 0);
        dog.write(reg::CTL, CTL_ENABLE, 1000);
        dog
    }

    #[test]
    fn fed_in_time_it_is_quiet() {
        let mut dog = running();
        for second in 0..100 {
            let time = 1000 + second * 800_000_000;
            assert_eq!(dog.advance(time), None);
            dog.write(reg::RST, FEED, time);
        }
    }

    #[test]
    fn interrupt_then_reset() {
        let mut dog = running();
        let first = 1000 + (UNIT_NS << 10);
        assert_eq!(dog.advance(first - 1), None);
        assert_eq!(dog.advance(first), Some(Bite::Interrupt));
        assert!(dog.interrupt());
        let second = first + (UNIT_NS << 5);
        assert_eq!(dog.next(), Some(second));
        dog.write(reg::RST, 0x74, first);
        assert_eq!(dog.advance(second), Some(Bite::Reset), "a wrong magic value feeds nothing");
    }

    #[test]
    fn off_or_without_reset() {
        let mut dog = running();
        dog.write(reg::CTL, CTL_ENABLE | CTL_STAGE_1_NO_RESET, 1000);
        let mut time = 1000;
        for _ in 0..10 {
            time = dog.next().unwrap();
            assert_eq!(dog.advance(time), Some(Bite::Interrupt));
        }
        dog.write(reg::CTL, 0, time);
        assert_eq!(dog.advance(u64::MAX), None);
    }
}
