//! An update and the flash: the other slot with its identity, the sector of progress and the boot
//! records (`docs/updates.md`). Whatever the power does, the firmware that runs stays as it is, its
//! identity too, and nothing boots that was not found good: as long as what is in the other slot has
//! not been, the first word of an image is missing there.

use alloc::string::String;
use alloc::vec::Vec;

use identity::{COPY_SIZE, Identity, REGION_OFFSET, REGION_SIZE, Stored};
use p256_lx106::{Sha256, Workspace};
use slots::{
    DESCRIPTOR_WORD, DESCRIPTOR_WORDS, Descriptor, Image, PROGRESS, RECORD_WORDS, RECORDS, Record,
    Records, SECTOR, Sums, Verdict, mark_good, mark_rejected,
};
pub use slots::{MAX_IMAGE, Slot};

use crate::job::Kind;
use crate::machine::{FlashError, Installed, Limits, Outcome, Store, Work};
use crate::progress::{Fetch, HEADER_WORDS, Missing};

/// The flash, by offset. A board lets through what an update may touch: the slot that does not run
/// and the identity behind it, progress and boot records.
pub trait Flash {
    /// Fills `words` from `offset`, a multiple of 4.
    ///
    /// # Errors
    /// When the flash does not answer.
    fn read(&self, offset: u32, words: &mut [u32]) -> Result<(), FlashError>;
    /// Writes `words`, which lie in RAM (a constant does not), at `offset`, a multiple of 4: ones become
    /// zeros.
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

/// What a firmware asks of a stream: half a sector at a time, because the block, what TCP holds of the
/// next one and the machine share 6 KB of heap; of these a request's worth.
pub const LIMITS: Limits = Limits { slot_size: MAX_IMAGE, block_size: 2048, window: 32 };

/// Why a firmware on trial gave up: the reason in its boot record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum GaveUp {
    /// It has not connected in time.
    NotConnected = 1,
    /// It has, and the jobs service has not answered.
    NotAnswered = 3,
    /// It has answered, and no connection lasted.
    NotLasting = 4,
    /// It cannot use its identity.
    NoIdentity = 5,
}

/// Words that are read or written at once: 256 bytes, a page of the flash.
const PIECE: usize = 64;
/// Words of the sector of progress that are looked at: header, and bits for 1 MiB in blocks of
/// 1 KiB.
const PROGRESS_WORDS: usize = HEADER_WORDS + 32;
/// Where the first word of an image is kept, behind these, until the image was found good.
const KEPT: u32 = PROGRESS + 4 * PROGRESS_WORDS as u32;
const ERASED: u32 = u32::MAX;

/// Where an update goes on a board that runs from one of two slots.
#[derive(Clone, Copy)]
pub struct Installer<'a> {
    flash: &'a dyn Flash,
    slot: Slot,
}

/// What an update is held against of the identity that runs.
#[derive(Clone, Debug, Default)]
pub struct Own<'a> {
    /// Who may sign; without any, no update is taken.
    pub keys: Vec<&'a [u8; 64]>,
    /// The thing.
    pub thing: &'a str,
    /// The identity's sequence number.
    pub sequence: u32,
    /// The copy of the region that it was read from.
    pub copy: usize,
}

impl<'a> From<&Stored<'a>> for Own<'a> {
    fn from(Stored { identity, sequence, copy, .. }: &Stored<'a>) -> Self {
        let Identity { update_keys, thing_name, .. } = identity;
        Self {
            keys: update_keys.clone(),
            thing: thing_name.unwrap_or_default(),
            sequence: *sequence,
            copy: *copy,
        }
    }
}

/// Why an image or an identity is not taken, in words: told to the server as the reason.
pub type Unfit = &'static str;

