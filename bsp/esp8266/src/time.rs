//! The last known time of day: in the RTC's memory, which survives resets, and once a day in
//! flash, which survives power cuts.

use clock::{Log, RECORD_WORDS};

use crate::flash;

/// Flash offset of the log's two sectors: behind the identity, in the cache's window, where
/// nothing else lies.
const LOG: u32 = identity::REGION_OFFSET + identity::REGION_SIZE as u32;
/// Bytes of a record.
const RECORD: u32 = (4 * RECORD_WORDS) as u32;

/// Words that are read from flash at once.
const PIECE: usize = 32;

/// The time kept last, in seconds since 1970.
pub fn kept() -> Option<u32> {
    lx106::kept_time().or_else(|| Log::find(reader()).time())
}

/// Keeps a time.
pub fn keep(seconds: u32) {
    lx106::keep_time(seconds);
    let kept = Log::find(reader()).keep(
        seconds,
        reader(),
        // SAFETY: the sectors of the log are nobody else's; nothing is borrowed from them.
        |place| unsafe { flash::erase_sector(offset(place)) },
        // SAFETY: as above.
        |place, words| unsafe { flash::write(offset(place), &words) },
    );
    if let Err(error) = kept {
        log::warn!("the time cannot be kept over a power cut: {error}");
    }
}

fn offset(place: u16) -> u32 {
    LOG + u32::from(place) * RECORD
}

/// Reads a place's words; zeros, which are no record, if the flash does not answer.
fn reader() -> impl FnMut(u16) -> [u32; RECORD_WORDS] {
    let (mut piece, mut words) = (None, [0; PIECE]);
    move |place| {
        let at = usize::from(place) * RECORD_WORDS;
        if piece.replace(at / PIECE) != Some(at / PIECE)
            && flash::read(LOG + (4 * (at - at % PIECE)) as u32, &mut words).is_err()
        {
            words = [0; PIECE];
        }
        [words[at % PIECE], words[at % PIECE + 1]]
    }
}
