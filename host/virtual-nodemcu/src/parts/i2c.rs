//! The device's side of I2C, for devices that know nothing of edges.

use serde_json::Value;

use super::{Part, Wires};
use crate::board::pins::Drive;

/// What is behind an address on the bus. It never stretches the clock.
pub trait I2cDevice {
    /// What it is.
    fn kind(&self) -> &'static str;

    /// Its address, 7 bits.
    fn address(&self) -> u8;

    /// It was addressed, for reading or writing.
    fn start(&mut self, read: bool);

    /// A byte for it at the time `now` (nanoseconds); whether it takes it.
    fn write(&mut self, byte: u8, now: u64) -> bool;

    /// A byte from it.
    fn read(&mut self, now: u64) -> u8;

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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Until the next start condition.
    Idle,
    /// Bits of a byte come in; the first byte is the address.
    Take { address: bool },
    /// It acknowledges, and then goes on as this says.
    Acknowledge { read: bool },
    /// Bits of a byte go out.
    Give,
    /// The master acknowledges, or not.
    Acknowledged,
}

/// A device on SDA and SCL.
#[derive(Clone, Debug)]
pub struct I2c<D> {
    sda: u32,
    scl: u32,
    /// The device.
    pub device: D,
    phase: Phase,
    byte: u8,
    bits: u8,
    goes_on: bool,
}

impl<D: I2cDevice> I2c<D> {
    /// `device` at these pins.
    #[must_use]
    pub fn new(sda: u32, scl: u32, device: D) -> Self {
        Self { sda, scl, device, phase: Phase::Idle, byte: 0, bits: 0, goes_on: false }
    }

    /// SDA changed while SCL is high: a start or stop condition.
    fn condition(&mut self, start: bool) {
        (self.byte, self.bits) = (0, 0);
        self.phase = if start { Phase::Take { address: true } } else { Phase::Idle };
    }

    fn clock_rose(&mut self, sda: bool) {
        match self.phase {
            Phase::Take { .. } => {
                self.byte = self.byte << 1 | u8::from(sda);
                self.bits += 1;
            }
            Phase::Give => self.bits += 1,
            Phase::Acknowledged => self.goes_on = !sda,
            Phase::Idle | Phase::Acknowledge { .. } => {}
        }
    }

    /// Data changes while the clock is low.
    fn clock_fell(&mut self, wires: &mut Wires<'_>) {
        match self.phase {
            Phase::Take { address } if self.bits == 8 => {
                let (good, read) = if address {
                    let read = self.byte & 1 != 0;
                    let mine = self.byte >> 1 == self.device.address();
                    if mine {
                        self.device.start(read);
                    }
                    (mine, read)
                } else {
                    (self.device.write(self.byte, wires.now()), false)
                };
                (self.byte, self.bits) = (0, 0);
                self.phase = if good { Phase::Acknowledge { read } } else { Phase::Idle };
                wires.drive(self.sda, if good { Drive::Low } else { Drive::Open });
            }
            Phase::Acknowledge { read: false } => {
                self.phase = Phase::Take { address: false };
                wires.drive(self.sda, Drive::Open);
            }
            Phase::Acknowledge { read: true } => self.give(wires),
            Phase::Give if self.bits == 8 => {
                self.phase = Phase::Acknowledged;
                wires.drive(self.sda, Drive::Open);
            }
            Phase::Give => self.put(wires),
            Phase::Acknowledged if self.goes_on => self.give(wires),
            Phase::Acknowledged => self.phase = Phase::Idle,
            Phase::Idle | Phase::Take { .. } => {}
        }
    }

    fn give(&mut self, wires: &mut Wires<'_>) {
        self.byte = self.device.read(wires.now());
        self.bits = 0;
        self.phase = Phase::Give;
        self.put(wires);
    }

    fn put(&mut self, wires: &mut Wires<'_>) {
        let bit = self.byte << self.bits & 0x80 != 0;
        wires.drive(self.sda, if bit { Drive::Open } else { Drive::Low });
    }
}

