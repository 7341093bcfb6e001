//! Core, board, ROM and the host's end of the serial line, and time for all of them.

use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::control::{self, About, Control};
use super::flash::Writer;
use super::gpio::RTC_PIN;
use super::net::Net;
use super::radio::ap::Ap;
use super::radio::pcap::Pcap;
use super::radio::settings::Settings;
use super::recent::{Quiet, Recent, Repeats};
use super::rom::Rom;
use super::serial::{Input, Serial};
use super::{Board, Event, ResetCause, Sleep, uart};
use serde_json::json;

use crate::cpu::{Cpu, Stop};
use crate::debug::Observer;
use crate::debug::faults::Faults;
use crate::debug::symbols::Symbols;
use crate::snapshot::{self, Damaged, Keep, Kept, LATEST, Snapshot, Tape};

/// Cycles that the core runs before the outside gets its turn: 1 ms at 80 MHz.
const SLICE: u64 = 80_000;
/// How far behind the wall clock the board may fall before it stops trying to catch up.
const MOST_DEBT: Duration = Duration::from_millis(20);
/// The host cannot switch DTR and RTS in one go. While both are asserted on the way from reset
/// to another state, the capacitor at EN still holds the reset, at most this long.
const EN_DELAY: Duration = Duration::from_millis(300);
/// Pieces of input taken at once.
const MOST_INPUTS: usize = 64;
/// How long nothing at the chip needs a look while it is held in reset or sleeps deeply.
const REST: Duration = Duration::from_millis(5);
/// Bytes of the host that are on their way to the UART before the rest has to wait where it is.
const MOST_WAITING: usize = 512;
/// The same for what is typed at the board itself, where nothing can wait.
const MOST_TYPED: usize = 1 << 18;
/// Longest line of UART1's on the console.
const LONGEST_LINE: usize = 1000;
/// The host's baud rate until it says another.
const HOST_BAUD: u32 = 115_200;

/// How long a snapshot waits for the air to be quiet, and how often it looks (ns).
const QUIET_NS: u64 = 1_000_000_000;
const QUIET_STEP_NS: u64 = 100_000;

/// Why [`Machine::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The given time is over.
    Time,
    /// The armed power cut struck.
    PowerCut,
    /// The switch was thrown: [`Machine::switch`].
    SwitchedOff,
    /// A breakpoint or watchpoint of the core.
    Stopped(Stop),
    /// The observer cannot write what it sees.
    Blind,
}

/// A board that runs.
pub struct Machine {
    /// The core.
    pub cpu: Cpu,
    /// The board.
    pub board: Board,
    rom: Rom,
    serial: Serial,
    net: Option<Net>,
    /// The network behind the access points.
    behind: Option<Net>,
    /// Who may ask for things while the board runs.
    control: Option<Control>,
    console: Box<dyn FnMut(&str)>,
    leds: Vec<Led>,
    /// Whether the button FLASH is pressed: GPIO0 is low then.
    pub button: bool,
    host_baud: u32,
    dtr: bool,
    rts: bool,
    /// What UART1 said since the last end of a line.
    log: Vec<u8>,
    /// Whether GPIO16 is wired to RST: the chip's timer wakes it from a deep sleep then.
    pub wake_wire: bool,
    /// When on the board (ns) the deep sleep began that the chip is in, and when it ends; [`LATEST`]: by
    /// a reset only.
    asleep: Option<(u64, u64)>,
    /// Since when EN is low.
    held: Option<Instant>,
    /// Since when EN is low only because of its capacitor.
    charging: Option<Instant>,
    /// The button RST is held.
    rst: bool,
    unpowered: bool,
    /// Whether the board's time keeps to the wall clock.
    paced: bool,
    /// Whether the host's end of the serial line always has the speed of the chip.
    pub follows_baud: bool,
    recent: Recent,
    quiet: Quiet,
    repeats: Repeats,
    resets: usize,
    /// Wall clock and the board's time (ns) at the same moment.
    base: (Instant, u64),
    /// Ends [`run`](Self::run) once it is set, from a signal handler or another thread.
    pub switch: Arc<AtomicBool>,
    /// Where a snapshot goes when one is asked for.
    pub snapshots: Option<PathBuf>,
    /// Sees what the core does; without one it costs nothing.
    pub observer: Option<Observer>,
    /// Exceptions, while there is no observer to collect them.
    faults: Faults,
    /// Names for the console.
    pub symbols: Rc<Symbols>,
}

