//! `thing image`: the files that are written to a board's flash.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use board_facts::Board;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSymbol};
use process::files;
use slots::Slot;

use crate::esptool::Esptool;

/// Where in flash the boot stage lies, which the boot ROM loads.
pub const BOOT_OFFSET: u32 = slots::STAGE;
/// Where a firmware that is flashed lies: slot A.
pub const FIRMWARE_OFFSET: u32 = Slot::A.offset();
/// The identity region that slot A's firmware sees.
pub const IDENTITY_OFFSET: u32 = identity::REGION_OFFSET;
/// Bytes of flash of the usual boards.
pub const FLASH_SIZE: u32 = 0x40_0000;
/// Where the CPU sees the first of a firmware's code and constants.
pub const CODE_SEEN: u32 = slots::WINDOW + slots::SLOT_START + slots::CODE_AT;

const _: () = assert!(IDENTITY_OFFSET == slots::SLOT_END);

/// The files of one firmware.
#[derive(Clone, Debug)]
pub struct Image {
    /// The boot stage, which the boot ROM loads into RAM.
    pub boot: PathBuf,
    /// The firmware, for either slot.
    pub firmware: PathBuf,
}

impl Image {
    /// The files in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            boot: folder.join(format!("firmware-0x{BOOT_OFFSET:05x}.bin")),
            firmware: folder.join(format!("firmware-0x{FIRMWARE_OFFSET:05x}.bin")),
        }
    }

    /// What is written where.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn contents(&self) -> Result<[(u32, Vec<u8>); 2]> {
        let read = |path: &Path| {
            fs::read(path)
                .with_context(|| format!("{} is missing: run `make image`", path.display()))
        };
        Ok([(BOOT_OFFSET, read(&self.boot)?), (FIRMWARE_OFFSET, read(&self.firmware)?)])
    }

    /// Makes them from the ELFs of the boot stage and of a firmware for `board`, and has esptool
    /// check what it made.
    ///
    /// # Errors
    /// When an ELF is none for the chip, or esptool does not agree with the result.
    pub fn make(
        esptool: &Esptool,
        board: &Board,
        boot: &Path,
        elf: &Path,
        folder: &Path,
    ) -> Result<Self> {
        files::make_folder(folder)?;
        let image = Self::in_folder(folder);
        // The old ones.
        files::remove(&image.boot)?;
        files::remove(&image.firmware)?;
        let size = format!("{}MB", board.flash_mib);
        let convert = |version: u8, to: &Path, elf: &Path| {
            // DIO at 40 MHz: what every flash chip on such a module can do.
            let options = format!(
                "--chip esp8266 elf2image --version {version} --flash-mode dio --flash-freq 40m \
                 --flash-size {size} --output"
            );
            let options = options.split(' ').map(OsStr::new);
            esptool.output(options.chain([to.as_os_str(), elf.as_os_str()]))
        };
        // esptool takes the output for the beginning of a name here, to which it adds the offset.
        convert(1, &folder.join("firmware-"), boot)?;
        convert(2, &image.firmware, elf)?;
        let mut firmware = fs::read(&image.firmware)?;
        firmware.extend([0; 4 * SUMS]);
        if seal(&mut firmware).is_none_or(|length| length != firmware.len()) {
            bail!("{}: esptool made no image for a slot", image.firmware.display());
        }
        image.check(esptool, &size, boot, elf)?;
        fs::write(&image.firmware, firmware)
            .with_context(|| format!("cannot write {}", image.firmware.display()))?;
        image.verify()?;
        Ok(image)
    }

    /// Has esptool look at what it made, before the sums are added.
    fn check(&self, esptool: &Esptool, size: &str, boot: &Path, elf: &Path) -> Result<()> {
        let symbols = Symbols::read(elf)?;
        let firmware = Boot::of_slot(&fs::read(&self.firmware)?).context("no image for a slot")?;
        firmware.agrees(&symbols)?;
        let stage = Boot::parse(&fs::read(&self.boot)?).map_err(anyhow::Error::msg)?;
        if stage.entry != Symbols::read(boot)?.of("_start")? {
            bail!("the image starts at 0x{:08x}, the boot stage elsewhere", stage.entry);
        }
        for (file, image) in [(&self.boot, &stage), (&self.firmware, &firmware)] {
            // With the chip named: esptool's own guess takes a byte of the first segment's length
            // for the number of a newer chip.
            let arguments = ["--chip", "esp8266", "image-info"].map(OsStr::new);
            let said = esptool.output(arguments.into_iter().chain([file.as_os_str()]))?;
            agreement(image, size, &said)?;
        }
        Ok(())
    }

    /// Checks the files again, before they are written to a board: what boot ROM and boot stage
    /// would find wrong is found here.
    ///
    /// # Errors
    /// When one is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        let [(_, boot), (_, firmware)] = self.contents()?;
        let damaged = |file: &Path, what: &str| {
            anyhow::anyhow!("{} is damaged ({what}): run `make image`", file.display())
        };
        Boot::parse(&boot).map_err(|what| damaged(&self.boot, &what))?;
        if boot.len() > slots::SECTOR as usize {
            return Err(damaged(&self.boot, "it does not fit its sector"));
        }
        let sound = slots::Image::check(|at| word(&firmware, at));
        if sound.is_none_or(|image| 4 * image.words as usize != firmware.len()) {
            return Err(damaged(&self.firmware, "its sums are wrong"));
        }
        Ok(())
    }

    /// What lies where, in words.
    ///
    /// # Errors
    /// When a file is gone or the ELF is no firmware for the chip.
    pub fn map(&self, board: &Board, elf: &Path) -> Result<String> {
        let symbols = Symbols::read(elf)?;
        let of = |name: &str| symbols.of(name);
        let [boot, firmware] = self.contents()?.map(|(_, content)| content.len());
        let (iram, data) = (of("_iram_start")?, of("_data_start")?);
        let (bss, heap) = (of("_bss_start")?, of("_heap_start")?);
        let stack = of("_stack_bottom")?;
        let (records, slot_b) = (slots::RECORDS[0], Slot::B.offset());
        let other = match board.no_updates() {
            None => format!(
                "  0x{slot_b:06x}          slot B: the firmware that an update brings, and 0x{:06x} \
                 the identity that it sees\n",
                slots::MIB + IDENTITY_OFFSET
            ),
            Some(reason) => format!("No updates over the air: {reason}\n"),
        };
        Ok(format!(
            "Flash, {flash} KB:\n  \
             0x{BOOT_OFFSET:06x}  {boot:7} bytes  {boot_file}: the boot stage\n  \
             0x{records:06x}  {records_size:7} bytes  two boot records: which slot is booted; \
             erased by `make flash`\n  \
             0x{FIRMWARE_OFFSET:06x}  {firmware:7} bytes  {firmware_file}: slot A; code and \
             constants, run from here, seen by the CPU at 0x{CODE_SEEN:08x}, and what the boot \
             stage copies to RAM\n  \
             0x{IDENTITY_OFFSET:06x}  {identity:7} bytes  the identity, written beside the \
             firmware: two copies of credentials and settings\n\
             {other}\
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
            flash = 1024 * u32::from(board.flash_mib),
            records_size = 2 * slots::SECTOR,
            boot_file = self.boot.display(),
            firmware_file = self.firmware.display(),
            identity = identity::REGION_SIZE,
            iram_size = of("_iram_end")? - iram,
            stack_size = of("_stack_top")? - stack,
            data_size = of("_data_end")? - data,
            bss_size = of("_bss_end")? - bss,
            heap_size = of("_heap_end")? - heap,
        ))
    }
}

