//! The power fails anywhere in a whole update. One update is carried out while the virtual board
//! writes down what its flash is told; the flash as it would be after a power cut is made from that, and
//! a board is switched on with it. `make update-powercut`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;
use slots::{MIB, PROGRESS, RECORD_WORDS, RECORDS, Records, SECTOR, SLOT_START, Slot};
use virtual_nodemcu::board::flash::Flash;

use super::{FLASH_SIZE, Field, IDENTITY_OFFSET, Release, SECRET, files, part, shipped, version};

/// Bytes between two cuts.
const STEP: u64 = 256;
/// Bytes before and behind what is written of a record, in which there is a cut at each.
const AROUND: u64 = 16;

/// An update that was written down.
struct Course {
    before: Vec<u8>,
    log: Vec<String>,
    /// Bytes that each line programs or erases.
    lengths: Vec<u64>,
}

impl Course {
    fn new(before: Vec<u8>, log: &str) -> Self {
        let log: Vec<String> = log.lines().map(str::to_owned).collect();
        let length = |line: &String| match line.rsplit_once(' ') {
            Some((_, "")) => u64::from(SECTOR),
            Some((_, hex)) => hex.len() as u64 / 2,
            None => panic!("{line} is no line of the flash's log"),
        };
        let lengths = log.iter().map(length).collect();
        Self { before, log, lengths }
    }

    fn bytes(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// The flash after a power cut.
    fn cut(&self, after: u64) -> Vec<u8> {
        let mut flash = Flash::blank(self.before.len());
        flash.load(0, &self.before);
        flash.cut_power_after(after);
        for line in &self.log {
            if flash.powered() {
                assert!(flash.repeat(line), "{line}");
            }
        }
        flash.data().to_vec()
    }

    /// The last line that does something of this length at such an address: which bytes of all it does.
    #[track_caller]
    fn last(&self, length: u64, at: impl Fn(u32) -> bool) -> Range<u64> {
        let fits = |(address, bytes): &(u32, Range<u64>)| {
            at(*address) && bytes.end - bytes.start == length
        };
        self.steps().filter(fits).last().expect("an update does it").1
    }

    /// What each line is about: an address, and which bytes of all it programs or erases.
    fn steps(&self) -> impl Iterator<Item = (u32, Range<u64>)> {
        let mut at = 0;
        self.log.iter().zip(&self.lengths).map(move |(line, length)| {
            let address = line.split(' ').nth(1).expect("an address");
            let bytes = at..at + length;
            at = bytes.end;
            (u32::from_str_radix(address, 16).expect("an address"), bytes)
        })
    }

    /// Where the power is cut: at each so many-th byte, and at each around what is done to the boot
    /// records, to the head of the progress and to the image's first word. Where a sector was erased before, all cuts of its erasing
    /// are one.
    fn cuts(&self) -> Vec<u64> {
        let mut cuts: BTreeSet<u64> = (0..self.bytes()).step_by(STEP as usize).collect();
        let mut flash = Flash::blank(self.before.len());
        flash.load(0, &self.before);
        for (line, (address, whole)) in self.log.iter().zip(self.steps()) {
            let length = whole.end - whole.start;
            if is_of_a_record(address)
                || address == PROGRESS
                || address == Slot::B.offset() && length == 4
            {
                let near = whole.start.saturating_sub(AROUND)..whole.end + AROUND;
                let content = &flash.data()[address as usize..][..length as usize];
                let differs =
                    |cut: &u64| !whole.contains(cut) || changes(content, cut - whole.start);
                cuts.extend(near.filter(differs));
            }
            flash.repeat(line);
        }
        cuts.retain(|cut| *cut < self.bytes());
        cuts.into_iter().collect()
    }
}

fn is_of_a_record(address: u32) -> bool {
    RECORDS.iter().any(|record| (*record..record + SECTOR).contains(&address))
}

/// Whether a cut at this byte leaves another flash than one at the byte before.
fn changes(content: &[u8], at: u64) -> bool {
    let at = at as usize;
    at == 0 || content.len() < SECTOR as usize || content[at - 1..=at] != [0xFF, 0xFF]
}

/// In such an order that those that come first are spread over all.
fn spread(cuts: Vec<u64>) -> Vec<u64> {
    let bits = usize::BITS - cuts.len().leading_zeros();
    let mut numbered: Vec<(usize, u64)> = cuts.into_iter().enumerate().collect();
    numbered.sort_by_key(|(number, _)| number.reverse_bits() >> (usize::BITS - bits));
    numbered.into_iter().map(|(_, cut)| cut).collect()
}

/// A board that has been updated before: nothing that an update touches is erased.
fn used(field: &mut Field) -> Vec<u8> {
    field.board.process.kill();
    let mut flash = field.flash();
    let older = version(&shipped(), [0, 0, 9]);
    flash[Slot::B.offset() as usize..][..older.len()].copy_from_slice(&older);
    flash[PROGRESS as usize..][..64].fill(0x5A);
    let mut records = Records([None, None]);
    for (slot, number) in [(Slot::B, 1), (Slot::A, 2)] {
        let (sector, mut words) = records.next(slot, number);
        let good = slots::mark_good();
        words[good.word as usize] = good.value;
        let tried = slots::mark_attempt(0);
        words[tried.word as usize] = tried.value;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        flash[RECORDS[sector] as usize..][..bytes.len()].copy_from_slice(&bytes);
        records.0[sector] = slots::Record::read(&words);
    }
    flash
}

/// A cloud and a board, and what its flash went through once.
struct Bench {
    field: Field,
    image: Vec<u8>,
    signature: String,
    course: Course,
}

impl Bench {
    fn new() -> Self {
        let mut field = Field::new();
        let before = used(&mut field);
        let image = version(&shipped(), [0, 2, 0]);
        let signature = Release::sign(image.clone(), &field.signer).unwrap().signature().to_owned();
        let course = Course { before, log: Vec::new(), lengths: Vec::new() };
        let mut bench = Self { field, image, signature, course };
        let log = bench.field.folder.path().join("flash.log");
        bench.switch_on(&bench.course.before.clone(), &["--flash-log", log.to_str().unwrap()]);
        bench.ends_well("without a cut");
        let log = std::fs::read_to_string(log).unwrap();
        bench.course = Course::new(std::mem::take(&mut bench.course.before), &log);
        bench
    }