/// What comes after the core has run for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It goes on.
    Again,
    /// The outside gets its turn.
    Outside,
    /// The core stopped for whoever debugs.
    Stop(Stop),
}

/// An LED of the board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// What the console calls it.
    pub name: String,
    /// Its pin.
    pub pin: u32,
    /// Whether it is lit while the pin is low.
    pub active_low: bool,
}

impl FromStr for Led {
    type Err = String;

    /// Takes `NAME=GPIO`, lit while low, with `:high` behind it lit while high.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (name, pin) = text.split_once('=')?;
            let (pin, lit) = pin.split_once(':').unwrap_or((pin, "low"));
            let active_low = match lit {
                "low" => true,
                "high" => false,
                _ => return None,
            };
            let pin = pin.parse().ok().filter(|pin| *pin <= RTC_PIN)?;
            (!name.is_empty()).then(|| Self { name: name.to_owned(), pin, active_low })
        };
        parts()
            .ok_or_else(|| "NAME=GPIO or NAME=GPIO:high, as in blue=2 or green=5:high".to_owned())
    }
}

/// Core, board and ROM; the rest is the host's.
impl Keep for Machine {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.cpu.keep(tape)?;
        self.board.keep(tape)?;
        self.rom.keep(tape)?;
        self.log.keep(tape)
    }
}

impl Machine {
    /// A board that was just switched on.
    #[must_use]
    pub fn new(
        board: Board,
        serial: Serial,
        net: Option<Net>,
        leds: Vec<Led>,
        console: Box<dyn FnMut(&str)>,
    ) -> Self {
        let mut machine = Self::assemble(board, serial, net, leds, console);
        Rom::install(&mut machine.cpu, &machine.board);
        machine.reset(ResetCause::PowerOn);
        machine
    }

    /// A board that goes on where a snapshot was taken, with a flash chip of that size. The random
    /// source and the radio's begin anew, parts are as they were just wired to it.
    ///
    /// # Errors
    /// The snapshot is damaged, or the flash file cannot be written.
    pub fn load(
        snapshot: &Snapshot,
        board: Board,
        serial: Serial,
        net: Option<Net>,
        leds: Vec<Led>,
        console: Box<dyn FnMut(&str)>,
    ) -> Result<Self, Damaged> {
        let mut machine = Self::assemble(board, serial, net, leds, console);
        if machine.board.flash.size() != snapshot.flash_size() {
            return Err(Damaged("the flash has another size than in the snapshot".to_owned()));
        }
        let was = (!machine.board.flash.is_blank()).then(|| machine.board.flash.data().to_vec());
        snapshot.load(|tape| machine.keep(tape))?;
        // Something else was flashed since, which nobody wants to lose.
        if was.as_ref().is_some_and(|was| was != machine.board.flash.data()) {
            return Err(Damaged(
                "the flash file holds something else than the snapshot: leave --flash out, or name \
                 a file that is not there yet"
                    .to_owned(),
            ));
        }
        if machine.board.seen() > machine.cpu.cycles() {
            return Err(Damaged(
                "the snapshot is damaged: the core is behind its board".to_owned(),
            ));
        }
        Rom::install(&mut machine.cpu, &machine.board);
        if was.is_none() {
            let written = machine.board.flash.write_file();
            written.map_err(|error| Damaged(format!("the flash file: {error}")))?;
        }
        machine.board.set_gpio0_low(machine.button);
        let time = machine.board.clock.nanoseconds(machine.cpu.cycles());
        machine.board.power_parts(time);
        machine.base = (Instant::now(), time);
        machine.say(&format!("loaded: {:.3} s after it was made", time as f64 / 1e9));
        Ok(machine)
    }

