//! The device's serial console as the host sees it.

use std::cell::LazyCell;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use process::output;

use crate::repeats::Repeats;

/// Marks a line that carries code addresses.
const BACKTRACE: &str = "Backtrace:";

/// Follows a backtrace that has more than the place itself.
const GUESSED: &str = "    (?: an address on the stack; earlier calls have left theirs there, too)";

/// Before the address in what the boot ROM says of an exception that the firmware did not take.
const ROM_CRASH: &str = "epc1=";

/// What comes without a line end is shown in pieces of this many bytes.
const LONGEST_LINE: u64 = 4096;

/// Bytes of lines that are kept. When there are more, the older half is forgotten.
const KEPT: usize = 16 << 20;

#[derive(Debug, Default)]
struct Transcript {
    lines: Vec<String>,
    /// How many lines before these are forgotten.
    forgotten: usize,
    /// Bytes of all lines that are kept.
    bytes: usize,
    /// How many sources have not ended.
    open: usize,
    /// Whoever read the echo is gone.
    unheard: bool,
}

impl Transcript {
    /// The number of lines that came.
    fn count(&self) -> usize {
        self.forgotten + self.lines.len()
    }

    /// A line by its number among all that came.
    fn get(&self, index: usize) -> Option<&String> {
        self.lines.get(index.checked_sub(self.forgotten)?)
    }

    fn extend(&mut self, lines: Vec<String>) {
        self.bytes += lines.iter().map(String::len).sum::<usize>();
        self.lines.extend(lines);
        if self.bytes > KEPT {
            let half = self.lines.len() / 2;
            self.bytes -= self.lines.drain(..half).map(|line| line.len()).sum::<usize>();
            self.forgotten += half;
        }
    }
}

type Shared = Arc<(Mutex<Transcript>, Condvar)>;

/// Collects a console's lines while the device runs.
#[derive(Debug)]
pub struct Console {
    shared: Shared,
    readers: Vec<JoinHandle<()>>,
    elf: PathBuf,
    echo: bool,
}

impl Console {
    /// Reads `source` to its end in a thread of its own. Code addresses are resolved by
    /// `elf`'s debug information. With `echo`, every line also goes to standard output.
    ///
    /// # Errors
    /// When the thread cannot start.
    pub fn attach(source: impl Read + Send + 'static, elf: &Path, echo: bool) -> Result<Self> {
        let mut console =
            Self { shared: Shared::default(), readers: Vec::new(), elf: elf.to_owned(), echo };
        console.follow(source)?;
        Ok(console)
    }

    /// Reads a further source of lines, which come between the others'.
    ///
    /// # Errors
    /// When the thread cannot start.
    pub fn follow(&mut self, source: impl Read + Send + 'static) -> Result<()> {
        let (sink, elf, echo) = (Arc::clone(&self.shared), self.elf.clone(), self.echo);
        lock(&self.shared.0).open += 1;
        let reader = std::thread::Builder::new()
            .name("console".to_owned())
            .spawn(move || {
                follow(source, &elf, &sink, echo);
                lock(&sink.0).open -= 1;
                sink.1.notify_all();
            })
            .context("cannot start the console thread")?;
        self.readers.push(reader);
        Ok(())
    }

