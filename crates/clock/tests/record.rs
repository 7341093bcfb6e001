//! The last known time in flash, with the power cut at every moment.

use clock::{Log, RECORD_WORDS, Record};

const PLACES: usize = 2 * Log::PLACES as usize;
const DAY: u32 = 86_400;
const START: u32 = 1_800_000_000;

/// Two sectors of flash: erased to ones; a write only clears bits.
#[derive(Clone)]
struct Flash {
    words: [[u32; RECORD_WORDS]; PLACES],
    erased: [usize; 2],
    /// Words and erasures until the power fails.
    left: Option<usize>,
}

struct PowerCut;

impl Flash {
    fn new(content: u32) -> Self {
        Self { words: [[content; RECORD_WORDS]; PLACES], erased: [0; 2], left: None }
    }

    fn spend(left: &mut Option<usize>) -> Result<(), PowerCut> {
        match left {
            Some(0) => Err(PowerCut),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find(&self) -> Log {
        Log::find(|place| self.words[usize::from(place)])
    }

    fn keep(&mut self, log: &mut Log, time: u32) -> Result<(), PowerCut> {
        let before = self.words;
        let cell = std::cell::RefCell::new(&mut *self);
        log.keep(
            time,
            |place| before[usize::from(place)],
            |place| {
                let mut flash = cell.borrow_mut();
                let sector = usize::from(place / Log::PLACES);
                assert_eq!(place % Log::PLACES, 0);
                // Cut in the middle, an erasure leaves half of it.
                for at in 0..usize::from(Log::PLACES) {
                    if at == usize::from(Log::PLACES) / 2 {
                        Self::spend(&mut flash.left)?;
                    }
                    flash.words[usize::from(place) + at] = [u32::MAX; RECORD_WORDS];
                }
                flash.erased[sector] += 1;
                Ok(())
            },
            |place, words| {
                let mut flash = cell.borrow_mut();
                for (at, word) in words.iter().enumerate() {
                    if Self::spend(&mut flash.left).is_err() {
                        // Half of the word's bits have made it.
                        flash.words[usize::from(place)][at] &= word | 0xFFFF_0000;
                        return Err(PowerCut);
                    }
                    flash.words[usize::from(place)][at] &= word;
                }
                Ok(())
            },
        )
    }
}

#[test]
fn records_are_read_as_written() {
    for time in [0, 1, START, u32::MAX] {
        for sequence in [0, 1, 0x8000, u16::MAX] {
            let record = Record { time, sequence };
            assert_eq!(Record::decode(record.encode()), Some(record));
            for bit in 0..64 {
                let mut words = record.encode();
                words[bit / 32] ^= 1 << (bit % 32);
                assert_eq!(Record::decode(words), None, "bit {bit} of {record:?}");
            }
        }
    }
    assert_eq!(Record::decode([u32::MAX; 2]), None, "erased");
    assert_eq!(Record::decode([0; 2]), None);
}

#[test]
fn nothing_is_known_of_new_flash_whatever_is_in_it() {
    for content in [u32::MAX, 0, 0x1234_5678] {
        let mut flash = Flash::new(content);
        let mut log = flash.find();
        assert_eq!(log.time(), None);
        assert!(flash.keep(&mut log, START).is_ok());
        assert_eq!(flash.find().time(), Some(START), "with {content:#x} before");
    }
}

#[test]
fn a_day_is_written_once() {
    let mut flash = Flash::new(u32::MAX);
    let mut log = flash.find();
    for hour in 0..24 {
        assert!(flash.keep(&mut log, START + hour * 3600).is_ok());
    }
    let written = flash.words.iter().filter(|words| words[0] != u32::MAX).count();
    assert_eq!(written, 1);
    assert_eq!(flash.erased, [1, 0]);
    // A clock that was wrong and is right again is written as well.
    assert!(flash.keep(&mut log, START - DAY).is_ok());
    assert_eq!(flash.find().time(), Some(START - DAY));
}

#[test]
fn twenty_years_of_days_wear_nothing_out() {
    let mut flash = Flash::new(u32::MAX);
    let mut log = flash.find();
    for day in 0..7_305_u32 {
        let time = day.wrapping_mul(DAY);
        assert!(flash.keep(&mut log, time).is_ok());
        if day % 97 == 0 {
            let found = flash.find();
            assert_eq!(found, log, "day {day}");
            assert_eq!(found.time(), Some(time));
        }
    }
    assert!(flash.erased.iter().all(|count| *count <= 8), "{:?}", flash.erased);
}

#[test]
fn a_power_cut_leaves_the_newest_or_the_one_before() {
    let mut flash = Flash::new(u32::MAX);
    let mut log = flash.find();
    for day in 0..3 * u32::from(Log::PLACES) {
        let (old, new) = (log.time(), START + day * DAY);
        // Around the sectors' beginnings, and here and there.
        let telling = (day + 2) % u32::from(Log::PLACES) < 5 || day % 101 == 0;
        for left in (0..4).filter(|_| telling) {
            let mut cut = Flash { left: Some(left), ..flash.clone() };
            let mut cut_log = log;
            let done = cut.keep(&mut cut_log, new).is_ok();
            let found = cut.find();
            assert!(found.time() == old || found.time() == Some(new), "day {day}, {left}");
            assert!(!done || found.time() == Some(new), "day {day}, {left}: lost");
            // The next boot writes again.
            cut.left = None;
            let mut again = found;
            assert!(cut.keep(&mut again, new + DAY).is_ok());
            assert_eq!(cut.find().time(), Some(new + DAY), "day {day}, {left}: afterwards");
        }
        assert!(flash.keep(&mut log, new).is_ok());
    }
}
