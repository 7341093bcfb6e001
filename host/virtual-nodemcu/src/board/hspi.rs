//! The SPI controller HSPI (SPI1 at 0x60000100) at its pins: GPIO12 (MISO), 13 (MOSI), 14 (clock)
//! and 15 (chip select), as far as the IOMUX gives them to it.
//!
//! A transfer takes its time, and each edge is there for whoever is wired to the pins. The registers
//! themselves are [`super::spi`]'s. Byte orders, delays and the halves of the buffer are not
//! modelled.

use super::spi::{Spi, reg};
use crate::snapshot::{check, keep};

const MISO: u32 = 12;
const MOSI: u32 = 13;
const CLOCK: u32 = 14;
const SELECT: u32 = 15;

/// The IOMUX's function of these pins for HSPI.
const FUNCTION: u32 = 2;

const CLOCK_IS_BUS: u32 = 1 << 31;
const CTRL_RECEIVE_LSB_FIRST: u32 = 1 << 25;
const CTRL_SEND_LSB_FIRST: u32 = 1 << 26;
const USER_DUPLEX: u32 = 1 << 0;
const USER_OUT_EDGE: u32 = 1 << 7;
const USER_MOSI: u32 = 1 << 27;
const USER_MISO: u32 = 1 << 28;
const USER_DUMMY: u32 = 1 << 29;
const USER_ADDRESS: u32 = 1 << 30;
const USER_COMMAND: u32 = 1 << 31;
const PIN_NO_SELECT: u32 = 1 << 0;
const PIN_IDLES_HIGH: u32 = 1 << 29;

/// One period of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bit {
    /// What MOSI shows.
    send: bool,
    /// Whether MISO counts.
    receive: bool,
}

/// A transfer under way.
#[derive(Clone, Debug, Default)]
struct Job {
    bits: Vec<Bit>,
    received: Vec<bool>,
    /// Half periods that have begun.
    halves: u64,
    /// When the first began, and how long each is, in units of 1/8 ns.
    start: u64,
    half: u64,
    second_edge: bool,
    receive_lsb_first: bool,
}

/// What the pins show, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Pins that are HSPI's.
    pub pins: u32,
    /// Of those, what it drives.
    pub driven: u32,
    /// And the high ones.
    pub high: u32,
}

/// The controller's side of the pins.
#[derive(Clone, Debug, Default)]
pub struct Hspi {
    pins: u32,
    idles_high: bool,
    clock: bool,
    mosi: bool,
    selects: bool,
    job: Option<Job>,
}

keep!(Bit { send, receive });
keep!(Job { bits, received, halves, start, half, second_edge, receive_lsb_first }, |job: &Job| {
    check(
        job.halves <= 2 * job.bits.len() as u64
            && job.received.len() <= job.bits.len()
            && (1..1 << 32).contains(&job.half)
            && job.start < 1 << 60,
        "a transfer of HSPI goes beyond its end",
    )
});
keep!(Hspi { pins, idles_high, clock, mosi, selects, job });

impl Hspi {
    /// The IOMUX gives `pin` this function.
    pub fn set_function(&mut self, pin: u32, function: u32) {
        if (MISO..=SELECT).contains(&pin) {
            self.pins = self.pins & !(1 << pin) | u32::from(function == FUNCTION) << pin;
        }
    }

    /// Whether a transfer shows at pins, and is not one with the flash.
    #[must_use]
    pub fn has_pins(&self) -> bool {
        self.pins >> CLOCK & 1 != 0
    }

