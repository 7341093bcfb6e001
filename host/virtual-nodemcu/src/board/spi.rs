//! The SPI controllers (SPI0 at 0x60000200 with the flash, SPI1 at 0x60000100).
//!
//! Both reach the flash chip: SPI0 does on the board, and SPI1 shares its pins in overlap mode. SPI1
//! with pins of its own is [`super::hspi`].

use super::flash::Flash;
use crate::snapshot::keep;

/// Register offsets.
pub mod reg {
    #![allow(missing_docs)]
    pub const CMD: u32 = 0x00;
    pub const ADDR: u32 = 0x04;
    pub const CTRL: u32 = 0x08;
    pub const RD_STATUS: u32 = 0x10;
    pub const CLOCK: u32 = 0x18;
    pub const USER: u32 = 0x1C;
    pub const USER1: u32 = 0x20;
    pub const USER2: u32 = 0x24;
    pub const PIN: u32 = 0x2C;
    pub const W0: u32 = 0x40;
    pub const W15: u32 = 0x7C;
    pub const EXT2: u32 = 0xF8;
}

/// Bits of [`reg::CMD`] and the flash command each of them sends.
const COMMANDS: [(u32, u8); 12] = [
    (1 << 31, 0x03),
    (1 << 30, 0x06),
    (1 << 29, 0x04),
    (1 << 28, 0x9F),
    (1 << 27, 0x05),
    (1 << 26, 0x01),
    (1 << 25, 0x02),
    (1 << 24, 0x20),
    (1 << 23, 0xD8),
    (1 << 22, 0xC7),
    (1 << 21, 0xB9),
    (1 << 20, 0xAB),
];
/// Of [`reg::CMD`]: the command that the registers describe.
pub const CMD_USR: u32 = 1 << 18;
const USER_MOSI: u32 = 1 << 27;
const USER_MISO: u32 = 1 << 28;
const USER_ADDR: u32 = 1 << 30;
const USER_COMMAND: u32 = 1 << 31;
const BUFFER: usize = 64;

/// One controller.
pub struct Spi {
    registers: [u32; 64],
}

keep!(Spi { registers });

impl Default for Spi {
    fn default() -> Self {
        let mut registers = [0; 64];
        // One command byte.
        registers[reg::USER2 as usize / 4] = 7 << 28;
        registers[reg::USER as usize / 4] = USER_COMMAND;
        Self { registers }
    }
}

