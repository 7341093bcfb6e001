//! A board in a test: flash an image, wire parts, wait for what it says, press and measure.
//!
//! ```
//! use std::time::Duration;
//! use virtual_nodemcu::harness::VirtualBoard;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An image is what `esptool write-flash` writes, with its offset; this flash is blank.
//! let mut board = VirtualBoard::builder()
//!     .image(0, &[0xFF; 16])
//!     .part("dht22:D4,name=room,temperature=21.5")
//!     .part("button:D3")
//!     .build()?;
//! // The boot ROM finds no program, says so and tries again.
//! board.wait_for("ets Jan  8 2013", Duration::from_secs(60))?;
//! board.set_part("room", "temperature", "-3")?;
//! assert_eq!(board.part("room")?["temperature"], -3.0);
//! board.set_part("button", "pressed", "on")?;
//! board.run(Duration::from_millis(5));
//! assert!(!board.level("D3")?);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing of it needs a thread, a port or another process, so boards run side by side in one test
//! program. [`Builder::unpaced`] lets time on the board pass as fast as the host can execute it.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::board::flash::Flash;
use crate::board::machine::{Led, Machine};
use crate::board::net::Net;
use crate::board::pins::{self, Drive};
use crate::board::radio::settings::Settings;
use crate::board::rom;
use crate::board::rom::image::set_flash_size;
use crate::board::serial::{Input, Serial};
use crate::board::{Board, ResetCause};
use crate::parts::{Part, Spec};
use crate::snapshot::Snapshot;

/// How much at a time runs before somebody looks whether what is waited for was said.
const STEP: Duration = Duration::from_millis(10);
/// Bytes of flash unless the test wants another size.
const FLASH: usize = 4 << 20;

/// What a board is made of.
pub struct Builder {
    images: Vec<(usize, Vec<u8>)>,
    firmware: Option<Vec<u8>>,
    file: Option<PathBuf>,
    flash_size: usize,
    mac: [u8; 6],
    seed: u64,
    leds: Vec<String>,
    parts: Vec<String>,
    own: Vec<(String, Box<dyn Part>)>,
    access_points: Vec<String>,
    network: bool,
    paced: bool,
    snapshot: Option<Snapshot>,
}

impl Builder {
    /// The board goes on where this snapshot was taken, its flash included: images, flash size and
    /// station address are the snapshot's. Parts and access points are the builder's.
    #[must_use]
    pub fn snapshot(mut self, snapshot: &Snapshot) -> Self {
        self.flash_size = snapshot.flash_size();
        self.snapshot = Some(snapshot.clone());
        self
    }

    /// These bytes are in flash at `offset`, as they are.
    #[must_use]
    pub fn image(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.images.push((offset, bytes.to_vec()));
        self
    }

    /// This image is in flash at 0, and its header names the size of the flash: programs of the SDK
    /// (MicroPython, Arduino, ESPHome) look for their settings where it says.
    #[must_use]
    pub fn firmware(mut self, image: &[u8]) -> Self {
        self.firmware = Some(image.to_vec());
        self
    }

    /// The flash is this file, which is made if it is not there; what the program writes is kept.
    #[must_use]
    pub fn flash_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Size of the flash chip in bytes: a power of two, 64 KiB to 16 MiB.
    #[must_use]
    pub fn flash_size(mut self, bytes: usize) -> Self {
        self.flash_size = bytes;
        self
    }

    /// Station address.
    #[must_use]
    pub fn mac(mut self, mac: [u8; 6]) -> Self {
        self.mac = mac;
        self
    }

    /// Start value of the random source.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// An LED of the board, as with `--led`; without any it has the blue one at GPIO2.
    #[must_use]
    pub fn led(mut self, led: &str) -> Self {
        self.leds.push(led.to_owned());
        self
    }

    /// A part at pins, as with `--part`: `dht22:D4,temperature=21.5`.
    #[must_use]
    pub fn part(mut self, spec: &str) -> Self {
        self.parts.push(spec.to_owned());
        self
    }

    /// A part of the test's own.
    #[must_use]
    pub fn own_part(mut self, name: &str, part: Box<dyn Part>) -> Self {
        self.own.push((name.to_owned(), part));
        self
    }

    /// An access point in the air, as with `--ap`: `ssid=home,psk=passphrase`.
    #[must_use]
    pub fn access_point(mut self, settings: &str) -> Self {
        self.access_points.push(settings.to_owned());
        self
    }

