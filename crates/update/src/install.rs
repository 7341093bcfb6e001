//! An update and the flash: the other slot, the sector of progress and the boot records
//! (`docs/updates.md`). Whatever the power does, the firmware that runs stays as it is, and a boot
//! record never names an image that was not found good.

use alloc::string::String;
use alloc::vec::Vec;

use p256_lx106::{Sha256, Workspace};
use slots::{
    DESCRIPTOR_WORD, DESCRIPTOR_WORDS, Descriptor, PROGRESS, RECORD_WORDS, RECORDS, Record,
    Records, Sums, Verdict, mark_good, mark_rejected,
};
pub use slots::{MAX_IMAGE, Slot};

use crate::machine::{FlashError, Installed, Outcome, Store, Work};
use crate::progress::{Fetch, HEADER_WORDS, Missing};

/// The flash, by offset. A board lets through what an update may touch: the slot that does not run,
/// progress and boot records.
pub trait Flash {
    /// Fills `words` from `offset`, a multiple of 4.
    ///
    /// # Errors
    /// When the flash does not answer.
    fn read(&self, offset: u32, words: &mut [u32]) -> Result<(), FlashError>;
    /// Writes `words` at `offset`, a multiple of 4: ones become zeros.
    ///
    /// # Errors
    /// When the flash reports a fault, or the range is not one that an update may touch.
    fn write(&self, offset: u32, words: &[u32]) -> Result<(), FlashError>;
    /// Erases the sector at `offset`.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn erase(&self, offset: u32) -> Result<(), FlashError>;
}

/// Why a firmware on trial gave up: the reason in its boot record.
const NOT_CONNECTED: u8 = 1;

/// Words that are read or written at once: 256 bytes, a page of the flash.
const PIECE: usize = 64;
/// Words of the sector of progress that are looked at: header, and bits for 1 MiB in blocks of
/// 1 KiB.
const PROGRESS_WORDS: usize = HEADER_WORDS + 32;

/// Where an update goes on a board that runs from one of two slots.
#[derive(Clone, Copy)]
pub struct Installer<'a> {
    flash: &'a dyn Flash,
    slot: Slot,
}

/// Why an image is not taken, in words: told to the server as the reason.
pub type Unfit = &'static str;

const UNREADABLE: Unfit = "the image cannot be read back";
const UNSIGNED: Unfit = "no key that this device trusts has signed the image";
const NO_IMAGE: Unfit = "the image is no firmware";
const DAMAGED: Unfit = "the image is not whole: the boot stage would not start it";
const OTHER_BOARD: Unfit = "the image is for another board";
const NOT_NEWER: Unfit = "the image is not newer than the firmware that runs";

impl<'a> Installer<'a> {
    /// For the firmware that runs from `slot`.
    #[must_use]
    pub const fn new(flash: &'a dyn Flash, slot: Slot) -> Self {
        Self { flash, slot }
    }

    /// The slot that runs.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// The slot that an update goes to.
    const fn other(&self) -> Slot {
        self.slot.other()
    }

    fn records(&self) -> Result<Records, FlashError> {
        let mut sectors = [[0; RECORD_WORDS]; 2];
        for (offset, words) in RECORDS.into_iter().zip(&mut sectors) {
            self.flash.read(offset, words)?;
        }
        Ok(Records::read(&sectors))
    }

    /// What became of the update that was installed last, if there was one. `crash` is the record of
    /// the last crash: that of a firmware on trial which ended so.
    #[must_use]
    #[inline(never)]
    pub fn installed(&self, crash: Option<&str>) -> Option<Installed> {
        let (_, Record { slot, verdict, number, .. }) = self.records().ok()?.newest()?;
        let outcome = match verdict {
            _ if slot != self.slot => Outcome::Failed(came_back(verdict, crash)),
            Verdict::Good => Outcome::Good,
            Verdict::Trial { .. } => Outcome::Trial,
            // There was nothing sound in the other slot.
            Verdict::Rejected { .. } => Outcome::Failed(came_back(verdict, crash)),
        };
        Some(Installed { what: number, outcome })
    }