impl<D: I2cDevice> Part for I2c<D> {
    fn kind(&self) -> &'static str {
        self.device.kind()
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.sda, self.scl]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, pin: u32, high: bool) {
        if pin == self.sda {
            if wires.level(self.scl) {
                self.condition(!high);
                wires.drive(self.sda, Drive::Open);
            }
        } else if high {
            self.clock_rose(wires.level(self.sda));
        } else {
            self.clock_fell(wires);
        }
    }

    fn set(&mut self, key: &str, value: &str, _wires: &mut Wires<'_>) -> Result<(), String> {
        self.device.set(key, value)
    }

    fn state(&self, now: u64) -> Value {
        self.device.state(now)
    }

    fn power_on(&mut self, _wires: &mut Wires<'_>) {
        self.phase = Phase::Idle;
        self.device.power_on();
    }
}

#[cfg(test)]
pub(crate) mod master {
    //! A master at D2 (SDA) and D1 (SCL).

    use crate::board::pins::Drive;
    use crate::parts::bench::Bench;

    const SDA: u32 = 4;
    const SCL: u32 = 5;

    fn line(bench: &mut Bench, pin: u32, high: bool) {
        bench.drive(pin, if high { Drive::Open } else { Drive::Low });
        bench.wait(2);
    }

    pub fn start(bench: &mut Bench) {
        line(bench, SDA, true);
        line(bench, SCL, true);
        line(bench, SDA, false);
        line(bench, SCL, false);
    }

    pub fn stop(bench: &mut Bench) {
        line(bench, SDA, false);
        line(bench, SCL, true);
        line(bench, SDA, true);
    }

    fn clock(bench: &mut Bench) -> bool {
        line(bench, SCL, true);
        let bit = bench.level(SDA);
        line(bench, SCL, false);
        bit
    }

    /// Whether it was acknowledged.
    pub fn write(bench: &mut Bench, byte: u8) -> bool {
        for bit in (0..8).rev() {
            line(bench, SDA, byte >> bit & 1 != 0);
            clock(bench);
        }
        line(bench, SDA, true);
        !clock(bench)
    }

    pub fn read(bench: &mut Bench, more: bool) -> u8 {
        line(bench, SDA, true);
        let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(clock(bench)));
        line(bench, SDA, !more);
        clock(bench);
        line(bench, SDA, true);
        byte
    }

    pub fn send(bench: &mut Bench, address: u8, bytes: &[u8]) -> bool {
        start(bench);
        let good = write(bench, address << 1) && bytes.iter().all(|byte| write(bench, *byte));
        stop(bench);
        good
    }

    /// Registers of a device, from `register` on, after a repeated start.
    pub fn registers(bench: &mut Bench, address: u8, register: u8, count: usize) -> Vec<u8> {
        start(bench);
        assert!(write(bench, address << 1));
        assert!(write(bench, register));
        start(bench);
        assert!(write(bench, address << 1 | 1));
        let bytes = (1..=count).map(|n| read(bench, n < count)).collect();
        stop(bench);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::master::{read, registers, send, start, stop, write};
    use crate::parts::bench::Bench;

    #[test]
    fn addresses_are_acknowledged_by_whom_they_name() {
        let mut bench = Bench::new(&["bme280:D2+D1", "ssd1306:D2+D1"]);
        for address in 0..128 {
            let there = matches!(address, 0x76 | 0x3C);
            assert_eq!(send(&mut bench, address, &[]), there, "{address:#x}");
        }
        assert!(bench.level(4) && bench.level(5));
        // A transfer broken off leaves nothing behind.
        start(&mut bench);
        assert!(write(&mut bench, 0x76 << 1));
        assert!(write(&mut bench, 0xD0));
        start(&mut bench);
        assert!(write(&mut bench, 0x76 << 1 | 1));
        read(&mut bench, true);
        stop(&mut bench);
        assert!(!bench.level(4), "it sends its next byte: a zero, so there is no stop");
        // Nine clocks free the wire, as every master knows.
        read(&mut bench, false);
        stop(&mut bench);
        assert!(bench.level(4) && bench.level(5));
        assert_eq!(registers(&mut bench, 0x76, 0xD0, 1), [0x60]);
    }
}