    /// A cable in the network port, with this host at its other end.
    #[must_use]
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// The board's time passes as fast as the host can execute it, and in no time while the
    /// program sleeps. Not for what waits for the network or another process.
    #[must_use]
    pub fn unpaced(mut self) -> Self {
        self.paced = false;
        self
    }

    /// The board, just switched on.
    ///
    /// # Errors
    /// What is wrong with an image, a part, an LED, an access point, the flash file or the snapshot.
    pub fn build(self) -> Result<VirtualBoard> {
        if !self.flash_size.is_power_of_two() || !(1 << 16..=1 << 24).contains(&self.flash_size) {
            bail!("the flash has a power of two from 64 KiB to 16 MiB, not {}", self.flash_size);
        }
        let mut flash = match &self.file {
            Some(path) => Flash::open(path, self.flash_size)
                .with_context(|| format!("flash file {}", path.display()))?,
            None => Flash::blank(self.flash_size),
        };
        let firmware = self.firmware.map(|mut image| {
            set_flash_size(&mut image, self.flash_size);
            (0, image)
        });
        for (offset, image) in firmware.iter().chain(&self.images) {
            if offset.checked_add(image.len()).is_none_or(|end| end > self.flash_size) {
                bail!("an image of {} bytes at {offset:#x} is not within the flash", image.len());
            }
            flash.load(*offset, image);
        }
        let mut board = Board::new(flash, self.mac, self.seed);
        for text in &self.parts {
            let added = text.parse::<Spec>().and_then(|spec| board.add_part_like(&spec));
            added.map_err(|error| anyhow!("part {text}: {error}"))?;
        }
        for (name, part) in self.own {
            board.add_part(&name, part).map_err(|error| anyhow!("part {name}: {error}"))?;
        }
        let leds = if self.leds.is_empty() { vec!["blue=2".to_owned()] } else { self.leds };
        let leds = leds
            .iter()
            .map(|text| text.parse::<Led>().map_err(|error| anyhow!("LED {text}: {error}")))
            .collect::<Result<_>>()?;
        let (serial, input, output) = Serial::channel();
        // The banner comes before this end can follow the chip's speed. The other end is there.
        let _ = input.send(Input::Baud(rom::BAUD));
        let console = Rc::new(RefCell::new(String::new()));
        let log = Rc::clone(&console);
        let say = Box::new(move |text: &str| {
            // Writing to a String does not fail.
            let _ = writeln!(log.borrow_mut(), "{text}");
        });
        let net = self.network.then(Net::new);
        let mut machine = match &self.snapshot {
            Some(snapshot) => Machine::load(snapshot, board, serial, net, leds, say)?,
            None => Machine::new(board, serial, net, leds, say),
        };
        machine.follows_baud = true;
        machine.pace(self.paced);
        for text in &self.access_points {
            let added =
                Settings::parse(text).and_then(|settings| machine.add_access_point(settings));
            added.map_err(|error| anyhow!("access point {text}: {error}"))?;
        }
        Ok(VirtualBoard {
            machine,
            input,
            output,
            torn: Vec::new(),
            serial: String::new(),
            at: 0,
            console,
        })
    }
}

/// A board, and both ends of its serial line.
pub struct VirtualBoard {
    /// The machine, for everything that has no short way here.
    pub machine: Machine,
    input: Sender<Input>,
    output: Receiver<Vec<u8>>,
    /// The start of a character whose rest has not come yet.
    torn: Vec<u8>,
    serial: String,
    /// Where in `serial` what was not waited for yet begins.
    at: usize,
    console: Rc<RefCell<String>>,
}

