//! `thing size`: what a firmware takes of each memory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use board::image::with_elf;
use object::elf::SHF_ALLOC;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};

use process::output;

use crate::budget::{self, Figure};

/// The most that a firmware may take, in bytes.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Budget {
    /// Most bytes of flash: code, constants and the initial values of variables
    #[arg(long)]
    pub flash_max: Option<u64>,
    /// Most bytes of instruction RAM
    #[arg(long)]
    pub iram_max: Option<u64>,
    /// Most bytes of data RAM for static variables
    #[arg(long)]
    pub dram_max: Option<u64>,
}

/// The chip's memories as the CPU sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// For code, constants and what RAM holds at first.
    Flash,
    /// For instructions.
    Iram,
    /// For data.
    Dram,
}

impl Memory {
    const ALL: [Self; 3] = [Self::Flash, Self::Iram, Self::Dram];

    fn range(self) -> Range<u64> {
        match self {
            Self::Flash => 0x4020_0000..0x4030_0000,
            Self::Iram => 0x4010_0000..0x4010_8000,
            Self::Dram => 0x3FFE_8000..0x3FFF_C000,
        }
    }

    fn of(address: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|memory| memory.range().contains(&address))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Flash => "flash",
            Self::Iram => "IRAM",
            Self::Dram => "DRAM",
        }
    }
}

/// One section of the firmware.
#[derive(Debug)]
struct Section {
    name: String,
    memory: Memory,
    address: u64,
    size: u64,
    /// Whether the image carries its content: everything but zeroed variables.
    loaded: bool,
}

impl Section {
    /// RAM content lies in flash too, from where the start code or the boot ROM copies it.
    fn flash(&self) -> u64 {
        if self.loaded || self.memory == Memory::Flash { self.size } else { 0 }
    }

    fn holds(&self, address: u64) -> bool {
        (self.address..self.address + self.size).contains(&address)
    }

    fn in_memory(&self, memory: Memory) -> u64 {
        match memory {
            Memory::Flash => self.flash(),
            _ if memory == self.memory => self.size,
            _ => 0,
        }
    }
}

/// A linked firmware.
#[derive(Debug)]
pub struct Image {
    sections: Vec<Section>,
    /// Bytes of data RAM that are left for the heap.
    pub heap: u64,
}

impl Image {
    /// Reads an ELF file.
    ///
    /// # Errors
    /// When the file is no firmware.
    pub fn read(elf: &Path) -> Result<Self> {
        with_elf(elf, |file| {
            let sections = sections(file)?;
            if sections.is_empty() {
                bail!("{} has nothing at the chip's addresses", elf.display());
            }
            // The linker script's names.
            let address =
                |name| file.symbol_by_name(name).map(|symbol| symbol.address()).unwrap_or_default();
            let heap = address("_heap_end").saturating_sub(address("_heap_start"));
            Ok(Self { sections, heap })
        })
    }

    /// Bytes that it takes of a memory; of data RAM for static variables and the boot stack.
    #[must_use]
    pub fn total(&self, memory: Memory) -> u64 {
        total(&self.sections, memory)
    }
}

/// Prints the tables and checks the budgets.
///
/// # Errors
/// When the file is no firmware or a budget is exceeded.
pub fn report(elf: &Path, budget: &Budget) -> Result<()> {
    let image = Image::read(elf)?;
    output::line(section_table(&image.sections))?;
    match linker_map(elf) {
        Some(map) => {
            let text = std::fs::read_to_string(&map)
                .with_context(|| format!("cannot read {}", map.display()))?;
            let lines = addr2line::Loader::new(elf).ok();
            let source = |address| {
                let place = lines.as_ref()?.find_location(address).ok()??;
                place.file.map(ToOwned::to_owned)
            };
            output::line(library_table(&image.sections, &text, source))?;
        }
        None => output::line("(no sizes by library: the linker's map is not there)")?,
    }
    check(&image.sections, budget)
}

/// The map that the linker wrote beside its output. Cargo makes the ELF in `deps/` under
/// another name and links it to where one looks for it.
fn linker_map(elf: &Path) -> Option<PathBuf> {
    let beside = |path: &Path| {
        let map = PathBuf::from(format!("{}.map", path.display()));
        map.is_file().then_some(map)
    };
    let own = std::fs::metadata(elf).ok()?;
    beside(elf).or_else(|| {
        let folder = std::fs::read_dir(elf.parent()?.join("deps")).ok()?;
        folder.flatten().find_map(|entry| {
            let other = entry.metadata().ok()?;
            let same = (own.dev(), own.ino()) == (other.dev(), other.ino());
            same.then(|| beside(&entry.path())).flatten()
        })
    })
}

