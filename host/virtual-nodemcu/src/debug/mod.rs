//! For those who debug: symbols, a trace, a profile, GDB's remote protocol.

pub mod faults;
pub mod gdb;
pub mod profile;
pub mod symbols;
pub mod trace;

use std::io;

use crate::cpu::{Cause, Instruction, Trace};
use faults::Faults;
use profile::Profile;
use trace::Tracer;

/// Sees what is executed and passes it on to whoever is there.
///
/// A machine without an observer executes code in which none of this exists.
#[derive(Default)]
pub struct Observer {
    /// Writes it down.
    pub tracer: Option<Tracer>,
    /// Counts it.
    pub profile: Option<Profile>,
    /// What the console says of exceptions.
    pub faults: Faults,
}

impl Observer {
    /// The host does the ROM function at `pc`.
    pub fn rom(&mut self, pc: u32, registers: &[u32; 16], cycle: u64) {
        if let Some(tracer) = &mut self.tracer {
            tracer.rom(pc, registers, cycle);
        }
        if let Some(profile) = &mut self.profile {
            profile.rom(pc);
        }
    }

    /// The chip was reset.
    pub fn reset(&mut self, text: &str) {
        if let Some(tracer) = &mut self.tracer {
            tracer.note(text);
        }
    }

    /// The end: writes what is still held back.
    ///
    /// # Errors
    /// The trace could not be written, now or earlier.
    pub fn finish(&mut self, registers: &[u32; 16]) -> io::Result<()> {
        self.tracer.as_mut().map_or(Ok(()), |tracer| tracer.finish(registers))
    }
}

impl Trace for Observer {
    fn instruction(&mut self, instruction: Instruction, registers: &[u32; 16], cycle: u64) {
        if let Some(tracer) = &mut self.tracer {
            tracer.instruction(instruction, registers, cycle);
        }
        if let Some(profile) = &mut self.profile {
            profile.instruction(instruction.pc());
        }
    }

    fn exception(&mut self, cause: Cause, pc: u32, addr: Option<u32>) {
        self.faults.exception(cause, pc, addr);
        if let Some(tracer) = &mut self.tracer {
            let address = addr.map_or(String::new(), |addr| format!(", address {addr:08x}"));
            tracer.note_at(
                pc,
                &format!("exception {} at {pc:08x}: {cause:?}{address}", cause as u32),
            );
        }
    }

    fn interrupt(&mut self, level: u32, pc: u32, pending: u32) {
        if let Some(tracer) = &mut self.tracer {
            tracer.note_at(
                pc,
                &format!("interrupt of level {level} before {pc:08x}, pending {pending:04x}"),
            );
        }
    }
}
