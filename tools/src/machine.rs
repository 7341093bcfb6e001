//! A board that runs on this machine, whichever it is: QEMU's, or a virtual NodeMCU that is
//! flashed through its serial port as a real one is.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use board_facts::{Board, Machine as Kind};

use crate::console::Console;
use crate::device;
use crate::esptool::Esptool;
use crate::flash::{self, Port};
use crate::image::{CODE_OFFSET, FLASH_SIZE, Image};
use crate::monitor;
use crate::programs::Owned;
use crate::qemu::{Emulator, EmulatorOptions};
use crate::status::Led;

/// What one calls a board that runs on this machine.
#[must_use]
pub fn title(board: &Board) -> String {
    match board.machine {
        Kind::Qemu => format!("An {}", board.title),
        Kind::Esp8266 => format!("A virtual {}", board.title),
    }
}

/// The line of the console that shows the application's light itself in that state, which is
/// more than what the firmware says of it.
#[must_use]
pub fn led_line(board: &Board, led: Led) -> String {
    let light = &board.led;
    format!("[board] LED {} (GPIO{}) {}", light.name, light.gpio, led.word())
}

/// A running board; it ends when dropped.
pub trait Machine {
    /// What the device writes to its serial console, and what the board shows.
    fn console(&self) -> &Console;

    /// Waits until the board ends by itself; `None` when `limit` passes first.
    ///
    /// # Errors
    /// When the operating system does not answer.
    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>>;

    /// Ends the board and returns all lines of the console.
    fn finish(self: Box<Self>) -> Vec<String>;
}

impl Machine for Emulator {
    fn console(&self) -> &Console {
        &self.console
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        Self::wait(self, limit)
    }

    fn finish(self: Box<Self>) -> Vec<String> {
        Self::finish(*self)
    }
}

/// What to run, and on which board.
#[derive(Clone, Debug, clap::Args)]
pub struct Firmware {
    /// The firmware
    #[arg(long)]
    pub elf: PathBuf,
    /// The board to run on
    #[arg(long, default_value = "qemu", value_parser = Board::named)]
    pub board: Board,
    /// Folder of the board's flash files, instead of `image/BOARD` in the next one
    #[arg(long)]
    pub image: Option<PathBuf>,
    /// Folder of what was built: images, virtual board, esptool
    #[arg(long, default_value = "target")]
    pub target: PathBuf,
}

impl Firmware {
    /// Starts the board with this identity region. `folder` takes the board's files, and what
    /// the flash there holds already is not written again. With `echo` the console is printed.
    ///
    /// # Errors
    /// When something is missing or does not start, or flashing fails.
    pub fn start(&self, region: &[u8], folder: &Path, echo: bool) -> Result<Box<dyn Machine>> {
        if self.board.machine == Kind::Qemu {
            let mut options = EmulatorOptions::new(&self.elf);
            options.identity = Some(region.to_vec());
            options.echo = echo;
            return Ok(Box::new(Emulator::start(&options)?));
        }
        let usual = || self.target.join("image").join(&self.board.name);
        let image = Image::in_folder(&self.image.clone().unwrap_or_else(usual));
        let esptool = Esptool::set_up(&self.target.join("esptool"))?;
        let mut options = VirtualOptions::new(
            &self.board,
            &self.target.join("debug/virtual-nodemcu"),
            &folder.join(format!("{}-flash.bin", self.board.name)),
            &self.elf,
        );
        options.echo = echo;
        let mut board = VirtualBoard::start(&options)?;
        let identity = folder.join(format!("{}-identity.bin", self.board.name));
        device::save_region(region, &identity)?;
        let port = board.port();
        if holds(&options.flash, &image)? {
            flash::flash_identity(&esptool, &port, BAUD, "this device", &identity)?;
        } else {
            flash::flash(&esptool, &port, BAUD, &image, Some(&identity))?;
        }
        board.restart()?;
        Ok(Box::new(board))
    }
}

/// Bits per second to flash a virtual board by: the fastest of real boards.
const BAUD: u32 = 921_600;

/// Whether a flash file has that image in it.
fn holds(flash: &Path, image: &Image) -> Result<bool> {
    let flash = std::fs::read(flash).with_context(|| format!("cannot read {}", flash.display()))?;
    image.verify()?;
    let boot = std::fs::read(&image.boot)?;
    let code = std::fs::read(&image.code)?;
    Ok(flash.starts_with(&boot)
        && flash.get(CODE_OFFSET as usize..).is_some_and(|flash| flash.starts_with(&code)))
}

