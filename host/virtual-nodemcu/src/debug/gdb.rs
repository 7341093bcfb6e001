//! GDB's remote protocol: the board as a target of `target remote`.
//!
//! The protocol is the crate `gdbstub`'s; here are the registers as a GDB for the LX106 numbers
//! them, memory, breakpoints and the way in and out.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::Signal;
use gdbstub::conn::{Connection, ConnectionExt};
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{DisconnectReason, GdbStub, SingleThreadStopReason};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::single_register_access::{
    SingleRegisterAccess, SingleRegisterAccessOps,
};
use gdbstub::target::ext::base::singlethread::{
    SingleThreadBase, SingleThreadResume, SingleThreadResumeOps, SingleThreadSingleStep,
    SingleThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps,
    SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, outputln};
use gdbstub::target::{Target, TargetError, TargetResult};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::board::ResetCause;
use crate::board::machine::{End, Machine};
use crate::cpu::{Bus as _, Stop, sr};

/// How long the board runs between two looks at the connection.
const SLICE: Duration = Duration::from_millis(2);
/// How often the program's end is looked for while GDB thinks.
const LOOK: u16 = 100;
/// How long a GDB that does not read may hold up the board, in milliseconds.
const PATIENCE: u16 = 5000;
/// Steps between two looks at the connection: asleep, each is one cycle.
const STEPS: u32 = 100_000;

/// Registers of GDB's packet `g`: a0-a15, pc, sar, litbase, the two words of the configuration's
/// identity, ps.
const COUNT: usize = 22;
const PC: usize = 16;
/// Further registers, which GDB asks for one by one: name and special register by number.
const NAMES: [(&str, Option<u8>); 33] = [
    ("sar", Some(sr::SAR)),
    ("litbase", Some(sr::LITBASE)),
    ("sr176", Some(sr::CONFIGID0)),
    ("sr208", Some(sr::CONFIGID1)),
    ("ps", Some(sr::PS)),
    // Write only, and not known what for.
    ("mmid", None),
    ("ibreakenable", Some(sr::IBREAKENABLE)),
    ("ddr", Some(sr::DDR)),
    ("ibreaka0", Some(sr::IBREAKA0)),
    ("dbreaka0", Some(sr::DBREAKA0)),
    ("dbreakc0", Some(sr::DBREAKC0)),
    ("epc1", Some(sr::EPC1)),
    ("epc2", Some(sr::EPC2)),
    ("epc3", Some(sr::EPC3)),
    ("depc", Some(sr::DEPC)),
    ("eps2", Some(sr::EPS2)),
    ("eps3", Some(sr::EPS3)),
    ("excsave1", Some(sr::EXCSAVE1)),
    ("excsave2", Some(sr::EXCSAVE2)),
    ("excsave3", Some(sr::EXCSAVE3)),
    ("interrupt", Some(sr::INTERRUPT)),
    // The same as interrupt, when it is written.
    ("intset", Some(sr::INTERRUPT)),
    ("intclear", Some(sr::INTCLEAR)),
    ("intenable", Some(sr::INTENABLE)),
    ("vecbase", Some(sr::VECBASE)),
    ("exccause", Some(sr::EXCCAUSE)),
    ("debugcause", Some(sr::DEBUGCAUSE)),
    ("ccount", Some(sr::CCOUNT)),
    ("prid", Some(sr::PRID)),
    ("icount", Some(sr::ICOUNT)),
    ("icountlevel", Some(sr::ICOUNTLEVEL)),
    ("excvaddr", Some(sr::EXCVADDR)),
    ("ccompare0", Some(sr::CCOMPARE0)),
];
/// Number of the first of [`NAMES`].
const FIRST_SPECIAL: usize = 17;

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    let general = (0..16).map(|n| (n, format!("a{n}"), "general"));
    let pc = (PC, "pc".to_owned(), "general");
    let special = NAMES.iter().enumerate().map(|(i, (name, _))| {
        let group = if FIRST_SPECIAL + i < COUNT { "general" } else { "system" };
        (FIRST_SPECIAL + i, (*name).to_owned(), group)
    });
    let registers: String = general
        .chain([pc])
        .chain(special)
        .map(|(number, name, group)| {
            let kind = match name.as_str() {
                "pc" => " type=\"code_ptr\"",
                "a1" => " type=\"data_ptr\"",
                _ => "",
            };
            format!(
                "<reg name=\"{name}\" bitsize=\"32\" regnum=\"{number}\" group=\"{group}\"{kind}/>"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\
         <target version=\"1.0\"><architecture>xtensa</architecture>\
         <feature name=\"esp8266.lx106\">{registers}</feature></target>"
    )
});

