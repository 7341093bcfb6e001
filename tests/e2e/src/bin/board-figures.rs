//! How many instructions a board's firmware executes from power-on to its first log line, until it is
//! connected, and for each kind of connect, on the virtual NodeMCU. They are the same on every
//! machine, but for the part that depends on the network's answers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::monitor::FIRMWARE_BAUD;
use checks::budget::{self, Figure};
use checks::figures::{computing, most};
use clap::Parser;
use cloud::pki::SERVER_NAME;
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

/// The most instructions from power-on to the first log line, and to the first connection.
const FIRST_LINE: u64 = 1_000_000;
const CONNECTED: u64 = 32_000_000;

/// The CPU's clock: instructions in a millisecond.
const INSTRUCTIONS_PER_MS: u64 = 80_000;

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
    let mut figures = Vec::new();
    let mut add = |name: &str, value, most| figures.push(Figure::instructions(name, value, most));

    let mut stage = Stage::new();
    let mut device = Device::boot(options, &stage)?;
    add("power-on to the first log line", device.until("I (")?, Some(FIRST_LINE));
    add("power-on to connected", device.until(" connected to ")?, Some(CONNECTED));
    let [first, again] = device.connects(&mut stage)?;
    add("connect, ECDSA chain", first, Some(most::CONNECT_ECDSA));
    add("connect again, ECDSA chain", again, Some(most::CONNECT_AGAIN));

    let mut root = None;
    let mut stage = Stage::with(|_, options| {
        let (server, authority) = certificates::largest_chain(SERVER_NAME)?;
        root = Some(authority);
        options.server = server;
        Ok(())
    });
    stage.identity.roots = root.into_iter().collect();
    let [first, again] = Device::boot(options, &stage)?.connects(&mut stage)?;
    add("connect, RSA chain", first, Some(most::CONNECT_RSA));
    add("connect again, RSA chain", again, None);

    println!("{}", budget::table(&figures));
    budget::check(
        &figures,
        "tests/e2e/src/bin/board-figures.rs and `most` of host/checks/src/figures.rs",
    )
}

/// A board that runs, and what it has said.
struct Device {
    machine: Machine,
    output: Receiver<Vec<u8>>,
    said: String,
    /// Held, because the serial port ends with it.
    _input: Sender<Input>,
}

impl Device {
    fn boot(options: &Options, stage: &Stage) -> Result<Self> {
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
        let machine = Machine::new(board, serial, net, Vec::new(), Box::new(|_| ()));
        Ok(Self { machine, output, said: String::new(), _input: input })
    }

    /// Runs the board until `done` finds something in what it has said.
    fn run<T>(&mut self, what: &str, done: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            self.machine.run(Some(LOOK));
            for bytes in self.output.try_iter() {
                self.said.push_str(&String::from_utf8_lossy(&bytes));
            }
            if let Some(found) = done(&self.said) {
                return Ok(found);
            }
        }
        bail!("the board does not say {what} within {} s, but\n{}", LIMIT.as_secs(), self.said)
    }

    /// Runs the board until it has said `sign`; the instructions since power-on.
    fn until(&mut self, sign: &str) -> Result<u64> {
        self.run(sign, |said| said.contains(sign).then_some(()))?;
        Ok(self.machine.cpu.instructions())
    }

    /// Instructions of the first connect and of one to the same server that has restarted.
    fn connects(&mut self, stage: &mut Stage) -> Result<[u64; 2]> {
        let told = |said: &str| -> Vec<u64> {
            let connect = |line: &str| computing(line, " ms of computing");
            said.lines().filter_map(connect).map(|ms| ms * INSTRUCTIONS_PER_MS).collect()
        };
        self.run("that it is subscribed", |said| said.contains("subscribed to ").then_some(()))?;
        stage.cloud.broker.restart()?;
        self.run("that it has connected again", |said| told(said).try_into().ok())
    }
}
