//! What a function of the ROM sees of its caller: arguments, memory, and the way back.

use crate::board::{Board, IRAM, ROM};
use crate::cpu::{Bus as _, Cause, Cpu, sr};

/// Where in memory something lies that a function cannot use.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// The exception that the core raises.
    pub cause: Cause,
    /// EXCVADDR; for an illegal instruction, where it stands.
    pub address: u32,
}

/// What a function ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returns; a2 stays.
    Plain,
    /// It returns this in a2.
    Value(u32),
    /// It returns this in a2 and a3.
    Wide(u64),
    /// The program counter is set already.
    Elsewhere,
}

impl End {
    /// What one that only does something ends with, whatever came of it.
    pub fn plain<T>(_: T) -> Self {
        Self::Plain
    }
}

/// A result that memory may refuse.
pub type Done<T> = Result<T, Refused>;

/// Core and board while a function of the ROM is done.
pub struct Guest<'a> {
    /// The core.
    pub cpu: &'a mut Cpu,
    /// Everything else.
    pub board: &'a mut Board,
}

/// Fields of PS.
pub mod ps {
    /// Interrupts up to this level are masked.
    pub const LEVEL: u32 = 0xF;
    /// In an exception.
    pub const EXCM: u32 = 0x10;
    /// User mode.
    pub const UM: u32 = 0x20;
}

/// A length that a program gives: no more than there is address space for RAM and flash.
fn length(bytes: u32) -> usize {
    bytes.min(0x40_0000) as usize
}

