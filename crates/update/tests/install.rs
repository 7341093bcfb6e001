//! A whole update on a board's flash: from the first block to the boot stage's choice, with the
//! power failing anywhere, and images that are not to be taken.

mod common;

use std::cell::{Cell, RefCell};

use common::{BLOCK, Fault, Job, LIMITS, Server, base64, der};
use crypto_tests::{Hash, SHA256};
use identity::{COPY_SIZE, Identity, REGION_OFFSET, REGION_SIZE, Stored};
use p256_lx106::{public_key, sign};
use slots::{Image, PROGRESS, RECORD_WORDS, RECORDS, Records, SECTOR, Slot, Sums, Version};
use update::install::{Flash, GaveUp, Installer, Own};
use update::job::Status;
use update::machine::{Action, FlashError, Machine, Outcome, Store};
use update::progress::HEADER_WORDS;

const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];

fn public(key: &[u8; 32]) -> [u8; 64] {
    public_key(key, &[3; 32]).unwrap()
}

/// An image as `make image` makes it, with so many bytes of code.
fn image(version: [u8; 3], board: &str, code: usize) -> Vec<u8> {
    let mut bytes = vec![0xEA, 4, 2, 0x40, 4, 0, 0x10, 0x40, 0, 0, 0, 0];
    bytes.extend((code as u32).to_le_bytes());
    bytes.extend(b"FWD1");
    bytes.extend([version[0], 0, version[1], 0, version[2], 0, 0, 0]);
    bytes.extend(board.as_bytes());
    bytes.resize(16 + 36, 0);
    bytes.extend((36..code).map(|at| (at * 7 + at / 256 + usize::from(version[0])) as u8));
    bytes.extend([0xE9, 1, 2, 0x40, 4, 0, 0x10, 0x40]);
    bytes.extend([0, 0, 0x10, 0x40, 4, 0, 0, 0, 1, 2, 3, 4]);
    bytes.resize(bytes.len() / 16 * 16 + 16 + 4, 0);
    sealed(bytes)
}

/// With the sums of all that is there behind it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut sums = Sums::default();
    for word in bytes.chunks_exact(4) {
        sums.add(u32::from_le_bytes(word.try_into().unwrap()));
    }
    bytes.extend(sums.words().into_iter().flat_map(u32::to_le_bytes));
    bytes
}

