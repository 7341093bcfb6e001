//! DS18B20: a thermometer on a 1-Wire bus. Several may share one pin.

use serde_json::{Value, json};

use super::{MS, Part, Script, US, Wires, number, unknown};
use crate::board::pins::Drive;

/// Low for so long is a reset (the data sheet: 480 us; masters are not exact).
const RESET: u64 = 400 * US;
/// From the master's edge to where a bit is sampled, and for how long a 0 is held.
const SAMPLE: u64 = 30 * US;
/// Family code.
const FAMILY: u8 = 0x28;
/// Temperature register after power-on: 85 degrees.
const POWER_ON: i16 = 85 * 16;

/// What the sensor waits for.
#[derive(Clone, Debug, PartialEq)]
enum State {
    /// A reset.
    Deaf,
    /// A ROM command.
    Rom,
    /// The 64 bits of an address, of which so many matched.
    Match(usize),
    /// A search at this bit: it sends the bit, its complement, and takes the master's choice.
    Search(usize, u8),
    /// A function command.
    Function,
    /// The three bytes of Write Scratchpad.
    Write(usize),
    /// It sends these bytes, from this bit on.
    Send(Vec<u8>, usize),
    /// It sends 0 until this time, then 1.
    Busy(u64),
}

/// The sensor.
#[derive(Clone, Debug)]
pub struct Ds18b20 {
    pin: u32,
    /// In sixteenths of a degree.
    temperature: i16,
    /// What was measured last.
    register: i16,
    /// Alarm limits and configuration: in the scratchpad, and kept without power.
    scratchpad: [u8; 3],
    eeprom: [u8; 3],
    serial: [u8; 8],
    state: State,
    byte: u8,
    bits: u8,
    /// When the wire fell.
    fell: Option<u64>,
    /// It takes no part in slots before: its presence pulse, or another's.
    deaf_until: u64,
    sample_at: Option<u64>,
    script: Script,
    conversions: u64,
}

/// The CRC of 1-Wire (x^8 + x^5 + x^4 + 1, reflected; Maxim's application note 27).
#[must_use]
pub fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0x8C } else { 0 })
    })
}

impl Ds18b20 {
    /// At `pin`, in a room of 21.5 degrees.
    #[must_use]
    pub fn new(pin: u32) -> Self {
        let mut sensor = Self {
            pin,
            temperature: 21 * 16 + 8,
            register: POWER_ON,
            scratchpad: [0; 3],
            eeprom: [0x4B, 0x46, 0x7F],
            serial: [0; 8],
            state: State::Deaf,
            byte: 0,
            bits: 0,
            fell: None,
            deaf_until: 0,
            sample_at: None,
            script: Script::default(),
            conversions: 0,
        };
        sensor.set_serial(1);
        sensor.scratchpad = sensor.eeprom;
        sensor
    }

    fn set_serial(&mut self, number: u64) {
        self.serial[0] = FAMILY;
        self.serial[1..7].copy_from_slice(&number.to_le_bytes()[..6]);
        self.serial[7] = crc8(&self.serial[..7]);
    }

    fn address_bit(&self, bit: usize) -> bool {
        self.serial[bit / 8] >> (bit % 8) & 1 != 0
    }

    /// The nine bytes of the scratchpad.
    fn contents(&self) -> Vec<u8> {
        let [low, high] = self.register.to_le_bytes();
        let [alarm_high, alarm_low, configuration] = self.scratchpad;
        let mut bytes = vec![low, high, alarm_high, alarm_low, configuration, 0xFF, 0x0C, 0x10];
        bytes.push(crc8(&bytes));
        bytes
    }

    /// Bits 6:5 of the configuration: 9 to 12 bits, in 94 to 750 ms.
    fn convert(&mut self, now: u64) {
        let coarse = 3 - u32::from(self.scratchpad[2] >> 5 & 3);
        self.register = self.temperature >> coarse << coarse;
        self.conversions += 1;
        self.state = State::Busy(now + ((750 * MS) >> coarse));
    }

    /// A bit to send in the slot that begins, if it is its turn to send.
    fn outgoing(&mut self, now: u64) -> Option<bool> {
        match &mut self.state {
            State::Search(bit, phase @ (0 | 1)) => {
                let (bit, complement) = (*bit, *phase == 1);
                *phase += 1;
                Some(self.address_bit(bit) != complement)
            }
            State::Send(bytes, at) => {
                // After the last it is silent: the wire reads 1.
                let bit = bytes.get(*at / 8).is_none_or(|byte| byte >> (*at % 8) & 1 != 0);
                *at += 1;
                Some(bit)
            }
            State::Busy(until) => Some(now >= *until),
            _ => None,
        }
    }

