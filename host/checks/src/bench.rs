//! `thing bench`: what basic steps cost on the emulated CPU, in instructions; on the virtual
//! NodeMCU the program of `tests/board` measures them by the same budgets.
//!
//! Test firmware's tests called `bench-…` print one line
//! `bench: NAME COUNT repetitions CYCLES cycles`. The emulator's clock counts instructions
//! (`-icount`), so cycles are instructions by another name and repeat exactly.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use board::qemu::INSTRUCTION_SHIFT;

use crate::budget::{self, Figure};
use crate::target_test::{self, BENCH, Failure};

/// The emulated CPU's clock in Hz (`board_cpu_hz`).
const CLOCK: u64 = 40_000_000;

/// One bench may take this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A loop of three instructions, which shows that the count is one of instructions.
const LOOP: &str = "loop";
const LOOP_INSTRUCTIONS: u64 = 3;

/// Where they stand.
const PLACE: &str = "BUDGETS of host/checks/src/bench.rs";

/// The most instructions that a step may take: what it takes now and a tenth.
const BUDGETS: &[(&str, u64)] = &[
    ("context-switch", 270),
    ("notification-round-trip", 1_200),
    ("malloc-free", 350),
    ("memcpy-1k", 900),
    ("memcpy-1k-shifted", 1_500),
    ("memset-1k", 550),
    ("memcmp-1k", 2_000),
    ("aes128-gcm-1k", 128_000),
    ("sha256-1k", 60_000),
    ("p256-product", 1_320),
    ("p256-square", 880),
    ("ecdh-p256-key-pair", 1_600_000),
    ("ecdh-p256", 5_000_000),
    ("ecdsa-p256-sign", 2_200_000),
    ("ecdsa-p256-verify", 5_500_000),
    ("rsa2048-verify", 3_100_000),
    ("rsa4096-verify", 10_500_000),
];

/// Runs the benches of a test firmware on the emulated CPU and prints a table.
///
/// # Errors
/// When one takes more than its budget, is missing, or does not run.
pub fn run(elf: &Path) -> Result<()> {
    run_with(&|name: &str| target_test::execute(elf, name, LIMIT), |cycles| {
        (cycles * (1_000_000_000 / CLOCK)) >> INSTRUCTION_SHIFT
    })
}

/// The same by `execute`, which runs the test that it is given the name of and returns the
/// console's lines; `instructions` says how many so many cycles of CCOUNT are.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    execute: &impl Fn(&str) -> Result<Vec<String>, Failure>,
    instructions: fn(u64) -> u64,
) -> Result<()> {
    let mut steps = BTreeMap::new();
    for test in target_test::list(execute)? {
        if test.name.starts_with(BENCH) {
            let (name, cost) = measure(execute, instructions, &test.name)?;
            steps.insert(name, cost);
        }
    }
    let mut take = |name: &str| {
        steps.remove(name).with_context(|| format!("the firmware has no bench {name}"))
    };
    let exact = take(LOOP)?;
    if exact != LOOP_INSTRUCTIONS {
        bail!("the clock does not count instructions: {exact} for {LOOP_INSTRUCTIONS}");
    }
    let mut measured = Vec::new();
    for &(name, most) in BUDGETS {
        measured.push(Figure::instructions(name, take(name)?, Some(most)));
    }
    if let Some(name) = steps.keys().next() {
        bail!("{name} has no budget: give it one in {PLACE}");
    }
    println!("{}", budget::table(&measured));
    budget::check(&measured, PLACE)
}

/// What a step costs: its name and its instructions.
fn measure(
    execute: &impl Fn(&str) -> Result<Vec<String>, Failure>,
    instructions: fn(u64) -> u64,
    test: &str,
) -> Result<(String, u64)> {
    let console = execute(test).map_err(|failure| {
        anyhow::anyhow!("{test} failed: {}\n{}", failure.reason, failure.console.join("\n"))
    })?;
    console
        .iter()
        .find_map(|line| parse(line, instructions))
        .with_context(|| format!("{test} prints no figure"))
}

fn parse(line: &str, instructions: fn(u64) -> u64) -> Option<(String, u64)> {
    let words: Vec<&str> = line.strip_prefix("bench: ")?.split(' ').collect();
    let [name, count, "repetitions", cycles, "cycles"] = words[..] else {
        return None;
    };
    let (count, cycles): (u64, u64) = (count.parse().ok()?, cycles.parse().ok()?);
    let instructions = instructions(cycles).checked_div(count)?;
    Some((name.to_owned(), instructions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_instructions_of_one_repetition() {
        let figure = |instructions| ("x".to_owned(), instructions);
        let parse = |line| parse(line, |cycles| cycles / 2);
        assert_eq!(parse("bench: x 1 repetitions 1280 cycles"), Some(figure(640)));
        assert_eq!(parse("bench: x 10 repetitions 1280 cycles"), Some(figure(64)));
        assert_eq!(parse("bench: x 0 repetitions 1280 cycles"), None);
        assert_eq!(parse("bench: x many repetitions 1280 cycles"), None);
        assert_eq!(parse("x 1 repetitions 1280 cycles"), None);
    }
}
