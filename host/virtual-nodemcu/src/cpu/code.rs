//! Decoded instructions, kept by address.

use std::ops::Range;

use isa::decode::Op;

/// Where the chip executes from: ROM, IRAM and the flash window, 3 MiB in a row. Code
/// elsewhere is decoded each time.
const BASE: u32 = 0x4000_0000;
const SIZE: u32 = 0x0030_0000;
/// What is noted as decoded or not, at once.
const CHUNK: u32 = 4096;
/// The longest instruction.
const LONGEST: u32 = 3;

/// Where the core's loop finds instructions.
pub(super) trait Source {
    /// The instruction at `pc`, if it is known.
    fn get(&self, pc: u32) -> Option<Op>;

    /// Whether a store to `addr` may change what was decoded.
    fn is_used(&self, addr: u32) -> bool;
}

/// One slot for each address: the loop needs no more than one bounds check to find the next
/// instruction, wherever it jumps.
pub(super) struct Code {
    ops: Vec<Op>,
    /// Chunks with anything but [`Op::EMPTY`] in them, or with bytes of an instruction.
    used: Vec<bool>,
}

impl Code {
    pub fn new() -> Self {
        Self { ops: vec![Op::EMPTY; SIZE as usize], used: vec![false; (SIZE / CHUNK) as usize] }
    }

    /// Whether instructions at `addr` are kept.
    pub fn holds(addr: u32) -> bool {
        addr.wrapping_sub(BASE) < SIZE
    }

    /// Keeps what was decoded at `addr`, which must be one that this [`holds`](Self::holds).
    pub fn put(&mut self, addr: u32, op: Op) {
        let offset = addr - BASE;
        self.ops[offset as usize] = op;
        for byte in [offset, offset + LONGEST - 1] {
            if let Some(used) = self.used.get_mut((byte / CHUNK) as usize) {
                *used = true;
            }
        }
    }

    /// Forgets instructions that have a byte in `range`.
    pub fn invalidate(&mut self, range: Range<u32>) {
        // An instruction that begins before the range can reach into it.
        let start = range.start.saturating_sub(LONGEST - 1).clamp(BASE, BASE + SIZE) - BASE;
        let end = range.end.clamp(BASE, BASE + SIZE) - BASE;
        let mut at = start;
        while at < end {
            let chunk = at / CHUNK;
            let next = end.min((chunk + 1) * CHUNK);
            if self.used[chunk as usize] {
                self.ops[at as usize..next as usize].fill(Op::EMPTY);
                // A chunk that is only cleared because of the longer start may still hold the
                // end of an instruction before it.
                if next - at == CHUNK && at + BASE >= range.start {
                    self.used[chunk as usize] = false;
                }
            }
            at = next;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.invalidate(BASE..BASE + SIZE);
    }
}

impl Source for Code {
    #[inline(always)]
    fn get(&self, pc: u32) -> Option<Op> {
        self.ops.get(pc.wrapping_sub(BASE) as usize).copied()
    }

    #[inline(always)]
    fn is_used(&self, addr: u32) -> bool {
        let offset = addr.wrapping_sub(BASE);
        self.used.get((offset / CHUNK) as usize).is_some_and(|&used| used)
    }
}

/// One instruction, and the code that it may overwrite.
pub(super) struct Single<'a> {
    pub pc: u32,
    pub op: Op,
    pub code: &'a Code,
}

impl Source for Single<'_> {
    fn get(&self, pc: u32) -> Option<Op> {
        (pc == self.pc).then_some(self.op)
    }

    fn is_used(&self, addr: u32) -> bool {
        self.code.is_used(addr)
    }
}
