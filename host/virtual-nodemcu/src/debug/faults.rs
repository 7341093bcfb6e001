//! Exceptions that mean a mistake in the program, for the console.

use std::collections::HashSet;

use super::symbols::Symbols;
use crate::cpu::{Cause, Trace};

/// Places remembered: a program that faults everywhere does not fill the console.
const MOST: usize = 64;

/// An exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub cause: Cause,
    /// The instruction.
    pub pc: u32,
    /// EXCVADDR, if it applies.
    pub address: Option<u32>,
}

impl Fault {
    /// What the console says.
    #[must_use]
    pub fn text(&self, symbols: &Symbols) -> String {
        let Self { cause, pc, address } = self;
        let place = symbols.place(*pc).map_or(String::new(), |place| format!(" ({place})"));
        let address = address.map_or(String::new(), |a| format!(", address {a:#010x}"));
        format!("exception {} {cause:?} at {pc:#010x}{place}{address}", *cause as u32)
    }
}

/// Collects exceptions, each once for a place until the next reset. It sees no instructions, so
/// it costs nothing where there are no exceptions.
#[derive(Debug, Default)]
pub struct Faults {
    seen: HashSet<(u32, u32)>,
    new: Vec<Fault>,
}

impl Faults {
    /// The chip was reset: all counts anew.
    pub fn reset(&mut self) {
        self.seen.clear();
    }

    /// What came since the last call.
    pub fn take(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.new)
    }
}

impl Trace for Faults {
    const INSTRUCTIONS: bool = false;

    fn exception(&mut self, cause: Cause, pc: u32, addr: Option<u32>) {
        // What programs do on purpose: system calls, and bytes of flash and IRAM, whose handler
        // makes up for the bus. Without a handler the ROM says so.
        let meant = matches!(cause, Cause::Syscall | Cause::LoadStoreError);
        if !meant && self.seen.len() < MOST && self.seen.insert((pc, cause as u32)) {
            self.new.push(Fault { cause, pc, address: addr });
        }
    }
}
