//! `thing image`: the files that are written to a board's flash.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSymbol};

use crate::esptool::Esptool;

/// Where in flash things lie (`bsp/esp8266/link/esp8266.ld`).
pub const BOOT_OFFSET: u32 = 0;
/// Code and constants.
pub const CODE_OFFSET: u32 = 0x1_0000;
/// The identity region.
pub const IDENTITY_OFFSET: u32 = 0xF_8000;
/// Bytes of flash of the supported boards.
pub const FLASH_SIZE: u32 = 0x40_0000;
/// The cache's window on the flash.
const WINDOW: u32 = 0x4020_0000;

/// The files of one firmware.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the boot ROM loads into RAM.
    pub boot: PathBuf,
    /// What stays in flash.
    pub code: PathBuf,
}

impl Image {
    /// The files in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            boot: folder.join(format!("firmware-0x{BOOT_OFFSET:05x}.bin")),
            code: folder.join(format!("firmware-0x{CODE_OFFSET:05x}.bin")),
        }
    }

    /// Makes them from `elf` and has esptool check what it made.
    ///
    /// # Errors
    /// When the ELF is no firmware for the chip, or esptool does not agree with the result.
    pub fn make(esptool: &Esptool, elf: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let image = Self::in_folder(folder);
        for old in [&image.boot, &image.code] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("cannot remove the old {}", old.display()));
                }
                _ => {}
            }
        }
        // DIO at 40 MHz: what every flash chip on such a module can do.
        let prefix = folder.join("firmware-");
        let prefix = prefix.to_str().context("the folder's name is not UTF-8")?;
        let elf_name = elf.to_str().context("the firmware's name is not UTF-8")?;
        #[rustfmt::skip]
        esptool.output([
            "--chip", "esp8266", "elf2image", "--flash-mode", "dio", "--flash-freq", "40m",
            "--flash-size", "4MB", "--output", prefix, elf_name,
        ])?;
        image.check(esptool, elf)?;
        Ok(image)
    }

    fn check(&self, esptool: &Esptool, elf: &Path) -> Result<()> {
        let boot = fs::read(&self.boot)
            .with_context(|| format!("esptool did not make {}", self.boot.display()))?;
        let code = size(&self.code)?;
        if boot.len() as u64 > u64::from(CODE_OFFSET - BOOT_OFFSET) {
            bail!("{} reaches into the code at 0x{CODE_OFFSET:x}", self.boot.display());
        }
        if code > u64::from(IDENTITY_OFFSET - CODE_OFFSET) {
            bail!("{} reaches into the identity at 0x{IDENTITY_OFFSET:x}", self.code.display());
        }
        let said = esptool.output(["image-info".as_ref(), self.boot.as_os_str()])?;
        let entry = Symbols::read(elf)?.of("_start")?;
        let entry = format!("Entry point: 0x{entry:08x}");
        for wanted in ["Detected image type: ESP8266", "Flash size: 4MB", "(valid)", &entry] {
            if !said.contains(wanted) {
                bail!("esptool image-info does not say `{wanted}` of the image, but:\n{said}");
            }
        }
        Ok(())
    }

    /// What lies where, in words.
    ///
    /// # Errors
    /// When a file is gone or the ELF is no firmware for the chip.
    pub fn map(&self, elf: &Path) -> Result<String> {
        let symbols = Symbols::read(elf)?;
        let of = |name: &str| symbols.of(name);
        let (boot, code) = (size(&self.boot)?, size(&self.code)?);
        let (iram, data) = (of("_iram_start")?, of("_data_start")?);
        let (bss, heap) = (of("_bss_start")?, of("_heap_start")?);
        let stack = of("_stack_bottom")?;
        Ok(format!(
            "Flash, {flash} KB:\n  \
             0x{BOOT_OFFSET:06x}  {boot:7} bytes  {boot_file}: what the boot ROM copies to RAM\n  \
             0x{CODE_OFFSET:06x}  {code:7} bytes  {code_file}: code and constants; run from here, \
             seen by the CPU at 0x{code_seen:08x}\n  \
             0x{IDENTITY_OFFSET:06x}  {identity:7} bytes  the identity, written beside the \
             firmware: two copies of credentials and settings\n\
             RAM for instructions:\n  \
             0x{iram:08x}  {iram_size:5} bytes  vectors, context switch, emulated loads, flash \
             driver; up to 12 KB are ours, the rest is for the radio\n\
             RAM for data:\n  \
             0x{stack:08x}  {stack_size:5} bytes  stack of boot and interrupts\n  \
             0x{data:08x}  {data_size:5} bytes  variables with a value\n  \
             0x{bss:08x}  {bss_size:5} bytes  variables that start as zero\n  \
             0x{heap:08x}  {heap_size:5} bytes  heap: tasks, network, TLS; what follows is for \
             the radio\n\
             RTC memory:\n  \
             0x60001200    512 bytes  reset reason and crash record; survives every reset",
            flash = FLASH_SIZE / 1024,
            boot_file = self.boot.display(),
            code_file = self.code.display(),
            code_seen = WINDOW + CODE_OFFSET,
            identity = identity::REGION_SIZE,
            iram_size = of("_iram_end")? - iram,
            stack_size = of("_stack_top")? - stack,
            data_size = of("_data_end")? - data,
            bss_size = of("_bss_end")? - bss,
            heap_size = of("_heap_end")? - heap,
        ))
    }
}

fn size(file: &Path) -> Result<u64> {
    let metadata = fs::metadata(file)
        .with_context(|| format!("{} is missing: run `make image`", file.display()))?;
    Ok(metadata.len())
}

/// The names that the linker script gives to addresses.
struct Symbols(Vec<(String, u32)>);

impl Symbols {
    fn read(elf: &Path) -> Result<Self> {
        let bytes = fs::read(elf)
            .with_context(|| format!("cannot read {}: build the firmware first", elf.display()))?;
        let file: ElfFile32 = ElfFile32::parse(&*bytes)
            .with_context(|| format!("{} is not a 32-bit ELF file", elf.display()))?;
        Ok(Self(
            file.symbols()
                .filter_map(|symbol| {
                    Some((symbol.name().ok()?.to_owned(), u32::try_from(symbol.address()).ok()?))
                })
                .collect(),
        ))
    }

    fn of(&self, name: &str) -> Result<u32> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|&(_, address)| address)
            .with_context(|| format!("the firmware has no {name}: is it one for the chip?"))
    }
}
