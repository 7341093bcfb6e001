//! `thing iram`: proves from the ELF that code which runs while the flash cache is off reaches
//! nothing in flash.
//!
//! From each root the instructions are followed along every branch, and into every function
//! that is called. On the way there must be no call or jump into flash, no literal that lies
//! in flash, none that points there, and no call or jump whose target is not known. From
//! where a path has called a function that switches the cache on, flash is in reach, until it
//! calls the one that switches it off.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use board::image::with_elf;
use isa::decode::Kind;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol};

/// Where code begins that runs, or may run, with the cache off.
const ROOTS: [&str; 7] = [
    "_start",
    "with_cache_off",
    "board_crash_begin",
    "crash_exception",
    "crash_double_exception",
    "crash_debug",
    "crash_nmi",
];
/// Functions after whose return flash can be read.
const SWITCH_ON: [&str; 3] = ["Cache_Read_Enable", "board_crash_begin", "chip_cache_on"];
/// The boot ROM's function after which it cannot.
const SWITCH_OFF: &str = "rom_Cache_Read_Disable";
/// Ours around it.
const CACHE_OFF: &str = "chip_cache_off";
/// A firmware with this has the radio, unless it is the other one, which takes its place.
const NMI: &str = "radio_nmi";
const NO_NMI: &str = "crash_nmi";
/// Functions after whose return no NMI comes.
const GATE_CLOSED: [&str; 3] = ["chip_nmi_hold", CACHE_OFF, "board_crash_begin"];
/// Functions after whose return one may.
const GATE_OPEN: [&str; 2] = ["chip_nmi_release", "chip_cache_on"];

const ROM: Range<u32> = 0x4000_0000..0x4001_0000;
const IRAM: Range<u32> = 0x4010_0000..0x4010_8000;
const FLASH: Range<u32> = 0x4020_0000..0x4030_0000;

/// Checks `elf` and says what was proven.
///
/// # Errors
/// When the file is not a firmware of the chip, or something in flash is reached; the message
/// names each place.
pub fn check(elf: &Path) -> Result<()> {
    let program = with_elf(elf, Program::read)?;
    let proof = program.prove(&ROOTS)?;
    println!(
        "cache off: {} instructions of {} functions in IRAM, {} of the boot ROM; none reaches flash{}",
        proof.instructions,
        proof.functions.len(),
        proof.rom.len(),
        if program.has_radio() { ", and no NMI comes" } else { "" },
    );
    Ok(())
}

/// Code in IRAM and the names of all addresses.
#[derive(Debug, Default)]
struct Program {
    /// Content by start address.
    code: BTreeMap<u32, Vec<u8>>,
    /// The same, of all that is not in IRAM.
    data: BTreeMap<u32, Vec<u8>>,
    symbols: BTreeMap<String, u32>,
}

/// What was followed.
#[derive(Debug, Default)]
struct Proof {
    instructions: usize,
    functions: BTreeSet<u32>,
    rom: BTreeSet<u32>,
}

/// One instruction, as far as it matters where control and literals go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Goes on behind itself.
    Next,
    /// Loads a literal at this address into a register.
    Literal(u8, u32),
    /// May go there, or on.
    Branch(u32),
    /// Goes there.
    Jump(u32),
    /// Calls there, then goes on.
    Call(u32),
    /// Calls where a register points, then goes on.
    CallRegister(u8),
    /// Goes where a register points.
    JumpRegister,
    /// Returns, or traps.
    End,
    /// Is none of the LX106's.
    Illegal,
}

/// ILL and ILL.N, which trap on purpose.
const ILL: [u32; 2] = [0, 0xF06D];

/// Decodes the instruction `word` (its bytes from bit 0 on) at `pc`: its length and what it does.
fn decode(pc: u32, word: u32) -> (u32, Step) {
    use Kind::*;
    let op = isa::decode::decode(pc, word);
    let step = match op.kind {
        L32r => Step::Literal(op.t() as u8, op.imm),
        J => Step::Jump(op.imm),
        // A RET is a jump to a0 without the field.
        Jx if op.t() == 0 => Step::End,
        Jx => Step::JumpRegister,
        Call0 => Step::Call(op.imm),
        Callx0 => Step::CallRegister(op.s() as u8),
        Beqz | Bnez | Bltz | Bgez | Beqi | Bnei | Blti | Bgei | Bltui | Bgeui | Beq | Bne | Blt
        | Bge | Bltu | Bgeu | Bany | Bnone | Ball | Bnall | Bbc | Bbs | Bbci | Bbsi => {
            Step::Branch(op.imm)
        }
        Rfe | Rfde | Rfi => Step::End,
        Illegal if ILL.contains(&op.imm) => Step::End,
        Illegal => Step::Illegal,
        _ => Step::Next,
    };
    (op.length(), step)
}

