//! The tests of `tests/target` on the virtual NodeMCU: one board a test, which boots the image
//! that esptool made.
//!
//! The test's name stands in flash where a firmware has its identity. Its result is a line
//! `exit N` on the console. A test that resets the board is judged by the next boot.
//!
//! Then each board's firmware boots once, on a board where the one before has crashed.

mod wiring;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use board::console::Console;
use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::monitor::FIRMWARE_BAUD;
use checks::bench;
use checks::target_test::{self, Failure};
use clap::Parser;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::serial::{Input, Serial};
use virtual_nodemcu::board::{Board, ResetCause, noise};
use wiring::Wiring;

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
    /// Folder with the flash files of a board's firmware, which must boot (may be repeated)
    #[arg(long)]
    firmware: Vec<PathBuf>,
    /// Measure what basic steps cost, instead
    #[arg(long)]
    bench: bool,
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

/// A firmware's flash files by offset.
type Files = [(u32, Vec<u8>); 2];

fn read(folder: &Path) -> Result<Files> {
    Image::in_folder(folder).contents()
}

fn run(options: &Options) -> Result<()> {
    let images = read(&options.image)?;
    let limit = Duration::from_secs(options.limit);
    let execute = |name: &str| execute(&images, options, name, limit);
    if options.bench {
        // An instruction is a cycle here.
        return bench::run_with(&execute, |cycles| cycles);
    }
    for folder in &options.firmware {
        let name = folder.display();
        let (mhz, cycles) = boot(&images, &read(folder)?, options)
            .with_context(|| format!("the firmware in {name} does not boot"))?;
        println!("{name} boots at {mhz} MHz: first line of its log after {cycles} instructions");
    }
    repeating_source(&images, options)?;
    let mut tests = target_test::list(&execute)?;
    tests.retain(|test| !LEFT_OUT.contains(&test.name.as_str()));
    target_test::run_all(tests, &options.filter, &execute)
}

/// Boots `firmware` on a board on which the test firmware has crashed before; its clock in MHz
/// and the number of instructions to its first line.
fn boot(tests: &Files, firmware: &Files, options: &Options) -> Result<(u64, u64)> {
    let limit = Duration::from_secs(options.limit);
    let mut bench = Bench::new(tests, "leave-crash", &options.elf)?;
    if bench.run_to("exit 0", limit).is_none() {
        bail!("nobody left a crash record:\n{}", bench.end().join("\n"));
    }
    for (offset, image) in firmware {
        bench.machine.board.flash.load(*offset as usize, image);
    }
    bench.machine.reset(ResetCause::External);
    let start = bench.machine.cpu.cycles();
    let mut cycles = 0;
    for (index, line) in [
        "app: esp8266-aws-iot ",
        ", reset: external",
        "app: crashed before: panic: tests/target/src/tests.rs",
        "left for the next firmware, pc 0x402",
        "app: identity: ",
        "app: waiting; this device does nothing until it has an identity",
    ]
    .into_iter()
    .enumerate()
    {
        if bench.run_to(line, limit).is_none() {
            bail!("it does not say \"{line}\":\n{}", bench.end().join("\n"));
        }
        if index == 0 {
            cycles = bench.machine.cpu.cycles() - start;
        }
    }
    Ok((bench.machine.board.clock.cpu_hz() / 1_000_000, cycles))
}