    /// Whether a transfer is under way.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.job.is_some()
    }

    /// What the register PIN says of the clock at rest.
    pub fn set_pin_register(&mut self, value: u32) {
        let idles_high = value & PIN_IDLES_HIGH != 0;
        if self.job.is_none() {
            self.clock = idles_high;
        }
        self.idles_high = idles_high;
    }

    /// Begins the transfer that the registers describe at `time` (nanoseconds); the bus runs at
    /// `hz`.
    pub fn start(&mut self, spi: &Spi, time: u64, hz: u64) {
        let (user, pin) = (spi.get(reg::USER), spi.get(reg::PIN));
        let divisor = match spi.get(reg::CLOCK) {
            clock if clock & CLOCK_IS_BUS != 0 => 1,
            clock => u64::from((clock >> 18 & 0x1FFF) + 1) * u64::from((clock >> 12 & 0x3F) + 1),
        };
        self.set_pin_register(pin);
        self.selects = pin & PIN_NO_SELECT == 0;
        let job = Job {
            bits: bits(spi),
            received: Vec::new(),
            halves: 0,
            start: 8 * time,
            half: (4_000_000_000 * divisor / hz.max(1)).max(1),
            second_edge: self.idles_high != (user & USER_OUT_EDGE != 0),
            receive_lsb_first: spi.get(reg::CTRL) & CTRL_RECEIVE_LSB_FIRST != 0,
        };
        self.job = Some(job);
    }

    /// When the next half period begins, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.job.as_ref().map(|job| (job.start + job.halves * job.half).div_ceil(8))
    }

    /// Begins the next half period, with `levels` at the pins up to now. What was received, when
    /// the transfer has ended.
    pub fn step(&mut self, levels: u32) -> Option<Vec<u8>> {
        let job = self.job.as_mut()?;
        let (index, first_half) = ((job.halves / 2) as usize, job.halves % 2 == 0);
        job.halves += 1;
        let Some(bit) = job.bits.get(index) else {
            self.clock = self.idles_high;
            return self.job.take().map(|job| job.bytes());
        };
        if first_half {
            self.mosi = bit.send;
        } else if bit.receive {
            job.received.push(levels >> MISO & 1 != 0);
        }
        // The clock is away from its rest in one half of each period.
        self.clock = self.idles_high != (first_half == job.second_edge);
        None
    }

    /// What the pins show now.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let idle = !self.selects || self.job.is_none();
        let high = u32::from(self.mosi) << MOSI
            | u32::from(self.clock) << CLOCK
            | u32::from(idle) << SELECT;
        Shown { pins: self.pins, driven: self.pins & !(1 << MISO), high: high & self.pins }
    }
}

impl Job {
    /// The received bits as the buffer has them.
    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (i, bit)| {
                let place = if self.receive_lsb_first { i } else { 7 - i };
                byte | u8::from(*bit) << place
            })
        };
        self.received.chunks(8).map(byte).collect()
    }
}

