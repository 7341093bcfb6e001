//! Firmware images from a folder: how far each gets, as a table.
//!
//! A plain file is flashed at 0. A folder is one firmware if its files are named by where they go, as
//! flashing tools name them (`0x00000.bin`, `0x40000.bin`); otherwise each of them is one. Programs of the SDK want the radio's settings near the
//! end of flash: a file `esp_init_data_default*.bin` of the folder is put there, wherever nothing else is.
//! Each board runs as fast as the host can, for some seconds of its own time; then somebody types.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sha1::{Digest as _, Sha1};

use crate::board::rom::image::{MAGICS, flash_size, set_flash_size};
use crate::harness::VirtualBoard;

/// How long a board runs at a time before somebody looks.
const STEP: Duration = Duration::from_millis(10);
/// How long the answer to what was typed may take, by the board's clock.
const ANSWER: Duration = Duration::from_millis(1500);
/// Wall clock after which an image counts as too slow.
const PATIENCE: Duration = Duration::from_secs(600);
/// Characters after which nobody reads on.
const FLOOD: usize = 4 << 20;
/// Largest flash chip.
const LARGEST: usize = 16 << 20;
/// The radio's settings lie so far before the end of flash.
const SETTINGS: usize = 0x4000;
/// How their file's name begins.
const SETTINGS_NAME: &str = "esp_init_data_default";
/// Longest piece of what was said.
const LONGEST: usize = 60;

/// One firmware: a name, and what goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// File or folder.
    pub name: String,
    /// Offsets and contents, in order.
    pub files: Vec<(usize, Vec<u8>)>,
}

/// How far an image got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It answers what is typed.
    Answers,
    /// It runs, and said something.
    Runs,
    /// It runs without a word.
    Silent,
    /// It is reset again and again; why.
    Resets(String),
    /// It stands still; why.
    Stands(String),
    /// The ROM starts nothing.
    NoBoot,
    /// The host was not fast enough for it.
    TooSlow,
    /// It cannot be put into a flash chip; why.
    Unfit(String),
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answers => f.write_str("answers what is typed"),
            Self::Runs => f.write_str("runs"),
            Self::Silent => f.write_str("runs without a word"),
            Self::Resets(why) => write!(f, "resets again and again: {why}"),
            Self::Stands(why) => write!(f, "stands still: {why}"),
            Self::NoBoot => f.write_str("the ROM starts nothing"),
            Self::TooSlow => f.write_str("too slow to tell"),
            Self::Unfit(why) => write!(f, "was not tried: {why}"),
        }
    }
}

/// What was seen of an image.
#[derive(Clone, Debug)]
pub struct Report {
    /// The firmware.
    pub name: String,
    /// SHA-1 of its files.
    pub sum: String,
    /// How far it got.
    pub reached: Reached,
    /// What it said last.
    pub said: String,
    /// Resets after the first start.
    pub resets: usize,
    /// Lines of the console that tell of something missing or wrong, each once.
    pub notes: Vec<String>,
}

/// The firmware in `folder`, and the radio's settings if they are there.
///
/// # Errors
/// It cannot be read, or nothing is in it.
pub fn read(folder: &Path) -> Result<(Vec<Firmware>, Option<Vec<u8>>)> {
    let (mut list, mut settings) = (Vec::new(), None);
    for path in entries(folder)? {
        let name = name_of(&path);
        if path.is_dir() {
            list.append(&mut folder_of(&name, &path)?);
        } else if name.starts_with(SETTINGS_NAME) {
            settings = Some(load(&path)?);
        } else if name.ends_with(".bin") {
            list.push(Firmware { name, files: vec![(0, load(&path)?)] });
        }
    }
    if list.is_empty() {
        bail!("{}: no .bin file and no folder with one is there", folder.display());
    }
    Ok((list, settings))
}

