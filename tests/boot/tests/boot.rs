//! Which slot the boot stage starts, whatever is in records and slots.

use std::sync::LazyLock;

use boot_tests::{Bench, probe, stage};
use slots::{
    ATTEMPTS, RECORD_WORDS, RECORDS, Record, Records, SECTOR, Slot, Verdict, mark_good,
    mark_rejected,
};

static STAGE: LazyLock<Vec<u8>> = LazyLock::new(stage);
static OLD: LazyLock<Vec<u8>> = LazyLock::new(|| probe('o'));
static NEW: LazyLock<Vec<u8>> = LazyLock::new(|| probe('n'));

/// The old firmware in A and the new one in B, and one record, in the first of its sectors.
fn bench(record: &[u32; RECORD_WORDS]) -> Bench {
    Bench::new(&[
        (slots::STAGE, &STAGE),
        (RECORDS[0], &bytes(record)),
        (Slot::A.offset(), &OLD),
        (Slot::B.offset(), &NEW),
    ])
}

const NONE: [u32; RECORD_WORDS] = [u32::MAX; RECORD_WORDS];

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn good(sequence: u32, slot: Slot) -> [u32; RECORD_WORDS] {
    let mut words = Record::trial(sequence, slot, 0);
    words[mark_good().word as usize] = mark_good().value;
    words
}

fn records(flash: &[u8]) -> Records {
    let read = |at: u32| {
        let mut words = [0; RECORD_WORDS];
        for (word, bytes) in words.iter_mut().zip(flash[at as usize..].chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap());
        }
        words
    };
    Records::read(&RECORDS.map(read))
}

fn verdict(bench: &Bench) -> Verdict {
    records(bench.flash()).newest().unwrap().1.verdict
}

const A: (char, Slot) = ('o', Slot::A);
const B: (char, Slot) = ('n', Slot::B);

#[test]
fn the_stage_fits_its_sector() {
    println!("boot stage: {} bytes", STAGE.len());
    assert!(STAGE.len() <= SECTOR as usize);
}

#[test]
fn the_good_case_starts_the_right_slot_and_writes_nothing() {
    for (record, wanted) in [(NONE, A), (good(5, Slot::A), A), (good(5, Slot::B), B)] {
        let mut bench = bench(&record);
        let before = bench.flash().to_vec();
        for _ in 0..3 {
            assert_eq!(bench.boot(), wanted);
        }
        assert!(bench.flash() == before, "booting wrote to flash");
    }
}

/// The same image runs in either slot: nothing in it knows where it lies.
#[test]
fn one_image_runs_in_both_slots() {
    let mut bench = bench(&good(1, Slot::B));
    bench.load(Slot::B.offset(), &OLD);
    assert_eq!(bench.boot(), ('o', Slot::B));
    bench.load(RECORDS[1], &bytes(&good(2, Slot::A)));
    assert_eq!(bench.boot(), ('o', Slot::A));
}

#[test]
fn the_newer_record_counts_wherever_it_stands() {
    for (first, second, wanted) in [
        (good(1, Slot::A), good(2, Slot::B), B),
        (good(3, Slot::A), good(2, Slot::B), A),
        (good(u32::MAX, Slot::A), good(0, Slot::B), B),
        (NONE, good(9, Slot::B), B),
    ] {
        let mut bench = bench(&first);
        bench.load(RECORDS[1], &bytes(&second));
        assert_eq!(bench.boot(), wanted);
    }
    // Damaged, it does not: each bit that its checksum covers.
    for bit in 0..4 * 32 {
        let mut damaged = bytes(&good(2, Slot::B));
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut bench = bench(&good(1, Slot::A));
        bench.load(RECORDS[1], &damaged);
        assert_eq!(bench.boot(), A, "bit {bit}");
    }
}

#[test]
fn a_firmware_on_trial_has_its_attempts() {
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    for attempt in 1..=ATTEMPTS {
        assert_eq!(bench.boot(), B);
        assert_eq!(verdict(&bench), Verdict::Trial { attempts: attempt });
    }
    let before = bench.flash().to_vec();
    assert_eq!(bench.boot(), A);
    assert_eq!(bench.boot(), A);
    assert!(bench.flash() == before, "booting the old firmware wrote to flash");
}

#[test]
fn one_that_says_that_it_is_good_stays() {
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    assert_eq!(bench.boot(), B);
    let mark = mark_good();
    bench.load(RECORDS[0] + 4 * mark.word, &mark.value.to_le_bytes());
    for _ in 0..=ATTEMPTS {
        assert_eq!(bench.boot(), B);
    }
}

#[test]
fn one_that_gave_up_is_not_started_again() {
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    let mark = mark_rejected(3);
    bench.load(RECORDS[0] + 4 * mark.word, &mark.value.to_le_bytes());
    assert_eq!(bench.boot(), A);
    assert_eq!(verdict(&bench), Verdict::Rejected { reason: 3 });
}

