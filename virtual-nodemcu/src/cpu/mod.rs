//! The LX106 core of the ESP8266.

mod bus;

pub use bus::{Bus, Signals};

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
