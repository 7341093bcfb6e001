//! Exceptions, interrupts, timer, debug facilities, and what the host can do with the core.

mod common;

use std::ops::Range;

use common::{IRAM, Memory, assemble};
use virtual_nodemcu::cpu::{Bus, Cause, Cpu, Instruction, Signals, Stop, Trace, sr};

const CODE: u32 = IRAM + 0x1000;
const DATA: u32 = 0x3FFE_8000;
const FLASH: u32 = 0x4020_0000;

const DEBUG: u32 = IRAM + 0x10;
const NMI: u32 = IRAM + 0x20;
const KERNEL: u32 = IRAM + 0x30;
const USER: u32 = IRAM + 0x50;
const DOUBLE: u32 = IRAM + 0x70;

const EXCM: u32 = 0x10;
const UM: u32 = 0x20;

/// Storing here sets the interrupt lines, the next asks for a stop, the third flips a byte of
/// code behind the core's back and says so.
const LINES: u32 = 0x6000_0000;
const STOP: u32 = 0x6000_0004;
const REMAP: u32 = 0x6000_0008;
/// Reads the cycle and takes back all lines.
const CLOCK: u32 = 0x6000_000C;

/// Memory with a device and with the chip's rule for IRAM and flash: words only.
struct Board {
    memory: Memory,
    signals: Signals,
    fetches: u32,
}

impl Board {
    fn words_only(addr: u32) -> Result<(), Cause> {
        if addr >= 0x4000_0000 { Err(Cause::LoadStoreError) } else { Ok(()) }
    }
}

impl Bus for Board {
    fn fetch(&mut self, addr: u32) -> Result<u32, Cause> {
        self.fetches += 1;
        self.memory.fetch(addr)
    }
    fn load8(&mut self, addr: u32, now: u64) -> Result<u8, Cause> {
        Self::words_only(addr)?;
        self.memory.load8(addr, now)
    }
    fn load16(&mut self, addr: u32, now: u64) -> Result<u16, Cause> {
        Self::words_only(addr)?;
        self.memory.load16(addr, now)
    }
    fn load32(&mut self, addr: u32, now: u64) -> Result<u32, Cause> {
        if addr == CLOCK {
            self.signals.lines = 0;
            return Ok(now as u32);
        }
        self.memory.load32(addr, now)
    }
    fn store8(&mut self, addr: u32, value: u8, now: u64) -> Result<(), Cause> {
        Self::words_only(addr)?;
        self.memory.store8(addr, value, now)
    }
    fn store16(&mut self, addr: u32, value: u16, now: u64) -> Result<(), Cause> {
        Self::words_only(addr)?;
        self.memory.store16(addr, value, now)
    }
    fn store32(&mut self, addr: u32, value: u32, now: u64) -> Result<(), Cause> {
        match addr {
            LINES => self.signals.lines = value,
            STOP => self.signals.stop = true,
            REMAP => {
                let first = self.memory.slice(value, 1);
                first[0] ^= 0x10;
                self.signals.invalidate = Some(value..value + 1);
            }
            _ => return self.memory.store32(addr, value, now),
        }
        Ok(())
    }
    fn is_device(addr: u32) -> bool {
        addr >= LINES
    }
    fn signals(&mut self) -> Signals {
        let signals = self.signals.clone();
        self.signals.stop = false;
        self.signals.invalidate = None;
        signals
    }
}

/// A core in kernel mode, level 0, about to execute the text; every vector is a loop to itself.
fn machine(name: &str, text: &str) -> (Cpu, Board) {
    let mut board = Board { memory: Memory::new(), signals: Signals::default(), fetches: 0 };
    board.memory.write(CODE, &assemble(name, text));
    for vector in [DEBUG, NMI, KERNEL, USER, DOUBLE] {
        board.memory.write(vector, &[0x06, 0xFF, 0xFF]); // j .
    }
    let mut cpu = Cpu::new();
    cpu.set_pc(CODE);
    cpu.set_special(sr::PS, 0);
    cpu.set_special(sr::VECBASE, IRAM);
    (cpu, board)
}

/// Some special registers at once.
fn get<const N: usize>(cpu: &Cpu, numbers: [u8; N]) -> [u32; N] {
    numbers.map(|number| cpu.special(number).expect("a readable register"))
}

fn steps(cpu: &mut Cpu, board: &mut Board, count: u32) {
    for _ in 0..count {
        assert_eq!(cpu.step(board), Stop::Budget);
    }
}

