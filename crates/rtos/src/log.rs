//! The `log` crate on the console: `I (1234) mqtt: text`.
//!
//! The module is the last part of the record's target; C logs come in through
//! `fw_log_line` under the name that they give.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use log::{Level, LevelFilter, Metadata, Record};

use crate::console;

/// Longest line, in bytes; what is longer is cut, so that a hostile payload cannot flood the
/// console through a log line.
const LINE: usize = 256;

/// Stands at the end of a line that was cut.
const CUT: &str = " [...]";

struct Console;

/// Levels by module; the first entry named "*" is everyone else's.
#[derive(Debug, Clone, Default)]
pub struct Levels(pub Vec<(String, LevelFilter)>);

impl Levels {
    fn of(&self, module: &str) -> LevelFilter {
        let named =
            |name: &str| self.0.iter().find(|(entry, _)| entry == name).map(|(_, level)| *level);
        named(module).or_else(|| named("*")).unwrap_or(LevelFilter::Info)
    }

    fn most_verbose(&self) -> LevelFilter {
        self.0
            .iter()
            .map(|(_, level)| *level)
            .max()
            .unwrap_or(LevelFilter::Info)
            .max(LevelFilter::Info)
    }
}

static LEVELS: AtomicPtr<Levels> = AtomicPtr::new(core::ptr::null_mut());

/// Sends the `log` crate's records to the console, from `Info` up, until `set_levels`.
pub fn init() {
    // A second call would find the logger set, which is what it wants.
    let _ = log::set_logger(&Console);
    log::set_max_level(LevelFilter::Info);
}

/// Sets the levels by module, once the identity that names them has been read. What was set
/// before stays in memory: a task may be reading it.
pub fn set_levels(levels: Levels) {
    log::set_max_level(levels.most_verbose());
    let levels = alloc::boxed::Box::into_raw(alloc::boxed::Box::new(levels));
    LEVELS.store(levels, Ordering::Release);
}

static SILENT: AtomicBool = AtomicBool::new(false);

/// From here on no line goes to the console, of Rust or of C, whatever the levels are or will be.
pub fn silence() {
    SILENT.store(true, Ordering::Release);
}

fn enabled(module: &str, level: Level) -> bool {
    if SILENT.load(Ordering::Acquire) {
        return false;
    }
    // SAFETY: either null or a leaked box that is never changed again.
    let levels = unsafe { LEVELS.load(Ordering::Acquire).as_ref() };
    level <= levels.map_or(LevelFilter::Info, |levels| levels.of(module))
}

impl log::Log for Console {
    fn enabled(&self, metadata: &Metadata) -> bool {
        enabled(module(metadata.target()), metadata.level())
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            line(record.level(), module(record.target()), *record.args());
        }
    }

    fn flush(&self) {}
}

/// "net::clock" is logged as "net", "runtime::link" as "link", "app::led" as "led": a reader looks for
/// the part of the product, not for a file.
fn module(target: &str) -> &str {
    match target.strip_prefix("app::").or_else(|| target.strip_prefix("runtime::")) {
        Some(task) => task.split(':').next().unwrap_or(task),
        None => target.split(':').next().unwrap_or(target),
    }
}

/// A line that keeps what fits.
struct Line {
    bytes: [u8; LINE],
    length: usize,
    /// Where the line can end to make room for [`CUT`].
    fits: usize,
    cut: bool,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for character in text.chars() {
            // One line a record: a line break inside would forge another record.
            let character = if character.is_control() { '?' } else { character };
            let mut utf8 = [0; 4];
            let utf8 = character.encode_utf8(&mut utf8).as_bytes();
            // One byte is kept back for the line's end.
            let end = self.length + utf8.len();
            if self.cut || end > LINE - 1 {
                self.cut = true;
                return Ok(());
            }
            self.bytes[self.length..end].copy_from_slice(utf8);
            self.length = end;
            if end + CUT.len() < LINE {
                self.fits = end;
            }
        }
        Ok(())
    }
}

fn line(level: Level, module: &str, text: core::fmt::Arguments) {
    let letter = match level {
        Level::Error => 'E',
        Level::Warn => 'W',
        Level::Info => 'I',
        Level::Debug => 'D',
        Level::Trace => 'T',
    };
    let mut line = Line { bytes: [0; LINE], length: 0, fits: 0, cut: false };
    // `Line` never fails.
    let _ = write!(line, "{letter} ({}) {module}: {text}", crate::uptime_ms());
    if line.cut {
        line.length = line.fits + CUT.len();
        line.bytes[line.fits..line.length].copy_from_slice(CUT.as_bytes());
    }
    line.bytes[line.length] = b'\n';
    let whole = core::str::from_utf8(&line.bytes[..=line.length]).unwrap_or("?\n");
    // One call is one piece: the board keeps two tasks' lines apart.
    console::write(whole);
}

/// One finished line from C.
///
/// # Safety
/// `module` is NUL-terminated and `text` has `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn fw_log_line(
    level: core::ffi::c_int,
    name: *const core::ffi::c_char,
    text: *const core::ffi::c_char,
    length: usize,
) {
    // SAFETY: the caller's contract.
    let (name, text) = unsafe {
        (
            core::ffi::CStr::from_ptr(name).to_str().unwrap_or("c"),
            core::slice::from_raw_parts(text.cast::<u8>(), length),
        )
    };
    let level = match level {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    };
    if enabled(name, level) {
        let text = core::str::from_utf8(text).unwrap_or("(not text)");
        line(level, name, format_args!("{text}"));
    }
}
