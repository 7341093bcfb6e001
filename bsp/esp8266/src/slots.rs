//! The two slots as an update needs them (`docs/updates.md`): read anywhere, changed where the
//! firmware that runs is not.

use ::slots::{PROGRESS, RECORDS, SECTOR, Slot};
use update::install::Flash;
use update::machine::FlashError;

use crate::flash;

/// Where in its MiB the identity behind a slot ends.
const IDENTITY_END: u32 = identity::REGION_OFFSET + identity::REGION_SIZE as u32;

/// The flash, as far as an update may touch it.
pub struct Slots;

impl Slots {
    /// The slot that this firmware runs from.
    pub fn running() -> Slot {
        Slot::from_number(chip_slot).unwrap_or(Slot::A)
    }
}

/// Whether an update may change these bytes: not the boot stage, nothing in the MiB that the cache
/// shows, with the identity in use, but boot records and progress, which nobody reads through it.
fn may_change(offset: u32, length: u32) -> bool {
    let other = Slots::running().other();
    let ranges = [
        (other.offset(), other.mib() + IDENTITY_END),
        (PROGRESS, PROGRESS + SECTOR),
        (RECORDS[0], RECORDS[0] + SECTOR),
        (RECORDS[1], RECORDS[1] + SECTOR),
    ];
    ranges.iter().any(|(start, end)| *start <= offset && offset < *end && length <= end - offset)
}

impl Flash for Slots {
    fn read(&self, offset: u32, words: &mut [u32]) -> Result<(), FlashError> {
        flash::read(offset, words).map_err(|flash::Error| FlashError)
    }

    fn write(&self, offset: u32, words: &[u32]) -> Result<(), FlashError> {
        if !may_change(offset, size_of_val(words) as u32) {
            return Err(FlashError);
        }
        // SAFETY: neither this firmware nor its identity lies there; nothing is borrowed from there.
        unsafe { flash::write(offset, words) }.map_err(|flash::Error| FlashError)
    }

    fn erase(&self, offset: u32) -> Result<(), FlashError> {
        if !may_change(offset, SECTOR) {
            return Err(FlashError);
        }
        // SAFETY: as above.
        unsafe { flash::erase_sector(offset) }.map_err(|flash::Error| FlashError)
    }
}

// bsp/esp8266/include/chip.h. Set before Rust runs, and never again.
unsafe extern "C" {
    safe static chip_slot: u32;
}
