//! Each instruction with its edge values, by what the instruction set says.

mod common;

use common::{IRAM, Memory, assemble};
use virtual_nodemcu::cpu::{Cpu, Stop, sr};

const CODE: u32 = IRAM + 0x1000;
const DATA: u32 = 0x3FFE_8000;

/// A core about to execute `code`, with the vectors at the start of IRAM.
fn machine(code: &[u8]) -> (Cpu, Memory) {
    let mut memory = Memory::new();
    memory.write(CODE, code);
    let mut cpu = Cpu::new();
    cpu.set_pc(CODE);
    cpu.set_special(sr::PS, 0);
    cpu.set_special(sr::VECBASE, IRAM);
    (cpu, memory)
}

/// An instruction, and for values of a2 and a3 what is in a4 then (which was 0xAAAA).
type Case = (&'static str, &'static [(u32, u32, u32)]);

const MIN: u32 = 0x8000_0000;
const MAX: u32 = 0x7FFF_FFFF;
const ONES: u32 = u32::MAX;
const OLD: u32 = 0xAAAA;

#[rustfmt::skip]
const COMPUTE: &[Case] = &[
    ("add a4, a2, a3", &[(1, 2, 3), (ONES, 1, 0), (MAX, 1, MIN)]),
    ("add.n a4, a2, a3", &[(1, 2, 3), (ONES, 1, 0)]),
    ("addx2 a4, a2, a3", &[(3, 1, 7), (MIN, 5, 5)]),
    ("addx4 a4, a2, a3", &[(3, 1, 13), (0xC000_0000, 5, 5)]),
    ("addx8 a4, a2, a3", &[(3, 1, 25), (0xE000_0000, ONES, ONES)]),
    ("sub a4, a2, a3", &[(3, 1, 2), (0, 1, ONES), (MIN, 1, MAX)]),
    ("subx2 a4, a2, a3", &[(3, 1, 5), (MIN, 1, ONES)]),
    ("subx4 a4, a2, a3", &[(3, 1, 11)]),
    ("subx8 a4, a2, a3", &[(3, 1, 23), (0x2000_0000, 0, 0)]),
    ("and a4, a2, a3", &[(0xFF00_FF00, 0xF0F0_F0F0, 0xF000_F000)]),
    ("or a4, a2, a3", &[(0xFF00_FF00, 0xF0F0_F0F0, 0xFFF0_FFF0)]),
    ("xor a4, a2, a3", &[(0xFF00_FF00, 0xF0F0_F0F0, 0x0FF0_0FF0)]),
    ("neg a4, a3", &[(0, 1, ONES), (0, 0, 0), (0, MIN, MIN)]),
    ("abs a4, a3", &[(0, ONES, 1), (0, 5, 5), (0, MIN, MIN), (0, MAX, MAX)]),
    ("addi a4, a2, -128", &[(0, 0, 0xFFFF_FF80), (128, 0, 0)]),
    ("addi a4, a2, 127", &[(1, 0, 128), (ONES, 0, 126)]),
    ("addi.n a4, a2, -1", &[(0, 0, ONES)]),
    ("addi.n a4, a2, 15", &[(ONES, 0, 14)]),
    ("addmi a4, a2, -32768", &[(0, 0, 0xFFFF_8000)]),
    ("addmi a4, a2, 32512", &[(1, 0, 32513)]),
    ("movi a4, -2048", &[(0, 0, 0xFFFF_F800)]),
    ("movi a4, 2047", &[(0, 0, 2047)]),
    ("movi.n a4, -32", &[(0, 0, 0xFFFF_FFE0)]),
    ("movi.n a4, 95", &[(0, 0, 95)]),
    ("mov.n a4, a2", &[(7, 0, 7)]),
    ("moveqz a4, a2, a3", &[(7, 0, 7), (7, 1, OLD), (7, MIN, OLD)]),
    ("movnez a4, a2, a3", &[(7, 0, OLD), (7, 1, 7), (7, MIN, 7)]),
    ("movltz a4, a2, a3", &[(7, 0, OLD), (7, MAX, OLD), (7, MIN, 7)]),
    ("movgez a4, a2, a3", &[(7, 0, 7), (7, MAX, 7), (7, ONES, OLD)]),
    ("mul16u a4, a2, a3", &[(0xFFFF, 0xFFFF, 0xFFFE_0001), (0x7_0003, 0x8_0005, 15)]),
    ("mul16s a4, a2, a3", &[(0xFFFF, 0xFFFF, 1), (0x8000, 0x8000, 0x4000_0000), (0x8000, 1, 0xFFFF_8000)]),
    ("mull a4, a2, a3", &[(0x1_0000, 0x1_0000, 0), (ONES, ONES, 1), (MIN, 3, MIN), (12345, 6789, 83_810_205)]),
    ("nsa a4, a2", &[(0, 0, 31), (ONES, 0, 31), (1, 0, 30), (MIN, 0, 0), (MAX, 0, 0), (0xC000_0000, 0, 1)]),
    ("nsau a4, a2", &[(0, 0, 32), (1, 0, 31), (MIN, 0, 0)]),
    ("slli a4, a2, 1", &[(0xC000_0001, 0, 0x8000_0002)]),
    ("slli a4, a2, 31", &[(3, 0, MIN)]),
    ("srai a4, a3, 0", &[(0, MIN, MIN)]),
    ("srai a4, a3, 31", &[(0, MIN, ONES), (0, MAX, 0)]),
    ("srli a4, a3, 0", &[(0, MIN, MIN)]),
    ("srli a4, a3, 15", &[(0, MIN, 0x1_0000)]),
    ("extui a4, a3, 0, 16", &[(0, 0x1234_5678, 0x5678)]),
    ("extui a4, a3, 31, 1", &[(0, MIN, 1), (0, MAX, 0)]),
    ("extui a4, a3, 16, 16", &[(0, 0xF234_0000, 0xF234)]),
    ("rer a4, a2", &[(0, 0, 0), (0x1000, 0, 0)]),
    ("ritlb0 a4, a2", &[(0x5234_5678, 0, 0x4000_0000)]),
    ("ritlb1 a4, a2", &[(0x5234_5678, 0, 0x4000_0002)]),
    ("rdtlb0 a4, a2", &[(0x5234_5678, 0, 0x4000_0000)]),
    ("rdtlb1 a4, a2", &[(0x5234_5678, 0, 0x4000_0002)]),
    ("pitlb a4, a2", &[(0x5234_5678, 0, 0x4000_0001)]),
    ("pdtlb a4, a2", &[(0x5234_5678, 0, 0x4000_0001)]),
];

