//! The last known time in flash: a log of records, over two sectors, so that a power cut at any
//! moment leaves the newest or the one before it.
//!
//! A record is written once a day at most, so a sector is erased once in 1024 days: the flash's
//! 100,000 cycles are no concern.

/// Words of a record.
pub const RECORD_WORDS: usize = 2;

/// A time that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds since 1970.
    pub time: u32,
    /// Grows by one with each record, and wraps.
    pub sequence: u16,
}

impl Record {
    /// What is written: ones only where the flash was erased.
    #[must_use]
    pub fn encode(self) -> [u32; RECORD_WORDS] {
        [self.time, u32::from(self.sequence) << 16 | u32::from(self.check())]
    }

    /// Reads a record; `None` for an erased or damaged place.
    #[must_use]
    pub fn decode(words: [u32; RECORD_WORDS]) -> Option<Self> {
        if words == [u32::MAX; RECORD_WORDS] {
            return None;
        }
        let record = Self { time: words[0], sequence: (words[1] >> 16) as u16 };
        (u32::from(record.check()) == words[1] & 0xFFFF).then_some(record)
    }

    /// CRC-16/CCITT of time and sequence, inverted, so that zeros are no record.
    fn check(self) -> u16 {
        let [a, b, c, d] = self.time.to_be_bytes();
        let [e, f] = self.sequence.to_be_bytes();
        let mut crc = 0u16;
        for byte in [a, b, c, d, e, f] {
            crc ^= u16::from(byte) << 8;
            for _ in 0..8 {
                crc = crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 };
            }
        }
        !crc
    }
}

/// Where the log stands. Its places are numbered over both sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    newest: Option<(Record, u16)>,
}

/// Seconds between two records at least.
const SPACING: u32 = 86_400;

impl Log {
    /// Places in one sector of 4096 bytes.
    pub const PLACES: u16 = (4096 / (4 * RECORD_WORDS)) as u16;

    /// Finds the newest record. `read` gives a place's words, by number.
    pub fn find(mut read: impl FnMut(u16) -> [u32; RECORD_WORDS]) -> Self {
        let mut newest: Option<(Record, u16)> = None;
        for sector in [0, Self::PLACES] {
            // Written from front to back, so its newest is the last.
            let last = (sector..sector + Self::PLACES)
                .rev()
                .find_map(|place| Record::decode(read(place)).map(|record| (record, place)));
            if let Some((record, place)) = last
                && newest.is_none_or(|(old, _)| is_later(record.sequence, old.sequence))
            {
                newest = Some((record, place));
            }
        }
        Self { newest }
    }

    /// The time that was kept last.
    #[must_use]
    pub fn time(&self) -> Option<u32> {
        self.newest.map(|(record, _)| record.time)
    }

    /// Keeps a time, if the newest is a day away: in a free place, or at the beginning of a
    /// sector, which is erased first. `read` as in [`Log::find`]; `erase` takes the place at the
    /// sector's beginning.
    ///
    /// # Errors
    /// What `erase` and `write` return. The log stays as it was then.
    pub fn keep<E>(
        &mut self,
        time: u32,
        mut read: impl FnMut(u16) -> [u32; RECORD_WORDS],
        erase: impl FnOnce(u16) -> Result<(), E>,
        write: impl FnOnce(u16, [u32; RECORD_WORDS]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (sequence, mut place) = match self.newest {
            None => (0, 0),
            Some((record, _)) if record.time.abs_diff(time) < SPACING => return Ok(()),
            Some((record, place)) => {
                (record.sequence.wrapping_add(1), (place + 1) % (2 * Self::PLACES))
            }
        };
        // A write that the power cut interrupted has left a place that is neither.
        while place % Self::PLACES != 0 && read(place) != [u32::MAX; RECORD_WORDS] {
            place = (place + 1) % (2 * Self::PLACES);
        }
        if place % Self::PLACES == 0 {
            erase(place)?;
        }
        let record = Record { time, sequence };
        write(place, record.encode())?;
        self.newest = Some((record, place));
        Ok(())
    }
}

/// Whether `a` comes after `b`, counting round.
fn is_later(a: u16, b: u16) -> bool {
    (1..0x8000).contains(&a.wrapping_sub(b))
}
