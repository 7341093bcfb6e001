//! The LX106 core of the ESP8266.
//!
//! [`Cpu`] executes instructions from a [`Bus`]. It has the chip's instruction set, no less
//! and no more, its exceptions, its two interrupt levels and its timer. One instruction takes
//! one cycle.

mod bus;
mod code;
mod core;
mod execute;

use std::collections::HashMap;
use std::ops::Range;

pub use bus::{Bus, Signals};
pub use isa::{Instruction, sr};

use crate::snapshot::{Keep, Kept, Tape};

use self::code::{Code, Single};
use self::core::{Core, DEBUG_IBREAK, Exit, Watch};
use isa::decode::Op;

/// Causes of exceptions: the value of EXCCAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// No such instruction, or one that this core does not have.
    IllegalInstruction = 0,
    /// The instruction SYSCALL.
    Syscall = 1,
    /// The fetch failed on the bus.
    InstructionFetchError = 2,
    /// The access failed on the bus: sub-word access to IRAM or flash.
    LoadStoreError = 3,
    /// A level-1 interrupt.
    Level1Interrupt = 4,
    /// An access that is not aligned to its width.
    LoadStoreAlignment = 9,
    /// The fetch is from where nothing may be executed.
    InstructionFetchProhibited = 20,
    /// The load is from where nothing may be read.
    LoadProhibited = 28,
    /// The store is to where nothing may be written.
    StoreProhibited = 29,
}

/// Why [`Cpu::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The budget of cycles is used up.
    Budget,
    /// The core is about to execute at an address given to [`Cpu::add_hook`]. Do what stands
    /// there, set the registers and the program counter ([`Cpu::return_from_call`]), run on.
    Hook,
    /// The core is about to execute at an address given to [`Cpu::add_breakpoint`]. The next
    /// run starts with that instruction.
    Breakpoint,
    /// The instruction just executed touched an address given to [`Cpu::add_watchpoint`].
    Watchpoint {
        /// The address that was accessed.
        addr: u32,
        /// Whether it was a store.
        write: bool,
    },
    /// SIMCALL was executed and [`Cpu::stop_at_simcall`] is on; the program counter is behind
    /// it.
    Simcall,
    /// The bus asked for it ([`Signals::stop`]).
    Requested,
}

/// Sees what is executed. `()` sees nothing and costs nothing.
pub trait Trace {
    /// Whether [`instruction`](Self::instruction) is wanted.
    const INSTRUCTIONS: bool = true;

    /// The instruction is about to be executed with these registers a0-a15.
    fn instruction(&mut self, instruction: Instruction, registers: &[u32; 16], cycle: u64) {
        let _ = (instruction, registers, cycle);
    }

    /// The instruction at `pc` raised an exception. `addr` is EXCVADDR, if it applies.
    fn exception(&mut self, cause: Cause, pc: u32, addr: Option<u32>) {
        let _ = (cause, pc, addr);
    }

    /// An interrupt is taken before the instruction at `pc`; `pending` are the ones enabled.
    fn interrupt(&mut self, level: u32, pc: u32, pending: u32) {
        let _ = (level, pc, pending);
    }
}

impl Trace for () {
    const INSTRUCTIONS: bool = false;
}

/// What the host wants at an address.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    hook: bool,
    breakpoint: bool,
}

/// The core.
pub struct Cpu {
    core: Core,
    code: Code,
    marks: HashMap<u32, Mark>,
    /// The breakpoint that the last run stopped at: the next run steps over it.
    stopped_at: Option<u32>,
}