#[test]
fn after_reset() {
    let (mut cpu, mut board) = machine("reset", "movi a2, 1\nj . - 3");
    cpu.add_breakpoint(CODE + 3);
    cpu.set_lines(1 | 1 << 8);
    assert_eq!(cpu.run(&mut board, 100), Stop::Breakpoint);
    cpu.set_special(sr::INTENABLE, ONES);
    cpu.reset();
    assert_eq!(cpu.pc(), 0x4000_0080, "the ROM's reset vector");
    assert_eq!(get(&cpu, [sr::PS, sr::VECBASE, sr::INTENABLE]), [0x1F, 0x4000_0000, 0]);
    assert_eq!(get(&cpu, [sr::INTERRUPT]), [1], "inputs stay, what was latched goes");
    assert_eq!(cpu.reg(2), 0);
    assert_eq!((cpu.cycles(), get(&cpu, [sr::CCOUNT])), (1, [0]));
}

const ONES: u32 = u32::MAX;

/// The cause, vector and saved state of each exception, from user and kernel mode and inside a
/// handler.
#[test]
fn exceptions() {
    use sr::{DEPC, EPC1, EXCCAUSE, EXCVADDR};
    let text = "ill\nill.n\nsyscall\nsimcall
        l32i a4, a6, 0\nl16ui a4, a6, 0\nl16si a4, a6, 0\ns32i a4, a7, 0\ns16i a4, a6, 0
        l8ui a4, a3, 0\nl16ui a4, a3, 0\ns8i a4, a3, 0\ns16i a4, a3, 0
        l32i a4, a5, 0\ns32i a4, a5, 0\njx a5";
    let cases: &[(&str, u32, Option<u32>)] = &[
        ("ill", 0, None),
        ("ill.n", 0, None),
        ("syscall", 1, None),
        ("simcall", 0, None),
        ("l32i", 9, Some(DATA + 1)),
        ("l16ui", 9, Some(DATA + 1)),
        ("l16si", 9, Some(DATA + 1)),
        ("s32i", 9, Some(DATA + 2)),
        ("s16i", 9, Some(DATA + 1)),
        ("l8ui of flash", 3, Some(FLASH)),
        ("l16ui of flash", 3, Some(FLASH)),
        ("s8i to flash", 3, Some(FLASH)),
        ("s16i to flash", 3, Some(FLASH)),
        ("l32i of a hole", 28, Some(0x10)),
        ("s32i to a hole", 29, Some(0x10)),
    ];
    let (mut cpu, mut board) = machine("exceptions", text);
    cpu.set_reg(3, FLASH);
    cpu.set_reg(5, 0x10);
    cpu.set_reg(6, DATA + 1);
    cpu.set_reg(7, DATA + 2);
    let mut at = CODE;
    for &(name, cause, addr) in cases {
        for (ps, vector) in [(0, KERNEL), (UM, USER), (EXCM, DOUBLE), (UM | EXCM, DOUBLE)] {
            cpu.set_pc(at);
            cpu.set_special(sr::PS, ps);
            cpu.set_special(EPC1, 0);
            cpu.set_special(DEPC, 0);
            cpu.set_special(EXCVADDR, 0);
            cpu.set_reg(4, 0xA4);
            steps(&mut cpu, &mut board, 1);
            let double = vector == DOUBLE;
            let saved = if double { [0, at] } else { [at, 0] };
            assert_eq!(cpu.pc(), vector, "{name}");
            assert_eq!(get(&cpu, [EPC1, DEPC]), saved, "{name}");
            assert_eq!(get(&cpu, [EXCCAUSE, sr::PS]), [cause, ps | EXCM], "{name}");
            assert_eq!(get(&cpu, [EXCVADDR]), [addr.unwrap_or(0)], "{name}");
            assert_eq!(cpu.reg(4), 0xA4, "{name} has no effect");
        }
        at += if name == "ill.n" { 2 } else { 3 };
    }
    // A jump into nothing faults at its target.
    cpu.set_pc(at);
    cpu.set_special(sr::PS, 0);
    steps(&mut cpu, &mut board, 2);
    assert_eq!(cpu.pc(), KERNEL);
    assert_eq!(get(&cpu, [EPC1, EXCCAUSE, EXCVADDR]), [0x10, 20, 0x10]);
}

