//! A whole update on a board's flash: from the first block to the boot stage's choice, with the
//! power failing anywhere, and images that are not to be taken.

mod common;

use std::cell::{Cell, RefCell};

use common::{Job, LIMITS, Server};
use p256_lx106::{Sha256, public_key, sign};
use sha2::Digest;
use slots::{
    Image, PROGRESS, RECORD_WORDS, RECORDS, Records, SECTOR, SLOT_END, Slot, Sums, Version,
};
use update::install::{Flash, Installer};
use update::job::Status;
use update::machine::{Action, FlashError, Machine, Outcome};

struct Hash(sha2::Sha256);

impl Sha256 for Hash {
    fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

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
    let mut sums = Sums::default();
    for word in bytes.chunks_exact(4) {
        sums.add(u32::from_le_bytes(word.try_into().unwrap()));
    }
    bytes.extend(sums.words().into_iter().flat_map(u32::to_le_bytes));
    bytes
}

/// A job whose signature is this key's over `signed`, for a file of `size` bytes.
fn job(key: &[u8; 32], signed: &[u8], size: usize) -> Job {
    let signature = sign::<Hash>(key, &sha2::Sha256::digest(signed), &[]).unwrap();
    let mut der = Vec::new();
    for number in signature.chunks(32) {
        let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let positive = usize::from(digits[0] >= 0x80);
        der.extend([2, (digits.len() + positive) as u8]);
        der.extend(&[0][..positive]);
        der.extend(digits);
    }
    let der = [&[0x30, der.len() as u8][..], &der].concat();
    let document = Job::plain(&vec![0; size]).document;
    Job { document: document.replace("MAYCAQECAQI=", &base64(&der)) }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |index: usize| match index {
            _ if index > three.len() => '=',
            _ => char::from(DIGITS[bits >> (18 - 6 * index) & 63]),
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
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
        let mut bytes = vec![0x5A; 2 << 20];
        for offset in RECORDS {
            bytes[offset as usize..][..SECTOR as usize].fill(0xFF);
        }
        bytes[Slot::A.offset() as usize..][..image.len()].copy_from_slice(image);
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
            other.offset()..other.mib() + SLOT_END,
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

    /// What the boot stage does; the slot that it starts.
    fn boot(&self) -> Slot {
        let records = Records::read(&RECORDS.map(|offset| {
            let mut words = [0; RECORD_WORDS];
            for (word, at) in words.iter_mut().zip((offset..).step_by(4)) {
                *word = self.word(at);
            }
            words
        }));
        for candidate in records.order() {
            let slot = candidate.slot;
            if Image::check(|at| self.word(slot.offset() + 4 * at)).is_some() {
                if let Some((sector, mark)) = candidate.mark {
                    let bytes = mark.value.to_le_bytes();
                    self.change(RECORDS[sector] + 4 * mark.word, bytes.into_iter(), false);
                }
                self.runs.set(slot);
                return slot;
            }
        }
        panic!("the board does not boot");
    }

    fn version(&self) -> Version {
        let offset = self.runs.get().offset();
        slots::Descriptor::read(|at| self.word(offset + 4 * at)).unwrap().version()
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
        let mut machine = Machine::new("lamp", LIMITS, installed);
        let (mut now, mut quiet) = (0, 0);
        server.inbox.clear();
        machine.connected(now);
        if trial && !good {
            return slot;
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
                        let keys = [&public(&KEY)];
                        let verdict = installer.check::<Hash>(machine.work(), &keys);
                        machine.checked(verdict, now);
                    }
                    Action::Install { what } => {
                        installer.install(what).unwrap_or(());
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
        ("the same version", &older, sized(&older), "is not newer than the firmware that runs"),
    ] {
        let board = Board::new(&image([1, 0, 0], "lamp", 6_000));
        let mut server = Server::new(job, served);
        board.run(&mut server, None, true);
        let (status, reason) = server.verdict().unwrap();
        assert_eq!(status, Status::Failed, "{name}");
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
    let (board, mut server) = start();
    assert_eq!(board.run(&mut server, None, false), Slot::B);
    board.installer().give_up().unwrap();
    assert_eq!(told(&board, &mut server, Some("gave up")), "it did not connect in time");

    // A bit that tipped over between the check and the boot.
    let (board, mut server) = start();
    board.bytes.borrow_mut()[Slot::B.offset() as usize + 4_000] ^= 1;
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
