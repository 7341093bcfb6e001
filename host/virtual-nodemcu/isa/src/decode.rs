//! From instruction words to [`Op`]s.

use crate::sr;

/// What to execute. The names are the assembler's.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Nothing was decoded here yet.
    Empty,
    /// The host wants to know before this address is executed.
    Hook,
    Illegal,
    // Arithmetic and logic.
    Add,
    Addx2,
    Addx4,
    Addx8,
    Sub,
    Subx2,
    Subx4,
    Subx8,
    And,
    Or,
    Xor,
    Neg,
    Abs,
    Addi,
    Movi,
    Mov,
    Moveqz,
    Movnez,
    Movltz,
    Movgez,
    Mul16u,
    Mul16s,
    Mull,
    Nsa,
    Nsau,
    // Shifts.
    Slli,
    Srai,
    Srli,
    Extui,
    Sll,
    Srl,
    Sra,
    Src,
    Ssr,
    Ssl,
    Ssa8l,
    Ssa8b,
    Ssai,
    // Memory.
    L8ui,
    L16ui,
    L16si,
    L32i,
    L32r,
    S8i,
    S16i,
    S32i,
    // Jumps; `imm` is the target.
    J,
    Jx,
    Call0,
    Callx0,
    Beqz,
    Bnez,
    Bltz,
    Bgez,
    /// Compares with the constant that `r` selects in [`B4CONST`]; so do the next three.
    Beqi,
    Bnei,
    Blti,
    Bgei,
    /// The constant is in [`B4CONSTU`]; so it is for the next.
    Bltui,
    Bgeui,
    Beq,
    Bne,
    Blt,
    Bge,
    Bltu,
    Bgeu,
    Bany,
    Bnone,
    Ball,
    Bnall,
    Bbc,
    Bbs,
    Bbci,
    Bbsi,
    /// Order: without effect where every instruction completes before the next. `imm` says
    /// which it is ([`nop`]).
    Nop,
    // Special registers; `imm` is the number.
    Rsr,
    Wsr,
    Xsr,
    Rsil,
    Waiti,
    /// Read an external register, of which the chip has none.
    Rer,
    // Exceptions.
    Rfe,
    Rfde,
    Rfi,
    Syscall,
    Simcall,
    Break,
    // Region protection.
    Ritlb0,
    Ritlb1,
    Rdtlb0,
    Rdtlb1,
    Pitlb,
    Pdtlb,
    Witlb,
    Wdtlb,
}

/// What [`Kind::Nop`] is called: field t of those that order memory and registers (isync 0, rsync
/// 1, esync 2, dsync 3, excw 8, memw 12, extw 13, nop 15), and these.
#[allow(missing_docs)]
pub mod nop {
    pub const NOP: u32 = 15;
    pub const WER: u32 = 16;
    pub const IITLB: u32 = 17;
    pub const IDTLB: u32 = 18;
}

/// A decoded instruction.
///
/// `rl` holds the register field r in its low half and the length in bytes in its high one:
/// eight bytes for an instruction keep the cache small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// What it does.
    pub kind: Kind,
    rl: u8,
    s: u8,
    t: u8,
    /// Immediate, offset, absolute target, or number, by kind.
    pub imm: u32,
}

impl Op {
    /// Nothing was decoded here yet.
    pub const EMPTY: Self = Self { kind: Kind::Empty, rl: 0, s: 0, t: 0, imm: 0 };
    /// The host wants to know.
    pub const HOOK: Self = Self { kind: Kind::Hook, rl: 0, s: 0, t: 0, imm: 0 };

    fn new(kind: Kind, length: u8, r: u32, s: u32, t: u32, imm: u32) -> Self {
        let nibble = |x: u32| (x & 15) as u8;
        Self { kind, rl: length << 4 | nibble(r), s: nibble(s), t: nibble(t), imm }
    }

    /// Length in bytes.
    #[must_use]
    #[inline(always)]
    pub fn length(self) -> u32 {
        u32::from(self.rl >> 4)
    }

    /// Field r.
    #[must_use]
    #[inline(always)]
    pub fn r(self) -> usize {
        usize::from(self.rl & 15)
    }

    /// Field s.
    #[must_use]
    #[inline(always)]
    pub fn s(self) -> usize {
        usize::from(self.s & 15)
    }

    /// Field t.
    #[must_use]
    #[inline(always)]
    pub fn t(self) -> usize {
        usize::from(self.t & 15)
    }
}

/// Constants of BEQI, BNEI, BLTI, BGEI.
pub const B4CONST: [u32; 16] = [u32::MAX, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];
/// Constants of BLTUI, BGEUI.
pub const B4CONSTU: [u32; 16] = [32768, 65536, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];

/// Bits `low..low + width` of `word`, sign-extended.
fn signed(word: u32, low: u32, width: u32) -> u32 {
    ((word << (32 - low - width)) as i32 >> (32 - width)) as u32
}

/// The length in bytes of an instruction that starts with this byte.
#[must_use]
#[inline]
pub fn length(first: u8) -> u32 {
    if first & 15 >= 8 { 2 } else { 3 }
}