    /// The state of the board, which [`load`](Self::load) goes on from. It runs on for some
    /// milliseconds if it must, until nothing is on the air.
    ///
    /// # Errors
    /// What of it cannot be kept now.
    pub fn save(&mut self) -> Result<Vec<u8>, Damaged> {
        let refused = |why: &str| Err(Damaged(format!("no snapshot now: {why}")));
        if !self.board.flash.powered() || self.unpowered {
            return refused("the power is off");
        }
        if self.held.is_some() {
            return refused("the chip is held in reset");
        }
        if self.asleep.is_some() {
            return refused("the chip sleeps deeply");
        }
        if self.board.parts.pins() != 0 {
            return refused("parts are wired to its pins (give --part when it is loaded)");
        }
        let patience = self.cpu.cycles() + self.board.clock.cycles_in(QUIET_NS);
        // Devices have seen the last cycle, and the core what they want of it.
        while let Some((why, wait)) = self.board.radio.unkept() {
            if !wait || self.cpu.cycles() > patience {
                return refused(why);
            }
            let end = self.cpu.cycles() + self.board.clock.cycles_in(QUIET_STEP_NS);
            if self.slice_to(end).is_some() {
                return refused("it stands at a breakpoint");
            }
        }
        self.flush();
        let size = self.board.flash.size();
        Snapshot::save(size, |tape| self.keep(tape))
    }

    /// Writes a snapshot to the file that is meant for it; how many bytes that are.
    ///
    /// # Errors
    /// There is no such file, it cannot be written, or what [`save`](Self::save) says.
    pub fn save_file(&mut self) -> Result<usize, String> {
        let path = self.snapshots.clone().ok_or("the board was not started with --save FILE")?;
        let bytes = self.save().map_err(|error| error.to_string())?;
        snapshot::write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        self.say(&format!("saved: {} bytes in {}", bytes.len(), path.display()));
        Ok(bytes.len())
    }

    fn assemble(
        board: Board,
        serial: Serial,
        net: Option<Net>,
        leds: Vec<Led>,
        console: Box<dyn FnMut(&str)>,
    ) -> Self {
        let cpu = Cpu::new();
        let board_gpio0 = board.gpio.levels() & 1 != 0;
        let mut machine = Self {
            cpu,
            board,
            rom: Rom::default(),
            serial,
            net,
            behind: None,
            control: None,
            console,
            leds,
            button: !board_gpio0,
            host_baud: HOST_BAUD,
            dtr: false,
            rts: false,
            log: Vec::new(),
            wake_wire: false,
            asleep: None,
            held: None,
            charging: None,
            rst: false,
            unpowered: false,
            paced: true,
            follows_baud: false,
            recent: Recent::default(),
            quiet: Quiet::default(),
            repeats: Repeats::default(),
            resets: 0,
            base: (Instant::now(), 0),
            switch: Arc::default(),
            snapshots: None,
            observer: None,
            faults: Faults::default(),
            symbols: Rc::default(),
        };
        machine.board.nic.set_link(machine.net.is_some());
        // What the host set before counts from the first byte on.
        while let Some(input) = machine.serial.receive(Duration::ZERO) {
            machine.input(input);
        }
        machine
    }

    /// Resets the chip from outside: power, or the pin EN.
    pub fn reset(&mut self, cause: ResetCause) {
        let why = if cause == ResetCause::PowerOn { "power on" } else { "EN pin" };
        self.board.clear_rtc_stores();
        self.reset_because(cause, why);
    }

    fn reset_because(&mut self, cause: ResetCause, why: &str) {
        self.flush();
        self.asleep = None;
        self.board.reset(cause, self.cpu.cycles());
        self.rom.boot(&mut self.cpu, &mut self.board);
        // What the loader was given to run writes for the host too: esptool's stub.
        let loads = self.board.gpio.boot_mode() == 1;
        self.board.flash.writer = if loads { Writer::Loader } else { Writer::Program };
        // The loader of a dumped ROM, whose buffer is short, counts on the time that bytes take.
        self.board.uarts[0].set_hurried(loads && !self.board.has_rom());
        let mode = match self.board.gpio.boot_mode() {
            1 => "serial loader (GPIO0 low)",
            3 => "flash",
            _ => "not used (GPIO15 high)",
        };
        self.resets += 1;
        let text = format!("reset: {why}; boot from: {mode}");
        self.say(&text);
        if let Some(observer) = &mut self.observer {
            observer.reset(&text);
        }
        self.collected_faults().reset();
        self.transmit();
    }

