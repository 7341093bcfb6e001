//! The registers of the core, interrupts and exceptions.

use std::ops::Range;

use super::{Bus, Cause, Signals, Stop, Trace, sr};
use crate::snapshot::{LATEST, check, keep};
use isa::decode::Op;

/// Interrupts by type, as the core is configured.
const LEVEL_TRIGGERED: u32 = 0x003F;
const TIMER: u32 = 0x0040;
const SOFTWARE: u32 = 0x0080;
const EDGE_TRIGGERED: u32 = 0x3F00;
const NMI: u32 = 0x4000;
/// All 15.
pub(super) const INTERRUPTS: u32 = 0x7FFF;

/// Fields of PS. Those of windowed registers and of rings do not exist.
const PS_INTLEVEL: u32 = 0x0F;
const PS_EXCM: u32 = 0x10;
const PS_UM: u32 = 0x20;
const PS_BITS: u32 = PS_INTLEVEL | PS_EXCM | PS_UM;

/// Levels: BREAK and the other debug exceptions, and the NMI.
const DEBUG_LEVEL: u32 = 2;
const NMI_LEVEL: u32 = 3;

/// Vectors, relative to VECBASE.
const DEBUG_VECTOR: u32 = 0x10;
const NMI_VECTOR: u32 = 0x20;
const KERNEL_VECTOR: u32 = 0x30;
const USER_VECTOR: u32 = 0x50;
const DOUBLE_VECTOR: u32 = 0x70;

/// Where the chip's core starts: of its two reset vectors, the one in ROM.
const RESET_VECTOR: u32 = 0x4000_0080;
/// VECBASE after reset: the ROM's own vectors.
const RESET_VECBASE: u32 = 0x4000_0000;

/// Bits of DEBUGCAUSE.
const DEBUG_ICOUNT: u32 = 1;
pub(super) const DEBUG_IBREAK: u32 = 2;
const DEBUG_DBREAK: u32 = 4;
pub(super) const DEBUG_BREAK: u32 = 8;
pub(super) const DEBUG_BREAK_N: u32 = 0x10;

/// Identity of the configuration.
const CONFIG_ID: [u32; 2] = [0xC28C_DAFA, 0x1082_B6F6];

/// One period of CCOUNT.
const CCOUNT_PERIOD: u64 = 1 << 32;

/// Attribute of a region after reset: all access, uncached.
const BYPASS: u8 = 2;

/// Why the inner loop was left.
pub(super) enum Exit {
    /// The cycle given as the end is reached.
    Until,
    /// Interrupts may be taken differently now, or a debug facility was armed.
    Check,
    /// The slot at the program counter is outside the decoded code or not decoded.
    Decode,
    /// The slot at the program counter is marked.
    Hook,
    /// A store went to decoded code.
    CodeWritten(u32),
    /// What was decoded may no longer hold, anywhere.
    CodeStale,
    /// A device has something to say.
    Signals(Signals),
    /// Return to the host.
    Stop(Stop),
}

/// An address range that the host watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub range: Range<u32>,
    pub read: bool,
    pub write: bool,
}

/// Everything but decoded code and the host's marks.
#[derive(Default)]
pub(super) struct Core {
    pub pc: u32,
    pub a: [u32; 16],
    pub sar: u32,
    pub litbase: u32,
    pub ps: u32,
    /// Cycles since the beginning; never set back.
    pub now: u64,
    /// How many of them were spent waiting.
    pub idle: u64,
    pub waiting: bool,
    pub simcall_stops: bool,
    pub watches: Vec<Watch>,
    pub watch_hit: Option<Stop>,
    /// CCOUNT minus the cycle, modulo its width.
    ccount_offset: u32,
    ccompare: u32,
    /// The cycle at which CCOUNT is CCOMPARE0 next.
    pub timer_at: u64,
    /// Interrupt inputs.
    pub lines: u32,
    interrupt: u32,
    intenable: u32,
    vecbase: u32,
    epc: [u32; 3],
    eps: [u32; 2],
    excsave: [u32; 3],
    depc: u32,
    exccause: u32,
    excvaddr: u32,
    debugcause: u32,
    pub ibreakenable: u32,
    pub ibreaka: u32,
    dbreaka: u32,
    dbreakc: u32,
    icount: u32,
    icountlevel: u32,
    ddr: u32,
    /// Attributes of the eight regions of 512 MB, for instructions and for data.
    itlb: [u8; 8],
    dtlb: [u8; 8],
    /// Regions that may not be read or written; a bit each.
    data_denied: u8,
}

