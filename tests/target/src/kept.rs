//! What survives resets: words in memory that nothing writes at start.

use core::sync::atomic::{AtomicU32, Ordering};

use lx106::{Kept, ResetReason};

use crate::{Ends, Test};

#[unsafe(link_section = ".noinit")]
static KEPT: Kept<3> = Kept::new();
#[unsafe(link_section = ".noinit")]
static OTHER: Kept<1> = Kept::new();

fn words_are_kept_until_somebody_writes_over_them() {
    assert_eq!(KEPT.get(), None, "the power was off");
    KEPT.keep(&[1, 2, 3]);
    OTHER.keep(&[u32::MAX]);
    assert_eq!((KEPT.get(), OTHER.get()), (Some([1, 2, 3]), Some([u32::MAX])));
    KEPT.keep(&[0; 3]);
    assert_eq!(KEPT.get(), Some([0; 3]));
    KEPT.forget();
    assert_eq!(KEPT.get(), None);
    KEPT.forget();
    assert_eq!(KEPT.get(), None);
    // Each bit of words and sum counts.
    KEPT.keep(&[0x0123_4567, 0, u32::MAX]);
    // SAFETY: that is what it is made of.
    let words: &[AtomicU32; 4] = unsafe { &*(&raw const KEPT).cast() };
    for bit in 0..128 {
        words[bit / 32].fetch_xor(1 << (bit % 32), Ordering::Relaxed);
        assert_eq!(KEPT.get(), None, "bit {bit}");
        words[bit / 32].fetch_xor(1 << (bit % 32), Ordering::Relaxed);
    }
    assert_eq!(KEPT.get(), Some([0x0123_4567, 0, u32::MAX]));
}

/// Each boot crashes, and the third finds what the first has kept.
fn over_resets() {
    match KEPT.get() {
        None => KEPT.keep(&[lx106::crash_count(), 7, 8]),
        words => assert_eq!(words, Some([0, 7, 8])),
    }
    if lx106::crash_count() == 1 {
        crate::say("the second boot found what the first had kept");
    }
    lx106::give_up("for the next boot");
}

pub const TESTS: &[Test] = &[
    Test::new("kept-words", words_are_kept_until_somebody_writes_over_them),
    Test {
        name: "kept-over-resets",
        early: false,
        run: over_resets,
        ends: Ends::Resets {
            reason: ResetReason::GaveUp,
            crashes: 2,
            shows: &["the second boot found what the first had kept"],
        },
    },
];
