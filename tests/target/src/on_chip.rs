//! What only the chip has: memory that knows no bytes, its watchdog, its random source, its
//! flash.

use core::hint::black_box;

use chip::flash;
use lx106::ResetReason::{Exception, Watchdog};

use crate::crash::crashes;
use crate::{Ends, Test};

mod in_c {
    crate::tests_in_c! {
        "subword-loads" => test_subword_loads,
        "subword-loads-in-interrupt" => test_subword_loads_in_interrupt,
        "subword-loads-preempted" => test_subword_loads_preempted,
        "random-health" => test_random_health,
        "random-source" => test_random_source,
        "console-keeps-nobody-waiting" => test_console_keeps_nobody_waiting,
        early
        "subword-loads-before-scheduler" => test_subword_loads_early,
    }
}
pub use in_c::TESTS as TESTS_IN_C;

unsafe extern "C" {
    safe fn victim_store_byte_to_flash();
    safe fn victim_store_byte_to_iram();
    safe fn victim_store_half_to_iram();
    safe fn victim_store_word_to_flash();
    safe fn victim_unaligned_word();
    safe fn victim_unaligned_half();
    safe fn victim_unaligned_store();
    safe fn victim_masked();
    safe fn victim_endless_handler();
    safe fn test_generator();
    safe fn test_console_flood();
}

/// A sector behind the cache's window, which no firmware uses.
const SPARE: u32 = 0x30_0000;

fn flash_keeps_what_is_written() {
    let pattern: [u32; 256] = core::array::from_fn(|i| (i as u32).wrapping_mul(0x9E37_79B9));
    let mut words = [0; 256];
    // SAFETY: nothing lies in this sector and the next.
    unsafe {
        assert_eq!(flash::erase_sector(SPARE), Ok(()));
        assert_eq!(flash::read(SPARE, &mut words), Ok(()));
        assert_eq!(words, [u32::MAX; 256], "erased");
        assert_eq!(flash::write(SPARE, &pattern), Ok(()));
        assert_eq!(flash::read(SPARE, &mut words), Ok(()));
        assert_eq!(words, pattern);
        // Over two pages, and only ones become zeros.
        // (A constant would lie in flash itself.)
        let upper_halves = black_box([0xFFFF_0000; 64]);
        assert_eq!(flash::write(SPARE + 128, &upper_halves), Ok(()));
        assert_eq!(flash::read(SPARE + 128, &mut words[..64]), Ok(()));
        for (word, before) in words.iter().zip(&pattern[32..96]) {
            assert_eq!(*word, before & 0xFFFF_0000);
        }
        assert_eq!(flash::erase_sector(SPARE), Ok(()));
        assert_eq!(flash::read(SPARE, &mut words[..1]), Ok(()));
        assert_eq!(words[0], u32::MAX);
    }
}

fn flash_refuses_what_is_not_there() {
    let mut words = [0; 4];
    for offset in [1, 2, 0x40_0000, 0x40_0000 - 12, u32::MAX - 3] {
        assert_eq!(flash::read(offset, &mut words), Err(flash::Error), "{offset:#x}");
    }
    assert_eq!(flash::read(0x40_0000 - 16, &mut words), Ok(()));
    // SAFETY: refused.
    unsafe {
        // In flash itself, which cannot be read meanwhile.
        static IN_FLASH: [u32; 4] = [1, 2, 3, 4];
        assert_eq!(flash::write(SPARE, &IN_FLASH), Err(flash::Error));
        assert_eq!(flash::erase_sector(SPARE + 4), Err(flash::Error));
        assert_eq!(flash::erase_sector(0x40_0000), Err(flash::Error));
    }
}

const LOAD_STORE: &str = "*** CRASH exception: LoadStoreError (3), address 0x40";
const ALIGNMENT: &str = "*** CRASH exception: LoadStoreAlignment (9), address 0x";

pub const TESTS: &[Test] = &[
    Test::new("flash-read-write-erase", flash_keeps_what_is_written),
    Test::new("flash-bounds", flash_refuses_what_is_not_there),
    crashes(
        "crash-store-byte-to-flash",
        || victim_store_byte_to_flash(),
        Exception,
        &[LOAD_STORE, "Context: task test", " victim_store_byte_to_flash at ", "record: "],
    ),
    crashes(
        "crash-store-byte-to-iram",
        || victim_store_byte_to_iram(),
        Exception,
        &[LOAD_STORE, "Context: task test", " victim_store_byte_to_iram at ", "record: "],
    ),
    crashes(
        "crash-store-half-to-iram",
        || victim_store_half_to_iram(),
        Exception,
        &[LOAD_STORE, "Context: task test", " victim_store_half_to_iram at ", "record: "],
    ),
    crashes(
        "crash-store-word-to-flash",
        || victim_store_word_to_flash(),
        Exception,
        &["*** CRASH exception: ", "address 0x402", " victim_store_word_to_flash at ", "record: "],
    ),
    crashes(
        "crash-unaligned-word",
        || victim_unaligned_word(),
        Exception,
        &[
            ALIGNMENT,
            "Context: task test",
            " victim_unaligned_word at ",
            "record: exception: LoadStoreAlignment (9), address 0x3ff",
            ", task test, pc 0x402",
        ],
    ),
    crashes(
        "crash-unaligned-half",
        || victim_unaligned_half(),
        Exception,
        &[ALIGNMENT, "Context: task test", " victim_unaligned_half at ", "record: "],
    ),
    crashes(
        "crash-unaligned-store",
        || victim_unaligned_store(),
        Exception,
        &[ALIGNMENT, "Context: task test", " victim_unaligned_store at ", "record: "],
    ),
    Test {
        ends: Ends::Shows(&[
            "one of thirty lines with interrupts masked",
            "*** the console was too slow: ",
            "19 lines dropped",
            "the console is back",
        ]),
        ..Test::new("console-flood", || test_console_flood())
    },
    Test { ends: Ends::ReturnsEachBoot, ..Test::new("random-generator", || test_generator()) },
    // Nothing is left to print a report; the next boot knows the task by its traces in RAM.
    Test {
        name: "watchdog-masked",
        early: false,
        run: || victim_masked(),
        ends: Ends::Resets {
            reason: Watchdog,
            crashes: 1,
            shows: &["record: watchdog: interrupts masked or starved, task test"],
        },
    },
    Test {
        name: "watchdog-endless-handler",
        early: false,
        run: || victim_endless_handler(),
        ends: Ends::Resets {
            reason: Watchdog,
            crashes: 1,
            shows: &["record: watchdog: interrupts masked or starved, task test"],
        },
    },
];
