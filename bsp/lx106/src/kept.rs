//! The last known time of day, in memory that survives resets: the RTC's on the chip.

use core::sync::atomic::{AtomicU32, Ordering};

/// Tells a time that was kept from what memory holds after power-on.
const MARK: u32 = 0x7E3A_91C5;

/// The time and, marked, the time once more. Words, because a board may keep them in memory that
/// knows no bytes.
#[unsafe(link_section = ".noinit")]
static KEPT: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

/// Keeps a time, in seconds since 1970, over resets, though not over a power cut.
pub fn keep_time(seconds: u32) {
    // A reset in between leaves two words that do not belong together.
    KEPT[0].store(seconds, Ordering::Relaxed);
    KEPT[1].store(seconds ^ MARK, Ordering::Relaxed);
}

/// The time that was kept last; `None` after power-on.
pub fn kept_time() -> Option<u32> {
    let seconds = KEPT[0].load(Ordering::Relaxed);
    (KEPT[1].load(Ordering::Relaxed) == seconds ^ MARK).then_some(seconds)
}
