//! BME280: temperature, pressure and humidity on I2C (Bosch, BST-BME280-DS002).

use serde_json::{Value, json};

use super::i2c::I2cDevice;
use super::spi::SpiDevice;
use super::{MS, number, unknown};

/// Register addresses (data sheet, table 18).
mod reg {
    pub const CALIBRATION: std::ops::RangeInclusive<u8> = 0x88..=0xA1;
    pub const ID: u8 = 0xD0;
    pub const RESET: u8 = 0xE0;
    pub const CALIBRATION_HUMIDITY: std::ops::RangeInclusive<u8> = 0xE1..=0xE7;
    pub const CTRL_HUM: u8 = 0xF2;
    pub const STATUS: u8 = 0xF3;
    pub const CTRL_MEAS: u8 = 0xF4;
    pub const CONFIG: u8 = 0xF5;
    pub const DATA: std::ops::RangeInclusive<u8> = 0xF7..=0xFE;
}

const ID: u8 = 0x60;
const RESET_WORD: u8 = 0xB6;
/// STATUS: it measures.
const MEASURING: u8 = 1 << 3;
/// What the data registers hold for what was not measured.
const SKIPPED: Raw = Raw { temperature: 0x8_0000, pressure: 0x8_0000, humidity: 0x8000 };

// One sensor's calibration: that of temperature and pressure is the data sheet's example
// for the same formulas (BMP280, section 3.12), that of humidity a usual one.
const T1: i32 = 27_504;
const T: [i32; 2] = [26_435, -1000];
const P1: i64 = 36_477;
const P: [i64; 8] = [-10_685, 3024, 2855, 140, -7, 15_500, -14_600, 6000];
const H1: i32 = 75;
const H2: i32 = 362;
const H3: i32 = 0;
const H4: i32 = 313;
const H5: i32 = 50;
const H6: i32 = 30;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Raw {
    temperature: u32,
    pressure: u32,
    humidity: u32,
}

/// The temperature in the unit of the other formulas.
fn fine(adc: u32) -> i32 {
    let adc = adc as i32;
    let first = (((adc >> 3) - (T1 << 1)) * T[0]) >> 11;
    let second = (((((adc >> 4) - T1) * ((adc >> 4) - T1)) >> 12) * T[1]) >> 14;
    first + second
}

/// In hundredths of a degree.
fn temperature(adc: u32) -> i32 {
    (fine(adc) * 5 + 128) >> 8
}

/// In 1/256 Pa.
fn pressure(adc: u32, fine: i32) -> i64 {
    let [p2, p3, p4, p5, p6, p7, p8, p9] = P;
    let var1 = i64::from(fine) - 128_000;
    let var2 = var1 * var1 * p6 + ((var1 * p5) << 17) + (p4 << 35);
    let var1 = ((var1 * var1 * p3) >> 8) + ((var1 * p2) << 12);
    let var1 = (((1 << 47) + var1) * P1) >> 33;
    if var1 == 0 {
        return 0;
    }
    let p = (((1_048_576 - i64::from(adc)) << 31) - var2) * 3125 / var1;
    let first = (p9 * (p >> 13) * (p >> 13)) >> 25;
    let second = (p8 * p) >> 19;
    ((p + first + second) >> 8) + (p7 << 4)
}

/// In 1/1024 per cent.
fn humidity(adc: u32, fine: i32) -> i32 {
    let v = i64::from(fine - 76_800);
    let [h1, h2, h3, h4, h5, h6] = [H1, H2, H3, H4, H5, H6].map(i64::from);
    let slope = (((v * h6) >> 10) * (((v * h3) >> 11) + 32_768)) >> 10;
    let v = (((i64::from(adc) << 14) - (h4 << 20) - h5 * v + 16_384) >> 15)
        * (((slope + 2_097_152) * h2 + 8192) >> 14);
    let v = v - (((((v >> 15) * (v >> 15)) >> 7) * h1) >> 4);
    (v.clamp(0, 419_430_400) >> 12) as i32
}

