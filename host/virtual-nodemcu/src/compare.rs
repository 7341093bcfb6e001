//! The boot ROM's functions as the host does them, against a boot ROM that somebody dumped.
//!
//! Both are called with the same arguments over the same memory, many times; what they return and
//! what they leave in memory has to be equal. Only functions that need no device and no program
//! are compared: floating point, integers, memory, strings, hashes and ciphers.

use std::ops::Range;

use crate::board::flash::Flash;
use crate::board::radio::air::Random;
use crate::board::rom::{Rom, functions, names};
use crate::board::{Board, ROM};
use crate::cpu::{Cpu, Stop, sr};

/// Memory that the functions work on: four areas for what they read and write.
const MEMORY: Range<u32> = 0x3FFE_9000..0x3FFE_A000;
const AREA: u32 = 0x400;
/// The fourth area: tables of addresses and lengths.
const TABLES: u32 = MEMORY.start + 3 * AREA;
/// The stack pointer at a call, and where a call returns to.
const STACK: u32 = 0x3FFF_B000;
const RETURN: u32 = 0x4010_0000;
/// VECBASE during a call, and where exceptions go by it.
const VECTORS: u32 = 0x4010_1000;
const EXCEPTION: u32 = VECTORS + 0x50;
/// The ROM's main(), where its start-up ends.
const MAIN: u32 = 0x4000_0FEC;
/// User mode, no interrupt.
const STATE: u32 = 0x2F;
/// Cycles after which a function counts as one that does not return. pbkdf2_sha1 takes most.
const LONGEST: u64 = 4_000_000;
/// Bytes of flash, which none of the functions reads.
const FLASH: usize = 1 << 16;

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Nothing,
    Word,
    Wide,
    /// A floating-point number, of which one that is none is as good as another.
    Single,
    Double,
}

/// One call of a function.
struct Call {
    offset: u32,
    arguments: Vec<u32>,
    back: Back,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It came back with this in a2 and a3.
    Returned([u32; 2]),
    /// An exception: its cause, and where.
    Raised(u32, u32),
    /// Neither, for [`LONGEST`].
    Lost,
}

/// A chip whose ROM is the host's or a dump.
struct Side {
    cpu: Cpu,
    board: Board,
    rom: Rom,
}

impl Side {
    fn new(dump: Option<&[u8]>) -> Result<Self, String> {
        let mut board = Board::new(Flash::blank(FLASH), [0; 6], 1);
        let mut cpu = Cpu::new();
        match dump {
            Some(dump) => board.set_rom(dump)?,
            None => {
                Rom::install(&mut cpu, &board);
                functions::initialise(&mut board);
            }
        }
        let mut side = Self { cpu, board, rom: Rom::default() };
        if dump.is_some() {
            side.start_up()?;
        }
        side.cpu.add_breakpoint(RETURN);
        side.cpu.add_breakpoint(EXCEPTION);
        side.cpu.set_special(sr::VECBASE, VECTORS);
        Ok(side)
    }

    /// The dump's own start-up, which sets its variables.
    fn start_up(&mut self) -> Result<(), String> {
        self.cpu.add_breakpoint(MAIN);
        let end = self.cpu.cycles() + LONGEST;
        while self.cpu.cycles() < end {
            let left = end - self.cpu.cycles();
            if self.cpu.run(&mut self.board, left) == Stop::Breakpoint {
                self.cpu.remove_breakpoint(MAIN);
                return Ok(());
            }
        }
        Err(format!("the dump's start-up does not come to its main() at {MAIN:#010x}"))
    }

    fn call(&mut self, call: &Call) -> Outcome {
        let (cpu, board) = (&mut self.cpu, &mut self.board);
        cpu.set_special(sr::PS, STATE);
        cpu.set_reg(0, RETURN);
        cpu.set_reg(1, STACK);
        for (n, value) in call.arguments.iter().enumerate() {
            if n < 6 {
                cpu.set_reg(n + 2, *value);
            } else {
                board.write_ram(STACK + 4 * (n as u32 - 6), &value.to_le_bytes());
            }
        }
        cpu.set_pc(ROM.start + call.offset);
        let end = cpu.cycles() + LONGEST;
        loop {
            match cpu.run(board, end.saturating_sub(cpu.cycles())) {
                Stop::Breakpoint if cpu.pc() == RETURN => {
                    return Outcome::Returned([cpu.reg(2), cpu.reg(3)]);
                }
                Stop::Breakpoint => {
                    let [cause, at] = [sr::EXCCAUSE, sr::EPC1].map(|n| cpu.special(n).unwrap_or(0));
                    return Outcome::Raised(cause, at);
                }
                Stop::Hook => self.rom.call(cpu, board),
                Stop::Budget => return Outcome::Lost,
                _ => {}
            }
        }
    }

