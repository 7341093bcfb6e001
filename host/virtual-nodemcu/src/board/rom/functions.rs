//! The ROM functions that programs call, done by the host.
//!
//! Arguments and results follow the call0 ABI: a2 to a7 in, a2 (and a3) out.

use std::collections::HashMap;

use super::Rom;
use super::flash::{erase_area, erase_block, erase_sector, write_flash};
use crate::board::flash::{BLOCK, PAGE, SECTOR};
use crate::board::{Board, IRAM, ROM};
use crate::cpu::{Bus as _, Cause, Cpu, sr};

/// The ROM's pointer to what it knows of the flash chip, and where that stands.
const FLASH_CHIP: u32 = 0x3FFF_C714;
const FLASH_CHIP_AT: u32 = 0x3FFF_C718;
/// Offset of the size in it.
const CHIP_SIZE: u32 = 4;
/// Bytes that SPI calls may address until SPIParamCfg says otherwise.
const DEFAULT_CHIP_SIZE: u32 = 0x100_0000;
/// Where interrupt handlers return to.
const AFTER_HANDLER: u32 = 0x4000_FE04;
/// Registers saved on the stack while a handler runs: a0-a15, EPC1, PS, SAR.
const FRAME: u32 = 0x100;
/// PS in a handler: level 1, user mode.
const HANDLER_PS: u32 = 0x21;
const PS_EXCM: u32 = 0x10;
const PS_UM: u32 = 0x20;
/// Interrupts.
const INTERRUPTS: usize = 15;

/// What the functions remember between calls.
#[derive(Default)]
pub struct Functions {
    handlers: [Option<(u32, u32)>; INTERRUPTS],
    md5: HashMap<u32, md5::Context>,
    boot: bool,
}

/// The ROM's variables as they are when a program starts.
pub fn initialise(board: &mut Board) {
    let chip = [0x0016_40EF, DEFAULT_CHIP_SIZE, BLOCK as u32, SECTOR as u32, PAGE as u32, 0xFFFF];
    let mut bytes = FLASH_CHIP_AT.to_le_bytes().to_vec();
    for word in chip {
        bytes.extend(word.to_le_bytes());
    }
    board.write_ram(FLASH_CHIP, &bytes);
}

/// Where in memory an argument lies that the function cannot use.
struct Refused {
    cause: Cause,
    address: u32,
}

type Done = Result<(), Refused>;

impl Functions {
    /// Whether a function asked the ROM to start the program in flash.
    pub fn take_boot(&mut self) -> bool {
        std::mem::take(&mut self.boot)
    }

    /// Does what stands at `pc`.
    pub fn call(&mut self, pc: u32, cpu: &mut Cpu, board: &mut Board) {
        match pc - ROM.start {
            // User and kernel exception vectors.
            0x50 | 0x30 => return self.exception(cpu, board),
            0xFE04 => return self.after_handler(cpu, board),
            // Reset vector, and _start behind it.
            0x80 | 0xA4 | 0x42C => {
                board.reset_by_program();
                return Rom::hang(cpu);
            }
            // software_reset
            0x264C => {
                board.reset_by_program();
                return Rom::hang(cpu);
            }
            // Behind the loading of programs in the ROM's main(): esptool's stubs go on here.
            0x10A8 => {
                self.boot = true;
                return;
            }
            // ets_delay_us
            0x2ECC => {
                let cycles = u64::from(cpu.reg(2)) * board.clock.cpu_hz() / 1_000_000;
                return Rom::delay(cpu, cycles as u32);
            }
            _ => {}
        }
        match self.function(pc, cpu, board) {
            Ok(()) => cpu.return_from_call(),
            Err(refused) => raise(cpu, pc, &refused),
        }
    }

