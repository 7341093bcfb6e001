//! DHT22 (AM2302): temperature and humidity over one wire of its own kind.

use serde_json::{Value, json};

use super::{Part, Script, US, Wires, number, truth, unknown};
use crate::board::pins::Drive;

/// Shortest start signal of the host.
const START: u64 = 800 * US;

/// The sensor. Times are those of Aosong's data sheet of the AM2302, table 6.
#[derive(Clone, Debug)]
pub struct Dht22 {
    pin: u32,
    /// In tenths of a degree Celsius.
    temperature: i32,
    /// In tenths of a per cent.
    humidity: u16,
    answers: bool,
    damaged: bool,
    script: Script,
    fell: Option<u64>,
    readings: u64,
}

impl Dht22 {
    /// At `pin`, in a room of 21.5 degrees and 40 % relative humidity.
    #[must_use]
    pub fn new(pin: u32) -> Self {
        Self {
            pin,
            temperature: 215,
            humidity: 400,
            answers: true,
            damaged: false,
            script: Script::default(),
            fell: None,
            readings: 0,
        }
    }

    /// The five bytes that it sends: humidity, temperature as sign and amount, sum.
    fn frame(&self) -> [u8; 5] {
        let sign = if self.temperature < 0 { 0x8000 } else { 0 };
        let [t1, t0] = (self.temperature.unsigned_abs() as u16 | sign).to_be_bytes();
        let [h1, h0] = self.humidity.to_be_bytes();
        let sum = [h1, h0, t1, t0].into_iter().fold(0, u8::wrapping_add);
        [h1, h0, t1, t0, if self.damaged { !sum } else { sum }]
    }

    fn answer(&mut self, now: u64) {
        self.readings += 1;
        let frame = self.frame();
        let mut at = now + 30 * US;
        let mut pulse = |low: u64, high: u64| {
            self.script.at(at, Drive::Low);
            self.script.at(at + low * US, Drive::Open);
            at += (low + high) * US;
        };
        pulse(80, 80);
        for bit in frame.into_iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
            pulse(50, if bit != 0 { 70 } else { 26 });
        }
        pulse(50, 0);
    }
}

impl Part for Dht22 {
    fn kind(&self) -> &'static str {
        "dht22"
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.pin]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, _pin: u32, high: bool) {
        if !self.script.is_empty() {
            return;
        }
        if !high {
            self.fell = Some(wires.now());
        } else if let Some(fell) = self.fell.take()
            && wires.now() - fell >= START
            && self.answers
        {
            self.answer(wires.now());
        }
    }

    fn wake(&mut self, wires: &mut Wires<'_>) {
        self.script.play(self.pin, wires);
    }

    fn next(&self) -> Option<u64> {
        self.script.next()
    }

    fn set(&mut self, key: &str, value: &str, _wires: &mut Wires<'_>) -> Result<(), String> {
        match key {
            "temperature" => {
                self.temperature = (number(key, value, -40.0, 80.0)? * 10.0).round() as i32;
            }
            "humidity" => self.humidity = (number(key, value, 0.0, 100.0)? * 10.0).round() as u16,
            "answers" => self.answers = truth(key, value)?,
            "damaged" => self.damaged = truth(key, value)?,
            _ => return Err(unknown("dht22", key, "temperature, humidity, answers, damaged")),
        }
        Ok(())
    }

    fn state(&self, _now: u64) -> Value {
        json!({
            "temperature": f64::from(self.temperature) / 10.0,
            "humidity": f64::from(self.humidity) / 10.0,
            "answers": self.answers,
            "damaged": self.damaged,
            "readings": self.readings,
        })
    }

    fn power_on(&mut self, _wires: &mut Wires<'_>) {
        self.script.clear();
        self.fell = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::bench::Bench;

    /// Reads it as drivers do: by the length of the high pulses.
    fn read(bench: &mut Bench) -> Vec<u8> {
        bench.drive(2, Drive::Low);
        bench.wait(1_100);
        bench.edges.clear();
        bench.drive(2, Drive::Open);
        bench.wait(6_000);
        let rises: Vec<_> = bench.edges.iter().filter(|edge| edge.2).map(|edge| edge.0).collect();
        let falls: Vec<_> = bench.edges.iter().filter(|edge| !edge.2).map(|edge| edge.0).collect();
        // The host's own release, then the answer's 80 us, then 40 bits.
        let bits: Vec<_> = rises.iter().zip(&falls).skip(2).map(|(r, f)| f - r > 48 * US).collect();
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | u8::from(*bit)))
            .collect()
    }

    #[test]
    fn a_reading_with_its_checksum_and_below_zero() {
        let mut bench = Bench::new(&["dht22:D4,temperature=21.5,humidity=65.2"]);
        assert_eq!(read(&mut bench), [0x02, 0x8C, 0x00, 0xD7, 0x65]);
        bench.set("dht22", "temperature", "-10.1").unwrap();
        // The data sheet's example of a temperature below zero.
        assert_eq!(read(&mut bench)[2..4], [0x80, 0x65]);
        assert!(bench.level(2), "the wire is let go");
        bench.set("dht22", "damaged", "on").unwrap();
        let frame = read(&mut bench);
        let sum = frame[..4].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_ne!(sum, frame[4]);
        assert_eq!(bench.state("dht22")["readings"], 3);
    }

    #[test]
    fn no_answer_to_a_short_start_or_when_it_is_broken() {
        let mut bench = Bench::new(&["dht22:D4"]);
        bench.drive(2, Drive::Low);
        bench.wait(500);
        bench.drive(2, Drive::Open);
        bench.wait(6_000);
        assert_eq!(bench.edges.len(), 2);
        bench.set("dht22", "answers", "off").unwrap();
        assert!(read(&mut bench).is_empty());
    }
}