/// An identity, changed by `change`, as an update brings it.
fn identity_file(sequence: u32, change: impl FnOnce(&mut Identity<'_>)) -> Vec<u8> {
    let certificate = [&[0x30, 0x82, 2, 0, 0x30][..], &[7; 511]].concat();
    let key = [&[0x30, 45, 2, 1, 1, 4, 32][..], &[9; 32], &[0xA0, 6], &[1; 6]].concat();
    let trusted = public(&KEY);
    let mut identity = Identity::new("first-ats.iot.test", &certificate, &key);
    identity.thing_name = Some("lamp");
    identity.update_keys.push(&trusted);
    change(&mut identity);
    identity.encode_file(sequence).unwrap()
}

/// A region with this identity twice.
fn region(file: &[u8]) -> Vec<u8> {
    let mut copy = file.to_vec();
    copy.resize(COPY_SIZE, 0xFF);
    [&*copy, &copy].concat()
}

/// The same job for an identity.
fn identity_job(key: &[u8; 32], file: &[u8]) -> Job {
    let Job { document } = job(key, file, file.len());
    Job { document: document.replace("\"file\":0", "\"file\":0,\"fileType\":1") }
}

/// A job whose signature is this key's over `signed`, for a file of `size` bytes.
fn job(key: &[u8; 32], signed: &[u8], size: usize) -> Job {
    signed_job(&sign::<Hash>(key, &SHA256(signed), &[]).unwrap(), size)
}

/// Another job for the same file: a key has many signatures for it.
fn other_job(file: &[u8]) -> Job {
    signed_job(&sign::<Hash>(&KEY, &SHA256(file), &[1]).unwrap(), file.len())
}

fn signed_job(signature: &[u8; 64], size: usize) -> Job {
    let document = Job::plain(&vec![0; size]).document;
    Job { document: document.replace("MAYCAQECAQI=", &base64(&der(signature))) }
}

/// A board's flash, bytes until its power fails, and which slot runs.
struct Board {
    bytes: RefCell<Vec<u8>>,
    budget: Cell<Option<usize>>,
    spent: Cell<usize>,
    runs: Cell<Slot>,
}

impl Board {
    /// As `make flash` leaves it, with whatever lay in slot B.
    fn new(image: &[u8]) -> Self {
        Self::with(image, &identity_file(1, |_| ()))
    }

    /// The same with another identity.
    fn with(image: &[u8], identity: &[u8]) -> Self {
        let mut bytes = vec![0x5A; 2 << 20];
        for offset in RECORDS {
            bytes[offset as usize..][..SECTOR as usize].fill(0xFF);
        }
        bytes[Slot::A.offset() as usize..][..image.len()].copy_from_slice(image);
        let identity = region(identity);
        for slot in [Slot::A, Slot::B] {
            let at = (slot.mib() + REGION_OFFSET) as usize;
            bytes[at..][..REGION_SIZE].copy_from_slice(&identity);
        }
        let (budget, spent) = (Cell::new(None), Cell::new(0));
        Self { bytes: RefCell::new(bytes), budget, spent, runs: Cell::new(Slot::A) }
    }

    fn has_power(&self) -> bool {
        self.budget.get() != Some(0)
    }

    /// Changes bytes, as long as there is power; the last one is half done.
    fn change(&self, offset: u32, with: impl Iterator<Item = u8>, erase: bool) {
        for (at, byte) in (offset as usize..).zip(with) {
            match self.budget.get() {
                Some(0) => return,
                Some(left) => self.budget.set(Some(left - 1)),
                None => self.spent.set(self.spent.get() + 1),
            }
            let byte = match (self.has_power(), erase) {
                (true, _) => byte,
                (false, true) => 0xF0,
                (false, false) => byte | 0x0F,
            };
            let old = &mut self.bytes.borrow_mut()[at];
            *old = if erase { *old | byte } else { *old & byte };
        }
    }

    /// What an update may touch.
    fn guard(&self, offset: u32, length: u32) {
        let other = self.runs.get().other();
        let sector = |start| start..start + SECTOR;
        let allowed = [
            other.offset()..other.mib() + REGION_OFFSET + REGION_SIZE as u32,
            sector(RECORDS[0]),
            sector(RECORDS[1]),
            sector(PROGRESS),
        ];
        let inside =
            |range: &std::ops::Range<u32>| range.contains(&offset) && offset + length <= range.end;
        assert!(allowed.iter().any(inside), "{length} bytes at {offset:#x}");
    }

    fn word(&self, offset: u32) -> u32 {
        let bytes = self.bytes.borrow();
        u32::from_le_bytes(bytes[offset as usize..][..4].try_into().unwrap())
    }

    /// Whether the boot stage would start what is there.
    fn is_sound(&self, slot: Slot) -> bool {
        Image::check(|at| self.word(slot.offset() + 4 * at)).is_some()
    }

    /// A bit of a slot's image tips over.
    fn damage(&self, slot: Slot) {
        self.bytes.borrow_mut()[slot.offset() as usize + 4_000] ^= 1;
    }

    /// What the boot stage does; the slot that it starts.
    fn boot(&self) -> Slot {
        self.boots().expect("the board does not boot")
    }

    fn boots(&self) -> Option<Slot> {
        let records = Records::read(&RECORDS.map(|offset| {
            let mut words = [0; RECORD_WORDS];
            for (word, at) in words.iter_mut().zip((offset..).step_by(4)) {
                *word = self.word(at);
            }
            words
        }));
        for candidate in records.order() {
            let slot = candidate.slot;
            if self.is_sound(slot) {
                if let Some((sector, mark)) = candidate.mark {
                    let bytes = mark.value.to_le_bytes();
                    self.change(RECORDS[sector] + 4 * mark.word, bytes.into_iter(), false);
                }
                self.runs.set(slot);
                return Some(slot);
            }
        }
        None
    }

    fn version(&self) -> Version {
        let offset = self.runs.get().offset();
        slots::Descriptor::read(|at| self.word(offset + 4 * at)).unwrap().version()
    }

    fn identity_of(&self, slot: Slot) -> Vec<u8> {
        self.bytes.borrow()[(slot.mib() + REGION_OFFSET) as usize..][..REGION_SIZE].to_vec()
    }

    /// The endpoint and the sequence number of the identity that a slot's firmware reads.
    fn endpoint(&self, slot: Slot) -> (String, u32) {
        let region = self.identity_of(slot);
        let stored = Stored::read(&region).expect("each slot has an identity at every moment");
        (stored.identity.endpoint.to_owned(), stored.sequence)
    }

    fn installer(&self) -> Installer<'_> {
        Installer::new(self, self.runs.get())
    }

    /// Boots and runs until nothing happens any more, an update was installed, or the power fails.
    /// A firmware on trial proves itself, if it is `good`.
    fn run(&self, server: &mut Server, crash: Option<&str>, good: bool) -> Slot {
        let slot = self.boot();
        if !self.has_power() {
            return slot;
        }
        let installer = self.installer();
        let installed = installer.installed(crash);
        let trial = matches!(&installed, Some(last) if last.outcome == Outcome::Trial);
        let region = self.identity_of(slot);
        let own = Own::from(&Stored::read(&region).expect("each slot has an identity"));
        let mut machine = Machine::new("lamp", LIMITS, installed);
        let (mut now, mut quiet) = (0, 0);
        server.inbox.clear();
        machine.connected(now);
        if trial && !good {
            return slot;
        }
        if !trial {
            installer.share(&own).unwrap_or(());
            if !self.has_power() {
                return slot;
            }
        }
        while quiet < 1500 && !server.idle_jobs() {
            while let Some(action) = machine.poll(now) {
                quiet = 0;
                match action {
                    Action::Subscribe(topic) => server.subscribed.push(topic),
                    Action::Publish { topic, payload } => server.hear(&topic, &payload),
                    Action::Begin(fetch) => {
                        let missing = installer.begin(fetch);
                        if self.has_power() {
                            machine.begun(missing, now);
                        }
                    }
                    Action::Check => {
                        let verdict = installer.check::<Hash>(machine.work(), &own);
                        machine.checked(verdict, now);
                    }
                    Action::Carry { sector } => {
                        let next = installer.carry(sector);
                        if self.has_power() {
                            machine.carried(next, now);
                        }
                    }
                    Action::Install => {
                        installer.install(machine.work(), &own).unwrap_or(());
                        return slot;
                    }
                }
                if !self.has_power() {
                    return slot;
                }
            }
            match server.inbox.pop_front() {
                Some((topic, payload)) => {
                    quiet = 0;
                    if let Some(store) = machine.message(&topic, &payload, now) {
                        let stored = installer.store(&store);
                        if !self.has_power() {
                            return slot;
                        }
                        machine.stored(stored, now);
                    }
                }
                None if trial && quiet == 5 => {
                    installer.accept().unwrap();
                    if self.has_power() {
                        installer.share(&own).unwrap_or(());
                    }
                    if !self.has_power() {
                        return slot;
                    }
                    machine.proved(now);
                }
                None => now += 100,
            }
            quiet += 1;
        }
        slot
    }
}