impl Spi {
    /// Reads the register at `offset` (a multiple of 4 below 0x100).
    #[must_use]
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            // Never busy: commands finish while they are written.
            reg::CMD | reg::EXT2 => 0,
            _ => self.registers[offset as usize / 4],
        }
    }

    /// Writes the register at `offset`; a write to [`reg::CMD`] runs the command on `flash`.
    pub fn write(&mut self, offset: u32, value: u32, flash: &mut Flash) {
        if offset != reg::CMD {
            self.registers[offset as usize / 4] = value;
        } else if value & CMD_USR != 0 {
            self.user_command(flash);
        } else {
            for (bit, code) in COMMANDS {
                if value & bit != 0 {
                    self.flash_command(code, flash);
                }
            }
        }
    }

    pub(super) fn get(&self, offset: u32) -> u32 {
        self.registers[offset as usize / 4]
    }

    pub(super) fn buffer(&self) -> [u8; BUFFER] {
        let mut bytes = [0; BUFFER];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(&self.registers[reg::W0 as usize / 4..])
        {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn set_buffer(&mut self, bytes: &[u8]) {
        let mut whole = self.buffer();
        whole[..bytes.len()].copy_from_slice(bytes);
        for (chunk, word) in whole.chunks_exact(4).zip(&mut self.registers[reg::W0 as usize / 4..])
        {
            *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
    }

    /// The built-in commands: address in bits 23:0 of ADDR, byte count in bits 31:24.
    fn flash_command(&mut self, code: u8, flash: &mut Flash) {
        let address = self.get(reg::ADDR);
        let count = ((address >> 24) as usize).min(BUFFER);
        let mut reply = [0; BUFFER];
        match code {
            0x03 => {
                flash.transact(code, address & 0xFF_FFFF, &[], &mut reply[..count]);
                self.set_buffer(&reply[..count]);
            }
            0x02 => {
                let sent = self.buffer();
                flash.transact(code, address & 0xFF_FFFF, &sent[..count], &mut []);
            }
            0x9F => {
                flash.transact(code, 0, &[], &mut reply[..3]);
                reply[3] = 0;
                self.set_buffer(&reply[..4]);
            }
            0x05 => {
                flash.transact(code, 0, &[], &mut reply[..1]);
                self.registers[reg::RD_STATUS as usize / 4] = u32::from(reply[0]);
            }
            0x01 => {
                let status = self.get(reg::RD_STATUS).to_le_bytes();
                flash.transact(code, 0, &status[..1], &mut []);
            }
            _ => flash.transact(code, address & 0xFF_FFFF, &[], &mut []),
        }
    }

    /// A command composed from USER, USER1, USER2, ADDR (left-aligned) and the buffer.
    fn user_command(&mut self, flash: &mut Flash) {
        let (user, user1) = (self.get(reg::USER), self.get(reg::USER1));
        if user & USER_COMMAND == 0 {
            return;
        }
        let code = self.get(reg::USER2) as u8;
        let address = if user & USER_ADDR != 0 {
            let bits = (user1 >> 26) + 1;
            self.get(reg::ADDR) >> (32 - bits.min(32))
        } else {
            0
        };
        let bytes = |field: u32| ((field & 0x1FF) as usize + 1).div_ceil(8).min(BUFFER);
        let buffer = self.buffer();
        let sent = if user & USER_MOSI != 0 { &buffer[..bytes(user1 >> 17)] } else { &[] };
        let mut reply = [0; BUFFER];
        let wanted = if user & USER_MISO != 0 { bytes(user1 >> 8) } else { 0 };
        flash.transact(code, address, sent, &mut reply[..wanted]);
        self.set_buffer(&reply[..wanted]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erase_program_read_through_the_registers() {
        let mut flash = Flash::blank(0x10000);
        flash.load(0, &[0; 0x2000]);
        let mut spi = Spi::default();
        spi.write(reg::CMD, 1 << 30, &mut flash);
        spi.write(reg::ADDR, 0x1000, &mut flash);
        spi.write(reg::CMD, 1 << 24, &mut flash);
        assert_eq!(flash.data()[0x0FFF..0x1001], [0, 0xFF]);
        spi.write(reg::W0, 0x0403_0201, &mut flash);
        spi.write(reg::W0 + 4, 0x0807_0605, &mut flash);
        spi.write(reg::CMD, 1 << 30, &mut flash);
        spi.write(reg::ADDR, 0x1000 | 6 << 24, &mut flash);
        spi.write(reg::CMD, 1 << 25, &mut flash);
        assert_eq!(flash.data()[0x1000..0x1008], [1, 2, 3, 4, 5, 6, 0xFF, 0xFF]);
        spi.write(reg::ADDR, 0x1002 | 8 << 24, &mut flash);
        spi.write(reg::CMD, 1 << 31, &mut flash);
        assert_eq!(spi.read(reg::W0), 0x0605_0403);
        assert_eq!(spi.read(reg::W0 + 4), 0xFFFF_FFFF);
        assert_eq!(spi.read(reg::CMD), 0, "finished");
    }

    #[test]
    fn user_command_as_esptool_reads_the_id() {
        let mut flash = Flash::blank(4 << 20);
        let mut spi = Spi::default();
        spi.write(reg::USER1, 23 << 8, &mut flash);
        spi.write(reg::USER, USER_COMMAND | USER_MISO, &mut flash);
        spi.write(reg::USER2, 7 << 28 | 0x9F, &mut flash);
        spi.write(reg::W0, 0, &mut flash);
        spi.write(reg::CMD, CMD_USR, &mut flash);
        assert_eq!(spi.read(reg::W0), 0x0016_40EF);
    }
}