/// The LX106 as GDB knows it.
pub enum Lx106 {}

impl Arch for Lx106 {
    type Usize = u32;
    type Registers = CoreRegisters;
    type RegId = Register;
    type BreakpointKind = usize;

    fn target_description_xml() -> Option<&'static str> {
        Some(&DESCRIPTION)
    }
}

/// Contents of packet `g`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreRegisters([u32; COUNT]);

impl Registers for CoreRegisters {
    type ProgramCounter = u32;

    fn pc(&self) -> u32 {
        self.0[PC]
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        for byte in self.0.iter().flat_map(|word| word.to_le_bytes()) {
            write_byte(Some(byte));
        }
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        if bytes.len() != 4 * COUNT {
            return Err(());
        }
        for (word, bytes) in self.0.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
}

/// A register by GDB's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(usize);

impl RegId for Register {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        (id < FIRST_SPECIAL + NAMES.len()).then_some((Self(id), NonZeroUsize::new(4)))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

/// Where GDB can connect.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Listens on loopback at `port`; 0 takes a free one.
    ///
    /// # Errors
    /// The port cannot be had.
    pub fn new(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs the board to its end, under GDB whenever one is connected. `wait` lets the board
    /// stand still until the first one is.
    pub fn run(&self, machine: &mut Machine, mut wait: bool) -> End {
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                wait = false;
                if let Some(end) = serve(machine, stream) {
                    return end;
                }
            }
            if wait {
                if machine.switch.load(Ordering::Relaxed) {
                    return End::SwitchedOff;
                }
                // Until somebody connects, or to look at the switch.
                let mut ready = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut ready, PollTimeout::from(LOOK));
                continue;
            }
            match machine.run(Some(SLICE * 10)) {
                // A breakpoint of a session that is over.
                End::Time | End::Stopped(_) => {}
                end => return end,
            }
        }
    }
}

/// Serves one GDB until it is gone; what ended the board, if that happened first.
fn serve(machine: &mut Machine, stream: TcpStream) -> Option<End> {
    let connection = match Line::new(stream, Arc::clone(&machine.switch)) {
        Ok(connection) => connection,
        Err(e) => {
            machine.say(&format!("gdb: connection refused: {e}"));
            return None;
        }
    };
    machine.say("gdb: connected; the board stands still until it is told to continue");
    let mut session = Session {
        machine,
        breakpoints: Vec::new(),
        watchpoints: Vec::new(),
        stepping: false,
        end: None,
    };
    let result = GdbStub::new(connection).run_blocking::<Runner<'_>>(&mut session);
    session.clear();
    let end = session.end;
    if end.is_some() {
        return end;
    }
    if machine.switch.load(Ordering::Relaxed) {
        return Some(End::SwitchedOff);
    }
    machine.say(&match result {
        Ok(DisconnectReason::Disconnect) => "gdb: detached; the board runs on".to_owned(),
        Ok(_) => "gdb: gone; the board runs on".to_owned(),
        Err(e) => format!("gdb: {e}; the board runs on"),
    });
    None
}

/// A board under GDB.
struct Session<'a> {
    machine: &'a mut Machine,
    breakpoints: Vec<u32>,
    watchpoints: Vec<(Range<u32>, WatchKind)>,
    stepping: bool,
    end: Option<End>,
}

