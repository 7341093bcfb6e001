//! `thing figures`: what the whole firmware takes while it runs, in one table.
//!
//! The firmware runs as `thing smoke` runs it, but on a CPU whose clock counts instructions
//! (`-icount`), so that the machine below does not matter. Flash and static memory come from
//! the ELF; the heap from the device's statuses; computing from its log, where the link task
//! says how much CPU time a connection took of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use identity::{Level, MAX_TOPIC};

use crate::budget::{self, Figure};
use crate::size::{Image, Memory};
use board::image;
use board::qemu::{Emulator, EmulatorOptions, INSTRUCTION_SHIFT};
use board::status::{Report, Status};
use certificates::KeyKind;
use cloud::local::LocalCloud;
use cloud::pki::SERVER_NAME;
use process::output;
use process::scratch;
use things::settings::Settings;

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Statuses until the heap is that of a device that is connected for good: buffers of the
/// connect are gone, TCP's too.
const SETTLED: usize = 3;

const KIB: u64 = 1024;

/// The most that each figure may be.
#[allow(missing_docs, reason = "the figures are named in `figures`")]
pub mod most {
    use super::KIB;

    pub const FLASH: u64 = 250 * KIB;
    pub const PEAK_ECDSA: u64 = 37 * KIB;
    pub const PEAK_RSA: u64 = 40 * KIB;
    pub const CONNECTED: u64 = 27 * KIB;
    pub const CONNECT_ECDSA: u64 = 27_000_000;
    pub const CONNECT_AGAIN: u64 = 14_000_000;
    pub const CONNECT_RSA: u64 = 24_000_000;
    pub const PUBLISH: u64 = 80_000;
}

/// What one run shows.
#[derive(Debug)]
struct Run {
    /// Instructions of the link task from the look-up of the server's name to CONNACK.
    connect_instructions: u64,
    /// The same when the server comes back with the chain that it had.
    again_instructions: u64,
    /// Instructions of the link task for one status at QoS 1, without paho's and lwIP's tasks.
    publish_instructions: u64,
    /// The first status: its low-water mark is the handshake's.
    first: Status,
    /// A later one.
    settled: Status,
}

/// Measures, prints the table and checks the budgets.
///
/// # Errors
/// When the firmware does not work or a budget is exceeded.
pub fn run(settings: &Settings, elf: &Path) -> Result<()> {
    let image = Image::read(elf)?;
    let ecdsa = measure(settings, elf, KeyKind::P256).context("with an ECDSA chain")?;
    let rsa = measure(settings, elf, KeyKind::Rsa2048).context("with an RSA chain")?;
    let figures = figures(&image, &ecdsa, &rsa);
    output::line(budget::table(&figures))?;
    budget::check(&figures, "`most` of host/checks/src/figures.rs")
}

fn figures(image: &Image, ecdsa: &Run, rsa: &Run) -> Vec<Figure> {
    let fixed = image.total(Memory::Dram);
    let in_use = |free: u64| fixed + image.heap.saturating_sub(free);
    let (bytes, instructions) = (Figure::bytes, Figure::instructions);
    vec![
        bytes("flash", image.total(Memory::Flash), Some(most::FLASH)),
        bytes("IRAM", image.total(Memory::Iram), None),
        bytes("static DRAM", fixed, None),
        bytes("RAM at most, ECDSA chain", in_use(ecdsa.first.heap_min), Some(most::PEAK_ECDSA)),
        bytes("RAM at most, largest RSA chain", in_use(rsa.settled.heap_min), Some(most::PEAK_RSA)),
        bytes("RAM connected", in_use(ecdsa.settled.heap_free), Some(most::CONNECTED)),
        instructions("connect, ECDSA chain", ecdsa.connect_instructions, Some(most::CONNECT_ECDSA)),
        instructions(
            "connect again, ECDSA chain",
            ecdsa.again_instructions,
            Some(most::CONNECT_AGAIN),
        ),
        instructions("connect, RSA chain", rsa.connect_instructions, Some(most::CONNECT_RSA)),
        instructions("connect again, RSA chain", rsa.again_instructions, None),
        instructions("publish, QoS 1", ecdsa.publish_instructions, Some(most::PUBLISH)),
    ]
}

