//! `thing image`: the files that are written to a board's flash.

use std::ffi::OsStr;
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
pub const IDENTITY_OFFSET: u32 = identity::REGION_OFFSET;
/// Bytes of flash of the supported boards.
pub const FLASH_SIZE: u32 = 0x40_0000;
/// The cache's window on the flash.
pub const WINDOW: u32 = 0x4020_0000;

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
        self.verify()?;
        let boot = fs::read(&self.boot)?;
        let code = size(&self.code)?;
        if boot.len() as u64 > u64::from(CODE_OFFSET - BOOT_OFFSET) {
            bail!("{} reaches into the code at 0x{CODE_OFFSET:x}", self.boot.display());
        }
        if code > u64::from(IDENTITY_OFFSET - CODE_OFFSET) {
            bail!("{} reaches into the identity at 0x{IDENTITY_OFFSET:x}", self.code.display());
        }
        // With the chip named: esptool's own guess takes a byte of the first segment's length for
        // the number of a newer chip.
        let arguments = ["--chip", "esp8266", "image-info"].map(OsStr::new);
        let said = esptool.output(arguments.into_iter().chain([self.boot.as_os_str()]))?;
        let symbols = Symbols::read(elf)?;
        let parsed = Boot::parse(&boot).map_err(anyhow::Error::msg)?;
        parsed.agrees(&symbols)?;
        agreement(&parsed, &said)
    }

    /// Checks the files again, before they are written to a board: what the boot ROM would find
    /// wrong is found here.
    ///
    /// # Errors
    /// When one is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        let boot = fs::read(&self.boot)
            .with_context(|| format!("{} is missing: run `make image`", self.boot.display()))?;
        Boot::parse(&boot).map_err(|what| {
            anyhow::anyhow!("{} is damaged ({what}): run `make image`", self.boot.display())
        })?;
        if size(&self.code)? == 0 {
            bail!("{} is empty: run `make image`", self.code.display());
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
             driver, memcpy and its like, kernels of ciphers and curves; up to 12 KB are ours, \
             the rest is for the radio\n\
             RAM for data:\n  \
             0x{stack:08x}  {stack_size:5} bytes  stack of boot and interrupts\n  \
             0x{data:08x}  {data_size:5} bytes  variables with a value\n  \
             0x{bss:08x}  {bss_size:5} bytes  variables that start as zero\n  \
             0x{heap:08x}  {heap_size:5} bytes  heap: tasks, network, TLS; what follows is for \
             the radio\n\
             RTC memory:\n  \
             0x60001200    512 bytes  reset reason, crash record and last known time; survive every reset",
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

/// What the boot ROM reads: `0xE9`, the number of segments, flash mode, size and frequency, the
/// entry point; each segment with its address and length; zeros and a checksum up to a multiple
/// of 16.
#[derive(Debug, PartialEq, Eq)]
struct Boot {
    entry: u32,
    /// Address and bytes of each.
    segments: Vec<(u32, u32)>,
}

impl Boot {
    const MAGIC: u8 = 0xE9;
    const HEADER: usize = 8;
    /// What the checksum starts with.
    const CHECKSUM: u8 = 0xEF;

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let word = |at: usize| {
            bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map(|word| u32::from_le_bytes(*word))
                .ok_or_else(|| format!("it ends at byte {}", bytes.len()))
        };
        let entry = word(4)?;
        if bytes[0] != Self::MAGIC {
            return Err(format!("it begins with 0x{:02x}, not 0xe9", bytes[0]));
        }
        let mut segments = Vec::new();
        let (mut at, mut sum) = (Self::HEADER, Self::CHECKSUM);
        for _ in 0..bytes[1] {
            let (address, length) = (word(at)?, word(at + 4)?);
            at += 8;
            let data = usize::try_from(length)
                .ok()
                .and_then(|length| bytes.get(at..at.checked_add(length)?))
                .ok_or_else(|| format!("it ends at byte {}", bytes.len()))?;
            sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
            at += data.len();
            segments.push((address, length));
        }
        match bytes.get(at | 15) {
            Some(&stored) if stored == sum => Ok(Self { entry, segments }),
            Some(stored) => Err(format!("its checksum is 0x{stored:02x}, not 0x{sum:02x}")),
            None => Err(format!("it ends at byte {}", bytes.len())),
        }
    }
}

impl Boot {
    /// Whether it starts the firmware and loads its RAM where the linker put that.
    fn agrees(&self, symbols: &Symbols) -> Result<()> {
        if self.entry != symbols.of("_start")? {
            bail!("the image starts at 0x{:08x}, the firmware elsewhere", self.entry);
        }
        for name in ["_iram_start", "_data_start"] {
            let wanted = symbols.of(name)?;
            if !self.segments.iter().any(|&(address, _)| address == wanted) {
                bail!("the image has no segment for 0x{wanted:08x} ({name})");
            }
        }
        Ok(())
    }
}