    #[allow(clippy::too_many_lines)] // One line or two for each function.
    fn function(&mut self, pc: u32, cpu: &mut Cpu, board: &mut Board) -> Done {
        let [a2, a3, a4, a5] = [2, 3, 4, 5].map(|n| cpu.reg(n));
        let long = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let result: Option<u32> = match pc - ROM.start {
            // Cache_Read_Enable(odd, pair of MiB, 32 KiB of cache)
            0x4678 => {
                board.cache_enable(a2 != 0, a3, a4 != 0);
                None
            }
            // Cache_Read_Disable
            0x47F0 => {
                board.cache_disable();
                None
            }
            // SelectSpiFunction, spi_flash_attach, SPIUnlock, SPILock, Wait_SPI_Idle,
            // Enable_QMode, SPIReadModeCnfig, SPI_write_enable: nothing is ever busy or locked.
            0x3F58 | 0x4644 => None,
            0x4878 | 0x48A8 | 0x448C | 0x44C0 | 0x48EC => Some(0),
            0x443C => {
                board.flash.transact(0x06, 0, &[], &mut []);
                Some(0)
            }
            // SPI_read_status(chip, out), SPI_write_status(chip, value)
            0x43C8 => {
                store32(board, cpu, a3, u32::from(board.flash.status() as u8))?;
                Some(0)
            }
            0x4400 => {
                board.flash.transact(0x06, 0, &[], &mut []);
                board.flash.transact(0x01, 0, &a3.to_le_bytes()[..1], &mut []);
                Some(0)
            }
            // SPIRead(offset, destination, size)
            0x4B1C => Some(u32::from(!spi_read(a2, a3, a4, cpu, board)?)),
            // SPIWrite(offset, source, size)
            0x4A4C => {
                let refused = a2 % 4 != 0 || a4 % 4 != 0 || !within_limit(a2, a4, board);
                if refused {
                    Some(1)
                } else {
                    let bytes = load_bytes(board, cpu, a3, a4, true)?;
                    Some(u32::from(!write_flash(a2, &bytes, board)))
                }
            }
            // SPIEraseSector, SPIEraseBlock, SPIEraseChip, SPIEraseArea(offset, size)
            0x4A00 => Some(u32::from(!erase_sector(a2, board))),
            0x49B4 => Some(u32::from(!erase_block(a2, board))),
            0x4984 => {
                board.flash.transact(0x06, 0, &[], &mut []);
                board.flash.transact(0xC7, 0, &[], &mut []);
                Some(0)
            }
            0x4B44 => Some(u32::from(!erase_area(a2, a3, board))),
            // SPIParamCfg(id, size, block, sector, page, mask)
            0x4C2C => {
                let values = [a2, a3, a4, a5, cpu.reg(6), cpu.reg(7)];
                for (at, value) in (FLASH_CHIP_AT..).step_by(4).zip(values) {
                    store32(board, cpu, at, value)?;
                }
                Some(0)
            }
            // rom_i2c_writeReg(block, host, register, value); each block hangs on one host.
            0x72D8 => {
                board.write_analog(a2 as u8, a4 as u8, a5 as u8, cpu.cycles());
                None
            }
            // uart_div_modify(uart, divider)
            0x39D8 => {
                if let Some(uart) = board.uarts.get_mut(a2 as usize) {
                    uart.set_divider(a3);
                }
                None
            }
            // uart_tx_one_char, ets_putc, ets_write_char
            0x3B30 | 0x2BE8 => {
                board.uarts[0].send(&[a2 as u8]);
                Some(0)
            }
            0x1DA0 => {
                write_char(board, a2 as u8);
                None
            }
            // uart_rx_one_char(out)
            0x3B8C => match board.uarts[0].take_received() {
                Some(byte) => {
                    store8(board, cpu, a2, byte)?;
                    Some(0)
                }
                None => Some(1),
            },
            // uartAttach, Uart_Init, uart_buff_switch, gpio_init, ets_install_uart_printf
            0x383C | 0x3A14 | 0x38A4 | 0x4C50 | 0x2438 => None,
            // ets_printf, ets_uart_printf
            0x24CC | 0x2544 => {
                let text = printf(cpu, board, a2)?;
                for byte in &text {
                    write_char(board, *byte);
                }
                Some(text.len() as u32)
            }
            // ets_set_user_start: what main() calls later, which is over once a program runs
            0x0FBC => None,
            // ets_isr_attach(number, handler, argument), ets_isr_mask, ets_isr_unmask
            0x0F88 => {
                if let Some(slot) = self.handlers.get_mut(a2 as usize) {
                    *slot = (a3 != 0).then_some((a3, a4));
                }
                None
            }
            0x0F98 => {
                let enabled = cpu.special(sr::INTENABLE).unwrap_or(0);
                cpu.set_special(sr::INTENABLE, enabled & !a2);
                None
            }
            0x0FA8 => {
                let enabled = cpu.special(sr::INTENABLE).unwrap_or(0);
                cpu.set_special(sr::INTENABLE, enabled | a2);
                None
            }
            // ets_intr_lock, ets_intr_unlock
            0x0F74 => {
                set_level(cpu, 3);
                None
            }
            0x0F80 => {
                set_level(cpu, 0);
                None
            }
            // ets_get_cpu_frequency, ets_update_cpu_frequency
            0x2F0C => Some((board.clock.cpu_hz() / 1_000_000) as u32),
            0x2F04 => None,
            // rtc_get_reset_reason
            0x25E0 => Some(board.reset_cause() as u32),
            // ets_wdt_enable, ets_wdt_disable
            0x2FA0 => {
                board.start_watchdog(super::BOOT_WATCHDOG, cpu.cycles());
                None
            }
            0x30F0 => {
                board.stop_watchdog();
                None
            }
            // MD5Init, MD5Update(context, data, length), MD5Final(digest, context)
            0x9818 => {
                self.md5.insert(a2, md5::Context::new());
                None
            }
            0x9834 => {
                let bytes = load_bytes(board, cpu, a3, a4, false)?;
                self.md5.entry(a2).or_default().consume(bytes);
                None
            }
            0x9900 => {
                let digest = self.md5.remove(&a3).unwrap_or_default().finalize();
                store_bytes(board, cpu, a2, &digest.0, false)?;
                None
            }
            // memcpy, ets_memcpy, xthal_memcpy, memmove, ets_memmove
            0xDF48 | 0x18B4 | 0x06C4 | 0xE04C | 0x18C4 => {
                let words = a2 % 4 == 0 && a3 % 4 == 0;
                let bytes = load_bytes(board, cpu, a3, a4, words)?;
                store_bytes(board, cpu, a2, &bytes, words)?;
                Some(a2)
            }
            // memset, ets_memset, bzero, ets_bzero
            0xE190 | 0x18A4 => {
                store_bytes(board, cpu, a2, &vec![a3 as u8; length(a4)], a2 % 4 == 0)?;
                Some(a2)
            }
            0xDE84 | 0x2AE8 => {
                store_bytes(board, cpu, a2, &vec![0; length(a3)], a2 % 4 == 0)?;
                None
            }
            // memcmp, ets_memcmp
            0xDEA8 | 0x18D4 => {
                let left = load_bytes(board, cpu, a2, a4, false)?;
                let right = load_bytes(board, cpu, a3, a4, false)?;
                Some(difference(&left, &right))
            }
            // strlen, ets_strlen
            0xBF4C | 0x2AC8 => Some(load_string(board, cpu, a2, u32::MAX)?.len() as u32),
            // strcpy, ets_strcpy
            0xBEC8 | 0x2A88 => {
                let mut text = load_string(board, cpu, a3, u32::MAX)?;
                text.push(0);
                store_bytes(board, cpu, a2, &text, false)?;
                Some(a2)
            }
            // strncpy, ets_strncpy
            0xC0A0 | 0x2A98 => {
                let mut text = load_string(board, cpu, a3, a4)?;
                text.resize(length(a4), 0);
                store_bytes(board, cpu, a2, &text, false)?;
                Some(a2)
            }
            // strcmp, ets_strcmp, strncmp, ets_strncmp
            code @ (0xBDC8 | 0x2AA8 | 0xBFA8 | 0x2AB8) => {
                let limit = if matches!(code, 0xBFA8 | 0x2AB8) { a4 } else { u32::MAX };
                let mut left = load_string(board, cpu, a2, limit)?;
                let mut right = load_string(board, cpu, a3, limit)?;
                left.push(0);
                right.push(0);
                Some(difference(&left, &right))
            }
            // Integer arithmetic: __udivsi3, __umodsi3, __divsi3, __umulsidi3, __muldi3,
            // __udivdi3, __umoddi3, __divdi3. Division by zero gives 0, as in the ROM.
            0xE21C => Some(a2.checked_div(a3).unwrap_or(0)),
            0xE268 => Some(a2.checked_rem(a3).unwrap_or(0)),
            0xDC88 => Some((a2 as i32).checked_div(a3 as i32).unwrap_or(0) as u32),
            code @ (0xDCF0 | 0x0650 | 0xD310 | 0xD770 | 0xCE60) => {
                let (left, right) = (long(a2, a3), long(a4, a5));
                let value = match code {
                    0xDCF0 => u64::from(a2) * u64::from(a3),
                    0x0650 => left.wrapping_mul(right),
                    0xD310 => left.checked_div(right).unwrap_or(0),
                    0xD770 => left.checked_rem(right).unwrap_or(0),
                    _ => (left as i64).checked_div(right as i64).unwrap_or(0) as u64,
                };
                cpu.set_reg(3, (value >> 32) as u32);
                Some(value as u32)
            }
            // xthal_get_ccount
            0xDD38 => cpu.special(sr::CCOUNT),
            offset => {
                let (from, at) = (cpu.reg(0), ROM.start + offset);
                board.unmodelled(at, || {
                    format!(
                        "call from {from:#010x} of the ROM at {at:#010x}: no function is modelled \
                         there"
                    )
                });
                return Err(Refused { cause: Cause::IllegalInstruction, address: pc });
            }
        };
        if let Some(value) = result {
            cpu.set_reg(2, value);
        }
        Ok(())
    }