#[test]
fn returns_from_exceptions() {
    let (mut cpu, mut board) = machine("returns", "rfe\nrfde\nrfi 2\nrfi 3\nrfi 1");
    cpu.set_special(sr::EPC1, 0x4010_0101);
    cpu.set_special(sr::DEPC, 0x4010_0202);
    cpu.set_special(sr::EPC2, 0x4010_0303);
    cpu.set_special(sr::EPS2, 0x21);
    cpu.set_special(sr::EPC3, 0x4010_0404);
    cpu.set_special(sr::EPS3, 0x02);
    for (i, (pc, ps)) in
        [(0x4010_0101, 0x23), (0x4010_0202, 0x33), (0x4010_0303, 0x21), (0x4010_0404, 0x02)]
            .into_iter()
            .enumerate()
    {
        cpu.set_pc(CODE + 3 * i as u32);
        cpu.set_special(sr::PS, 0x33);
        steps(&mut cpu, &mut board, 1);
        assert_eq!((cpu.pc(), get(&cpu, [sr::PS])), (pc, [ps]));
    }
    cpu.set_pc(CODE + 12);
    steps(&mut cpu, &mut board, 1);
    assert_eq!(get(&cpu, [sr::EXCCAUSE, sr::EPC1]), [0, CODE + 12], "rfi 1 is illegal");
}

/// Level and edge inputs, software interrupt: pending, enabled, masked, taken, cleared.
#[test]
fn level_1_interrupts() {
    let text = "nop\nnop\nwsr a2, intset\nnop\nwsr a2, intclear\nnop";
    let (mut cpu, mut board) = machine("level1", text);
    let interrupt = |cpu: &Cpu| get(cpu, [sr::INTERRUPT])[0];
    // Level-triggered: pending as long as the input is high.
    cpu.set_lines(1 << 5);
    assert_eq!(interrupt(&cpu), 1 << 5);
    cpu.set_special(sr::INTCLEAR, ONES);
    assert_eq!(interrupt(&cpu), 1 << 5);
    cpu.set_lines(0);
    assert_eq!(interrupt(&cpu), 0);
    // Edge-triggered: pending from the rise until cleared.
    cpu.set_lines(1 << 10);
    cpu.set_lines(0);
    assert_eq!(interrupt(&cpu), 1 << 10);
    cpu.set_special(sr::INTCLEAR, 1 << 10);
    assert_eq!(interrupt(&cpu), 0);
    cpu.set_lines(1 << 10);
    cpu.set_special(sr::INTCLEAR, 1 << 10);
    cpu.set_lines(1 << 10);
    assert_eq!(interrupt(&cpu), 0, "no rise, no interrupt");
    // Neither of them nor the timer can be set by software.
    cpu.set_special(sr::INTERRUPT, ONES);
    assert_eq!(interrupt(&cpu), 1 << 7);
    cpu.set_special(sr::INTCLEAR, ONES);
    // Not enabled, then masked by level, then by EXCM, then taken.
    cpu.set_lines(1);
    steps(&mut cpu, &mut board, 1);
    assert_eq!(cpu.pc(), CODE + 3);
    cpu.set_special(sr::INTENABLE, 0x81);
    for ps in [1, 15, EXCM] {
        cpu.set_pc(CODE);
        cpu.set_special(sr::PS, ps);
        steps(&mut cpu, &mut board, 1);
        assert_eq!(cpu.pc(), CODE + 3, "masked by PS {ps:#x}");
    }
    cpu.set_special(sr::PS, UM);
    assert_eq!(cpu.run(&mut board, 1), Stop::Budget);
    assert_eq!(cpu.pc(), USER);
    assert_eq!(
        get(&cpu, [sr::EPC1, sr::EXCCAUSE, sr::PS]),
        [CODE + 3, Cause::Level1Interrupt as u32, UM | EXCM]
    );
    // A software interrupt is taken right behind the instruction that sets it.
    cpu.set_lines(0);
    cpu.set_special(sr::PS, 0);
    cpu.set_pc(CODE + 6);
    cpu.set_reg(2, 0x80);
    assert_eq!(cpu.run(&mut board, 5), Stop::Budget);
    assert_eq!((cpu.pc(), get(&cpu, [sr::EPC1])), (KERNEL, [CODE + 9]));
}