/// The core as the program sees it; marks and watchpoints are the host's.
impl Keep for Cpu {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.core.keep(tape)?;
        if tape.plays() {
            self.core.resume();
            self.code.clear();
            self.stopped_at = None;
        }
        Ok(())
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Cpu {
    /// A core after reset: about to execute the ROM's reset vector, 0x40000080.
    #[must_use]
    pub fn new() -> Self {
        Self { core: Core::new(), code: Code::new(), marks: HashMap::new(), stopped_at: None }
    }

    /// Resets the core. Hooks, breakpoints, watchpoints and the count of cycles stay.
    pub fn reset(&mut self) {
        self.core.reset();
        self.code.clear();
        self.stopped_at = None;
    }

    /// Runs for `budget` cycles or until something else stops it.
    pub fn run<B: Bus>(&mut self, bus: &mut B, budget: u64) -> Stop {
        self.run_traced(bus, &mut (), budget)
    }

    /// The same, and `trace` sees it.
    pub fn run_traced<B: Bus, T: Trace>(
        &mut self,
        bus: &mut B,
        trace: &mut T,
        budget: u64,
    ) -> Stop {
        let end = self.core.now.saturating_add(budget);
        let mut step_over = self.stopped_at.take();
        loop {
            if let Some(hit) = self.core.watch_hit.take() {
                return hit;
            }
            self.core.tick();
            if self.core.now >= end {
                return Stop::Budget;
            }
            self.core.take_interrupt(trace);
            let until = end.min(self.core.timer_at);
            if self.core.waiting {
                self.core.idle += until - self.core.now;
                self.core.now = until;
                continue;
            }
            let exit = if T::INSTRUCTIONS || self.core.watched() {
                self.core.execute::<B, T, _, true>(bus, trace, &self.code, until)
            } else {
                self.core.execute::<B, T, _, false>(bus, trace, &self.code, until)
            };
            match exit {
                Exit::Until | Exit::Check => {}
                Exit::Decode if Code::holds(self.core.pc) => {
                    let pc = self.core.pc;
                    if self.is_marked(pc) {
                        self.code.put(pc, Op::HOOK);
                    } else {
                        match self.core.fetch(bus) {
                            Ok(op) => self.code.put(pc, op),
                            Err((cause, addr)) => self.fault(trace, cause, addr),
                        }
                    }
                }
                Exit::Decode | Exit::Hook => {
                    let pc = self.core.pc;
                    if let Some(stop) = self.at_mark(pc, step_over.take() == Some(pc)) {
                        return stop;
                    }
                    if self.core.ibreakenable != 0
                        && self.core.ibreaka == pc
                        && self.core.raise_debug(DEBUG_IBREAK, pc)
                    {
                        continue;
                    }
                    if let Some(stop) = self.execute_one(bus, trace) {
                        return stop;
                    }
                }
                other => {
                    if let Some(stop) = self.leave(other) {
                        return stop;
                    }
                }
            }
        }
    }

    /// Executes one instruction, or takes one interrupt and executes the first instruction of
    /// its handler. Breakpoints and hooks at it are passed over.
    pub fn step<B: Bus>(&mut self, bus: &mut B) -> Stop {
        self.stopped_at = None;
        self.core.tick();
        self.core.take_interrupt(&mut ());
        if self.core.waiting {
            self.core.now += 1;
            self.core.idle += 1;
            return Stop::Budget;
        }
        let stop = self.execute_one(bus, &mut ());
        self.core.watch_hit.take().or(stop).unwrap_or(Stop::Budget)
    }

    /// Executes the instruction at the program counter whatever marks it carries.
    fn execute_one<B: Bus, T: Trace>(&mut self, bus: &mut B, trace: &mut T) -> Option<Stop> {
        match self.core.fetch(bus) {
            Ok(op) => {
                let single = Single { pc: self.core.pc, op, code: &self.code };
                let until = self.core.now + 1;
                let exit = self.core.execute::<B, T, _, true>(bus, trace, &single, until);
                self.leave(exit)
            }
            Err((cause, addr)) => {
                self.fault(trace, cause, addr);
                None
            }
        }
    }

    /// What has to be done after the loop was left.
    fn leave(&mut self, exit: Exit) -> Option<Stop> {
        match exit {
            Exit::CodeWritten(addr) => self.code.invalidate(addr..addr.saturating_add(4)),
            Exit::CodeStale => self.code.clear(),
            Exit::Signals(signals) => {
                self.core.set_lines(signals.lines);
                if let Some(range) = signals.invalidate {
                    self.code.invalidate(range);
                }
                if signals.stop {
                    return Some(Stop::Requested);
                }
            }
            Exit::Stop(stop) => return Some(stop),
            Exit::Until | Exit::Check | Exit::Decode | Exit::Hook => {}
        }
        None
    }

    fn fault<T: Trace>(&mut self, trace: &mut T, cause: Cause, addr: u32) {
        let pc = self.core.pc;
        trace.exception(cause, pc, Some(addr));
        self.core.raise_at(cause, pc, addr);
        self.core.now += 1;
    }

    fn is_marked(&self, pc: u32) -> bool {
        self.marks.contains_key(&pc) || self.core.ibreakenable != 0 && self.core.ibreaka == pc
    }

    fn at_mark(&mut self, pc: u32, step_over: bool) -> Option<Stop> {
        let mark = self.marks.get(&pc)?;
        if mark.breakpoint && !step_over {
            self.stopped_at = Some(pc);
            return Some(Stop::Breakpoint);
        }
        mark.hook.then_some(Stop::Hook)
    }

    /// Cycles since the beginning: one an instruction, and what was slept in WAITI. A reset
    /// does not set it back.
    #[must_use]
    pub fn cycles(&self) -> u64 {
        self.core.now
    }

    /// Instructions executed, those included that raised an exception.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.core.now - self.core.idle
    }