// What the host watches is not the core's.
keep!(
    Core {
        pc, a, sar, litbase, ps, now, idle, waiting, ccount_offset, ccompare, lines, interrupt,
        intenable, vecbase, epc, eps, excsave, depc, exccause, excvaddr, debugcause, ibreakenable,
        ibreaka, dbreaka, dbreakc, icount, icountlevel, ddr, itlb, dtlb, data_denied,
    } but { timer_at, simcall_stops, watches, watch_hit },
    |core: &Core| check(core.idle <= core.now && core.now < LATEST, "the core has no such time")
);

impl Core {
    /// After what was kept has come back.
    pub fn resume(&mut self) {
        self.ps &= PS_BITS;
        self.watch_hit = None;
        self.set_timer(self.now);
    }

    pub fn new() -> Self {
        Self {
            pc: RESET_VECTOR,
            ps: PS_INTLEVEL | PS_EXCM,
            timer_at: CCOUNT_PERIOD,
            vecbase: RESET_VECBASE,
            itlb: [BYPASS; 8],
            dtlb: [BYPASS; 8],
            ..Self::default()
        }
    }

    /// As after a reset, except for what belongs to the host: time, watches, the level of the
    /// interrupt inputs.
    pub fn reset(&mut self) {
        let lines = self.lines;
        *self = Self {
            now: self.now,
            idle: self.idle,
            simcall_stops: self.simcall_stops,
            watches: std::mem::take(&mut self.watches),
            ccount_offset: (self.now as u32).wrapping_neg(),
            timer_at: self.now + CCOUNT_PERIOD,
            ..Self::new()
        };
        self.set_lines(lines & LEVEL_TRIGGERED);
        self.lines = lines;
    }

    /// CINTLEVEL: interrupts up to this level are masked.
    fn masked_level(&self) -> u32 {
        (self.ps & PS_INTLEVEL).max(u32::from(self.ps & PS_EXCM != 0))
    }

    pub fn set_lines(&mut self, lines: u32) {
        let rising = lines & !self.lines & (EDGE_TRIGGERED | NMI);
        self.lines = lines;
        self.interrupt = self.interrupt & !LEVEL_TRIGGERED | lines & LEVEL_TRIGGERED | rising;
    }

    /// Raises the timer interrupt when its time has come.
    pub fn tick(&mut self) {
        while self.now >= self.timer_at {
            self.interrupt |= TIMER;
            self.timer_at += CCOUNT_PERIOD;
        }
    }

    fn ccount(&self, now: u64) -> u32 {
        (now as u32).wrapping_add(self.ccount_offset)
    }

    fn set_timer(&mut self, now: u64) {
        let ahead = self.ccompare.wrapping_sub(self.ccount(now));
        // Equal now: the comparison has just been made, the next one is a period away.
        self.timer_at = now + if ahead == 0 { CCOUNT_PERIOD } else { u64::from(ahead) };
    }

    /// Enters the interrupt that is due, if any.
    pub fn take_interrupt<T: Trace>(&mut self, trace: &mut T) -> bool {
        let pending = self.interrupt & (self.intenable | NMI);
        if pending == 0 {
            return false;
        }
        if pending & NMI != 0 {
            self.interrupt &= !NMI;
            trace.interrupt(NMI_LEVEL, self.pc, pending);
            self.enter_level(NMI_LEVEL, self.pc, NMI_VECTOR);
        } else if self.masked_level() == 0 {
            trace.interrupt(1, self.pc, pending);
            self.raise(Cause::Level1Interrupt, self.pc);
        } else {
            return false;
        }
        self.waiting = false;
        true
    }

    /// A level-1 exception of the instruction at `pc`: sets the program counter to its vector.
    #[cold]
    pub fn raise(&mut self, cause: Cause, pc: u32) {
        let vector = if self.ps & PS_EXCM != 0 {
            self.depc = pc;
            DOUBLE_VECTOR
        } else {
            self.epc[0] = pc;
            if self.ps & PS_UM != 0 { USER_VECTOR } else { KERNEL_VECTOR }
        };
        self.exccause = cause as u32;
        self.ps |= PS_EXCM;
        self.pc = self.vecbase.wrapping_add(vector);
    }

    /// The same for one that has an address.
    #[cold]
    pub fn raise_at(&mut self, cause: Cause, pc: u32, addr: u32) {
        self.excvaddr = addr;
        self.raise(cause, pc);
    }

