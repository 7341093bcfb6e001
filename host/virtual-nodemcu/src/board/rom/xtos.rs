//! Exceptions and interrupts as the ROM's runtime (xtos) hands them on, by tables in RAM that
//! programs share with it.

use super::guest::{Done, End, Guest, ps};
use super::{RETURN_FROM_HANDLER, RETURN_FROM_INTERRUPT, Rom, functions};
use crate::board::ROM;
use crate::cpu::sr;

/// Where the exception vector goes, by cause; and the functions in C behind it.
const HANDLERS: u32 = 0x3FFF_C000;
const C_HANDLERS: u32 = 0x3FFF_C100;
const CAUSES: u32 = 64;
/// Handler and argument of interrupt 0; the others lie below it.
const INTERRUPT_0: u32 = 0x3FFF_C278;
/// Which interrupts may come while number 0 is served, and its group; the others lie below.
const PRIORITY_0: u32 = 0x3FFF_C2F0;
/// Interrupts that are wanted, and those that the running priority allows.
const ENABLED: u32 = 0x3FFF_C200;
pub const VPRI: u32 = 0x3FFF_C204;
const INTERRUPTS: u32 = 15;
const NMI: u32 = 14;

const UNHANDLED_EXCEPTION: u32 = 0x4000_DC44;
const UNHANDLED_INTERRUPT: u32 = 0x4000_DC3C;
const LEVEL_1: u32 = 0x4000_048C;
const C_WRAPPER: u32 = 0x4000_0598;
const CAUSE_3: u32 = 0x4000_0590;
const SYSCALL: u32 = 0x4000_DBE4;
const ALLOCA: u32 = 0x4000_DBE0;
const NOTHING: u32 = 0x4000_DBF8;
/// What main() installs for the exceptions that end a program.
const FATAL: u32 = 0x4000_1878;
/// The same for alignment.
const FATAL_UNALIGNED: u32 = 0x4000_17E0;

/// A frame of an exception, on the stack of what was interrupted.
mod frame {
    pub const SIZE: u32 = 256;
    pub const PC: u32 = 0;
    pub const PS: u32 = 4;
    pub const SAR: u32 = 8;
    pub const VPRI: u32 = 12;
    /// a0, then a2 to a15.
    pub const A0: u32 = 16;
    pub const A2: u32 = 20;
    pub const CAUSE: u32 = 76;
}

