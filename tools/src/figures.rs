//! `thing figures`: what the whole firmware takes while it runs, in one table.
//!
//! The firmware runs as `thing smoke` runs it, but on a CPU whose clock counts instructions
//! (`-icount`), so that the machine below does not matter. Flash and static memory come from
//! the ELF; the heap from the device's statuses; computing from its log, where the link task
//! says how much CPU time a connection took of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::MqttClient;
use crate::lab::Lab;
use crate::output;
use crate::pki::{Authority, KeyKind, LeafRequest, Pki, SERVER_NAME, Validity};
use crate::qemu::{Emulator, EmulatorOptions};
use crate::scratch;
use crate::settings::Settings;
use crate::size::Image;
use crate::status::{Report, Status};
use crate::target_test::INSTRUCTION_SHIFT;

/// How long one run may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Statuses until the heap is that of a device that is connected for good: buffers of the
/// connect are gone, TCP's too.
const SETTLED: usize = 3;

const KIB: u64 = 1024;

/// The most that each figure may be.
mod budget {
    use super::KIB;

    pub const FLASH: u64 = 256 * KIB;
    pub const PEAK: u64 = 44 * KIB;
    pub const CONNECTED: u64 = 36 * KIB;
    pub const HANDSHAKE: u64 = 130_000_000;
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    name: &'static str,
    value: u64,
    unit: &'static str,
    most: Option<u64>,
}

/// What one run shows.
#[derive(Debug)]
struct Run {
    /// Instructions of the link task from the look-up of the server's name to CONNACK.
    connect_instructions: u64,
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
    output::line(table(&figures))?;
    check(&figures)
}

fn figures(image: &Image, ecdsa: &Run, rsa: &Run) -> Vec<Figure> {
    let fixed = image.dram();
    let in_use = |free: u64| fixed + image.heap().saturating_sub(free);
    let bytes = |name, value, most| Figure { name, value, unit: "bytes", most };
    let instructions = |name, value, most| Figure { name, value, unit: "instructions", most };
    vec![
        bytes("flash", image.flash(), Some(budget::FLASH)),
        bytes("IRAM", image.iram(), None),
        bytes("static DRAM", fixed, None),
        bytes("RAM at most, ECDSA chain", in_use(ecdsa.first.heap_min), Some(budget::PEAK)),
        bytes("RAM at most, RSA chain", in_use(rsa.first.heap_min), Some(budget::PEAK)),
        bytes("RAM connected", in_use(ecdsa.settled.heap_free), Some(budget::CONNECTED)),
        instructions("connect, ECDSA chain", ecdsa.connect_instructions, Some(budget::HANDSHAKE)),
        instructions("connect, RSA chain", rsa.connect_instructions, None),
    ]
}

/// Runs the firmware against a server with keys of that kind.
fn measure(settings: &Settings, elf: &Path, key: KeyKind) -> Result<Run> {
    let folder = scratch::folder()?;
    let mut root = None;
    let lab = Lab::start_with(settings, folder.path(), |pki, options| {
        if key == KeyKind::Rsa2048 {
            let (authority, server) = rsa_server()?;
            root = Some(authority);
            options.server = server;
        } else {
            options.server = pki.server.clone();
        }
        Ok(())
    })?;
    let mut operator = lab.operator()?;
    operator.subscribe(&lab.topics.status)?;
    let mut identity = lab.device_identity();
    if let Some(root) = root {
        identity.roots = vec![root.certificate().clone()];
    }
    let mut options = EmulatorOptions::new(elf);
    options.identity = Some(identity.region()?);
    options.icount_shift = Some(INSTRUCTION_SHIFT);
    let emulator = Emulator::start(&options)?;
    let deadline = Instant::now() + LIMIT;
    watch(&emulator, &mut operator, deadline)
        .with_context(|| format!("the device's console ends with\n{}", emulator.console.tail(20)))
}
