//! Where a board's firmware lies in flash, and which one boots. Shared by the boot stage, the
//! firmware and the host, so that all three agree; `docs/updates.md` has the layout.
//!
//! Everything is read by the word through a function, because the chip's flash knows nothing
//! smaller, and nothing here panics: the boot stage has no room for words about it.

#![no_std]
#![forbid(unsafe_code)]

mod descriptor;
mod image;
mod record;

pub use descriptor::{DESCRIPTOR_WORD, DESCRIPTOR_WORDS, Descriptor, Version};
pub use image::{CODE_AT, Image, MAX_IMAGE, Segment, Sums};
pub use record::{
    ATTEMPTS, Candidate, Mark, RECORD_WORDS, Record, Records, Verdict, mark_attempt, mark_good,
    mark_rejected,
};

/// Bytes that the flash erases at once.
pub const SECTOR: u32 = 4096;
/// Bytes that the cache shows at once, at [`WINDOW`].
pub const MIB: u32 = 0x10_0000;
/// Address at which the CPU sees the MiB of flash that the cache shows.
pub const WINDOW: u32 = 0x4020_0000;
/// Flash offset of the boot stage, which the boot ROM loads; it may take one sector.
pub const STAGE: u32 = 0;
/// Flash offsets of the sectors with a boot record each.
pub const RECORDS: [u32; 2] = [0x1000, 0x2000];
/// Flash offset of the sector that remembers how far an update has come.
pub const PROGRESS: u32 = 0x3000;
/// Where in its MiB a slot begins.
pub const SLOT_START: u32 = 0x4000;
/// Where in its MiB a slot ends. What follows is the identity that the slot's firmware sees.
pub const SLOT_END: u32 = 0xF_8000;

/// RAM that the boot stage itself lies in, which no image may load anything to: code from here to
/// the end of IRAM, data from there to what the boot ROM keeps.
pub const STAGE_IRAM: u32 = 0x4010_7000;
/// See [`STAGE_IRAM`].
pub const STAGE_DRAM: u32 = 0x3FFF_B800;

/// What the boot stage hands to the firmware that it starts, plus 1 for slot B: another value
/// says that nobody chose a slot.
pub const HANDOVER: u32 = 0xB007_5700;

/// One of the two places for a firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// In the first MiB.
    A,
    /// In the second.
    B,
}

impl Slot {
    /// The number that records and the boot stage know it by.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    /// The slot with that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::A),
            1 => Some(Self::B),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Flash offset of its MiB.
    #[must_use]
    pub const fn mib(self) -> u32 {
        self.number() * MIB
    }

    /// Flash offset of its image.
    #[must_use]
    pub const fn offset(self) -> u32 {
        self.mib() + SLOT_START
    }
}

/// CRC-32 of words (IEEE 802.3, as the identity has it), in the order of their bytes in flash.
fn crc32(words: &[u32]) -> u32 {
    let mut crc = !0_u32;
    for word in words {
        crc ^= word;
        for _ in 0..32 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_usual_one() {
        // "12345678", by zlib.
        assert_eq!(crc32(&[0x3433_3231, 0x3837_3635]), 0x9AE0_DAAF);
    }

    #[test]
    fn the_slots_lie_in_their_mib_and_between_everything_else() {
        assert_eq!((Slot::A.offset(), Slot::B.offset()), (0x4000, 0x10_4000));
        assert_eq!(Slot::A.other(), Slot::B);
        assert_eq!(Slot::B.other(), Slot::A);
        for slot in [Slot::A, Slot::B] {
            assert_eq!(Slot::from_number(slot.number()), Some(slot));
        }
        assert_eq!(Slot::from_number(2), None);
        let [first, second] = RECORDS;
        assert!(STAGE + SECTOR <= first && first + SECTOR <= second);
        assert!(second + SECTOR <= PROGRESS && PROGRESS + SECTOR <= SLOT_START);
        const { assert!(SLOT_START < SLOT_END && SLOT_END < MIB) };
    }
}