    /// The firmware that runs on trial has proved itself.
    ///
    /// # Errors
    /// When the flash does not take it: the trial goes on.
    pub fn accept(&self) -> Result<(), FlashError> {
        self.mark(mark_good())
    }

    /// The firmware that runs on trial has not: the next boot starts the other one.
    ///
    /// # Errors
    /// When the flash does not take it.
    pub fn give_up(&self) -> Result<(), FlashError> {
        self.mark(mark_rejected(NOT_CONNECTED))
    }

    fn mark(&self, mark: slots::Mark) -> Result<(), FlashError> {
        let (sector, _) = self.records()?.newest().ok_or(FlashError)?;
        let record = RECORDS.get(sector).ok_or(FlashError)?;
        self.flash.write(record + 4 * mark.word, &[mark.value])
    }

    /// What is there of an image, for [`Machine::begun`](crate::machine::Machine::begun). When that
    /// is nothing, the sector of progress is prepared for it.
    ///
    /// # Errors
    /// When the flash fails.
    #[inline(never)]
    pub fn begin(&self, fetch: Fetch) -> Result<Missing, FlashError> {
        // What is in one slot is not in the other.
        let fetch = Fetch { what: fetch.what ^ self.other().offset(), ..fetch };
        let mut words = [0; PROGRESS_WORDS];
        self.flash.read(PROGRESS, &mut words)?;
        if let Some(missing) = Missing::resume(fetch, &words) {
            return Ok(missing);
        }
        self.flash.erase(PROGRESS)?;
        self.flash.write(PROGRESS, &fetch.header())?;
        Ok(Missing::all(fetch))
    }

    /// Stores a block.
    ///
    /// # Errors
    /// When the flash fails.
    #[inline(never)]
    pub fn store(&self, store: &Store<'_>) -> Result<(), FlashError> {
        let Store { erase, offset, content, mark: (word, value) } = *store;
        let slot = self.other().offset();
        if let Some(sector) = erase {
            self.flash.erase(slot + sector)?;
        }
        for (at, piece) in (slot + offset..).step_by(4 * PIECE).zip(content.chunks(4 * PIECE)) {
            let mut words = [u32::MAX; PIECE];
            for (word, bytes) in words.iter_mut().zip(piece.chunks(4)) {
                let mut whole = [0xFF; 4];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u32::from_le_bytes(whole);
            }
            let words = words.get(..piece.len().div_ceil(4)).unwrap_or(&words);
            self.flash.write(at, words)?;
        }
        self.flash.write(progress(4 * word as u32), &[value])
    }

