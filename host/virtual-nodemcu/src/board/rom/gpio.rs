//! Pins, and descriptors of the DMA that other functions build on.

use super::guest::{Done, End, Guest};
use super::script::{Frame, Script, Step};
use super::xtos;

const GPIO: u32 = 0x6000_0300;
const OUT_W1TS: u32 = GPIO + 0x04;
const IN: u32 = GPIO + 0x18;
const STATUS: u32 = GPIO + 0x1C;
const STATUS_W1TC: u32 = GPIO + 0x24;
const PIN0: u32 = GPIO + 0x28;
/// Interrupts that nobody acknowledged, the handler and its argument, and each pin's type.
const PENDING: u32 = 0x3FFF_DFD0;
const TYPES: u32 = 0x3FFF_DFE0;
const PINS: u32 = 16;
/// The ROM's handler, and the one that programs replace.
const HANDLER: u32 = 0x4000_4E34;
const TEST_HANDLER: u32 = 0x4000_4EFC;
/// A pin's register: the type of its interrupt, and whether it wakes the chip.
const TYPE: u32 = 7 << 7;
const WAKES: u32 = 1 << 10;

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, a5, a6, a7] = guest.arguments();
    Ok(Some(match offset {
        // gpio_init
        0x4C50 => {
            xtos::set_interrupt(guest, 4, HANDLER, 0)?;
            xtos::interrupts_off(guest, 1 << 4)?;
            output_set(guest, [0, 0, 0, 0xFFFF])?;
            for pin in 0..PINS {
                guest.store32(PENDING, 0)?;
                // As there: the registers behind the pins', which do nothing.
                let kind = guest.load32(PIN0 + 4 * pin)? >> 7 & 7;
                guest.store8(TYPES + pin, kind as u8)?;
            }
            guest.store32(STATUS_W1TC, 0xFFFF)?;
            guest.store32(PENDING + 4, TEST_HANDLER)?;
            guest.store32(PENDING + 8, 0)?;
            xtos::interrupts_on(guest, 1 << 4)?;
            End::Plain
        }
        // gpio_output_set(set, clear, enable, disable), gpio_input_get
        0x4CD0 => output_set(guest, [a2, a3, a4, a5]).map(End::plain)?,
        0x4CF0 => End::Value(guest.load32(IN)?),
        // gpio_register_set(number, value), gpio_register_get(number)
        0x4D04 => {
            guest.store32(PIN0.wrapping_add(a2.wrapping_mul(4)), a3)?;
            if a2 < PINS {
                let kind = a3 >> 7 & 7;
                guest.store8(TYPES + a2, kind as u8)?;
                if kind == 0 {
                    guest.modify(PENDING, 1 << a2, 0)?;
                }
            }
            guest.set_level(0);
            End::Plain
        }
        0x4D5C => {
            let value = guest.load32(PIN0.wrapping_add(a2.wrapping_mul(4)))?;
            let value = if a2 < PINS {
                value & !TYPE | u32::from(guest.load8(TYPES + a2)?) << 7
            } else {
                value
            };
            End::Value(value)
        }
        // gpio_intr_pending, gpio_pin_intr_state_set(pin, type), gpio_intr_ack(pins)
        0x4D88 => End::Value(guest.load32(PENDING)?),
        0x4D90 => set_type(guest, a2, a3).map(End::plain)?,
        0x4DCC => acknowledge(guest, a2).map(End::plain)?,
        // gpio_intr_handler_register(function, argument)
        0x4E28 => {
            guest.store32(PENDING + 4, a2)?;
            guest.store32(PENDING + 8, a3)?;
            End::Plain
        }
        // gpio_pin_wakeup_enable(pin, type), gpio_pin_wakeup_disable
        0x4E90 => {
            let at = PIN0.wrapping_add(a2.wrapping_mul(4));
            guest.modify(at, TYPE, a3 << 7 | WAKES)?;
            guest.set_level(0);
            End::Plain
        }
        0x4ED4 => {
            for pin in 0..PINS {
                let at = PIN0 + 4 * pin;
                if guest.load32(at)? & WAKES != 0 {
                    guest.modify(at, WAKES | TYPE, 0)?;
                }
            }
            End::Plain
        }
        // gpio_intr_test: a handler that shows GPIO3 on GPIO1
        0x4EFC => {
            let high = guest.load32(IN)? >> 3 & 1 != 0;
            let pins = if high { [2, !3, 2, 0] } else { [0, !1, 2, 0] };
            output_set(guest, pins)?;
            acknowledge(guest, a2)?;
            End::Plain
        }
        // lldesc_build_chain(descriptors, size, buffer, bytes, size of each, owner, out, out)
        0x4F40 => build_chain(guest, [a2, a4, a5, a6, a7])?,
        // lldesc_num2link(first, count), lldesc_set_owner(first, count, owner)
        0x5050 => {
            let mut at = a2;
            for _ in 1..a3 & 0xFFFF {
                at = guest.load32(at.wrapping_add(8))?;
            }
            End::Value(at)
        }
        0x507C => {
            let mut at = a2;
            for n in 0..(a3 & 0xFFFF).max(1) {
                if n > 0 {
                    at = guest.load32(at.wrapping_add(8))?;
                }
                let byte = guest.load8(at.wrapping_add(3))?;
                guest.store8(at.wrapping_add(3), byte & 0x7F | (a4 as u8 & 1) << 7)?;
            }
            End::Value(at)
        }
        _ => return Ok(None),
    }))
}

