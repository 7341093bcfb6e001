//! `thing target-test`: tests that run on the emulated CPU.
//!
//! Test firmware takes its `argv` by semihosting. Given `list`, it prints one line
//! `test: NAME` per test, each followed by lines `shows: TEXT` where its console must show
//! something, and exits with 0. Given a name, it runs that test and exits with 0 when it
//! passed. Each test has an emulator of its own, whose clock counts instructions: a test
//! runs the same way each time, however busy the host is.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use board::qemu::{Emulator, EmulatorOptions, INSTRUCTION_SHIFT};

/// What the names of benches begin with: those are for [`crate::bench`].
pub const BENCH: &str = "bench-";

/// A test of the firmware.
#[derive(Debug, PartialEq, Eq)]
pub struct TargetTest {
    /// Its name.
    pub name: String,
    /// What its console must show besides, in this order.
    shows: Vec<String>,
}

/// Runs the tests whose names contain `filter`, prints one line each and
/// `N passed, N failed` as the last.
///
/// # Errors
/// When a test fails or none ran.
pub fn run(elf: &Path, filter: &str, limit: Duration) -> Result<()> {
    let execute = |name: &str| execute(elf, name, limit);
    run_all(list(&execute)?, filter, &execute)
}

/// Runs those of `tests` whose names contain `filter`, two for each core, because a test often
/// only waits. `execute` runs the one that it is given the name of, and returns the console's
/// lines when it passed.
///
/// # Errors
/// When a test fails or none ran.
pub fn run_all(
    mut tests: Vec<TargetTest>,
    filter: &str,
    execute: &(impl Fn(&str) -> Result<Vec<String>, Failure> + Sync),
) -> Result<()> {
    tests.retain(|test| !test.name.starts_with(BENCH));
    let known = tests.len();
    tests.retain(|test| test.name.contains(filter));
    if tests.is_empty() {
        bail!("no test ran: of {known} tests none has \"{filter}\" in its name");
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 * thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = run_one(test, execute) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("{}", report(test, &failure));
                    } else {
                        println!("test {} ... ok", test.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("{} passed, {failed} failed", tests.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} tests on the target failed", tests.len());
    }
    Ok(())
}

/// The tests of a test firmware, which `execute` runs with the name `list`.
///
/// # Errors
/// When it does not list them.
pub fn list(execute: &impl Fn(&str) -> Result<Vec<String>, Failure>) -> Result<Vec<TargetTest>> {
    let console = execute("list")
        .map_err(|failure| anyhow::anyhow!("{}\n{}", failure.reason, failure.console.join("\n")))
        .context("the test firmware does not list its tests")?;
    Ok(parse(&console))
}

fn parse(console: &[String]) -> Vec<TargetTest> {
    let mut tests: Vec<TargetTest> = Vec::new();
    for line in console {
        if let Some(name) = line.strip_prefix("test: ") {
            tests.push(TargetTest { name: name.to_owned(), shows: Vec::new() });
        } else if let (Some(text), Some(test)) = (line.strip_prefix("shows: "), tests.last_mut()) {
            test.shows.push(text.to_owned());
        }
    }
    tests
}

/// Why a test failed.
#[derive(Debug)]
pub struct Failure {
    /// In a few words.
    pub reason: String,
    /// All that the console showed.
    pub console: Vec<String>,
}

fn report(test: &TargetTest, failure: &Failure) -> String {
    let mut text = format!("test {} ... FAILED: {}", test.name, failure.reason);
    for line in &failure.console {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

fn run_one(
    test: &TargetTest,
    execute: &impl Fn(&str) -> Result<Vec<String>, Failure>,
) -> Result<(), Failure> {
    let console = execute(&test.name)?;
    match missing(&console, &test.shows) {
        None => Ok(()),
        Some(text) => Err(Failure { reason: format!("did not show \"{text}\""), console }),
    }
}

/// The first of `texts` that the console does not show after those before it.
fn missing<'a>(console: &[String], texts: &'a [String]) -> Option<&'a str> {
    let mut lines = console.iter();
    let mut rest = "";
    for text in texts {
        rest = loop {
            if let Some((_, behind)) = rest.split_once(text.as_str()) {
                break behind;
            }
            match lines.next() {
                Some(line) => rest = line,
                None => return Some(text),
            }
        };
    }
    None
}

/// Runs the firmware with one argument to its end; the console's lines when it exits with 0.
///
/// # Errors
/// When it exits with another status, or not within `limit`.
pub fn execute(elf: &Path, argument: &str, limit: Duration) -> Result<Vec<String>, Failure> {
    let mut options = EmulatorOptions::new(elf);
    options.arguments = vec![argument.to_owned()];
    options.icount_shift = Some(INSTRUCTION_SHIFT);
    options.network = false;
    let started = Emulator::start(&options).and_then(|mut emulator| {
        let status = emulator.process.wait(limit)?;
        emulator.process.kill();
        Ok((status, emulator.console.finish()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_list_names_tests_and_what_they_show() {
        let tests = parse(&lines("test: a\ntest: b\nshows:  x \nshows: y\n[other]\ntest: c"));
        let test = |name: &str, shows: &[&str]| TargetTest {
            name: name.to_owned(),
            shows: shows.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(tests, [test("a", &[]), test("b", &[" x ", "y"]), test("c", &[])]);
    }

    #[test]
    fn texts_are_looked_for_in_order() {
        let console = lines("one two\nthree one\nfour");
        let missed = |texts: &str| missing(&console, &lines(texts)).map(str::to_owned);
        assert_eq!(missed(""), None);
        assert_eq!(missed("one\ntwo\none\nfour"), None);
        assert_eq!(missed("one\none\none").as_deref(), Some("one"));
        assert_eq!(missed("two\nthree\ntwo").as_deref(), Some("two"));
        assert_eq!(missed("five").as_deref(), Some("five"));
    }
}