/// A place on a path: where, whether the cache is on, whether the NMI is kept out, and the literal
/// that the instruction before has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    pc: u32,
    cache_on: bool,
    gate_closed: bool,
    loaded: Option<(u8, u32)>,
}

impl Program {
    fn read(file: &ElfFile32) -> Result<Self> {
        let mut program = Self::default();
        for section in file.sections() {
            let (start, content) = (u32::try_from(section.address())?, section.data()?);
            let place = if IRAM.contains(&start) { &mut program.code } else { &mut program.data };
            // At 0 is what is only for debuggers.
            if start != 0 && !content.is_empty() {
                place.insert(start, content.to_vec());
            }
        }
        for symbol in file.symbols() {
            if let Ok(name) = symbol.name()
                && !name.is_empty()
                && !name.starts_with('.')
            {
                program.symbols.insert(name.to_owned(), symbol.address() as u32);
            }
        }
        Ok(program)
    }

    fn has_radio(&self) -> bool {
        self.symbols.get(NMI).is_some_and(|nmi| Some(nmi) != self.symbols.get(NO_NMI))
    }

    fn byte(&self, address: u32) -> Option<u8> {
        let (start, bytes) = self.code.range(..=address).next_back()?;
        bytes.get((address - start) as usize).copied()
    }

    fn word(&self, address: u32, length: u32) -> Option<u32> {
        (0..length)
            .map(|i| self.byte(address + i).map(|byte| u32::from(byte) << (8 * i)))
            .try_fold(0, |word, byte| Some(word | byte?))
    }

    /// The nearest name at or below an address in the same memory.
    fn name(&self, address: u32) -> String {
        let nearest = self
            .symbols
            .iter()
            .filter(|&(_, &at)| at <= address && address - at < 0x1_0000)
            .max_by_key(|&(_, &at)| at);
        match nearest {
            Some((name, &at)) if at == address => format!("{name} (0x{address:08x})"),
            Some((name, &at)) => format!("{name}+0x{:x} (0x{address:08x})", address - at),
            None => format!("0x{address:08x}"),
        }
    }

    /// Where the function begins in which `pc` lies.
    fn function(&self, pc: u32) -> Option<u32> {
        self.symbols.values().copied().filter(|at| *at <= pc && IRAM.contains(at)).max()
    }

    fn address(&self, name: &str) -> Result<u32> {
        self.symbols
            .get(name)
            .copied()
            .with_context(|| format!("{name} is not in the firmware: is it one for the chip?"))
    }

    fn addresses(&self, names: &[&str]) -> Result<Vec<u32>> {
        names.iter().map(|name| self.address(name)).collect()
    }

    fn prove(&self, roots: &[&str]) -> Result<Proof> {
        let mut walk = Walk::new(self)?;
        for root in roots {
            walk.from(self.address(root)?, false);
        }
        walk.begin_at_whoever_switches_off();
        walk.finish()
    }
}