    /// All lines so far; of very many, the newer ones.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.shared.0).lines.clone()
    }

    /// The number of lines so far: where a later [`Console::wait_for`] begins to look.
    #[must_use]
    pub fn mark(&self) -> usize {
        lock(&self.shared.0).count()
    }

    /// The last `count` lines as one text.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let transcript = lock(&self.shared.0);
        let from = transcript.lines.len().saturating_sub(count);
        transcript.lines[from..].join("\n")
    }

    /// Waits for the first line from `mark` on that satisfies `wanted`; returns it and the
    /// mark after it.
    ///
    /// # Errors
    /// When `limit` passes or the device ends first; the message says `what` was awaited.
    pub fn wait_for(
        &self,
        mark: usize,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(String, usize)> {
        let deadline = Instant::now() + limit;
        let mut next = mark;
        let mut transcript = lock(&self.shared.0);
        loop {
            // What was forgotten meanwhile did not wait to be looked at.
            next = next.max(transcript.forgotten);
            while let Some(line) = transcript.get(next) {
                next += 1;
                if wanted(line) {
                    return Ok((line.clone(), next));
                }
            }
            if transcript.open == 0 {
                bail!("the device ended before it showed {what}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the console did not show {what} within {} s", limit.as_secs());
            }
            transcript = self
                .shared
                .1
                .wait_timeout(transcript, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether nobody reads the echo any more.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        lock(&self.shared.0).unheard
    }

    /// Waits until the console has ended and returns all lines.
    pub fn finish(mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            // A panic there has been printed; what was read until then still counts.
            let _ = reader.join();
        }
        self.lines()
    }
}

/// A panicking reader leaves nothing half done in the transcript: whole lines only.
fn lock(mutex: &Mutex<Transcript>) -> MutexGuard<'_, Transcript> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(source: impl Read, elf: &Path, sink: &Shared, echo: bool) {
    // Read when first asked.
    let symbols = LazyCell::new(|| addr2line::Loader::new(elf).ok());
    let mut repeats = Repeats::default();
    let mut source = BufReader::new(source);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut source).take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        let mut lines = vec![line.to_owned()];
        if let Some((_, addresses)) = line.split_once(BACKTRACE) {
            for (depth, address) in addresses_in(addresses).enumerate() {
                lines.push(describe(symbols.as_ref(), address, depth > 0));
            }
            if lines.len() > 2 {
                lines.push(GUESSED.to_owned());
            }
        } else if let Some(rest) = line.split_once(ROM_CRASH).map(|(_, rest)| rest)
            && let Some(address) = addresses_in(rest.split(',').next().unwrap_or(rest)).next()
        {
            lines.push(describe(symbols.as_ref(), address, false));
        }
        // Read on: the device must not wait for a pipe that is full.
        let mut shown = lines.iter().filter(|_| echo).flat_map(|line| repeats.next(line));
        let unheard = shown.any(|line| output::line(line).is_err());
        let mut transcript = lock(&sink.0);
        transcript.unheard |= unheard;
        transcript.extend(lines);
        drop(transcript);
        sink.1.notify_all();
    }
}

/// The code addresses of a backtrace: hexadecimal with `0x`, separated by blanks. Of a pair
/// `address:stack pointer` the first counts.
fn addresses_in(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split_whitespace()
        .map(|word| word.split(':').next().unwrap_or(word))
        .filter_map(|word| word.strip_prefix("0x"))
        .filter_map(|digits| u64::from_str_radix(digits, 16).ok())
}

/// One indented line: the address, its function and line, and what that was inlined
/// into. A return address points behind the call, which may be another line already; that it
/// is one is a guess of the firmware's, which looks through the stack (`crash.c`).
fn describe(symbols: Option<&addr2line::Loader>, address: u64, is_return: bool) -> String {
    let inside = address.saturating_sub(u64::from(is_return));
    match symbols.and_then(|loader| place(loader, inside)) {
        Some(place) if is_return => format!("    0x{address:08x} ? {place}"),
        Some(place) => format!("    0x{address:08x} {place}"),
        None => format!("    0x{address:08x} (not in the firmware)"),
    }
}