/// What the assembler does not know, as a word.
fn encoded(text: &str) -> String {
    // RER: the assembler has no operands for it.
    if text == "rer a4, a2" { ".byte 0x40, 0x62, 0x40".to_owned() } else { text.to_owned() }
}

#[test]
fn arithmetic_logic_and_moves() {
    let text: Vec<_> = COMPUTE.iter().map(|(text, _)| encoded(text)).collect();
    let (mut cpu, mut memory) = machine(&assemble("compute", &text.join("\n")));
    for (text, cases) in COMPUTE {
        let at = cpu.pc();
        for &(a2, a3, expected) in *cases {
            cpu.set_pc(at);
            cpu.set_reg(2, a2);
            cpu.set_reg(3, a3);
            cpu.set_reg(4, OLD);
            assert_eq!(cpu.step(&mut memory), Stop::Budget, "{text}");
            assert_eq!(cpu.reg(4), expected, "{text} with {a2:#x}, {a3:#x}");
            assert_eq!((cpu.reg(2), cpu.reg(3)), (a2, a3), "{text} keeps its sources");
        }
        let length = if text.contains(".n ") { 2 } else { 3 };
        assert_eq!(cpu.pc(), at + length, "{text}");
    }
}

/// SAR, then an instruction with a2 and a3, then what is in a4.
#[test]
fn shifts_by_register() {
    type Case = (&'static str, &'static [(u32, u32, u32, u32)]);
    let cases: &[Case] = &[
        ("sll a4, a2", &[(32, 5, 0, 5), (31, 5, 0, 10), (1, 3, 0, MIN), (0, 5, 0, 0)]),
        ("srl a4, a3", &[(0, 0, MIN, MIN), (31, 0, MIN, 1), (32, 0, ONES, 0)]),
        (
            "sra a4, a3",
            &[(0, 0, MIN, MIN), (31, 0, MIN, ONES), (32, 0, MAX, 0), (32, 0, MIN, ONES)],
        ),
        ("src a4, a2, a3", &[(0, 1, 2, 2), (32, 1, 2, 1), (8, 0x12, 0x3456_7800, 0x1234_5678)]),
    ];
    let text: Vec<_> = cases.iter().map(|(text, _)| *text).collect();
    let (mut cpu, mut memory) = machine(&assemble("shifts", &text.join("\n")));
    for (text, cases) in cases {
        let at = cpu.pc();
        for &(sar, a2, a3, expected) in *cases {
            cpu.set_pc(at);
            cpu.set_special(sr::SAR, sar);
            cpu.set_reg(2, a2);
            cpu.set_reg(3, a3);
            cpu.step(&mut memory);
            assert_eq!(cpu.reg(4), expected, "{text} with SAR {sar}, {a2:#x}, {a3:#x}");
        }
    }
}

