//! `thing target-test`: tests that run on the emulated CPU.
//!
//! Test firmware takes its `argv` by semihosting. Given `list`, it prints one line
//! `test: NAME` per test and exits with 0. Given a name, it runs that test and exits with 0
//! when it passed. Each test has an emulator of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::qemu::{Emulator, EmulatorOptions};

const LIST_LIMIT: Duration = Duration::from_secs(30);

/// Runs the tests whose names contain `filter`, prints one line each and
/// `N passed, N failed` as the last.
///
/// # Errors
/// When a test fails or none ran.
pub fn run(elf: &Path, filter: &str, limit: Duration) -> Result<()> {
    let names = list(elf)?;
    let chosen: Vec<&String> = names.iter().filter(|name| name.contains(filter)).collect();
    let mut failed = 0;
    for name in &chosen {
        match run_one(elf, name, limit) {
            Ok(()) => println!("test {name} ... ok"),
            Err(Failure { reason, console }) => {
                failed += 1;
                println!("test {name} ... FAILED: {reason}");
                for line in console {
                    println!("    {line}");
                }
            }
        }
    }
    println!("{} passed, {failed} failed", chosen.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} tests on the target failed", chosen.len());
    }
    if chosen.is_empty() {
        bail!(
            "no test ran: {} knows {} tests, none with \"{filter}\" in its name",
            elf.display(),
            names.len()
        );
    }
    Ok(())
}

/// The names of the tests in a test firmware.
///
/// # Errors
/// When it does not list them.
pub fn list(elf: &Path) -> Result<Vec<String>> {
    let console = execute(elf, "list", LIST_LIMIT)
        .map_err(|failure| anyhow::anyhow!("{}\n{}", failure.reason, failure.console.join("\n")))
        .with_context(|| format!("{} does not list its tests", elf.display()))?;
    Ok(console
        .iter()
        .filter_map(|line| line.strip_prefix("test: "))
        .map(|name| name.trim().to_owned())
        .collect())
}

/// Why a test failed.
struct Failure {
    reason: String,
    console: Vec<String>,
}

fn run_one(elf: &Path, name: &str, limit: Duration) -> Result<(), Failure> {
    execute(elf, name, limit).map(drop)
}

/// Runs the firmware with one argument to its end; the console's lines when it exits with 0.
fn execute(elf: &Path, argument: &str, limit: Duration) -> Result<Vec<String>, Failure> {
    let mut options = EmulatorOptions::new(elf);
    options.arguments = vec![argument.to_owned()];
    let started = Emulator::start(&options).and_then(|mut emulator| {
        let status = emulator.wait(limit)?;
        Ok((status, emulator.finish()))
    });
    match started {
        Err(error) => Err(Failure { reason: format!("{error:#}"), console: Vec::new() }),
        Ok((Some(status), console)) if status.success() => Ok(console),
        Ok((status, console)) => Err(Failure {
            reason: match status {
                Some(status) => status.to_string(),
                None => format!("no end within {} s", limit.as_secs()),
            },
            console,
        }),
    }
}