/// All that another attempt could mend.
pub(crate) const UNREADABLE: Unfit = "the image cannot be read back";
/// All that was wanted.
pub(crate) const IN_USE: Unfit = "the device has it already";
const UNSIGNED: Unfit = "no key that this device trusts has signed it";
const NO_IMAGE: Unfit = "the image is no firmware";
const DAMAGED: Unfit = "the image is not whole";
const OTHER_BOARD: Unfit = "the image is for another board";
const NOT_NEWER: Unfit = "it is not newer than what the device has";
const NO_ROOM: Unfit = "the firmware that runs leaves no room for an identity";
const NO_IDENTITY: Unfit = "it is no identity that this firmware can use";
const OTHER_THING: Unfit = "the identity is another thing's";
const NO_KEY: Unfit = "the identity has no key for updates: none could follow";

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
    pub fn give_up(&self, why: GaveUp) -> Result<(), FlashError> {
        self.mark(mark_rejected(why as u8))
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

    /// Stores a block, of an image all but its first word: nobody knows yet whose it is.
    ///
    /// # Errors
    /// When the flash fails.
    #[inline(never)]
    pub fn store(&self, store: &Store<'_>) -> Result<(), FlashError> {
        let Store { erase, offset, content, mark: (word, value) } = *store;
        let slot = self.other().offset();
        self.disable(offset)?;
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
            if at == slot {
                self.flash.write(KEPT, &[core::mem::replace(&mut words[0], ERASED)])?;
            }
            let words = words.get(..piece.len().div_ceil(4)).unwrap_or(&words);
            self.flash.write(at, words)?;
        }
        self.flash.write(progress(4 * word as u32), &[value])
    }

    /// Before a byte comes to this offset of the other slot: an image that it would be in boots no
    /// more. The sums at an image's end keep nobody from mixing one that was found good with others.
    #[inline(never)]
    fn disable(&self, offset: u32) -> Result<(), FlashError> {
        let other = self.other();
        let mut first = [0];
        self.flash.read(other.offset(), &mut first)?;
        let ends = self.image_sectors(other).map(|sectors| sectors * SECTOR);
        if matches!(first, [0 | ERASED]) || ends.is_some_and(|end| end <= offset) {
            return Ok(());
        }
        first = [0];
        self.put(other.offset(), &first)
    }

    /// Writes up to a record's words and looks whether they are there.
    #[inline(never)]
    fn put(&self, offset: u32, words: &[u32]) -> Result<(), FlashError> {
        self.flash.write(offset, words)?;
        let mut written = [0; RECORD_WORDS];
        let written = written.get_mut(..words.len()).ok_or(FlashError)?;
        self.flash.read(offset, written)?;
        if written == words { Ok(()) } else { Err(FlashError) }
    }

    /// Judges the file in the other slot by what can be read back: it must be signed by one of our
    /// keys. An image must be for the board that the running one is for, and newer; an identity must
    /// be this thing's, newer, and leave a key for the next update. What is unfit is forgotten, so
    /// that another job with it fetches it anew, and an image stays without its first word unless it is
    /// the one that runs.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn check<H: Sha256>(&self, work: &Work, own: &Own<'_>) -> Result<(), Unfit> {
        let verdict = self.signed::<H>(work, &own.keys).and_then(|()| match work.kind {
            Kind::Firmware => self.judge_image(work),
            Kind::Identity => self.judge_identity(work, own),
        });
        if verdict.is_err() {
            // Should this fail too, the next job finds the signature wrong again.
            let _ = self.flash.erase(PROGRESS);
        }
        verdict
    }

    #[inline(never)]
    fn signed<H: Sha256>(&self, work: &Work, keys: &[&[u8; 64]]) -> Result<(), Unfit> {
        let mut hash = H::new();
        self.read(work, &mut |bytes| hash.update(bytes)).map_err(|FlashError| UNREADABLE)?;
        let hash = hash.finish();
        let mut room = Vec::new();
        room.try_reserve_exact(1).map_err(|_| UNREADABLE)?;
        room.push(Workspace::NEW);
        let mut signed = |key: &&[u8; 64]| {
            room.iter_mut()
                .any(|workspace| p256_lx106::verify(key, &hash, &work.signature, workspace).is_ok())
        };
        if keys.iter().any(&mut signed) { Ok(()) } else { Err(UNSIGNED) }
    }

    fn judge_image(&self, work: &Work) -> Result<(), Unfit> {
        let running = &self.descriptor(self.slot);
        let running = running.as_ref().ok_or(UNREADABLE)?;
        let offered = &self.descriptor(self.other());
        let offered = offered.as_ref().ok_or(NO_IMAGE)?;
        // Whoever signs may have signed half of it. The boot stage looks too, at each boot: what it
        // finds costs a restart, and is told by nobody but the old firmware.
        if !self.is_whole(work).map_err(|FlashError| UNREADABLE)? {
            return Err(DAMAGED);
        }
        if offered.board() != running.board() {
            return Err(OTHER_BOARD);
        }
        if offered.version() > running.version() {
            return Ok(());
        }
        self.judge_old(work, self.slot.offset())
    }

    /// Judges a file that is not newer than what is in use and lies at `own`, which it may be.
    #[inline(never)]
    fn judge_old(&self, work: &Work, own: u32) -> Result<(), Unfit> {
        // An image lacks its first word: for what it begins with, the sums at its end stand.
        let is_image = work.kind == Kind::Firmware;
        let from = if is_image { (work.size - 1) % (4 * PIECE as u32) + 1 } else { 0 };
        let file = self.other().offset() + work.base;
        match self.alike(own + from, file + from, work.size - from) {
            Ok(true) => {
                if is_image {
                    // It has overwritten what would come back: so let it be that. If it cannot be,
                    // what was ordered is there all the same.
                    let _ = self.complete();
                }
                Err(IN_USE)
            }
            Ok(false) if work.allow_downgrade => Ok(()),
            Ok(false) => Err(NOT_NEWER),
            Err(FlashError) => Err(UNREADABLE),
        }
    }

    /// Whether one can connect with it, the trial shows.
    #[inline(never)]
    fn judge_identity(&self, work: &Work, own: &Own<'_>) -> Result<(), Unfit> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(work.size as usize).map_err(|_| UNREADABLE)?;
        self.read(work, &mut |bytes| copy.extend_from_slice(bytes))
            .map_err(|FlashError| UNREADABLE)?;
        let offered = Stored::read_copy(&copy).map_err(|_| NO_IDENTITY)?;
        if offered.identity.thing_name != Some(own.thing) {
            return Err(OTHER_THING);
        }
        if offered.identity.update_keys.is_empty() {
            return Err(NO_KEY);
        }
        // The image that goes with it must not cover it before it is at its place.
        match self.image_sectors(self.slot) {
            Some(sectors) if sectors * SECTOR <= work.base => {}
            _ => return Err(NO_ROOM),
        }
        if offered.is_newer_than(own.sequence) {
            return Ok(());
        }
        self.judge_old(work, self.own_copy(own))
    }

    /// What the image in a slot says of itself.
    #[inline(never)]
    fn descriptor(&self, slot: Slot) -> Option<Descriptor> {
        let mut words = [0; DESCRIPTOR_WORDS];
        self.flash.read(slot.offset() + 4 * DESCRIPTOR_WORD, &mut words).ok()?;
        Descriptor::read(|at| words.get((at - DESCRIPTOR_WORD) as usize).copied().unwrap_or(0))
    }

    /// Whether the file ends with the sums of all that is before them, as an image does.
    #[inline(never)]
    fn is_whole(&self, work: &Work) -> Result<bool, FlashError> {
        let (mut sums, mut last, mut words) = (Sums::default(), [0; 2], 0_u32);
        self.read(work, &mut |bytes| {
            for word in bytes.chunks_exact(4) {
                if words >= 2 {
                    sums.add(last[0]);
                }
                let word = word.first_chunk().map_or(0, |word| u32::from_le_bytes(*word));
                last = [last[1], word];
                words += 1;
            }
        })?;
        Ok(work.size.is_multiple_of(4) && sums.words() == last)
    }

    /// Hands the file in the other slot on, piece by piece, an image with the word that it lacks.
    // Once in the firmware, not once for each that takes.
    #[inline(never)]
    fn read(&self, work: &Work, take: &mut dyn FnMut(&[u8])) -> Result<(), FlashError> {
        let file = self.other().offset() + work.base;
        let mut kept = [0];
        self.flash.read(KEPT, &mut kept)?;
        for at in (0..work.size).step_by(4 * PIECE) {
            let mut words = [0; PIECE];
            self.flash.read(file + at, &mut words)?;
            if work.base + at == 0 {
                words[0] &= kept[0];
            }
            let mut bytes = [0; 4 * PIECE];
            for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            let length = (work.size - at).min(4 * PIECE as u32) as usize;
            take(bytes.get(..length).unwrap_or(&bytes));
        }
        Ok(())
    }

    /// How many sectors the image in a slot has; None when that cannot be told.
    #[inline(never)]
    fn image_sectors(&self, slot: Slot) -> Option<u32> {
        let word = |at: u32| {
            let mut word = [0];
            // No shape of an image has zeros.
            let _ = self.flash.read(slot.offset() + 4 * at, &mut word);
            word[0]
        };
        Some((4 * Image::shape(word)?.words).div_ceil(SECTOR))
    }

    /// Carries a sector of the image that runs into the other slot, for [`Action::Carry`]: the next
    /// one, if there is one. The first of the image comes last: before it, nothing of what an update
    /// may have left there boots.
    ///
    /// # Errors
    /// When it is not there afterwards.
    ///
    /// [`Action::Carry`]: crate::machine::Action::Carry
    pub fn carry(&self, sector: u32) -> Result<Option<u32>, FlashError> {
        self.stay()?;
        let sectors = self.image_sectors(self.slot).ok_or(FlashError)?;
        let at = sectors.checked_sub(sector + 1).ok_or(FlashError)? * SECTOR;
        self.copy_sector(self.slot.offset() + at, self.other().offset() + at)?;
        Ok(Some(sector + 1).filter(|next| *next < sectors))
    }

    /// Gives the other slot the identity that runs, if it has another. Whoever calls this has found
    /// it good: it is what the other firmware comes back with, should this one ever be damaged.
    ///
    /// # Errors
    /// When it is not there afterwards; one of the other's two copies is whole at every moment.
    pub fn share(&self, own: &Own<'_>) -> Result<(), FlashError> {
        self.put_identity(self.own_copy(own))
    }

    /// Where the identity that runs lies.
    const fn own_copy(&self, own: &Own<'_>) -> u32 {
        self.slot.mib() + REGION_OFFSET + (own.copy * COPY_SIZE) as u32
    }

    /// Writes both copies of the other slot's identity, one after the other.
    #[inline(never)]
    fn put_identity(&self, copy: u32) -> Result<(), FlashError> {
        let region = self.other().mib() + REGION_OFFSET;
        for at in (0..REGION_SIZE as u32).step_by(SECTOR as usize) {
            self.copy_sector(copy + at % COPY_SIZE as u32, region + at)?;
        }
        Ok(())
    }

    /// Makes one sector like another, unless it is so already.
    #[inline(never)]
    fn copy_sector(&self, from: u32, to: u32) -> Result<(), FlashError> {
        if self.alike(from, to, SECTOR)? {
            return Ok(());
        }
        self.flash.erase(to)?;
        for at in (0..SECTOR).step_by(4 * PIECE) {
            let mut words = [0; PIECE];
            self.flash.read(from + at, &mut words)?;
            self.flash.write(to + at, &words)?;
        }
        if self.alike(from, to, SECTOR)? { Ok(()) } else { Err(FlashError) }
    }

    /// Whether so many bytes are the same in two places, and what fills up the last piece of them.
    fn alike(&self, one: u32, other: u32, bytes: u32) -> Result<bool, FlashError> {
        let mut at = 0;
        while at < bytes {
            let (mut first, mut second) = ([0; PIECE], [0; PIECE]);
            self.flash.read(one + at, &mut first)?;
            self.flash.read(other + at, &mut second)?;
            if first != second {
                return Ok(false);
            }
            at += 4 * PIECE as u32;
        }
        Ok(true)
    }

    /// Makes a record that the running firmware is good, when without one the next boot would try the
    /// other slot first: a record may be left of what lay there before the boot stage found it damaged,
    /// and what comes there now is to be started on trial or not at all.
    #[inline(never)]
    fn stay(&self) -> Result<(), FlashError> {
        let records = self.records()?;
        let [first, _] = records.order();
        if first.slot == self.slot {
            return Ok(());
        }
        let (sector, mut words) = records.next(self.slot, 0);
        let good = mark_good();
        *words.get_mut(good.word as usize).ok_or(FlashError)? = good.value;
        self.put_record(sector, &words)
    }

    /// Gives an image that was found good its first word: to the boot stage it is one from then on, and
    /// comes after the one that runs.
    #[inline(never)]
    fn complete(&self) -> Result<(), FlashError> {
        self.stay()?;
        let mut kept = [0];
        self.flash.read(KEPT, &mut kept)?;
        self.put(self.other().offset(), &kept)
    }

    #[inline(never)]
    fn put_record(&self, sector: usize, words: &[u32; RECORD_WORDS]) -> Result<(), FlashError> {
        let offset = *RECORDS.get(sector).ok_or(FlashError)?;
        self.flash.erase(offset)?;
        self.put(offset, words)
    }

    /// Gives the other slot its identity (the new one, or for a new image the one that runs), an image
    /// its first word, and then writes the boot record: the next boot starts it on trial.
    ///
    /// # Errors
    /// When either is not there afterwards. The firmware that runs is booted then.
    #[inline(never)]
    pub fn install(&self, work: &Work, own: &Own<'_>) -> Result<(), FlashError> {
        match work.kind {
            Kind::Firmware => {
                self.share(own)?;
                self.complete()?;
            }
            // What was carried has seen to the record.
            Kind::Identity => self.put_identity(self.other().offset() + work.base)?,
        }
        let (sector, words) = self.records()?.next(self.other(), work.what);
        self.put_record(sector, &words)
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
    const NOT_CONNECTED: u8 = GaveUp::NotConnected as u8;
    const NOT_ANSWERED: u8 = GaveUp::NotAnswered as u8;
    const NOT_LASTING: u8 = GaveUp::NotLasting as u8;
    const NO_IDENTITY: u8 = GaveUp::NoIdentity as u8;
    match (verdict, crash) {
        (Verdict::Rejected { reason }, _) => match reason {
            NOT_CONNECTED => "it did not connect in time",
            NOT_ANSWERED => "it connected, and jobs did not answer in time",
            NOT_LASTING => "none of its connections lasted",
            NO_IDENTITY => "it could not use its identity",
            _ => "it gave up",
        },
        (Verdict::Trial { attempts }, Some(crash)) if attempts > 0 => crash,
        (Verdict::Trial { attempts }, None) if attempts > 0 => {
            "it was started three times and did not prove itself"
        }
        _ => "the boot stage found it damaged",
    }
    .into()
}