/// The smallest value below `end` at which `reached` holds: it holds for all above.
fn first(end: u32, reached: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, end - 1);
    while low < high {
        let middle = u32::midpoint(low, high);
        if reached(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The sensor.
#[derive(Clone, Debug)]
pub struct Bme280 {
    address: u8,
    /// Degrees Celsius, Pa, per cent.
    temperature: f64,
    pressure: f64,
    humidity: f64,
    ctrl_hum: u8,
    /// CTRL_HUM counts from the next write of CTRL_MEAS on.
    humidity_on: u8,
    ctrl_meas: u8,
    config: u8,
    data: Raw,
    busy_until: u64,
    pointer: u8,
    /// Of a write: whether the next byte is a register's address.
    addressing: bool,
    /// At SPI: whether registers are read.
    reading: bool,
    measured: u64,
}

impl Default for Bme280 {
    fn default() -> Self {
        Self {
            address: 0x76,
            temperature: 21.5,
            pressure: 101_325.0,
            humidity: 40.0,
            ctrl_hum: 0,
            humidity_on: 0,
            ctrl_meas: 0,
            config: 0,
            data: SKIPPED,
            busy_until: 0,
            pointer: 0,
            reading: false,
            addressing: true,
            measured: 0,
        }
    }
}

impl Bme280 {
    fn calibration(register: u8) -> u8 {
        let mut bytes = Vec::with_capacity(26);
        bytes.extend((T1 as u16).to_le_bytes());
        T.iter().for_each(|value| bytes.extend((*value as i16).to_le_bytes()));
        bytes.extend((P1 as u16).to_le_bytes());
        P.iter().for_each(|value| bytes.extend((*value as i16).to_le_bytes()));
        bytes.extend([0, H1 as u8]);
        bytes.get(usize::from(register - reg::CALIBRATION.start())).copied().unwrap_or(0)
    }

    fn calibration_humidity(register: u8) -> u8 {
        let [h2, h2_high] = (H2 as i16).to_le_bytes();
        let bytes = [
            h2,
            h2_high,
            H3 as u8,
            (H4 >> 4) as u8,
            (H4 & 0xF | (H5 & 0xF) << 4) as u8,
            (H5 >> 4) as u8,
            H6 as u8,
        ];
        bytes[usize::from(register - reg::CALIBRATION_HUMIDITY.start())]
    }

    /// Raw values from which the formulas make what is measured.
    fn measure(&mut self) {
        self.measured += 1;
        let wanted = (self.temperature * 100.0).round() as i32;
        let t = first(1 << 20, |adc| temperature(adc) >= wanted);
        let fine = fine(t);
        let wanted = (self.pressure * 256.0) as i64;
        let p = first(1 << 20, |adc| pressure(adc, fine) <= wanted);
        let wanted = (self.humidity * 1024.0) as i32;
        let h = first(1 << 16, |adc| humidity(adc, fine) >= wanted);
        let on = |oversampling: u8, value, skipped| if oversampling == 0 { skipped } else { value };
        self.data = Raw {
            temperature: on(self.ctrl_meas >> 5, t, SKIPPED.temperature),
            pressure: on(self.ctrl_meas >> 2 & 7, p, SKIPPED.pressure),
            humidity: on(self.humidity_on & 7, h, SKIPPED.humidity),
        };
    }

    /// Longest time of a measurement in nanoseconds (section 9.1).
    fn duration(&self) -> u64 {
        let times = |bits: u8| if bits == 0 { 0.0 } else { f64::from(1 << (bits.min(5) - 1)) };
        let part = |bits: u8, extra: f64| match times(bits) {
            0.0 => 0.0,
            times => 2.3 * times + extra,
        };
        let ms = 1.25
            + part(self.ctrl_meas >> 5, 0.0)
            + part(self.ctrl_meas >> 2 & 7, 0.575)
            + part(self.humidity_on & 7, 0.575);
        (ms * MS as f64) as u64
    }

    fn register(&mut self, register: u8, now: u64) -> u8 {
        let [_, t2, t1, t0] = (self.data.temperature << 4).to_be_bytes();
        let [_, p2, p1, p0] = (self.data.pressure << 4).to_be_bytes();
        let [_, _, h1, h0] = self.data.humidity.to_be_bytes();
        match register {
            reg::ID => ID,
            reg::CTRL_HUM => self.ctrl_hum,
            reg::STATUS => {
                if now < self.busy_until {
                    MEASURING
                } else {
                    0
                }
            }
            reg::CTRL_MEAS => {
                // Forced mode ends by itself.
                let forced = matches!(self.ctrl_meas & 3, 1 | 2);
                self.ctrl_meas & if forced && now >= self.busy_until { !3 } else { !0 }
            }
            reg::CONFIG => self.config,
            register if reg::CALIBRATION.contains(&register) => Self::calibration(register),
            register if reg::CALIBRATION_HUMIDITY.contains(&register) => {
                Self::calibration_humidity(register)
            }
            register if reg::DATA.contains(&register) => {
                [p2, p1, p0, t2, t1, t0, h1, h0][usize::from(register - reg::DATA.start())]
            }
            _ => 0,
        }
    }

    fn store(&mut self, register: u8, value: u8, now: u64) {
        match register {
            reg::RESET if value == RESET_WORD => I2cDevice::power_on(self),
            reg::CTRL_HUM => self.ctrl_hum = value & 7,
            reg::CTRL_MEAS => {
                self.ctrl_meas = value;
                self.humidity_on = self.ctrl_hum;
                if value & 3 != 0 {
                    self.measure();
                    self.busy_until = now + self.duration();
                }
            }
            reg::CONFIG => self.config = value,
            _ => {}
        }
    }
}

impl I2cDevice for Bme280 {
    fn kind(&self) -> &'static str {
        "bme280"
    }

    fn address(&self) -> u8 {
        self.address
    }

    fn start(&mut self, read: bool) {
        self.addressing = !read;
        // In normal mode it measures all the time; a burst is of one measurement.
        if read && self.ctrl_meas & 3 == 3 {
            self.measure();
        }
    }

    fn write(&mut self, byte: u8, now: u64) -> bool {
        // Pairs of address and value (section 6.2.1).
        if self.addressing {
            self.pointer = byte;
        } else {
            self.store(self.pointer, byte, now);
        }
        self.addressing = !self.addressing;
        true
    }

    fn read(&mut self, now: u64) -> u8 {
        let byte = self.register(self.pointer, now);
        self.pointer = self.pointer.wrapping_add(1);
        byte
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "temperature" => self.temperature = number(key, value, -40.0, 85.0)?,
            "pressure" => self.pressure = number(key, value, 30_000.0, 110_000.0)?,
            "humidity" => self.humidity = number(key, value, 0.0, 100.0)?,
            "address" => {
                self.address = match value {
                    "0x76" => 0x76,
                    "0x77" => 0x77,
                    _ => return Err("address: 0x76 or 0x77".to_owned()),
                };
            }
            _ => {
                return Err(unknown(
                    "bme280",
                    key,
                    "temperature, pressure (Pa), humidity, address",
                ));
            }
        }
        Ok(())
    }

    fn state(&self, _now: u64) -> Value {
        json!({
            "temperature": self.temperature,
            "pressure": self.pressure,
            "humidity": self.humidity,
            "address": format!("{:#x}", self.address),
            "measured": self.measured,
        })
    }

    fn power_on(&mut self) {
        let Self { address, temperature, pressure, humidity, measured, .. } = *self;
        *self = Self { address, temperature, pressure, humidity, measured, ..Self::default() };
    }
}