    /// Says something on the console, unless it was said too often lately: then it is counted.
    pub fn say(&mut self, text: &str) {
        let time = self.time();
        if self.repeats.speaks(text, time) {
            self.tell(text);
        }
    }

    fn tell(&mut self, text: &str) {
        (self.console)(text);
        self.recent.console(text);
        let time = self.time();
        if let Some(control) = &mut self.control {
            control.tell(
                About::Console,
                &json!({ "event": "console", "time_ns": time, "text": text }),
            );
        }
    }

    /// Takes requests from this socket from now on.
    pub fn set_control(&mut self, control: Control) {
        self.control = Some(control);
    }

    /// The button FLASH.
    pub fn press_button(&mut self, pressed: bool) {
        self.button = pressed;
        self.modem_lines(self.dtr, self.rts);
    }

    /// The button RST: EN is low while it is pressed.
    pub fn press_reset(&mut self, pressed: bool) {
        if pressed {
            self.hold();
        }
        self.rst = pressed;
        if !pressed {
            self.release_unless_held();
        }
    }

    /// Switches the power off, or on; on again is off and on.
    pub fn set_power(&mut self, on: bool) {
        if !on {
            if !self.unpowered {
                self.hold();
                self.unpowered = true;
                self.say("power off");
            }
        } else if std::mem::take(&mut self.unpowered) {
            self.held = None;
            self.base = (Instant::now(), self.time());
            self.reset(ResetCause::PowerOn);
            if self.en_is_low() {
                self.hold();
            }
        } else {
            self.reset(ResetCause::PowerOn);
        }
    }

    /// Whether the board has power, and whether the chip is held in reset.
    #[must_use]
    pub fn is_powered_and_held(&self) -> (bool, bool) {
        (!self.unpowered, self.held.is_some())
    }

    /// Since when, by the board's time, the chip sleeps deeply.
    #[must_use]
    pub fn asleep_since(&self) -> Option<Duration> {
        self.asleep.map(|(since, _)| Duration::from_nanos(since))
    }

    /// How often the chip was reset, its first start included.
    #[must_use]
    pub fn resets(&self) -> usize {
        self.resets
    }

    /// The LEDs of the board.
    #[must_use]
    pub fn leds(&self) -> &[Led] {
        &self.leds
    }

    /// What was said lately: the serial port's bytes and the console's lines.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Bytes for UART0 as a terminal sends them that runs at the chip's own speed.
    pub fn type_in(&mut self, bytes: &[u8]) {
        if self.held.is_none() && self.board.uarts[0].waiting() <= MOST_TYPED {
            self.board.send_to_uart(bytes, 0, self.cpu.cycles());
        }
    }

    /// Does what came over the control socket.
    fn obey(&mut self) {
        let Some(requests) = self.control.as_mut().map(Control::requests) else { return };
        if !requests.is_empty() {
            // So that what is done has the right time.
            self.board.advance(self.cpu.cycles());
        }
        for (who, line) in requests {
            let (answer, listens) = control::serve(self, &line);
            if let Some(control) = &mut self.control {
                control.answer(who, &answer);
                if let Some(listens) = listens {
                    control.set_listening(who, listens);
                    self.board.watched = control.watched();
                }
            }
        }
    }

    /// Runs for `time` of the wall clock, or for ever.
    pub fn run(&mut self, time: Option<Duration>) -> End {
        let start = Instant::now();
        loop {
            if self.switch.load(Ordering::Relaxed) {
                return End::SwitchedOff;
            }
            if time.is_some_and(|time| start.elapsed() >= time) {
                return End::Time;
            }
            let mut stop = None;
            let wait = if self.held.is_some() {
                REST
            } else if let Some((_, wake)) = self.asleep {
                self.sleep_to(if self.paced || wake == LATEST { self.due() } else { wake });
                REST
            } else {
                // What looks often at the outside waits in several pieces.
                if self.ahead().is_zero() {
                    stop = self.slice_to(self.cpu.cycles() + SLICE);
                }
                if stop.is_some() { Duration::ZERO } else { self.ahead() }
            };
            if let Some(end) = self.over() {
                return end;
            }
            self.outside(wait);
            if let Some(stop) = stop {
                return End::Stopped(stop);
            }
        }
    }