#[test]
fn shift_amounts() {
    let cases: &[(&str, &[(u32, u32)])] = &[
        ("ssr a2", &[(0, 0), (31, 31), (33, 1)]),
        ("ssl a2", &[(0, 32), (31, 1), (33, 31)]),
        ("ssa8l a2", &[(0, 0), (3, 24), (4, 0)]),
        ("ssa8b a2", &[(0, 32), (3, 8), (4, 32)]),
        ("ssai 31", &[(0, 31)]),
        ("wsr a2, sar", &[(63, 63), (64, 0)]),
    ];
    let text: Vec<_> = cases.iter().map(|(text, _)| *text).collect();
    let (mut cpu, mut memory) = machine(&assemble("amounts", &text.join("\n")));
    for (text, cases) in cases {
        let at = cpu.pc();
        for &(a2, expected) in *cases {
            cpu.set_pc(at);
            cpu.set_reg(2, a2);
            cpu.step(&mut memory);
            assert_eq!(cpu.special(sr::SAR), Some(expected), "{text} with {a2}");
        }
    }
}

/// Branches to 40 bytes further: with a2 and a3, taken or not.
#[test]
fn branches() {
    type Case = (&'static str, &'static [(u32, u32, bool)]);
    let cases: &[Case] = &[
        ("beq a2, a3", &[(1, 1, true), (1, 2, false)]),
        ("bne a2, a3", &[(1, 1, false), (1, 2, true)]),
        ("blt a2, a3", &[(ONES, 0, true), (0, ONES, false), (1, 1, false), (MIN, MAX, true)]),
        ("bge a2, a3", &[(ONES, 0, false), (0, ONES, true), (1, 1, true)]),
        ("bltu a2, a3", &[(ONES, 0, false), (0, ONES, true), (1, 1, false)]),
        ("bgeu a2, a3", &[(ONES, 0, true), (0, ONES, false), (1, 1, true)]),
        ("bany a2, a3", &[(6, 3, true), (4, 3, false)]),
        ("bnone a2, a3", &[(6, 3, false), (4, 3, true)]),
        ("ball a2, a3", &[(7, 3, true), (5, 3, false), (0, 0, true)]),
        ("bnall a2, a3", &[(7, 3, false), (5, 3, true)]),
        ("bbc a2, a3", &[(MIN, 31, false), (MAX, 31, true), (MIN, 63, false)]),
        ("bbs a2, a3", &[(MIN, 31, true), (MAX, 31, false), (1, 32, true)]),
        ("bbci a2, 0", &[(1, 0, false), (0, 0, true)]),
        ("bbci a2, 31", &[(MIN, 0, false), (MAX, 0, true)]),
        ("bbsi a2, 17", &[(1 << 17, 0, true), (!(1 << 17), 0, false)]),
        ("beqz a2", &[(0, 0, true), (MIN, 0, false)]),
        ("bnez a2", &[(0, 0, false), (MIN, 0, true)]),
        ("bltz a2", &[(0, 0, false), (MIN, 0, true)]),
        ("bgez a2", &[(0, 0, true), (ONES, 0, false)]),
        ("beqz.n a2", &[(0, 0, true), (1, 0, false)]),
        ("bnez.n a2", &[(0, 0, false), (1, 0, true)]),
        ("beqi a2, -1", &[(ONES, 0, true), (0, 0, false)]),
        ("beqi a2, 10", &[(10, 0, true), (9, 0, false)]),
        ("bnei a2, 256", &[(256, 0, false), (255, 0, true)]),
        ("blti a2, 12", &[(11, 0, true), (12, 0, false), (ONES, 0, true)]),
        ("bgei a2, -1", &[(0xFFFF_FFFE, 0, false), (ONES, 0, true), (0, 0, true)]),
        ("bltui a2, 32768", &[(32767, 0, true), (32768, 0, false), (ONES, 0, false)]),
        ("bgeui a2, 65536", &[(65535, 0, false), (65536, 0, true), (ONES, 0, true)]),
        ("j", &[(0, 0, true)]),
    ];
    let text: Vec<_> = cases
        .iter()
        .map(|(text, _)| format!("{text}{} .+40", if *text == "j" { "" } else { "," }))
        .collect();
    let (mut cpu, mut memory) = machine(&assemble("branches", &text.join("\n")));
    let mut at = CODE;
    for (text, cases) in cases {
        let length = if text.contains(".n ") { 2 } else { 3 };
        for &(a2, a3, taken) in *cases {
            cpu.set_pc(at);
            cpu.set_reg(2, a2);
            cpu.set_reg(3, a3);
            cpu.step(&mut memory);
            let expected = at + if taken { 40 } else { length };
            assert_eq!(cpu.pc(), expected, "{text} with {a2:#x}, {a3:#x}");
        }
        at += length;
    }
}