impl VirtualBoard {
    /// A NodeMCU with 4 MiB of blank flash, to begin with.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            images: Vec::new(),
            firmware: None,
            file: None,
            flash_size: FLASH,
            mac: [0x5C, 0xCF, 0x7F, 0x12, 0x34, 0x56],
            seed: 1,
            leds: Vec::new(),
            parts: Vec::new(),
            own: Vec::new(),
            access_points: Vec::new(),
            network: false,
            paced: true,
            snapshot: None,
        }
    }

    /// Lets the board run for so long, by its own clock.
    pub fn run(&mut self, time: Duration) {
        let end = self.time() + time;
        while self.time() < end && !self.machine.is_powered_and_held().1 {
            let left = (end - self.time()).min(STEP);
            self.machine.run_for(left);
        }
        self.collect();
    }

    /// The board's time since it was made.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.machine.board.clock.nanoseconds(self.machine.cpu.cycles()))
    }

    fn collect(&mut self) {
        for bytes in self.output.try_iter() {
            self.torn.extend(bytes);
        }
        let last = self.torn.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
        let more = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
        let whole = self.torn.len() - if more { last.len() } else { 0 };
        let rest = self.torn.split_off(whole);
        self.serial.push_str(&String::from_utf8_lossy(&self.torn));
        self.torn = rest;
    }

    /// Runs until `text` comes over the serial line, after what was waited for before; what came up
    /// to its end. `patience` is of the wall clock: how long until the test gives up.
    ///
    /// # Errors
    /// With what came instead.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String> {
        let start = Instant::now();
        loop {
            self.collect();
            if let Some(found) = self.serial[self.at..].find(text) {
                let end = self.at + found + text.len();
                let came = self.serial[self.at..end].to_owned();
                self.at = end;
                return Ok(came);
            }
            if start.elapsed() > patience {
                bail!(
                    "no {text:?} after {patience:?}; the serial line said {:?}, the console:\n{}",
                    &self.serial[self.at..],
                    self.console.borrow()
                );
            }
            self.run(STEP);
        }
    }

    /// The same for the console, from its beginning: resets, LEDs, exceptions, access points.
    ///
    /// # Errors
    /// With what is there instead.
    pub fn wait_for_console(&mut self, text: &str, patience: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.console.borrow().contains(text) {
            if start.elapsed() > patience {
                bail!("no {text:?} on the console:\n{}", self.console.borrow());
            }
            self.run(STEP);
        }
        Ok(())
    }

    /// Everything that came over the serial line so far, as UTF-8; U+FFFD is what is none.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Everything that the console said so far.
    #[must_use]
    pub fn console(&self) -> String {
        self.console.borrow().clone()
    }

    /// Sends this over the serial line.
    pub fn send(&mut self, text: &str) {
        // The other end lives as long as the machine.
        let _ = self.input.send(Input::Data(text.as_bytes().to_vec()));
    }

    /// The level at a pin: `D4`, `GPIO2` or `2`.
    ///
    /// # Errors
    /// There is no such pin.
    pub fn level(&self, pin: &str) -> Result<bool> {
        let pin = pins::pin(pin).map_err(|error| anyhow!(error))?;
        Ok(self.machine.board.gpio.levels() >> pin & 1 != 0)
    }

    /// Holds a pin low or high, or lets it go.
    ///
    /// # Errors
    /// There is no such pin.
    pub fn drive(&mut self, pin: &str, drive: Drive) -> Result<()> {
        let pin = pins::pin(pin).map_err(|error| anyhow!(error))?;
        self.machine.board.hold_pin(pin, drive);
        Ok(())
    }

    /// What the ADC measures from now on: 0 to 1023.
    pub fn set_adc(&mut self, value: u16) {
        self.machine.board.adc = value.min(1023);
    }

    /// What a part measures, shows or does.
    ///
    /// # Errors
    /// There is no such part.
    pub fn part(&self, name: &str) -> Result<Value> {
        let now = self.time().as_nanos() as u64;
        self.machine.board.parts.state(name, now).map_err(|error| anyhow!(error))
    }

    /// Changes what a part measures or does.
    ///
    /// # Errors
    /// There is no such part or setting, or the value is wrong.
    pub fn set_part(&mut self, name: &str, key: &str, value: &str) -> Result<()> {
        let setting = [(key.to_owned(), value.to_owned())];
        self.machine.board.set_part(name, &setting).map_err(|error| anyhow!(error))
    }

    /// The state of the board, from which others start ([`Builder::snapshot`]): after a boot that
    /// takes long, for example.
    ///
    /// # Errors
    /// What of it cannot be kept now: parts, access points, a deep sleep.
    pub fn save(&mut self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.machine.save()?)?)
    }

    /// The button RST, pressed and let go.
    pub fn reset(&mut self) {
        self.machine.reset(ResetCause::External);
    }

    /// The power off and on again.
    pub fn power_cycle(&mut self) {
        self.machine.reset(ResetCause::PowerOn);
    }
}
