//! How many instructions a board's firmware executes from power-on to its first log line, and
//! until it is connected, on the virtual NodeMCU. They are the same on every machine, but for
//! the part that depends on the network's answers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::monitor::FIRMWARE_BAUD;
use checks::budget::{self, Figure};
use clap::Parser;
use e2e::Stage;
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::serial::{Input, Serial};

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0x12, 0x34, 0x56];

/// How long the device may take, in the host's time.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the board runs between two looks at what it says. It is exact to a millisecond of
/// the board's time, which is 80,000 instructions.
const LOOK: Duration = Duration::from_millis(1);

/// What is looked for on the console, what that is called, and the most instructions it may
/// take.
const FIGURES: [(&str, &str, u64); 2] = [
    ("I (", "power-on to the first log line", 1_000_000),
    (" connected to ", "power-on to connected", 150_000_000),
];

/// Counts the instructions of a boot.
#[derive(Parser)]
struct Options {
    /// Folder with the flash files (`make image`)
    #[arg(long)]
    image: PathBuf,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("board-figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let stage = Stage::new();
    let image = Image::in_folder(&options.image);
    let mut flash = Flash::blank(FLASH_SIZE as usize);
    for (at, bytes) in image.contents()? {
        flash.load(at as usize, &bytes);
    }
    flash.load(IDENTITY_OFFSET as usize, &stage.region());
    let (serial, input, output) = Serial::channel();
    input.send(Input::Baud(FIRMWARE_BAUD)).context("the board has no serial port")?;
    let board = Board::new(flash, MAC, 1);
    let net = Some(Net::new());
    let mut machine = Machine::new(board, serial, net, Vec::new(), Box::new(|_| ()));
    let mut said = Vec::new();
    let mut figures = Vec::new();
    for (sign, name, most) in FIGURES {
        let instructions = until(&mut machine, &output, &mut said, sign)?;
        figures.push(Figure::instructions(name, instructions, Some(most)));
    }
    println!("{}", budget::table(&figures));
    budget::check(&figures, "FIGURES of tests/e2e/src/bin/board-figures.rs")
}

/// Runs the board until it has said `sign`; the instructions since power-on.
fn until(
    machine: &mut Machine,
    output: &Receiver<Vec<u8>>,
    said: &mut Vec<u8>,
    sign: &str,
) -> Result<u64> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        machine.run(Some(LOOK));
        said.extend(output.try_iter().flatten());
        if said.windows(sign.len()).any(|part| part == sign.as_bytes()) {
            return Ok(machine.cpu.instructions());
        }
    }
    bail!(
        "the board does not say `{sign}` within {} s, but\n{}",
        LIMIT.as_secs(),
        String::from_utf8_lossy(said)
    )
}