impl Guest<'_> {
    /// Argument `n`: a2 to a7, then the caller's stack.
    pub fn argument(&mut self, n: u32) -> Done<u32> {
        match n {
            0..6 => Ok(self.cpu.reg(n as usize + 2)),
            _ => self.load32(self.cpu.reg(1).wrapping_add((n - 6) * 4)),
        }
    }

    /// The first six arguments.
    #[must_use]
    pub fn arguments(&self) -> [u32; 6] {
        [2, 3, 4, 5, 6, 7].map(|n| self.cpu.reg(n))
    }

    /// A special register.
    #[must_use]
    pub fn special(&self, number: u8) -> u32 {
        self.cpu.special(number).unwrap_or(0)
    }

    /// Masks interrupts up to `level`; the level that it was.
    pub fn set_level(&mut self, level: u32) -> u32 {
        let old = self.special(sr::PS);
        self.cpu.set_special(sr::PS, old & !ps::LEVEL | level);
        old
    }

    /// Loads a word as the core would.
    pub fn load32(&mut self, address: u32) -> Done<u32> {
        if !address.is_multiple_of(4) {
            return Err(Refused { cause: Cause::LoadStoreAlignment, address });
        }
        let now = self.cpu.cycles();
        self.board.load32(address, now).map_err(|cause| Refused { cause, address })
    }

    /// Loads a half-word. Where the bus knows words only (flash, IRAM), the right half of one: the
    /// chip faults there, and a program's handler makes up for it instruction by instruction,
    /// which it cannot do for a function that the host does.
    pub fn load16(&mut self, address: u32) -> Done<u16> {
        if !address.is_multiple_of(2) {
            return Err(Refused { cause: Cause::LoadStoreAlignment, address });
        }
        let now = self.cpu.cycles();
        match self.board.load16(address, now) {
            Err(Cause::LoadStoreError) => {
                Ok((self.load32(address & !3)? >> (8 * (address & 2))) as u16)
            }
            result => result.map_err(|cause| Refused { cause, address }),
        }
    }

    /// Loads a byte; the same goes for it.
    pub fn load8(&mut self, address: u32) -> Done<u8> {
        let now = self.cpu.cycles();
        match self.board.load8(address, now) {
            Err(Cause::LoadStoreError) => {
                Ok((self.load32(address & !3)? >> (8 * (address & 3))) as u8)
            }
            result => result.map_err(|cause| Refused { cause, address }),
        }
    }

    /// Stores a word as the core would.
    pub fn store32(&mut self, address: u32, value: u32) -> Done<()> {
        if !address.is_multiple_of(4) {
            return Err(Refused { cause: Cause::LoadStoreAlignment, address });
        }
        let now = self.cpu.cycles();
        self.board.store32(address, value, now).map_err(|cause| Refused { cause, address })?;
        // What was decoded there is no longer true.
        if IRAM.contains(&address) {
            self.board.touch(address..address + 4);
        }
        Ok(())
    }

    /// Stores a half-word as the core would.
    pub fn store16(&mut self, address: u32, value: u16) -> Done<()> {
        if !address.is_multiple_of(2) {
            return Err(Refused { cause: Cause::LoadStoreAlignment, address });
        }
        let now = self.cpu.cycles();
        self.board.store16(address, value, now).map_err(|cause| Refused { cause, address })
    }

    /// Stores a byte as the core would.
    pub fn store8(&mut self, address: u32, value: u8) -> Done<()> {
        let now = self.cpu.cycles();
        self.board.store8(address, value, now).map_err(|cause| Refused { cause, address })
    }

    /// Changes the bits of `mask` in the word at `address` to those of `value`.
    pub fn modify(&mut self, address: u32, mask: u32, value: u32) -> Done<()> {
        let old = self.load32(address)?;
        self.store32(address, old & !mask | value)
    }

    /// Loads bytes.
    pub fn load_bytes(&mut self, address: u32, size: u32) -> Done<Vec<u8>> {
        if let Some(bytes) = self.board.read_memory(address, length(size)) {
            return Ok(bytes);
        }
        (0..length(size) as u32).map(|offset| self.load8(address.wrapping_add(offset))).collect()
    }

    /// Stores as the core would.
    pub fn store_bytes(&mut self, address: u32, bytes: &[u8], words: bool) -> Done<()> {
        let mut at = address;
        for chunk in bytes.chunks(4) {
            match chunk {
                [a, b, c, d] if words => {
                    self.store32(at, u32::from_le_bytes([*a, *b, *c, *d]))?;
                }
                chunk => {
                    for (i, byte) in (0..).zip(chunk) {
                        self.store8(at.wrapping_add(i), *byte)?;
                    }
                }
            }
            at = at.wrapping_add(chunk.len() as u32);
        }
        Ok(())
    }

    /// Stores so many times the same byte, words where it can.
    pub fn fill(&mut self, address: u32, byte: u8, count: u32) -> Done<()> {
        self.store_bytes(address, &vec![byte; length(count)], address.is_multiple_of(4))
    }

    /// A zero-terminated string of at most `limit` bytes, without its end.
    pub fn load_string(&mut self, at: u32, limit: u32) -> Done<Vec<u8>> {
        let mut text = Vec::new();
        for offset in 0..length(limit) as u32 {
            match self.load8(at.wrapping_add(offset))? {
                0 => break,
                byte => text.push(byte),
            }
        }
        Ok(text)
    }

    /// What the core does when a load or store of the function at `pc` is refused.
    pub fn raise(&mut self, pc: u32, refused: &Refused) {
        let state = self.special(sr::PS);
        let vector = if state & ps::UM != 0 { 0x50 } else { 0x30 };
        let at = if refused.cause == Cause::IllegalInstruction { refused.address } else { pc };
        self.cpu.set_special(sr::EPC1, at);
        self.cpu.set_special(sr::EXCCAUSE, refused.cause as u32);
        self.cpu.set_special(sr::EXCVADDR, refused.address);
        self.cpu.set_special(sr::PS, state | ps::EXCM);
        let base = self.cpu.special(sr::VECBASE).unwrap_or(ROM.start);
        self.cpu.set_pc(base.wrapping_add(vector));
    }

    /// Ends a function.
    pub fn finish(&mut self, end: End) {
        match end {
            End::Elsewhere => return,
            End::Plain => {}
            End::Value(value) => self.cpu.set_reg(2, value),
            End::Wide(value) => {
                self.cpu.set_reg(2, value as u32);
                self.cpu.set_reg(3, (value >> 32) as u32);
            }
        }
        self.cpu.return_from_call();
    }
}