    /// Judges the image in the other slot by what can be read back: it must be signed by one of
    /// `keys`, for the board that the running one is for, and newer. One that is unfit is forgotten, so
    /// that another job with it fetches it anew.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn check<H: Sha256>(&self, work: &Work, keys: &[&[u8; 64]]) -> Result<(), Unfit> {
        let verdict = self.judge::<H>(work, keys);
        if verdict.is_err() {
            // Should this fail too, the next job finds the signature wrong again.
            let _ = self.flash.erase(PROGRESS);
        }
        verdict
    }

    #[inline(never)]
    fn judge<H: Sha256>(&self, work: &Work, keys: &[&[u8; 64]]) -> Result<(), Unfit> {
        let (hash, whole) = self.read_back::<H>(work.size).map_err(|FlashError| UNREADABLE)?;
        let mut room = Vec::new();
        room.try_reserve_exact(1).map_err(|_| UNREADABLE)?;
        room.push(Workspace::NEW);
        let mut signed = |key: &&[u8; 64]| {
            room.iter_mut()
                .any(|workspace| p256_lx106::verify(key, &hash, &work.signature, workspace).is_ok())
        };
        if !keys.iter().any(&mut signed) {
            return Err(UNSIGNED);
        }
        let running = self.descriptor(self.slot).ok_or(UNREADABLE)?;
        let offered = self.descriptor(self.other()).ok_or(NO_IMAGE)?;
        // Whoever signs may have signed half of it. The boot stage looks too, at each boot: what it
        // finds costs a restart, and is told by nobody but the old firmware.
        if !whole {
            return Err(DAMAGED);
        }
        if offered.board() != running.board() {
            return Err(OTHER_BOARD);
        }
        if offered.version() <= running.version() && !work.allow_downgrade {
            return Err(NOT_NEWER);
        }
        Ok(())
    }

    /// What the image in a slot says of itself.
    #[inline(never)]
    fn descriptor(&self, slot: Slot) -> Option<Descriptor> {
        let mut words = [0; DESCRIPTOR_WORDS];
        self.flash.read(slot.offset() + 4 * DESCRIPTOR_WORD, &mut words).ok()?;
        Descriptor::read(|at| words.get((at - DESCRIPTOR_WORD) as usize).copied().unwrap_or(0))
    }

    /// SHA-256 of so many bytes in the other slot, and whether they end with the sums that an image
    /// ends with.
    #[inline(never)]
    fn read_back<H: Sha256>(&self, size: u32) -> Result<([u8; 32], bool), FlashError> {
        let slot = self.other().offset();
        let (mut hash, mut sums, mut ending) = (H::new(), Sums::default(), [0; 2]);
        let sums_at = (size / 4).saturating_sub(2);
        for at in (0..size).step_by(4 * PIECE) {
            let mut words = [0; PIECE];
            self.flash.read(slot + at, &mut words)?;
            let mut bytes = [0; 4 * PIECE];
            for (index, (bytes, word)) in (at / 4..).zip(bytes.chunks_exact_mut(4).zip(words)) {
                bytes.copy_from_slice(&word.to_le_bytes());
                match index.checked_sub(sums_at) {
                    None => sums.add(word),
                    Some(behind) => {
                        if let Some(ending) = ending.get_mut(behind as usize) {
                            *ending = word;
                        }
                    }
                }
            }
            let length = (size - at).min(4 * PIECE as u32) as usize;
            hash.update(bytes.get(..length).unwrap_or(&bytes));
        }
        Ok((hash.finish(), size.is_multiple_of(4) && ending == sums.words()))
    }

    /// Writes the boot record of the image that was found good: the next boot starts it on trial.
    ///
    /// # Errors
    /// When the record is not there afterwards. The firmware that runs is booted then.
    #[inline(never)]
    pub fn install(&self, what: u32) -> Result<(), FlashError> {
        let (sector, words) = self.records()?.next(self.other(), what);
        let offset = *RECORDS.get(sector).ok_or(FlashError)?;
        self.flash.erase(offset)?;
        self.flash.write(offset, &words)?;
        let mut written = [0; RECORD_WORDS];
        self.flash.read(offset, &mut written)?;
        if written == words { Ok(()) } else { Err(FlashError) }
    }
}

/// The flash offset of a byte of the sector of progress.
// Never inlined: LLVM cannot select the sum of a product by four and this constant (Xtensa back
// end of LLVM 22).
#[inline(never)]
fn progress(byte: u32) -> u32 {
    PROGRESS + byte
}

/// Why the old firmware is back.
fn came_back(verdict: Verdict, crash: Option<&str>) -> String {
    match (verdict, crash) {
        (Verdict::Rejected { reason: NOT_CONNECTED }, _) => "it did not connect in time",
        (Verdict::Trial { attempts }, Some(crash)) if attempts > 0 => crash,
        (Verdict::Trial { attempts }, None) if attempts > 0 => {
            "it was started three times and did not prove itself"
        }
        (Verdict::Rejected { .. }, _) => "it gave up",
        _ => "the boot stage found it damaged",
    }
    .into()
}