    /// Runs for `time` by the board's own clock, unless something ends it before.
    pub fn run_for(&mut self, time: Duration) -> Option<End> {
        let end = self.time().saturating_add(time.as_nanos() as u64);
        while self.time() < end {
            let rests = self.held.is_some() || self.switch.load(Ordering::Relaxed);
            if self.asleep.is_some() && !rests {
                self.sleep_to(if self.paced { end.min(self.due()) } else { end });
                let left = Duration::from_nanos(end - self.time());
                self.outside(if self.paced { left.min(REST) } else { Duration::ZERO });
                continue;
            }
            let wait = self.ahead();
            if rests {
                self.outside(wait);
                return self.over();
            }
            if wait.is_zero()
                && let Some(stop) = self.slice_until(end)
            {
                return Some(End::Stopped(stop));
            }
            if let Some(end) = self.over() {
                return Some(end);
            }
            let wait = self.ahead();
            self.outside(wait);
        }
        None
    }

    /// Runs for `time` of the board's own, as fast as the host can: for whoever is the network too,
    /// since another one behind the board goes by the wall clock. While EN is low nothing happens.
    ///
    /// Returns early, with nothing, when the board has sent frames that nobody has taken.
    pub fn run_board_time(&mut self, time: Duration) -> Option<End> {
        let end = self.time() + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        while self.time() < end && self.held.is_none() {
            if self.switch.load(Ordering::Relaxed) {
                return Some(End::SwitchedOff);
            }
            if self.asleep.is_some() {
                self.sleep_to(end);
                self.outside(Duration::ZERO);
                continue;
            }
            let stop = self.slice_until(end);
            let over = self.over();
            self.outside(Duration::ZERO);
            if let Some(end) = over.or(stop.map(End::Stopped)) {
                return Some(end);
            }
            if self.board.has_frames() {
                break;
            }
        }
        None
    }

    /// One slice, which ends no later than that clock shows `end`.
    fn slice_until(&mut self, end: u64) -> Option<Stop> {
        let cycles = self.board.clock.cycles_in(end - self.time()).clamp(1, SLICE);
        self.slice_to(self.cpu.cycles() + cycles)
    }

    /// Executes one instruction, or one function of the ROM; asleep, one cycle passes, and in a deep
    /// sleep a microsecond. While EN is low nothing is executed. The wall clock plays no part.
    ///
    /// Returns what ended it, if it was not the end of the instruction.
    pub fn step(&mut self) -> Option<End> {
        if self.switch.load(Ordering::Relaxed) {
            return Some(End::SwitchedOff);
        }
        let before = self.cpu.cycles();
        let mut stop = None;
        if self.held.is_none() && self.asleep.is_some() {
            self.sleep_to(self.time() + 1000);
        } else if self.held.is_none() {
            let turn = self.turn(before + 1, true);
            // A breakpoint here was stopped at before: it is stepped over.
            let turn = if turn == Turn::Stop(Stop::Breakpoint) {
                self.turn(before + 1, true)
            } else {
                turn
            };
            if let Turn::Stop(why) = turn {
                stop = Some(End::Stopped(why));
            }
        }
        let slice_over = before / SLICE != self.cpu.cycles() / SLICE;
        let rests = self.held.is_some() || self.asleep.is_some();
        if rests || self.board.has_frames() || slice_over {
            self.outside(Duration::ZERO);
        }
        self.over().or(stop)
    }

    /// Whether the board or its observer came to an end.
    fn over(&mut self) -> Option<End> {
        if !self.board.flash.powered() {
            self.transmit();
            self.say("power cut: during a write to flash, as armed");
            return Some(End::PowerCut);
        }
        let blind = |o: &Observer| o.tracer.as_ref().is_some_and(|tracer| tracer.failed());
        self.observer.as_ref().is_some_and(blind).then_some(End::Blind)
    }

    /// Lets the core run to `end`, when the outside gets its turn, or to a stop.
    fn slice_to(&mut self, end: u64) -> Option<Stop> {
        loop {
            match self.turn(end, false) {
                Turn::Again => {}
                Turn::Outside => return None,
                Turn::Stop(stop) => return Some(stop),
            }
        }
    }