#[test]
fn branches_reach_backwards() {
    let text = "beqz a2, . - 2044\nbeq a2, a2, . - 124\nj . - 131068\nbeqz.n a2, . + 67";
    let (mut cpu, mut memory) = machine(&assemble("backwards", text));
    for (at, offset) in [(0, -2044), (3, -124), (6, -131_068), (9, 67)] {
        cpu.set_pc(CODE + at);
        cpu.step(&mut memory);
        assert_eq!(cpu.pc(), (CODE + at).wrapping_add_signed(offset));
    }
}

#[test]
fn calls_and_returns() {
    // Their targets are in words; the calls stand at every offset in one.
    let text = "call0 . + 8\nnop.n\ncallx0 a2\ncallx0 a0\njx a2\nret\nret.n";
    let (mut cpu, mut memory) = machine(&assemble("calls", text));
    let mut check = |at: u32, pc: u32, a0: u32| {
        cpu.set_pc(CODE + at);
        cpu.set_reg(0, IRAM + 0x1234);
        cpu.set_reg(2, IRAM + 0x4321);
        cpu.step(&mut memory);
        assert_eq!((cpu.pc(), cpu.reg(0)), (pc, a0), "at offset {at}");
    };
    check(0, CODE + 8, CODE + 3);
    check(5, IRAM + 0x4321, CODE + 8);
    // The target is read before a0 is overwritten.
    check(8, IRAM + 0x1234, CODE + 11);
    check(11, IRAM + 0x4321, IRAM + 0x1234);
    check(14, IRAM + 0x1234, IRAM + 0x1234);
    check(17, IRAM + 0x1234, IRAM + 0x1234);
}