/// Section 6.3: a byte whose bit 7 says that registers are read from there on, or an address without
/// bit 7 and its value, by turns.
impl SpiDevice for Bme280 {
    fn kind(&self) -> &'static str {
        "bme280spi"
    }

    fn select(&mut self) {
        self.addressing = true;
        self.reading = false;
    }

    fn next(&mut self, now: u64) -> u8 {
        if self.reading { I2cDevice::read(self, now) } else { 0 }
    }

    fn take(&mut self, byte: u8, now: u64) {
        if self.reading {
            // Whatever it is.
        } else if self.addressing && byte & 0x80 != 0 {
            I2cDevice::start(self, true);
            (self.pointer, self.reading) = (byte, true);
        } else {
            I2cDevice::write(self, byte | if self.addressing { 0x80 } else { 0 }, now);
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        I2cDevice::set(self, key, value)
    }

    fn state(&self, now: u64) -> Value {
        I2cDevice::state(self, now)
    }

    fn power_on(&mut self) {
        I2cDevice::power_on(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::bench::Bench;
    use crate::parts::i2c::master::{registers, send};

    #[test]
    fn formulas_give_the_data_sheets_example() {
        // BMP280 data sheet, section 3.12: 25.08 degrees and 100653.27 Pa.
        assert_eq!(temperature(519_888), 2508);
        assert_eq!(fine(519_888), 128_422);
        assert_eq!(pressure(415_148, 128_422) / 256, 100_653);
    }

    #[test]
    fn what_it_measures_can_be_computed_from_what_it_sends() {
        let mut bench = Bench::new(&["bme280:D2+D1"]);
        assert_eq!(registers(&mut bench, 0x76, 0xD0, 1), [0x60]);
        for (celsius, pascal, percent) in
            [(21.5, 101_325.0, 40.0), (-20.25, 87_000.0, 0.0), (84.0, 31_000.0, 99.5)]
        {
            for (key, value) in
                [("temperature", celsius), ("pressure", pascal), ("humidity", percent)]
            {
                bench.set("bme280", key, &value.to_string()).unwrap();
            }
            assert!(send(&mut bench, 0x76, &[0xF2, 1, 0xF4, 0x25]));
            assert_eq!(registers(&mut bench, 0x76, 0xF3, 1), [MEASURING]);
            bench.wait(10_000);
            assert_eq!(registers(&mut bench, 0x76, 0xF3, 1), [0]);
            assert_eq!(registers(&mut bench, 0x76, 0xF4, 1), [0x24], "asleep again");
            let data = registers(&mut bench, 0x76, 0xF7, 8);
            let twenty = |bytes: &[u8]| {
                u32::from(bytes[0]) << 12 | u32::from(bytes[1]) << 4 | u32::from(bytes[2]) >> 4
            };
            let (p, t) = (twenty(&data), twenty(&data[3..]));
            let h = u32::from(data[6]) << 8 | u32::from(data[7]);
            assert!((f64::from(temperature(t)) / 100.0 - celsius).abs() < 0.02);
            assert!((pressure(p, fine(t)) as f64 / 256.0 - pascal).abs() < 3.0);
            assert!((f64::from(humidity(h, fine(t))) / 1024.0 - percent).abs() < 0.1);
        }
    }

    #[test]
    fn the_calibration_is_the_one_of_the_formulas_and_what_is_off_is_skipped() {
        let mut bench = Bench::new(&["bme280:D2+D1,address=0x77"]);
        let bytes = registers(&mut bench, 0x77, 0x88, 26);
        assert_eq!(i32::from(u16::from_le_bytes([bytes[0], bytes[1]])), T1);
        assert_eq!(i64::from(i16::from_le_bytes([bytes[22], bytes[23]])), P[7]);
        assert_eq!(i32::from(bytes[25]), H1);
        let bytes = registers(&mut bench, 0x77, 0xE1, 7);
        assert_eq!(i32::from(bytes[3]) << 4 | i32::from(bytes[4] & 0xF), H4);
        assert_eq!(i32::from(bytes[5]) << 4 | i32::from(bytes[4] >> 4), H5);
        send(&mut bench, 0x77, &[0xF4, 0x21]);
        let data = registers(&mut bench, 0x77, 0xF7, 8);
        assert_eq!((&data[..3], &data[6..]), (&[0x80, 0, 0][..], &[0x80, 0][..]));
        send(&mut bench, 0x77, &[0xE0, 0xB6]);
        assert_eq!(registers(&mut bench, 0x77, 0xFA, 3), [0x80, 0, 0]);
    }
}