    /// The ROM's exception vector: interrupts go to their handlers, all else is the end.
    fn exception(&mut self, cpu: &mut Cpu, board: &mut Board) {
        let cause = cpu.special(sr::EXCCAUSE).unwrap_or(0);
        let epc = cpu.special(sr::EPC1).unwrap_or(0);
        if cause != Cause::Level1Interrupt as u32 {
            let address = cpu.special(sr::EXCVADDR).unwrap_or(0);
            board.crashed(format!(
                "exception {cause} at {epc:#010x}, address {address:#010x}, without a handler: \
                 the ROM waits for the watchdog"
            ));
            return Rom::fail(cpu, board);
        }
        let frame = cpu.reg(1).wrapping_sub(FRAME);
        let mut saved: Vec<u8> = (0..16).flat_map(|n| cpu.reg(n).to_le_bytes()).collect();
        for number in [sr::EPC1, sr::PS, sr::SAR] {
            saved.extend(cpu.special(number).unwrap_or(0).to_le_bytes());
        }
        if !board.write_ram(frame, &saved) {
            board.crashed(format!(
                "interrupt with the stack at {frame:#010x}, which is not RAM: the ROM waits for \
                 the watchdog"
            ));
            return Rom::fail(cpu, board);
        }
        cpu.set_reg(1, frame);
        self.next_handler(cpu, board);
    }