/// What a crash before this boot leaves at most, in RAM that a reset keeps: `struct reset_note` of
/// `bsp/lx106/c/crash.c`.
fn longest_crash() -> Vec<u8> {
    const MAGIC: u32 = 0x4E4F_5434;
    const EXCEPTION: u32 = 3;
    const CRASH_RECORD_MAX: u32 = 96;
    // Each takes two bytes in a status.
    const QUOTES: u32 = u32::from_le_bytes(*b"\"\"\"\"");
    // Magic, reason, boots, crashes, of those in a row, length.
    let mut words = vec![MAGIC, EXCEPTION, 1, 1, 0, CRASH_RECORD_MAX];
    words.extend([QUOTES; CRASH_RECORD_MAX as usize / 4]);
    let sum = words.iter().copied().reduce(|sum, word| sum.wrapping_mul(31).wrapping_add(word));
    words.push(!sum.unwrap_or_default());
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Runs the firmware against a server with keys of that kind; with RSA at its worst, with the
/// largest chain, the longest topics and the longest crash to tell of.
fn measure(settings: &Settings, elf: &Path, key: KeyKind) -> Result<Run> {
    let worst = key == KeyKind::Rsa2048;
    let folder = scratch::folder()?;
    let mut root = None;
    let mut settings = settings.clone();
    if worst {
        let longest = |name: &str| format!("{}/{name}", "x".repeat(MAX_TOPIC - 1 - name.len()));
        settings.topics.status = longest("status");
        settings.topics.control = longest("control");
    }
    let mut cloud = LocalCloud::start_with(&settings, folder.path(), |_, options| {
        if worst {
            let (server, authority) = certificates::largest_chain(SERVER_NAME)?;
            (options.server, root) = (server, Some(authority));
        }
        Ok(())
    })?;
    let mut identity = cloud.device_identity();
    if let Some(root) = root {
        identity.roots = vec![root];
    }
    // The link task tells what a publish took.
    identity.log_levels = vec![("link".to_owned(), Level::Debug)];
    let mut options = EmulatorOptions::new(elf);
    options.identity = Some(identity.region()?);
    options.icount_shift = Some(INSTRUCTION_SHIFT);
    if worst {
        let note = folder.path().join("note");
        std::fs::write(&note, longest_crash())?;
        let address = image::address_of(elf, "note")?;
        let loader = format!("loader,file={},addr={address:#x},force-raw=on", note.display());
        options.further.extend(["-device".into(), loader.into()]);
    }
    let emulator = Emulator::start(&options)?;
    let deadline = Instant::now() + LIMIT;
    let run = watch(&emulator, &mut cloud, deadline).with_context(|| {
        format!("the device's console ends with\n{}", emulator.console.tail(20))
    })?;
    let has_told =
        emulator.console.lines().iter().any(|line| line.contains("crashed before: \"\""));
    if worst && !has_told {
        bail!("the device found no crash to tell of: does its note look as in crash.c?");
    }
    Ok(run)
}

/// Waits until the device has settled, then makes it connect again.
fn watch(emulator: &Emulator, cloud: &mut LocalCloud, deadline: Instant) -> Result<Run> {
    let mut operator = cloud.operator()?;
    operator.subscribe(&cloud.topics.status)?;
    let mut statuses = Vec::new();
    while statuses.len() < SETTLED {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = operator.next(left)? else {
            bail!("only {} statuses within {} s", statuses.len(), LIMIT.as_secs());
        };
        match Report::parse(&message.payload)? {
            Report::Online(status) => statuses.push(status),
            Report::Offline => bail!("the broker has lost the device"),
        }
    }
    cloud.broker.restart()?;
    // An instruction takes 2^shift nanoseconds.
    let instructions = |nanoseconds: u64| nanoseconds >> INSTRUCTION_SHIFT;
    // The console may be read later than the statuses.
    let connects = told(emulator, " ms of computing", 2, deadline)
        .context("the device does not say how much computing two connections took")?;
    let publishes = told(emulator, " us of computing", SETTLED - 1, deadline)
        .context("the device does not say how much computing a publish took")?;
    // Now and then the link task does something else meanwhile.
    let publish = publishes.into_iter().min().context("no publish")?;
    let settled = statuses.pop().context("no status")?;
    let first = statuses.into_iter().next().unwrap_or_else(|| settled.clone());
    Ok(Run {
        connect_instructions: instructions(connects[0] * 1_000_000),
        again_instructions: instructions(connects[1] * 1_000_000),
        publish_instructions: instructions(publish * 1_000),
        first,
        settled,
    })
}

/// The first so many numbers that the log tells with this unit.
fn told(emulator: &Emulator, unit: &str, count: usize, deadline: Instant) -> Option<Vec<u64>> {
    loop {
        let lines = emulator.console.lines();
        let found: Vec<u64> =
            lines.iter().filter_map(|line| computing(line, unit)).take(count).collect();
        if found.len() == count {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Reads the number of `... connected to HOST:PORT with N ms of computing` and the like.
#[must_use]
pub fn computing(line: &str, unit: &str) -> Option<u64> {
    let (before, _) = line.split_once(unit)?;
    before.rsplit_once(" with ")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computing_is_read_from_the_log() {
        let line = "I (4485) link: connected to a.iot.test:8883 with 3997 ms of computing";
        assert_eq!(computing(line, " ms of computing"), Some(3997));
        assert_eq!(
            computing("I (4490) link: subscribed to esp8266/control", " ms of computing"),
            None
        );
    }
}
