//! The SPI NOR flash chip: a file behind the commands of a 25-series part.
//!
//! Programming can only clear bits, erasing sets them sector by sector, and both need the write
//! enable latch. Operations finish at once: the busy bit is never seen set, but they can be counted
//! as slow ([`Speed`]), for those who wait. A power cut can be armed to strike after any number of
//! programmed or erased bytes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::snapshot::{Keep, Kept, Tape, check, keep_enum};

/// Bytes of the smallest erasable unit.
pub const SECTOR: usize = 0x1000;
/// Bytes of a block erased at once.
pub const BLOCK: usize = 0x10000;
/// Bytes of a page: programming wraps around within it.
pub const PAGE: usize = 0x100;

/// JEDEC manufacturer and memory type of a Winbond W25Q series part.
const JEDEC_WINBOND: [u8; 2] = [0xEF, 0x40];

/// Status register: write enable latch.
const STATUS_WEL: u8 = 0x02;

/// Commands of the 25 series.
mod command {
    pub const WRSR: u8 = 0x01;
    pub const PP: u8 = 0x02;
    pub const READ: u8 = 0x03;
    pub const WRDI: u8 = 0x04;
    pub const RDSR: u8 = 0x05;
    pub const WREN: u8 = 0x06;
    pub const FAST_READ: u8 = 0x0B;
    pub const SE: u8 = 0x20;
    pub const RDSR2: u8 = 0x35;
    pub const DUAL_OUT_READ: u8 = 0x3B;
    pub const RDUID: u8 = 0x4B;
    pub const BE32: u8 = 0x52;
    pub const SFDP: u8 = 0x5A;
    pub const CE_OLD: u8 = 0x60;
    pub const QUAD_OUT_READ: u8 = 0x6B;
    pub const REMS: u8 = 0x90;
    pub const RDID: u8 = 0x9F;
    pub const RES: u8 = 0xAB;
    pub const DP: u8 = 0xB9;
    pub const DUAL_IO_READ: u8 = 0xBB;
    pub const CE: u8 = 0xC7;
    pub const BE: u8 = 0xD8;
    pub const QUAD_IO_READ: u8 = 0xEB;
}

/// How long programming and erasing take, by the data sheet of the W25Q32 (rev. K, 9.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// No time.
    #[default]
    AtOnce,
    /// What is typical.
    Typical,
    /// The longest that is allowed.
    Worst,
}

impl Speed {
    /// Nanoseconds of a command that changes something.
    fn duration(self, code: u8) -> u64 {
        const MS: u64 = 1_000_000;
        let (typical, worst) = match code {
            command::PP => (MS * 4 / 10, 3 * MS),
            command::SE => (45 * MS, 400 * MS),
            command::BE32 => (120 * MS, 1_600 * MS),
            command::BE => (150 * MS, 2_000 * MS),
            command::CE | command::CE_OLD => (10_000 * MS, 50_000 * MS),
            command::WRSR => (10 * MS, 15 * MS),
            _ => (0, 0),
        };
        match self {
            Self::AtOnce => 0,
            Self::Typical => typical,
            Self::Worst => worst,
        }
    }
}

/// A flash chip and the file that holds its contents.
pub struct Flash {
    data: Vec<u8>,
    file: Option<File>,
    write_enabled: bool,
    status: u16,
    /// Bytes that may still be changed before the power goes.
    cut_after: Option<u64>,
    powered: bool,
    /// Changed ranges (offset, length) not yet fetched by [`Flash::take_changes`].
    changes: Vec<(usize, usize)>,
    /// Who is writing, and who wrote each sector last.
    pub writer: Writer,
    writers: Vec<Writer>,
    speed: Speed,
    /// Nanoseconds of work since [`Flash::take_work`].
    work: u64,
    /// Where what changes the contents is written down.
    log: Option<File>,
}