/// Follows the paths of a program.
struct Walk<'a> {
    program: &'a Program,
    on: Vec<u32>,
    off: Vec<u32>,
    closes: Vec<u32>,
    opens: Vec<u32>,
    radio: bool,
    proof: Proof,
    wrong: BTreeSet<String>,
    seen: BTreeSet<Place>,
    counted: BTreeSet<u32>,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program) -> Result<Self> {
        let radio = program.has_radio();
        let gate = |names| if radio { program.addresses(names) } else { Ok(Vec::new()) };
        Ok(Self {
            program,
            on: program.addresses(&SWITCH_ON)?,
            off: program.addresses(&[SWITCH_OFF, CACHE_OFF])?,
            closes: gate(&GATE_CLOSED)?,
            opens: gate(&GATE_OPEN)?,
            radio,
            proof: Proof::default(),
            wrong: BTreeSet::new(),
            seen: BTreeSet::new(),
            counted: BTreeSet::new(),
        })
    }

    fn name(&self, address: u32) -> String {
        self.program.name(address)
    }

    /// Notes what is wrong at an address.
    fn blame(&mut self, pc: u32, what: impl Display) {
        self.wrong.insert(format!("{} {what}", self.name(pc)));
    }

    /// Follows all that begins at `pc`, with the gate open.
    fn from(&mut self, pc: u32, cache_on: bool) {
        self.proof.functions.insert(pc);
        let mut to_do = vec![Place { pc, cache_on, gate_closed: false, loaded: None }];
        while let Some(place) = to_do.pop() {
            if self.seen.insert(place) {
                self.follow(place, &mut to_do);
            }
        }
    }

    /// Functions that switch the cache off and were not reached yet: they begin with it on. Nobody
    /// outside of IRAM may know the way.
    fn begin_at_whoever_switches_off(&mut self) {
        let off = self.off.clone();
        for (start, bytes) in &self.program.data {
            for (at, word) in (*start..).step_by(4).zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes(word.try_into().unwrap_or_default());
                if off.contains(&word) && at % 4 == 0 {
                    let whose = self.name(word);
                    let what = "a call from there returns into flash";
                    self.blame(at, format_args!("has the address of {whose}: {what}"));
                }
            }
        }
        let places: Vec<u32> = self
            .program
            .code
            .iter()
            .flat_map(|(start, bytes)| *start..start + bytes.len() as u32)
            .filter(|&pc| {
                self.program.word(pc, 3).is_some_and(|word| match decode(pc, word) {
                    (3, Step::Literal(_, at)) => {
                        self.program.word(at, 4).is_some_and(|value| off.contains(&value))
                    }
                    (3, Step::Call(target)) => off.contains(&target),
                    _ => false,
                })
            })
            .collect();
        for pc in places {
            if self.counted.contains(&pc) {
                continue;
            }
            if let Some(function) = self.program.function(pc) {
                self.from(function, true);
            }
            if !self.counted.contains(&pc) {
                self.blame(pc, "may switch the cache off, and no known path leads there");
            }
        }
    }

    fn follow(&mut self, place: Place, to_do: &mut Vec<Place>) {
        let program = self.program;
        let Place { pc, cache_on, loaded, .. } = place;
        if !IRAM.contains(&pc) {
            if !cache_on {
                self.wrong.insert(format!("control reaches {}", self.name(pc)));
            }
            return;
        }
        let length = program.byte(pc).map_or(3, |byte| if byte & 0xF >= 8 { 2 } else { 3 });
        let Some(word) = program.word(pc, length) else {
            self.blame(pc, "is not in the firmware");
            return;
        };
        let (length, step) = decode(pc, word);
        self.counted.insert(pc);
        let next = Place { pc: pc + length, loaded: None, ..place };
        match step {
            Step::Call(target) => self.call(place, next, Some(target), to_do),
            Step::CallRegister(register) => {
                let target = loaded.filter(|&(to, _)| to == register).map(|(_, value)| value);
                self.call(place, next, target, to_do);
            }
            Step::Literal(register, address) => {
                let value = program.word(address, 4);
                if !cache_on && value.is_none() {
                    let place = self.name(address);
                    self.blame(pc, format_args!("reads a literal outside of IRAM, at {place}"));
                }
                // What is called is judged there, since only then it matters.
                let called = value.is_some_and(|value| {
                    FLASH.contains(&value)
                        && program.word(pc + length, 3).map(|word| decode(pc + length, word))
                            == Some((3, Step::CallRegister(register)))
                });
                if let Some(value) = value
                    && FLASH.contains(&value)
                    && !cache_on
                    && !called
                {
                    let place = self.name(value);
                    self.blame(pc, format_args!("takes the address of {place}"));
                }
                to_do.push(Place { loaded: value.map(|value| (register, value)), ..next });
            }
            Step::Branch(target) => {
                to_do.push(Place { pc: target, ..next });
                to_do.push(next);
            }
            Step::Jump(target) => to_do.push(Place { pc: target, ..next }),
            Step::JumpRegister if !cache_on => self.blame(pc, "jumps through a register"),
            Step::Illegal => self.blame(pc, "is no instruction of the LX106"),
            Step::JumpRegister | Step::End => {}
            Step::Next => to_do.push(next),
        }
    }

    fn call(&mut self, place: Place, next: Place, target: Option<u32>, to_do: &mut Vec<Place>) {
        let Place { pc, cache_on, gate_closed, .. } = place;
        let Some(target) = target else {
            if !cache_on {
                self.blame(pc, "calls through a register");
            }
            to_do.push(next);
            return;
        };
        if self.radio && target == self.off[0] && !gate_closed {
            self.blame(pc, "switches the cache off while an NMI may come");
        }
        if target == self.program.symbols.get(GATE_OPEN[0]).copied().unwrap_or_default()
            && !cache_on
        {
            self.blame(pc, "lets NMIs come");
        }
        if ROM.contains(&target) {
            self.proof.rom.insert(target);
        } else if !cache_on && !IRAM.contains(&target) {
            let callee = self.name(target);
            self.blame(pc, format_args!("calls {callee}"));
        } else if IRAM.contains(&target) {
            self.proof.functions.insert(target);
            to_do.push(Place { pc: target, cache_on, gate_closed, loaded: None });
        }
        let becomes = |now: bool, yes: &[u32], no: &[u32]| {
            yes.contains(&target) || now && !no.contains(&target)
        };
        to_do.push(Place {
            cache_on: becomes(cache_on, &self.on, &self.off),
            gate_closed: becomes(gate_closed, &self.closes, &self.opens),
            ..next
        });
    }

    fn finish(mut self) -> Result<Proof> {
        if !self.wrong.is_empty() {
            let list: Vec<String> = self.wrong.into_iter().collect();
            bail!(
                "with the flash cache off this would fail on the chip:\n  {}\nMark what is \
                 reached with IN_IRAM (bsp/esp8266/include/chip.h), or do it with the cache on",
                list.join("\n  ")
            );
        }
        if !self.proof.rom.contains(&self.off[0]) {
            bail!("no root switches the cache off: the list of roots is out of date");
        }
        self.proof.instructions = self.counted.len();
        Ok(self.proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROM_OFF: u32 = 0x4000_47F0;
    const ROM_ON: u32 = 0x4000_4678;
    const IN_FLASH: u32 = 0x4021_B42C;
    /// Code begins behind four literals.
    const START: u32 = 0x4010_0010;

    /// `l32r a0, literal; callx0 a0` at `pc`.
    fn call(pc: u32, literal: u32) -> Vec<u8> {
        let mut code = load(pc, literal);
        code.extend([0xC0, 0x00, 0x00]);
        code
    }

    fn load(pc: u32, literal: u32) -> Vec<u8> {
        let offset = (literal.wrapping_sub((pc + 3) & !3) >> 2) as u16;
        vec![0x01, offset as u8, (offset >> 8) as u8]
    }

    const RET: [u8; 2] = [0x0D, 0xF0];

    /// A program whose root calls these literals in turn and returns.
    fn program(calls: &[u32]) -> Program {
        let literals = [ROM_OFF, ROM_ON, IN_FLASH, 0x4010_0000];
        let mut bytes: Vec<u8> = literals.iter().flat_map(|word| word.to_le_bytes()).collect();
        for &index in calls {
            bytes.extend(call(0x4010_0000 + bytes.len() as u32, 0x4010_0000 + 4 * index));
        }
        bytes.extend(RET);
        with_code(bytes)
    }

    fn with_code(bytes: Vec<u8>) -> Program {
        let mut program = Program::default();
        program.code.insert(0x4010_0000, bytes);
        for (name, at) in [
            ("root", START),
            ("rom_Cache_Read_Disable", ROM_OFF),
            ("Cache_Read_Enable", ROM_ON),
            ("board_crash_begin", 0x4010_7000),
            ("chip_cache_off", 0x4010_7100),
            ("chip_cache_on", 0x4010_7200),
            ("in_flash", IN_FLASH),
        ] {
            program.symbols.insert(name.to_owned(), at);
        }
        program
    }

    /// The same with the radio: `callees` are called, then `root` returns.
    fn with_radio(callees: &[u32]) -> Program {
        let mut bytes: Vec<u8> =
            [ROM_OFF, ROM_ON, HOLD, RELEASE].iter().flat_map(|word| word.to_le_bytes()).collect();
        for &callee in callees {
            bytes.extend(call(0x4010_0000 + bytes.len() as u32, 0x4010_0000 + 4 * callee));
        }
        bytes.extend(RET);
        let mut program = with_code(bytes);
        program.code.insert(HOLD, RET.to_vec());
        program.code.insert(RELEASE, RET.to_vec());
        for (name, at) in
            [("radio_nmi", 0x4010_7300), ("chip_nmi_hold", HOLD), ("chip_nmi_release", RELEASE)]
        {
            program.symbols.insert(name.to_owned(), at);
        }
        program
    }

    const HOLD: u32 = 0x4010_7400;
    const RELEASE: u32 = 0x4010_7500;

    #[test]
    fn no_nmi_comes_while_the_cache_is_off() {
        // Of the literals 0 and 1 switch off and on, 2 and 3 close and open the gate.
        with_radio(&[2, 0, 1, 3]).prove(&["root"]).unwrap();
        for (calls, fault) in [
            (&[0, 1][..], "root+0x3 (0x40100013) switches the cache off while an NMI may come"),
            (&[2, 3, 0, 1], "switches the cache off while an NMI may come"),
            (&[2, 0, 3, 1], "lets NMIs come"),
        ] {
            let error = with_radio(calls).prove(&["root"]).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn whoever_switches_the_cache_off_is_found() {
        // In IRAM: as if the cache were on, which then is to be off.
        let mut second = program(&[0, 1]);
        let mut bytes = ROM_OFF.to_le_bytes().to_vec();
        bytes.extend(call(0x4010_4004, 0x4010_4000));
        bytes.extend(RET);
        second.code.insert(0x4010_4000, bytes);
        second.symbols.insert("second".to_owned(), 0x4010_4004);
        second.prove(&["root"]).unwrap();
        second.symbols.insert("radio_nmi".to_owned(), 0x4010_7300);
        second.symbols.insert("chip_nmi_hold".to_owned(), HOLD);
        second.symbols.insert("chip_nmi_release".to_owned(), RELEASE);
        let error = second.prove(&["root"]).unwrap_err().to_string();
        assert!(error.contains("second+0x3"), "{error}");
        // In flash, where it may not be.
        let mut elsewhere = program(&[0, 1]);
        elsewhere.data.insert(IN_FLASH, ROM_OFF.to_le_bytes().to_vec());
        let error = elsewhere.prove(&["root"]).unwrap_err().to_string();
        assert!(error.contains("in_flash (0x4021b42c) has the address of"), "{error}");
    }

    #[test]
    fn rom_and_iram_are_in_reach() {
        let proof = program(&[0, 1]).prove(&["root"]).unwrap();
        assert_eq!(proof.rom.len(), 2);
        assert_eq!(proof.instructions, 5);
    }

    #[test]
    fn flash_is_out_of_reach_until_the_cache_is_on() {
        let error = program(&[0, 2, 1]).prove(&["root"]).unwrap_err().to_string();
        assert!(error.contains("root+0x9"), "{error}");
        assert!(error.contains("calls in_flash (0x4021b42c)"), "{error}");
        assert!(program(&[0, 1, 2]).prove(&["root"]).is_ok());
        assert!(program(&[1, 2, 0, 2]).prove(&["root"]).is_err(), "off again");
    }

    #[test]
    fn both_sides_of_a_branch_are_followed() {
        let mut bytes: Vec<u8> = [ROM_OFF, ROM_ON, IN_FLASH, 0].map(u32::to_le_bytes).concat();
        bytes.extend(call(START, 0x4010_0000));
        // beqz.n a2, over the call that switches the cache on
        bytes.extend([0x8C, 0x42]);
        bytes.extend(call(START + 8, 0x4010_0004));
        bytes.extend(call(START + 14, 0x4010_0008));
        bytes.extend(RET);
        assert_eq!(decode(START + 6, 0x428C), (2, Step::Branch(START + 14)));
        assert!(with_code(bytes).prove(&["root"]).is_err());
    }

    #[test]
    fn data_in_flash_is_out_of_reach() {
        let mut bytes: Vec<u8> = [ROM_OFF, ROM_ON, IN_FLASH, 0].map(u32::to_le_bytes).concat();
        bytes.extend(call(START, 0x4010_0000));
        bytes.extend(load(START + 6, 0x4010_0008));
        bytes.extend(RET);
        let error = with_code(bytes).prove(&["root"]).unwrap_err().to_string();
        assert!(error.contains("takes the address of in_flash"), "{error}");
    }

    #[test]
    fn unknown_targets_are_refused() {
        for (code, fault) in [
            ([0xC0, 0x03, 0x00], "calls through a register"),
            ([0xA0, 0x03, 0x00], "jumps through a register"),
            ([0x10, 0x00, 0xFF], "is no instruction of the LX106"),
        ] {
            let mut bytes: Vec<u8> = [ROM_OFF, ROM_ON, 0, 0].map(u32::to_le_bytes).concat();
            bytes.extend(call(START, 0x4010_0000));
            bytes.extend(code);
            bytes.extend(RET);
            let error = with_code(bytes).prove(&["root"]).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn a_check_of_nothing_fails() {
        let error = program(&[1]).prove(&["root"]).unwrap_err().to_string();
        assert!(error.contains("out of date"), "{error}");
        assert!(program(&[0]).prove(&["gone"]).is_err());
    }

    /// A firmware in small, whose `with_cache_off` calls `victim`.
    fn linked(victim: &str) -> tempfile::TempDir {
        const SOURCE: &str = "
            .section .iram, \"ax\"
            .literal_position
            .irp    name, _start, board_crash_begin, crash_exception, crash_double_exception, \
                    crash_debug, crash_nmi, chip_cache_off, chip_cache_on, in_iram
            .global \\name
            .balign 4
        \\name:
            ret
            .endr
            .global with_cache_off
            .balign 4
        with_cache_off:
            mov     a12, a0
            .irp    callee, rom_Cache_Read_Disable, VICTIM, Cache_Read_Enable, in_flash
            movi    a0, \\callee
            callx0  a0
            .endr
            jx      a12
            .section .irom, \"ax\"
            .global in_flash
        in_flash:
            ret
        ";
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("small.S");
        std::fs::write(&source, SOURCE.replace("VICTIM", victim)).unwrap();
        let status = std::process::Command::new("xtensa-lx106-elf-gcc")
            .args(["-nostdlib", "-mtext-section-literals", "-Wl,--no-warn-rwx-segments"])
            .args(["-Wl,--section-start=.iram=0x40100000,--section-start=.irom=0x40210000"])
            .args(["-Wl,--defsym=rom_Cache_Read_Disable=0x400047F0"])
            .args(["-Wl,--defsym=Cache_Read_Enable=0x40004678", "-o"])
            .arg(folder.path().join("small.elf"))
            .arg(source)
            .status()
            .expect("xtensa-lx106-elf-gcc (Debian: gcc-xtensa-lx106)");
        assert!(status.success());
        folder
    }

    #[test]
    fn an_elf_that_reaches_flash_is_refused_by_name() {
        let good = linked("in_iram");
        check(&good.path().join("small.elf")).unwrap();
        let bad = linked("in_flash");
        let error = check(&bad.path().join("small.elf")).unwrap_err().to_string();
        assert!(error.contains("with_cache_off+0x"), "{error}");
        assert!(error.contains("calls in_flash (0x4021000"), "{error}");
        assert!(error.contains("Mark what is reached with IN_IRAM"), "{error}");
    }

    #[test]
    fn instructions_decode_as_the_assembler_made_them() {
        // From the disassembly of a firmware's IRAM.
        for (pc, word, length, step) in [
            (0x3A, 0x3E_2366, 3, Step::Branch(0x7C)), // bnei a3, 2
            (0x4E, 0xA39C, 2, Step::Branch(0x6C)),    // beqz.n a3
            (0x50, 0x28_E207, 3, Step::Branch(0x7C)), // bbsi a2, 0
            (0x21, 0x57_33F6, 3, Step::Branch(0x7C)), // bgeui a3, 3
            (0x61, 0x00_0286, 3, Step::Jump(0x6F)),   // j
            (0x78, 0x00_03A0, 3, Step::JumpRegister), // jx a3
            (0x125, 0x00_3000, 3, Step::End),         // rfe
            (0x4010_04E2, 0xEECC, 2, Step::Branch(0x4010_04F4)), // bnez.n a14
            (0x4010_04FB, 0x00_00C0, 3, Step::CallRegister(0)),
            (0x4010_00A9, 0xFF_F521, 3, Step::Literal(2, 0x4010_0080)),
            (0x4010_00B2, 0xFF_F421, 3, Step::Literal(2, 0x4010_0084)),
            (0x4010_04B8, 0xD0_C112, 3, Step::Next), // addi
        ] {
            assert_eq!(decode(pc, word), (length, step), "at {pc:#x}");
        }
    }
}
