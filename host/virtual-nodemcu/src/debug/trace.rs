//! A line for each instruction executed.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;
use std::rc::Rc;

use super::symbols::Symbols;
use crate::cpu::Instruction;

/// An instruction whose result is not known yet: it shows at the next one.
struct Pending {
    text: String,
    before: [u32; 16],
}

/// Writes the trace.
pub struct Tracer {
    out: Box<dyn Write>,
    symbols: Rc<Symbols>,
    /// Only instructions in these; all, if there are none.
    only: Vec<Range<u32>>,
    pending: Option<Pending>,
    /// What happened after the pending instruction.
    notes: Vec<String>,
    failed: Option<io::Error>,
}

impl Tracer {
    /// Writes to `out` what is executed in the ranges of `only`, or all if that is empty.
    #[must_use]
    pub fn new(out: Box<dyn Write>, symbols: Rc<Symbols>, only: Vec<Range<u32>>) -> Self {
        Self { out, symbols, only, pending: None, notes: Vec::new(), failed: None }
    }

    fn wanted(&self, pc: u32) -> bool {
        self.only.is_empty() || self.only.iter().any(|range| range.contains(&pc))
    }

    fn place(&self, pc: u32) -> String {
        self.symbols.place(pc).map_or(String::new(), |place| place + " ")
    }

    /// An instruction is about to be executed.
    pub fn instruction(&mut self, instruction: Instruction, registers: &[u32; 16], cycle: u64) {
        self.flush(registers);
        let pc = instruction.pc();
        if !self.wanted(pc) {
            return;
        }
        let place = self.place(pc);
        let mut text = format!("{cycle:>10} {pc:08x} {place:<28}{instruction}");
        if let Some(address) = instruction.address(registers) {
            // Padded, so that the effects stand in a column.
            let _ =
                write!(text, "{:1$}[{address:08x}]", "", 76usize.saturating_sub(text.len()).max(1));
            if let Some(value) = instruction.stored(registers) {
                let _ = write!(text, "={value:x}");
            }
        }
        self.pending = Some(Pending { text, before: *registers });
    }

    /// The host does a ROM function.
    pub fn rom(&mut self, pc: u32, registers: &[u32; 16], cycle: u64) {
        self.flush(registers);
        if self.wanted(pc) {
            let place = self.place(pc);
            let arguments: Vec<_> = (2..6).map(|n| format!("{:x}", registers[n])).collect();
            let text =
                format!("{cycle:>10} {pc:08x} {place:<28}ROM function ({})", arguments.join(", "));
            self.pending = Some(Pending { text, before: *registers });
        }
    }

    /// Something happened to the instruction at `pc`.
    pub fn note_at(&mut self, pc: u32, text: &str) {
        if self.wanted(pc) {
            self.note(text);
        }
    }

    /// Something happened.
    pub fn note(&mut self, text: &str) {
        self.notes.push(format!("{:>10} -- {text}", ""));
    }

    /// Writes what waits for registers to show its result, and what came after it.
    fn flush(&mut self, registers: &[u32; 16]) {
        let mut text = String::new();
        if let Some(pending) = self.pending.take() {
            text = pending.text;
            let mut gap = 76usize.saturating_sub(text.len()).max(1);
            for (n, (old, new)) in pending.before.iter().zip(registers).enumerate() {
                if old != new {
                    let _ = write!(text, "{:gap$}a{n}={new:x}", "");
                    gap = 1;
                }
            }
            text.push('\n');
        }
        for note in self.notes.drain(..) {
            text.push_str(&note);
            text.push('\n');
        }
        if self.failed.is_none()
            && let Err(e) = self.out.write_all(text.as_bytes())
        {
            self.failed = Some(e);
        }
    }

    /// Whether the trace could not be written: then it is not worth going on.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Writes what is held back.
    ///
    /// # Errors
    /// The trace could not be written, now or earlier.
    pub fn finish(&mut self, registers: &[u32; 16]) -> io::Result<()> {
        self.flush(registers);
        match self.failed.take() {
            Some(e) => Err(e),
            None => self.out.flush(),
        }
    }
}
