//! The ROM's printf, and where its characters go.

use super::UART_WRITER;
use super::functions::Words;
use super::guest::{Done, End, Guest};
use super::script::{Frame, LOCALS_AT, Script, Step};

/// Two functions that take a character, and what the one for other hosts needs: three functions
/// around a line, the room left, the place.
const PUT1: u32 = 0x3FFF_DD48;
const PUT2: u32 = 0x3FFF_DD4C;
const BEGIN: u32 = 0x3FFF_DD50;
const END: u32 = 0x3FFF_DD54;
const ROOM: u32 = 0x3FFF_DD58;
const PLACE: u32 = 0x3FFF_DD5C;
const BUFFER: u32 = 0x3FFF_DD60;
/// What ets_vprintf prints with. The printf of SDKs up to 2.x, which is not the ROM's, takes its digits
/// from there too.
const TEXTS: [(u32, &str); 3] =
    [(0x3FFF_D848, "0123456789abcdef"), (0x3FFF_D85C, "0123456789ABCDEF"), (0x3FFF_D870, "<null>")];
/// ets_write_char, and the writer into the buffer.
const WRITE: u32 = 0x4000_1DA0;
const BUFFER_WRITER: u32 = 0x4000_24A8;
/// Longest text of one call.
const LONGEST: usize = 0x1000;
/// Where arguments lie: behind the registers', those on the stack.
const IN_REGISTERS: u32 = 24;
const ON_STACK: u32 = 32;

/// A list of arguments as the compiler makes it.
#[derive(Clone, Copy)]
struct Arguments {
    stack: u32,
    registers: u32,
    index: u32,
}

impl Arguments {
    fn next(&mut self, guest: &mut Guest) -> Done<u32> {
        let mut end = self.index.wrapping_add(4);
        let base = if end as i32 > IN_REGISTERS as i32 {
            if self.index as i32 <= IN_REGISTERS as i32 {
                end = ON_STACK + 4;
            }
            self.stack
        } else {
            self.registers
        };
        self.index = end;
        guest.load32(base.wrapping_add(end).wrapping_sub(4))
    }

    fn next_long(&mut self, guest: &mut Guest) -> Done<u64> {
        self.index = self.index.wrapping_add(7) & !7;
        let low = self.next(guest)?;
        let high = self.next(guest)?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }
}

/// The UART takes the characters when a program starts.
pub fn initialise(words: &mut Words) {
    words.set(PUT1, UART_WRITER);
    for (address, text) in TEXTS {
        words.set_text(address, text);
    }
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, ..] = guest.arguments();
    Ok(Some(match offset {
        // What ets_install_uart_printf installs
        0x1DCC => {
            to_uart(guest, a2 as u8);
            End::Plain
        }
        // ets_install_putc1, ets_install_putc2, ets_install_uart_printf
        0x242C => guest.store32(PUT1, a2).map(End::plain)?,
        0x248C => guest.store32(PUT2, a2).map(End::plain)?,
        0x2438 => guest.store32(PUT1, UART_WRITER).map(End::plain)?,
        // ets_install_external_printf(begin, put, end)
        0x2450 => {
            guest.store32(BEGIN, a2)?;
            guest.store32(PUT2, if a3 == 0 { BUFFER_WRITER } else { a3 })?;
            guest.store32(END, a4)?;
            End::Plain
        }
        // est_get_printf_buf_remain_len, est_reset_printf_buf_len
        0x2494 => End::Value(guest.load16(ROOM)?.into()),
        0x249C => guest.store16(ROOM, 0).map(End::plain)?,
        0x24A8 => {
            let room = guest.load16(ROOM)?;
            if room != 0 {
                let place = guest.load32(PLACE)?;
                guest.store8(place, a2 as u8)?;
                guest.store16(ROOM, room - 1)?;
                guest.store32(PLACE, place.wrapping_add(1))?;
            }
            End::Plain
        }
        // ets_uart_printf; ets_printf, where nothing but the UART is installed
        0x2544 | 0x24CC if offset == 0x2544 || is_plain(guest)? => {
            let text = format(guest, a2, on_registers(guest))?;
            for byte in &text {
                to_uart(guest, *byte);
            }
            End::Value(text.len() as u32)
        }
        // ets_write_char
        0x1DA0 if is_plain(guest)? => {
            to_uart(guest, a2 as u8);
            End::Plain
        }
        _ => return Ok(None),
    }))
}

