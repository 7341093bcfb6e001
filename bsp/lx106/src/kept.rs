//! Memory that survives resets and deep sleep: the RTC's on the chip. Whoever keeps something there
//! has a static of his own in it; ARCHITECTURE has the list.

use core::sync::atomic::{AtomicU32, Ordering};

/// Words that are told from what the memory holds after power-on by a CRC. Not words of bytes,
/// because a board may keep them in memory that knows no bytes.
///
/// ```ignore
/// #[unsafe(link_section = ".noinit")]
/// static KEPT: Kept<2> = Kept::new();
/// ```
pub struct Kept<const WORDS: usize> {
    words: [AtomicU32; WORDS],
    crc: AtomicU32,
}

impl<const WORDS: usize> Kept<WORDS> {
    /// For a static in the section `.noinit`: nothing is written there at start.
    #[expect(clippy::new_without_default, reason = "it makes sense in one place only")]
    pub const fn new() -> Self {
        Self { words: [const { AtomicU32::new(0) }; WORDS], crc: AtomicU32::new(0) }
    }

    /// Keeps these. A reset in between leaves what is not valid.
    pub fn keep(&self, words: &[u32; WORDS]) {
        for (place, word) in self.words.iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        self.crc.store(crc32(words), Ordering::Relaxed);
    }

    /// What was kept last; `None` after power-on, or when anybody wrote over it.
    pub fn get(&self) -> Option<[u32; WORDS]> {
        let words = self.load();
        (self.crc.load(Ordering::Relaxed) == crc32(&words)).then_some(words)
    }

    /// Forgets what was kept.
    pub fn forget(&self) {
        self.crc.store(!crc32(&self.load()), Ordering::Relaxed);
    }

    fn load(&self) -> [u32; WORDS] {
        core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed))
    }
}

/// CRC-32 as Ethernet has it, of words and their count, so that no count of zeros is valid.
fn crc32(words: &[u32]) -> u32 {
    let count = words.len() as u32;
    let crc = words.iter().fold(step(u32::MAX, count), |crc, word| step(crc, *word));
    !crc
}

fn step(crc: u32, word: u32) -> u32 {
    (0..32).fold(crc ^ word, |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xEDB8_8320 } else { 0 })
}

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