    fn memory(&self) -> Vec<u8> {
        self.board.read_memory(MEMORY.start, MEMORY.len()).expect("MEMORY is RAM")
    }
}

/// Makes arguments, and the memory that they point to.
struct Maker {
    random: Random,
    memory: Vec<u8>,
}

impl Maker {
    fn next(&mut self) -> u64 {
        self.random.word()
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    /// All memory anew.
    fn scramble(&mut self) {
        self.memory =
            (0..MEMORY.len() / 8).flat_map(|_| self.next().to_le_bytes()).collect::<Vec<_>>();
    }

    /// A number of so many bits, at the edges of its type as often as anywhere.
    fn number(&mut self, bits: u32) -> u64 {
        let any = self.next() >> (64 - bits);
        let top = 1u64 << (bits - 1);
        match self.below(8) {
            0 => u64::from(self.below(3)),
            1 => (top - 1 + top).wrapping_sub(u64::from(self.below(3))),
            2 => top.wrapping_add(u64::from(self.below(3))).wrapping_sub(1),
            3 => 1 << self.below(bits),
            4 => any >> self.below(bits),
            _ => any,
        }
    }

    fn word(&mut self) -> u32 {
        self.number(32) as u32
    }

    /// A single: any bits, or one between 2^-40 and 2^40, which calculations do not leave at once.
    fn single(&mut self) -> u32 {
        if self.below(3) == 0 {
            return self.word();
        }
        let exponent = 127 - 40 + self.below(80);
        self.next() as u32 & 0x807F_FFFF | exponent << 23
    }

    fn double(&mut self) -> u64 {
        if self.below(3) == 0 {
            return self.number(64);
        }
        let exponent = u64::from(1023 - 40 + self.below(80));
        self.next() & 0x800F_FFFF_FFFF_FFFF | exponent << 52
    }

    /// Two numbers of which the second is the first, or close to it, now and then.
    fn pair(&mut self, make: fn(&mut Self) -> u64) -> (u64, u64) {
        let (one, other) = (make(self), make(self));
        match self.below(8) {
            0 => (one, one),
            1 => (one, one ^ 1 << self.below(20)),
            _ => (one, other),
        }
    }

    /// An address in area `n`, aligned or not.
    fn at(&mut self, n: u32) -> u32 {
        MEMORY.start + n * AREA + self.below(8)
    }

    /// An address in area `n` for what holds words.
    fn words_at(n: u32) -> u32 {
        MEMORY.start + n * AREA
    }

    fn put(&mut self, address: u32, bytes: &[u8]) {
        let at = (address - MEMORY.start) as usize;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// A text of few different letters in area `n`, so that two of them are alike for a while.
    fn text(&mut self, n: u32, longest: u32) -> u32 {
        let at = self.at(n);
        let length = self.below(longest + 1);
        let mut text: Vec<u8> = (0..length)
            .map(|_| match self.below(12) {
                0 => 0x80 | self.below(128) as u8,
                _ => b'a' + self.below(2) as u8,
            })
            .collect();
        text.push(0);
        self.put(at, &text);
        at
    }

    /// A message in up to three parts in area 1: how many, and where the tables of their addresses
    /// and lengths are.
    fn parts(&mut self) -> [u32; 3] {
        let count = 1 + self.below(3);
        for n in 0..count {
            let (address, length) = (self.at(1) + n * 0x100, self.below(150));
            self.put(TABLES + 4 * n, &address.to_le_bytes());
            self.put(TABLES + 0x40 + 4 * n, &length.to_le_bytes());
        }
        [count, TABLES, TABLES + 0x40]
    }
}

fn call(offset: u32, arguments: &[u32], back: Back) -> Call {
    Call { offset, arguments: arguments.to_vec(), back }
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// Offsets of what is compared, in the groups of [`case`].
#[rustfmt::skip]
const COMPARED: [u32; 75] = [
    // floating point
    0xC180, 0xC268, 0xC3DC, 0xC538, 0xC688, 0xC8F0, 0xCB94, 0xE2A4, 0xE2AC, 0xE2E8, 0xE2F0, 0xCDFC, 0xCD5C, 0xC4C4,
    0xCCB8, 0xCD00,
    // integers
    0xE21C, 0xE268, 0xDC88, 0xDCF0, 0x0650, 0xD310, 0xD770, 0xCE60, 0x31B4, 0x31C0, 0x05F0, 0x0600,
    // memory
    0xDF48, 0x18B4, 0x06C4, 0xE04C, 0x18C4, 0x0688, 0xE190, 0x18A4, 0xDE84, 0x2AE8, 0xDEA8, 0x18D4,
    // strings
    0xBF4C, 0x2AC8, 0xBEC8, 0x2A88, 0xC0A0, 0x2A98, 0xBDC8, 0x2AA8, 0xBFA8, 0x2AB8, 0xE1E0, 0x2AD8, 0x2B74, 0x2AF8,
    // hashes
    0x9818, 0x9834, 0x9900, 0xB584, 0xB5A8, 0xB648, 0xA364, 0x97AC, 0xA2EC, 0xA160, 0xB8B4, 0xA2CC, 0xBA28, 0xBA48,
    0xB840,
    // ciphers
    0x9300, 0x8DD0, 0x8EA4, 0x92D4, 0x9410, 0xDD68,
];

/// Calls that show what the function at `offset` does; the last is its own.
fn case(offset: u32, make: &mut Maker) -> Vec<Call> {
    use Back::{Double, Nothing, Single, Wide, Word};
    let one = |arguments: &[u32], back| vec![call(offset, arguments, back)];
    let wide = |(left, right): (u64, u64), back| {
        vec![call(offset, &[halves(left), halves(right)].concat(), back)]
    };
    match offset {
        0xC180 | 0xC268 | 0xC3DC => {
            let (left, right) = make.pair(|make| make.single().into());
            one(&[left as u32, right as u32], Single)
        }
        0xC538 | 0xC688 | 0xC8F0 | 0xCB94 => wide(make.pair(Maker::double), Double),
        0xE2A4 | 0xE2AC => one(&[make.word()], Single),
        0xE2E8 | 0xE2F0 => one(&[make.word()], Double),
        0xCDFC => one(&[make.single()], Double),
        0xC4C4 => one(&[make.single()], Word),
        0xCD5C => one(&halves(make.double()), Single),
        0xCCB8 | 0xCD00 => one(&halves(make.double()), Word),
        0xE21C | 0xE268 | 0xDC88 | 0xDCF0 | 0x31C0 => {
            let (left, right) = make.pair(|make| make.number(32));
            one(&[left as u32, right as u32], if offset == 0xDCF0 { Wide } else { Word })
        }
        0x0650 | 0xD310 | 0xD770 | 0xCE60 => wide(make.pair(|make| make.number(64)), Wide),
        0x31B4 => one(&[make.word(), 1 << make.below(32)], Word),
        // srand, which shows by rand; rand
        0x05F0 => vec![call(offset, &[make.word()], Nothing), call(0x0600, &[], Word)],
        0x0600 => {
            let mut calls = vec![call(0x05F0, &[make.word()], Nothing)];
            calls.extend((0..4).map(|_| call(offset, &[], Word)));
            calls
        }
        0xDF48 | 0x18B4 | 0x06C4 => one(&[make.at(0), make.at(1), make.below(100)], Word),
        // Over each other or not.
        0xE04C | 0x18C4 => {
            let (to, from) = (make.at(0) + make.below(40), make.at(0) + make.below(40));
            one(&[to, from, make.below(100)], Word)
        }
        0x0688 => one(&[make.at(0), make.at(1), make.below(100)], Nothing),
        0xE190 | 0x18A4 => one(&[make.at(0), make.word(), make.below(100)], Word),
        0xDE84 | 0x2AE8 => one(&[make.at(0), make.below(100)], Nothing),
        0xDEA8 | 0x18D4 | 0xBDC8 | 0x2AA8 | 0xBFA8 | 0x2AB8 => {
            let (left, right) = (make.text(0, 20), make.text(1, 20));
            one(&[left, right, make.below(30)], Word)
        }
        0xBF4C | 0x2AC8 => one(&[make.text(0, 60)], Word),
        0xBEC8 | 0x2A88 => one(&[make.at(0), make.text(1, 60)], Word),
        0xC0A0 | 0x2A98 => one(&[make.at(0), make.text(1, 30), make.below(60)], Word),
        0xE1E0 | 0x2AD8 => one(&[make.text(0, 60), make.text(1, 4)], Word),
        0x2B74 => one(&[make.below(256)], Word),
        0x2AF8 => {
            let mut text =
                [b"  "[..make.below(3) as usize].to_vec(), b"5c:Cf:7F:01:89:eA".to_vec()];
            if make.below(4) == 0 {
                let at = make.below(17) as usize;
                text[1][at] = make.below(256) as u8;
            }
            let text = [text.concat(), vec![0]].concat();
            let at = make.at(1);
            make.put(at, &text);
            one(&[make.at(0), at], Word)
        }
        // A hash from its start as far as the function.
        0x9818 | 0x9834 | 0x9900 | 0xB584 | 0xB5A8 | 0xB648 => {
            let [init, update, end] = match offset {
                0x9818 | 0x9834 | 0x9900 => [0x9818, 0x9834, 0x9900],
                _ => [0xB584, 0xB5A8, 0xB648],
            };
            let context = Maker::words_at(0);
            let mut calls = vec![call(init, &[context], Nothing)];
            if offset != init {
                for _ in 0..1 + make.below(3) {
                    let arguments = [context, make.at(1), make.below(200)];
                    calls.push(call(update, &arguments, Nothing));
                }
            }
            if offset == end {
                calls.push(call(end, &[make.at(2), context], Nothing));
            }
            calls
        }
        0xA364 => one(&[Maker::words_at(0), Maker::words_at(1)], Nothing),
        0x97AC | 0xA2EC => {
            let [count, addresses, lengths] = make.parts();
            one(&[count, addresses, lengths, make.at(2)], Nothing)
        }
        0xA160 | 0xB8B4 => {
            let [count, addresses, lengths] = make.parts();
            let (key, length) = (make.at(0), make.below(100));
            one(&[key, length, count, addresses, lengths, make.at(2)], Nothing)
        }
        0xA2CC | 0xBA28 => {
            let (key, length) = (make.at(0), make.below(100));
            one(&[key, length, make.at(1), make.below(200), make.at(2)], Nothing)
        }
        0xBA48 => {
            let (key, length, label) = (make.at(0), make.below(65), make.text(3, 30));
            let (data, size) = (make.at(1), make.below(100));
            one(&[key, length, label, data, size, make.at(2), 1 + make.below(64)], Nothing)
        }
        0xB840 => {
            let (passphrase, name) = (make.text(0, 63), make.at(1));
            let (length, count) = (make.below(33), 1 + make.below(3));
            one(&[passphrase, name, length, count, make.at(2), 1 + make.below(40)], Nothing)
        }
        0x9300 | 0x8DD0 => one(&[Maker::words_at(0), make.at(1)], Nothing),
        // The schedule lies where the ROM has it; what is decrypted with it shows it.
        0x8EA4 => vec![call(offset, &[make.at(1), 16], Word)],
        0x92D4 => {
            let schedule = Maker::words_at(0);
            vec![
                call(0x8DD0, &[schedule, make.at(1)], Nothing),
                call(offset, &[schedule, make.at(1), make.at(2)], Nothing),
            ]
        }
        // A wrapped key, or noise, which is refused.
        0x9410 => {
            let (key, count, wrapped) = (make.at(0), 2 + make.below(3), make.at(1));
            if make.below(2) == 0 {
                let at = (key - MEMORY.start) as usize;
                let mut kek = [0; 16];
                kek.copy_from_slice(&make.memory[at..at + 16]);
                let plain: Vec<u8> = (0..count).flat_map(|_| make.next().to_le_bytes()).collect();
                let mut right = vec![0; plain.len() + 8];
                if aes_kw::KekAes128::from(kek).wrap(&plain, &mut right).is_ok() {
                    make.put(wrapped, &right);
                }
            }
            one(&[key, count, wrapped, make.at(2)], Word)
        }
        0xDD68 => {
            let (key, length, skip) = (make.at(0), 1 + make.below(32), make.below(300));
            one(&[key, length, skip, make.at(1), make.below(100)], Word)
        }
        _ => unreachable!("a function of COMPARED"),
    }
}

/// What one function came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The function's name in Espressif's linker script.
    pub name: &'static str,
    /// The first difference as a line of text; none if there was none.
    pub difference: Option<String>,
}

/// Compares functions with those of a dumped ROM.
pub struct Comparison<'a> {
    dump: &'a [u8],
    native: Side,
    dumped: Side,
    make: Maker,
}

impl<'a> Comparison<'a> {
    /// With this dump; `seed` is where the arguments begin.
    ///
    /// # Errors
    /// What is wrong with the dump.
    pub fn new(dump: &'a [u8], seed: u64) -> Result<Self, String> {
        let make = Maker { random: Random::new(seed), memory: Vec::new() };
        Ok(Self { dump, native: Side::new(None)?, dumped: Side::new(Some(dump))?, make })
    }