/// Who wrote a sector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writer {
    /// It was there when the board was made.
    #[default]
    Before,
    /// The serial loader of the ROM, for a host.
    Loader,
    /// The program.
    Program,
}

keep_enum!(Writer { Before, Loader, Program });

/// Contents, latch and status; not the file, and what is armed. Erased sectors take no room.
impl Keep for Flash {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.write_enabled.keep(tape)?;
        self.status.keep(tape)?;
        self.writer.keep(tape)?;
        for (sector, writer) in self.data.chunks_exact_mut(SECTOR).zip(&mut self.writers) {
            writer.keep(tape)?;
            let mut erased = sector.iter().all(|byte| *byte == 0xFF);
            erased.keep(tape)?;
            if erased {
                sector.fill(0xFF);
            } else {
                tape.bytes(sector)?;
            }
        }
        check(self.powered, "its flash has no power")
    }
}

impl Flash {
    /// A blank chip in memory only. `size` is a power of two, 64 KiB to 16 MiB.
    #[must_use]
    pub fn blank(size: usize) -> Self {
        assert!(size.is_power_of_two() && (BLOCK..=0x100_0000).contains(&size));
        Self {
            data: vec![0xFF; size],
            file: None,
            write_enabled: false,
            status: 0,
            cut_after: None,
            powered: true,
            changes: Vec::new(),
            writer: Writer::Before,
            writers: vec![Writer::Before; size / SECTOR],
            speed: Speed::AtOnce,
            work: 0,
            log: None,
        }
    }

    /// From now on writes down each command that changes the contents, one a line: its code and
    /// address in hexadecimal, and what is programmed. [`Flash::repeat`] reads it.
    pub fn log_to(&mut self, log: File) {
        self.log = Some(log);
    }

    /// Does what a line of such a log says. False when it is none.
    pub fn repeat(&mut self, line: &str) -> bool {
        let mut words = line.split(' ');
        let (Some(code), Some(address), Some(hex), None) = (
            words.next().and_then(|word| u8::from_str_radix(word, 16).ok()),
            words.next().and_then(|word| u32::from_str_radix(word, 16).ok()),
            words.next(),
            words.next(),
        ) else {
            return false;
        };
        let sent: Option<Vec<u8>> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
            .collect();
        let Some(sent) = sent else { return false };
        self.transact(command::WREN, 0, &[], &mut []);
        self.transact(code, address, &sent, &mut []);
        true
    }

    fn write_down(&mut self, code: u8, address: usize, sent: &[u8]) {
        use std::io::Write as _;

        use command::{BE, BE32, CE, CE_OLD, PP, SE};
        let Some(log) = &mut self.log else { return };
        if !self.write_enabled || !matches!(code, PP | SE | BE32 | BE | CE | CE_OLD) {
            return;
        }
        let hex: String = sent.iter().map(|byte| format!("{byte:02x}")).collect();
        if let Err(e) = log.write_all(format!("{code:02x} {address:06x} {hex}\n").as_bytes()) {
            eprintln!("virtual-nodemcu: writing the flash's log failed: {e}");
            std::process::exit(1);
        }
    }

    /// From now on operations count as so slow.
    pub fn set_speed(&mut self, speed: Speed) {
        self.speed = speed;
    }

