//! SSD1306: a monochrome screen of 128 by 64 pixels on I2C (Solomon Systech, SSD1306 rev. 1.1).

use serde_json::{Value, json};

use super::i2c::I2cDevice;
use super::unknown;

/// Pixels of a row.
pub const WIDTH: usize = 128;
/// Rows.
pub const HEIGHT: usize = 64;
const PAGES: u8 = 8;

/// How the address moves after a byte of data.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Horizontal,
    Vertical,
    Page,
}

/// The screen.
#[derive(Clone, Debug)]
pub struct Ssd1306 {
    address: u8,
    height: usize,
    memory: Box<[u8; WIDTH * HEIGHT / 8]>,
    on: bool,
    all_on: bool,
    inverse: bool,
    contrast: u8,
    mode: Mode,
    column: u8,
    page: u8,
    columns: (u8, u8),
    pages: (u8, u8),
    start_line: u8,
    mirror_columns: bool,
    mirror_rows: bool,
    /// A command and its bytes so far.
    command: Vec<u8>,
    /// Control byte: whether data follow, and whether only one byte does.
    control: Option<(bool, bool)>,
    written: u64,
}

impl Default for Ssd1306 {
    fn default() -> Self {
        Self {
            address: 0x3C,
            height: HEIGHT,
            // Its RAM holds anything at power-on; zero repeats.
            memory: Box::new([0; WIDTH * HEIGHT / 8]),
            on: false,
            all_on: false,
            inverse: false,
            contrast: 0x7F,
            mode: Mode::Page,
            column: 0,
            page: 0,
            columns: (0, 127),
            pages: (0, PAGES - 1),
            start_line: 0,
            mirror_columns: false,
            mirror_rows: false,
            command: Vec::new(),
            control: None,
            written: 0,
        }
    }
}

impl Ssd1306 {
    /// Whether a pixel is lit; (0, 0) is at the upper left of a module as it is sold, whose
    /// drivers mirror both directions (commands A1 and C8).
    #[must_use]
    pub fn pixel(&self, x: usize, y: usize) -> bool {
        if !self.on || x >= WIDTH || y >= self.height {
            return false;
        }
        if self.all_on {
            return true;
        }
        let x = if self.mirror_columns { x } else { WIDTH - 1 - x };
        let y = if self.mirror_rows { y } else { self.height - 1 - y };
        let line = (y + usize::from(self.start_line)) % HEIGHT;
        let lit = self.memory[line / 8 * WIDTH + x] >> (line % 8) & 1 != 0;
        lit != self.inverse
    }

    /// Rows of `#` (lit) and `.`.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        (0..self.height)
            .map(|y| (0..WIDTH).map(|x| if self.pixel(x, y) { '#' } else { '.' }).collect())
            .collect()
    }

    /// Bytes of a command, the first included.
    fn length(code: u8) -> usize {
        match code {
            0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB | 0xD6 | 0x23 => 2,
            0x21 | 0x22 | 0xA3 => 3,
            0x29 | 0x2A => 6,
            0x26 | 0x27 => 7,
            _ => 1,
        }
    }

    fn execute(&mut self) {
        let argument = |at: usize| self.command.get(at).copied().unwrap_or(0);
        let code = argument(0);
        match code {
            0x00..=0x0F => self.column = self.column & 0xF0 | code & 0xF,
            0x10..=0x1F => self.column = self.column & 0x0F | (code & 7) << 4,
            0x20 => {
                self.mode = match argument(1) & 3 {
                    0 => Mode::Horizontal,
                    1 => Mode::Vertical,
                    _ => Mode::Page,
                };
            }
            0x21 => {
                self.columns = (argument(1) & 0x7F, argument(2) & 0x7F);
                self.column = self.columns.0;
            }
            0x22 => {
                self.pages = (argument(1) & 7, argument(2) & 7);
                self.page = self.pages.0;
            }
            0x40..=0x7F => self.start_line = code & 0x3F,
            0x81 => self.contrast = argument(1),
            0xA0 | 0xA1 => self.mirror_columns = code & 1 != 0,
            0xA4 | 0xA5 => self.all_on = code & 1 != 0,
            0xA6 | 0xA7 => self.inverse = code & 1 != 0,
            0xAE | 0xAF => self.on = code & 1 != 0,
            0xB0..=0xB7 => self.page = code & 7,
            0xC0..=0xC7 => self.mirror_rows = false,
            0xC8..=0xCF => self.mirror_rows = true,
            // Timing, multiplex, charge pump, scrolling: they do not change what is in memory.
            _ => {}
        }
        self.command.clear();
    }

    fn data(&mut self, byte: u8) {
        self.memory[usize::from(self.page) * WIDTH + usize::from(self.column)] = byte;
        self.written += 1;
        let step = |at: &mut u8, (first, last): (u8, u8), most: u8| {
            let over = *at == last || *at == most;
            *at = if over { first } else { *at + 1 };
            over
        };
        match self.mode {
            Mode::Horizontal => {
                if step(&mut self.column, self.columns, 127) {
                    step(&mut self.page, self.pages, 7);
                }
            }
            Mode::Vertical => {
                if step(&mut self.page, self.pages, 7) {
                    step(&mut self.column, self.columns, 127);
                }
            }
            Mode::Page => drop(step(&mut self.column, (0, 127), 127)),
        }
    }
}