    /// Calls the handler of the lowest interrupt that is pending and enabled, or returns to
    /// what was interrupted.
    fn next_handler(&mut self, cpu: &mut Cpu, board: &mut Board) {
        let active =
            cpu.special(sr::INTERRUPT).unwrap_or(0) & cpu.special(sr::INTENABLE).unwrap_or(0);
        let due = (0..INTERRUPTS).find(|n| active >> n & 1 != 0);
        let Some(number) = due else { return restore(cpu, board) };
        // Clears what is latched; a level stays.
        cpu.set_special(sr::INTCLEAR, 1 << number);
        let Some((handler, argument)) = self.handlers[number] else {
            // As the ROM's default handler: nobody wants it, so it is turned off.
            let enabled = cpu.special(sr::INTENABLE).unwrap_or(0);
            cpu.set_special(sr::INTENABLE, enabled & !(1 << number));
            return restore(cpu, board);
        };
        cpu.set_special(sr::PS, HANDLER_PS);
        cpu.set_reg(0, AFTER_HANDLER);
        cpu.set_reg(2, argument);
        cpu.set_reg(3, cpu.reg(1));
        cpu.set_pc(handler);
    }

    fn after_handler(&mut self, cpu: &mut Cpu, board: &mut Board) {
        self.next_handler(cpu, board);
    }
}