    fn enter_level(&mut self, level: u32, pc: u32, vector: u32) {
        self.epc[level as usize - 1] = pc;
        self.eps[level as usize - 2] = self.ps;
        self.ps = self.ps & PS_UM | PS_EXCM | level;
        self.pc = self.vecbase.wrapping_add(vector);
    }

    /// A debug exception, unless its level is masked.
    pub fn raise_debug(&mut self, cause: u32, pc: u32) -> bool {
        let taken = self.masked_level() < DEBUG_LEVEL;
        if taken {
            self.debugcause = cause;
            self.enter_level(DEBUG_LEVEL, pc, DEBUG_VECTOR);
        }
        taken
    }

    /// Whether single instructions must be looked at: ICOUNT or DBREAK are armed, or the host
    /// watches memory.
    pub fn watched(&self) -> bool {
        !self.watches.is_empty()
            || self.dbreakc >> 30 != 0
            || self.masked_level() < self.icountlevel
    }

    /// Counts an instruction; true if it must not be executed because the debug exception was
    /// taken.
    pub fn count_instruction(&mut self, pc: u32) -> bool {
        if self.masked_level() >= self.icountlevel {
            return false;
        }
        if self.icount == u32::MAX {
            if self.raise_debug(DEBUG_ICOUNT, pc) {
                return true;
            }
        } else {
            self.icount += 1;
        }
        false
    }

    /// Looks at an access for DBREAK and the host; true if the debug exception was taken and
    /// the access must not happen.
    pub fn watch(&mut self, pc: u32, addr: u32, size: u32, write: bool) -> bool {
        let enabled = self.dbreakc >> if write { 31 } else { 30 } & 1 != 0;
        let mask = 0xFFFF_FFC0 | self.dbreakc & 0x3F;
        let hit = |byte: u32| addr.wrapping_add(byte) & mask == self.dbreaka & mask;
        if enabled && (0..size).any(hit) && self.raise_debug(DEBUG_DBREAK, pc) {
            return true;
        }
        let last = addr.saturating_add(size - 1);
        if self.watches.iter().any(|w| {
            (if write { w.write } else { w.read }) && addr < w.range.end && last >= w.range.start
        }) {
            self.watch_hit = Some(Stop::Watchpoint { addr, write });
        }
        false
    }

    /// Whether the region of `addr` may be neither read nor written.
    pub fn data_denied(&self, addr: u32) -> bool {
        self.data_denied >> (addr >> 29) & 1 != 0
    }

    /// Whether nothing in the region of `addr` may be executed.
    pub fn fetch_denied(&self, addr: u32) -> bool {
        !matches!(self.itlb[(addr >> 29) as usize], 1..=5)
    }

    /// WITLB, WDTLB: sets the attribute of the region of `addr`.
    pub fn set_region(&mut self, instruction: bool, addr: u32, value: u32) {
        let region = (addr >> 29) as usize;
        let attribute = (value & 15) as u8;
        if instruction {
            self.itlb[region] = attribute;
        } else {
            self.dtlb[region] = attribute;
            let denied = !matches!(attribute, 0..=2 | 4 | 5 | 14);
            self.data_denied = self.data_denied & !(1 << region) | u8::from(denied) << region;
        }
    }

    /// RITLB1, RDTLB1: base and attribute of the region of `addr`.
    pub fn region(&self, instruction: bool, addr: u32) -> u32 {
        let tlb = if instruction { &self.itlb } else { &self.dtlb };
        addr & 0xE000_0000 | u32::from(tlb[(addr >> 29) as usize])
    }

    /// RSR. None: write only, or no such register.
    pub fn special(&self, number: u8, now: u64) -> Option<u32> {
        Some(match number {
            sr::SAR => self.sar,
            sr::LITBASE => self.litbase,
            sr::IBREAKENABLE => self.ibreakenable,
            sr::DDR => self.ddr,
            sr::IBREAKA0 => self.ibreaka,
            sr::DBREAKA0 => self.dbreaka,
            sr::DBREAKC0 => self.dbreakc,
            sr::CONFIGID0 => CONFIG_ID[0],
            sr::CONFIGID1 => CONFIG_ID[1],
            sr::EPC1..=sr::EPC3 => self.epc[usize::from(number - sr::EPC1)],
            sr::DEPC => self.depc,
            sr::EPS2..=sr::EPS3 => self.eps[usize::from(number - sr::EPS2)],
            sr::EXCSAVE1..=sr::EXCSAVE3 => self.excsave[usize::from(number - sr::EXCSAVE1)],
            sr::INTERRUPT => self.interrupt,
            sr::INTENABLE => self.intenable,
            sr::PS => self.ps,
            sr::VECBASE => self.vecbase,
            sr::EXCCAUSE => self.exccause,
            sr::DEBUGCAUSE => self.debugcause,
            sr::CCOUNT => self.ccount(now),
            sr::PRID => 0,
            sr::ICOUNT => self.icount,
            sr::ICOUNTLEVEL => self.icountlevel,
            sr::EXCVADDR => self.excvaddr,
            sr::CCOMPARE0 => self.ccompare,
            _ => return None,
        })
    }