    /// The master wrote a bit.
    fn take(&mut self, bit: bool, now: u64) {
        let next = match self.state {
            State::Search(at, 2) => Some((at, State::Search(at + 1, 0))),
            State::Match(at) => Some((at, State::Match(at + 1))),
            _ => None,
        };
        if let Some((at, next)) = next {
            self.state = match at {
                _ if self.address_bit(at) != bit => State::Deaf,
                63 => State::Function,
                _ => next,
            };
            return;
        }
        self.byte = self.byte >> 1 | u8::from(bit) << 7;
        self.bits += 1;
        if self.bits == 8 {
            self.bits = 0;
            self.command(self.byte, now);
        }
    }

    fn command(&mut self, byte: u8, now: u64) {
        self.state = match (&self.state, byte) {
            (State::Rom, 0x33) => State::Send(self.serial.to_vec(), 0),
            (State::Rom, 0x55) => State::Match(0),
            (State::Rom, 0xCC) => State::Function,
            (State::Rom, 0xF0) => State::Search(0, 0),
            (State::Function, 0x44) => return self.convert(now),
            (State::Function, 0x4E) => State::Write(0),
            (State::Function, 0xBE) => State::Send(self.contents(), 0),
            (State::Function, 0x48) => {
                self.eeprom = self.scratchpad;
                State::Busy(now + 10 * MS)
            }
            (State::Function, 0xB8) => {
                self.scratchpad = self.eeprom;
                State::Busy(now)
            }
            // It has a supply of its own.
            (State::Function, 0xB4) => State::Busy(0),
            (State::Write(at), byte) => {
                let at = *at;
                // Of the configuration only the resolution can be written.
                self.scratchpad[at] = if at == 2 { byte & 0x60 | 0x1F } else { byte };
                if at == 2 { State::Deaf } else { State::Write(at + 1) }
            }
            _ => State::Deaf,
        };
    }
}