    /// Lets the core run to the next event, at most up to the cycle `end`. With `single` a
    /// function of the ROM counts as an instruction.
    fn turn(&mut self, end: u64, single: bool) -> Turn {
        if self.rom.is_loading() {
            self.rom.serve(&mut self.cpu, &mut self.board);
        }
        let now = self.cpu.cycles();
        self.board.advance(now);
        if let Some(range) = self.board.take_invalid() {
            self.cpu.invalidate(range);
        }
        self.cpu.set_lines(self.board.lines());
        if let Some(cause) = self.board.take_reset() {
            let why =
                if cause == ResetCause::Watchdog { "watchdog" } else { "asked for by the program" };
            self.reset_because(cause, why);
            return Turn::Outside;
        }
        if let Some(sleep) = self.board.take_sleep() {
            self.fall_asleep(sleep);
            return Turn::Outside;
        }
        if self.board.dozes() {
            self.board.doze(now);
            return Turn::Outside;
        }
        if now >= end || !self.board.flash.powered() || self.board.has_frames() {
            return Turn::Outside;
        }
        let until = self.board.next_event(now).unwrap_or(end).clamp(now + 1, end);
        let stop = match &mut self.observer {
            None => self.cpu.run_traced(&mut self.board, &mut self.faults, until - now),
            Some(observer) => self.cpu.run_traced(&mut self.board, observer, until - now),
        };
        match stop {
            Stop::Hook => {
                if let Some(observer) = &mut self.observer {
                    observer.rom(self.cpu.pc(), self.cpu.registers(), self.cpu.cycles());
                }
                self.rom.call(&mut self.cpu, &mut self.board);
                // What it says comes before what the program makes of it.
                if self.board.has_news() {
                    self.flush();
                }
                if single { Turn::Outside } else { Turn::Again }
            }
            Stop::Breakpoint | Stop::Watchpoint { .. } => Turn::Stop(stop),
            Stop::Budget | Stop::Requested | Stop::Simcall => Turn::Again,
        }
    }

    fn fall_asleep(&mut self, sleep: Sleep) {
        self.flush();
        let text = match sleep {
            Sleep::For(time) if self.wake_wire => {
                format!("deep sleep for {:.3} s", time as f64 / 1e9)
            }
            Sleep::For(time) => format!(
                "deep sleep for {:.3} s, which a wire from GPIO16 to RST would end (--wake-wire)",
                time as f64 / 1e9
            ),
            Sleep::Forever => "deep sleep until a reset".to_owned(),
        };
        self.say(&text);
        self.board.power_down(self.cpu.cycles());
        let now = self.time();
        let wake = match sleep {
            Sleep::For(time) if self.wake_wire => now + time,
            Sleep::For(_) | Sleep::Forever => LATEST,
        };
        self.asleep = Some((now, wake));
    }

    /// Time passes in a deep sleep, up to its end or the moment `end` (ns).
    fn sleep_to(&mut self, end: u64) {
        while let Some((_, wake)) = self.asleep {
            let now = self.time();
            if now >= wake {
                self.board.clear_rtc_stores();
                self.reset_because(ResetCause::DeepSleep, "end of deep sleep");
            } else if now >= end {
                return;
            } else {
                // Parts have power and go on.
                let next = self.board.parts.next().unwrap_or(end);
                self.board.clock.pass(next.clamp(now + 1, end.min(wake)) - now);
                self.board.advance(self.cpu.cycles());
            }
        }
    }

    /// The board's time (ns).
    fn time(&self) -> u64 {
        self.board.clock.nanoseconds(self.cpu.cycles())
    }

    /// From now on the board's time keeps to the wall clock, or goes as fast as the host can.
    pub fn pace(&mut self, paced: bool) {
        self.paced = paced;
        // What the clocks differ by until now is not made up for.
        self.base = (Instant::now(), self.time());
    }

    /// How far the board's time (ns) may go by the wall clock.
    fn due(&self) -> u64 {
        self.base.1.saturating_add(self.base.0.elapsed().as_nanos() as u64)
    }

    /// Whether bytes are under way between a host and the serial loader, or what that was given to run.
    /// The board's time does not wait for the wall clock then.
    fn flashes(&self) -> bool {
        let uart = &self.board.uarts[0];
        self.board.flash.writer == Writer::Loader && (uart.waiting() > 0 || uart.sends())
    }