/// Seeds a handshake's generator in two boots, with a random source that repeats itself at each:
/// the generator must not.
fn repeating_source(images: &Files, options: &Options) -> Result<()> {
    let limit = Duration::from_secs(options.limit);
    let mut bench = Bench::new(images, "random-generator", &options.elf)?;
    bench.machine.board.noise.set_kind(noise::Kind::Repeats);
    // Once more from the beginning, as the boots that follow.
    bench.machine.reset(ResetCause::PowerOn);
    let (mut source, mut generator) = (Vec::new(), Vec::new());
    for boot in 1..=2 {
        let found = |lines: &[String]| lines.iter().filter(|line| line.contains("exit 0")).count();
        if !bench.run_until(limit, |lines| found(lines) == boot) {
            bail!("boot {boot} makes no generator:\n{}", bench.end().join("\n"));
        }
        let lines = bench.console.lines();
        let line = lines.iter().rev().find(|line| line.contains("source "));
        let (first, second) =
            line.and_then(|line| line.split_once(" generator ")).context("no generator")?;
        source.push(first.to_owned());
        generator.push(second.to_owned());
        bench.machine.reset(ResetCause::External);
    }
    if source[0] != source[1] {
        bail!("the board's source does not repeat itself: {source:?}");
    }
    if generator[0] == generator[1] {
        bail!("the generator repeats itself: {generator:?}");
    }
    println!("a random source that repeats itself at each boot: the generator does not");
    Ok(())
}

/// Boots the test firmware with this name in its flash and runs it to its result; the
/// console's lines when it passed.
fn execute(
    images: &Files,
    options: &Options,
    name: &str,
    limit: Duration,
) -> Result<Vec<String>, Failure> {
    let failure = |reason, console| Failure { reason, console };
    let mut bench = Bench::new(images, name, &options.elf)
        .map_err(|error| failure(format!("{error:#}"), Vec::new()))?;
    let wiring = Wiring::new(name, &mut bench.machine)
        .map_err(|error| failure(format!("{error:#}"), Vec::new()))?;
    let end = bench.run_to("exit ", limit);
    let lines = bench.end();
    match end.as_deref() {
        Some("exit 0") => match wiring.judge(name) {
            Ok(()) => Ok(lines),
            Err(error) => Err(failure(format!("at the pins: {error:#}"), lines)),
        },
        Some(end) => Err(failure(end.to_owned(), lines)),
        None => Err(failure(format!("no end within {} s", limit.as_secs()), lines)),
    }
}

/// A board and its console.
struct Bench {
    machine: Machine,
    console: Console,
    input: Sender<Input>,
    /// Lines of the console that had their answer.
    answered: usize,
}

impl Bench {
    /// With these files in its flash and `name` where a firmware has its identity.
    fn new(images: &Files, name: &str, elf: &Path) -> Result<Self> {
        let mut flash = Flash::blank(FLASH_SIZE as usize);
        for (offset, image) in images {
            flash.load(*offset as usize, image);
        }
        flash.load(IDENTITY_OFFSET as usize, format!("{name}\n").as_bytes());
        let (serial, input, output) = Serial::channel();
        input.send(Input::Baud(FIRMWARE_BAUD)).context("the board is gone")?;
        let board = Board::new(flash, MAC, 1);
        let machine = Machine::new(board, serial, None, Vec::new(), Box::new(|_| ()));
        let console = Console::attach(Pieces::new(output), elf, false)?;
        Ok(Self { machine, console, input, answered: 0 })
    }

    /// Runs until a line of the console contains `text`; that line.
    fn run_to(&mut self, text: &str, limit: Duration) -> Option<String> {
        let mut found = None;
        self.run_until(limit, |lines| {
            found = lines.iter().find(|line| line.contains(text)).cloned();
            found.is_some()
        });
        found
    }

    /// Runs until the console's lines satisfy `wanted`; whether they did.
    fn run_until(&mut self, limit: Duration, mut wanted: impl FnMut(&[String]) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            self.machine.run(Some(Duration::from_millis(1)));
            let lines = self.console.lines();
            for line in lines.iter().skip(self.answered) {
                if Wiring::answer(line, &self.input).is_err() {
                    return false;
                }
            }
            self.answered = lines.len();
            if wanted(&lines) {
                return true;
            }
        }
        false
    }

    /// Switches the board off; all that its console showed.
    fn end(self) -> Vec<String> {
        // The console ends with the board.
        drop(self.machine);
        self.console.finish()
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