    /// Names of what is compared.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COMPARED.into_iter().filter_map(names::of)
    }

    /// Calls each function `rounds` times.
    pub fn all(&mut self, rounds: u32) -> Vec<Verdict> {
        COMPARED.into_iter().map(|offset| self.function(offset, rounds)).collect()
    }

    /// Calls the function of that name `rounds` times; none if it is not one of [`names`](Self::names).
    pub fn one(&mut self, name: &str, rounds: u32) -> Option<Verdict> {
        let offset = COMPARED.into_iter().find(|offset| names::of(*offset) == Some(name))?;
        Some(self.function(offset, rounds))
    }

    fn function(&mut self, offset: u32, rounds: u32) -> Verdict {
        let difference = (0..rounds).find_map(|_| self.round(offset));
        Verdict { name: names::of(offset).unwrap_or("?"), difference }
    }

    /// One case; what differs.
    fn round(&mut self, offset: u32) -> Option<String> {
        self.make.scramble();
        let calls = case(offset, &mut self.make);
        for side in [&mut self.native, &mut self.dumped] {
            side.board.write_ram(MEMORY.start, &self.make.memory);
        }
        for call in &calls {
            let (ours, theirs) = (self.native.call(call), self.dumped.call(call));
            let memory = (self.native.memory(), self.dumped.memory());
            let difference = difference(call, ours, theirs, &memory);
            if [ours, theirs].contains(&Outcome::Lost) {
                // Who knows what it did.
                self.native = Side::new(None).ok()?;
                self.dumped = Side::new(Some(self.dump)).ok()?;
            }
            if difference.is_some() {
                return difference;
            }
        }
        None
    }
}