    /// Nanoseconds that the operations since the last call take.
    pub fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    /// The chip whose contents are the file at `path`, made blank if there is none.
    ///
    /// # Errors
    /// The file cannot be opened for writing, is longer than the chip or no plain file, or
    /// another board has it. A shorter file is filled up with
    /// 0xFF, the erased state.
    pub fn open(path: &Path, size: usize) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            // Of a new one: it will hold a private key.
            .mode(0o600)
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let metadata = file.metadata()?;
        // Looked at before it is read: a device may have no end.
        if !metadata.is_file() {
            return Err(io::Error::other("it is no plain file"));
        }
        if metadata.len() > size as u64 {
            return Err(io::Error::other(format!(
                "it holds {} bytes, the flash only {size}: give --flash-size, or another file",
                metadata.len()
            )));
        }
        // Two boards would each overwrite what the other one flashed.
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another board uses it: give each its own file"));
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let mut stored = Vec::new();
        file.by_ref().take(size as u64).read_to_end(&mut stored)?;
        let mut flash = Self::blank(size);
        flash.data[..stored.len()].copy_from_slice(&stored);
        if stored.len() < size {
            file.write_all_at(&flash.data[stored.len()..], stored.len() as u64)?;
        }
        flash.file = Some(file);
        Ok(flash)
    }

    /// The contents.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// A character for each sector: `.` erased, else by whom it was written last: `b` before this
    /// board was made, `l` by the serial loader, `p` by the program.
    #[must_use]
    pub fn map(&self) -> String {
        let sectors = self.data.chunks(SECTOR).zip(&self.writers);
        sectors
            .map(|(sector, writer)| match writer {
                _ if sector.iter().all(|byte| *byte == 0xFF) => '.',
                Writer::Before => 'b',
                Writer::Loader => 'l',
                Writer::Program => 'p',
            })
            .collect()
    }

    /// Changes contents past all rules, as a programmer clip would.
    pub fn load(&mut self, offset: usize, bytes: &[u8]) {
        self.data[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.changed(offset, bytes.len());
    }

    /// Whether it is erased, all of it.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.data.iter().all(|byte| *byte == 0xFF)
    }

    /// Writes all of the contents to the file, if there is one: they came from elsewhere.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_file(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.write_all_at(&self.data, 0))
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Lets the power fail once `bytes` more bytes were programmed or erased; the byte during
    /// which it fails is changed in its upper half only.
    pub fn cut_power_after(&mut self, bytes: u64) {
        self.cut_after = Some(bytes);
    }

    /// Whether the chip has power: false after the armed power cut.
    #[must_use]
    pub fn powered(&self) -> bool {
        self.powered
    }

    /// Power comes back after a cut, or is switched on. The latch is clear, the contents are what
    /// they were.
    pub fn power_on(&mut self) {
        if !std::mem::replace(&mut self.powered, true) {
            self.cut_after = None;
        }
        self.write_enabled = false;
    }

    /// Ranges (offset, length) that changed since the last call.
    pub fn take_changes(&mut self) -> Vec<(usize, usize)> {
        std::mem::take(&mut self.changes)
    }

    /// The JEDEC identification: manufacturer, type, log2 of the size.
    #[must_use]
    pub fn jedec_id(&self) -> [u8; 3] {
        [JEDEC_WINBOND[0], JEDEC_WINBOND[1], self.data.len().trailing_zeros() as u8]
    }

    /// The status register, second byte in the upper half.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status | if self.write_enabled { u16::from(STATUS_WEL) } else { 0 }
    }

    /// One transaction: chip select low, `code`, address, `sent`, then `reply` is read, chip
    /// select high. What the chip does not know leaves `reply` at 0xFF (the line floats high).
    pub fn transact(&mut self, code: u8, address: u32, sent: &[u8], reply: &mut [u8]) {
        reply.fill(0xFF);
        if !self.powered {
            return;
        }
        let size = self.data.len();
        let address = address as usize % size;
        if self.write_enabled {
            self.work += self.speed.duration(code);
        }
        self.write_down(code, address, sent);
        match code {
            command::RDID => cycle(reply, &self.jedec_id()),
            command::REMS => cycle(reply, &[JEDEC_WINBOND[0], self.jedec_id()[2] - 1]),
            command::RDUID => cycle(reply, &[0x56, 0x4E, 0x4F, 0x44, 0x45, 0x4D, 0x43, 0x55]),
            command::SFDP => {
                for (byte, at) in reply.iter_mut().zip(address..) {
                    *byte = self.discoverable(at);
                }
            }
            command::RES => cycle(reply, &[self.jedec_id()[2] - 1]),
            command::RDSR => cycle(reply, &self.status().to_le_bytes()[..1]),
            command::RDSR2 => cycle(reply, &self.status().to_le_bytes()[1..]),
            command::WREN => self.write_enabled = true,
            command::WRDI => self.write_enabled = false,
            command::DP => {}
            command::WRSR => {
                if std::mem::take(&mut self.write_enabled) {
                    let mut bytes = self.status.to_le_bytes();
                    // Bits 1 and 0 (latch, busy) are not stored.
                    for (stored, (new, mask)) in bytes.iter_mut().zip(sent.iter().zip([0xFC, 0xFF]))
                    {
                        *stored = new & mask;
                    }
                    self.status = u16::from_le_bytes(bytes);
                }
            }
            command::READ
            | command::FAST_READ
            | command::DUAL_OUT_READ
            | command::QUAD_OUT_READ
            | command::DUAL_IO_READ
            | command::QUAD_IO_READ => {
                for (i, byte) in reply.iter_mut().enumerate() {
                    *byte = self.data[(address + i) % size];
                }
            }
            command::PP => {
                if std::mem::take(&mut self.write_enabled) {
                    self.program(address, sent);
                }
            }
            command::SE => self.erase(address, SECTOR),
            command::BE32 => self.erase(address, BLOCK / 2),
            command::BE => self.erase(address, BLOCK),
            command::CE | command::CE_OLD => self.erase(0, size),
            _ => {}
        }
    }

    /// A byte of what the chip says of itself (JESD216): a head, and nine words of basic parameters
    /// at 0x80, as in the data sheet of the W25Q32 (rev. K, 8.2.31), for this size.
    fn discoverable(&self, at: usize) -> u8 {
        const HEAD: [u8; 16] = *b"SFDP\x00\x01\x00\xFF\x00\x00\x01\x09\x80\x00\x00\xFF";
        // Sectors of 4 KB by 0x20 and 3-byte addresses; bits; fast reads; blocks by 0x52 and 0xD8.
        let words = [
            0xFFF1_20E5,
            self.data.len() as u32 * 8 - 1,
            0x6B08_EB44,
            0xBB80_3B08,
            0xFFFF_FFEE,
            0xFF00_FFFF,
            0xEB00_FFFF,
            0x520F_200C,
            0xFF00_D810,
        ];
        match at {
            0..16 => HEAD[at],
            0x80..0xA4 => words[(at - 0x80) / 4].to_le_bytes()[at % 4],
            _ => 0xFF,
        }
    }

    /// Programs within one page, wrapping around at its end as the part does.
    fn program(&mut self, address: usize, bytes: &[u8]) {
        let page = address & !(PAGE - 1);
        for (i, byte) in bytes.iter().enumerate() {
            let at = page + (address + i) % PAGE;
            match self.spend() {
                Some(true) => self.data[at] &= byte,
                Some(false) => self.data[at] &= byte | 0x0F,
                None => break,
            }
        }
        self.changed(page, PAGE);
    }

    fn erase(&mut self, address: usize, length: usize) {
        if !std::mem::take(&mut self.write_enabled) {
            return;
        }
        let start = address & !(length - 1);
        if self.cut_after.is_none() {
            self.data[start..start + length].fill(0xFF);
        } else {
            for at in start..start + length {
                match self.spend() {
                    Some(true) => self.data[at] = 0xFF,
                    Some(false) => self.data[at] |= 0xF0,
                    None => break,
                }
            }
        }
        self.changed(start, length);
    }

    /// Takes one byte from the budget: true for a whole one, false for the one cut in half.
    fn spend(&mut self) -> Option<bool> {
        if !self.powered {
            return None;
        }
        let Some(left) = &mut self.cut_after else { return Some(true) };
        if *left == 0 {
            self.powered = false;
            return Some(false);
        }
        *left -= 1;
        Some(true)
    }

    fn changed(&mut self, offset: usize, length: usize) {
        self.changes.push((offset, length));
        let last = (offset + length).saturating_sub(1) / SECTOR;
        if let Some(sectors) = self.writers.get_mut(offset / SECTOR..=last) {
            sectors.fill(self.writer);
        }
        if let Some(file) = &self.file
            && let Err(e) = file.write_all_at(&self.data[offset..offset + length], offset as u64)
        {
            // A board that silently forgets what was flashed would mislead whoever tests with it.
            eprintln!("virtual-nodemcu: writing the flash file failed: {e}");
            std::process::exit(1);
        }
    }
}

