//! What an image says of itself: the first of its constants.

use core::fmt;

use crate::image::CODE_AT;

/// Where in the image the descriptor stands, in words.
pub const DESCRIPTOR_WORD: u32 = CODE_AT / 4;
/// Its words.
pub const DESCRIPTOR_WORDS: usize = 9;
/// "FWD1".
const MAGIC: u32 = 0x3144_5746;
/// Most bytes of a board's name.
const MAX_BOARD: usize = 24;

/// A version: three numbers, as in Semantic Versioning 2.0.0, without any suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes that break something.
    pub major: u16,
    /// New capabilities.
    pub minor: u16,
    /// Mended faults.
    pub patch: u16,
}

impl Version {
    /// Reads `1.2.3`.
    #[must_use]
    pub const fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut numbers = [0_u16; 3];
        let (mut index, mut at, mut digits) = (0, 0, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            if byte == b'.' && index < 2 && digits > 0 {
                index += 1;
                digits = 0;
            } else if byte.is_ascii_digit() && numbers[index] <= (u16::MAX - 9) / 10 {
                numbers[index] = 10 * numbers[index] + (byte - b'0') as u16;
                digits += 1;
            } else {
                return None;
            }
            at += 1;
        }
        if index < 2 || digits == 0 {
            return None;
        }
        Some(Self { major: numbers[0], minor: numbers[1], patch: numbers[2] })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What an image says of itself. Laid out as it lies in flash; the linker script puts it first.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    magic: u32,
    version: [u16; 4],
    board: [u8; MAX_BOARD],
}

impl Descriptor {
    /// That of a firmware of this version (`1.2.3`) for this board. Evaluated by the compiler.
    ///
    /// # Panics
    /// When the version is none, or the name is empty or longer than 24 bytes.
    #[must_use]
    pub const fn new(version: &str, board: &str) -> Self {
        let Some(version) = Version::parse(version) else {
            panic!("a version is three numbers up to 65529, such as 1.2.3");
        };
        let name = board.as_bytes();
        assert!(!name.is_empty() && name.len() <= MAX_BOARD, "a board's name has 1 to 24 bytes");
        let mut board = [0; MAX_BOARD];
        let mut at = 0;
        while at < name.len() {
            board[at] = name[at];
            at += 1;
        }
        Self { magic: MAGIC, version: [version.major, version.minor, version.patch, 0], board }
    }

    /// Reads that of an image, whose words `word` reads.
    pub fn read(word: impl Fn(u32) -> u32) -> Option<Self> {
        let [magic, low, high] = [0, 1, 2].map(|index| word(DESCRIPTOR_WORD + index));
        let mut board = [0; MAX_BOARD];
        for (index, bytes) in (3..).zip(board.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word(DESCRIPTOR_WORD + index).to_le_bytes());
        }
        let version = [low as u16, (low >> 16) as u16, high as u16, (high >> 16) as u16];
        let descriptor = Self { magic, version, board };
        (magic == MAGIC && !descriptor.board().is_empty()).then_some(descriptor)
    }

    /// The firmware's version.
    #[must_use]
    pub const fn version(&self) -> Version {
        let [major, minor, patch, _] = self.version;
        Version { major, minor, patch }
    }

    /// The board that it is for; empty when that is no text.
    #[must_use]
    pub fn board(&self) -> &str {
        let length = self.board.iter().position(|byte| *byte == 0).unwrap_or(MAX_BOARD);
        self.board.get(..length).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("")
    }
}

const _: () = assert!(size_of::<Descriptor>() == 4 * DESCRIPTOR_WORDS);

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::ToString;

    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        let version = Version::parse("1.20.300").unwrap();
        assert_eq!(version, Version { major: 1, minor: 20, patch: 300 });
        assert_eq!(version.to_string(), "1.20.300");
        for text in
            ["", "1", "1.2", "1.2.", ".1.2", "1..2", "1.2.3.4", "1.2.x", "1.2.3-a", "65536.0.0"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert!(Version::parse("0.10.0") > Version::parse("0.9.9"));
    }

    #[test]
    fn it_is_read_as_it_lies_in_flash() {
        const DESCRIPTOR: Descriptor = Descriptor::new("3.2.1", "nodemcu");
        let mut words = [0; DESCRIPTOR_WORDS];
        words[0] = DESCRIPTOR.magic;
        words[1] = 3 | 2 << 16;
        words[2] = 1;
        for (word, name) in words[3..].iter_mut().zip(DESCRIPTOR.board.chunks(4)) {
            *word = u32::from_le_bytes(name.try_into().unwrap());
        }
        let read = Descriptor::read(|at| words[(at - DESCRIPTOR_WORD) as usize]).unwrap();
        assert_eq!(read, DESCRIPTOR);
        assert_eq!((read.version().to_string().as_str(), read.board()), ("3.2.1", "nodemcu"));
        assert_eq!(Descriptor::read(|_| u32::MAX), None);
        words[3] = 0xFF;
        assert_eq!(Descriptor::read(|at| words[(at - DESCRIPTOR_WORD) as usize]), None);
    }
}