/// Back to what was interrupted.
fn restore(cpu: &mut Cpu, board: &mut Board) {
    let Some(saved) = board.read_memory(cpu.reg(1), 19 * 4) else {
        return Rom::fail(cpu, board);
    };
    let word = |n: usize| {
        u32::from_le_bytes([saved[4 * n], saved[4 * n + 1], saved[4 * n + 2], saved[4 * n + 3]])
    };
    for n in 0..16 {
        cpu.set_reg(n, word(n));
    }
    cpu.set_pc(word(16));
    cpu.set_special(sr::PS, word(17) & !PS_EXCM);
    cpu.set_special(sr::SAR, word(18));
}

fn set_level(cpu: &mut Cpu, level: u32) {
    let ps = cpu.special(sr::PS).unwrap_or(0);
    cpu.set_special(sr::PS, ps & !0xF | level);
}

/// What the core does when a function's own load or store is refused.
fn raise(cpu: &mut Cpu, pc: u32, refused: &Refused) {
    let ps = cpu.special(sr::PS).unwrap_or(0);
    let vector = if ps & PS_UM != 0 { 0x50 } else { 0x30 };
    cpu.set_special(sr::EPC1, pc);
    cpu.set_special(sr::EXCCAUSE, refused.cause as u32);
    cpu.set_special(sr::EXCVADDR, refused.address);
    cpu.set_special(sr::PS, ps | PS_EXCM);
    cpu.set_pc(cpu.special(sr::VECBASE).unwrap_or(ROM.start) + vector);
}

/// A length that a program gives: no more than there is address space for RAM and flash.
fn length(bytes: u32) -> usize {
    bytes.min(0x40_0000) as usize
}

fn within_limit(offset: u32, size: u32, board: &mut Board) -> bool {
    let limit = board.word(FLASH_CHIP_AT + CHIP_SIZE, 0).unwrap_or(0);
    offset.checked_add(size).is_some_and(|end| end <= limit)
}

fn spi_read(
    offset: u32,
    to: u32,
    size: u32,
    cpu: &Cpu,
    board: &mut Board,
) -> Result<bool, Refused> {
    if !within_limit(offset, size, board) {
        return Ok(false);
    }
    let mut bytes = vec![0; length(size)];
    board.flash.transact(0x03, offset, &[], &mut bytes);
    store_bytes(board, cpu, to, &bytes, true)?;
    Ok(true)
}

fn store32(board: &mut Board, cpu: &Cpu, address: u32, value: u32) -> Done {
    if !address.is_multiple_of(4) {
        return Err(Refused { cause: Cause::LoadStoreAlignment, address });
    }
    board.store32(address, value, cpu.cycles()).map_err(|cause| Refused { cause, address })?;
    // What was decoded there is no longer true.
    if IRAM.contains(&address) {
        board.touch(address..address + 4);
    }
    Ok(())
}

fn store8(board: &mut Board, cpu: &Cpu, address: u32, value: u8) -> Done {
    board.store8(address, value, cpu.cycles()).map_err(|cause| Refused { cause, address })
}

/// Loads as the core would: words where `words` allows it, bytes for the rest.
fn load_bytes(
    board: &mut Board,
    cpu: &Cpu,
    address: u32,
    size: u32,
    words: bool,
) -> Result<Vec<u8>, Refused> {
    let now = cpu.cycles();
    let mut bytes = Vec::with_capacity(length(size));
    let mut at = address;
    let mut left = size;
    if words && !address.is_multiple_of(4) {
        return Err(Refused { cause: Cause::LoadStoreAlignment, address });
    }
    while left > 0 {
        let refused = |cause| Refused { cause, address: at };
        if words && left >= 4 {
            bytes.extend(board.load32(at, now).map_err(refused)?.to_le_bytes());
            at = at.wrapping_add(4);
            left -= 4;
        } else {
            bytes.push(board.load8(at, now).map_err(refused)?);
            at = at.wrapping_add(1);
            left -= 1;
        }
    }
    Ok(bytes)
}