    /// With this flash, and the job as if it were new: it has the same names and signature.
    fn switch_on(&mut self, flash: &[u8], further: &[&str]) {
        self.field.board.process.kill();
        let path = self.field.folder.path().join("flash.bin");
        files::write(&path, flash, SECRET).unwrap();
        if self.field.jobs > 0 {
            self.field.jobs = 0;
            let (job, stream) = self.field.names.of(1);
            self.field.aws("iot", "delete-job", &[("job-id", &job), ("force", "true")]);
            self.field.aws("iot", "delete-stream", &[("stream-id", &stream)]);
        }
        while self.field.watcher.poll().is_some() {}
        self.field.order(&self.image, &self.signature, |_| ());
        self.field.power_cycle(further);
    }

    /// Waits until the update is done, wherever it was.
    #[track_caller]
    fn ends_well(&mut self, what: &str) {
        let (job, _) = self.field.names.of(1);
        let (verdict, reason) = self.field.ended(&job);
        let tail = self.field.board.console.tail(80);
        assert_eq!(verdict, "SUCCEEDED", "{what}: {reason}\n{tail}");
        let new = |status: &Value| status["version"] == "0.2.0" && status["update"] == "good";
        let status = self.field.status(new);
        assert_eq!(status["slot"], "B", "{what}: {status}");
        let after = self.field.flash();
        let identity = |mib: u32| mib + IDENTITY_OFFSET..mib + IDENTITY_OFFSET + IDENTITY;
        for Range { start, end } in [identity(0), identity(MIB), SLOT_START..IDENTITY_OFFSET] {
            let range = start as usize..end as usize;
            assert!(
                after[range.clone()] == self.course.before[range.clone()],
                "{what}: {range:x?}"
            );
        }
    }