impl I2cDevice for Ssd1306 {
    fn kind(&self) -> &'static str {
        "ssd1306"
    }

    fn address(&self) -> u8 {
        self.address
    }

    fn start(&mut self, _read: bool) {
        // The bytes of a command may come in several transmissions, as some drivers send them.
        self.control = None;
    }

    fn write(&mut self, byte: u8, _now: u64) -> bool {
        match self.control {
            // Bit 6: data; bit 7: only one byte, then another control byte.
            None => self.control = Some((byte & 0x40 != 0, byte & 0x80 != 0)),
            Some((data, single)) => {
                if data {
                    self.data(byte);
                } else {
                    self.command.push(byte);
                    if self.command.len() >= Self::length(self.command[0]) {
                        self.execute();
                    }
                }
                if single {
                    self.control = None;
                }
            }
        }
        true
    }

    fn read(&mut self, _now: u64) -> u8 {
        // The status: bit 6 says that the display is off.
        if self.on { 0 } else { 0x40 }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match (key, value) {
            ("address", "0x3c" | "0x3C") => self.address = 0x3C,
            ("address", "0x3d" | "0x3D") => self.address = 0x3D,
            ("address", _) => return Err("address: 0x3c or 0x3d".to_owned()),
            ("height", "32") => self.height = 32,
            ("height", "64") => self.height = 64,
            ("height", _) => return Err("height: 32 or 64".to_owned()),
            _ => return Err(unknown("ssd1306", key, "address, height")),
        }
        Ok(())
    }

    fn state(&self, _now: u64) -> Value {
        json!({
            "on": self.on,
            "contrast": self.contrast,
            "bytes_written": self.written,
            "screen": self.rows(),
        })
    }

    fn power_on(&mut self) {
        let (address, height) = (self.address, self.height);
        *self = Self { address, height, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use crate::parts::bench::Bench;
    use crate::parts::i2c::master::send;

    /// The start sequence of the usual drivers.
    const INIT: [u8; 26] = [
        0x00, 0xAE, 0xD5, 0x80, 0xA8, 0x3F, 0xD3, 0x00, 0x40, 0x8D, 0x14, 0x20, 0x00, 0xA1, 0xC8,
        0xDA, 0x12, 0x81, 0xCF, 0xD9, 0xF1, 0xDB, 0x40, 0xA4, 0xA6, 0xAF,
    ];

    fn row(bench: &Bench, y: usize) -> String {
        bench.state("ssd1306")["screen"][y].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_drawn_can_be_read() {
        let mut bench = Bench::new(&["ssd1306:D2+D1"]);
        assert!(send(&mut bench, 0x3C, &INIT));
        assert_eq!(bench.state("ssd1306")["contrast"], 0xCF);
        assert!(send(&mut bench, 0x3C, &[0x00, 0x21, 10, 12, 0x22, 1, 2]));
        // Six bytes fill three columns of two pages, a seventh begins again.
        assert!(send(&mut bench, 0x3C, &[0x40, 0x01, 0x03, 0x80, 0xFF, 0, 0xFF, 0x05]));
        assert_eq!(&row(&bench, 8)[9..14], ".##..");
        assert_eq!(&row(&bench, 9)[9..14], "..#..");
        assert_eq!(&row(&bench, 10)[9..14], ".#...");
        assert_eq!(&row(&bench, 15)[9..14], "...#.");
        assert_eq!(&row(&bench, 16)[9..14], ".#.#.");
        send(&mut bench, 0x3C, &[0x80, 0xA7]);
        assert_eq!(&row(&bench, 8)[9..14], "#..##");
        send(&mut bench, 0x3C, &[0x00, 0xAE]);
        assert!(!row(&bench, 8).contains('#'));
    }

    /// As MicroPython's driver sends it: each byte of a command in a transmission of its own.
    #[test]
    fn a_command_may_come_in_pieces() {
        let mut bench = Bench::new(&["ssd1306:D2+D1"]);
        for byte in &INIT[1..] {
            assert!(send(&mut bench, 0x3C, &[0x80, *byte]));
        }
        for byte in [0x21, 0, 127, 0x22, 0, 7] {
            assert!(send(&mut bench, 0x3C, &[0x80, byte]));
        }
        assert!(send(&mut bench, 0x3C, &[0x40, 0xFF, 0x01]));
        assert_eq!(bench.state("ssd1306")["contrast"], 0xCF);
        assert_eq!(&row(&bench, 0)[..4], "##..");
        assert_eq!(&row(&bench, 7)[..4], "#...");
    }

    #[test]
    fn page_mode_and_single_control_bytes_and_nonsense() {
        let mut bench = Bench::new(&["ssd1306:D2+D1,height=32"]);
        send(
            &mut bench,
            0x3C,
            &[0x80, 0xAF, 0x80, 0xA1, 0x80, 0xC8, 0x80, 0xB1, 0x80, 0x05, 0x80, 0x11],
        );
        send(&mut bench, 0x3C, &[0xC0, 0x01, 0x40, 0x01]);
        assert_eq!(&row(&bench, 8)[20..24], ".##.");
        assert_eq!(bench.state("ssd1306")["screen"].as_array().unwrap().len(), 32);
        let mut noise = 1u32;
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..20)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (noise >> 24) as u8
                })
                .collect();
            send(&mut bench, 0x3C, &bytes);
        }
        assert_eq!(row(&bench, 0).len(), 128);
    }
}