#[test]
fn nmi_cannot_be_masked() {
    let (mut cpu, mut board) = machine("nmi", "nop\nnop");
    cpu.set_special(sr::PS, 0x3F);
    cpu.set_lines(1 << 14);
    steps(&mut cpu, &mut board, 1);
    assert_eq!(cpu.pc(), NMI);
    assert_eq!(get(&cpu, [sr::EPC3, sr::EPS3, sr::PS]), [CODE, 0x3F, UM | EXCM | 3]);
    steps(&mut cpu, &mut board, 3);
    assert_eq!(cpu.pc(), NMI, "taken once: it is an edge");
    assert_eq!(get(&cpu, [sr::EPC3]), [CODE]);
    cpu.set_lines(0);
    cpu.set_lines(1 << 14);
    steps(&mut cpu, &mut board, 1);
    assert_eq!(get(&cpu, [sr::EPC3, sr::EPS3]), [NMI, UM | EXCM | 3], "even inside itself");
}

/// CCOUNT counts instructions; CCOMPARE0 raises interrupt 6 when they are equal, writing it
/// clears it.
#[test]
fn timer() {
    let text = "rsr a2, ccount\nrsr a3, ccount\naddi a3, a3, 6\nwsr a3, ccompare0\nnop\nnop\nnop\nnop\nnop";
    let (mut cpu, mut board) = machine("timer", text);
    cpu.set_special(sr::CCOMPARE0, 1000);
    cpu.set_special(sr::CCOUNT, 0xFFFF_FFFE);
    cpu.set_special(sr::INTENABLE, 1 << 6);
    assert_eq!(cpu.run(&mut board, 20), Stop::Budget);
    assert_eq!(cpu.reg(2), 0xFFFF_FFFE);
    assert_eq!(cpu.reg(3), 5, "the count at the second instruction and 6, past the wrap");
    // The first instruction was at the count -2, so at the count 5 the eighth was next.
    assert_eq!(get(&cpu, [sr::EPC1, sr::INTERRUPT]), [CODE + 7 * 3, 1 << 6]);
    cpu.set_special(sr::INTCLEAR, ONES);
    assert_eq!(get(&cpu, [sr::INTERRUPT]), [1 << 6]);
    cpu.set_special(sr::CCOMPARE0, 5);
    assert_eq!(get(&cpu, [sr::INTERRUPT]), [0]);
    // Next time after the counter went round.
    cpu.set_special(sr::PS, EXCM);
    cpu.set_special(sr::CCOUNT, 0);
    assert_eq!(cpu.run(&mut board, 4), Stop::Budget);
    assert_eq!(get(&cpu, [sr::INTERRUPT]), [0]);
    cpu.run(&mut board, 1);
    assert_eq!(get(&cpu, [sr::INTERRUPT]), [1 << 6]);
}

#[test]
fn waiti_sleeps_until_an_interrupt() {
    let (mut cpu, mut board) = machine("waiti", "waiti 0\nnop");
    cpu.set_special(sr::PS, 3);
    cpu.set_special(sr::INTENABLE, 0x41);
    cpu.set_special(sr::CCOMPARE0, 1000);
    // Not past the budget, nor past the timer.
    assert_eq!(cpu.run(&mut board, 100), Stop::Budget);
    assert!(cpu.waiting());
    assert_eq!((cpu.cycles(), cpu.instructions(), cpu.pc()), (100, 1, CODE + 3));
    assert_eq!(get(&cpu, [sr::PS]), [0]);
    cpu.run(&mut board, 901);
    assert!(!cpu.waiting());
    assert_eq!((cpu.cycles(), cpu.instructions(), cpu.pc()), (1001, 2, KERNEL));
    assert_eq!(get(&cpu, [sr::EPC1]), [CODE + 3]);
    // An input from outside wakes it too; one that is masked does not.
    for (level, awake) in [(0, true), (1, false)] {
        let (mut cpu, mut board) = machine("waiti-masked", &format!("waiti {level}\nnop"));
        cpu.set_special(sr::INTENABLE, 1);
        cpu.run(&mut board, 10);
        cpu.set_lines(1);
        cpu.run(&mut board, 1);
        assert_eq!(cpu.waiting(), !awake);
    }
}

#[test]
fn break_goes_to_the_debug_vector() {
    let (mut cpu, mut board) = machine("break", "break 1, 2\nbreak.n 1\nnop");
    for (at, cause) in [(CODE, 8), (CODE + 3, 0x10)] {
        cpu.set_pc(at);
        cpu.set_special(sr::PS, UM | 1);
        steps(&mut cpu, &mut board, 1);
        assert_eq!(cpu.pc(), DEBUG);
        assert_eq!(
            get(&cpu, [sr::DEBUGCAUSE, sr::EPC2, sr::EPS2, sr::PS]),
            [cause, at, UM | 1, UM | EXCM | 2]
        );
        // At its own level it does nothing.
        cpu.set_pc(at);
        steps(&mut cpu, &mut board, 1);
        assert_eq!(cpu.pc(), if at == CODE { CODE + 3 } else { CODE + 5 });
    }
}

