//! Boot records on a model of the flash that loses its power after each byte and in each half.

use slots::{
    ATTEMPTS, Mark, RECORD_WORDS, Record, Records, Slot, Verdict, mark_good, mark_rejected,
};

const SECTOR: usize = slots::SECTOR as usize;

/// The two sectors, and how many bytes are still written or erased before the power fails.
#[derive(Clone)]
struct Flash {
    bytes: [Vec<u8>; 2],
    budget: Option<usize>,
}

impl Flash {
    fn new() -> Self {
        Self { bytes: [vec![0xFF; SECTOR], vec![0xFF; SECTOR]], budget: None }
    }

    /// Takes a byte from the budget: Some(false) for the one that is half done.
    fn spend(&mut self) -> Option<bool> {
        match &mut self.budget {
            None => Some(true),
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(*left > 0)
            }
        }
    }

    fn erase(&mut self, sector: usize) {
        for at in 0..SECTOR {
            match self.spend() {
                Some(true) => self.bytes[sector][at] = 0xFF,
                Some(false) => self.bytes[sector][at] |= 0xF0,
                None => return,
            }
        }
    }

    fn write(&mut self, sector: usize, word: usize, value: u32) {
        for (at, byte) in (4 * word..).zip(value.to_le_bytes()) {
            match self.spend() {
                Some(true) => self.bytes[sector][at] &= byte,
                Some(false) => self.bytes[sector][at] &= byte | 0x0F,
                None => return,
            }
        }
    }

    fn mark(&mut self, sector: usize, mark: Mark) {
        self.write(sector, mark.word as usize, mark.value);
    }

    fn records(&self) -> Records {
        let read = |sector: usize| {
            let mut words = [0; RECORD_WORDS];
            for (word, bytes) in words.iter_mut().zip(self.bytes[sector].chunks_exact(4)) {
                *word = u32::from_le_bytes(bytes.try_into().unwrap());
            }
            words
        };
        Records::read(&[read(0), read(1)])
    }

    /// What the boot stage does when both slots are sound; the slot that it starts.
    fn boot(&mut self) -> Slot {
        let [first, second] = self.records().order();
        assert_eq!(first.slot, second.slot.other(), "one slot is never tried");
        if let Some((sector, mark)) = first.mark {
            self.mark(sector, mark);
        }
        first.slot
    }

    /// What the application does for an update.
    fn try_out(&mut self, slot: Slot) {
        let (sector, words) = self.records().next(slot, 0x1234);
        self.erase(sector);
        for (index, word) in words.into_iter().enumerate() {
            self.write(sector, index, word);
        }
    }

    fn confirm(&mut self) {
        let (sector, _) = self.records().newest().unwrap();
        self.mark(sector, mark_good());
    }

    fn verdict(&self) -> Verdict {
        self.records().newest().unwrap().1.verdict
    }
}

/// As after so many updates that all went well.
fn after_updates(updates: usize) -> (Flash, Slot) {
    let mut flash = Flash::new();
    let mut slot = flash.boot();
    for _ in 0..updates {
        slot = slot.other();
        flash.try_out(slot);
        assert_eq!(flash.boot(), slot);
        flash.confirm();
    }
    assert_eq!(flash.boot(), slot);
    (flash, slot)
}

#[test]
fn a_board_without_records_boots_from_a() {
    let mut flash = Flash::new();
    assert_eq!(flash.boot(), Slot::A);
    assert_eq!(flash.boot(), Slot::A);
    assert!(flash.bytes.iter().flatten().all(|byte| *byte == 0xFF), "booting wrote something");
}

#[test]
fn a_firmware_that_says_it_is_good_stays_and_nothing_more_is_written() {
    let (mut flash, slot) = after_updates(3);
    let before = flash.bytes.clone();
    for _ in 0..10 {
        assert_eq!(flash.boot(), slot);
    }
    assert_eq!(flash.bytes, before);
}