    /// WSR. Says whether the loop has to be left.
    pub fn set_special(&mut self, number: u8, value: u32, now: u64) -> Option<Exit> {
        match number {
            sr::SAR => self.sar = value & 0x3F,
            sr::LITBASE => self.litbase = value & 0xFFFF_F001,
            sr::IBREAKENABLE => {
                self.ibreakenable = value & 1;
                return Some(Exit::CodeStale);
            }
            sr::DDR => self.ddr = value,
            sr::IBREAKA0 => {
                self.ibreaka = value;
                return Some(Exit::CodeStale);
            }
            sr::DBREAKA0 => self.dbreaka = value,
            sr::DBREAKC0 => {
                self.dbreakc = value & 0xC000_003F;
                return Some(Exit::Check);
            }
            sr::EPC1..=sr::EPC3 => self.epc[usize::from(number - sr::EPC1)] = value,
            sr::DEPC => self.depc = value,
            sr::EPS2..=sr::EPS3 => self.eps[usize::from(number - sr::EPS2)] = value & PS_BITS,
            sr::EXCSAVE1..=sr::EXCSAVE3 => {
                self.excsave[usize::from(number - sr::EXCSAVE1)] = value;
            }
            sr::INTERRUPT => {
                self.interrupt |= value & SOFTWARE;
                return Some(Exit::Check);
            }
            sr::INTCLEAR => self.interrupt &= !(value & (SOFTWARE | EDGE_TRIGGERED)),
            sr::INTENABLE => {
                self.intenable = value & INTERRUPTS;
                return Some(Exit::Check);
            }
            sr::PS => {
                self.ps = value & PS_BITS;
                return Some(Exit::Check);
            }
            sr::VECBASE => self.vecbase = value,
            sr::EXCCAUSE => self.exccause = value & 0x3F,
            sr::CCOUNT => {
                self.ccount_offset = value.wrapping_sub(now as u32);
                self.set_timer(now);
                return Some(Exit::Check);
            }
            sr::ICOUNT => self.icount = value,
            sr::ICOUNTLEVEL => {
                self.icountlevel = value & PS_INTLEVEL;
                return Some(Exit::Check);
            }
            sr::EXCVADDR => self.excvaddr = value,
            sr::CCOMPARE0 => {
                self.ccompare = value;
                self.interrupt &= !TIMER;
                self.set_timer(now);
                return Some(Exit::Check);
            }
            // Decoded as illegal.
            _ => {}
        }
        None
    }

    /// RSIL, WAITI: sets the interrupt level.
    pub fn set_level(&mut self, level: u32) {
        self.ps = self.ps & !PS_INTLEVEL | level & PS_INTLEVEL;
    }

    /// RFE: returns to where the exception was.
    pub fn return_from_exception(&mut self) -> u32 {
        self.ps &= !PS_EXCM;
        self.epc[0]
    }

    /// RFDE: returns to the handler that the double exception interrupted; EXCM stays set.
    pub fn return_from_double(&self) -> u32 {
        self.depc
    }

    /// RFI of level 2 or 3.
    pub fn return_from_interrupt(&mut self, level: usize) -> u32 {
        self.ps = self.eps[level - 2];
        self.epc[level - 1]
    }

    /// The instruction at the program counter, from the bus.
    ///
    /// # Errors
    /// The cause and the address that could not be fetched.
    pub fn fetch<B: Bus>(&self, bus: &mut B) -> Result<Op, (Cause, u32)> {
        let mut word = |addr: u32| {
            if self.fetch_denied(addr) {
                return Err((Cause::InstructionFetchProhibited, addr));
            }
            bus.fetch(addr & !3).map_err(|cause| (cause, addr))
        };
        let shift = (self.pc & 3) * 8;
        let mut bits = word(self.pc)? >> shift;
        let missing = (self.pc & 3) + isa::decode::length(bits as u8) > 4;
        if missing {
            bits |= word((self.pc & !3).wrapping_add(4))? << (32 - shift);
        }
        Ok(isa::decode::decode(self.pc, bits))
    }
}