impl Flash for Board {
    fn read(&self, offset: u32, words: &mut [u32]) -> Result<(), FlashError> {
        for (word, at) in words.iter_mut().zip((offset..).step_by(4)) {
            *word = self.word(at);
        }
        Ok(())
    }

    fn write(&self, offset: u32, words: &[u32]) -> Result<(), FlashError> {
        assert!(offset.is_multiple_of(4));
        self.guard(offset, 4 * words.len() as u32);
        self.change(offset, words.iter().flat_map(|word| word.to_le_bytes()), false);
        Ok(())
    }

    fn erase(&self, offset: u32) -> Result<(), FlashError> {
        assert!(offset.is_multiple_of(SECTOR));
        self.guard(offset, SECTOR);
        self.change(offset, (0..SECTOR).map(|_| 0xFF), true);
        Ok(())
    }
}

#[test]
fn updates_go_to_and_fro() {
    let board = Board::new(&image([1, 0, 0], "lamp", 8_000));
    assert_eq!(board.boot(), Slot::A);
    assert_eq!(board.installer().installed(None), None);
    let mut slot = Slot::A;
    for version in 2..8 {
        let new = image([version, 0, 0], "lamp", 8_000 + 512 * usize::from(version));
        let mut server = Server::new(job(&KEY, &new, new.len()), &new);
        assert_eq!(board.run(&mut server, None, true), slot);
        slot = slot.other();
        assert_eq!(board.run(&mut server, None, true), slot);
        assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())));
        assert_eq!(board.version().major, u16::from(version));
        let last = board.installer().installed(None).unwrap();
        assert_eq!((last.what != 0, last.outcome), (true, Outcome::Good));
    }
}

/// The power fails at each so many-th byte of a whole update, around boot records at each byte: the
/// board always boots a whole image, and in the end the new one.
#[test]
fn the_power_fails_anywhere() {
    let old = image([1, 0, 0], "lamp", 6_000);
    let new = image([2, 0, 0], "lamp", 9_003 / 16 * 16);
    let job = || job(&KEY, &new, new.len());
    let whole = Board::new(&old);
    let mut server = Server::new(job(), &new);
    whole.run(&mut server, None, true);
    let installed = whole.spent.get();
    whole.run(&mut server, None, true);
    let most = whole.spent.get();
    assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())));
    // The record: a sector erased, 32 bytes, one attempt and that it is good.
    assert!(installed > 20_000 && most == installed + 8, "{installed} and {most}");
    let record = installed - 32 - SECTOR as usize;
    for cut in (0..record)
        .step_by(67)
        .chain((record..installed - 33).step_by(31))
        .chain(installed - 33..most)
    {
        let board = Board::new(&old);
        let mut server = Server::new(job(), &new);
        board.budget.set(Some(cut));
        while board.has_power() {
            board.run(&mut server, None, true);
        }
        board.budget.set(None);
        // What comes back may still have to do all of it, or only to say so.
        for _ in 0..3 {
            if server.verdict().is_none() {
                board.run(&mut server, None, true);
            }
        }
        assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())), "cut at {cut}");
        assert_eq!((board.boot(), board.version().major), (Slot::B, 2), "cut at {cut}");
        let kept = &board.bytes.borrow()[Slot::A.offset() as usize..][..old.len()];
        assert!(kept == old, "cut at {cut}: the old image was touched");
    }
}

/// A reset costs no more blocks than were on their way.
#[test]
fn what_was_fetched_before_a_reset_is_not_fetched_again() {
    let new = image([2, 0, 0], "lamp", 60_000);
    let start = || {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        (board, Server::new(job(&KEY, &new, new.len()), &new))
    };
    let (whole, mut server) = start();
    whole.run(&mut server, None, true);
    let blocks = server.blocks_sent;
    assert_eq!(blocks, new.len().div_ceil(BLOCK) as u32);
    // The image's first word, and a record: a sector erased and its words.
    let fetched = whole.spent.get() - 4 - SECTOR as usize - 32;
    // After each eighth, and within the last block.
    for cut in (1..8).map(|eighth| fetched * eighth / 8).chain([fetched - 100]) {
        let (board, mut server) = start();
        board.budget.set(Some(cut));
        board.run(&mut server, None, true);
        let before = server.blocks_sent;
        assert!(!board.has_power() && before >= 4, "cut at {cut}");
        board.budget.set(None);
        board.run(&mut server, None, true);
        assert_eq!(board.boot(), Slot::B, "cut at {cut}");
        // A sector of blocks at most comes twice, and a window.
        let twice = server.blocks_sent - blocks;
        assert!((1..=4 + LIMITS.window).contains(&twice), "cut at {cut}: {twice} came twice");
    }
}

/// As the machine's own test of it, for the reports of an identity.
#[test]
fn reports_of_an_identity_that_are_not_answered_are_made_up_for() {
    let update = |fault| {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        let (_, mut server) = new_endpoint(2);
        server.fault = fault;
        assert_eq!(board.run(&mut server, None, true), Slot::A, "{fault:?}");
        assert_eq!(board.run(&mut server, None, true), Slot::B, "{fault:?}");
        let verdict = server.verdict();
        assert_eq!(verdict, Some((Status::Succeeded, String::new())), "{fault:?}");
        assert_eq!(board.endpoint(Slot::A).1, 2, "{fault:?}");
        (server.reports, server.blocks_sent)
    };
    let (reports, blocks) = update(None);
    assert!(reports >= 2, "restarting, and the end");
    for first in 1..=reports {
        for fault in [
            Fault::LosesReports(first, 2),
            Fault::LosesAnswers(first, 1),
            Fault::LosesAnswers(first, 2),
            Fault::Throttles(first, 2),
        ] {
            assert_eq!(update(Some(fault)).1, blocks, "{fault:?}: blocks came twice");
        }
    }
}