impl Session<'_> {
    /// Takes back what GDB left behind.
    fn clear(&mut self) {
        for address in self.breakpoints.drain(..) {
            self.machine.cpu.remove_breakpoint(address);
        }
        for (range, kind) in self.watchpoints.drain(..) {
            let (read, write) = sides(kind);
            self.machine.cpu.remove_watchpoint(range, read, write);
        }
    }

    /// Lets the board run or step for a moment; why it stopped, if it did.
    fn go(&mut self) -> Option<SingleThreadStopReason<u32>> {
        let end = if self.stepping {
            let before = (self.machine.cpu.instructions(), self.machine.cpu.pc());
            let mut end = None;
            for _ in 0..STEPS {
                end = self.machine.step();
                if end.is_some() {
                    break;
                }
                if (self.machine.cpu.instructions(), self.machine.cpu.pc()) != before {
                    return Some(SingleThreadStopReason::DoneStep);
                }
            }
            end?
        } else {
            self.machine.run(Some(SLICE))
        };
        let exited = |status| Some(SingleThreadStopReason::Exited(status));
        match end {
            End::Time => None,
            End::Stopped(Stop::Watchpoint { addr, write }) => {
                let kind = self.watchpoints.iter().find(|(range, kind)| {
                    let sides = sides(*kind);
                    let hit = if write { sides.1 } else { sides.0 };
                    // An access of up to four bytes that reaches into the range.
                    hit && addr < range.end && addr.saturating_add(4) > range.start
                });
                Some(match kind {
                    // GDB wants an address within what it asked for.
                    Some((range, kind)) => SingleThreadStopReason::Watch {
                        tid: (),
                        kind: *kind,
                        addr: addr.max(range.start),
                    },
                    None => SingleThreadStopReason::Signal(Signal::SIGTRAP),
                })
            }
            End::Stopped(_) => Some(SingleThreadStopReason::SwBreak(())),
            End::SwitchedOff | End::PowerCut | End::Blind => {
                self.end = Some(end);
                exited(u8::from(end != End::SwitchedOff))
            }
        }
    }

    fn register(&self, number: usize) -> Option<u32> {
        match number {
            0..16 => Some(self.machine.cpu.reg(number)),
            PC => Some(self.machine.cpu.pc()),
            _ => self.machine.cpu.special(NAMES[number - FIRST_SPECIAL].1?),
        }
    }

    fn set_register(&mut self, number: usize, value: u32) -> bool {
        let cpu = &mut self.machine.cpu;
        match number {
            0..16 => cpu.set_reg(number, value),
            PC => cpu.set_pc(value),
            _ => {
                return NAMES[number - FIRST_SPECIAL].1.is_some_and(|n| cpu.set_special(n, value));
            }
        }
        true
    }

    /// What the core could read there; a device sees itself read, in whole words.
    fn read_word(&mut self, address: u32) -> Option<[u8; 4]> {
        let now = self.machine.cpu.cycles();
        let board = &mut self.machine.board;
        board.word(address & !3, now).map(u32::to_le_bytes)
    }
}

fn sides(kind: WatchKind) -> (bool, bool) {
    (kind != WatchKind::Write, kind != WatchKind::Read)
}

