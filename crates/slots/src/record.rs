//! Boot records: which slot boots, and whether its firmware has proved itself.
//!
//! Each of two sectors holds one, at its start:
//!
//! | Word | Content |
//! | --- | --- |
//! | 0 | `BTR1` |
//! | 1 | sequence number; the newer of two whole records counts (RFC 1982) |
//! | 2 | the slot: 0 is A, 1 is B |
//! | 3 | CRC-32 of the words before and of the last |
//! | 4 | attempts: each boot on trial clears one byte |
//! | 5 | erased; 0 once the firmware has said that it is good |
//! | 6 | erased; the reason, once the firmware has given up |
//! | 7 | the firmware's number: which update brought it |
//!
//! A new record is written into the sector of the older one, so the one that counts is never
//! erased. What comes later only turns ones into zeros, which needs no erasing: a power cut leaves
//! such a word as it was or somewhere in between, and in between is on trial, tried or rejected.

use crate::{Slot, crc32};

/// Words of a record.
pub const RECORD_WORDS: usize = 8;
/// How often a firmware on trial is booted. More than once, because a power cut is not its fault.
pub const ATTEMPTS: u32 = 3;

/// "BTR1".
const MAGIC: u32 = 0x3152_5442;
const ERASED: u32 = u32::MAX;

const ATTEMPTS_WORD: u32 = 4;
const GOOD_WORD: u32 = 5;
const REJECTED_WORD: u32 = 6;

/// A word to be written into a record that is there, without erasing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which word of the record.
    pub word: u32,
    /// Its new value.
    pub value: u32,
}

/// What is known of the firmware in a record's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has to prove itself; it was started so often.
    Trial {
        /// Boots so far, the running one included.
        attempts: u32,
    },
    /// It has.
    Good,
    /// It was given up for this reason: a number of the application's, not 0.
    Rejected {
        /// The reason.
        reason: u8,
    },
}

/// A whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its sequence number.
    pub sequence: u32,
    /// The slot that it is about.
    pub slot: Slot,
    /// What is known of the firmware there.
    pub verdict: Verdict,
    /// Which update brought it; a number of the application's.
    pub number: u32,
}

impl Record {
    /// Reads a record. None when these words are none, or a damaged one.
    #[must_use]
    pub fn read(words: &[u32; RECORD_WORDS]) -> Option<Self> {
        let [magic, sequence, slot, crc, attempts, good, rejected, number] = *words;
        if magic != MAGIC || crc32(&[magic, sequence, slot, number]) != crc {
            return None;
        }
        let verdict = if rejected != ERASED {
            Verdict::Rejected { reason: rejected as u8 }
        } else if good == 0 {
            Verdict::Good
        } else {
            // Byte by byte: one that a power cut left half written counts.
            let used = (0..4).filter(|byte| attempts >> (8 * byte) & 0xFF != 0xFF).count();
            Verdict::Trial { attempts: used as u32 }
        };
        Some(Self { sequence, slot: Slot::from_number(slot)?, verdict, number })
    }

    /// The words of a new record: a firmware on trial.
    #[must_use]
    pub fn trial(sequence: u32, slot: Slot, number: u32) -> [u32; RECORD_WORDS] {
        let slot = slot.number();
        let crc = crc32(&[MAGIC, sequence, slot, number]);
        [MAGIC, sequence, slot, crc, ERASED, ERASED, ERASED, number]
    }

    /// Whether its slot may be booted.
    #[must_use]
    pub const fn may_boot(&self) -> bool {
        match self.verdict {
            Verdict::Trial { attempts } => attempts < ATTEMPTS,
            Verdict::Good => true,
            Verdict::Rejected { .. } => false,
        }
    }

    /// Serial number arithmetic (RFC 1982), so that sequence numbers may wrap.
    const fn is_newer_than(&self, other: &Self) -> bool {
        self.sequence.wrapping_sub(other.sequence).cast_signed() > 0
    }
}

/// Notes one more boot on trial, before it happens.
#[must_use]
pub const fn mark_attempt(attempts: u32) -> Mark {
    Mark { word: ATTEMPTS_WORD, value: ERASED << (8 * (attempts & 3)) << 8 }
}

/// Notes that the firmware is good.
#[must_use]
pub const fn mark_good() -> Mark {
    Mark { word: GOOD_WORD, value: 0 }
}

/// Notes that the firmware is not, and why.
#[must_use]
pub const fn mark_rejected(reason: u8) -> Mark {
    Mark { word: REJECTED_WORD, value: reason as u32 }
}

/// A slot to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The slot.
    pub slot: Slot,
    /// When it is on trial: which record (0 or 1) gets which mark before it is booted.
    pub mark: Option<(usize, Mark)>,
}

impl Candidate {
    const fn plain(slot: Slot) -> Self {
        Self { slot, mark: None }
    }
}

/// Both records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records(pub [Option<Record>; 2]);

impl Records {
    /// Reads them; `sector` has each one's words.
    #[must_use]
    pub fn read(sectors: &[[u32; RECORD_WORDS]; 2]) -> Self {
        let [first, second] = sectors;
        Self([Record::read(first), Record::read(second)])
    }

    /// The record that counts, and its sector (0 or 1).
    #[must_use]
    pub const fn newest(&self) -> Option<(usize, Record)> {
        match self.0 {
            [Some(first), Some(second)] if second.is_newer_than(&first) => Some((1, second)),
            [Some(first), _] => Some((0, first)),
            [None, Some(second)] => Some((1, second)),
            [None, None] => None,
        }
    }

    /// Which slots to try, in this order; the second only when there is nothing sound in the
    /// first. A board without any record boots from A: that is how `make flash` leaves it.
    #[must_use]
    pub const fn order(&self) -> [Candidate; 2] {
        let Some((sector, record)) = self.newest() else {
            return [Candidate::plain(Slot::A), Candidate::plain(Slot::B)];
        };
        let other = Candidate::plain(record.slot.other());
        if !record.may_boot() {
            // Should nothing be sound in the other slot, a firmware that failed is better than none.
            return [other, Candidate::plain(record.slot)];
        }
        let mark = match record.verdict {
            Verdict::Trial { attempts } => Some((sector, mark_attempt(attempts))),
            _ => None,
        };
        [Candidate { slot: record.slot, mark }, other]
    }

    /// The sector for a new record about the firmware with this number in `slot`, to be erased first,
    /// and its words.
    #[must_use]
    pub fn next(&self, slot: Slot, number: u32) -> (usize, [u32; RECORD_WORDS]) {
        match self.newest() {
            Some((sector, record)) => {
                (1 - sector, Record::trial(record.sequence.wrapping_add(1), slot, number))
            }
            None => (0, Record::trial(1, slot, number)),
        }
    }
}