    /// Switches a board on whose power failed there.
    #[track_caller]
    fn survives(&mut self, cut: u64) {
        let flash = self.course.cut(cut);
        assert_eq!(flash.len(), FLASH_SIZE as usize);
        self.switch_on(&flash, &[]);
        let status = self.field.watcher.online();
        let slot = if status["slot"] == "A" { Slot::A } else { Slot::B };
        let image = &flash[slot.offset() as usize..(slot.mib() + IDENTITY_OFFSET) as usize];
        let word = |at: u32| u32::from_le_bytes(image[4 * at as usize..][..4].try_into().unwrap());
        assert!(slots::Image::check(word).is_some(), "cut after {cut}: it boots from {status}");
        self.ends_well(&format!("cut after {cut}"));
    }
}

const IDENTITY: u32 = identity::REGION_SIZE as u32;

/// The cuts that went well with this very image, from run to run.
struct Done {
    file: PathBuf,
    cuts: BTreeSet<u64>,
}

impl Done {
    fn read(image: &[u8]) -> Self {
        // The sums at its end tell one image from another, and this one boot stage from another.
        let sums = data_encoding::HEXLOWER.encode(&image[image.len() - 8..]);
        let boot_stage = crc32fast::hash(&part("image/nodemcu", 0));
        let name = format!("powercut-{sums}-{boot_stage:08x}");
        let file = e2e::target().join(name);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Self { file, cuts: text.lines().filter_map(|line| line.parse().ok()).collect() }
    }

    fn note(&mut self, cut: u64) {
        self.cuts.insert(cut);
        let mut file =
            std::fs::OpenOptions::new().append(true).create(true).open(&self.file).unwrap();
        writeln!(file, "{cut}").unwrap();
    }
}

/// Sampled; all of it is `make update-powercut`. What happens at each byte of flash is tested without a
/// board (`make unit CRATE=update`).
#[test]
fn the_power_fails_here_and_there() {
    let mut bench = Bench::new();
    let erased = bench.course.last(SECTOR.into(), is_of_a_record);
    let written = bench.course.last(4 * RECORD_WORDS as u64, is_of_a_record);
    let enabled = bench.course.last(4, |address| address == Slot::B.offset());
    assert!(erased.end <= written.start && enabled.end <= erased.start);
    for cut in
        [bench.course.bytes() / 3 + 1, erased.start + 40, written.start + 17, enabled.start + 2]
    {
        bench.survives(cut);
    }
}

/// POWERCUT_BOARDS at a time (each waits three quarters of its time), the first POWERCUT_MOST cuts of an order in which those
/// are spread over all. What went well is not done again.
#[test]
#[ignore = "an hour and a half: `make update-powercut`"]
fn the_power_fails_anywhere() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |text| text.parse().expect(name))
    };
    let boards = number("POWERCUT_BOARDS", 14);
    let most = number("POWERCUT_MOST", usize::MAX);
    let work = |board: usize| {
        // Servers end with the thread that started them.
        let mut bench = Bench::new();
        let cuts = spread(bench.course.cuts());
        let mut done = Done::read(&bench.image);
        if board == 0 {
            let (bytes, before) = (bench.course.bytes(), done.cuts.len());
            println!("{bytes} bytes, {} cuts, of which {before} went well before", cuts.len());
        }
        for cut in cuts.iter().take(most).skip(board).step_by(boards) {
            if !done.cuts.contains(cut) {
                bench.survives(*cut);
                done.note(*cut);
            }
        }
    };
    std::thread::scope(|scope| {
        for board in 0..boards {
            scope.spawn(move || work(board));
        }
    });
}
