//! The UARTs.

use super::RECEIVE;
use super::functions::Words;
use super::guest::{Done, End, Guest};
use super::script::{Frame, Script, Step};
use super::xtos;

/// What the ROM knows of its serial line, UartDev: baud rate, format, a buffer and which UART.
pub const DEVICE: u32 = 0x3FFF_DE10;
const BUFFER: u32 = 0x3FFF_DE60;
const HANDLER: u32 = 0x4000_3BBC;
const UARTS: [u32; 2] = [0x6000_0000, 0x6000_0F00];
/// Registers.
mod reg {
    pub const FIFO: u32 = 0x00;
    pub const PENDING: u32 = 0x08;
    pub const ENABLE: u32 = 0x0C;
    pub const CLEAR: u32 = 0x10;
    pub const AUTOBAUD: u32 = 0x18;
    pub const LEVELS: u32 = 0x1C;
    pub const CONF0: u32 = 0x20;
    pub const CONF1: u32 = 0x24;
    pub const LOW: u32 = 0x28;
    pub const HIGH: u32 = 0x2C;
    pub const EDGES: u32 = 0x30;
}
/// Resets both FIFOs.
const RESET_FIFOS: u32 = 3 << 17;
/// The speed that the divider is computed for.
const BUS_HZ: u32 = 80_000_000;

/// UartDev as it is when a program starts.
pub fn initialise(words: &mut Words) {
    for (offset, value) in fields() {
        words.set(DEVICE + offset, value);
    }
}

fn fields() -> [(u32, u32); 11] {
    [
        (0, 115_200),
        (4, 3),
        (24, 0x100),
        (28, BUFFER),
        (32, BUFFER),
        (36, BUFFER),
        (40, 1),
        (44, 0),
        (48, 100),
        (52, BUFFER + 0x100),
        (64, 0),
    ]
}

/// Registers of the UART that the ROM uses.
fn chosen(guest: &mut Guest) -> Done<u32> {
    Ok(UARTS[usize::from(guest.load8(DEVICE + 64)? != 0)])
}

fn registers(number: u32) -> u32 {
    UARTS[usize::from(number != 0)]
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, ..] = guest.arguments();
    Ok(Some(match offset {
        // uartAttach
        0x383C => {
            for (offset, value) in fields() {
                guest.store32(DEVICE + offset, value)?;
            }
            for offset in [8, 12, 16, 20, 56, 60] {
                guest.store32(DEVICE + offset, 0)?;
            }
            xtos::interrupts_off(guest, 1 << 5)?;
            xtos::set_interrupt(guest, 5, HANDLER, DEVICE + 24)?;
            End::Plain
        }
        // uart_buff_switch(uart)
        0x38A4 => {
            if a2 == 0 {
                let at = registers(1);
                guest.store32(at + reg::CLEAR, 0xFFFF)?;
                guest.modify(at + reg::ENABLE, 0x1FF, 0)?;
                let at = chosen(guest)?;
                while guest.load32(at + reg::LEVELS)? & 0xFF != 0 {
                    guest.load32(at + reg::FIFO)?;
                }
                let start = guest.load32(DEVICE + 32)?;
                guest.store32(DEVICE + 36, start)?;
                guest.store32(DEVICE + 44, 0)?;
            }
            guest.store32(DEVICE + 64, a2)?;
            End::Plain
        }
        // uart_baudrate_detect(uart, wait): the divider, 0 while it is not known
        0x3924 => baud_rate(guest, registers(a2))?,
        // uart_div_modify(uart, divider)
        0x39D8 => {
            let at = registers(a2);
            guest.store32(at + 0x14, a3)?;
            guest.modify(at + reg::CONF0, 0, RESET_FIFOS)?;
            guest.modify(at + reg::CONF0, RESET_FIFOS, 0)?;
            End::Plain
        }
        // Uart_Init(uart)
        0x3A14 => {
            let at = registers(a2);
            if a2 == 0 {
                guest.modify(0x6000_0818, 1 << 7, 0)?;
                guest.modify(0x6000_0818, 0x130, 0)?;
                guest.modify(0x6000_0838, 0x130, 1 << 8)?;
            } else {
                guest.modify(0x6000_0824, 0x130, 0x130)?;
            }
            let baud = guest.load32(DEVICE)?;
            let divider = BUS_HZ.checked_div(baud).unwrap_or(0) & 0xFFFF;
            let mut word = [0; 5];
            for (n, word) in (0..).zip(&mut word) {
                *word = guest.load32(DEVICE + 4 * n)?;
            }
            guest.store32(at + 0x14, divider)?;
            let format = word[2] | word[3] | word[1] << 2 | word[4] << 4;
            guest.store32(at + reg::CONF0, format | RESET_FIFOS)?;
            guest.store32(at + reg::CONF0, format & !RESET_FIFOS)?;
            let threshold = guest.load8(DEVICE + 40)? & 0x7F;
            guest.store32(at + reg::CONF1, threshold.into())?;
            guest.store32(at + reg::CLEAR, 0xFFFF)?;
            guest.modify(at + reg::ENABLE, 0, 1)?;
            End::Plain
        }
        // uart_tx_one_char, ets_putc
        0x3B30 | 0x2BE8 => {
            let number = usize::from(guest.load8(DEVICE + 64)? != 0);
            guest.board.uarts[number].send(&[a2 as u8]);
            End::Value(0)
        }
        // uart_rx_one_char_block waits in the core.
        0x3B64 => {
            let at = chosen(guest)?;
            guest.cpu.set_reg(4, at);
            guest.cpu.set_pc(RECEIVE);
            End::Elsewhere
        }
        // uart_rx_one_char(out)
        0x3B8C => {
            let at = chosen(guest)?;
            if guest.load32(at + reg::LEVELS)? & 0xFF == 0 {
                return Ok(Some(End::Value(1)));
            }
            let byte = guest.load32(at + reg::FIFO)?;
            guest.store8(a2, byte as u8)?;
            End::Value(0)
        }
        // uart_rx_intr_handler(buffer)
        0x3BBC => receive(guest, a2).map(End::plain)?,
        // uart_rx_readbuff(buffer, out)
        0x3EC8 => End::Value(u32::from(!read_buffer(guest, a2, a3)?)),
        // UartGetCmdLn(out)
        0x3EF4 => {
            if guest.load32(DEVICE + 44)? != 2 {
                return Ok(Some(End::Value(1)));
            }
            let mut at = a2;
            while read_buffer(guest, DEVICE + 24, at)? {
                at = at.wrapping_add(1);
            }
            guest.store8(at, 0)?;
            guest.store32(DEVICE + 44, 0)?;
            End::Value(0)
        }
        // GetUartDevice
        0x3F4C => End::Value(DEVICE),
        _ => return Ok(None),
    }))
}