impl Target for Session<'_> {
    type Arch = Lx106;
    type Error = std::convert::Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::SingleThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadBase for Session<'_> {
    fn read_registers(&mut self, registers: &mut CoreRegisters) -> TargetResult<(), Self> {
        for (number, value) in registers.0.iter_mut().enumerate() {
            *value = self.register(number).unwrap_or(0);
        }
        Ok(())
    }

    fn write_registers(&mut self, registers: &CoreRegisters) -> TargetResult<(), Self> {
        for (number, value) in registers.0.iter().enumerate() {
            // Of these the two words of identity cannot be written, and GDB sends them all.
            self.set_register(number, *value);
        }
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, (), Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u32, data: &mut [u8]) -> TargetResult<usize, Self> {
        if let Some(bytes) = self.machine.board.read_memory(start, data.len()) {
            data.copy_from_slice(&bytes);
            return Ok(data.len());
        }
        let mut done = 0;
        while done < data.len() {
            let address = start.wrapping_add(done as u32);
            let Some(word) = self.read_word(address) else { break };
            let bytes = &word[(address & 3) as usize..];
            let count = bytes.len().min(data.len() - done);
            data[done..done + count].copy_from_slice(&bytes[..count]);
            done += count;
        }
        if done == 0 && !data.is_empty() { Err(TargetError::NonFatal) } else { Ok(done) }
    }

    fn write_addrs(&mut self, start: u32, data: &[u8]) -> TargetResult<(), Self> {
        if self.machine.board.write_ram(start, data) {
            return Ok(());
        }
        // Devices take whole words. What is neither (flash, ROM, nothing) stays as it is.
        if !start.is_multiple_of(4) || !data.len().is_multiple_of(4) {
            return Err(TargetError::NonFatal);
        }
        let now = self.machine.cpu.cycles();
        for (address, bytes) in (start..).step_by(4).zip(data.chunks_exact(4)) {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let stored = self.machine.board.store32(address, word, now);
            stored.map_err(|_| TargetError::NonFatal)?;
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<()> for Session<'_> {
    fn read_register(
        &mut self,
        _thread: (),
        register: Register,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        // 0: there is such a register, and it cannot be read.
        let Some(value) = self.register(register.0) else { return Ok(0) };
        buffer[..4].copy_from_slice(&value.to_le_bytes());
        Ok(4)
    }

    fn write_register(
        &mut self,
        _thread: (),
        register: Register,
        value: &[u8],
    ) -> TargetResult<(), Self> {
        let value = value.try_into().map_err(|_| TargetError::NonFatal)?;
        let written = self.set_register(register.0, u32::from_le_bytes(value));
        if written { Ok(()) } else { Err(TargetError::NonFatal) }
    }
}

impl SingleThreadResume for Session<'_> {
    fn resume(&mut self, _signal: Option<Signal>) -> Result<(), Self::Error> {
        self.stepping = false;
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<SingleThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadSingleStep for Session<'_> {
    fn step(&mut self, _signal: Option<Signal>) -> Result<(), Self::Error> {
        self.stepping = true;
        Ok(())
    }
}

impl Breakpoints for Session<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

// The core stops at marks of its own, so flash needs no patching and the two kinds are one.
impl SwBreakpoint for Session<'_> {
    fn add_sw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        if !self.breakpoints.contains(&address) {
            self.breakpoints.push(address);
            self.machine.cpu.add_breakpoint(address);
        }
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, address: u32, _kind: usize) -> TargetResult<bool, Self> {
        let Some(at) = self.breakpoints.iter().position(|a| *a == address) else {
            return Ok(false);
        };
        self.breakpoints.swap_remove(at);
        self.machine.cpu.remove_breakpoint(address);
        Ok(true)
    }
}

impl HwBreakpoint for Session<'_> {
    fn add_hw_breakpoint(&mut self, address: u32, kind: usize) -> TargetResult<bool, Self> {
        self.add_sw_breakpoint(address, kind)
    }

    fn remove_hw_breakpoint(&mut self, address: u32, kind: usize) -> TargetResult<bool, Self> {
        self.remove_sw_breakpoint(address, kind)
    }
}