impl Part for Ds18b20 {
    fn kind(&self) -> &'static str {
        "ds18b20"
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.pin]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, _pin: u32, high: bool) {
        let now = wires.now();
        if high {
            let fell = self.fell.take();
            if now >= self.deaf_until && fell.is_some_and(|fell| now - fell >= RESET) {
                self.script.clear();
                self.script.at(now + 30 * US, Drive::Low);
                self.script.at(now + 150 * US, Drive::Open);
                self.deaf_until = now + 300 * US;
                self.sample_at = None;
                self.state = State::Rom;
                (self.byte, self.bits) = (0, 0);
            }
            return;
        }
        if now < self.deaf_until {
            return;
        }
        self.fell = Some(now);
        match self.outgoing(now) {
            Some(true) => {}
            Some(false) => {
                wires.drive(self.pin, Drive::Low);
                self.script.at(now + SAMPLE, Drive::Open);
            }
            None if self.state == State::Deaf => {}
            None => self.sample_at = Some(now + SAMPLE),
        }
    }

    fn wake(&mut self, wires: &mut Wires<'_>) {
        self.script.play(self.pin, wires);
        if self.sample_at.is_some_and(|at| at <= wires.now()) {
            self.sample_at = None;
            self.take(wires.level(self.pin), wires.now());
        }
    }

    fn next(&self) -> Option<u64> {
        self.script.next().into_iter().chain(self.sample_at).min()
    }

    fn set(&mut self, key: &str, value: &str, _wires: &mut Wires<'_>) -> Result<(), String> {
        match key {
            "temperature" => {
                self.temperature = (number(key, value, -55.0, 125.0)? * 16.0).round() as i16;
            }
            "serial" => {
                let number = u64::from_str_radix(value, 16).ok().filter(|n| *n < 1 << 48);
                self.set_serial(number.ok_or("serial: up to 12 hexadecimal digits")?);
            }
            _ => return Err(unknown("ds18b20", key, "temperature, serial")),
        }
        Ok(())
    }

    fn state(&self, _now: u64) -> Value {
        let rom: String = self.serial.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "temperature": f64::from(self.temperature) / 16.0,
            "rom": rom,
            "conversions": self.conversions,
        })
    }

    fn power_on(&mut self, _wires: &mut Wires<'_>) {
        self.register = POWER_ON;
        self.scratchpad = self.eeprom;
        self.state = State::Deaf;
        self.sample_at = None;
        self.script.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::bench::Bench;

    const PIN: u32 = 4;

    /// Whether somebody is there.
    fn reset(bench: &mut Bench) -> bool {
        bench.drive(PIN, Drive::Low);
        bench.wait(480);
        bench.drive(PIN, Drive::Open);
        bench.wait(70);
        let present = !bench.level(PIN);
        bench.wait(410);
        present
    }

    fn write_bit(bench: &mut Bench, bit: bool) {
        bench.drive(PIN, Drive::Low);
        bench.wait(if bit { 6 } else { 60 });
        bench.drive(PIN, Drive::Open);
        bench.wait(if bit { 64 } else { 10 });
    }

    fn read_bit(bench: &mut Bench) -> bool {
        bench.drive(PIN, Drive::Low);
        bench.wait(6);
        bench.drive(PIN, Drive::Open);
        bench.wait(9);
        let bit = bench.level(PIN);
        bench.wait(55);
        bit
    }

    fn write(bench: &mut Bench, bytes: &[u8]) {
        for byte in bytes {
            (0..8).for_each(|bit| write_bit(bench, byte >> bit & 1 != 0));
        }
    }

    fn read(bench: &mut Bench, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| (0..8).fold(0, |byte, bit| byte | u8::from(read_bit(bench)) << bit))
            .collect()
    }

    /// All addresses on the bus, as Maxim's application note 187 finds them.
    fn search(bench: &mut Bench) -> Vec<[u8; 8]> {
        let mut found = Vec::new();
        let (mut last, mut address) = (None, [0u8; 8]);
        loop {
            assert!(reset(bench));
            write(bench, &[0xF0]);
            let mut fork = None;
            for at in 0..64 {
                let (bit, complement) = (read_bit(bench), read_bit(bench));
                let choice = match (bit, complement) {
                    (true, true) => return found,
                    (false, false) => {
                        let choice = match last {
                            Some(last) if at < last => address[at / 8] >> (at % 8) & 1 != 0,
                            Some(last) => at == last,
                            None => false,
                        };
                        if !choice {
                            fork = Some(at);
                        }
                        choice
                    }
                    _ => bit,
                };
                address[at / 8] = address[at / 8] & !(1 << (at % 8)) | u8::from(choice) << (at % 8);
                write_bit(bench, choice);
            }
            found.push(address);
            assert!(found.len() < 10, "{found:x?}");
            last = fork;
            if fork.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn crc_of_the_application_note() {
        assert_eq!(crc8(&[0x02, 0x1C, 0xB8, 0x01, 0x00, 0x00, 0x00]), 0xA2);
    }

    #[test]
    fn a_temperature_with_conversion_and_checksum() {
        let mut bench = Bench::new(&["ds18b20:D2,temperature=-10.125"]);
        assert!(reset(&mut bench));
        write(&mut bench, &[0xCC, 0xBE]);
        assert_eq!(read(&mut bench, 2), [0x50, 0x05], "85 degrees until it has measured");
        assert!(reset(&mut bench));
        write(&mut bench, &[0xCC, 0x44]);
        assert!(!read_bit(&mut bench), "busy");
        bench.wait(750_000);
        assert!(read_bit(&mut bench));
        assert!(reset(&mut bench));
        write(&mut bench, &[0xCC, 0xBE]);
        let bytes = read(&mut bench, 9);
        // The data sheet's table 1: -10.125 is FF5E.
        assert_eq!(bytes[..2], [0x5E, 0xFF]);
        assert_eq!(crc8(&bytes), 0);
        assert_eq!(bench.state("ds18b20")["conversions"], 1);
    }

    #[test]
    fn nine_bits_are_quicker_and_coarser() {
        let mut bench = Bench::new(&["ds18b20:D2,temperature=21.9375"]);
        reset(&mut bench);
        write(&mut bench, &[0xCC, 0x4E, 0, 0, 0x1F]);
        reset(&mut bench);
        write(&mut bench, &[0xCC, 0x44]);
        bench.wait(94_000);
        assert!(read_bit(&mut bench));
        reset(&mut bench);
        write(&mut bench, &[0xCC, 0xBE]);
        assert_eq!(read(&mut bench, 5), [0x58, 0x01, 0, 0, 0x1F], "21.5");
    }

    #[test]
    fn several_share_a_pin_and_are_found_and_told_apart() {
        let mut bench = Bench::new(&[
            "ds18b20:D2,serial=1,temperature=1",
            "ds18b20:D2,serial=a2b3,temperature=2",
            "ds18b20:D2,serial=ffffffffffff,temperature=3",
        ]);
        let found = search(&mut bench);
        assert_eq!(found.len(), 3, "{found:x?}");
        for address in found {
            assert_eq!(crc8(&address), 0, "{address:x?}");
            reset(&mut bench);
            write(&mut bench, &[0xCC, 0x44]);
            bench.wait(800_000);
            reset(&mut bench);
            write(&mut bench, &[0x55]);
            write(&mut bench, &address);
            write(&mut bench, &[0xBE]);
            let degrees = match address[1] {
                1 => 1,
                0xB3 => 2,
                _ => 3,
            };
            assert_eq!(read(&mut bench, 2), [degrees << 4, 0]);
        }
    }
}