/// A key is changed by an identity that has the old and the new one, and another that has the new one.
#[test]
fn either_of_two_keys_signs_until_one_is_taken_away() {
    const THIRD_KEY: [u8; 32] = [9; 32];
    let [old, new]: [&'static [u8; 64]; 2] =
        [&OTHER_KEY, &KEY].map(|key| &*Box::leak(Box::new(public(key))));
    let both = identity_file(1, |identity| identity.update_keys = vec![old, new]);
    let alone = identity_file(2, |identity| identity.update_keys = vec![new]);
    let board = Board::with(&image([1, 0, 0], "lamp", 6_000), &both);
    let update = |mut server: Server| {
        board.run(&mut server, None, true);
        board.run(&mut server, None, true);
        server.verdict().unwrap()
    };
    let by = |key: &[u8; 32], version: u8| {
        let image = image([version, 0, 0], "lamp", 8_000);
        let verdict = update(Server::new(job(key, &image, image.len()), &image));
        (verdict, board.version().major)
    };
    let refused = (Status::Rejected, "no key that this device trusts has signed it".to_owned());
    let taken = (Status::Succeeded, String::new());
    assert_eq!(by(&OTHER_KEY, 2), (taken.clone(), 2));
    assert_eq!(by(&KEY, 3), (taken.clone(), 3));
    assert_eq!(by(&THIRD_KEY, 4), (refused.clone(), 3));
    assert_eq!(update(Server::new(identity_job(&OTHER_KEY, &alone), &alone)), taken);
    assert_eq!(by(&OTHER_KEY, 4), (refused, 3));
    assert_eq!(by(&KEY, 4), (taken, 4));
}

#[test]
fn what_is_not_to_be_taken_is_refused_and_nothing_is_lost() {
    let good = image([2, 0, 0], "lamp", 8_000);
    let sized = |image: &[u8]| job(&KEY, image, image.len());
    let mut flipped = good.clone();
    flipped[5_000] ^= 4;
    let other = image([2, 0, 1], "lamp", 8_000);
    let older = image([1, 0, 0], "lamp", 8_000);
    let door = image([2, 0, 0], "door", 8_000);
    let cut = &good[..good.len() - 16];
    let nothing = vec![0x11; 5_000];
    let longer = [&good[..], &[0; 16]].concat();
    let mut headless = good.clone();
    headless[0] ^= 1;
    for (name, served, job, wanted) in [
        ("a flipped bit", &flipped[..], sized(&good), "no key that this device trusts"),
        ("another key", &good, job(&OTHER_KEY, &good, good.len()), "no key that this device"),
        ("another image", &good, job(&KEY, &other, good.len()), "no key that this device"),
        ("truncated", cut, job(&KEY, &good, cut.len()), "no key that this device"),
        ("no image", &nothing, sized(&nothing), "the image is no firmware"),
        // Signed, and yet not whole: whoever signs is believed.
        ("cut off and signed", cut, sized(cut), "the image is not whole"),
        ("longer and signed", &longer, sized(&longer), "the image is not whole"),
        ("damaged and signed", &flipped, sized(&flipped), "the image is not whole"),
        ("damaged in its head", &headless, sized(&headless), "the image is not whole"),
        ("another board's", &door, sized(&door), "is for another board"),
        ("the same version", &older, sized(&older), "is not newer than what the device has"),
    ] {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        let mut server = Server::new(job, served);
        board.run(&mut server, None, true);
        let (status, reason) = server.verdict().unwrap();
        assert_eq!(status, Status::Rejected, "{name}");
        assert!(reason.contains(wanted), "{name}: {reason}");
        assert_eq!((board.boot(), board.version().major), (Slot::A, 1), "{name}");
        assert_eq!(board.word(PROGRESS), u32::MAX, "{name}: its progress was kept");
        assert_eq!(board.installer().installed(None), None);
        // The next one is taken.
        let mut server = Server::new(sized(&good), &good);
        board.run(&mut server, None, true);
        assert_eq!(board.run(&mut server, None, true), Slot::B, "{name}");
    }
}

/// What a job says that was for what runs already.
fn already() -> Option<(Status, String)> {
    Some((Status::Succeeded, "the device has it already".to_owned()))
}

/// A fleet of which some have it is none that fails.
#[test]
fn the_image_that_runs_is_a_success_without_a_restart() {
    // Their last pieces of 256 bytes are whole, or not.
    for code in [6_000, 7_936, 7_952, 8_160, 30_000] {
        let runs = image([1, 0, 0], "lamp", code);
        let plain = job(&KEY, &runs, runs.len()).document;
        let downgrade = plain.replace("\"file\":0", "\"file\":0,\"allow_downgrade\":true");
        let signature = plain.split('"').rev().nth(1).unwrap();
        let aws = Job::of_aws(&runs).document.replace("MAYCAQECAQI=", signature);
        for document in [plain, downgrade, aws] {
            let board = Board::new(&runs);
            let mut server = Server::new(Job { document: document.clone() }, &runs);
            assert_eq!(board.run(&mut server, None, true), Slot::A);
            assert_eq!(server.verdict(), already(), "{document}");
            assert_eq!((board.boot(), board.installer().installed(None)), (Slot::A, None));
            // Its last word was lost, with the connection or by a reset.
            server.again();
            board.run(&mut server, None, true);
            assert_eq!(server.verdict(), already());
            // What came has taken the place of what would come back.
            board.damage(Slot::A);
            assert_eq!((board.boot(), board.version().major), (Slot::B, 1));
        }
    }
}

/// The same version, and not the same bytes: nobody is told that it has that.
#[test]
fn another_image_of_the_version_that_runs_is_refused() {
    for code in [6_000, 7_936, 30_000] {
        let runs = image([1, 0, 0], "lamp", code);
        for at in [60, 255, 256, 5_000, runs.len() - 40, runs.len() - 9] {
            let mut other = runs[..runs.len() - 8].to_vec();
            other[at] ^= 1;
            let other = sealed(other);
            let board = Board::new(&runs);
            let mut server = Server::new(job(&KEY, &other, other.len()), &other);
            board.run(&mut server, None, true);
            let refused = "it is not newer than what the device has".to_owned();
            assert_eq!(server.verdict(), Some((Status::Rejected, refused)), "byte {at}");
            board.damage(Slot::A);
            assert_eq!(board.boots(), None, "byte {at}");
        }
    }
}

/// By another job: that of its trial has not ended before it is good.
#[test]
fn the_image_that_is_on_trial_is_a_success_once_it_is_good() {
    let new = image([2, 0, 0], "lamp", 8_000);
    let start = || {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        board.run(&mut Server::new(job(&KEY, &new, new.len()), &new), None, true);
        (board, Server::new(other_job(&new), &new))
    };
    let (board, mut server) = start();
    assert_eq!(board.run(&mut server, None, false), Slot::B);
    assert_eq!((server.verdict(), server.blocks_sent), (None, 0));
    let trial = board.installer().installed(None).unwrap();
    assert_eq!(board.run(&mut server, None, true), Slot::B);
    assert_eq!(server.verdict(), already());
    // What the record tells is the update that was one.
    let last = board.installer().installed(None).unwrap();
    assert_eq!((last.what, last.outcome), (trial.what, Outcome::Good));
    // One that does not prove itself does not have it: the old firmware does the job.
    let (board, mut server) = start();
    assert_eq!(board.run(&mut server, None, false), Slot::B);
    board.installer().give_up(GaveUp::NotConnected).unwrap();
    assert_eq!(board.run(&mut server, None, true), Slot::A);
    assert_eq!((server.verdict(), board.boot()), (None, Slot::B));
}

/// Whatever the records say, and wherever the power fails: what runs goes on, and the job succeeds.
#[test]
fn the_power_fails_anywhere_while_the_image_that_runs_comes() {
    let runs = image([1, 0, 0], "lamp", 6_000);
    let never_updated = || Board::new(&image([1, 0, 0], "lamp", 6_000));
    for board in [never_updated, damaged_after_an_update, back_from_an_update] {
        let server = || Server::new(other_job(&runs), &runs);
        let whole = board();
        let before = whole.spent.get();
        whole.run(&mut server(), None, true);
        let all = whole.spent.get() - before;
        for cut in (0..all).step_by(307).chain(all - 50..all) {
            let (board, mut server) = (board(), server());
            board.budget.set(Some(cut));
            board.run(&mut server, None, true);
            board.budget.set(None);
            assert_eq!(board.run(&mut server, None, true), Slot::A, "cut at {cut}");
            assert_eq!(server.verdict(), already(), "cut at {cut}");
            assert_eq!(board.boot(), Slot::A, "cut at {cut}");
            board.damage(Slot::A);
            assert_eq!((board.boot(), board.version().major), (Slot::B, 1), "cut at {cut}");
        }
    }
}

/// A board whose record says that B is good, which it is no more: A runs.
fn damaged_after_an_update() -> Board {
    let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
    let new = image([2, 0, 0], "lamp", 8_000);
    let mut server = Server::new(job(&KEY, &new, new.len()), &new);
    board.run(&mut server, None, true);
    assert_eq!(board.run(&mut server, None, true), Slot::B);
    board.damage(Slot::B);
    assert_eq!(board.boot(), Slot::A);
    board
}

/// A board whose record says that B gave up: A runs.
fn back_from_an_update() -> Board {
    let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
    let new = image([2, 0, 0], "lamp", 8_000);
    board.run(&mut Server::new(job(&KEY, &new, new.len()), &new), None, true);
    assert_eq!(board.boot(), Slot::B);
    board.installer().give_up(GaveUp::NotConnected).unwrap();
    assert_eq!(board.boot(), Slot::A);
    board
}

/// Neither the record of what lay there before starts it, nor that the other slot is damaged.
#[test]
fn what_was_refused_never_boots() {
    for board in [damaged_after_an_update(), Board::new(&image([1, 0, 0], "lamp", 6_000))] {
        let new = image([3, 0, 0], "lamp", 8_000);
        let mut server = Server::new(job(&OTHER_KEY, &new, new.len()), &new);
        board.run(&mut server, None, true);
        assert!(server.verdict().unwrap().1.contains("no key that this device trusts"));
        assert_eq!(board.boot(), Slot::A);
        board.damage(Slot::A);
        assert_eq!(board.boots(), None, "something unsigned boots");
    }
}

/// The power fails anywhere in an update to the slot that the record calls good: what comes is never
/// started as that.
#[test]
fn a_record_of_what_lay_there_before_starts_nothing_new() {
    let new = image([3, 0, 0], "lamp", 5_008);
    let start = || (damaged_after_an_update(), Server::new(job(&KEY, &new, new.len()), &new));
    let (board, mut server) = start();
    let before = board.spent.get();
    board.run(&mut server, None, true);
    let installed = board.spent.get() - before;
    // Two records, each a sector erased and its words, and between them the image's first word.
    let (record, word) = (SECTOR as usize + 32, 4);
    let last_block = installed - 2 * record - word;
    for cut in (last_block..installed)
        .step_by(61)
        .chain(last_block + record - 34..last_block + record + 6)
        .chain(installed - 34..installed)
        .chain((0..last_block).step_by(211))
    {
        let (board, mut server) = start();
        board.budget.set(Some(cut));
        board.run(&mut server, None, true);
        assert!(!board.has_power(), "cut at {cut}");
        board.budget.set(None);
        assert_eq!(board.boot(), Slot::A, "cut at {cut}");
        for _ in 0..2 {
            board.run(&mut server, None, true);
        }
        assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())), "cut at {cut}");
        assert_eq!((board.boot(), board.version().major), (Slot::B, 3), "cut at {cut}");
    }
}