/// How to start a virtual board.
#[derive(Clone, Debug)]
pub struct VirtualOptions {
    /// Its lights, as the program takes them.
    pub leds: Vec<String>,
    /// `virtual-nodemcu`.
    pub program: PathBuf,
    /// Content of its flash; made, blank, when it is not there.
    pub flash: PathBuf,
    /// The firmware, for the names of code addresses.
    pub elf: PathBuf,
    /// Prints the console to standard output too.
    pub echo: bool,
    /// Further command line.
    pub further: Vec<OsString>,
}

impl VirtualOptions {
    /// A board with a network.
    #[must_use]
    pub fn new(board: &Board, program: &Path, flash: &Path, elf: &Path) -> Self {
        Self {
            leds: board.virtual_leds(),
            program: program.to_owned(),
            flash: flash.to_owned(),
            elf: elf.to_owned(),
            echo: false,
            further: Vec::new(),
        }
    }
}

/// A running virtual board; killed when dropped.
#[derive(Debug)]
pub struct VirtualBoard {
    process: Owned,
    port: Port,
    /// What the board shows, and, from [`VirtualBoard::restart`] on, what it sends.
    pub console: Console,
}

impl VirtualBoard {
    /// Switches it on.
    ///
    /// # Errors
    /// When the program is missing or says no port.
    pub fn start(options: &VirtualOptions) -> Result<Self> {
        if !options.program.is_file() {
            bail!("{} is missing: `make virtual-board` builds it", options.program.display());
        }
        if !options.flash.exists() {
            // A file of one's own: it will hold a private key.
            device::save_region(&vec![0xFF; FLASH_SIZE as usize], &options.flash)?;
        }
        let mut process = Owned::spawn(
            Command::new(&options.program)
                .args(options.leds.iter().flat_map(|led| ["--led", led]))
                .arg("--flash")
                .arg(&options.flash)
                .args(&options.further)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit()),
        )?;
        let output = process.child().stdout.take().context("no standard output")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).context("cannot read what the virtual board says")?;
        let port = line
            .trim_end()
            .strip_prefix("[board] serial port: ")
            .with_context(|| format!("the virtual board names no serial port but says {line:?}"))?;
        let port = Port { port: port.to_owned() };
        let console = Console::attach(output, &options.elf, options.echo)?;
        Ok(Self { process, port, console })
    }

    /// Its serial port.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port.clone()
    }

    /// Resets it, with its serial console listened to from the first byte on.
    ///
    /// # Errors
    /// When its port does not answer.
    pub fn restart(&mut self) -> Result<()> {
        self.console.follow(monitor::restart(&self.port)?)
    }

    /// Ends the board now.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Machine for VirtualBoard {
    fn console(&self) -> &Console {
        &self.console
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        self.process.wait(limit)
    }

    fn finish(mut self: Box<Self>) -> Vec<String> {
        self.process.kill();
        self.console.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_board_has_its_light() {
        for (board, on, off) in [
            ("qemu", "[board] LED blue (GPIO2) on", "[board] LED blue (GPIO2) off"),
            ("nodemcu", "[board] LED blue (GPIO2) on", "[board] LED blue (GPIO2) off"),
            ("huzzah", "[board] LED red (GPIO0) on", "[board] LED red (GPIO0) off"),
        ] {
            let board = Board::named(board).unwrap();
            assert_eq!(led_line(&board, Led::On), on);
            assert_eq!(led_line(&board, Led::Off), off);
        }
    }

    #[test]
    fn a_flash_file_holds_an_image_or_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::in_folder(folder.path());
        let mut boot = vec![0xE9, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xEF];
        std::fs::write(&image.boot, &boot).unwrap();
        std::fs::write(&image.code, [1, 2, 3]).unwrap();
        boot.resize(CODE_OFFSET as usize, 0xFF);
        boot.extend([1, 2, 3, 0xFF]);
        let flash = folder.path().join("flash.bin");
        std::fs::write(&flash, &boot).unwrap();
        assert!(holds(&flash, &image).unwrap());
        boot[CODE_OFFSET as usize + 2] = 9;
        std::fs::write(&flash, &boot).unwrap();
        assert!(!holds(&flash, &image).unwrap());
        std::fs::write(&flash, &boot[..100]).unwrap();
        assert!(!holds(&flash, &image).unwrap());
    }

    #[test]
    fn a_missing_program_says_what_builds_it() {
        let nowhere = Path::new("/nonexistent");
        let options =
            VirtualOptions::new(&Board::named("nodemcu").unwrap(), nowhere, nowhere, nowhere);
        let error = VirtualBoard::start(&options).unwrap_err().to_string();
        assert!(error.contains("`make virtual-board` builds it"), "{error}");
    }
}