/// A word of an image as the boot stage reads it; behind its end that of erased flash.
#[must_use]
pub fn word(image: &[u8], at: u32) -> u32 {
    let bytes = image.get(4 * at as usize..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(u32::MAX, |word| u32::from_le_bytes(*word))
}

/// Words of an image's sums.
const SUMS: usize = 2;

/// Puts the sums behind the image that stands at the beginning of these bytes; its length with
/// them. None when there is no image for a slot, or no room.
pub fn seal(bytes: &mut [u8]) -> Option<usize> {
    let length = slots::Image::shape(|at| word(bytes, at))?.words as usize;
    let mut sums = slots::Sums::default();
    (0..length - SUMS).for_each(|at| sums.add(word(bytes, at as u32)));
    let place = bytes.get_mut(4 * (length - SUMS)..4 * length)?;
    for (place, sum) in place.chunks_exact_mut(4).zip(sums.words()) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    Some(4 * length)
}

/// What the boot ROM reads of the boot stage: `0xE9`, the number of segments, flash mode, size and frequency, the
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

    /// What of a slot's image is to agree with ELF and esptool; the code counts as a segment at 0,
    /// as with esptool.
    fn of_slot(image: &[u8]) -> Option<Self> {
        let word = |at| word(image, at);
        let image = slots::Image::shape(word)?;
        let mut segments = vec![(0, word(3))];
        image.for_each_segment(word, |segment| segments.push((segment.address, 4 * segment.words)));
        Some(Self { entry: image.entry, segments })
    }

    /// Whether it starts the firmware and loads its RAM where the linker put that.
    fn agrees(&self, symbols: &Symbols) -> Result<()> {
        if self.entry != symbols.of("_start")? {
            bail!("the image starts at 0x{:08x}, the firmware elsewhere", self.entry);
        }
        if symbols.of("_text_start")? != CODE_SEEN {
            bail!("the firmware's code does not begin at 0x{CODE_SEEN:08x}");
        }
        for name in ["_iram_start", "_data_start"] {
            let wanted = symbols.of(name)?;
            if !self.segments.iter().any(|&(address, _)| address == wanted) {
                bail!("the image has no segment for 0x{wanted:08x} ({name})");
            }
        }
        Ok(())
    }

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

/// Whether esptool image-info says the same of the image.
fn agreement(boot: &Boot, size: &str, said: &str) -> Result<()> {
    let mut wanted = vec![
        "ESP8266 Image Header".to_owned(),
        format!("Flash size: {size}"),
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

/// The address of a function or variable of the firmware; one of Rust by its path, as a backtrace
/// names it.
///
/// # Errors
/// When the ELF cannot be read or has none of that name.
pub fn address_of(elf: &Path, name: &str) -> Result<u32> {
    Symbols::read(elf)?
        .find(|symbol| symbol == name || format!("{:#}", rustc_demangle::demangle(symbol)) == name)
        .with_context(|| format!("{} has no {name}", elf.display()))
}

/// Reads an ELF.
///
/// # Errors
/// When there is none, and those of `read`.
pub fn with_elf<T>(elf: &Path, read: impl FnOnce(&ElfFile32) -> Result<T>) -> Result<T> {
    let bytes = fs::read(elf)
        .with_context(|| format!("cannot read {}: build the firmware first", elf.display()))?;
    let file = ElfFile32::parse(&*bytes)
        .with_context(|| format!("{} is not a 32-bit ELF file", elf.display()))?;
    read(&file)
}

/// The names that an ELF gives to addresses.
struct Symbols(Vec<(String, u32)>);

impl Symbols {
    fn read(elf: &Path) -> Result<Self> {
        with_elf(elf, |file| {
            let symbols = file.symbols().filter_map(|symbol| {
                Some((symbol.name().ok()?.to_owned(), u32::try_from(symbol.address()).ok()?))
            });
            Ok(Self(symbols.collect()))
        })
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<u32> {
        self.0.iter().find(|(name, _)| wanted(name)).map(|&(_, address)| address)
    }

    /// One that the linker script gives.
    fn of(&self, name: &str) -> Result<u32> {
        self.find(|other| other == name)
            .with_context(|| format!("the firmware has no {name}: is it one for the chip?"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const START: u32 = 0x4010_0004;

    /// As esptool makes it.
    pub fn boot(segments: &[(u32, &[u8])]) -> Vec<u8> {
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

    const SEGMENTS: &[(u32, &[u8])] = &[(0x4010_0000, &[0x11; 212]), (0x3FFE_8400, &[0x22; 20])];

    fn stage() -> Vec<u8> {
        boot(SEGMENTS)
    }

    /// As esptool makes one for a slot, with room for the sums.
    fn unsealed() -> Vec<u8> {
        let mut bytes = vec![0xEA, 4, 2, 0x40];
        bytes.extend(START.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 48, 0, 0, 0]);
        bytes.extend([0x33; 48]);
        bytes.extend(boot(SEGMENTS));
        bytes.extend([1, 2, 3, 4]);
        bytes.extend([0; 4 * SUMS]);
        bytes
    }

    /// A whole one.
    pub fn firmware() -> Vec<u8> {
        let mut bytes = unsealed();
        assert_eq!(seal(&mut bytes), Some(bytes.len()));
        bytes
    }

    #[test]
    fn segments_and_entry_are_read() {
        let segments = vec![(0x4010_0000, 212), (0x3FFE_8400, 20)];
        assert_eq!(Boot::parse(&stage()), Ok(Boot { entry: START, segments: segments.clone() }));
        assert_eq!(Boot::parse(&boot(&[])), Ok(Boot { entry: START, segments: Vec::new() }));
        let image = Boot::of_slot(&unsealed()).unwrap();
        assert_eq!(image, Boot { entry: START, segments: [vec![(0, 48)], segments].concat() });
    }

    #[test]
    fn each_damaged_byte_of_the_data_is_found() {
        let good = stage();
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
        let good = stage();
        for length in 0..good.len() {
            assert!(Boot::parse(&good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn only_what_esptool_made_is_sealed() {
        assert!(seal(&mut unsealed()[4..]).is_none());
        let mut bytes = unsealed();
        let shorter = bytes.len() - 1;
        assert!(seal(&mut bytes[..shorter]).is_none());
    }

    #[test]
    fn damage_is_said_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::in_folder(folder.path());
        let error = image.verify().unwrap_err().to_string();
        assert!(error.contains("firmware-0x00000.bin is missing: run `make image`"), "{error}");
        let mut stage = stage();
        fs::write(&image.boot, &stage).unwrap();
        assert!(
            image.verify().unwrap_err().to_string().contains("firmware-0x04000.bin is missing")
        );
        let firmware = firmware();
        fs::write(&image.firmware, &firmware).unwrap();
        image.verify().unwrap();
        let damaged = |bytes: &[u8], file: &Path, what: &str| {
            fs::write(file, bytes).unwrap();
            let error = image.verify().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        for byte in 0..firmware.len() {
            let mut bytes = firmware.clone();
            bytes[byte] ^= 0x10;
            damaged(&bytes, &image.firmware, "firmware-0x04000.bin is damaged (its sums");
        }
        damaged(&firmware[..firmware.len() - 1], &image.firmware, "is damaged");
        fs::write(&image.firmware, firmware).unwrap();
        image.verify().unwrap();
        stage[20] ^= 1;
        damaged(&stage, &image.boot, "is damaged (its checksum is");
        let long = boot(&[(0x4010_7000, &[0; 4096])]);
        damaged(&long, &image.boot, "does not fit its sector");
    }

    #[test]
    fn it_must_load_what_the_linker_placed() {
        let symbols = |start, data, text| {
            Symbols(
                [
                    ("_start", start),
                    ("_iram_start", 0x4010_0000),
                    ("_data_start", data),
                    ("_text_start", text),
                ]
                .map(|(name, address)| (name.to_owned(), address))
                .to_vec(),
            )
        };
        let image = Boot::of_slot(&unsealed()).unwrap();
        image.agrees(&symbols(START, 0x3FFE_8400, CODE_SEEN)).unwrap();
        assert!(image.agrees(&symbols(START + 4, 0x3FFE_8400, CODE_SEEN)).is_err());
        assert!(image.agrees(&symbols(START, 0x3FFE_8404, CODE_SEEN)).is_err());
        assert!(image.agrees(&symbols(START, 0x3FFE_8400, CODE_SEEN + 16)).is_err());
        let error = image.agrees(&Symbols(Vec::new())).unwrap_err().to_string();
        assert!(error.contains("has no _start: is it one for the chip?"), "{error}");
    }

    #[test]
    fn esptool_must_agree() {
        let boot = Boot { entry: START, segments: vec![(0x4010_0000, 212)] };
        let said = "ESP8266 Image Header\nEntry point: 0x40100004\nSegments: 1\n\
                    Flash size: 4MB\nFlash mode: DIO\n0 0x000d4 0x40100000\n\
                    Checksum: 0xef (valid)";
        agreement(&boot, "4MB", said).unwrap();
        for text in ["ESP8266", "0x40100004", "Segments: 1", "4MB", "DIO", "0x40100000", "(valid)"]
        {
            let error = agreement(&boot, "4MB", &said.replace(text, "?")).unwrap_err().to_string();
            assert!(error.contains("esptool image-info does not say"), "{error}");
        }
    }
}