#[test]
fn instruction_breakpoint_register() {
    let text = "wsr a2, ibreaka0\nwsr a3, ibreakenable\nmovi a4, 1\nmovi a4, 2";
    let (mut cpu, mut board) = machine("ibreak", text);
    // Decoded before, so that the register has to reach what is kept.
    cpu.set_pc(CODE + 6);
    steps(&mut cpu, &mut board, 0);
    cpu.run(&mut board, 2);
    cpu.set_pc(CODE);
    cpu.set_reg(2, CODE + 9);
    cpu.set_reg(3, 1);
    assert_eq!(cpu.run(&mut board, 20), Stop::Budget);
    assert_eq!((cpu.pc(), cpu.reg(4)), (DEBUG, 1));
    assert_eq!(get(&cpu, [sr::DEBUGCAUSE, sr::EPC2]), [2, CODE + 9]);
    // Disabled, or at debug level, it is passed.
    for (enabled, ps) in [(0, 0), (1, 2)] {
        cpu.set_special(sr::IBREAKENABLE, enabled);
        cpu.set_special(sr::PS, ps);
        cpu.set_pc(CODE + 9);
        cpu.run(&mut board, 1);
        assert_eq!((cpu.pc(), cpu.reg(4)), (CODE + 12, 2));
    }
}

#[test]
fn data_breakpoint_register() {
    let text = "l32i a4, a2, 0\ns8i a4, a2, 3\nl32i a4, a2, 4";
    let (mut cpu, mut board) = machine("dbreak", text);
    cpu.set_reg(2, DATA);
    cpu.set_special(sr::DBREAKA0, DATA);
    // A mask of 4 bytes, stores only.
    cpu.set_special(sr::DBREAKC0, 1 << 31 | 0x3C);
    assert_eq!(cpu.run(&mut board, 20), Stop::Budget);
    assert_eq!(cpu.pc(), DEBUG);
    assert_eq!(get(&cpu, [sr::DEBUGCAUSE, sr::EPC2]), [4, CODE + 3]);
    // Loads only: the store passes, and the neighbour.
    for (pc, hit) in [(CODE, true), (CODE + 3, false), (CODE + 6, false)] {
        cpu.set_special(sr::DBREAKC0, 1 << 30 | 0x3C);
        cpu.set_special(sr::PS, 0);
        cpu.set_pc(pc);
        cpu.run(&mut board, 1);
        assert_eq!(cpu.pc() == DEBUG, hit, "{pc:#x}");
    }
}

/// ICOUNT lets one instruction pass when it is set to -2, as a debugger single-steps.
#[test]
fn icount_single_steps() {
    let (mut cpu, mut board) = machine("icount", "nop\nnop\nnop");
    cpu.set_special(sr::ICOUNT, ONES - 1);
    cpu.set_special(sr::ICOUNTLEVEL, 1);
    assert_eq!(cpu.run(&mut board, 20), Stop::Budget);
    assert_eq!(cpu.pc(), DEBUG);
    assert_eq!(get(&cpu, [sr::DEBUGCAUSE, sr::EPC2]), [1, CODE + 3]);
}

/// The ROM sets attributes of 512 MB regions; what they forbid raises the exceptions.
#[test]
fn region_protection() {
    let text = "wdtlb a2, a3\nl32i a4, a3, 0\ns32i a4, a3, 0\nwitlb a2, a5\nnop";
    let (mut cpu, mut board) = machine("regions", text);
    cpu.set_reg(2, 15);
    cpu.set_reg(3, DATA);
    cpu.set_reg(5, 0x4000_0000);
    steps(&mut cpu, &mut board, 2);
    assert_eq!((cpu.pc(), get(&cpu, [sr::EXCCAUSE, sr::EXCVADDR])), (KERNEL, [28, DATA]));
    cpu.set_pc(CODE + 6);
    steps(&mut cpu, &mut board, 1);
    assert_eq!(get(&cpu, [sr::EXCCAUSE, sr::EXCVADDR]), [29, DATA]);
    cpu.set_pc(CODE + 9);
    cpu.set_special(sr::PS, 0);
    steps(&mut cpu, &mut board, 2);
    assert_eq!(get(&cpu, [sr::EXCCAUSE, sr::EPC1]), [20, CODE + 12]);
}