/// One firmware if all files are named by their offsets, else one a file.
fn folder_of(folder: &str, path: &Path) -> Result<Vec<Firmware>> {
    let mut files = Vec::new();
    for file in entries(path)? {
        let name = name_of(&file);
        if name.ends_with(".bin") && !name.starts_with(SETTINGS_NAME) && !file.is_dir() {
            files.push((offset(&name), name, load(&file)?));
        }
    }
    if files.iter().all(|(offset, ..)| offset.is_some()) {
        let files: Vec<_> =
            files.into_iter().map(|(at, _, bytes)| (at.unwrap_or(0), bytes)).collect();
        let firmware = Firmware { name: folder.to_owned(), files };
        return Ok(if firmware.files.is_empty() { Vec::new() } else { vec![firmware] });
    }
    let alone =
        |(_, name, bytes)| Firmware { name: format!("{folder}/{name}"), files: vec![(0, bytes)] };
    Ok(files.into_iter().map(alone).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths = list.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// No more of it than shows that it fits in no chip.
fn load(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("{}", path.display()))?;
    file.take(LARGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{}", path.display()))?;
    Ok(bytes)
}

/// The offset that a file is named by: `0x40000.bin`, or `0x40000-anything.bin`.
fn offset(name: &str) -> Option<usize> {
    let digits = name.strip_prefix("0x")?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    usize::from_str_radix(&digits[..end], 16).ok()
}

impl Firmware {
    /// Flash as a tool leaves it that was told the chip's size, settings of the radio included.
    ///
    /// # Errors
    /// It fits in no flash.
    pub fn flash(&self, settings: Option<&[u8]>) -> Result<Vec<u8>> {
        let end = self.files.iter().map(|(at, bytes)| at.saturating_add(bytes.len())).max();
        let size = self.size(end.unwrap_or(0))?;
        let mut flash = vec![0xFF; size];
        for (at, bytes) in &self.files {
            flash[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        set_flash_size(&mut flash, size);
        if let Some(settings) = settings {
            let at = size - SETTINGS;
            let place = &mut flash[at..at + settings.len().min(SETTINGS)];
            if place.iter().all(|byte| *byte == 0xFF) {
                place.copy_from_slice(&settings[..place.len()]);
            }
        }
        Ok(flash)
    }

    /// The chip that its header names, or a larger one if it does not fit in that. A header of 512 KiB
    /// is what tools write that do not care: 4 MiB, as on a NodeMCU.
    fn size(&self, end: usize) -> Result<usize> {
        let first = self.files.iter().find(|(at, _)| *at == 0).map(|(_, bytes)| bytes.as_slice());
        let named = match first {
            Some([magic, _, _, sizes, ..]) if MAGICS.contains(magic) => flash_size(*sizes),
            _ => None,
        };
        let named = named.filter(|size| *size >= 1 << 20).unwrap_or(4 << 20);
        let size = named.max(end.checked_next_power_of_two().unwrap_or(usize::MAX));
        if size > LARGEST {
            bail!("{}: it ends at {end:#x}, and flash chips have 16 MiB at most", self.name);
        }
        Ok(size)
    }

    fn sum(&self) -> String {
        let mut sum = Sha1::new();
        for (_, bytes) in &self.files {
            sum.update(bytes);
        }
        sum.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Runs it for `time` of the board's, then types.
    #[must_use]
    pub fn run(&self, settings: Option<&[u8]>, time: Duration) -> Report {
        self.tried(settings, time).unwrap_or_else(|error| Report {
            name: self.name.clone(),
            sum: self.sum(),
            reached: Reached::Unfit(format!("{error:#}")),
            said: String::new(),
            resets: 0,
            notes: Vec::new(),
        })
    }

    fn tried(&self, settings: Option<&[u8]>, time: Duration) -> Result<Report> {
        let flash = self.flash(settings)?;
        let mut board =
            VirtualBoard::builder().unpaced().flash_size(flash.len()).image(0, &flash).build()?;
        let start = Instant::now();
        let mut slow = false;
        let mut run = |board: &mut VirtualBoard, time: Duration| {
            let end = board.time() + time;
            while board.time() < end && board.serial().len() < FLOOD && !slow {
                board.run(STEP);
                slow = start.elapsed() > PATIENCE;
            }
            slow
        };
        run(&mut board, time / 2);
        let early = board.machine.resets();
        run(&mut board, time / 2);
        let (mut answers, mut quiet) = (false, true);
        for typed in ["\r", "\r", "\r\n", "AT\r\n", "1\r\n"] {
            let mut listen = |board: &mut VirtualBoard| {
                let before = board.serial().len();
                let booted = board.machine.resets();
                run(board, ANSWER);
                let said = board.serial()[before..].replace(['\r', '\n'], "");
                (said, board.machine.resets() == booted)
            };
            // What talks all the time answers nobody.
            let (unasked, _) = listen(&mut board);
            board.machine.type_in(typed.as_bytes());
            let (answer, stays) = listen(&mut board);
            quiet &= unasked.is_empty() && answer.is_empty();
            // More than an echo, and not the ROM's word.
            answers |=
                unasked.is_empty() && stays && !answer.is_empty() && answer.trim() != typed.trim();
        }
        let slow = run(&mut board, Duration::ZERO);
        let console = board.console();
        Ok(Report {
            name: self.name.clone(),
            sum: self.sum(),
            reached: if slow {
                Reached::TooSlow
            } else {
                judge(&board, &console, early, answers, quiet)
            },
            said: last_words(board.serial()),
            resets: board.machine.resets() - 1,
            notes: notes(&console),
        })
    }
}

fn notes(console: &str) -> Vec<String> {
    let told = |line: &&str| {
        [
            "exception ",
            "call from ",
            "read of ",
            "write of ",
            "the ROM waits",
            "not modelled",
            "deep sleep",
        ]
        .iter()
        .any(|start| line.starts_with(start))
    };
    let mut notes: Vec<String> = Vec::new();
    for line in console.lines().filter(told) {
        if !notes.iter().any(|note| note == line) {
            notes.push(line.to_owned());
        }
    }
    notes
}

/// The note that most likely tells why it got no further: what is missing, else the first exception.
fn why(console: &str) -> String {
    let notes = notes(console);
    let find = |start: &str| notes.iter().find(|note| note.starts_with(start));
    let reason =
        find("call from ").or_else(|| find("exception ")).or_else(|| find("the ROM waits"));
    let last = console.lines().rev().find(|line| line.starts_with("reset:")).unwrap_or_default();
    reason.cloned().unwrap_or_else(|| last.split(';').next().unwrap_or_default().to_owned())
}

fn judge(board: &VirtualBoard, console: &str, early: usize, answers: bool, quiet: bool) -> Reached {
    let all = board.machine.resets();
    let said = board.serial();
    // A program may handle its exceptions and go on; one that says nothing after them does not.
    let stopped = |line: &str| {
        line.starts_with("call from ")
            || line.starts_with("the ROM waits")
            || quiet && line.starts_with("exception ")
    };
    let mut since = console.lines().rev().take_while(|line| !line.starts_with("reset:"));
    if answers {
        Reached::Answers
    } else if all > early + 1 && said.matches("ets_main.c").count() * 2 > all {
        Reached::NoBoot
    } else if all > early + 1 {
        Reached::Resets(why(console))
    } else if console.lines().any(|line| line.starts_with("deep sleep")) {
        Reached::Stands("deep sleep".to_owned())
    } else if since.any(stopped) {
        Reached::Stands(why(console))
    } else if last_words(said).is_empty() {
        Reached::Silent
    } else {
        Reached::Runs
    }
}

/// The last line of what was said that can be read and is not the ROM's.
fn last_words(said: &str) -> String {
    let words = |line: &str| {
        let text: String = line.chars().filter(|c| !c.is_control() && *c != '\u{FFFD}').collect();
        let text = text.trim();
        let rom = ["ets ", "load 0x", "tail ", "chksum", "csum", "wdt reset", "ets_main"];
        let good = text.chars().filter(char::is_ascii_alphanumeric).count() > 1
            || text.ends_with(['>', ')', ':']);
        (good && !rom.iter().any(|start| text.starts_with(start)))
            .then(|| text.chars().take(LONGEST).collect())
    };
    said.lines().rev().find_map(words).unwrap_or_default()
}

/// The reports as a table, with what was missing below it.
#[must_use]
pub fn table(reports: &[Report]) -> String {
    let mut text = String::from(
        "| Firmware | SHA-1 | How far | Resets | Said last |\n| --- | --- | --- | --- | --- |\n",
    );
    for report in reports {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            report.name,
            &report.sum[..12],
            report.reached,
            report.resets,
            report.said.replace('|', "\\|"),
        );
    }
    for report in reports.iter().filter(|report| !report.notes.is_empty()) {
        let _ = writeln!(text, "\n{}:", report.name);
        for note in &report.notes {
            let _ = writeln!(text, "  {note}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware(header: [u8; 4], length: usize) -> Firmware {
        let mut bytes = header.to_vec();
        bytes.resize(length, 7);
        Firmware { name: "it".to_owned(), files: vec![(0, bytes)] }
    }

    #[test]
    fn files_are_named_by_their_offsets() {
        assert_eq!(offset("0x40000.bin"), Some(0x40000));
        assert_eq!(offset("0x1000-user1.bin"), Some(0x1000));
        for name in ["boot.bin", "0x.bin", "x40.bin", "0xffffffffffffffffff.bin"] {
            assert_eq!(offset(name), None, "{name}");
        }
    }

    #[test]
    fn a_folder_is_read_and_an_empty_one_is_no_good() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("no .bin file"));
        fs::write(folder.path().join("b.bin"), [1]).unwrap();
        fs::write(folder.path().join("notes.txt"), [2]).unwrap();
        fs::write(folder.path().join("esp_init_data_default_v08.bin"), [3]).unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/0x1000.bin"), [4]).unwrap();
        fs::write(folder.path().join("a/0x00000.bin"), [5]).unwrap();
        let (list, settings) = read(folder.path()).unwrap();
        assert_eq!(settings, Some(vec![3]));
        let files = |n: usize| list[n].files.clone();
        assert_eq!((list[0].name.as_str(), files(0)), ("a", vec![(0, vec![5]), (0x1000, vec![4])]));
        assert_eq!((list[1].name.as_str(), files(1)), ("b.bin", vec![(0, vec![1])]));
        // One that is not named by where it goes: none of the folder is believed to belong together.
        fs::write(folder.path().join("a/boot.bin"), [6]).unwrap();
        let names: Vec<_> =
            read(folder.path()).unwrap().0.into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["a/0x00000.bin", "a/0x1000.bin", "a/boot.bin", "b.bin"]);
    }

    #[test]
    fn the_chip_is_as_large_as_the_header_says_or_as_the_image_needs() {
        let size = |header, length| firmware(header, length).flash(None).unwrap();
        let flash = size([0xE9, 1, 2, 0x20], 100);
        assert_eq!((flash.len(), flash[3]), (1 << 20, 0x20));
        let flash = size([0xE9, 1, 2, 0x0F], 100);
        assert_eq!((flash.len(), flash[3]), (4 << 20, 0x4F), "nobody told the tool");
        let flash = size([0xE9, 1, 2, 0x20], (1 << 20) + 1);
        assert_eq!((flash.len(), flash[3]), (2 << 20, 0x30));
        let flash = size([0xEA, 1, 2, 0x6F], 100);
        assert_eq!((flash.len(), flash[3]), (4 << 20, 0x6F), "two halves of 1 MiB");
        let huge = Firmware { name: String::new(), files: vec![(usize::MAX - 1, vec![0; 2])] };
        assert!(huge.flash(None).is_err());
        let report = huge.run(None, Duration::ZERO);
        assert!(
            matches!(&report.reached, Reached::Unfit(why) if why.contains("16 MiB")),
            "{report:?}"
        );
    }

    #[test]
    fn settings_go_where_nothing_else_is() {
        let mut firmware = firmware([0xE9, 1, 2, 0x20], 100);
        assert_eq!(
            firmware.flash(Some(&[5; 128])).unwrap()[(1 << 20) - SETTINGS..][..129],
            [[5; 128].as_slice(), &[0xFF]].concat()
        );
        firmware.files.push(((1 << 20) - SETTINGS, vec![9]));
        assert_eq!(
            firmware.flash(Some(&[5; 128])).unwrap()[(1 << 20) - SETTINGS..][..2],
            [9, 0xFF]
        );
    }

    #[test]
    fn what_is_no_image_starts_nothing_and_a_table_has_it() {
        let report = firmware([1, 2, 3, 4], 100).run(None, Duration::from_secs(8));
        assert_eq!(report.reached, Reached::NoBoot, "{report:?}");
        assert!(report.resets > 1 && report.said.is_empty(), "{report:?}");
        let table = table(&[report]);
        assert!(table.contains("| it | ") && table.contains("the ROM starts nothing"), "{table}");
    }

    #[test]
    fn the_last_words_are_the_programs() {
        assert_eq!(
            last_words("\r\n ets Jan  8 2013,rst cause:1\r\nload 0x40100000\r\ncsum 0x11\r\n"),
            ""
        );
        assert_eq!(last_words("hello\r\n\u{FFFD}\u{FFFD}\r\n>>> "), ">>>");
        assert_eq!(last_words(&"x".repeat(100)), "x".repeat(LONGEST));
    }
}