impl HwWatchpoint for Session<'_> {
    fn add_hw_watchpoint(
        &mut self,
        address: u32,
        length: u32,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let (read, write) = sides(kind);
        let range = address..address.saturating_add(length);
        self.machine.cpu.add_watchpoint(range.clone(), read, write);
        self.watchpoints.push((range, kind));
        Ok(true)
    }

    fn remove_hw_watchpoint(
        &mut self,
        address: u32,
        length: u32,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let watch = (address..address.saturating_add(length), kind);
        let Some(at) = self.watchpoints.iter().position(|w| *w == watch) else {
            return Ok(false);
        };
        let (range, kind) = self.watchpoints.swap_remove(at);
        let (read, write) = sides(kind);
        // This takes back all that are equal; those GDB still has go in again.
        self.machine.cpu.remove_watchpoint(range.clone(), read, write);
        for _ in self.watchpoints.iter().filter(|w| **w == (range.clone(), kind)) {
            self.machine.cpu.add_watchpoint(range.clone(), read, write);
        }
        Ok(true)
    }
}

impl MonitorCmd for Session<'_> {
    fn handle_monitor_cmd(
        &mut self,
        command: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), Self::Error> {
        let cause = match command {
            b"reset" => Some(ResetCause::External),
            b"power" => Some(ResetCause::PowerOn),
            _ => None,
        };
        match cause {
            Some(cause) => {
                self.machine.reset(cause);
                let pc = self.machine.cpu.pc();
                outputln!(out, "reset; stopped at {pc:#010x} (`flushregs` makes GDB look)");
            }
            None => {
                outputln!(out, "monitor reset: as the board's button RST does");
                outputln!(out, "monitor power: power off and on, RAM is lost");
            }
        }
        Ok(())
    }
}

/// How the board runs while GDB waits.
struct Runner<'a>(PhantomData<&'a ()>);

impl<'a> BlockingEventLoop for Runner<'a> {
    type Target = Session<'a>;
    type Connection = Line;
    type StopReason = SingleThreadStopReason<u32>;

    fn wait_for_stop_reason(
        target: &mut Self::Target,
        connection: &mut Line,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<std::convert::Infallible, io::Error>>
    {
        // The acknowledgement of what made the board run: nothing else would send it now.
        connection.flush().map_err(WaitForStopReasonError::Connection)?;
        loop {
            if connection.peek().map_err(WaitForStopReasonError::Connection)?.is_some() {
                let byte = connection.read().map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
            if let Some(reason) = target.go() {
                return Ok(Event::TargetStopped(reason));
            }
        }
    }

    fn on_interrupt(
        _target: &mut Self::Target,
    ) -> Result<Option<Self::StopReason>, std::convert::Infallible> {
        Ok(Some(SingleThreadStopReason::Signal(Signal::SIGINT)))
    }
}

/// A connection that can be looked at without waiting, and whose waiting the program's end
/// ends.
struct Line {
    stream: TcpStream,
    received: std::collections::VecDeque<u8>,
    unsent: Vec<u8>,
    switch: Arc<AtomicBool>,
}

impl Line {
    fn new(stream: TcpStream, switch: Arc<AtomicBool>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: std::collections::VecDeque::new(), unsent: Vec::new(), switch })
    }

    /// Takes in what has arrived.
    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended")),
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                Ok(())
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Waits for `what`; false if it did not come.
    fn wait(&self, what: PollFlags, milliseconds: u16) -> bool {
        let mut ready = [PollFd::new(self.stream.as_fd(), what)];
        poll(&mut ready, PollTimeout::from(milliseconds)).is_ok_and(|count| count > 0)
    }
}

impl Connection for Line {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.unsent.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        let mut rest = &unsent[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !self.wait(PollFlags::POLLOUT, PATIENCE) {
                        return Err(io::Error::new(ErrorKind::TimedOut, "GDB does not read"));
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl ConnectionExt for Line {
    fn read(&mut self) -> io::Result<u8> {
        loop {
            if let Some(byte) = self.received.pop_front() {
                return Ok(byte);
            }
            if self.switch.load(Ordering::Relaxed) {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, "the board is off"));
            }
            self.wait(PollFlags::POLLIN, LOOK);
            self.fill()?;
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.received.is_empty() {
            self.fill()?;
        }
        Ok(self.received.front().copied())
    }
}
