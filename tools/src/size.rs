//! `thing size`: what a firmware takes of each memory.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::elf::SHF_ALLOC;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, SectionFlags, SectionKind};

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
enum Memory {
    Flash,
    Iram,
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
    size: u64,
    /// Whether the image carries its content: everything but zeroed variables.
    loaded: bool,
}

impl Section {
    /// RAM content lies in flash too, from where the start code or the boot ROM copies it.
    fn flash(&self) -> u64 {
        if self.loaded || self.memory == Memory::Flash { self.size } else { 0 }
    }

    fn in_memory(&self, memory: Memory) -> u64 {
        match memory {
            Memory::Flash => self.flash(),
            _ if memory == self.memory => self.size,
            _ => 0,
        }
    }
}

/// Prints the table and checks the budgets.
///
/// # Errors
/// When the file is no firmware or a budget is exceeded.
pub fn report(elf: &Path, budget: &Budget) -> Result<()> {
    let bytes = std::fs::read(elf)
        .with_context(|| format!("cannot read {}: build the firmware first", elf.display()))?;
    let file: ElfFile32 = ElfFile32::parse(&*bytes)
        .with_context(|| format!("{} is not a 32-bit ELF file", elf.display()))?;
    let sections = sections(&file)?;
    if sections.is_empty() {
        bail!("{} has nothing at the chip's addresses", elf.display());
    }
    print!("{}", section_table(&sections));
    check(&sections, budget)
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
    let mut text = String::new();
    let mut row = |name: &str, figures: [u64; 3]| {
        let [flash, iram, dram] = figures;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<20} {flash:>9} {iram:>9} {dram:>9}");
    };
    for section in sections {
        row(&section.name, Memory::ALL.map(|memory| section.in_memory(memory)));
    }
    row("total", Memory::ALL.map(|memory| total(sections, memory)));
    let head = format!("{:<20} {:>9} {:>9} {:>9}\n", "section", "flash", "IRAM", "DRAM");
    head + &text
}

fn check(sections: &[Section], budget: &Budget) -> Result<()> {
    let limits = [budget.flash_max, budget.iram_max, budget.dram_max];
    let over: Vec<String> = Memory::ALL
        .into_iter()
        .zip(limits)
        .filter_map(|(memory, limit)| {
            let (used, limit) = (total(sections, memory), limit?);
            (used > limit).then(|| format!("{} takes {used} of {limit} bytes", memory.name()))
        })
        .collect();
    if over.is_empty() {
        return Ok(());
    }
    bail!("over budget: {}", over.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware() -> Vec<Section> {
        let section = |name: &str, memory, size, loaded| Section {
            name: name.to_owned(),
            memory,
            size,
            loaded,
        };
        vec![
            section(".irom.text", Memory::Flash, 1000, true),
            section(".iram.text", Memory::Iram, 100, true),
            section(".data", Memory::Dram, 10, true),
            section(".bss", Memory::Dram, 5, false),
        ]
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
        assert_eq!(error.to_string(), "over budget: DRAM takes 15 of 14 bytes");
    }
}