#[test]
fn loads_and_stores() {
    let text = "l8ui a4, a2, 255\nl16ui a4, a2, 510\nl16si a4, a2, 510\nl32i a4, a2, 1020
        l32i.n a4, a2, 60\ns8i a3, a2, 255\ns16i a3, a2, 510\ns32i a3, a2, 1020\ns32i.n a3, a2, 60";
    let (mut cpu, mut memory) = machine(&assemble("memory", text));
    cpu.set_reg(2, DATA);
    cpu.set_reg(3, 0x89AB_CDEF);
    memory.write(DATA + 255, &[0xFE]);
    memory.write(DATA + 510, &[0x34, 0x82]);
    memory.write(DATA + 1020, &[1, 2, 3, 0x84]);
    memory.write(DATA + 60, &[5, 6, 7, 8]);
    for expected in [0xFE, 0x8234, 0xFFFF_8234, 0x8403_0201, 0x0807_0605] {
        cpu.step(&mut memory);
        assert_eq!(cpu.reg(4), expected);
    }
    for _ in 0..4 {
        cpu.step(&mut memory);
    }
    assert_eq!(memory.slice(DATA + 254, 3), [0, 0xEF, 0]);
    assert_eq!(memory.slice(DATA + 509, 4), [0, 0xEF, 0xCD, 0]);
    assert_eq!(memory.slice(DATA + 1020, 4), [0xEF, 0xCD, 0xAB, 0x89]);
    assert_eq!(memory.slice(DATA + 60, 4), [0xEF, 0xCD, 0xAB, 0x89]);
}

#[test]
fn literals_by_pc_and_by_base() {
    // At 0, 3, 6, 9: every position in a word. The literal before the code.
    let text = "l32r a4, . - 4\nl32r a4, . - 7\nl32r a4, . - 10\nl32r a4, . - 9";
    let (mut cpu, mut memory) = machine(&assemble("literals", text));
    memory.write(CODE - 4, &[1, 2, 3, 4]);
    for _ in 0..3 {
        cpu.set_reg(4, 0);
        cpu.step(&mut memory);
        assert_eq!(cpu.reg(4), 0x0403_0201);
    }
    // With LITBASE on, 4 below its base (the field is -1 at the first).
    let base = DATA + 0x1000;
    memory.write(base - 4, &[9, 9, 9, 9]);
    cpu.set_special(sr::LITBASE, base | 1);
    cpu.set_pc(CODE);
    cpu.step(&mut memory);
    assert_eq!(cpu.reg(4), 0x0909_0909);
}

/// The order instructions change nothing but the program counter.
#[test]
fn order_instructions() {
    let text = "nop\nnop.n\nmemw\nextw\nisync\nrsync\nesync\ndsync\nexcw\nidtlb a2\niitlb a2";
    let code = assemble("order", text);
    let (mut cpu, mut memory) = machine(&code);
    for n in 0..16 {
        cpu.set_reg(n, 0x1111_1111 * n as u32);
    }
    for _ in text.lines() {
        cpu.step(&mut memory);
    }
    assert_eq!(cpu.pc(), CODE + code.len() as u32);
    assert!((0..16).all(|n| cpu.reg(n) == 0x1111_1111 * n as u32));
    assert_eq!(cpu.instructions(), 11);
}

/// At least 50 million instructions per second of CPU time.
#[test]
fn fast_enough() {
    let image = common::build("speed", &["programs.c"]);
    let mut memory = Memory::new();
    let mut cpu = Cpu::new();
    cpu.stop_at_simcall(true);
    let start = common::cpu_seconds();
    while cpu.instructions() < 100_000_000 {
        common::run_again(&mut cpu, &mut memory, &image, &[], u64::MAX);
    }
    let mips = cpu.instructions() as f64 / 1e6 / (common::cpu_seconds() - start);
    assert!(mips >= 50.0, "{mips:.0} MIPS");
}