/// Stores as the core would.
fn store_bytes(board: &mut Board, cpu: &Cpu, address: u32, bytes: &[u8], words: bool) -> Done {
    if words && !address.is_multiple_of(4) {
        return Err(Refused { cause: Cause::LoadStoreAlignment, address });
    }
    let mut at = address;
    for chunk in bytes.chunks(4) {
        match chunk {
            [a, b, c, d] if words => {
                store32(board, cpu, at, u32::from_le_bytes([*a, *b, *c, *d]))?;
            }
            chunk => {
                for (i, byte) in (0..).zip(chunk) {
                    store8(board, cpu, at.wrapping_add(i), *byte)?;
                }
            }
        }
        at = at.wrapping_add(chunk.len() as u32);
    }
    Ok(())
}

/// A zero-terminated string of at most `limit` bytes, without its end.
fn load_string(board: &mut Board, cpu: &Cpu, at: u32, limit: u32) -> Result<Vec<u8>, Refused> {
    let mut text = Vec::new();
    for offset in 0..length(limit) as u32 {
        let address = at.wrapping_add(offset);
        let byte =
            board.load8(address, cpu.cycles()).map_err(|cause| Refused { cause, address })?;
        if byte == 0 {
            break;
        }
        text.push(byte);
    }
    Ok(text)
}

/// The sign of a comparison as C functions return it.
fn difference(left: &[u8], right: &[u8]) -> u32 {
    let pair = left.iter().zip(right).find(|(a, b)| a != b);
    pair.map_or(0, |(a, b)| (i32::from(*a) - i32::from(*b)) as u32)
}

/// As the ROM writes text: a line feed becomes two characters, a carriage return none.
fn write_char(board: &mut Board, byte: u8) {
    match byte {
        b'\n' => board.uarts[0].send(b"\r\n"),
        b'\r' => {}
        byte => board.uarts[0].send(&[byte]),
    }
}

/// The ROM's printf: d, i, u, x, X, p, c, s, %, with zero padding and width.
fn printf(cpu: &mut Cpu, board: &mut Board, format: u32) -> Result<Vec<u8>, Refused> {
    let format = load_string(board, cpu, format, 0x400)?;
    let mut out = Vec::new();
    let mut next = 3;
    let mut bytes = format.into_iter();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (mut zero, mut width) = (false, 0);
        let conversion = loop {
            match bytes.next() {
                Some(b'0') if width == 0 => zero = true,
                Some(digit @ b'0'..=b'9') => {
                    width = (width * 10 + usize::from(digit - b'0')).min(64);
                }
                Some(b'l' | b'-' | b'+' | b'.') => {}
                other => break other,
            }
        };
        let mut argument = || {
            // a3 to a7, then the caller's stack.
            let value = if next < 8 {
                cpu.reg(next)
            } else {
                let at = cpu.reg(1).wrapping_add((next as u32 - 8) * 4);
                board.word(at, cpu.cycles()).unwrap_or(0)
            };
            next += 1;
            value
        };
        let text = match conversion {
            Some(b'd' | b'i') => (argument() as i32).to_string(),
            Some(b'u') => argument().to_string(),
            Some(b'x' | b'p') => format!("{:x}", argument()),
            Some(b'X') => format!("{:X}", argument()),
            Some(b'c') => {
                out.push(argument() as u8);
                continue;
            }
            Some(b's') => {
                let at = argument();
                out.extend(load_string(board, cpu, at, 0x400)?);
                continue;
            }
            Some(other) => {
                out.push(other);
                continue;
            }
            None => break,
        };
        let pad = if zero { b'0' } else { b' ' };
        out.extend(std::iter::repeat_n(pad, width.saturating_sub(text.len())));
        out.extend(text.bytes());
    }
    Ok(out)
}