fn place(loader: &addr2line::Loader, address: u64) -> Option<String> {
    let mut frames = Vec::new();
    let mut found = loader.find_frames(address).ok()?;
    while let Ok(Some(frame)) = found.next() {
        let function = frame
            .function
            .as_ref()
            .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
        let location = frame.location.and_then(|location| {
            let file = location.file?;
            Some(format!("{file}:{}", location.line.unwrap_or(0)))
        });
        frames.push(match (function, location) {
            (Some(function), Some(location)) => format!("{function} at {location}"),
            (Some(function), None) => function,
            (None, Some(location)) => location,
            (None, None) => continue,
        });
    }
    if !frames.is_empty() {
        return Some(frames.join(", inlined into "));
    }
    // Assembly has no debug information but symbols.
    loader.find_symbol(address).map(|name| addr2line::demangle_auto(name.into(), None).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn console(text: &'static str) -> Console {
        Console::attach(Cursor::new(text), Path::new("/nonexistent"), false).unwrap()
    }

    #[test]
    fn lines_lose_their_ends_only() {
        assert_eq!(console("a\r\n\r\n b").finish(), ["a", "", " b"]);
    }

    #[test]
    fn a_source_without_line_ends_is_shown_in_pieces_and_not_kept_for_ever() {
        let long = Cursor::new(vec![b'x'; 3 * KEPT]);
        let console = Console::attach(long, Path::new("/nonexistent"), false).unwrap();
        let limit = Duration::from_secs(60);
        assert!(console.wait_for(0, limit, "the last piece", |line| line.is_empty()).is_err());
        let pieces = 3 * KEPT / usize::try_from(LONGEST_LINE).unwrap();
        assert_eq!(console.mark(), pieces);
        let kept: usize = console.finish().iter().map(String::len).sum();
        assert!((KEPT / 2..=KEPT).contains(&kept), "{kept}");
    }

    #[test]
    fn waiting_goes_on_after_the_mark() {
        let console = console("one\ntwo\none\n");
        let limit = Duration::from_secs(5);
        let (line, mark) = console.wait_for(0, limit, "one", |l| l == "one").unwrap();
        assert_eq!((line.as_str(), mark), ("one", 1));
        assert_eq!(console.wait_for(mark, limit, "one", |l| l == "one").unwrap().1, 3);
        let error = console.wait_for(3, limit, "one", |_| true).unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
    }

    #[test]
    fn two_sources_end_when_both_have_ended() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut console = console("one\n");
        console.follow(reader).unwrap();
        let limit = Duration::from_secs(20);
        console.wait_for(0, limit, "one", |line| line == "one").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || std::io::Write::write_all(&mut { writer }, b"two\n"));
            console.wait_for(0, limit, "two", |line| line == "two").unwrap();
        });
        assert_eq!(console.finish(), ["one", "two"]);
    }

    #[test]
    fn the_roms_crash_address_is_resolved() {
        let lines = console("Fatal exception (28):\nepc1=0x40100003, epc2=0x00000000\n").finish();
        assert_eq!(lines.last().unwrap(), "    0x40100003 (not in the firmware)");
    }

    #[test]
    fn backtraces_are_resolved_line_by_line() {
        let lines = console("Backtrace: 0x40200010 0x40200020:0x3fff0000\n").finish();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[3], GUESSED);
        assert_eq!(lines[1], "    0x40200010 (not in the firmware)");
    }

    #[test]
    fn own_functions_are_found() {
        // This test program itself has debug information as the firmware has.
        let elf = std::env::current_exe().unwrap();
        let loader = addr2line::Loader::new(&elf).unwrap();
        let bytes = std::fs::read(&elf).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let symbol = {
            use object::{Object, ObjectSymbol};
            file.symbols()
                .find(|symbol| symbol.name().is_ok_and(|name| name.contains("addresses_in")))
                .unwrap()
                .address()
        };
        let place = place(&loader, symbol).unwrap();
        assert!(place.contains("addresses_in"), "{place}");
        assert!(place.contains("console.rs:"), "{place}");
        // What is only found on the stack is marked.
        let symbols = addr2line::Loader::new(&elf).ok();
        assert!(describe(symbols.as_ref(), symbol + 1, true).contains(" ? "));
        assert!(!describe(symbols.as_ref(), symbol, false).contains(" ? "));
    }
}
