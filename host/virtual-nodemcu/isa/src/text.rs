//! Instructions as text, as the disassembler writes them.

use std::fmt;

use crate::decode::{B4CONST, B4CONSTU, Kind, Op, nop};
use crate::sr;

/// An instruction at its address. It displays as the assembler's text.
///
/// ADDMI of 0 is shown as ADDI of 0, which does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pc: u32,
    op: Op,
}

impl Instruction {
    /// The instruction that was decoded at `pc`.
    #[must_use]
    pub fn new(pc: u32, op: Op) -> Self {
        Self { pc, op }
    }

    /// The instruction at `pc` whose bytes are in `word`, from bit 0 on.
    #[must_use]
    pub fn decode(pc: u32, word: u32) -> Self {
        Self::new(pc, crate::decode::decode(pc, word))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u32 {
        self.op.length()
    }

    /// Where it stands.
    #[must_use]
    pub fn pc(&self) -> u32 {
        self.pc
    }

    /// The address in memory that it uses, with these registers.
    #[must_use]
    pub fn address(&self, registers: &[u32; 16]) -> Option<u32> {
        match self.op.kind {
            Kind::L8ui
            | Kind::L16ui
            | Kind::L16si
            | Kind::L32i
            | Kind::S8i
            | Kind::S16i
            | Kind::S32i => Some(registers[self.op.s()].wrapping_add(self.op.imm)),
            Kind::L32r => Some(self.op.imm),
            _ => None,
        }
    }

    /// The word that the instruction stores, with these registers, cut to the width it stores.
    #[must_use]
    pub fn stored(&self, registers: &[u32; 16]) -> Option<u32> {
        let value = registers[self.op.t()];
        match self.op.kind {
            Kind::S8i => Some(value & 0xFF),
            Kind::S16i => Some(value & 0xFFFF),
            Kind::S32i => Some(value),
            _ => None,
        }
    }
}

/// What follows the name.
enum Operands {
    None,
    /// r, s, t
    Rst,
    Rs,
    Rt,
    Ts,
    S,
    T,
    /// t, s and a signed number
    TsImm,
    /// t and a signed number
    TImm,
    /// r, s and a number
    RsNumber(u32),
    RtNumber(u32),
    /// t and an address
    TTarget,
    STarget,
    StTarget,
    /// s, a signed constant, an address
    SNumberTarget(u32),
    Target,
    Number(u32),
    TNumber(u32),
}

/// The name of a special register as in RSR, WSR and XSR.
fn special(number: u8, kind: Kind) -> String {
    let name = match number {
        sr::SAR => "sar",
        sr::LITBASE => "litbase",
        sr::IBREAKENABLE => "ibreakenable",
        sr::DDR => "ddr",
        sr::IBREAKA0 => "ibreaka0",
        sr::DBREAKA0 => "dbreaka0",
        sr::DBREAKC0 => "dbreakc0",
        sr::EPC1 => "epc1",
        sr::EPC2 => "epc2",
        sr::EPC3 => "epc3",
        sr::DEPC => "depc",
        sr::EPS2 => "eps2",
        sr::EPS3 => "eps3",
        sr::EXCSAVE1 => "excsave1",
        sr::EXCSAVE2 => "excsave2",
        sr::EXCSAVE3 => "excsave3",
        sr::INTERRUPT if kind == Kind::Wsr => "intset",
        sr::INTERRUPT => "interrupt",
        sr::INTCLEAR => "intclear",
        sr::INTENABLE => "intenable",
        sr::PS => "ps",
        sr::VECBASE => "vecbase",
        sr::EXCCAUSE => "exccause",
        sr::DEBUGCAUSE => "debugcause",
        sr::CCOUNT => "ccount",
        sr::PRID => "prid",
        sr::ICOUNT => "icount",
        sr::ICOUNTLEVEL => "icountlevel",
        sr::EXCVADDR => "excvaddr",
        sr::CCOMPARE0 => "ccompare0",
        other => return format!("{other}"),
    };
    name.to_owned()
}

fn ordering(code: u32) -> (&'static str, Operands) {
    match code {
        0 => ("isync", Operands::None),
        1 => ("rsync", Operands::None),
        2 => ("esync", Operands::None),
        3 => ("dsync", Operands::None),
        8 => ("excw", Operands::None),
        12 => ("memw", Operands::None),
        13 => ("extw", Operands::None),
        nop::WER => ("wer", Operands::Ts),
        nop::IITLB => ("iitlb", Operands::S),
        nop::IDTLB => ("idtlb", Operands::S),
        _ => ("nop", Operands::None),
    }
}

#[allow(clippy::too_many_lines)] // one line for each instruction
fn describe(op: Op) -> (&'static str, Operands) {
    use Operands as O;
    let bit = (op.t() | (op.r() & 1) << 4) as u32;
    match op.kind {
        // The host's marks are not executed.
        Kind::Empty | Kind::Hook => ("", O::None),
        Kind::Illegal => ("ill", O::None),
        Kind::Add => ("add", O::Rst),
        Kind::Addx2 => ("addx2", O::Rst),
        Kind::Addx4 => ("addx4", O::Rst),
        Kind::Addx8 => ("addx8", O::Rst),
        Kind::Sub => ("sub", O::Rst),
        Kind::Subx2 => ("subx2", O::Rst),
        Kind::Subx4 => ("subx4", O::Rst),
        Kind::Subx8 => ("subx8", O::Rst),
        Kind::And => ("and", O::Rst),
        Kind::Or => ("or", O::Rst),
        Kind::Xor => ("xor", O::Rst),
        Kind::Neg => ("neg", O::Rt),
        Kind::Abs => ("abs", O::Rt),
        // ADDMI adds multiples of 256; of 0 one cannot tell.
        Kind::Addi if i8::try_from(op.imm as i32).is_err() => ("addmi", O::TsImm),
        Kind::Addi => ("addi", O::TsImm),
        Kind::Movi => ("movi", O::TImm),
        Kind::Mov => ("mov", O::Ts),
        Kind::Moveqz => ("moveqz", O::Rst),
        Kind::Movnez => ("movnez", O::Rst),
        Kind::Movltz => ("movltz", O::Rst),
        Kind::Movgez => ("movgez", O::Rst),
        Kind::Mul16u => ("mul16u", O::Rst),
        Kind::Mul16s => ("mul16s", O::Rst),
        Kind::Mull => ("mull", O::Rst),
        Kind::Nsa => ("nsa", O::Ts),
        Kind::Nsau => ("nsau", O::Ts),
        Kind::Slli => ("slli", O::RsNumber(op.imm)),
        Kind::Srai => ("srai", O::RtNumber(op.imm)),
        Kind::Srli => ("srli", O::RtNumber(op.imm)),
        Kind::Extui => ("extui", O::RtNumber(op.imm & 0xFF)),
        Kind::Sll => ("sll", O::Rs),
        Kind::Srl => ("srl", O::Rt),
        Kind::Sra => ("sra", O::Rt),
        Kind::Src => ("src", O::Rst),
        Kind::Ssr => ("ssr", O::S),
        Kind::Ssl => ("ssl", O::S),
        Kind::Ssa8l => ("ssa8l", O::S),
        Kind::Ssa8b => ("ssa8b", O::S),
        Kind::Ssai => ("ssai", O::Number(op.imm)),
        Kind::L8ui => ("l8ui", O::TsImm),
        Kind::L16ui => ("l16ui", O::TsImm),
        Kind::L16si => ("l16si", O::TsImm),
        Kind::L32i => ("l32i", O::TsImm),
        Kind::L32r => ("l32r", O::TTarget),
        Kind::S8i => ("s8i", O::TsImm),
        Kind::S16i => ("s16i", O::TsImm),
        Kind::S32i => ("s32i", O::TsImm),
        Kind::J => ("j", O::Target),
        // RET jumps to a0 too; only JX has a field t.
        Kind::Jx if op.t() == 0 => ("ret", O::None),
        Kind::Jx => ("jx", O::S),
        Kind::Call0 => ("call0", O::Target),
        Kind::Callx0 => ("callx0", O::S),
        Kind::Beqz => ("beqz", O::STarget),
        Kind::Bnez => ("bnez", O::STarget),
        Kind::Bltz => ("bltz", O::STarget),
        Kind::Bgez => ("bgez", O::STarget),
        Kind::Beqi => ("beqi", O::SNumberTarget(B4CONST[op.r()])),
        Kind::Bnei => ("bnei", O::SNumberTarget(B4CONST[op.r()])),
        Kind::Blti => ("blti", O::SNumberTarget(B4CONST[op.r()])),
        Kind::Bgei => ("bgei", O::SNumberTarget(B4CONST[op.r()])),
        Kind::Bltui => ("bltui", O::SNumberTarget(B4CONSTU[op.r()])),
        Kind::Bgeui => ("bgeui", O::SNumberTarget(B4CONSTU[op.r()])),
        Kind::Beq => ("beq", O::StTarget),
        Kind::Bne => ("bne", O::StTarget),
        Kind::Blt => ("blt", O::StTarget),
        Kind::Bge => ("bge", O::StTarget),
        Kind::Bltu => ("bltu", O::StTarget),
        Kind::Bgeu => ("bgeu", O::StTarget),
        Kind::Bany => ("bany", O::StTarget),
        Kind::Bnone => ("bnone", O::StTarget),
        Kind::Ball => ("ball", O::StTarget),
        Kind::Bnall => ("bnall", O::StTarget),
        Kind::Bbc => ("bbc", O::StTarget),
        Kind::Bbs => ("bbs", O::StTarget),
        Kind::Bbci => ("bbci", O::SNumberTarget(bit)),
        Kind::Bbsi => ("bbsi", O::SNumberTarget(bit)),
        Kind::Nop => ordering(op.imm),
        // The register's name joins these.
        Kind::Rsr => ("rsr", O::T),
        Kind::Wsr => ("wsr", O::T),
        Kind::Xsr => ("xsr", O::T),
        Kind::Rsil => ("rsil", O::TNumber(op.s() as u32)),
        Kind::Waiti => ("waiti", O::Number(op.s() as u32)),
        Kind::Rer => ("rer", O::Ts),
        Kind::Rfe => ("rfe", O::None),
        Kind::Rfde => ("rfde", O::None),
        Kind::Rfi => ("rfi", O::Number(op.s() as u32)),
        Kind::Syscall => ("syscall", O::None),
        Kind::Simcall => ("simcall", O::None),
        Kind::Break => ("break", O::Number(op.s() as u32)),
        Kind::Ritlb0 => ("ritlb0", O::Ts),
        Kind::Ritlb1 => ("ritlb1", O::Ts),
        Kind::Rdtlb0 => ("rdtlb0", O::Ts),
        Kind::Rdtlb1 => ("rdtlb1", O::Ts),
        Kind::Pitlb => ("pitlb", O::Ts),
        Kind::Pdtlb => ("pdtlb", O::Ts),
        Kind::Witlb => ("witlb", O::Ts),
        Kind::Wdtlb => ("wdtlb", O::Ts),
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Operands as O;
        let op = self.op;
        let (r, s, t) = (op.r(), op.s(), op.t());
        let (name, operands) = describe(op);
        f.write_str(name)?;
        match op.kind {
            Kind::Rsr | Kind::Wsr | Kind::Xsr => {
                write!(f, ".{}", special(op.imm as u8, op.kind))?;
            }
            // The word, because nothing else is known of it.
            Kind::Illegal => write!(f, " {:#x}", op.imm)?,
            _ if op.length() == 2 => f.write_str(".n")?,
            _ => {}
        }
        let (number, target) = (op.imm as i32, op.imm);
        match operands {
            O::None => Ok(()),
            O::Rst => write!(f, " a{r}, a{s}, a{t}"),
            O::Rs => write!(f, " a{r}, a{s}"),
            O::Rt => write!(f, " a{r}, a{t}"),
            O::Ts => write!(f, " a{t}, a{s}"),
            O::S => write!(f, " a{s}"),
            O::T => write!(f, " a{t}"),
            O::TsImm => write!(f, " a{t}, a{s}, {number}"),
            O::TImm => write!(f, " a{t}, {number}"),
            O::RsNumber(n) => write!(f, " a{r}, a{s}, {}", n as i32),
            O::RtNumber(n) if op.kind == Kind::Extui => {
                write!(f, " a{r}, a{t}, {n}, {}", op.imm >> 8)
            }
            O::RtNumber(n) => write!(f, " a{r}, a{t}, {n}"),
            O::TTarget => write!(f, " a{t}, {target:x}"),
            O::STarget => write!(f, " a{s}, {target:x}"),
            O::StTarget => write!(f, " a{s}, a{t}, {target:x}"),
            O::SNumberTarget(n) => write!(f, " a{s}, {}, {target:x}", n as i32),
            O::Target => write!(f, " {target:x}"),
            O::Number(n) if op.kind == Kind::Break && op.length() == 3 => write!(f, " {n}, {t}"),
            O::Number(n) => write!(f, " {n}"),
            O::TNumber(n) => write!(f, " a{t}, {n}"),
        }
    }
}
