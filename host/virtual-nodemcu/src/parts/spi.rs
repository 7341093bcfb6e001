//! The device's side of SPI, for devices that know nothing of edges.

use serde_json::Value;

use super::{Part, Wires};
use crate::board::pins::Drive;

/// What is at the other end of the bus. It works in the modes 0 and 3: both ends look at their line
/// when the clock rises, and change it when the clock falls.
pub trait SpiDevice {
    /// What it is.
    fn kind(&self) -> &'static str;

    /// Chip select went low.
    fn select(&mut self);

    /// The byte that it sends next.
    fn next(&mut self, now: u64) -> u8;

    /// The byte that came in meanwhile, at the time `now` (nanoseconds).
    fn take(&mut self, byte: u8, now: u64);

    /// As [`Part::set`].
    ///
    /// # Errors
    /// What is wrong with `key` or `value`.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String>;

    /// As [`Part::state`].
    fn state(&self, now: u64) -> Value;

    /// The power came on.
    fn power_on(&mut self);
}

/// A device at four pins.
#[derive(Clone, Debug)]
pub struct Spi<D> {
    clock: u32,
    mosi: u32,
    miso: u32,
    select: u32,
    /// The device.
    pub device: D,
    selected: bool,
    sends: u8,
    byte: u8,
    bits: u8,
}

impl<D: SpiDevice> Spi<D> {
    /// `device` at these pins: clock, MOSI, MISO, chip select.
    #[must_use]
    pub fn new([clock, mosi, miso, select]: [u32; 4], device: D) -> Self {
        Self { clock, mosi, miso, select, device, selected: false, sends: 0, byte: 0, bits: 0 }
    }

    fn put(&self, wires: &mut Wires<'_>) {
        let high = self.sends << (self.bits & 7) & 0x80 != 0;
        wires.drive(self.miso, if high { Drive::High } else { Drive::Low });
    }

    fn chip_select(&mut self, wires: &mut Wires<'_>, selected: bool) {
        self.selected = selected;
        (self.byte, self.bits) = (0, 0);
        if selected {
            self.device.select();
            self.sends = self.device.next(wires.now());
            self.put(wires);
        } else {
            wires.drive(self.miso, Drive::Open);
        }
    }
}

impl<D: SpiDevice> Part for Spi<D> {
    fn kind(&self) -> &'static str {
        self.device.kind()
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.clock, self.mosi, self.miso, self.select]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, pin: u32, high: bool) {
        if pin == self.select {
            self.chip_select(wires, !high);
        } else if pin != self.clock || !self.selected {
            // Data counts at the clock's edges.
        } else if high {
            self.byte = self.byte << 1 | u8::from(wires.level(self.mosi));
            self.bits += 1;
            if self.bits == 8 {
                self.device.take(self.byte, wires.now());
                (self.byte, self.bits) = (0, 0);
                self.sends = self.device.next(wires.now());
            }
        } else {
            self.put(wires);
        }
    }

    fn set(&mut self, key: &str, value: &str, _wires: &mut Wires<'_>) -> Result<(), String> {
        self.device.set(key, value)
    }

    fn state(&self, now: u64) -> Value {
        self.device.state(now)
    }

    fn power_on(&mut self, wires: &mut Wires<'_>) {
        self.device.power_on();
        self.chip_select(wires, !wires.level(self.select));
    }
}

#[cfg(test)]
mod tests {
    use crate::board::pins::Drive;
    use crate::parts::bench::Bench;

    const CLOCK: u32 = 14;
    const MOSI: u32 = 13;
    const MISO: u32 = 12;
    const SELECT: u32 = 5;

    /// Sends bytes in mode 0 (or 3, where the clock rests high) and says what comes back.
    fn exchange(bench: &mut Bench, rests: Drive, bytes: &[u8]) -> Vec<u8> {
        bench.drive(CLOCK, rests);
        bench.drive(SELECT, Drive::Low);
        let mut answer = Vec::new();
        for byte in bytes {
            let mut received = 0;
            for bit in (0..8).rev() {
                if rests == Drive::High {
                    bench.drive(CLOCK, Drive::Low);
                }
                let high = byte >> bit & 1 != 0;
                bench.drive(MOSI, if high { Drive::High } else { Drive::Low });
                bench.wait(1);
                received = received << 1 | u8::from(bench.level(MISO));
                bench.drive(CLOCK, Drive::High);
                bench.wait(1);
                if rests == Drive::Low {
                    bench.drive(CLOCK, Drive::Low);
                }
            }
            answer.push(received);
        }
        bench.drive(SELECT, Drive::High);
        answer
    }

    #[test]
    fn a_bme280_answers_in_the_modes_0_and_3() {
        for rests in [Drive::Low, Drive::High] {
            let mut bench = Bench::new(&["bme280spi:D5+D7+D6+D1"]);
            // Bit 7 says that it is read.
            assert_eq!(exchange(&mut bench, rests, &[0xD0, 0])[1], 0x60, "its id");
            exchange(&mut bench, rests, &[0x72, 1, 0x74, 0x25]);
            assert_eq!(exchange(&mut bench, rests, &[0xF2, 0])[1], 1, "what was written");
            bench.wait(20_000);
            let data = exchange(&mut bench, rests, &[0xF7, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_ne!(data[1..4], [0x80, 0, 0], "the pressure was measured");
        }
    }

    #[test]
    fn it_is_silent_until_it_is_selected() {
        let mut bench = Bench::new(&["bme280spi:D5+D7+D6+D1"]);
        assert!(bench.level(MISO), "let go");
        bench.drive(SELECT, Drive::Low);
        assert!(!bench.level(MISO));
        bench.drive(SELECT, Drive::High);
        assert!(bench.level(MISO), "let go again");
    }
}