fn difference(
    call: &Call,
    ours: Outcome,
    theirs: Outcome,
    memory: &(Vec<u8>, Vec<u8>),
) -> Option<String> {
    let value = |outcome: Outcome| {
        let [low, high] = match outcome {
            Outcome::Returned(values) => values,
            Outcome::Raised(cause, at) => return format!("raises exception {cause} at {at:#010x}"),
            Outcome::Lost => return "does not return".to_owned(),
        };
        let wide = u64::from(high) << 32 | u64::from(low);
        match call.back {
            Back::Nothing => "returns".to_owned(),
            Back::Single if f32::from_bits(low).is_nan() => "returns no number".to_owned(),
            Back::Double if f64::from_bits(wide).is_nan() => "returns no number".to_owned(),
            Back::Word | Back::Single => format!("returns {low:#010x}"),
            Back::Wide | Back::Double => format!("returns {wide:#018x}"),
        }
    };
    let (left, right) = (value(ours), value(theirs));
    let arguments: Vec<_> = call.arguments.iter().map(|value| format!("{value:#x}")).collect();
    let name = names::of(call.offset).unwrap_or("?");
    let text = format!("{name}({})", arguments.join(", "));
    if left != right {
        return Some(format!("{text} {left}, the dump's {right}"));
    }
    let at = memory.0.iter().zip(&memory.1).position(|(a, b)| a != b)?;
    let (a, b) = (memory.0[at], memory.1[at]);
    let address = MEMORY.start + at as u32;
    Some(format!("{text} leaves {a:#04x} at {address:#010x}, the dump's {b:#04x}"))
}