fn sections(file: &ElfFile32) -> Result<Vec<Section>> {
    let mut found = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else {
            continue;
        };
        if sh_flags & u64::from(SHF_ALLOC) == 0 || section.size() == 0 {
            continue;
        }
        if let Some(memory) = Memory::of(section.address()) {
            found.push(Section {
                name: section.name()?.to_owned(),
                memory,
                address: section.address(),
                size: section.size(),
                loaded: section.kind() != SectionKind::UninitializedData,
            });
        }
    }
    Ok(found)
}

fn total(sections: &[Section], memory: Memory) -> u64 {
    sections.iter().map(|section| section.in_memory(memory)).sum()
}

fn section_table(sections: &[Section]) -> String {
    let figures = |section: &Section| Memory::ALL.map(|memory| section.in_memory(memory));
    let mut rows: Vec<_> =
        sections.iter().map(|section| (&*section.name, figures(section))).collect();
    rows.push(("total", Memory::ALL.map(|memory| total(sections, memory))));
    table("section", &rows) + "\n"
}

/// A line for each row below a head.
fn table(kind: &str, rows: &[(&str, [u64; 3])]) -> String {
    let mut text = format!("{kind:<20} {:>9} {:>9} {:>9}", "flash", "IRAM", "DRAM");
    for (name, [flash, iram, dram]) in rows {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{name:<20} {flash:>9} {iram:>9} {dram:>9}");
    }
    text
}

/// The bytes of each library in each memory, from the linker's map and, for what was compiled as
/// one program, the `source` file of an address.
fn library_table(
    sections: &[Section],
    map: &str,
    source: impl Fn(u64) -> Option<String>,
) -> String {
    let mut libraries: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    let mut rest = Memory::ALL.map(|memory| total(sections, memory));
    for Piece { address, size, file } in pieces(map) {
        let Some(section) = sections.iter().find(|section| section.holds(address)) else {
            continue;
        };
        let piece = Section { name: String::new(), address, size, ..*section };
        let library = if file.ends_with(WHOLE_PROGRAM) {
            // Its literals come before a function's code.
            source(address + size - 1).as_deref().map_or(DATA, library_of_source)
        } else {
            library(file)
        };
        let sizes = libraries.entry(library).or_default();
        for ((sum, rest), memory) in sizes.iter_mut().zip(&mut rest).zip(Memory::ALL) {
            let bytes = piece.in_memory(memory);
            *sum += bytes;
            *rest = rest.saturating_sub(bytes);
        }
    }
    let mut rows: Vec<_> = libraries.into_iter().collect();
    // The largest first.
    rows.sort_by_key(|(_, sizes)| std::cmp::Reverse(*sizes));
    rows.push(("stack, alignment", rest));
    table("library", &rows)
}

/// What one object file brings to one section.
#[derive(Debug, PartialEq, Eq)]
struct Piece<'a> {
    address: u64,
    size: u64,
    file: &'a str,
}

/// Reads the linker's map: lines ` NAME 0xADDRESS 0xSIZE FILE`, where a long name has a line
/// of its own.
fn pieces(map: &str) -> impl Iterator<Item = Piece<'_>> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    // What comes before lists sections that were dropped.
    let (_, placed) = map.split_once("Linker script and memory map").unwrap_or(("", ""));
    placed.lines().filter_map(move |line| {
        let numbers = line.find(" 0x")?;
        let mut words = line[numbers..].trim_start().splitn(2, ' ');
        let address = number(words.next()?)?;
        let mut words = words.next()?.trim_start().splitn(2, ' ');
        let size = number(words.next()?)?;
        let file = words.next()?.trim();
        (size > 0 && file.contains('/')).then_some(Piece { address, size, file })
    })
}

/// How the name of the object ends to which gcc compiles the C libraries, all at once.
const WHOLE_PROGRAM: &str = ".lto.o";

/// Constants and variables in that object, of which no line is known.
const DATA: &str = "data of C libraries";

/// The library of a source file among those that were compiled as one program.
fn library_of_source(path: &str) -> &'static str {
    let is_below = |name: &&str| path.split('/').any(|folder| folder.starts_with(name));
    // lwIP has a folder called freertos.
    ["lwip", "mbedtls", "paho"].into_iter().find(is_below).unwrap_or("kernel")
}

