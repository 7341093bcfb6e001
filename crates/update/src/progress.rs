//! Which blocks of an image are still missing, in RAM and in flash, where it survives a reset.
//!
//! A sector of flash holds, from its start:
//!
//! | Word | Content |
//! | --- | --- |
//! | 0 | `UPP1` |
//! | 1 to 3 | what is being fetched: bytes, bytes of a block, CRC-32 of job, stream and signature |
//! | 4 | CRC-32 of the words before |
//! | 5 … | one bit a block, the lowest first: 0 once the block is in the slot |
//! | 37 | the first word of an image, which is not in the slot before all of it was found good |
//!
//! A bit is cleared after its block was written, which needs no erasing. So a power cut leaves a block
//! that is there and counts as missing, and never one that is not there and counts as written.

use alloc::vec;
use alloc::vec::Vec;

use identity::crc32;

/// Words in front of the bitmap.
pub const HEADER_WORDS: usize = 5;
/// "UPP1".
const MAGIC: u32 = 0x3150_5055;

/// What is being fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// Bytes of the image.
    pub size: u32,
    /// Bytes of a block, a multiple of 4.
    pub block_size: u32,
    /// CRC-32 of job, stream and signature.
    pub what: u32,
}

impl Fetch {
    /// Blocks of the image.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.size.div_ceil(self.block_size)
    }

    /// Bytes of a block: of the last one what is left.
    #[must_use]
    pub fn length(&self, block: u32) -> u32 {
        self.size.saturating_sub(block.saturating_mul(self.block_size)).min(self.block_size)
    }

    /// The header of its sector.
    #[must_use]
    pub fn header(&self) -> [u32; HEADER_WORDS] {
        let [magic, size, block_size, what] = [MAGIC, self.size, self.block_size, self.what];
        let bytes = [magic, size, block_size, what].map(u32::to_le_bytes);
        [magic, size, block_size, what, crc32(&[bytes.as_flattened()])]
    }
}

/// The blocks that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    fetch: Fetch,
    /// A bit is 1 while its block is missing; none behind the last block is.
    words: Vec<u32>,
    left: u32,
}

impl Missing {
    /// All of them.
    #[must_use]
    pub fn all(fetch: Fetch) -> Self {
        let words = vec![u32::MAX; fetch.blocks().div_ceil(32) as usize];
        Self::of(fetch, words)
    }

    fn of(fetch: Fetch, mut words: Vec<u32>) -> Self {
        let behind = fetch.blocks() % 32;
        if let Some(last) = words.last_mut().filter(|_| behind != 0) {
            *last &= (1 << behind) - 1;
        }
        let left = words.iter().map(|word| word.count_ones()).sum();
        Self { fetch, words, left }
    }

    /// What an earlier boot left in the sector, which begins with `words`; None when it was about
    /// something else, or about nothing.
    #[must_use]
    pub fn resume(fetch: Fetch, words: &[u32]) -> Option<Self> {
        let bits = words.strip_prefix(&fetch.header())?;
        let count = fetch.blocks().div_ceil(32) as usize;
        Some(Self::of(fetch, bits.get(..count)?.to_vec()))
    }

    /// What is being fetched.
    #[must_use]
    pub fn fetch(&self) -> Fetch {
        self.fetch
    }

    /// How many are missing.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Of all blocks, how many per cent are there.
    #[must_use]
    pub fn percent(&self) -> u32 {
        let blocks = self.fetch.blocks();
        100 * (blocks - self.left) / blocks.max(1)
    }

    /// Whether this block is missing.
    #[must_use]
    pub fn is_missing(&self, block: u32) -> bool {
        let word = self.words.get((block / 32) as usize).copied().unwrap_or(0);
        word >> (block % 32) & 1 == 1
    }

    /// The block is in the slot now: the word of the sector to write, and its value.
    pub fn written(&mut self, block: u32) -> Option<(usize, u32)> {
        if !self.is_missing(block) {
            return None;
        }
        let index = (block / 32) as usize;
        let word = self.words.get_mut(index)?;
        *word &= !(1 << (block % 32));
        self.left -= 1;
        // Bits behind the last block stay erased.
        let behind = self.fetch.blocks() - 32 * index as u32;
        let unused = if behind < 32 { u32::MAX << behind } else { 0 };
        Some((HEADER_WORDS + index, *word | unused))
    }

    /// For a request: the first missing block, and a bitmap from there on of up to `most` missing
    /// ones among the 32 that it covers. None when nothing is missing.
    #[must_use]
    pub fn wanted(&self, most: u32) -> Option<(u32, u32)> {
        let first = (0..self.fetch.blocks()).find(|block| self.is_missing(*block))?;
        let mut bitmap = 0_u32;
        for bit in 0..32 {
            if bitmap.count_ones() < most && self.is_missing(first + bit) {
                bitmap |= 1 << bit;
            }
        }
        Some((first, bitmap))
    }
}