fn cycle(reply: &mut [u8], bytes: &[u8]) {
    for (slot, byte) in reply.iter_mut().zip(bytes.iter().cycle()) {
        *slot = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(flash: &mut Flash, at: u32, bytes: &[u8]) {
        flash.transact(command::WREN, 0, &[], &mut []);
        flash.transact(command::PP, at, bytes, &mut []);
    }

    #[test]
    fn programming_only_clears_bits_and_needs_the_latch() {
        let mut flash = Flash::blank(BLOCK);
        flash.transact(command::PP, 0, &[0], &mut []);
        assert_eq!(flash.data()[0], 0xFF, "no latch, no write");
        write(&mut flash, 0, &[0xF0]);
        write(&mut flash, 0, &[0x3C]);
        assert_eq!(flash.data()[0], 0x30);
        flash.transact(command::SE, 0, &[], &mut []);
        assert_eq!(flash.data()[0], 0x30, "an erase needs the latch too");
        flash.transact(command::WREN, 0, &[], &mut []);
        flash.transact(command::SE, 5, &[], &mut []);
        assert_eq!(flash.data()[0], 0xFF);
    }

    #[test]
    fn only_what_changes_something_is_work() {
        let mut flash = Flash::blank(BLOCK);
        write(&mut flash, 0, &[0]);
        assert_eq!(flash.take_work(), 0);
        flash.set_speed(Speed::Worst);
        write(&mut flash, 0, &[0]);
        flash.transact(command::PP, 0, &[0], &mut []);
        flash.transact(command::READ, 0, &[], &mut [0; 4]);
        assert_eq!(flash.take_work(), 3_000_000);
        flash.transact(command::WREN, 0, &[], &mut []);
        flash.transact(command::SE, 0, &[], &mut []);
        assert_eq!(flash.take_work(), 400_000_000);
        assert_eq!(flash.take_work(), 0);
    }

    #[test]
    fn programming_wraps_within_the_page() {
        let mut flash = Flash::blank(BLOCK);
        write(&mut flash, 0xFE, &[1, 2, 3]);
        assert_eq!((flash.data()[0xFE], flash.data()[0xFF], flash.data()[0]), (1, 2, 3));
        assert_eq!(flash.data()[0x100], 0xFF);
    }

    #[test]
    fn power_cut_at_every_byte_of_a_page() {
        for cut in 0..PAGE {
            let mut flash = Flash::blank(BLOCK);
            flash.cut_power_after(cut as u64);
            write(&mut flash, 0, &[0x55; PAGE]);
            assert!(!flash.powered());
            assert!(flash.data()[..cut].iter().all(|b| *b == 0x55));
            assert_eq!(flash.data()[cut], 0x5F, "the byte at the cut is half done");
            assert!(flash.data()[cut + 1..].iter().all(|b| *b == 0xFF));
            let mut reply = [0; 2];
            flash.transact(command::READ, 0, &[], &mut reply);
            assert_eq!(reply, [0xFF; 2], "no power, no answer");
            flash.power_on();
            write(&mut flash, 0, &[0x55; PAGE]);
            assert!(flash.data()[..PAGE].iter().all(|b| *b == 0x55));
        }
    }

    #[test]
    fn erase_sizes_and_identification() {
        let mut flash = Flash::blank(4 << 20);
        let mut id = [0; 3];
        flash.transact(command::RDID, 0, &[], &mut id);
        assert_eq!(id, [0xEF, 0x40, 0x16]);
        let mut said = [0; 0x88];
        flash.transact(command::SFDP, 0, &[], &mut said);
        assert_eq!((&said[..4], said[12]), (&b"SFDP"[..], 0x80));
        assert_eq!(said[0x84..], (8 * (4 << 20) - 1u32).to_le_bytes(), "bits, less one");
        for (code, start, length) in [
            (command::SE, 0x3000, SECTOR),
            (command::BE, 0x20000, BLOCK),
            (command::CE, 0, 4 << 20),
        ] {
            flash.load(0, &vec![0; 4 << 20]);
            flash.transact(command::WREN, 0, &[], &mut []);
            flash.transact(code, start as u32 + 0x123, &[], &mut []);
            let erased = flash.data().iter().filter(|b| **b == 0xFF).count();
            assert_eq!(erased, length);
            assert_eq!(flash.data()[start], 0xFF);
        }
    }

    #[test]
    fn a_log_repeats_what_was_done() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut flash = Flash::blank(BLOCK);
        flash.load(SECTOR, &[0; SECTOR]);
        let mut twin = Flash::blank(BLOCK);
        twin.load(0, flash.data());
        flash.log_to(file.reopen().unwrap());
        flash.transact(command::PP, 0, &[0], &mut []);
        write(&mut flash, 0xFE, &[1, 2, 3]);
        flash.transact(command::WREN, 0, &[], &mut []);
        flash.transact(command::SE, SECTOR as u32, &[], &mut []);
        let log = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(log, "02 0000fe 010203\n20 001000 \n");
        assert!(log.lines().all(|line| twin.repeat(line)));
        assert!(twin.data() == flash.data());
        for line in ["", "02", "02 0000fe", "xx 000000 00", "02 000000 0", "02 000000 00 00"] {
            assert!(!twin.repeat(line), "{line}");
        }
    }

    #[test]
    fn the_map_says_who_wrote() {
        let mut flash = Flash::blank(BLOCK);
        flash.load(SECTOR, &[0]);
        flash.writer = Writer::Loader;
        write(&mut flash, 2 * SECTOR as u32, b"loader");
        write(&mut flash, 3 * SECTOR as u32, b"loader");
        flash.writer = Writer::Program;
        write(&mut flash, 3 * SECTOR as u32 + 0x100, b"program");
        assert_eq!(flash.map(), ".blp............");
    }

    #[test]
    fn the_file_keeps_what_was_written() {
        use std::os::unix::fs::PermissionsExt;

        let path = std::env::temp_dir().join(format!("virtual-nodemcu-{}.bin", std::process::id()));
        drop(Flash::open(&path, BLOCK).unwrap());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "a new file is its owner's alone");
        std::fs::write(&path, [1, 2, 3]).unwrap();
        let mut flash = Flash::open(&path, BLOCK).unwrap();
        write(&mut flash, 0x10, b"kept");
        drop(flash);
        let flash = Flash::open(&path, BLOCK).unwrap();
        assert_eq!(&flash.data()[..4], &[1, 2, 3, 0xFF]);
        assert_eq!(&flash.data()[0x10..0x14], b"kept");
        let why = Flash::open(&path, BLOCK).err().unwrap().to_string();
        assert!(why.contains("another board"), "{why}");
        drop(flash);
        std::fs::write(&path, vec![0; BLOCK + 1]).unwrap();
        assert!(Flash::open(&path, BLOCK).is_err(), "too long for the chip");
        std::fs::remove_file(&path).unwrap();
        for none in ["/dev/zero", "/"] {
            assert!(Flash::open(Path::new(none), BLOCK).is_err(), "{none}");
        }
    }
}
