//! The core against QEMU's: streams of instructions give the same registers and memory.
//!
//! `tests/driver/driver.S` runs the streams on both.

mod common;

use common::{IRAM, Image, Random, build, run_on_cpu, run_on_qemu};
use virtual_nodemcu::cpu::sr;

const CONTEXTS: u32 = 0x4000_0000;
const STREAMS: u32 = IRAM + 0x2000;
const RESULTS: u32 = 0x4020_0000;
/// Words of a record, and where in it a stream has its memory.
const RECORD: usize = 48;
const SCRATCH: usize = 32;
/// What fits the memory for records.
const BATCH: usize = 5000;

const SYSCALL: u32 = 0x00_5000;

/// Instructions, and with what to start them.
struct Stream {
    /// Shift amounts come from SSL and SSA8B; without SRL and SRA then: QEMU takes 32 for 0 in
    /// these when the amount was set in the same translation block.
    left: bool,
    code: Vec<u8>,
    ps: u32,
    sar: u32,
    a: [u32; 16],
    scratch: [u32; RECORD - SCRATCH],
}

impl Stream {
    /// An empty one, with registers and memory at random; a1 points to the memory.
    fn new(random: &mut Random, index: usize) -> Self {
        let mut a = [0; 16].map(|_: u32| random.value());
        a[1] = RESULTS + ((index * RECORD + SCRATCH) * 4) as u32;
        Self {
            left: random.below(2) == 0,
            code: Vec::new(),
            ps: 0x20,
            sar: random.below(33),
            a,
            scratch: [0; RECORD - SCRATCH].map(|_: u32| random.value()),
        }
    }

    /// Appends an instruction; its length is in its lowest bits.
    fn push(&mut self, word: u32) {
        let length = if word & 15 >= 8 { 2 } else { 3 };
        self.code.extend_from_slice(&word.to_le_bytes()[..length]);
    }

    /// Ends it: whatever happened before, here is an exception.
    fn finish(mut self) -> Self {
        self.push(SYSCALL);
        self
    }
}