#[test]
fn devices_change_interrupts_at_once() {
    // Raise input 3 by a store, take it back by a load.
    let text = "s32i a2, a3, 0\nnop\nl32i a4, a3, 12\nrsr a5, interrupt\nnop";
    let (mut cpu, mut board) = machine("devices", text);
    cpu.set_reg(2, 1 << 3);
    cpu.set_reg(3, LINES);
    assert_eq!(cpu.run(&mut board, 4), Stop::Budget);
    assert_eq!(cpu.reg(4), 2, "the cycle of the access");
    assert_eq!(cpu.reg(5), 0);
    cpu.set_pc(CODE);
    cpu.set_special(sr::INTENABLE, 1 << 3);
    assert_eq!(cpu.run(&mut board, 3), Stop::Budget);
    assert_eq!((cpu.pc(), get(&cpu, [sr::EPC1])), (KERNEL, [CODE + 3]));
}

#[test]
fn devices_stop_the_run() {
    let (mut cpu, mut board) = machine("stop", "s32i a2, a3, 4\nmovi a2, 9\nnop");
    cpu.set_reg(3, LINES);
    assert_eq!(cpu.run(&mut board, 100), Stop::Requested);
    assert_eq!((cpu.pc(), cpu.reg(2), cpu.cycles()), (CODE + 3, 0, 1));
    assert_eq!(cpu.run(&mut board, 1), Stop::Budget);
    assert_eq!(cpu.reg(2), 9);
    cpu.set_pc(CODE);
    assert_eq!(cpu.step(&mut board), Stop::Requested);
    assert_eq!(STOP, LINES + 4);
}

/// Code changes: by the core's own store, by the bus, by the host.
#[test]
fn changed_code_is_noticed() {
    // The first instruction is movi.n a4, 1; twice round the loop, the store between.
    let text = "movi.n a4, 1\nadd a5, a5, a4\nbnez a6, . + 12\naddi a6, a6, 1\ns32i a2, a3, 0
        j . - 14\nnop";
    let run = |name: &str, a3: u32, a2: u32| {
        let (mut cpu, mut board) = machine(name, text);
        cpu.set_reg(2, a2);
        cpu.set_reg(3, a3);
        assert_eq!(cpu.run(&mut board, 9), Stop::Budget);
        cpu.reg(5)
    };
    let word = |first: u8| u32::from_le_bytes([first, 0x14, 0x40, 0x55]);
    assert_eq!(assemble("changed", text)[..4], word(0x0C).to_le_bytes());
    assert_eq!(run("changed-store", CODE, word(0x1C)), 1 + 17);
    assert_eq!(run("changed-bus", REMAP, CODE), 1 + 17);

    let (mut cpu, mut board) = machine("changed-host", text);
    cpu.run(&mut board, 1);
    board.memory.write(CODE, &[0x1C]);
    cpu.set_pc(CODE);
    cpu.run(&mut board, 1);
    assert_eq!(cpu.reg(4), 1, "not said, not seen");
    cpu.invalidate(CODE..CODE + 1);
    cpu.set_pc(CODE);
    cpu.run(&mut board, 1);
    assert_eq!(cpu.reg(4), 17);
}

/// Instructions that lie across a word, and across the 4 KB in which changes are noted.
#[test]
fn instructions_across_boundaries() {
    for offset in [1, 2, 3, 4093, 4094, 4095] {
        let (mut cpu, mut board) = machine("across", "nop");
        let at = FLASH + offset;
        board.memory.write(at, &[0x42, 0xA0, 5, 0x3D, 0xF0]); // movi a4, 5; nop.n
        cpu.set_pc(at);
        cpu.run(&mut board, 2);
        assert_eq!((cpu.pc(), cpu.reg(4)), (at + 5, 5), "{offset}");
        // Its last byte is changed.
        board.memory.write(at + 2, &[6]);
        cpu.invalidate(at + 2..at + 3);
        cpu.set_pc(at);
        cpu.run(&mut board, 1);
        assert_eq!(cpu.reg(4), 6, "{offset}");
        // All of the next part is forgotten, then a store goes to the instruction's end.
        cpu.invalidate(FLASH + 4096 + 2..FLASH + 3 * 4096);
        let store = CODE + 0x100;
        board.memory.write(store, &[0x32, 0x62, 0]); // s32i a3, a2, 0
        cpu.set_reg(2, (at + 2) & !3);
        let word = board.memory.load32((at + 2) & !3, 0).expect("memory");
        cpu.set_reg(3, word.wrapping_add(1 << ((at + 2) % 4 * 8)));
        cpu.set_pc(store);
        cpu.run(&mut board, 1);
        cpu.set_pc(at);
        cpu.run(&mut board, 1);
        assert_eq!(cpu.reg(4), 7, "{offset}");
    }
}