/// Decodes the instruction at `pc`: `word` holds its bytes from bit 0 on.
#[must_use]
pub fn decode(pc: u32, word: u32) -> Op {
    let mut op = decode_fields(pc, word);
    if op.kind == Kind::Illegal {
        // For whoever shows it.
        op.imm = word & if op.length() == 2 { 0xFFFF } else { 0xFF_FFFF };
    }
    op
}

fn decode_fields(pc: u32, word: u32) -> Op {
    let field = |low: u32| word >> low & 15;
    let (op0, t, s, r, op1, op2) = (field(0), field(4), field(8), field(12), field(16), field(20));
    let imm8 = word >> 16 & 0xFF;
    let length: u8 = if op0 >= 8 { 2 } else { 3 };
    let op = |kind, imm| Op::new(kind, length, r, s, t, imm);
    let illegal = op(Kind::Illegal, 0);
    let branch8 = pc.wrapping_add(4).wrapping_add(signed(word, 16, 8));
    let branch12 = pc.wrapping_add(4).wrapping_add(signed(word, 12, 12));

    match op0 {
        0 => match op1 {
            0 => rst0(op, op2, r, s, t),
            1 => match op2 {
                // The field holds 32 - shift. 0 is not defined; QEMU does not shift then.
                0 | 1 => op(Kind::Slli, (32 - (t | (op2 & 1) << 4)) & 31),
                2 | 3 => op(Kind::Srai, s | (op2 & 1) << 4),
                4 => op(Kind::Srli, s),
                6 => special(op, Kind::Xsr, word),
                8 => op(Kind::Src, 0),
                9 if s == 0 => op(Kind::Srl, 0),
                10 if t == 0 => op(Kind::Sll, 0),
                11 if s == 0 => op(Kind::Sra, 0),
                12 => op(Kind::Mul16u, 0),
                13 => op(Kind::Mul16s, 0),
                _ => illegal,
            },
            2 if op2 == 8 => op(Kind::Mull, 0),
            3 => match op2 {
                0 => special(op, Kind::Rsr, word),
                1 => special(op, Kind::Wsr, word),
                8 => op(Kind::Moveqz, 0),
                9 => op(Kind::Movnez, 0),
                10 => op(Kind::Movltz, 0),
                11 => op(Kind::Movgez, 0),
                _ => illegal,
            },
            // `imm` holds the shift in its lowest byte, the width above.
            4 | 5 => {
                let shift = s | (op1 & 1) << 4;
                let width = op2 + 1;
                op(Kind::Extui, shift | width << 8)
            }
            _ => illegal,
        },
        1 => {
            let offset = word >> 8 << 2 | 0xFFFC_0000;
            op(Kind::L32r, (pc.wrapping_add(3) & !3).wrapping_add(offset))
        }
        2 => match r {
            0 => op(Kind::L8ui, imm8),
            1 => op(Kind::L16ui, imm8 << 1),
            2 => op(Kind::L32i, imm8 << 2),
            4 => op(Kind::S8i, imm8),
            5 => op(Kind::S16i, imm8 << 1),
            6 => op(Kind::S32i, imm8 << 2),
            9 => op(Kind::L16si, imm8 << 1),
            10 => op(Kind::Movi, signed(s << 8 | imm8, 0, 12)),
            12 => op(Kind::Addi, signed(imm8, 0, 8)),
            13 => op(Kind::Addi, signed(imm8, 0, 8) << 8),
            _ => illegal,
        },
        5 if t & 3 == 0 => {
            let target = (pc & !3).wrapping_add(4).wrapping_add(signed(word, 6, 18) << 2);
            op(Kind::Call0, target)
        }
        6 => match (t & 3, t >> 2) {
            (0, _) => op(Kind::J, pc.wrapping_add(4).wrapping_add(signed(word, 6, 18))),
            (1, 0) => op(Kind::Beqz, branch12),
            (1, 1) => op(Kind::Bnez, branch12),
            (1, 2) => op(Kind::Bltz, branch12),
            (1, 3) => op(Kind::Bgez, branch12),
            (2, 0) => op(Kind::Beqi, branch8),
            (2, 1) => op(Kind::Bnei, branch8),
            (2, 2) => op(Kind::Blti, branch8),
            (2, 3) => op(Kind::Bgei, branch8),
            (3, 2) => op(Kind::Bltui, branch8),
            (3, 3) => op(Kind::Bgeui, branch8),
            _ => illegal,
        },
        7 => {
            let kind = match r {
                0 => Kind::Bnone,
                1 => Kind::Beq,
                2 => Kind::Blt,
                3 => Kind::Bltu,
                4 => Kind::Ball,
                5 => Kind::Bbc,
                6 | 7 => Kind::Bbci,
                8 => Kind::Bany,
                9 => Kind::Bne,
                10 => Kind::Bge,
                11 => Kind::Bgeu,
                12 => Kind::Bnall,
                13 => Kind::Bbs,
                _ => Kind::Bbsi,
            };
            op(kind, branch8)
        }
        8 => op(Kind::L32i, r << 2),
        9 => op(Kind::S32i, r << 2),
        10 => op(Kind::Add, 0),
        11 => {
            // The constant 0 would be a move; the field means -1 then.
            let value = if t == 0 { u32::MAX } else { t };
            Op::new(Kind::Addi, 2, 0, s, r, value)
        }
        12 if t & 8 == 0 => {
            // 7 bits that run from -32 to 95.
            let value = r | (t & 7) << 4;
            let value = if value >= 96 { value.wrapping_sub(128) } else { value };
            Op::new(Kind::Movi, 2, 0, 0, s, value)
        }
        12 => {
            let target = pc.wrapping_add(4).wrapping_add(r | (t & 3) << 4);
            op(if t & 4 == 0 { Kind::Beqz } else { Kind::Bnez }, target)
        }
        13 => match r {
            0 => op(Kind::Mov, 0),
            15 => match t {
                0 => Op::new(Kind::Jx, 2, 0, 0, 0, 0),
                2 => Op::new(Kind::Break, 2, 0, s, 0, 1),
                3 if s == 0 => op(Kind::Nop, nop::NOP),
                _ => illegal,
            },
            _ => illegal,
        },
        _ => illegal,
    }
}

