//! A virtual board: `virtual-nodemcu` with a serial port and a flash file.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use board_facts::Board;
use process::files::{self, SECRET};
use process::programs::Owned;

use crate::console::Console;
use crate::monitor;
use crate::port::Port;

/// How to start a virtual board.
#[derive(Clone, Debug)]
pub struct VirtualOptions {
    /// Its lights, as the program takes them.
    pub leds: Vec<String>,
    /// MiB of its flash.
    pub flash_mib: u8,
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
            flash_mib: board.flash_mib,
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
    /// The program.
    pub process: Owned,
    /// Its serial port.
    pub port: Port,
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
            let blank = vec![0xFF; usize::from(options.flash_mib) << 20];
            files::write(&options.flash, &blank, SECRET)?;
        }
        let (process, output) = Owned::spawn_read(
            Command::new(&options.program)
                .args(options.leds.iter().flat_map(|led| ["--led", led]))
                .arg("--flash")
                .arg(&options.flash)
                .args(["--flash-size", &options.flash_mib.to_string()])
                .args(&options.further),
        )?;
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

    /// Resets it, with its serial console listened to from the first byte on.
    ///
    /// # Errors
    /// When its port does not answer.
    pub fn restart(&mut self) -> Result<()> {
        self.console.follow(monitor::restart(&self.port)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_what_builds_it() {
        let nowhere = Path::new("/nonexistent");
        let options =
            VirtualOptions::new(&Board::named("nodemcu").unwrap(), nowhere, nowhere, nowhere);
        let error = VirtualBoard::start(&options).unwrap_err().to_string();
        assert!(error.contains("`make virtual-board` builds it"), "{error}");
    }
}