/// The sums are no signature: blocks that leave the head of an image which was found good, and the
/// last of which makes the sums right again, make nothing that boots.
#[test]
fn an_image_that_boots_is_not_mixed_with_blocks() {
    let running = image([1, 0, 0], "lamp", 6_000);
    let other = image([2, 0, 0], "lamp", (LIMITS.slot_size as usize - 4096) / 16 * 16);
    // The second is an identity, which is fetched to the end of the slot.
    for from in [SECTOR, (other.len() as u32 - 3000) / SECTOR * SECTOR] {
        let board = Board::new(&running);
        board.bytes.borrow_mut()[Slot::B.offset() as usize..][..other.len()]
            .copy_from_slice(&other);
        assert!(board.is_sound(Slot::B));
        for (number, content) in (0..).zip(other[from as usize..].chunks(1024)) {
            let offset = from + 1024 * number;
            let erase = offset.is_multiple_of(SECTOR).then_some(offset);
            let store = Store { erase, offset, content, mark: (HEADER_WORDS, u32::MAX) };
            board.installer().store(&store).unwrap();
        }
        assert!(!board.is_sound(Slot::B), "from {from}");
    }
    // What lies behind it is not of it.
    let board = Board::new(&running);
    board.bytes.borrow_mut()[Slot::B.offset() as usize..][..running.len()]
        .copy_from_slice(&running);
    let content = &[0; 1024];
    let offset = running.len().next_multiple_of(SECTOR as usize) as u32;
    let store = Store { erase: Some(offset), offset, content, mark: (HEADER_WORDS, u32::MAX) };
    board.installer().store(&store).unwrap();
    assert!(board.is_sound(Slot::B));
}