    /// How long the wall clock needs to catch up with the board.
    fn ahead(&mut self) -> Duration {
        if !self.paced {
            return Duration::ZERO;
        }
        let board = self.time();
        if self.flashes() {
            self.base = (Instant::now(), board);
            return Duration::ZERO;
        }
        let passed = Duration::from_nanos(board.saturating_sub(self.base.1));
        let wall = self.base.0.elapsed();
        if wall > passed + MOST_DEBT {
            // The host is too slow: time on the board goes slower, but never in leaps.
            self.base = (Instant::now(), board);
        }
        passed.saturating_sub(wall)
    }

    /// Everything around the chip: serial line, network, console.
    fn outside(&mut self, mut wait: Duration) {
        self.flush();
        self.obey();
        let polled = self.net.is_some()
            || self.behind.is_some()
            || self.control.is_some()
            || self.board.radio.is_shared();
        if polled {
            // These have no channel to wake us up: look often.
            wait = wait.min(Duration::from_micros(500));
        }
        if self.flashes() {
            wait = Duration::ZERO;
        }
        // A host that never stops sending must not stop the board.
        for _ in 0..MOST_INPUTS {
            // Who is reset or sleeps takes none of it, and the host may be who wakes it.
            let takes = self.held.is_none() && self.asleep.is_none();
            if takes && self.board.uarts[0].waiting() >= MOST_WAITING {
                thread::sleep(wait);
                break;
            }
            let Some(input) = self.serial.receive(wait) else { break };
            self.input(input);
            wait = Duration::ZERO;
        }
        if self.charging.is_some_and(|since| since.elapsed() >= EN_DELAY) {
            self.charging = None;
            self.release_unless_held();
        }
    }

    fn collected_faults(&mut self) -> &mut Faults {
        self.observer.as_mut().map_or(&mut self.faults, |observer| &mut observer.faults)
    }

    /// Takes to the outside what the chip did.
    fn flush(&mut self) {
        self.transmit();
        for fault in self.collected_faults().take() {
            let text = fault.text(&self.symbols);
            self.say(&text);
        }
        let now = self.time();
        for event in self.board.take_events() {
            let text = match event {
                Event::Unmodelled(text) | Event::Crash(text) => text,
                Event::Pin { pin, high, time } => {
                    if let Some(control) = &mut self.control {
                        let event =
                            json!({ "event": "pin", "time_ns": time, "pin": pin, "high": high });
                        control.tell(About::Outputs, &event);
                    }
                    let led = self.leds.iter().find(|led| led.pin == pin);
                    // A part says itself what it does.
                    let spoken_for = led.is_none() && self.board.parts.pins() >> pin & 1 != 0;
                    if spoken_for || !self.quiet.speaks(pin, time) {
                        continue;
                    }
                    match led {
                        Some(led) => {
                            let state = if high == led.active_low { "off" } else { "on" };
                            format!("LED {} (GPIO{pin}) {state}", led.name)
                        }
                        None => format!("GPIO{pin} {}", if high { "high" } else { "low" }),
                    }
                }
                Event::Level { pin, high, time } => {
                    if let Some(control) = &mut self.control {
                        let event =
                            json!({ "event": "level", "time_ns": time, "pin": pin, "high": high });
                        control.tell(About::Level(pin), &event);
                    }
                    continue;
                }
            };
            self.say(&text);
        }
        for (text, count) in self.repeats.take(now) {
            self.tell(&format!("{text}; so {count} more times within a second"));
        }
        for (pin, count) in self.quiet.take(now) {
            let high = self.board.gpio.levels() >> pin & 1 != 0;
            self.say(&format!(
                "GPIO{pin}: {count} more changes, not named one by one; now {}",
                if high { "high" } else { "low" }
            ));
        }
        if let Some(net) = &mut self.net {
            for frame in self.board.nic.take_sent() {
                net.send(&frame);
            }
            net.poll(|frame| self.board.nic.receive(frame));
        }
        if let Some(net) = &mut self.behind {
            let aps = &mut self.board.radio.air.aps;
            for frame in aps.iter_mut().flat_map(Ap::take_wire) {
                net.send(&frame);
            }
            net.poll(|frame| aps.iter_mut().for_each(|ap| ap.deliver(frame)));
            self.board.radio.serve();
        }
        self.board.radio.poll_others();
        if self.board.radio.air.pcap.as_ref().is_some_and(Pcap::failed) {
            self.board.radio.air.pcap = None;
            self.say("the capture of the air cannot be written any more: it ends here");
        }
        let logs: Vec<_> = self.board.radio.air.aps.iter_mut().flat_map(Ap::take_log).collect();
        for line in logs {
            self.say(&line);
        }
    }