/// Whether esptool image-info says the same of the image.
fn agreement(boot: &Boot, said: &str) -> Result<()> {
    let mut wanted = vec![
        "ESP8266 Image Header".to_owned(),
        "Flash size: 4MB".to_owned(),
        "Flash mode: DIO".to_owned(),
        "(valid)".to_owned(),
        format!("Segments: {}", boot.segments.len()),
        format!("Entry point: 0x{:08x}", boot.entry),
    ];
    wanted.extend(boot.segments.iter().map(|(address, _)| format!("0x{address:08x}")));
    for text in wanted {
        if !said.contains(&text) {
            bail!("esptool image-info does not say `{text}` of the image, but:\n{said}");
        }
    }
    Ok(())
}

fn size(file: &Path) -> Result<u64> {
    let metadata = fs::metadata(file)
        .with_context(|| format!("{} is missing: run `make image`", file.display()))?;
    Ok(metadata.len())
}

/// The address of a function or variable of the firmware.
///
/// # Errors
/// When the ELF cannot be read or has none of that name.
pub fn address_of(elf: &Path, name: &str) -> Result<u32> {
    Symbols::read(elf)?.of(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 0x4010_0004;

    /// As esptool makes it.
    fn boot(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0xE9, u8::try_from(segments.len()).unwrap(), 2, 0x40];
        bytes.extend(START.to_le_bytes());
        let mut sum = 0xEF;
        for (address, data) in segments {
            bytes.extend(address.to_le_bytes());
            bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            bytes.extend(*data);
            sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
        }
        while bytes.len() % 16 != 15 {
            bytes.push(0);
        }
        bytes.push(sum);
        bytes
    }

    fn firmware() -> Vec<u8> {
        boot(&[(0x4010_0000, &[0x11; 212]), (0x3FFE_8400, &[0x22; 20])])
    }

    #[test]
    fn segments_and_entry_are_read() {
        let segments = vec![(0x4010_0000, 212), (0x3FFE_8400, 20)];
        assert_eq!(Boot::parse(&firmware()), Ok(Boot { entry: START, segments }));
        assert_eq!(Boot::parse(&boot(&[])), Ok(Boot { entry: START, segments: Vec::new() }));
    }

    #[test]
    fn each_damaged_byte_of_the_data_is_found() {
        let good = firmware();
        for at in [0, 16, 16 + 211, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            assert!(Boot::parse(&bytes).is_err(), "byte {at}");
        }
        let error = Boot::parse(&[0xFF; 4096]).unwrap_err();
        assert!(error.contains("begins with 0xff"), "{error}");
        // A length beyond everything.
        let mut bytes = good;
        bytes[12..16].fill(0xFF);
        assert!(Boot::parse(&bytes).unwrap_err().contains("it ends"));
    }

    #[test]
    fn one_that_was_cut_off_is_found() {
        let good = firmware();
        for length in 0..good.len() {
            assert!(Boot::parse(&good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn damage_is_said_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::in_folder(folder.path());
        let error = image.verify().unwrap_err().to_string();
        assert!(error.contains("firmware-0x00000.bin is missing: run `make image`"), "{error}");
        let mut bytes = firmware();
        fs::write(&image.boot, &bytes).unwrap();
        assert!(
            image.verify().unwrap_err().to_string().contains("firmware-0x10000.bin is missing")
        );
        fs::write(&image.code, [1]).unwrap();
        image.verify().unwrap();
        bytes[20] ^= 1;
        fs::write(&image.boot, &bytes).unwrap();
        let error = image.verify().unwrap_err().to_string();
        assert!(error.contains("is damaged (its checksum is"), "{error}");
    }

    #[test]
    fn it_must_load_what_the_linker_placed() {
        let symbols = |start, data| {
            Symbols(
                [("_start", start), ("_iram_start", 0x4010_0000), ("_data_start", data)]
                    .map(|(name, address)| (name.to_owned(), address))
                    .to_vec(),
            )
        };
        let boot = Boot::parse(&firmware()).unwrap();
        boot.agrees(&symbols(START, 0x3FFE_8400)).unwrap();
        assert!(boot.agrees(&symbols(START + 4, 0x3FFE_8400)).is_err());
        assert!(boot.agrees(&symbols(START, 0x3FFE_8404)).is_err());
        let error = boot.agrees(&Symbols(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("has no _start: is it one for the chip?"), "{error}");
    }

    #[test]
    fn esptool_must_agree() {
        let boot = Boot { entry: START, segments: vec![(0x4010_0000, 212)] };
        let said = "ESP8266 Image Header\nEntry point: 0x40100004\nSegments: 1\n\
                    Flash size: 4MB\nFlash mode: DIO\n0 0x000d4 0x40100000\n\
                    Checksum: 0xef (valid)";
        agreement(&boot, said).unwrap();
        for text in ["ESP8266", "0x40100004", "Segments: 1", "4MB", "DIO", "0x40100000", "(valid)"]
        {
            let error = agreement(&boot, &said.replace(text, "?")).unwrap_err().to_string();
            assert!(error.contains("image-info does not say"), "{text}: {error}");
        }
    }
}