/// The functions that call, by offset.
pub fn script(offset: u32) -> Option<Script> {
    Some(match offset {
        0x1DA0 => write_char,
        0x1F00 => vprintf,
        0x24CC => printf,
        0x2578 => external_printf,
        _ => return None,
    })
}

/// Whether characters go to the UART and nowhere else.
fn is_plain(guest: &mut Guest) -> Done<bool> {
    Ok(guest.load32(PUT1)? == UART_WRITER
        && guest.load32(PUT2)? == 0
        && guest.load32(BEGIN)? == 0
        && guest.load32(END)? == 0)
}

/// As the ROM writes text: a line feed becomes two characters, a carriage return none.
fn to_uart(guest: &mut Guest, byte: u8) {
    match byte {
        b'\n' => guest.board.uarts[0].send(b"\r\n"),
        b'\r' => {}
        byte => guest.board.uarts[0].send(&[byte]),
    }
}

/// The arguments behind the format of a function that is being called: on no stack yet.
fn on_registers(guest: &Guest) -> Source {
    Source::Registers { next: 3, stack: guest.cpu.reg(1) }
}

/// Where the next argument comes from.
enum Source {
    Registers { next: usize, stack: u32 },
    List(Arguments),
}

impl Source {
    fn next(&mut self, guest: &mut Guest) -> Done<u32> {
        match self {
            Self::List(list) => list.next(guest),
            Self::Registers { next, stack } => {
                let n = *next;
                *next += 1;
                if n < 8 {
                    Ok(guest.cpu.reg(n))
                } else {
                    guest.load32(stack.wrapping_add((n as u32 - 8) * 4))
                }
            }
        }
    }

    fn next_long(&mut self, guest: &mut Guest) -> Done<u64> {
        if let Self::List(list) = self {
            return list.next_long(guest);
        }
        if let Self::Registers { next, .. } = self {
            // Register pairs are even.
            *next += *next % 2;
        }
        let low = self.next(guest)?;
        let high = self.next(guest)?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }
}

/// The text of a format: d, u, x, p, b, c, s, in small and capital letters, with `l`, zero padding
/// and width. Another letter stands for itself, percent included.
fn format(guest: &mut Guest, at: u32, mut source: Source) -> Done<Vec<u8>> {
    let format = guest.load_string(at, LONGEST as u32)?;
    let mut out = Vec::new();
    let mut bytes = format.into_iter().peekable();
    while let Some(byte) = bytes.next() {
        if out.len() > LONGEST {
            break;
        }
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let left = bytes.next_if_eq(&b'-').is_some();
        let mut zero = bytes.next_if_eq(&b'0').is_some();
        let mut width = 0;
        while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
            width = (width * 10 + usize::from(digit - b'0')).min(LONGEST);
        }
        while bytes.next_if_eq(&b'.').is_some() {
            zero = true;
            while bytes.next_if(u8::is_ascii_digit).is_some() {}
        }
        let mut long = 0;
        while bytes.next_if_eq(&b'l').is_some() {
            long += 1;
        }
        let Some(conversion) = bytes.next() else { break };
        let mut sign = false;
        let text = match conversion {
            b'd' | b'D' => {
                let value = if long > 1 {
                    source.next_long(guest)? as i64
                } else {
                    i64::from(source.next(guest)? as i32)
                };
                sign = value < 0;
                value.unsigned_abs().to_string().into_bytes()
            }
            b'u' | b'U' | b'x' | b'X' | b'b' | b'B' => {
                let value =
                    if long > 1 { source.next_long(guest)? } else { source.next(guest)?.into() };
                match conversion {
                    b'x' => format!("{value:x}").into_bytes(),
                    b'X' => format!("{value:X}").into_bytes(),
                    b'u' | b'U' => value.to_string().into_bytes(),
                    // Bits: 1 and a dot, so many as the width says, the lowest first.
                    _ => bits(value, width, long > 1),
                }
            }
            b'p' => {
                out.extend(b"0x");
                (zero, width) = (true, 8);
                format!("{:x}", source.next(guest)?).into_bytes()
            }
            b'c' | b'C' => {
                out.push(source.next(guest)? as u8);
                continue;
            }
            b's' | b'S' => {
                let at = source.next(guest)?;
                if at == 0 { b"<null>".to_vec() } else { guest.load_string(at, LONGEST as u32)? }
            }
            b'%' => b"%".to_vec(),
            other => vec![b'%', other],
        };
        let pad = width.saturating_sub(text.len() + usize::from(sign));
        if sign && (zero || left) {
            out.push(b'-');
        }
        if !left {
            out.extend(std::iter::repeat_n(if zero { b'0' } else { b' ' }, pad));
        }
        if sign && !zero && !left {
            out.push(b'-');
        }
        out.extend(text);
        if left {
            out.extend(std::iter::repeat_n(b' ', pad));
        }
    }
    Ok(out)
}