/// Each byte of an image damaged, in the slot that is to be started: the other one is.
#[test]
fn a_damaged_image_is_passed_over_for_the_other() {
    for (slot, record, other) in
        [(Slot::A, good(1, Slot::A), B), (Slot::B, good(1, Slot::B), A), (Slot::A, NONE, B)]
    {
        let image = if slot == Slot::A { &OLD } else { &NEW };
        for byte in 0..image.len() {
            let mut bench = bench(&record);
            let before = bench.flash()[slot.offset() as usize + byte];
            bench.load(slot.offset() + byte as u32, &[before ^ 1 << (byte % 8)]);
            assert_eq!(bench.boot(), other, "byte {byte} of {slot:?}");
        }
    }
}

/// On trial too, and that costs none of its attempts.
#[test]
fn a_damaged_image_on_trial_is_not_counted() {
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    bench.load(Slot::B.offset() + 40, &[0x55]);
    let said = bench.boot_until(">");
    assert!(said.contains("boot: nothing sound in slot B\r\n"), "{said}");
    assert!(said.ends_with("<oo0>"), "{said}");
    assert_eq!(verdict(&bench), Verdict::Trial { attempts: 0 });
}

#[test]
fn without_any_firmware_it_says_so_once_and_looks_again_later() {
    for nothing in [0x00, 0xFF] {
        let mut bench = bench(&NONE);
        for slot in [Slot::A, Slot::B] {
            bench.load(slot.offset(), &[nothing; 4096]);
        }
        let said = bench.boot_until("writes it\r\n");
        assert!(said.contains("slot A\r\n") && said.contains("slot B\r\n"), "{said}");
        assert!(said.ends_with("boot: no firmware: `make flash` writes it\r\n"), "{said}");
        // It resets by itself, not by the watchdog, and then finds what is there now.
        bench.load(Slot::A.offset(), &OLD);
        let said = bench.until(">");
        assert!(!said.contains("wdt reset") && said.ends_with("<oo0>"), "{said}");
        assert_eq!(said.matches("boot:").count(), 0, "{said}");
    }
}

/// The one word that the stage writes, cut off at each byte, in each of the attempts: the next boot
/// starts a whole firmware, and the trial ends after as many attempts as always, or one less.
#[test]
fn the_power_fails_while_an_attempt_is_noted() {
    for before in 0..ATTEMPTS {
        for cut in 0..4 {
            let mut bench = bench(&Record::trial(1, Slot::B, 0));
            for _ in 0..before {
                assert_eq!(bench.boot(), B);
            }
            bench.run_out_of_power(cut);
            let mut attempts = before;
            while bench.boot() == B {
                attempts += 1;
                assert!(attempts <= ATTEMPTS, "cut {cut} after {before}: the trial does not end");
            }
            assert!(attempts + 1 >= ATTEMPTS, "cut {cut} after {before}: the trial is over early");
            assert_eq!(bench.boot(), A);
        }
    }
}

/// An attempt that cannot be noted would be made for ever.
#[test]
fn a_trial_that_cannot_be_noted_is_none() {
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    // Erased where the mark has ones: what is read back is not what was written.
    bench.load(RECORDS[0] + 16, &[0xFF, 0x00, 0xFF, 0x00]);
    let said = bench.boot_until(">");
    assert!(said.ends_with("<oo0>"), "{said}");
}

/// 40 ms at 52 MHz.
const MOST_INSTRUCTIONS: u64 = 52_000 * 40;

/// The largest image that a slot holds, on trial.
#[test]
fn it_takes_no_longer_than_it_may() {
    let mut image = OLD.clone();
    // Code that is larger, by words that nobody reads.
    let code = u32::from_le_bytes(image[12..16].try_into().unwrap());
    let more = (slots::MAX_IMAGE as usize - image.len()) / 16 * 16;
    image.splice(16 + code as usize..16 + code as usize, vec![0xA5; more]);
    image[12..16].copy_from_slice(&(code + more as u32).to_le_bytes());
    assert_eq!(board::image::seal(&mut image), Some(image.len()));
    let mut bench = bench(&Record::trial(1, Slot::B, 0));
    bench.load(Slot::B.offset(), &image);
    let start = bench.instructions();
    assert_eq!(bench.boot(), ('o', Slot::B));
    let largest = bench.instructions() - start;
    // As long as what is flashed.
    let usual = 330_000 * largest / image.len() as u64;
    println!("boot stage: {largest} instructions for {} bytes, {usual} for 330,000", image.len());
    assert!(usual <= MOST_INSTRUCTIONS, "{usual} instructions");
    assert!(largest <= MOST_INSTRUCTIONS, "{largest} instructions");
}
