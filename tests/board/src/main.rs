//! The tests of `tests/target` on the virtual NodeMCU: one board a test, which boots the image
//! that esptool made.
//!
//! The test's name stands in flash where a firmware has its identity. Its result is a line
//! `exit N` on the console. A test that resets the board is judged by the next boot.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use tools::console::Console;
use tools::image::{BOOT_OFFSET, CODE_OFFSET, FLASH_SIZE, IDENTITY_OFFSET, Image};
use tools::monitor::FIRMWARE_BAUD;
use tools::target_test::{self, Failure};
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::serial::{Input, Serial};

/// Tests that are left to the emulator, where idle time costs nothing: here two minutes.
const LEFT_OUT: [&str; 1] = ["time-ccount-wrap"];

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0x0A, 0x0B, 0x0C];

/// Runs the tests of a test firmware on the virtual NodeMCU.
#[derive(Parser)]
struct Options {
    /// The test firmware, for the names of code addresses
    #[arg(long)]
    elf: PathBuf,
    /// Folder with its flash files (`thing image`)
    #[arg(long)]
    image: PathBuf,
    /// Seconds that one test may take
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Only tests with this in their names
    #[arg(default_value = "")]
    filter: String,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board-tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let files = Image::in_folder(&options.image);
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let images = [(BOOT_OFFSET, read(&files.boot)?), (CODE_OFFSET, read(&files.code)?)];
    let limit = Duration::from_secs(options.limit);
    let execute = |name: &str| execute(&images, options, name, limit);
    let mut tests = target_test::list(&execute)?;
    tests.retain(|test| !LEFT_OUT.contains(&test.name.as_str()));
    target_test::run_all(tests, &options.filter, &execute)
}

/// Boots the test firmware with this name in its flash and runs it to its result; the
/// console's lines when it passed.
fn execute(
    images: &[(u32, Vec<u8>)],
    options: &Options,
    name: &str,
    limit: Duration,
) -> Result<Vec<String>, Failure> {
    let mut flash = Flash::blank(FLASH_SIZE as usize);
    for (offset, image) in images {
        flash.load(*offset as usize, image);
    }
    flash.load(IDENTITY_OFFSET as usize, format!("{name}\n").as_bytes());
    let (serial, input, output) = Serial::channel();
    // The receiving end lives as long as the board.
    let _ = input.send(Input::Baud(FIRMWARE_BAUD));
    let board = Board::new(flash, MAC, 1);
    let mut machine = Machine::new(board, serial, None, Vec::new(), Box::new(|_| ()));
    let console = match Console::attach(Pieces::new(output), &options.elf, false) {
        Ok(console) => console,
        Err(error) => return Err(Failure { reason: format!("{error:#}"), console: Vec::new() }),
    };

    let start = Instant::now();
    let status = loop {
        machine.run(Some(Duration::from_millis(10)));
        let lines = console.lines();
        if let Some(status) = lines.iter().find_map(|line| line.strip_prefix("exit ")) {
            break Some(status.to_owned());
        }
        if start.elapsed() > limit {
            break None;
        }
    };
    // The console ends with the board.
    drop(machine);
    let lines = console.finish();
    match status.as_deref() {
        Some("0") => Ok(lines),
        Some(status) => Err(Failure { reason: format!("exit {status}"), console: lines }),
        None => {
            Err(Failure { reason: format!("no end within {} s", limit.as_secs()), console: lines })
        }
    }
}

/// Reads what comes in pieces until the sender is gone.
struct Pieces {
    source: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Pieces {
    fn new(source: Receiver<Vec<u8>>) -> Self {
        Self { source, piece: io::Cursor::default() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(buffer)? {
                0 if !buffer.is_empty() => match self.source.recv() {
                    Ok(piece) => self.piece = io::Cursor::new(piece),
                    Err(_) => return Ok(0),
                },
                count => return Ok(count),
            }
        }
    }
}