/// The running image comes over one that was refused: what has a head is the running one.
#[test]
fn an_identity_brings_no_refused_image_to_life() {
    let running = image([1, 0, 0], "lamp", 14_000);
    let planted = image([3, 0, 0], "lamp", 18_000);
    let start = || {
        let board = Board::new(&running);
        let mut server = Server::new(job(&OTHER_KEY, &planted, planted.len()), &planted);
        board.run(&mut server, None, true);
        (board, new_endpoint(2).1)
    };
    let (board, mut server) = start();
    let before = board.spent.get();
    board.run(&mut server, None, true);
    for cut in (0..board.spent.get() - before).step_by(307) {
        let (board, mut server) = start();
        board.budget.set(Some(cut));
        board.run(&mut server, None, true);
        let head = SECTOR as usize;
        let after = &board.bytes.borrow()[Slot::B.offset() as usize..][..running.len()];
        assert!(after[..2] != running[..2] || after[head..] == running[head..], "cut at {cut}");
    }
}

#[test]
fn an_older_version_comes_when_the_job_says_so() {
    let old = image([1, 9, 0], "lamp", 8_000);
    let board = Board::new(&image([2, 0, 0], "lamp", 6_000));
    let mut job = job(&KEY, &old, old.len());
    job.document = job.document.replace("\"file\":0", "\"file\":0,\"allow_downgrade\":true");
    let mut server = Server::new(job, &old);
    board.run(&mut server, None, true);
    board.run(&mut server, None, true);
    assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())));
    assert_eq!(board.version(), Version::parse("1.9.0").unwrap());
}

/// What the old firmware finds and tells when a new one did not prove itself.
#[test]
fn one_that_fails_is_told_with_what_became_of_it() {
    let new = image([2, 0, 0], "lamp", 8_000);
    let start = || {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        let mut server = Server::new(job(&KEY, &new, new.len()), &new);
        board.run(&mut server, None, true);
        (board, server)
    };
    let told = |board: &Board, server: &mut Server, crash| {
        assert_eq!(board.run(server, crash, true), Slot::A);
        let (status, reason) = server.verdict().expect("the job was closed");
        assert_eq!(status, Status::Failed);
        reason
    };
    for (crash, wanted) in [
        (Some("panic in task link at 40204080"), "panic in task link at 40204080"),
        (None, "it was started three times and did not prove itself"),
    ] {
        let (board, mut server) = start();
        for _ in 0..3 {
            assert_eq!(board.run(&mut server, None, false), Slot::B);
        }
        assert_eq!(told(&board, &mut server, crash), wanted);
    }
    for (why, wanted) in [
        (GaveUp::NotConnected, "it did not connect in time"),
        (GaveUp::NotAnswered, "it connected, and jobs did not answer in time"),
        (GaveUp::NotLasting, "none of its connections lasted"),
        (GaveUp::NoIdentity, "it could not use its identity"),
    ] {
        let (board, mut server) = start();
        assert_eq!(board.run(&mut server, None, false), Slot::B);
        board.installer().give_up(why).unwrap();
        assert_eq!(told(&board, &mut server, Some("gave up")), wanted);
    }

    // A bit that tipped over between the check and the boot.
    let (board, mut server) = start();
    board.damage(Slot::B);
    assert_eq!(told(&board, &mut server, None), "the boot stage found it damaged");
}

