//! The ROM functions that programs call, done by the host.
//!
//! Arguments and results follow the call0 ABI: a2 to a7 in, a2 (and a3) out. What the functions
//! know between calls lies in RAM at the ROM's own addresses, where programs look at it.

use super::guest::{Done, End, Guest, Refused};
use super::script::{self, Script};
use super::{Rom, crypto, ets, flash, float, gpio, memory, names, phy, print, serial, xtos};
use crate::board::{Board, ROM};
use crate::cpu::{Cause, Cpu};
use crate::snapshot::keep;

/// The RAM that the ROM's start-up fills: its data, then what it clears.
const DATA: u32 = 0x3FFF_C000;
const CLEARED: u32 = 0x3FFF_EB30;

/// The ROM's variables while they are being set up.
pub struct Words {
    bytes: Vec<u8>,
}

impl Words {
    /// Sets the word at `address`.
    pub fn set(&mut self, address: u32, value: u32) {
        let at = (address - DATA) as usize;
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Sets the byte at `address`.
    pub fn set_byte(&mut self, address: u32, value: u8) {
        self.bytes[(address - DATA) as usize] = value;
    }

    /// Sets the text from `address` on; zeros follow.
    pub fn set_text(&mut self, address: u32, text: &str) {
        let at = (address - DATA) as usize;
        self.bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
}

/// The ROM's variables as they are when a program starts.
pub fn initialise(board: &mut Board) {
    let mut words = Words { bytes: vec![0; (CLEARED - DATA) as usize] };
    xtos::initialise(&mut words);
    ets::initialise(&mut words);
    flash::initialise(&mut words);
    serial::initialise(&mut words);
    print::initialise(&mut words);
    phy::initialise(&mut words);
    memory::initialise(&mut words);
    crypto::initialise(&mut words);
    board.write_ram(DATA, &words.bytes);
}

/// What the functions remember between calls, beyond what lies in RAM.
#[derive(Default)]
pub struct Functions {
    boot: bool,
}

keep!(Functions { boot });

impl Functions {
    /// Whether a function asked the ROM to start the program in flash.
    pub fn take_boot(&mut self) -> bool {
        std::mem::take(&mut self.boot)
    }

    /// Does what stands at `pc`.
    pub fn call(&mut self, pc: u32, cpu: &mut Cpu, board: &mut Board) {
        match pc - ROM.start {
            // Reset vector, and _start behind it; software_reset
            0x80 | 0xA4 | 0x42C | 0x264C => {
                board.reset_by_program();
                return Rom::hang(cpu);
            }
            // Behind the loading of programs in the ROM's main(): esptool's stubs go on here.
            0x10A8 => {
                self.boot = true;
                return;
            }
            // ets_delay_us counts cycles, so many a microsecond as it was told.
            0x2ECC => {
                let mut guest = Guest { cpu, board };
                let mhz = guest.load32(ets::CPU_MHZ).unwrap_or(1);
                let cycles = guest.cpu.reg(2).wrapping_mul(mhz);
                return Rom::delay(cpu, cycles);
            }
            _ => {}
        }
        let mut guest = Guest { cpu, board };
        if let Err(refused) = function(pc - ROM.start, &mut guest) {
            guest.raise(pc, &refused);
        }
    }
}

fn function(offset: u32, guest: &mut Guest) -> Done<()> {
    if offset == super::RESUME - ROM.start {
        return script::resume(guest, find_script);
    }
    let end = match memory::call(offset, guest)? {
        Some(end) => Some(end),
        None => other_function(offset, guest)?,
    };
    if let Some(end) = end {
        guest.finish(end);
        return Ok(());
    }
    if let Some(script) = find_script(offset) {
        return script::start(offset, script, guest);
    }
    let (from, at) = (guest.cpu.reg(0), ROM.start + offset);
    let name = names::of(offset).map_or(String::new(), |name| format!(", {name}"));
    guest.board.unmodelled(at, || {
        format!(
            "call from {from:#010x} of the ROM at {at:#010x}{name}: no function is modelled there"
        )
    });
    Err(Refused { cause: Cause::IllegalInstruction, address: at })
}

fn other_function(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    if let Some(end) = float::call(offset, guest) {
        return Ok(Some(end));
    }
    let groups = [
        xtos::call,
        ets::call,
        phy::call,
        flash::call,
        gpio::call,
        serial::call,
        print::call,
        crypto::call,
    ];
    for group in groups {
        if let Some(end) = group(offset, guest)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// The function at `offset`, if it is one that calls the program.
fn find_script(offset: u32) -> Option<Script> {
    ets::script(offset)
        .or_else(|| phy::script(offset))
        .or_else(|| print::script(offset))
        .or_else(|| gpio::script(offset))
        .or_else(|| serial::script(offset))
}
