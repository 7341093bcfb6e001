//! The loop that executes.

use super::code::Source;
use super::core::{Core, DEBUG_BREAK, DEBUG_BREAK_N, Exit};
use super::{Bus, Cause, Instruction, Stop, Trace};
use isa::decode::{B4CONST, B4CONSTU, Kind};

impl Core {
    /// Executes from `source` up to the cycle `until`, or until something needs more than
    /// registers and memory.
    ///
    /// `WATCHED` adds what is rarely wanted: trace, watchpoints, ICOUNT, DBREAK.
    ///
    /// Program counter and cycle are local here, so that they live in registers; every way out
    /// writes them back.
    #[allow(clippy::too_many_lines)] // one arm for each instruction
    pub fn execute<B: Bus, T: Trace, S: Source, const WATCHED: bool>(
        &mut self,
        bus: &mut B,
        trace: &mut T,
        source: &S,
        until: u64,
    ) -> Exit {
        let mut pc = self.pc;
        let mut now = self.now;

        macro_rules! leave {
            ($pc:expr, $exit:expr) => {{
                self.pc = $pc;
                self.now = now;
                return $exit;
            }};
        }
        loop {
            if now >= until {
                leave!(pc, Exit::Until);
            }
            let Some(op) = source.get(pc) else { leave!(pc, Exit::Decode) };
            if WATCHED && !matches!(op.kind, Kind::Empty | Kind::Hook) {
                if self.count_instruction(pc) {
                    now += 1;
                    leave!(self.pc, Exit::Check);
                }
                if T::INSTRUCTIONS {
                    trace.instruction(Instruction::new(pc, op), &self.a, now);
                }
            }
            let mut next = pc.wrapping_add(op.length());
            // The time of this instruction.
            let time = now;
            now += 1;

            macro_rules! exception {
                ($cause:expr) => {{
                    trace.exception($cause, pc, None);
                    self.raise($cause, pc);
                    pc = self.pc;
                    continue;
                }};
                ($cause:expr, $addr:expr) => {{
                    let cause = $cause;
                    trace.exception(cause, pc, Some($addr));
                    self.raise_at(cause, pc, $addr);
                    pc = self.pc;
                    continue;
                }};
            }
            macro_rules! s {
                () => {
                    self.a[op.s()]
                };
            }
            macro_rules! t {
                () => {
                    self.a[op.t()]
                };
            }
            macro_rules! set_r {
                ($value:expr) => {{
                    let value = $value;
                    self.a[op.r()] = value;
                }};
            }
            macro_rules! branch {
                ($condition:expr) => {
                    if $condition {
                        next = op.imm;
                    }
                };
            }
            // What memory accesses have in common: alignment, region, watch before; devices and
            // code after.
            macro_rules! before {
                ($addr:expr, $size:expr, $write:expr) => {
                    if !$addr.is_multiple_of($size) {
                        exception!(Cause::LoadStoreAlignment, $addr);
                    }
                    if self.data_denied($addr) {
                        exception!(
                            if $write { Cause::StoreProhibited } else { Cause::LoadProhibited },
                            $addr
                        );
                    }
                    if WATCHED && self.watch(pc, $addr, $size, $write) {
                        leave!(self.pc, Exit::Check);
                    }
                };
            }
            macro_rules! after {
                ($addr:expr) => {
                    if B::is_device($addr) {
                        let signals = bus.signals();
                        if signals.lines != self.lines
                            || signals.stop
                            || signals.invalidate.is_some()
                        {
                            leave!(next, Exit::Signals(signals));
                        }
                    }
                    if WATCHED && self.watch_hit.is_some() {
                        leave!(next, Exit::Check);
                    }
                };
            }
            macro_rules! load {
                ($addr:expr, $size:expr, $load:ident, $convert:expr) => {{
                    let addr = $addr;
                    before!(addr, $size, false);
                    match bus.$load(addr, time) {
                        Ok(value) => self.a[op.t()] = $convert(value),
                        Err(cause) => exception!(cause, addr),
                    }
                    after!(addr);
                }};
            }
            macro_rules! store {
                ($size:expr, $store:ident, $type:ty) => {{
                    let addr = s!().wrapping_add(op.imm);
                    before!(addr, $size, true);
                    match bus.$store(addr, t!() as $type, time) {
                        Ok(()) => {}
                        Err(cause) => exception!(cause, addr),
                    }
                    if source.is_used(addr) {
                        leave!(next, Exit::CodeWritten(addr));
                    }
                    after!(addr);
                }};
            }

            match op.kind {
                Kind::Empty => {
                    now -= 1;
                    leave!(pc, Exit::Decode);
                }
                Kind::Hook => {
                    now -= 1;
                    leave!(pc, Exit::Hook);
                }
                Kind::Illegal => exception!(Cause::IllegalInstruction),

                Kind::Add => set_r!(s!().wrapping_add(t!())),
                Kind::Addx2 => set_r!((s!() << 1).wrapping_add(t!())),
                Kind::Addx4 => set_r!((s!() << 2).wrapping_add(t!())),
                Kind::Addx8 => set_r!((s!() << 3).wrapping_add(t!())),
                Kind::Sub => set_r!(s!().wrapping_sub(t!())),
                Kind::Subx2 => set_r!((s!() << 1).wrapping_sub(t!())),
                Kind::Subx4 => set_r!((s!() << 2).wrapping_sub(t!())),
                Kind::Subx8 => set_r!((s!() << 3).wrapping_sub(t!())),
                Kind::And => set_r!(s!() & t!()),
                Kind::Or => set_r!(s!() | t!()),
                Kind::Xor => set_r!(s!() ^ t!()),
                Kind::Neg => set_r!(t!().wrapping_neg()),
                Kind::Abs => set_r!((t!() as i32).unsigned_abs()),
                Kind::Addi => self.a[op.t()] = s!().wrapping_add(op.imm),
                Kind::Movi => self.a[op.t()] = op.imm,
                Kind::Mov => self.a[op.t()] = s!(),
                Kind::Moveqz => {
                    if t!() == 0 {
                        set_r!(s!());
                    }
                }
                Kind::Movnez => {
                    if t!() != 0 {
                        set_r!(s!());
                    }
                }
                Kind::Movltz => {
                    if (t!() as i32) < 0 {
                        set_r!(s!());
                    }
                }
                Kind::Movgez => {
                    if (t!() as i32) >= 0 {
                        set_r!(s!());
                    }
                }
                Kind::Mul16u => set_r!((s!() & 0xFFFF) * (t!() & 0xFFFF)),
                Kind::Mul16s => set_r!((i32::from(s!() as i16) * i32::from(t!() as i16)) as u32),
                Kind::Mull => set_r!(s!().wrapping_mul(t!())),
                Kind::Nsa => {
                    let value = s!();
                    // Bits that repeat the sign.
                    let same = if (value as i32) < 0 { !value } else { value }.leading_zeros();
                    self.a[op.t()] = same - 1;
                }
                Kind::Nsau => self.a[op.t()] = s!().leading_zeros(),

                Kind::Slli => set_r!(s!() << op.imm),
                Kind::Srai => set_r!(((t!() as i32) >> op.imm) as u32),
                Kind::Srli => set_r!(t!() >> op.imm),
                Kind::Extui => {
                    let (shift, width) = (op.imm & 0xFF, op.imm >> 8);
                    set_r!(t!() >> shift & ((1 << width) - 1));
                }
                // Funnel shifts: SAR is up to 63.
                Kind::Sll => set_r!((u64::from(s!()) << 32 >> self.sar) as u32),
                Kind::Srl => set_r!((u64::from(t!()) >> self.sar) as u32),
                Kind::Sra => set_r!((i64::from(t!() as i32) >> self.sar) as u32),
                Kind::Src => {
                    set_r!(((u64::from(s!()) << 32 | u64::from(t!())) >> self.sar) as u32);
                }
                Kind::Ssr => self.sar = s!() & 31,
                Kind::Ssl => self.sar = 32 - (s!() & 31),
                Kind::Ssa8l => self.sar = (s!() & 3) * 8,
                Kind::Ssa8b => self.sar = 32 - (s!() & 3) * 8,
                Kind::Ssai => self.sar = op.imm,

                Kind::L8ui => load!(s!().wrapping_add(op.imm), 1, load8, u32::from),
                Kind::L16ui => load!(s!().wrapping_add(op.imm), 2, load16, u32::from),
                Kind::L16si => {
                    load!(s!().wrapping_add(op.imm), 2, load16, |v: u16| i32::from(v as i16) as u32)
                }
                Kind::L32i => load!(s!().wrapping_add(op.imm), 4, load32, |v: u32| v),
                Kind::L32r => {
                    let addr = if self.litbase & 1 == 0 {
                        op.imm
                    } else {
                        let offset = op.imm.wrapping_sub(pc.wrapping_add(3) & !3);
                        (self.litbase & !0xFFF).wrapping_add(offset)
                    };
                    load!(addr, 4, load32, |v: u32| v);
                }
                Kind::S8i => store!(1, store8, u8),
                Kind::S16i => store!(2, store16, u16),
                Kind::S32i => store!(4, store32, u32),

                Kind::J => next = op.imm,
                Kind::Jx => next = s!(),
                Kind::Call0 => {
                    self.a[0] = next;
                    next = op.imm;
                }
                Kind::Callx0 => {
                    // The target first: it may be in a0.
                    let target = s!();
                    self.a[0] = next;
                    next = target;
                }
                Kind::Beqz => branch!(s!() == 0),
                Kind::Bnez => branch!(s!() != 0),
                Kind::Bltz => branch!((s!() as i32) < 0),
                Kind::Bgez => branch!((s!() as i32) >= 0),
                Kind::Beqi => branch!(s!() == B4CONST[op.r()]),
                Kind::Bnei => branch!(s!() != B4CONST[op.r()]),
                Kind::Blti => branch!((s!() as i32) < B4CONST[op.r()] as i32),
                Kind::Bgei => branch!((s!() as i32) >= B4CONST[op.r()] as i32),
                Kind::Bltui => branch!(s!() < B4CONSTU[op.r()]),
                Kind::Bgeui => branch!(s!() >= B4CONSTU[op.r()]),
                Kind::Beq => branch!(s!() == t!()),
                Kind::Bne => branch!(s!() != t!()),
                Kind::Blt => branch!((s!() as i32) < t!() as i32),
                Kind::Bge => branch!((s!() as i32) >= t!() as i32),
                Kind::Bltu => branch!(s!() < t!()),
                Kind::Bgeu => branch!(s!() >= t!()),
                Kind::Bany => branch!(s!() & t!() != 0),
                Kind::Bnone => branch!(s!() & t!() == 0),
                Kind::Ball => branch!(!s!() & t!() == 0),
                Kind::Bnall => branch!(!s!() & t!() != 0),
                Kind::Bbc => branch!(s!() >> (t!() & 31) & 1 == 0),
                Kind::Bbs => branch!(s!() >> (t!() & 31) & 1 != 0),
                Kind::Bbci => branch!(s!() >> (op.t() | (op.r() & 1) << 4) & 1 == 0),
                Kind::Bbsi => branch!(s!() >> (op.t() | (op.r() & 1) << 4) & 1 != 0),

                Kind::Nop => {}

                Kind::Rsr => {
                    if let Some(value) = self.special(op.imm as u8, time) {
                        t!() = value;
                    }
                }
                Kind::Wsr => {
                    if let Some(exit) = self.set_special(op.imm as u8, t!(), time) {
                        leave!(next, exit);
                    }
                }
                Kind::Xsr => {
                    let new = t!();
                    if let Some(value) = self.special(op.imm as u8, time) {
                        t!() = value;
                    }
                    if let Some(exit) = self.set_special(op.imm as u8, new, time) {
                        leave!(next, exit);
                    }
                }
                Kind::Rsil => {
                    t!() = self.ps;
                    self.set_level(op.s() as u32);
                    leave!(next, Exit::Check);
                }
                Kind::Waiti => {
                    self.set_level(op.s() as u32);
                    self.waiting = true;
                    leave!(next, Exit::Check);
                }

                Kind::Rer => t!() = 0,

                Kind::Rfe => {
                    let target = self.return_from_exception();
                    leave!(target, Exit::Check);
                }
                Kind::Rfde => next = self.return_from_double(),
                Kind::Rfi => {
                    let target = self.return_from_interrupt(op.s());
                    leave!(target, Exit::Check);
                }
                Kind::Syscall => exception!(Cause::Syscall),
                Kind::Simcall => {
                    if self.simcall_stops {
                        leave!(next, Exit::Stop(Stop::Simcall));
                    }
                    exception!(Cause::IllegalInstruction);
                }
                Kind::Break => {
                    let cause = if op.imm == 0 { DEBUG_BREAK } else { DEBUG_BREAK_N };
                    if self.raise_debug(cause, pc) {
                        next = self.pc;
                    }
                }

                Kind::Ritlb0 | Kind::Rdtlb0 => t!() = s!() & 0xE000_0000,
                Kind::Ritlb1 | Kind::Rdtlb1 => {
                    t!() = self.region(op.kind == Kind::Ritlb1, s!());
                }
                Kind::Pitlb | Kind::Pdtlb => t!() = s!() & 0xE000_0000 | 1,
                Kind::Witlb => {
                    self.set_region(true, s!(), t!());
                    leave!(next, Exit::CodeStale);
                }
                Kind::Wdtlb => self.set_region(false, s!(), t!()),
            }
            pc = next;
        }
    }
}