/// The other slot's progress is not this slot's, though the job is the same.
#[test]
fn progress_belongs_to_a_slot() {
    let new = image([2, 0, 0], "lamp", 8_000);
    let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
    let mut server = Server::new(job(&KEY, &new, new.len()), &new);
    board.run(&mut server, None, true);
    assert_eq!(board.boot(), Slot::B);
    let fetch = update::progress::Fetch {
        size: new.len() as u32,
        block_size: LIMITS.block_size,
        what: board.installer().installed(None).unwrap().what,
    };
    let missing = board.installer().begin(fetch).unwrap();
    assert_eq!(missing.left(), fetch.blocks());
}

/// The image of [`Board::new`], and a job with a new identity.
fn new_endpoint(sequence: u32) -> (Vec<u8>, Server) {
    let file = identity_file(sequence, |identity| identity.endpoint = "next-ats.iot.test");
    let server = Server::new(identity_job(&KEY, &file), &file);
    (file, server)
}

/// The identity comes with the image that runs, and once it is good both slots have it.
#[test]
fn an_identity_is_taken_with_the_image_that_runs() {
    let image = image([1, 0, 0], "lamp", 30_000);
    let board = Board::new(&image);
    let (_, mut server) = new_endpoint(2);
    assert_eq!(board.run(&mut server, None, true), Slot::A);
    assert_eq!(server.verdict(), None);
    assert_eq!(board.endpoint(Slot::A), ("first-ats.iot.test".to_owned(), 1), "the old one stays");
    assert_eq!(board.run(&mut server, None, true), Slot::B);
    assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())));
    assert_eq!(board.version().major, 1);
    let wanted = ("next-ats.iot.test".to_owned(), 2);
    assert_eq!([Slot::A, Slot::B].map(|slot| board.endpoint(slot)), [wanted.clone(), wanted]);
    let copied = &board.bytes.borrow()[Slot::B.offset() as usize..][..image.len()];
    assert!(copied == image);
}

/// To and fro, in each order: what runs in the end is the last image and the last identity.
#[test]
fn identities_and_images_follow_each_other() {
    let board = Board::new(&image([1, 0, 0], "lamp", 30_000));
    let (mut slot, mut version, mut sequence) = (Slot::A, 1, 1);
    for is_identity in [true, true, false, true, false, false, true] {
        let mut server = if is_identity {
            sequence += 1;
            new_endpoint(sequence).1
        } else {
            version += 1;
            let new = image([version, 0, 0], "lamp", 30_000 + 4096 * usize::from(version % 3));
            Server::new(job(&KEY, &new, new.len()), &new)
        };
        assert_eq!(board.run(&mut server, None, true), slot);
        slot = slot.other();
        assert_eq!(board.run(&mut server, None, true), slot);
        assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())));
        assert_eq!(board.version().major, u16::from(version));
        for slot in [Slot::A, Slot::B] {
            assert_eq!(board.endpoint(slot).1, sequence, "slot {}", slot.name());
        }
    }
}

/// One with which nothing works: the old one is there, and is the other slot's again too.
#[test]
fn an_identity_that_fails_goes() {
    for attempts in 1..=3 {
        let board = Board::new(&image([1, 0, 0], "lamp", 30_000));
        let (_, mut server) = new_endpoint(2);
        board.run(&mut server, None, true);
        for _ in 0..attempts {
            assert_eq!(board.run(&mut server, None, false), Slot::B);
        }
        assert_eq!(board.endpoint(Slot::B).1, 2);
        if attempts < 3 {
            board.installer().give_up(GaveUp::NotConnected).unwrap();
        }
        assert_eq!(board.run(&mut server, None, true), Slot::A);
        assert_eq!(server.verdict().unwrap().0, Status::Failed);
        assert_eq!([Slot::A, Slot::B].map(|slot| board.endpoint(slot).1), [1, 1]);
        // The same again, made anew.
        let (_, mut server) = new_endpoint(3);
        board.run(&mut server, None, true);
        assert_eq!(board.run(&mut server, None, true), Slot::B);
        assert_eq!(board.endpoint(Slot::A).1, 3);
    }
}

#[test]
fn what_is_no_identity_of_this_device_is_refused_and_nothing_is_lost() {
    let good = identity_file(2, |_| ());
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let image_file = image([2, 0, 0], "lamp", 2_000);
    let huge = vec![0x55; COPY_SIZE + 4];
    let signed = |file: &[u8]| identity_job(&KEY, file);
    let as_image = |file: &[u8]| job(&KEY, file, file.len());
    let refused = "it is no identity that this firmware can use";
    for (name, file, job, wanted) in [
        ("a flipped bit", &flipped, signed(&good), "no key that this device trusts"),
        ("another key", &good, identity_job(&OTHER_KEY, &good), "no key that this device"),
        ("signed and damaged", &flipped, signed(&flipped), refused),
        ("cut off", &good[..200].to_vec(), signed(&good[..200]), refused),
        ("an image", &image_file, signed(&image_file), refused),
        ("as an image", &good, as_image(&good), "the image is no firmware"),
        ("too large", &huge, signed(&huge), "larger than its place"),
    ] {
        rejects(name, file, job, wanted);
    }
    // Its number is that of the one in use, and no more.
    let same = identity_file(1, |identity| identity.endpoint = "next-ats.iot.test");
    rejects("another one", &same, signed(&same), "not newer than what the device has");
    let older = identity_file(0_u32.wrapping_sub(1), |_| ());
    rejects("an older one", &older, signed(&older), "not newer than what the device has");
    let other = identity_file(2, |identity| identity.thing_name = Some("door"));
    rejects("another thing's", &other, signed(&other), "another thing's");
    let nameless = identity_file(2, |identity| identity.thing_name = None);
    rejects("no thing's", &nameless, signed(&nameless), "another thing's");
    let keyless = identity_file(2, |identity| identity.update_keys.clear());
    rejects("without a key", &keyless, signed(&keyless), "none could follow");
}

