//! The image in a slot: the one that esptool makes for boot loaders of Espressif's second version
//! (`elf2image --version 2`), and behind it two sums over all of it.
//!
//! | Word | Content |
//! | --- | --- |
//! | 0 | `EA`, 4, flash mode, flash size and frequency |
//! | 1 | entry point |
//! | 2, 3 | 0; bytes of code and constants, a multiple of 16 |
//! | 4 … | code and constants, which run where they lie |
//! | … | `E9`, number of segments, mode, size; entry point |
//! | … | each segment: address, bytes, content |
//! | … | zeros and esptool's checksum byte, up to a multiple of 16 bytes; esptool's CRC-32 |
//! | … | two words: the sums |
//!
//! The sums are Fletcher's over words: three instructions a word, where a CRC would take twenty,
//! and each boot adds up all of the image. They find damage; origin is proved by a signature.

use crate::{SLOT_END, SLOT_START, STAGE_DRAM, STAGE_IRAM};

/// Most bytes of an image.
pub const MAX_IMAGE: u32 = SLOT_END - SLOT_START;
const MAX_WORDS: u32 = MAX_IMAGE / 4;
/// Byte of the image at which code and constants begin.
pub const CODE_AT: u32 = 16;

const MAGIC: u32 = 0xEA;
/// What esptool writes where the number of segments stands elsewhere.
const MARK: u32 = 4;
const RAM_MAGIC: u32 = 0xE9;
/// More segments than any linker script here makes.
const MAX_SEGMENTS: u32 = 16;

const IRAM: u32 = 0x4010_0000;
const DRAM: u32 = 0x3FFE_8000;

/// The sums over the words of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    first: u32,
    second: u32,
}

impl Default for Sums {
    fn default() -> Self {
        // Not 0, which an image of zeros would have.
        Self { first: 0x5107, second: 0 }
    }
}

impl Sums {
    /// Adds a word.
    pub fn add(&mut self, word: u32) {
        self.first = self.first.wrapping_add(word);
        self.second = self.second.wrapping_add(self.first);
    }

    /// The words that stand behind the image.
    #[must_use]
    pub fn words(self) -> [u32; 2] {
        [self.first, self.second]
    }
}

/// A part of an image that is copied to RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it belongs.
    pub address: u32,
    /// Its words.
    pub words: u32,
    /// Where in the image they begin, in words.
    pub at: u32,
}

impl Segment {
    /// Whether it lies in RAM that is not the boot stage's.
    fn fits(&self) -> bool {
        let end = self.address.wrapping_add(4 * self.words);
        self.address & 3 == 0
            && (self.address >= IRAM && self.address <= end && end <= STAGE_IRAM
                || self.address >= DRAM && self.address <= end && end <= STAGE_DRAM)
    }
}

/// An image whose shape and sums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Where the firmware begins, in IRAM.
    pub entry: u32,
    /// All of it, in words.
    pub words: u32,
    /// Where in the image the first segment stands, in words.
    segments_at: u32,
    segments: u32,
}

impl Image {
    /// Checks an image whose words `word` reads, from 0 on, never beyond [`MAX_IMAGE`].
    pub fn check(word: impl Fn(u32) -> u32) -> Option<Self> {
        let image = Self::shape(&word)?;
        let sums_at = image.words - 2;
        let mut sums = Sums::default();
        let mut at = 0;
        while at < sums_at {
            sums.add(word(at));
            at += 1;
        }
        (sums.words() == [word(sums_at), word(sums_at + 1)]).then_some(image)
    }

    /// The same without the sums: for whoever makes them. [`Image::words`] counts theirs.
    pub fn shape(word: impl Fn(u32) -> u32) -> Option<Self> {
        if word(0) & 0xFFFF != MARK << 8 | MAGIC {
            return None;
        }
        let code = word(3);
        if !code.is_multiple_of(16) || code > MAX_IMAGE {
            return None;
        }
        let at = CODE_AT / 4 + code / 4;
        // The words of the second header and of the first segment's.
        if at + 4 > MAX_WORDS {
            return None;
        }
        let (kind, entry) = (word(at), word(at + 1));
        let segments = kind >> 8 & 0xFF;
        if kind & 0xFF != RAM_MAGIC || segments == 0 || segments > MAX_SEGMENTS {
            return None;
        }
        if !(IRAM..STAGE_IRAM).contains(&entry) {
            return None;
        }
        let mut image = Self { entry, words: 0, segments_at: at + 2, segments };
        let mut end = image.segments_at;
        for _ in 0..segments {
            let segment = next_segment(end, &word)?;
            end = segment.at + segment.words;
        }
        // The checksum is the last byte of its 16; then esptool's CRC and the sums.
        image.words = (end / 4 + 1) * 4 + 3;
        (image.words <= MAX_WORDS).then_some(image)
    }

    /// Calls `with` for each part that belongs to RAM.
    pub fn for_each_segment(&self, word: impl Fn(u32) -> u32, mut with: impl FnMut(Segment)) {
        let mut at = self.segments_at;
        for _ in 0..self.segments {
            let Some(segment) = next_segment(at, &word) else { return };
            at = segment.at + segment.words;
            with(segment);
        }
    }
}

fn next_segment(at: u32, word: impl Fn(u32) -> u32) -> Option<Segment> {
    if at + 2 > MAX_WORDS {
        return None;
    }
    let (address, bytes) = (word(at), word(at + 1));
    let segment = Segment { address, words: bytes / 4, at: at + 2 };
    let whole = bytes & 3 == 0 && segment.words <= MAX_WORDS - segment.at;
    (whole && segment.fits()).then_some(segment)
}