/// The tables as they are when a program starts.
pub fn initialise(words: &mut functions::Words) {
    for cause in 0..CAUSES {
        let (handler, function) = match cause {
            0 | 2 | 3 | 8 | 28 | 29 => (C_WRAPPER, FATAL),
            9 => (C_WRAPPER, FATAL_UNALIGNED),
            1 => (SYSCALL, NOTHING),
            4 => (LEVEL_1, NOTHING),
            5 => (ALLOCA, NOTHING),
            12..=15 => (CAUSE_3, NOTHING),
            _ => (UNHANDLED_EXCEPTION, NOTHING),
        };
        words.set(HANDLERS + 4 * cause, handler);
        words.set(C_HANDLERS + 4 * cause, function);
    }
    words.set(ENABLED, 0);
    for number in 0..INTERRUPTS {
        words.set(INTERRUPT_0 - 8 * number, UNHANDLED_INTERRUPT);
        words.set(INTERRUPT_0 - 8 * number + 4, number);
        words.set(PRIORITY_0 - 8 * number, u32::MAX << (number + 1).min(14));
        words.set(PRIORITY_0 - 8 * number + 4, 1 << number);
    }
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, ..] = guest.arguments();
    Ok(Some(match offset {
        // User and kernel exception vectors.
        0x50 | 0x30 => vector(guest)?,
        // _xtos_set_exception_handler(cause, function)
        0x0454 => End::Value(set_exception(guest, a2, a3)?),
        0x048C => level_1(guest)?,
        0x0590 => c_wrapper(guest, 3)?,
        0x0598 => c_wrapper(guest, a2)?,
        // _xtos_restore_intlevel, _xtos_set_vpri
        0x056C => {
            guest.cpu.set_special(sr::PS, a2);
            End::Plain
        }
        0x0574 => {
            let old = guest.load32(VPRI)?;
            guest.store32(VPRI, a2)?;
            let enabled = guest.load32(ENABLED)?;
            guest.cpu.set_special(sr::INTENABLE, enabled & a2);
            End::Value(old)
        }
        // _xtos_set_interrupt_handler_arg, _xtos_set_interrupt_handler
        0xBD28 => End::Value(set_interrupt(guest, a2, a3, a4)?),
        0xBD70 => End::Value(set_interrupt(guest, a2, a3, a2)?),
        0xBD84 => End::Value(interrupts_on(guest, a2)?),
        0xBDA4 => End::Value(interrupts_off(guest, a2)?),
        // _xtos_alloca_handler, _xtos_syscall_handler, _xtos_p_none
        0xDBE0 => {
            let (pc, state) = (guest.special(sr::EPC1), guest.special(sr::PS));
            guest.cpu.set_special(sr::PS, state & !ps::EXCM);
            guest.cpu.set_pc(pc);
            End::Elsewhere
        }
        0xDBE4 => {
            let pc = guest.special(sr::EPC1).wrapping_add(3);
            unwind(guest, u32::MAX, pc)?
        }
        0xDBF8 => End::Plain,
        // _xtos_set_intlevel, _xtos_set_min_intlevel
        0xDBFC => End::Value(guest.set_level(a2 & ps::LEVEL) & ps::LEVEL),
        0xDC18 => {
            let old = guest.special(sr::PS) & ps::LEVEL;
            if a2 & ps::LEVEL > old {
                guest.set_level(a2 & ps::LEVEL);
            }
            End::Value(old)
        }
        // Nobody wants this interrupt: it is turned off, so that it does not come for ever.
        0xDC3C => interrupts_off(guest, 1u32.wrapping_shl(a2)).map(End::plain)?,
        0xDC44 => unhandled(guest),
        0x1878 | 0x17E0 => unhandled_in_c(guest),
        0xDC54 => return_from_exception(guest)?,
        // xthal_get_ccount, xthal_set_ccompare(number, value), xthal_get_ccompare(number),
        // xthal_get_interrupt, xthal_set_intclear
        0xDD38 => End::Value(guest.special(sr::CCOUNT)),
        0xDD40 => {
            if a2 == 0 {
                guest.cpu.set_special(sr::CCOMPARE0, a3);
            }
            End::Plain
        }
        0xDD4C => End::Value(if a2 == 0 { guest.special(sr::CCOMPARE0) } else { 0 }),
        0xDD58 => End::Value(guest.special(sr::INTERRUPT)),
        0xDD60 => {
            guest.cpu.set_special(sr::INTCLEAR, a2);
            End::Plain
        }
        // Where handlers return to.
        RETURN_FROM_INTERRUPT => next_interrupt(guest)?,
        RETURN_FROM_HANDLER => {
            let sar = guest.load32(guest.cpu.reg(1).wrapping_add(frame::SAR))?;
            guest.cpu.set_special(sr::SAR, sar);
            return_from_exception(guest)?
        }
        _ => return Ok(None),
    }))
}

/// Sets a function for an exception; the one that was there, 0 if there was none.
fn set_exception(guest: &mut Guest, cause: u32, function: u32) -> Done<u32> {
    if cause >= CAUSES {
        return Ok(0);
    }
    let at = C_HANDLERS + 4 * cause;
    let old = guest.load32(at)?;
    let function = if function == 0 { NOTHING } else { function };
    let handler = if function == NOTHING { UNHANDLED_EXCEPTION } else { C_WRAPPER };
    guest.store32(at, function)?;
    guest.store32(HANDLERS + 4 * cause, handler)?;
    Ok(if old == NOTHING { 0 } else { old })
}

/// Sets the handler of an interrupt; the one that was there, 0 if there was none.
pub fn set_interrupt(guest: &mut Guest, number: u32, handler: u32, argument: u32) -> Done<u32> {
    if number >= NMI {
        return Ok(0);
    }
    let at = INTERRUPT_0 - 8 * number;
    let old = guest.load32(at)?;
    let (handler, argument) =
        if handler == 0 { (UNHANDLED_INTERRUPT, number) } else { (handler, argument) };
    guest.store32(at, handler)?;
    guest.store32(at + 4, argument)?;
    Ok(if old == UNHANDLED_INTERRUPT { 0 } else { old })
}