/// Both slots are afterwards as they were, and the next identity is taken.
fn rejects(name: &str, file: &[u8], job: Job, wanted: &str) {
    let board = Board::new(&image([1, 0, 0], "lamp", 30_000));
    let mut server = Server::new(job, file);
    board.run(&mut server, None, true);
    let (_, reason) = server.verdict().unwrap();
    assert!(reason.contains(wanted), "{name}: {reason}");
    assert_eq!(board.boot(), Slot::A, "{name}");
    for slot in [Slot::A, Slot::B] {
        assert!(board.identity_of(slot) == region(&identity_file(1, |_| ())), "{name}");
    }
    let (_, mut server) = new_endpoint(2);
    board.run(&mut server, None, true);
    assert_eq!(board.run(&mut server, None, true), Slot::B, "{name}");
}

/// As it lies there after the cable, and as an update left it.
#[test]
fn the_identity_that_is_in_use_is_a_success_without_a_restart() {
    let image = image([1, 0, 0], "lamp", 30_000);
    let first = identity_file(1, |_| ());
    let (second, mut server) = new_endpoint(2);
    let updated = Board::new(&image);
    updated.run(&mut server, None, true);
    updated.run(&mut server, None, true);
    // The second of the two copies counts.
    let second_copy = Board::new(&image);
    let older = region(&identity_file(0, |_| ()));
    second_copy.bytes.borrow_mut()[REGION_OFFSET as usize..][..COPY_SIZE]
        .copy_from_slice(&older[..COPY_SIZE]);
    for (board, file) in [(Board::new(&image), &first), (updated, &second), (second_copy, &first)] {
        for more in ["", ",\"allow_downgrade\":true"] {
            let Job { document } = other_job(file);
            let with = format!("\"file\":0,\"fileType\":1{more}");
            let job = Job { document: document.replace("\"file\":0", &with) };
            let before = (board.boot(), board.installer().installed(None));
            let mut server = Server::new(job, file);
            board.run(&mut server, None, true);
            assert_eq!(server.verdict(), already(), "{more}");
            assert_eq!((board.boot(), board.installer().installed(None)), before);
            assert_eq!(board.endpoint(Slot::A), board.endpoint(Slot::B));
        }
    }
}

#[test]
fn an_older_identity_comes_when_the_job_says_so() {
    let board = Board::new(&image([1, 0, 0], "lamp", 30_000));
    let file = identity_file(0_u32.wrapping_sub(7), |_| ());
    let mut job = identity_job(&KEY, &file);
    job.document = job.document.replace("\"file\":0", "\"file\":0,\"allow_downgrade\":true");
    let mut server = Server::new(job, &file);
    board.run(&mut server, None, true);
    assert_eq!(board.run(&mut server, None, true), Slot::B);
    assert_eq!(board.endpoint(Slot::A).1, 0_u32.wrapping_sub(7));
}

/// An image that reaches to where an identity is set down would be covered by it.
#[test]
fn an_image_without_room_behind_it_takes_no_identity() {
    let board = Board::new(&image([1, 0, 0], "lamp", (LIMITS.slot_size as usize - 4096) / 16 * 16));
    let (_, mut server) = new_endpoint(2);
    board.run(&mut server, None, true);
    let (status, reason) = server.verdict().unwrap();
    assert_eq!(status, Status::Rejected);
    assert!(reason.contains("leaves no room"), "{reason}");
}

/// The power fails at each so many-th byte of a whole update of the identity, and at each around the
/// record: the board boots a whole image with a whole identity every time, and in the end the new one.
#[test]
fn the_power_fails_anywhere_while_an_identity_comes() {
    let old = image([1, 0, 0], "lamp", 9_000 / 16 * 16);
    let whole = Board::new(&old);
    // What lies in the other slot is another version.
    let other = image([9, 0, 0], "lamp", 5_008);
    let fill = |board: &Board| {
        board.bytes.borrow_mut()[Slot::B.offset() as usize..][..other.len()]
            .copy_from_slice(&other);
    };
    fill(&whole);
    whole.run(&mut new_endpoint(2).1, None, true);
    let installed = whole.spent.get();
    let mut server = new_endpoint(2).1;
    whole.run(&mut server, None, true);
    let most = whole.spent.get();
    let record = installed - 32 - SECTOR as usize;
    assert!(record > 40_000 && most > installed + 2 * COPY_SIZE, "{installed} and {most}");
    for cut in (0..record)
        .step_by(611)
        .chain((record..installed - 33).step_by(307))
        .chain(installed - 33..installed + 9)
        .chain((installed + 9..most).step_by(397))
    {
        let board = Board::new(&old);
        fill(&board);
        let mut server = new_endpoint(2).1;
        board.budget.set(Some(cut));
        while board.has_power() && server.verdict().is_none() {
            board.run(&mut server, None, true);
        }
        board.budget.set(None);
        for slot in [Slot::A, Slot::B] {
            // One of the two, whole.
            board.endpoint(slot);
        }
        for _ in 0..4 {
            board.run(&mut server, None, true);
        }
        assert_eq!(server.verdict(), Some((Status::Succeeded, String::new())), "cut at {cut}");
        assert_eq!((board.boot(), board.version().major), (Slot::B, 1), "cut at {cut}");
        for slot in [Slot::A, Slot::B] {
            assert_eq!(board.endpoint(slot).1, 2, "cut at {cut}, slot {}", slot.name());
        }
        let kept = &board.bytes.borrow()[Slot::A.offset() as usize..][..old.len()];
        assert!(kept == old, "cut at {cut}: the running image was touched");
    }
}