fn bytes(words: impl IntoIterator<Item = u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn driver(name: &str) -> Image {
    build(name, &["driver.S"])
}

/// Runs the streams on both and compares the records.
fn compare(name: &str, streams: &[Stream]) {
    let image = driver(name);
    let mut differences = Vec::new();
    for (number, batch) in streams.chunks(BATCH).enumerate() {
        let mut contexts = vec![batch.len() as u32, 0, 0, 0];
        let mut results = Vec::new();
        let mut code = Vec::new();
        for stream in batch {
            contexts.extend([STREAMS + code.len() as u32, stream.ps, stream.sar]);
            contexts.extend(stream.a);
            results.extend([0; SCRATCH]);
            results.extend(stream.scratch);
            code.extend_from_slice(&stream.code);
            code.resize(code.len().next_multiple_of(4), 0);
        }
        assert!(code.len() < (RESULTS - STREAMS) as usize, "too much code for one batch");
        let (contexts, results) = (bytes(contexts), bytes(results));
        let data: [(u32, &[u8]); 3] =
            [(CONTEXTS, &contexts), (STREAMS, &code), (RESULTS, &results)];
        let limit = 400 * batch.len() as u64 + 1000;
        let (ours, _) = run_on_cpu(&image, &data, limit);
        let theirs = run_on_qemu(&format!("{name}-{number}"), &image, &data);
        assert_eq!(theirs.len(), batch.len() * RECORD * 4, "QEMU ran all streams");
        assert_eq!(ours.len(), theirs.len(), "the core ran all streams");
        for (i, stream) in batch.iter().enumerate() {
            let record = i * RECORD * 4..(i + 1) * RECORD * 4;
            if ours[record.clone()] != theirs[record.clone()] {
                differences.push(describe(stream, &ours[record.clone()], &theirs[record]));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} streams differ:\n{}",
        differences.len(),
        streams.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}

fn describe(stream: &Stream, ours: &[u8], theirs: &[u8]) -> String {
    const NAMES: [&str; 16] = [
        "vector",
        "ps",
        "sar",
        "epc1",
        "epc2",
        "epc3",
        "eps2",
        "eps3",
        "depc",
        "exccause",
        "excvaddr",
        "debugcause",
        "interrupt",
        "intenable",
        "excsave1",
        "-",
    ];
    let mut text = format!("code {:02x?} ps {:#x} sar {}", stream.code, stream.ps, stream.sar);
    for (i, (our, their)) in ours.chunks(4).zip(theirs.chunks(4)).enumerate() {
        if our != their {
            let word = |b: &[u8]| u32::from_le_bytes(b.try_into().expect("4 bytes"));
            let name = match i {
                0..16 => format!("a{i} (was {:#x})", stream.a[i]),
                16..SCRATCH => NAMES[i - 16].to_owned(),
                _ => format!("memory[{}]", i - SCRATCH),
            };
            text += &format!("\n    {name}: {:#x}, QEMU has {:#x}", word(our), word(their));
        }
    }
    text
}

/// Fields of a 24-bit instruction, from op2 down to op0.
fn rrr(op2: u32, op1: u32, r: u32, s: u32, t: u32) -> u32 {
    op2 << 20 | op1 << 16 | r << 12 | s << 8 | t << 4
}

fn rri8(imm8: u32, r: u32, s: u32, t: u32, op0: u32) -> u32 {
    (imm8 & 0xFF) << 16 | r << 12 | s << 8 | t << 4 | op0
}

/// A destination: any register but a1, which points to the stream's memory.
fn target(random: &mut Random) -> u32 {
    random.pick(&[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

/// An instruction that computes, moves, shifts, loads or stores.
fn straight(random: &mut Random, stream: &mut Stream) {
    let (d, s, t) = (target(random), random.below(16), random.below(16));
    let word = match random.below(20) {
        // AND OR XOR ADD ADDX SUB SUBX
        0..=3 => rrr(random.pick(&[1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15]), 0, d, s, t),
        4 => rrr(6, 0, d, random.below(2), t), // NEG ABS
        5 => rrr(random.pick(&[8, 9, 10, 11]), 3, d, s, t), // MOVEQZ...
        6 => rrr(random.pick(&[12, 13]), 1, d, s, t), // MUL16
        7 => rrr(8, 2, d, s, t),               // MULL
        8 => rrr(4, 0, random.pick(&[14, 15]), s, d), // NSA NSAU
        9 => {
            // SLLI by 1 to 31: the field holds 32 less that.
            let field = 32 - (1 + random.below(31));
            rrr(field >> 4, 1, d, s, field & 15)
        }
        10 => rrr(2 + random.below(2), 1, d, s, t), // SRAI
        11 => rrr(random.below(16), 4 + random.below(2), d, s, t), // EXTUI
        12 => match random.below(5) {
            0 => rrr(4, 1, d, s, t),                  // SRLI
            1 => rrr(8, 1, d, s, t),                  // SRC
            2 if !stream.left => rrr(9, 1, d, 0, t),  // SRL
            3 if !stream.left => rrr(11, 1, d, 0, t), // SRA
            _ => rrr(10, 1, d, s, 0),                 // SLL
        },
        13 => match random.below(3) {
            0 => rrr(4, 0, 4, s, random.below(2)), // SSAI
            1 if stream.left => rrr(4, 0, random.pick(&[1, 3]), s, 0), // SSL SSA8B
            _ => rrr(4, 0, random.pick(&[0, 2]), s, 0), // SSR SSA8L
        },
        14 => rri8(random.next(), random.pick(&[10, 12, 13]), s, d, 2), // MOVI ADDI ADDMI
        15 => match random.below(5) {
            0 => rri8(0, 0, s, t, 10) | d << 12,                    // ADD.N
            1 => rri8(0, d, s, t, 11),                              // ADDI.N
            2 => rri8(0, random.below(16), d, random.below(8), 12), // MOVI.N
            3 => rri8(0, 0, s, d, 13),                              // MOV.N
            _ => random.pick(&[0xF03D, 0x00_2000, 0x00_20C0, 0x00_2010, 0x00_20D0]),
        },
        // Loads from the stream's memory.
        16 | 17 => match random.below(5) {
            0 => rri8(random.below(64), 0, 1, d, 2),          // L8UI
            1 => rri8(random.below(32), 1, 1, d, 2),          // L16UI
            2 => rri8(random.below(32), 9, 1, d, 2),          // L16SI
            3 => rri8(random.below(16), 2, 1, d, 2),          // L32I
            _ => rri8(0, random.below(16), 1, d, 8) & 0xFFFF, // L32I.N
        },
        // Stores.
        18 => match random.below(4) {
            0 => rri8(random.below(64), 4, 1, t, 2),          // S8I
            1 => rri8(random.below(32), 5, 1, t, 2),          // S16I
            2 => rri8(random.below(16), 6, 1, t, 2),          // S32I
            _ => rri8(0, random.below(16), 1, t, 9) & 0xFFFF, // S32I.N
        },
        // L32R of code behind: at most 256 bytes.
        _ => (0x1_0000 - 1 - random.below(64)) << 8 | d << 4 | 1,
    };
    stream.push(word);
}

/// A load or store that may be unaligned, which ends the stream.
fn any_alignment(random: &mut Random, stream: &mut Stream) {
    let base = target(random);
    stream.push(rri8(random.below(8), 12, 1, base, 2)); // ADDI base, a1
    let kind = random.pick(&[0, 1, 2, 4, 5, 6, 9]);
    stream.push(rri8(random.below(14), kind, base, target(random), 2));
}

/// A branch over a few instructions, or not.
fn branch(random: &mut Random, stream: &mut Stream) {
    let (r, s, t) = (random.below(16), random.below(16), random.below(16));
    let mut over = Stream { left: stream.left, ..Stream::new(random, 0) };
    for _ in 0..random.below(4) {
        straight(random, &mut over);
    }
    let length = over.code.len() as u32;
    // Targets count from 4 behind the branch; a skip of nothing behind a 24-bit branch is -1.
    let offset = length.wrapping_sub(1);
    let word = match random.below(6) {
        0 | 1 => rri8(offset, r, s, t, 7),
        2 => rri8(offset, r, s, random.pick(&[0b0010, 0b0110, 0b1010, 0b1110]), 6), // BEQI...
        3 => rri8(offset, r, s, random.pick(&[0b1011, 0b1111]), 6),                 // BLTUI BGEUI
        4 => (offset & 0xFFF) << 12 | s << 8 | random.pick(&[1, 5, 9, 13]) << 4 | 6, // BEQZ...
        // BEQZ.N, BNEZ.N: forward only, 2 bytes, 4 from its start.
        _ if length >= 2 => {
            let offset = length - 2;
            (offset & 15) << 12 | s << 8 | (random.pick(&[8, 12]) | offset >> 4) << 4 | 12
        }
        _ => (offset & 0x3_FFFF) << 6 | 6, // J
    };
    stream.push(word);
    stream.code.extend(over.code);
}

fn random_streams(seed: u64, count: usize, instructions: u32) -> Vec<Stream> {
    let mut random = Random(seed);
    (0..count)
        .map(|i| {
            let mut stream = Stream::new(&mut random, i % BATCH);
            for _ in 0..instructions {
                match random.below(128) {
                    0 => any_alignment(&mut random, &mut stream),
                    1..16 => branch(&mut random, &mut stream),
                    _ => straight(&mut random, &mut stream),
                }
            }
            stream.finish()
        })
        .collect()
}

#[test]
fn random_instruction_streams() {
    compare("random", &random_streams(1, 20_000, 40));
}

/// Levels, interrupts by software, special registers, BREAK, returns from exceptions: what one
/// leaves in PS decides about the next.
fn privileged(random: &mut Random, stream: &mut Stream) {
    let (d, t) = (target(random), random.below(16));
    let access = |op2: u32, op1: u32, number: u8, t: u32| {
        op2 << 20 | op1 << 16 | u32::from(number) << 8 | t << 4
    };
    let any = [
        sr::EPC1,
        sr::EPC2,
        sr::EPC3,
        sr::DEPC,
        sr::EXCVADDR,
        sr::DDR,
        sr::IBREAKA0,
        sr::DBREAKA0,
        sr::EXCSAVE1,
    ];
    match random.below(13) {
        0 => stream.push(rrr(0, 0, 6, random.below(4), d)), // RSIL
        // Interrupt 7 is the one that software sets; 0x3F is all of PS.
        1 | 2 => {
            let number = random.pick(&[sr::INTENABLE, sr::INTERRUPT, sr::INTCLEAR]);
            stream.push(rri8(random.pick(&[0x80, 0x81, 0xFF, 0x00]), 10, 0, d, 2)); // MOVI
            stream.push(access(1, 3, number, d));
        }
        3 => {
            stream.push(rri8(random.below(0x40), 10, 0, d, 2));
            stream.push(access(1, 3, random.pick(&[sr::PS, sr::EPS2, sr::EPS3, sr::EXCCAUSE]), d));
            stream.push(0x00_2010); // RSYNC
        }
        4 | 5 => stream.push(access(1, 3, random.pick(&any), t)), // WSR
        6 => stream.push(access(6, 1, random.pick(&any), d)),     // XSR
        7 => {
            let more = [
                sr::PS,
                sr::INTERRUPT,
                sr::INTENABLE,
                sr::EXCCAUSE,
                sr::EPS2,
                sr::VECBASE,
                sr::SAR,
            ];
            let number = if random.below(2) == 0 { random.pick(&more) } else { random.pick(&any) };
            stream.push(access(0, 3, number, d)); // RSR
        }
        8 if random.below(4) == 0 => {
            stream.push(random.pick(&[0x00_4120, 0xF12D, 0x00_0000, SYSCALL])); // BREAK, ILL...
        }
        9 | 10 => {
            // RFE, RFDE, RFI to right behind. The address comes from a call to the next word.
            let (number, word) = random.pick(&[
                (sr::EPC1, 0x00_3000),
                (sr::DEPC, 0x00_3200),
                (sr::EPC2, 0x00_3210),
                (sr::EPC3, 0x00_3310),
            ]);
            let after_call = stream.code.len() + 3;
            stream.push(5);
            stream.code.resize(after_call.next_multiple_of(4), 0);
            let to_end = stream.code.len() + 3 + 3 + 3 - after_call;
            stream.push(rri8(to_end as u32, 12, 0, 0, 2)); // ADDI a0
            stream.push(access(1, 3, number, 0));
            stream.push(word);
        }
        11 => {
            // L32R by LITBASE: below the page of the stream's memory.
            stream.push(rri8(1, 12, 1, d, 2)); // ADDI d, a1, 1
            stream.push(access(1, 3, sr::LITBASE, d));
            stream.push((0x1_0000 - 1 - random.below(64)) << 8 | d << 4 | 1);
            stream.push(rri8(0, 10, 0, d, 2)); // MOVI d, 0
            stream.push(access(1, 3, sr::LITBASE, d));
        }
        _ => straight(random, stream),
    }
}

#[test]
fn random_privileged_streams() {
    let mut random = Random(4);
    let streams: Vec<_> = (0..10_000)
        .map(|i| {
            let mut stream = Stream::new(&mut random, i % BATCH);
            stream.ps = random.pick(&[0, 0x01, 0x02, 0x10, 0x20, 0x21, 0x30, 0x3F]);
            for _ in 0..20 {
                privileged(&mut random, &mut stream);
            }
            stream.finish()
        })
        .collect();
    compare("privileged", &streams);
}

/// Every pattern of the major opcodes that has no way out of the stream: the same are legal,
/// and with the same effect.
#[test]
fn every_opcode_is_legal_or_not() {
    let mut random = Random(2);
    let mut words = Vec::new();
    let forbidden = |word: u32| {
        match word & 0xF_000F {
            0 => match word >> 20 {
                // Return, jump, call, RFE and the like, WAITI, SIMCALL; synchronisation and
                // BREAK by level stay.
                0 => matches!(word >> 12 & 15, 0 | 3 | 7) || word >> 12 & 15 == 5,
                5 => matches!(word >> 12 & 15, 6 | 14), // WITLB, WDTLB: closes regions
                4 => matches!(word >> 12 & 15, 6 | 7),  // RER, WER: QEMU decodes no operands
                _ => false,
            },
            // Special registers: a test of their own. op1 is 1 for XSR, 3 for RSR and WSR.
            0x1_0000 => word >> 20 == 6,
            0x3_0000 => word >> 20 < 2,
            _ => false,
        }
    };
    for op1 in 0..16 {
        for op2 in 0..16 {
            for r in 0..16 {
                for _ in 0..8 {
                    let word = rrr(op2, op1, r, random.below(16), random.below(16));
                    if !forbidden(word) {
                        words.push(word);
                    }
                }
            }
        }
    }
    // Synchronisation, BREAK, SYSCALL, RSIL: all of t and s.
    for r in [2, 4, 6] {
        for st in 0..256 {
            words.push(rrr(0, 0, r, st >> 4, st & 15));
        }
    }
    // Memory, MOVI, ADDI: all of r, with the offset 0.
    for r in 0..16 {
        for t in [2, 5, 9] {
            words.push(rri8(0, r, 1, t, 2));
        }
    }
    // Coprocessor and MAC16 opcodes, which the core does not have.
    for op0 in [3, 4] {
        for _ in 0..512 {
            words.push(random.next() & 0xFF_FFF0 | op0);
        }
    }
    // Density: all.
    for op0 in 8..16 {
        for rst in 0..4096 {
            let word = rst << 4 | op0;
            let (r, s, t) = (word >> 12 & 15, word >> 8 & 15, word >> 4 & 15);
            let ret = op0 == 13 && r == 15 && t == 0;
            let branch = op0 == 12 && t & 8 != 0;
            let unsafe_base = (op0 == 8 || op0 == 9) && s != 1;
            if !ret && !branch && !unsafe_base {
                words.push(word);
            }
        }
    }
    let streams: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(i, word)| {
            let mut stream = Stream::new(&mut random, i % BATCH);
            stream.push(*word);
            stream.finish()
        })
        .collect();
    compare("opcodes", &streams);
}

/// RSR, WSR, XSR of all 256 numbers are legal or not as in QEMU.
#[test]
fn special_registers_exist_or_not() {
    let mut random = Random(3);
    let mut words = Vec::new();
    // What the driver lives on, or what does not stay the same.
    let driver = [
        sr::PS,
        sr::VECBASE,
        sr::EXCSAVE2,
        sr::EXCSAVE3,
        sr::CCOUNT,
        sr::CCOMPARE0,
        sr::ICOUNTLEVEL,
        sr::IBREAKENABLE,
        sr::DBREAKC0,
        sr::LITBASE,
        sr::INTENABLE,
    ];
    for number in 0..=255u8 {
        for (op2, op1) in [(0, 3), (1, 3), (6, 1)] {
            let reads_time = op2 == 0 && number == sr::CCOUNT;
            if !(reads_time || op2 != 0 && driver.contains(&number)) {
                words.push(op2 << 20 | op1 << 16 | u32::from(number) << 8 | 2 << 4);
            }
        }
    }
    let streams: Vec<_> = words
        .iter()
        .enumerate()
        .map(|(i, word)| {
            let mut stream = Stream::new(&mut random, i % BATCH);
            // A value that all of them can hold.
            stream.a[2] = 0x2C;
            stream.push(*word);
            stream.finish()
        })
        .collect();
    compare("special", &streams);
}

/// CRC-32 and SHA-256 of the programs' input, as zlib and openssl have them.
const CRC: u32 = 0x28C5_B2B0;
const SHA: [u32; 8] = [
    0x1200_A0E3,
    0x5D06_8B12,
    0xA4F3_C646,
    0x04FF_3B23,
    0x0DF8_C02A,
    0x4060_C867,
    0xE551_D82B,
    0x1EB1_1F00,
];

/// Programs as the compiler writes them.
#[test]
fn whole_programs() {
    let image = build("programs", &["programs.c"]);
    let (ours, cpu) = run_on_cpu(&image, &[], 20_000_000);
    let theirs = run_on_qemu("programs", &image, &[]);
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes"))).collect()
    };
    let (ours, theirs) = (words(&ours), words(&theirs));
    assert!(cpu.instructions() > 1_000_000, "{} instructions", cpu.instructions());
    assert_eq!(ours, theirs);
    assert!(!ours.iter().any(|word| word >> 12 == 0xBAD00), "sorted");
    assert_eq!(ours[0], CRC, "{:#010x}", ours[0]);
    assert_eq!(ours[1..9], SHA, "{:#010x?}", &ours[1..9]);
    assert_eq!(ours.last(), Some(&21), "Ackermann's function of 2 and 9");
}