/// The functions that call, by offset.
pub fn script(offset: u32) -> Option<Script> {
    Some(match offset {
        0x2BCC => get_character,
        0x3C30 => get_line,
        _ => return None,
    })
}

/// Takes what is in the FIFO into the ring.
fn receive(guest: &mut Guest, buffer: u32) -> Done<()> {
    let at = chosen(guest)?;
    if guest.load32(at + reg::PENDING)? & 1 == 0 {
        return Ok(());
    }
    guest.store32(at + reg::CLEAR, 1)?;
    let start = guest.load32(buffer.wrapping_add(4))?;
    while guest.load32(at + reg::LEVELS)? & 0xFF != 0 {
        let byte = guest.load32(at + reg::FIFO)? as u8;
        let place = guest.load32(buffer.wrapping_add(8))?;
        guest.store8(place, byte)?;
        if byte == b'\r' {
            guest.store32(buffer.wrapping_add(20), 2)?;
        }
        let next = place.wrapping_add(1);
        let next = if next == start.wrapping_add(0x100) { start } else { next };
        guest.store32(buffer.wrapping_add(8), next)?;
    }
    Ok(())
}

/// Takes a byte from the ring; false if there is none.
fn read_buffer(guest: &mut Guest, buffer: u32, out: u32) -> Done<bool> {
    let (put, get) =
        (guest.load32(buffer.wrapping_add(8))?, guest.load32(buffer.wrapping_add(12))?);
    if put == get {
        return Ok(false);
    }
    let byte = guest.load8(get)?;
    guest.store8(out, byte)?;
    let start = guest.load32(buffer.wrapping_add(4))?;
    let next = get.wrapping_add(1);
    let next = if next == start.wrapping_add(0x100) { start } else { next };
    guest.store32(buffer.wrapping_add(12), next)?;
    Ok(true)
}

fn baud_rate(guest: &mut Guest, at: u32) -> Done<End> {
    if guest.load32(DEVICE + 56)? == 0 {
        guest.modify(at + reg::AUTOBAUD, 1, 0)?;
        guest.store32(at + reg::AUTOBAUD, 0x801)?;
        guest.store32(DEVICE + 56, 1)?;
    }
    if guest.load32(at + reg::EDGES)? <= 29 {
        return Ok(End::Value(0));
    }
    let low = guest.load32(at + reg::LOW)? & 0xF_FFFF;
    let high = guest.load32(at + reg::HIGH)? & 0xF_FFFF;
    guest.modify(at + reg::AUTOBAUD, 1, 0)?;
    Ok(End::Value((low + high) / 2 + 12))
}

/// ets_getc(out)
fn get_character(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 {
        return Ok(Step::Call(0x4000_3B64, [0; 6]));
    }
    guest.store8(frame.locals[0], frame.result as u8)?;
    Ok(Step::End(End::Plain))
}

/// UartRxString(out, room): a line.
fn get_line(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [out, room, ..] = frame.locals;
    let mut at = out.wrapping_add(frame.step.saturating_sub(1));
    if frame.step > 0 {
        let byte = frame.result as u8;
        guest.store8(at, byte)?;
        if matches!(byte, b'\r' | b'\n') {
            guest.store8(at.wrapping_add(1), 0)?;
            return Ok(Step::End(End::Value(0)));
        }
        at = at.wrapping_add(1);
    }
    if frame.step.wrapping_add(1) >= room & 0xFF {
        guest.store8(at.wrapping_add(1), 0)?;
        return Ok(Step::End(End::Value(0)));
    }
    Ok(Step::Call(0x4000_3B64, [0; 6]))
}