/// The library of an object: `…/liblwip.a(…-tcp.o)` is of lwip. Rust comes as one object, to
/// which the linker wrapper gives the name of the firmware.
fn library(file: &str) -> &str {
    let path = file.split('(').next().unwrap_or(file);
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.strip_prefix("lib").and_then(|name| name.strip_suffix(".a")) {
        Some("c") => "picolibc",
        Some("gcc") => "libgcc",
        Some(library) => library,
        None if name.starts_with("compiler_builtins") => "compiler_builtins",
        None => "Rust",
    }
}

fn check(sections: &[Section], budget: &Budget) -> Result<()> {
    let limits = [budget.flash_max, budget.iram_max, budget.dram_max];
    let figures: Vec<Figure> = Memory::ALL
        .into_iter()
        .zip(limits)
        .map(|(memory, most)| Figure::bytes(memory.name(), total(sections, memory), most))
        .collect();
    budget::check(&figures, "the Makefile (`size`)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware() -> Vec<Section> {
        let section = |name: &str, address, size, loaded| Section {
            name: name.to_owned(),
            memory: Memory::of(address).unwrap(),
            address,
            size,
            loaded,
        };
        vec![
            section(".irom.text", 0x4020_0000, 1000, true),
            section(".iram.text", 0x4010_0000, 100, true),
            section(".data", 0x3FFE_8000, 10, true),
            section(".bss", 0x3FFE_800A, 5, false),
        ]
    }

    #[test]
    fn libraries_are_added_up() {
        let map = "Discarded input sections\n\
                    .text.gone  0x00000000  0x400 /x/liblwip.a(1-tcp.o)\n\
                    Linker script and memory map\n\
                    .irom.text     0x40200000      0x3e8\n \
                    *(.text .text.*)\n \
                    .text.a        0x40200000      0x100 /a b/liblwip.a(1-tcp.o)\n \
                    .text.a_name_so_long_that_it_has_a_line_of_its_own\n                \
                                   0x40200100       0xc8 /x/firmware_qemu-1.asm.o\n                 \
                                   0x40200110               a_symbol\n \
                    *fill*         0x402001c8        0x8 \n \
                    .text.c        0x402001d0       0x10 /usr/lib/./libc.a(printf.o)\n \
                    .text.e        0x402001e0       0x40 /tmp/cc1.lto.o\n                \
                                   0x402001e0       0x48 (size before relaxing)\n \
                    .text.f        0x40200220       0x30 /tmp/cc1.lto.o\n \
                    .rodata.g      0x40200250        0x4 /tmp/cc1.lto.o\n \
                    .data.d        0x3ffe8000        0xa /x/liblwip.a(2-udp.o)\n";
        let source = |address| match address {
            0x4020_021F => Some("/x/lwip-0.4.0/contrib/ports/freertos/sys_arch.c".to_owned()),
            0x4020_024F => Some("/x/freertos-next-0.12.0/FreeRTOS-Kernel/tasks.c".to_owned()),
            _ => None,
        };
        let table = library_table(&firmware(), map, source);
        let rows: Vec<Vec<&str>> =
            table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["lwip", "330", "0", "10"]);
        assert_eq!(rows[1], ["Rust", "200", "0", "0"]);
        assert_eq!(rows[2], ["kernel", "48", "0", "0"]);
        assert_eq!(rows[3], ["picolibc", "16", "0", "0"]);
        assert_eq!(rows[4], ["data", "of", "C", "libraries", "4", "0", "0"]);
        // Of 1110, 100 and 15 bytes.
        assert_eq!(rows[5], ["stack,", "alignment", "512", "100", "5"]);
    }

    #[test]
    fn loaded_ram_counts_in_flash_too() {
        let firmware = firmware();
        assert_eq!(total(&firmware, Memory::Flash), 1110);
        assert_eq!(total(&firmware, Memory::Iram), 100);
        assert_eq!(total(&firmware, Memory::Dram), 15);
    }

    #[test]
    fn budgets_are_limits() {
        let mut budget = Budget { flash_max: Some(1110), ..Budget::default() };
        assert!(check(&firmware(), &budget).is_ok());
        budget.dram_max = Some(14);
        let error = check(&firmware(), &budget).unwrap_err();
        assert!(error.to_string().starts_with("over budget: DRAM is 15 of 14 bytes\n"), "{error}");
    }
}