#[test]
fn one_that_says_nothing_has_its_attempts_and_the_old_one_comes_back() {
    for updates in 0..4 {
        let (mut flash, old) = after_updates(updates);
        flash.try_out(old.other());
        for attempt in 1..=ATTEMPTS {
            assert_eq!(flash.boot(), old.other());
            assert_eq!(flash.verdict(), Verdict::Trial { attempts: attempt });
        }
        let before = flash.bytes.clone();
        for _ in 0..10 {
            assert_eq!(flash.boot(), old);
        }
        assert_eq!(flash.bytes, before, "booting the old one wrote something");
        // And the next update has its chance.
        flash.try_out(old.other());
        assert_eq!(flash.boot(), old.other());
        flash.confirm();
        assert_eq!(flash.boot(), old.other());
    }
}

#[test]
fn one_that_gives_up_tells_why() {
    let (mut flash, old) = after_updates(1);
    flash.try_out(old.other());
    assert_eq!(flash.boot(), old.other());
    let (sector, _) = flash.records().newest().unwrap();
    flash.mark(sector, mark_rejected(7));
    assert_eq!(flash.boot(), old);
    assert_eq!(flash.verdict(), Verdict::Rejected { reason: 7 });
}

/// The power fails at each byte of a new record, of the erasing before it, of a boot on trial and
/// of the confirmation: the board boots the old firmware or the new one, never one that was not
/// asked for, and an update that is begun again succeeds.
#[test]
fn the_power_fails_at_each_byte() {
    for updates in 0..3 {
        let (start, old) = after_updates(updates);
        let new = old.other();
        let steps = |flash: &mut Flash| {
            flash.try_out(new);
            let slot = flash.boot();
            if slot == new {
                flash.confirm();
            }
        };
        let (mut seen_old, mut seen_new) = (false, false);
        for cut in 0..SECTOR + 64 {
            let mut flash = start.clone();
            flash.budget = Some(cut);
            // A board without power does nothing more: what steps do then changes nothing.
            steps(&mut flash);
            let whole = flash.budget != Some(0);
            flash.budget = None;
            let slot = flash.boot();
            seen_old |= slot == old;
            seen_new |= slot == new;
            assert!(!whole || slot == new, "cut {cut}: nothing was cut, and the old one boots");
            if slot == new {
                flash.confirm();
                assert_eq!(flash.verdict(), Verdict::Good, "cut {cut}");
                assert_eq!(flash.boot(), new, "cut {cut}");
            } else {
                // It must not come later either: its trial was not begun, or is over.
                assert_eq!(flash.boot(), old, "cut {cut}");
                flash.try_out(new);
                assert_eq!(flash.boot(), new, "cut {cut}");
                flash.confirm();
                assert_eq!(flash.boot(), new, "cut {cut}");
            }
        }
        assert!(seen_old && seen_new);
    }
}

#[test]
fn each_flipped_bit_of_what_the_checksum_covers_is_found() {
    let words = Record::trial(77, Slot::B, 5);
    let verdict = Verdict::Trial { attempts: 0 };
    let record = Record { sequence: 77, slot: Slot::B, verdict, number: 5 };
    assert_eq!(Record::read(&words), Some(record));
    for word in [0, 1, 2, 3, 7] {
        for bit in 0..32 {
            let mut words = words;
            words[word] ^= 1 << bit;
            assert_eq!(Record::read(&words), None);
        }
    }
    assert_eq!(Record::read(&[0; RECORD_WORDS]), None);
    assert_eq!(Record::read(&[u32::MAX; RECORD_WORDS]), None);
}

#[test]
fn sequence_numbers_wrap() {
    let read = |sequence, slot| Record::read(&Record::trial(sequence, slot, 0));
    let records = Records([read(u32::MAX, Slot::A), read(0, Slot::B)]);
    let (sector, newest) = records.newest().unwrap();
    assert_eq!((sector, newest.slot), (1, Slot::B));
    let (sector, words) = records.next(Slot::A, 7);
    assert_eq!((sector, Record::read(&words).unwrap().sequence), (0, 1));
}