#[test]
fn code_is_fetched_once() {
    let (mut cpu, mut board) = machine("once", "nop\nj . - 3");
    cpu.run(&mut board, 1000);
    assert!(board.fetches <= 4, "{} fetches", board.fetches);
}

#[test]
fn hooks_are_functions_of_the_host() {
    let (mut cpu, mut board) = machine("hooks", "callx0 a3\nmov.n a5, a2\nnop");
    // Nothing can be fetched there.
    let rom = 0x5000_1234;
    let mapped = 0x4000_2000;
    for addr in [rom, mapped] {
        cpu.add_hook(addr);
        cpu.set_reg(3, addr);
        cpu.set_reg(2, 20);
        cpu.set_pc(CODE);
        assert_eq!(cpu.run(&mut board, 100), Stop::Hook);
        assert_eq!((cpu.pc(), cpu.reg(0)), (addr, CODE + 3));
        assert_eq!(cpu.run(&mut board, 100), Stop::Hook, "it stays until something is done");
        cpu.set_reg(2, cpu.reg(2) + 1);
        cpu.return_from_call();
        cpu.run(&mut board, 1);
        assert_eq!((cpu.pc(), cpu.reg(5)), (CODE + 5, 21));
        cpu.remove_hook(addr);
    }
    cpu.set_pc(rom);
    cpu.run(&mut board, 1);
    assert_eq!(cpu.pc(), KERNEL, "without the hook it is a fault");
}

#[test]
fn breakpoints() {
    let (mut cpu, mut board) = machine("breakpoints", "addi a2, a2, 1\naddi a3, a3, 1\nj . - 6");
    cpu.run(&mut board, 30);
    cpu.add_breakpoint(CODE + 3);
    cpu.set_pc(CODE);
    let before = (cpu.reg(2), cpu.reg(3));
    for n in 1..4 {
        assert_eq!(cpu.run(&mut board, 100), Stop::Breakpoint);
        assert_eq!(cpu.pc(), CODE + 3);
        assert_eq!((cpu.reg(2), cpu.reg(3)), (before.0 + n, before.1 + n - 1));
    }
    // Stepping passes it and does not hit it again by itself.
    assert_eq!(cpu.step(&mut board), Stop::Budget);
    assert_eq!(cpu.pc(), CODE + 6);
    cpu.remove_breakpoint(CODE + 3);
    assert_eq!(cpu.run(&mut board, 100), Stop::Budget);
    // A breakpoint where the core was put by hand stops at once.
    cpu.add_breakpoint(CODE);
    cpu.set_pc(CODE);
    assert_eq!(cpu.run(&mut board, 100), Stop::Breakpoint);
}

#[test]
fn watchpoints() {
    let text = "l32i a4, a2, 0\ns8i a4, a2, 5\nl8ui a4, a2, 5\nl8ui a4, a2, 6";
    let (mut cpu, mut board) = machine("watchpoints", text);
    cpu.set_reg(2, DATA);
    let watch: Range<u32> = DATA + 5..DATA + 6;
    cpu.add_watchpoint(watch.clone(), false, true);
    let stop = Stop::Watchpoint { addr: DATA + 5, write: true };
    assert_eq!(cpu.run(&mut board, 4), stop);
    assert_eq!(cpu.pc(), CODE + 6);
    assert_eq!(cpu.run(&mut board, 2), Stop::Budget, "loads are not watched");
    cpu.remove_watchpoint(watch.clone(), false, true);
    cpu.add_watchpoint(watch, true, false);
    cpu.set_pc(CODE + 3);
    assert_eq!(cpu.step(&mut board), Stop::Budget);
    let stop = Stop::Watchpoint { addr: DATA + 5, write: false };
    assert_eq!(cpu.step(&mut board), stop);
    // A word that reaches into the range from below.
    cpu.add_watchpoint(DATA + 3..DATA + 4, true, true);
    cpu.set_pc(CODE);
    assert_eq!(cpu.run(&mut board, 4), Stop::Watchpoint { addr: DATA, write: false });
}