/// Wants these interrupts; those that were wanted before.
pub fn interrupts_on(guest: &mut Guest, mask: u32) -> Done<u32> {
    let old = guest.load32(ENABLED)?;
    want(guest, old | mask)?;
    Ok(old)
}

/// Wants these interrupts no more; those that were wanted before.
pub fn interrupts_off(guest: &mut Guest, mask: u32) -> Done<u32> {
    let old = guest.load32(ENABLED)?;
    want(guest, old & !mask)?;
    Ok(old)
}

fn want(guest: &mut Guest, enabled: u32) -> Done<()> {
    guest.store32(ENABLED, enabled)?;
    let allowed = guest.load32(VPRI)?;
    guest.cpu.set_special(sr::INTENABLE, enabled & allowed);
    Ok(())
}

/// The exception vector: makes a frame and goes where the table says.
fn vector(guest: &mut Guest) -> Done<End> {
    let cause = guest.special(sr::EXCCAUSE) % CAUSES;
    let at = guest.cpu.reg(1).wrapping_sub(frame::SIZE);
    let saved: Vec<u8> = (2..5).flat_map(|n| guest.cpu.reg(n).to_le_bytes()).collect();
    if !guest.board.write_ram(at.wrapping_add(frame::A2), &saved) {
        guest.board.crashed(format!(
            "exception {cause} with the stack at {at:#010x}, which is not RAM: the ROM waits for the \
             watchdog"
        ));
        Rom::fail(guest.cpu, guest.board);
        return Ok(End::Elsewhere);
    }
    guest.cpu.set_reg(1, at);
    guest.cpu.set_reg(2, cause);
    let handler = guest.load32(HANDLERS + 4 * cause)?;
    guest.cpu.set_reg(3, handler);
    guest.cpu.set_pc(handler);
    Ok(End::Elsewhere)
}

/// Completes the frame at a1, which the vector began, and leaves the exception.
fn save(guest: &mut Guest) -> Done<()> {
    let at = guest.cpu.reg(1);
    let (pc, state) = (guest.special(sr::EPC1), guest.special(sr::PS));
    guest.store32(at.wrapping_add(frame::PC), pc)?;
    guest.store32(at.wrapping_add(frame::PS), state)?;
    let (back, sar) = (guest.cpu.reg(0), guest.special(sr::SAR));
    guest.store32(at.wrapping_add(frame::A0), back)?;
    guest.store32(at.wrapping_add(frame::SAR), sar)?;
    for n in 5..16 {
        let value = guest.cpu.reg(n);
        guest.store32(at.wrapping_add(frame::A2 + 4 * (n as u32 - 2)), value)?;
    }
    guest.cpu.set_special(sr::PS, ps::UM | 1);
    Ok(())
}

/// An exception's function in C: called with the frame and the cause.
fn c_wrapper(guest: &mut Guest, cause: u32) -> Done<End> {
    let at = guest.cpu.reg(1);
    guest.store32(at.wrapping_add(frame::CAUSE), cause)?;
    save(guest)?;
    guest.set_level(0);
    let function = guest.load32(C_HANDLERS.wrapping_add(cause.wrapping_mul(4)))?;
    guest.cpu.set_reg(0, ROM.start + RETURN_FROM_HANDLER);
    guest.cpu.set_reg(2, at);
    guest.cpu.set_reg(3, cause);
    guest.cpu.set_pc(if function == 0 { ROM.start + RETURN_FROM_HANDLER } else { function });
    Ok(End::Elsewhere)
}

/// Interrupts of level 1.
fn level_1(guest: &mut Guest) -> Done<End> {
    save(guest)?;
    let allowed = guest.load32(VPRI)?;
    guest.store32(guest.cpu.reg(1).wrapping_add(frame::VPRI), allowed)?;
    next_interrupt(guest)
}