/// The periods of the clock that the registers ask for: command, address, dummies, data.
fn bits(spi: &Spi) -> Vec<Bit> {
    let (user, user1, user2) = (spi.get(reg::USER), spi.get(reg::USER1), spi.get(reg::USER2));
    let lsb_first = spi.get(reg::CTRL) & CTRL_SEND_LSB_FIRST != 0;
    let of_byte = |byte: u8, i: u32| byte >> (if lsb_first { i } else { 7 - i }) & 1 != 0;
    let silent = Bit { send: false, receive: false };
    let mut bits = Vec::new();
    if user & USER_COMMAND != 0 {
        let command = (user2 as u16).to_le_bytes();
        let sent = (0..(user2 >> 28) + 1).map(|i| of_byte(command[(i / 8) as usize], i % 8));
        bits.extend(sent.map(|send| Bit { send, receive: false }));
    }
    if user & USER_ADDRESS != 0 {
        let address = spi.get(reg::ADDR);
        let sent = (0..(user1 >> 26) + 1).map(|i| address << i.min(31) >> 31 != 0);
        bits.extend(sent.map(|send| Bit { send, receive: false }));
    }
    if user & USER_DUMMY != 0 {
        bits.extend((0..(user1 & 0xFF) + 1).map(|_| silent));
    }
    let duplex = user & USER_DUPLEX != 0;
    if user & USER_MOSI != 0 {
        let buffer = spi.buffer();
        let sent = (0..(user1 >> 17 & 0x1FF) + 1).map(|i| of_byte(buffer[(i / 8) as usize], i % 8));
        bits.extend(sent.map(|send| Bit { send, receive: duplex }));
    }
    if user & USER_MISO != 0 && !(duplex && user & USER_MOSI != 0) {
        bits.extend((0..(user1 >> 8 & 0x1FF) + 1).map(|_| Bit { send: false, receive: true }));
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::flash::Flash;

    /// Sends 0xA5 in a mode, with MISO at MOSI: edges of the clock as (level, MOSI), and what comes
    /// back.
    fn loop_back(mode: u32, ctrl: u32) -> (Vec<(bool, bool)>, Vec<u8>, u64) {
        let (idles_high, second_edge) = (mode & 2 != 0, mode & 1 != 0);
        let mut flash = Flash::blank(0x10000);
        let mut spi = Spi::default();
        let user =
            USER_DUPLEX | USER_MOSI | if idles_high != second_edge { USER_OUT_EDGE } else { 0 };
        for (offset, value) in [
            (reg::CTRL, ctrl),
            // 80 MHz by 2 and by 40.
            (reg::CLOCK, 1 << 18 | 39 << 12 | 19 << 6 | 39),
            (reg::USER, user),
            (reg::USER1, 7 << 17 | 7 << 8),
            (reg::PIN, u32::from(idles_high) << 29),
            (reg::W0, 0xA5),
        ] {
            spi.write(offset, value, &mut flash);
        }
        let mut hspi = Hspi::default();
        for pin in MISO..=SELECT {
            hspi.set_function(pin, FUNCTION);
        }
        hspi.set_pin_register(spi.get(reg::PIN));
        assert_eq!(hspi.shown().high >> CLOCK & 1 != 0, idles_high, "at rest");
        assert!(hspi.shown().high >> SELECT & 1 != 0, "nobody is selected");
        hspi.start(&spi, 1000, 80_000_000);
        let (mut edges, mut clock, mut end) = (Vec::new(), idles_high, 0);
        while let Some(due) = hspi.next() {
            end = due;
            let level = |pin: u32| hspi.shown().high >> pin & 1 != 0;
            assert!(!level(SELECT) || hspi.busy());
            let levels = u32::from(level(MOSI)) << MISO;
            if let Some(bytes) = hspi.step(levels) {
                assert_eq!(hspi.shown().high >> CLOCK & 1 != 0, idles_high, "at rest again");
                if clock != idles_high {
                    edges.push((idles_high, false));
                }
                return (edges, bytes, end);
            }
            let shown = hspi.shown().high;
            if (shown >> CLOCK & 1 != 0) != clock {
                clock = !clock;
                edges.push((clock, shown >> MOSI & 1 != 0));
            }
        }
        panic!("no end at {end}");
    }

    #[test]
    fn the_four_modes_sample_where_they_should() {
        for mode in 0..4 {
            let (edges, bytes, end) = loop_back(mode, 0);
            assert_eq!(bytes, [0xA5], "mode {mode}");
            assert_eq!(edges.len(), 16, "mode {mode}");
            assert_eq!(end, 1000 + 8000, "eight periods of 1 us");
            // Who samples at the mode's edge gets the byte.
            let sampling = mode == 0 || mode == 3;
            let sampled = edges.iter().filter(|(level, _)| *level == sampling);
            let byte = sampled.fold(0u32, |byte, (_, mosi)| byte << 1 | u32::from(*mosi));
            assert_eq!(byte, 0xA5, "mode {mode}");
        }
    }

    #[test]
    fn the_lowest_bit_first() {
        let (edges, bytes, _) = loop_back(0, CTRL_SEND_LSB_FIRST | CTRL_RECEIVE_LSB_FIRST);
        let rising = edges.iter().filter(|(level, _)| *level);
        let byte = rising.fold(0u32, |byte, (_, mosi)| byte << 1 | u32::from(*mosi));
        assert_eq!((byte, bytes), (0xA5u32.reverse_bits() >> 24, vec![0xA5]));
    }

    #[test]
    fn a_command_with_an_address_and_dummies() {
        let mut flash = Flash::blank(0x10000);
        let mut spi = Spi::default();
        for (offset, value) in [
            (reg::USER, USER_COMMAND | USER_ADDRESS | USER_DUMMY | USER_MISO),
            (reg::USER1, 11 << 26 | 15 << 8 | 3),
            (reg::USER2, 7 << 28 | 0x9F),
            (reg::ADDR, 0xABC << 20),
        ] {
            spi.write(offset, value, &mut flash);
        }
        let bits = bits(&spi);
        let sent = bits[..20].iter().fold(0, |word, bit| word << 1 | u32::from(bit.send));
        assert_eq!(sent, 0x9FABC);
        assert!(bits[..24].iter().all(|bit| !bit.receive));
        assert_eq!(bits[24..], [Bit { send: false, receive: true }; 16]);
    }
}
