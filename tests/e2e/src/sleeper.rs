//! A board in this process whose firmware sleeps deeply: `examples/battery`.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::monitor::FIRMWARE_BAUD;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::radio::settings::Settings;
use virtual_nodemcu::board::serial::{Input, Serial};
use virtual_nodemcu::board::{Board, ResetCause};
use virtual_nodemcu::cpu::Bus;

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0x12, 0x34, 0x56];

/// How long it may be awake, in the host's time.
const LIMIT: Duration = Duration::from_secs(240);
/// How long the board runs between two looks at it, in its own time.
const LOOK: Duration = Duration::from_millis(1);
/// What the board says when the chip sleeps.
const SLEEPS: &str = "deep sleep for ";

/// The RTC's memory for applications.
pub const RTC_MEMORY: std::ops::Range<u32> = 0x6000_1200..0x6000_1400;

/// The board.
pub struct Sleeper {
    machine: Machine,
    output: Receiver<Vec<u8>>,
    asleep: Rc<RefCell<Option<String>>>,
    woken: (u64, u64),
    /// Held, because the serial port ends with it.
    _input: Sender<Input>,
}

/// What happened from one wake to the next sleep.
#[derive(Clone, Debug)]
pub struct Awake {
    /// Instructions executed.
    pub instructions: u64,
    /// Time of the board's.
    pub time: Duration,
    /// For how long it wants to sleep.
    pub sleep: Duration,
    /// The console.
    pub said: String,
}

impl Sleeper {
    /// A board with this image and identity, on a cable or, with access points, in the air.
    ///
    /// # Errors
    /// Image, identity or access point cannot be had.
    pub fn new(image: &Path, region: &[u8], access_points: &[&str]) -> Result<Self> {
        let mut flash = Flash::blank(FLASH_SIZE as usize);
        for (at, bytes) in Image::in_folder(image).contents()? {
            flash.load(at as usize, &bytes);
        }
        flash.load(IDENTITY_OFFSET as usize, region);
        let (serial, input, output) = Serial::channel();
        input.send(Input::Baud(FIRMWARE_BAUD)).context("the board has no serial port")?;
        let asleep = Rc::new(RefCell::new(None));
        let say = {
            let asleep = Rc::clone(&asleep);
            Box::new(move |text: &str| {
                if let Some((_, time)) = text.split_once(SLEEPS) {
                    *asleep.borrow_mut() = Some(time.to_owned());
                }
            })
        };
        let net = access_points.is_empty().then(Net::new);
        let mut machine = Machine::new(Board::new(flash, MAC, 1), serial, net, Vec::new(), say);
        machine.wake_wire = true;
        for text in access_points {
            let added =
                Settings::parse(text).and_then(|settings| machine.add_access_point(settings));
            added.map_err(|error| anyhow!("{error}"))?;
        }
        Ok(Self { machine, output, asleep, woken: (0, 0), _input: input })
    }

    /// What the converter measures from now on.
    pub fn measure(&mut self, level: u16) {
        self.machine.board.adc = level;
    }

    /// Puts another identity into the flash.
    pub fn set_identity(&mut self, region: &[u8]) {
        self.machine.board.flash.load(IDENTITY_OFFSET as usize, region);
    }

    /// Changes words of the RTC's memory by their index.
    ///
    /// # Panics
    /// When there is no such memory.
    pub fn change_rtc_memory(&mut self, mut change: impl FnMut(usize, u32) -> u32) {
        for (index, address) in RTC_MEMORY.step_by(4).enumerate() {
            let word = self.machine.board.load32(address, 0).expect("a word");
            self.machine.board.store32(address, change(index, word), 0).expect("a word");
        }
    }

    fn now(&self) -> (u64, u64) {
        let cpu = &self.machine.cpu;
        (cpu.instructions(), self.machine.board.clock.nanoseconds(cpu.cycles()))
    }

    /// Runs until it falls asleep.
    ///
    /// # Errors
    /// It does not, or crashes; with what it has said.
    pub fn run(&mut self) -> Result<Awake> {
        let mut said = String::new();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            self.machine.run(Some(LOOK));
            for bytes in self.output.try_iter() {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
            if said.contains("*** CRASH") {
                bail!("it crashes:\n{said}");
            }
            let Some(time) = self.asleep.borrow_mut().take() else { continue };
            let seconds: f64 = time
                .split_whitespace()
                .next()
                .and_then(|number| number.parse().ok())
                .context("no time to sleep")?;
            let (instructions, _) = self.now();
            let since = self.machine.asleep_since().context("it is awake again")?;
            return Ok(Awake {
                instructions: instructions - self.woken.0,
                time: since - Duration::from_nanos(self.woken.1),
                sleep: Duration::from_secs_f64(seconds),
                said,
            });
        }
        bail!("it does not sleep within {} s:\n{said}", LIMIT.as_secs())
    }

    /// The time is over: wakes it by the RTC's timer.
    pub fn wake(&mut self) {
        self.machine.reset(ResetCause::DeepSleep);
        self.woken = self.now();
    }
}