    /// Switches an access point on; behind all of them is one network, with the host in it.
    ///
    /// # Errors
    /// Why there cannot be another one like that.
    pub fn add_access_point(&mut self, settings: Settings) -> Result<(), String> {
        let now = self.time();
        self.board.radio.add_access_point(settings, now)?;
        self.behind.get_or_insert_with(Net::new);
        Ok(())
    }

    /// Sends UART0's bytes to the host, as they look at the host's baud rate.
    fn transmit(&mut self) {
        let bytes = self.board.uarts[0].take_sent();
        if !bytes.is_empty() {
            let baud = self.chip_baud();
            if self.follows_baud {
                self.host_baud = baud;
            }
            let seen = uart::over_the_wire(&bytes, baud, self.host_baud);
            self.serial.send(&seen);
            self.recent.serial(&bytes);
            let time = self.time();
            if let Some(control) = &mut self.control {
                let text = control::latin1(&bytes);
                let event =
                    json!({ "event": "serial", "time_ns": time, "baud": baud, "data": text });
                control.tell(About::Serial, &event);
            }
        }
        self.log.extend(self.board.uarts[1].take_sent());
        while let Some(end) = self.log.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.log.drain(..=end).collect();
            self.tell(&format!("UART1: {}", String::from_utf8_lossy(&line).trim_end()));
        }
        if self.log.len() > LONGEST_LINE {
            let line = std::mem::take(&mut self.log);
            self.tell(&format!("UART1: {}", String::from_utf8_lossy(&line)));
        }
    }

    fn chip_baud(&self) -> u32 {
        self.board.uarts[0].baud(self.board.clock.bus_hz())
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Data(bytes) => {
                if self.held.is_some() || self.asleep.is_some() {
                    return;
                }
                if self.rom.measures_baud() && !self.follows_baud {
                    let hz = self.board.clock.bus_hz();
                    self.board.uarts[0].set_baud(self.host_baud, hz);
                }
                let baud = if self.follows_baud { 0 } else { self.host_baud };
                self.board.send_to_uart(&bytes, baud, self.cpu.cycles());
            }
            Input::Baud(baud) => {
                self.transmit();
                self.host_baud = baud;
            }
            Input::Dtr(asserted) => self.modem_lines(asserted, self.rts),
            Input::Rts(asserted) => self.modem_lines(self.dtr, asserted),
            Input::Connected => {}
            Input::Disconnected => self.modem_lines(false, false),
        }
    }

    /// The two transistors: DTR alone pulls GPIO0 low, RTS alone EN; both or none, nothing.
    fn modem_lines(&mut self, dtr: bool, rts: bool) {
        (self.dtr, self.rts) = (dtr, rts);
        self.board.set_gpio0_low(dtr && !rts || self.button);
        if rts && !dtr {
            self.charging = None;
            self.hold();
        } else if self.held.is_some() {
            if dtr && rts {
                self.charging = Some(Instant::now());
            } else {
                self.charging = None;
                self.release_unless_held();
            }
        }
    }

    /// Whether somebody pulls EN low.
    fn en_is_low(&self) -> bool {
        self.unpowered || self.rst || self.rts && !self.dtr
    }

    fn hold(&mut self) {
        if self.held.is_none() {
            self.flush();
            self.held = Some(Instant::now());
        }
    }

    fn release_unless_held(&mut self) {
        if self.held.is_some() && !self.en_is_low() && self.charging.is_none() {
            self.release();
        }
    }

    fn release(&mut self) {
        self.held = None;
        self.base = (Instant::now(), self.time());
        self.reset(ResetCause::External);
    }
}