/// The functions that call, by offset.
pub fn script(offset: u32) -> Option<Script> {
    (offset == HANDLER & 0xFFFF).then_some(interrupt)
}

fn output_set(guest: &mut Guest, values: [u32; 4]) -> Done<()> {
    for (at, value) in [0, 4, 0xC, 0x10].into_iter().zip(values) {
        guest.store32(OUT_W1TS + at, value)?;
    }
    Ok(())
}

fn set_type(guest: &mut Guest, pin: u32, kind: u32) -> Done<()> {
    guest.modify(PIN0.wrapping_add(pin.wrapping_mul(4)), TYPE, kind << 7)?;
    guest.set_level(0);
    Ok(())
}

fn acknowledge(guest: &mut Guest, pins: u32) -> Done<()> {
    let pending = guest.load32(PENDING)?;
    guest.store32(PENDING, pending & !pins)?;
    if pending & !pins != 0 {
        guest.store32(STATUS, pending & !pins)?;
        guest.store32(PENDING, 0)?;
    }
    for pin in (0..PINS).filter(|pin| pins >> pin & 1 != 0) {
        let kind = guest.load8(TYPES + pin)?;
        set_type(guest, pin, kind.into())?;
    }
    guest.set_level(0);
    Ok(())
}

/// The handler: what it serves is off until it is acknowledged.
fn interrupt(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step > 0 {
        return Ok(Step::End(End::Plain));
    }
    let status = guest.load32(STATUS)?;
    for pin in (0..PINS).filter(|pin| status >> pin & 1 != 0) {
        set_type(guest, pin, 0)?;
    }
    guest.store32(STATUS_W1TC, status)?;
    let pending = guest.load32(PENDING)?;
    if pending != 0 {
        guest.store32(PENDING, pending | status)?;
        return Ok(Step::End(End::Plain));
    }
    guest.store32(PENDING, status)?;
    let (function, argument) = (guest.load32(PENDING + 4)?, guest.load32(PENDING + 8)?);
    Ok(Step::Call(function, [status, argument, 0, 0, 0, 0]))
}

/// Makes a chain of DMA descriptors over a buffer.
fn build_chain(guest: &mut Guest, arguments: [u32; 5]) -> Done<End> {
    let [first, buffer, bytes, each, filled] = arguments;
    let sp = guest.cpu.reg(1);
    let (head_out, tail_out) = (guest.load32(sp)?, guest.load32(sp.wrapping_add(4))?);
    let count = bytes.checked_div(each).unwrap_or(0).clamp(1, 0x1000);
    let size = each & 0xFFF;
    let length = if filled == 0 { 0 } else { size << 12 };
    let mut at = first;
    for n in 0..count {
        guest.store32(at.wrapping_add(4), buffer.wrapping_add(n.wrapping_mul(each)))?;
        let old = guest.load32(at)?;
        // Bits 29:24 stay; size and length change, the owner is the DMA.
        guest.store32(at, old & 0x1F00_0000 | 1 << 31 | length | size)?;
        let next = if n + 1 == count { 0 } else { at.wrapping_add(12) };
        guest.store32(at.wrapping_add(8), next)?;
        if n + 1 < count {
            at = next;
        }
    }
    guest.store32(head_out, first)?;
    guest.store32(tail_out, at)?;
    Ok(End::Plain)
}