/// Group RST0: logic, add, and what has no place elsewhere.
fn rst0(op: impl Fn(Kind, u32) -> Op, op2: u32, r: u32, s: u32, t: u32) -> Op {
    let illegal = op(Kind::Illegal, 0);
    match op2 {
        0 => match r {
            0 => match (t, s) {
                (8, 0) => Op::new(Kind::Jx, 3, 0, 0, 0, 0), // RET
                (10, _) => op(Kind::Jx, 0),
                (12, _) => op(Kind::Callx0, 0),
                _ => illegal,
            },
            2 if s == 0 => match t {
                0..=3 | 8 | 12 | 13 | 15 => op(Kind::Nop, t),
                _ => illegal,
            },
            3 => match (t, s) {
                (0, 0) => op(Kind::Rfe, 0),
                (0, 2) => op(Kind::Rfde, 0),
                (1, 2 | 3) => op(Kind::Rfi, s),
                _ => illegal,
            },
            4 => Op::new(Kind::Break, 3, 0, s, t, 0),
            5 => match (t, s) {
                (0, 0) => op(Kind::Syscall, 0),
                (0, 1) => op(Kind::Simcall, 0),
                _ => illegal,
            },
            6 => op(Kind::Rsil, s),
            7 if t == 0 => op(Kind::Waiti, s),
            _ => illegal,
        },
        1 => op(Kind::And, 0),
        2 => op(Kind::Or, 0),
        3 => op(Kind::Xor, 0),
        4 => match r {
            0 if t == 0 => op(Kind::Ssr, 0),
            1 if t == 0 => op(Kind::Ssl, 0),
            2 if t == 0 => op(Kind::Ssa8l, 0),
            3 if t == 0 => op(Kind::Ssa8b, 0),
            4 if t < 2 => op(Kind::Ssai, s | t << 4),
            6 => op(Kind::Rer, 0),
            7 => op(Kind::Nop, nop::WER),
            14 => op(Kind::Nsa, 0),
            15 => op(Kind::Nsau, 0),
            _ => illegal,
        },
        5 => match r {
            3 => op(Kind::Ritlb0, 0),
            // IITLB, IDTLB: entries of region protection cannot be invalidated.
            4 if t == 0 => op(Kind::Nop, nop::IITLB),
            12 if t == 0 => op(Kind::Nop, nop::IDTLB),
            5 => op(Kind::Pitlb, 0),
            6 => op(Kind::Witlb, 0),
            7 => op(Kind::Ritlb1, 0),
            11 => op(Kind::Rdtlb0, 0),
            13 => op(Kind::Pdtlb, 0),
            14 => op(Kind::Wdtlb, 0),
            15 => op(Kind::Rdtlb1, 0),
            _ => illegal,
        },
        6 => match s {
            0 => op(Kind::Neg, 0),
            1 => op(Kind::Abs, 0),
            _ => illegal,
        },
        8 => op(Kind::Add, 0),
        9 => op(Kind::Addx2, 0),
        10 => op(Kind::Addx4, 0),
        11 => op(Kind::Addx8, 0),
        12 => op(Kind::Sub, 0),
        13 => op(Kind::Subx2, 0),
        14 => op(Kind::Subx4, 0),
        15 => op(Kind::Subx8, 0),
        _ => illegal,
    }
}

/// RSR, WSR, XSR: legal only for the registers that the core has.
fn special(op: impl Fn(Kind, u32) -> Op, kind: Kind, word: u32) -> Op {
    let number = (word >> 8) as u8;
    let access = match kind {
        Kind::Rsr => sr::Access::Read,
        Kind::Wsr => sr::Access::Write,
        _ => sr::Access::Exchange,
    };
    if sr::exists(number, access) { op(kind, u32::from(number)) } else { op(Kind::Illegal, 0) }
}