/// Calls the handler of the highest interrupt that is pending and wanted, or returns to what was
/// interrupted.
fn next_interrupt(guest: &mut Guest) -> Done<End> {
    let at = guest.cpu.reg(1);
    let allowed = guest.load32(at.wrapping_add(frame::VPRI))?;
    let enabled = guest.load32(ENABLED)?;
    let pending = guest.special(sr::INTERRUPT) & enabled & allowed & !(1 << NMI);
    if pending == 0 {
        guest.set_level(1);
        guest.store32(VPRI, allowed)?;
        guest.cpu.set_special(sr::INTENABLE, enabled & allowed);
        let sar = guest.load32(at.wrapping_add(frame::SAR))?;
        guest.cpu.set_special(sr::SAR, sar);
        return return_from_exception(guest);
    }
    let number = 31 - pending.leading_zeros();
    // Clears what is latched; a level stays.
    guest.cpu.set_special(sr::INTCLEAR, 1 << number);
    let within = guest.load32(PRIORITY_0.wrapping_sub(8 * number))?;
    guest.store32(VPRI, within)?;
    guest.cpu.set_special(sr::INTENABLE, enabled & within);
    guest.set_level(0);
    let handler = guest.load32(INTERRUPT_0.wrapping_sub(8 * number))?;
    let argument = guest.load32(INTERRUPT_0.wrapping_sub(8 * number) + 4)?;
    guest.cpu.set_reg(0, ROM.start + RETURN_FROM_INTERRUPT);
    guest.cpu.set_reg(2, argument);
    guest.cpu.set_reg(3, at);
    guest.cpu.set_pc(handler);
    Ok(End::Elsewhere)
}

/// Back to what the frame at a1 says.
fn return_from_exception(guest: &mut Guest) -> Done<End> {
    let at = guest.cpu.reg(1);
    for n in (0..16).filter(|n| *n != 1 && *n != 2 && *n != 3) {
        let offset = if n == 0 { frame::A0 } else { frame::A2 + 4 * (n as u32 - 2) };
        let value = guest.load32(at.wrapping_add(offset))?;
        guest.cpu.set_reg(n, value);
    }
    let pc = guest.load32(at.wrapping_add(frame::PC))?;
    let state = guest.load32(at.wrapping_add(frame::PS))?;
    guest.cpu.set_special(sr::EPC1, pc);
    guest.cpu.set_special(sr::PS, state & !ps::EXCM);
    let (a2, a3) =
        (guest.load32(at.wrapping_add(frame::A2))?, guest.load32(at.wrapping_add(frame::A2 + 4))?);
    guest.cpu.set_reg(2, a2);
    guest.cpu.set_reg(3, a3);
    guest.cpu.set_reg(1, at.wrapping_add(frame::SIZE));
    guest.cpu.set_pc(pc);
    Ok(End::Elsewhere)
}

/// Back from an exception whose frame was only begun, with another a2 and program counter.
fn unwind(guest: &mut Guest, a2: u32, pc: u32) -> Done<End> {
    let at = guest.cpu.reg(1);
    let a3 = guest.load32(at.wrapping_add(frame::A2 + 4))?;
    guest.cpu.set_reg(2, a2);
    guest.cpu.set_reg(3, a3);
    guest.cpu.set_reg(1, at.wrapping_add(frame::SIZE));
    let state = guest.special(sr::PS);
    guest.cpu.set_special(sr::PS, state & !ps::EXCM);
    guest.cpu.set_pc(pc);
    Ok(End::Elsewhere)
}

/// An exception that nobody handles.
fn unhandled(guest: &mut Guest) -> End {
    let cause = guest.special(sr::EXCCAUSE);
    let (epc, address) = (guest.special(sr::EPC1), guest.special(sr::EXCVADDR));
    guest.board.crashed(format!(
        "exception {cause} at {epc:#010x}, address {address:#010x}, without a handler: the ROM waits \
         for the watchdog"
    ));
    Rom::fail(guest.cpu, guest.board);
    End::Elsewhere
}

/// The same with the ROM's own handler, which prints (and on the chip goes on doing so).
fn unhandled_in_c(guest: &mut Guest) -> End {
    let [cause, epc1, epc2, epc3, excvaddr, depc] =
        [sr::EXCCAUSE, sr::EPC1, sr::EPC2, sr::EPC3, sr::EXCVADDR, sr::DEPC]
            .map(|number| guest.special(number));
    let text = format!(
        "Fatal exception ({cause}): \r\nepc1={epc1:#010x}, epc2={epc2:#010x}, epc3={epc3:#010x}, \
         excvaddr={excvaddr:#010x}, depc={depc:#010x}\r\n"
    );
    guest.board.uarts[0].send(text.as_bytes());
    unhandled(guest)
}