#[test]
fn trace_sees_all() {
    #[derive(Default)]
    struct Log(Vec<String>);
    impl Trace for Log {
        fn instruction(&mut self, at: Instruction, registers: &[u32; 16], cycle: u64) {
            self.0.push(format!("{:x} {at} a2={} @{cycle}", at.pc() - IRAM, registers[2]));
        }
        fn exception(&mut self, cause: Cause, pc: u32, addr: Option<u32>) {
            self.0.push(format!("{cause:?} {:x} {addr:x?}", pc - IRAM));
        }
        fn interrupt(&mut self, level: u32, pc: u32, pending: u32) {
            self.0.push(format!("interrupt {level} {:x} {pending:#x}", pc - IRAM));
        }
    }
    let (mut cpu, mut board) = machine("trace", "movi a2, 7\nwsr a3, intset\nl32i a4, a2, 0");
    cpu.set_reg(3, 0x80);
    cpu.set_special(sr::INTENABLE, 0x80);
    let mut log = Log::default();
    cpu.run_traced(&mut board, &mut log, 3);
    cpu.set_special(sr::INTENABLE, 0);
    cpu.set_pc(CODE + 6);
    cpu.run_traced(&mut board, &mut log, 1);
    assert_eq!(
        log.0,
        [
            "1000 movi a2, 7 a2=0 @0",
            "1003 wsr.intset a3 a2=7 @1",
            "interrupt 1 1006 0x80",
            "30 j 40100030 a2=7 @2",
            "1006 l32i a4, a2, 0 a2=7 @3",
            "LoadStoreAlignment 1006 Some(7)",
        ]
    );
}

#[test]
fn registers_that_do_not_exist() {
    let (mut cpu, _) = machine("registers", "nop");
    assert_eq!(cpu.special(sr::INTCLEAR), None, "write only");
    assert_eq!(cpu.special(224), None, "CPENABLE");
    assert!(!cpu.set_special(sr::PRID, 1), "read only");
    assert!(!cpu.set_special(97, 1), "MEMCTL");
    assert!(cpu.set_special(sr::PS, ONES));
    assert_eq!(cpu.special(sr::PS), Some(0x3F), "bits of windows and rings are not there");
    assert_eq!(get(&cpu, [sr::CONFIGID0, sr::CONFIGID1]), [0xC28C_DAFA, 0x1082_B6F6]);
}

/// Simulator calls stop only where they are asked for.
#[test]
fn simcall() {
    let (mut cpu, mut board) = machine("simcall", "simcall\nnop");
    cpu.stop_at_simcall(true);
    assert_eq!(cpu.run(&mut board, 10), Stop::Simcall);
    assert_eq!(cpu.pc(), CODE + 3);
    cpu.stop_at_simcall(false);
    cpu.set_pc(CODE);
    cpu.run(&mut board, 1);
    assert_eq!((cpu.pc(), get(&cpu, [sr::EXCCAUSE])), (KERNEL, [0]));
}

/// One budget or many small ones: the same.
#[test]
fn slices_do_not_matter() {
    let text = "rsr a3, ccount\naddi a3, a3, 9\nwsr a3, ccompare0\nadd a4, a4, a3\nmull a5, a4, a3
        addi a2, a2, 1\nj . - 9";
    let handler = "rsr a6, ccount\naddi a6, a6, 11\nwsr a6, ccompare0\naddi a7, a7, 1\nrfe";
    let state = |slices: &[u64]| {
        let (mut cpu, mut board) = machine("slices", text);
        cpu.set_special(sr::INTENABLE, 1 << 6);
        board.memory.write(KERNEL, &assemble("slices-handler", handler));
        let mut left = 500;
        for slice in slices.iter().cycle() {
            let budget = left.min(*slice);
            assert_eq!(cpu.run(&mut board, budget), Stop::Budget);
            left -= budget;
            if left == 0 {
                break;
            }
        }
        let registers: Vec<_> = (0..16).map(|n| cpu.reg(n)).collect();
        (registers, cpu.pc(), cpu.cycles(), get(&cpu, [sr::EPC1, sr::PS, sr::INTERRUPT]))
    };
    let whole = state(&[500]);
    assert_eq!(whole.2, 500);
    assert!(whole.0[7] > 20, "{} interrupts", whole.0[7]);
    assert_eq!(whole, state(&[1]));
    assert_eq!(whole, state(&[7, 3, 0, 2]));
}