    /// Lets cycles pass without an instruction, as a host's function that waits.
    pub fn pass(&mut self, cycles: u64) {
        self.core.now += cycles;
        self.core.idle += cycles;
    }

    /// Whether the core sleeps in WAITI.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.core.waiting
    }

    /// The program counter.
    #[must_use]
    pub fn pc(&self) -> u32 {
        self.core.pc
    }

    /// Continues elsewhere; ends a WAITI.
    pub fn set_pc(&mut self, pc: u32) {
        if self.stopped_at != Some(pc) {
            // The breakpoint there is one to stop at, when control comes back.
            self.stopped_at = None;
        }
        self.core.pc = pc;
        self.core.waiting = false;
    }

    /// Registers a0-a15.
    #[must_use]
    pub fn registers(&self) -> &[u32; 16] {
        &self.core.a
    }

    /// Register a`n`.
    ///
    /// # Panics
    /// If `n` is above 15.
    #[must_use]
    pub fn reg(&self, n: usize) -> u32 {
        self.core.a[n]
    }

    /// Sets register a`n`.
    ///
    /// # Panics
    /// If `n` is above 15.
    pub fn set_reg(&mut self, n: usize, value: u32) {
        self.core.a[n] = value;
    }

    /// A special register by its number ([`sr`]); none if there is no such register or it is
    /// write only.
    #[must_use]
    pub fn special(&self, number: u8) -> Option<u32> {
        self.core.special(number, self.core.now)
    }

    /// Writes a special register as WSR does. False if the core has no such register or it is
    /// read only.
    pub fn set_special(&mut self, number: u8, value: u32) -> bool {
        let exists = sr::exists(number, sr::Access::Write);
        if exists && let Some(exit) = self.core.set_special(number, value, self.core.now) {
            self.leave(exit);
        }
        exists
    }

    /// Returns from a function: the end of one that the host did at a hook. Its result goes
    /// into a2 before.
    pub fn return_from_call(&mut self) {
        self.set_pc(self.core.a[0]);
    }

    /// Sets the interrupt inputs (bits 0-5 by level, 8-13 and the NMI, 14, by rising edge),
    /// for events outside [`run`](Self::run).
    pub fn set_lines(&mut self, lines: u32) {
        self.core.set_lines(lines);
    }

    /// Says that code in this range was changed outside [`run`](Self::run).
    pub fn invalidate(&mut self, range: Range<u32>) {
        self.code.invalidate(range);
    }

    /// Stops before the instruction at `addr`, for the host to do what stands there. Nothing
    /// needs to be fetchable there.
    pub fn add_hook(&mut self, addr: u32) {
        self.marks.entry(addr).or_default().hook = true;
        self.code.invalidate(addr..addr.saturating_add(1));
    }

    /// Takes back [`add_hook`](Self::add_hook).
    pub fn remove_hook(&mut self, addr: u32) {
        self.unmark(addr, |mark| mark.hook = false);
    }

    /// Stops before the instruction at `addr`.
    pub fn add_breakpoint(&mut self, addr: u32) {
        self.marks.entry(addr).or_default().breakpoint = true;
        self.code.invalidate(addr..addr.saturating_add(1));
    }

    /// Takes back [`add_breakpoint`](Self::add_breakpoint).
    pub fn remove_breakpoint(&mut self, addr: u32) {
        self.unmark(addr, |mark| mark.breakpoint = false);
    }

    fn unmark(&mut self, addr: u32, change: impl Fn(&mut Mark)) {
        if let Some(mark) = self.marks.get_mut(&addr) {
            change(mark);
            if !mark.hook && !mark.breakpoint {
                self.marks.remove(&addr);
            }
            self.code.invalidate(addr..addr.saturating_add(1));
        }
    }

    /// Stops after an instruction that reads (`read`) or writes (`write`) in `range`.
    pub fn add_watchpoint(&mut self, range: Range<u32>, read: bool, write: bool) {
        self.core.watches.push(Watch { range, read, write });
    }

    /// Takes back [`add_watchpoint`](Self::add_watchpoint), called with the same arguments.
    pub fn remove_watchpoint(&mut self, range: Range<u32>, read: bool, write: bool) {
        let watch = Watch { range, read, write };
        self.core.watches.retain(|w| *w != watch);
    }

    /// Whether SIMCALL stops ([`Stop::Simcall`]). On the chip, and here unless told, it is an
    /// illegal instruction.
    pub fn stop_at_simcall(&mut self, on: bool) {
        self.core.simcall_stops = on;
    }
}