fn bits(value: u64, width: usize, long: bool) -> Vec<u8> {
    let count = match width {
        0 if long => 64,
        0 => 32,
        width => width.min(64),
    };
    (0..count).rev().map(|bit| if value >> bit & 1 != 0 { b'1' } else { b'.' }).collect()
}

/// ets_write_char: both installed functions take the character.
fn write_char(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    loop {
        let at = match frame.step {
            0 => PUT1,
            1 => PUT2,
            _ => return Ok(Step::End(End::Plain)),
        };
        let function = guest.load32(at)?;
        if function != 0 {
            return Ok(Step::Call(function, [frame.locals[0], 0, 0, 0, 0, 0]));
        }
        frame.step += 1;
    }
}

/// Gives the text's characters to a function, one after another: which of them is the next counts
/// in the frame, and the text is made anew each time.
fn put(frame: &mut Frame, function: u32, text: &[u8], next: usize) -> Step {
    let n = frame.locals[next] as usize;
    match text.get(n) {
        None => Step::End(End::Value(text.len() as u32)),
        Some(byte) => {
            frame.locals[next] += 1;
            Step::Call(function, [u32::from(*byte), 0, 0, 0, 0, 0])
        }
    }
}

/// ets_vprintf(function, format, arguments in three words)
fn vprintf(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [function, at, stack, registers, index, ..] = frame.locals;
    let text = format(guest, at, Source::List(Arguments { stack, registers, index }))?;
    Ok(put(frame, function, &text, 6))
}

/// The arguments of a function that has a frame: those in registers are its locals.
fn list(frame: &Frame) -> Source {
    let registers = frame.address.wrapping_add(LOCALS_AT);
    // The caller's stack begins behind the frame.
    let stack = frame.address.wrapping_add(48).wrapping_sub(ON_STACK);
    Source::List(Arguments { stack, registers, index: 4 })
}

fn printf(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    external(frame, guest, WRITE)
}

fn external_printf(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    external(frame, guest, BUFFER_WRITER)
}

/// Begin, characters, end.
fn external(frame: &mut Frame, guest: &mut Guest, writer: u32) -> Done<Step> {
    // What of it is done, and how many characters.
    const PHASE: usize = 7;
    const COUNT: usize = 6;
    if frame.locals[PHASE] == 0 {
        if writer == WRITE && guest.load32(PUT1)? == 0 && guest.load32(PUT2)? == 0 {
            return Ok(Step::End(End::Value(0)));
        }
        frame.locals[PHASE] = 1;
        let begin = guest.load32(BEGIN)?;
        if begin != 0 {
            // Its arguments are kept before it is called.
            return Ok(Step::Call(begin, [PLACE, ROOM, BUFFER, 0, 0, 0]));
        }
    }
    // The arguments have to lie in the frame before they are looked at.
    for (at, local) in (frame.address.wrapping_add(LOCALS_AT)..).step_by(4).zip(frame.locals) {
        guest.store32(at, local)?;
    }
    let text = format(guest, frame.locals[0], list(frame))?;
    if frame.locals[PHASE] == 1 {
        match put(frame, writer, &text, COUNT) {
            Step::End(_) => frame.locals[PHASE] = 2,
            step => return Ok(step),
        }
        let end = guest.load32(END)?;
        if end != 0 {
            let buffer = guest.load32(BUFFER)?;
            return Ok(Step::Call(end, [buffer, 0, 0, 0, 0, 0]));
        }
    }
    Ok(Step::End(End::Value(text.len() as u32)))
}
