//! `make audit`: what is known against the versions that are built in.
//!
//! The C libraries are held against `vendor/advisories.toml`, a list that a person refreshes; the
//! Rust crates against the RustSec database by `cargo audit`, where that program and its database
//! are on this machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The list, in the repository.
const LIST: &str = "vendor/advisories.toml";

/// What pins the crates that carry the C.
const LOCK: &str = "vendor/Cargo.lock";

/// What became of an advisory.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum State {
    NotCompiled,
    Closed,
    Open,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Library {
    name: String,
    version: String,
    #[serde(rename = "crate")]
    carrier: String,
    crate_version: String,
    newest: String,
    sources: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Advisory {
    library: String,
    id: String,
    title: String,
    /// The version that has it mended, or `none`.
    fixed: String,
    state: State,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    reviewed: String,
    library: Vec<Library>,
    advisory: Vec<Advisory>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

/// Holds everything that is built in against what is known, and prints what it finds.
///
/// # Errors
/// When the list does not fit the versions, or leaves an advisory without an answer; or when
/// `cargo audit` finds something.
pub fn check() -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| path.to_owned());
    println!("{}", judge(&read(LIST)?, &read(LOCK)?)?);
    rust()
}

/// The report on the C libraries.
fn judge(list: &str, lock: &str) -> Result<String> {
    let list: List = toml::from_str(list).with_context(|| LIST.to_owned())?;
    let lock: Lock = toml::from_str(lock).with_context(|| LOCK.to_owned())?;
    let mut report = format!("C libraries, by {LIST}, reviewed on {}:", list.reviewed);
    for library in &list.library {
        let pinned = lock.package.iter().find(|package| package.name == library.carrier);
        let pinned = pinned.map_or("none", |package| package.version.as_str());
        if pinned != library.crate_version {
            bail!(
                "{LIST} speaks of {} {} ({} {}), but {LOCK} pins {pinned}\n  what to do: go through \
                 its advisories again ({}) and write the new versions there",
                library.name,
                library.version,
                library.carrier,
                library.crate_version,
                library.sources.join(", ")
            );
        }
        let mut count = [0; 3];
        let mut open = String::new();
        for advisory in list.advisory.iter().filter(|entry| entry.library == library.name) {
            if advisory.fixed != "none" && !is_older(&library.version, &advisory.fixed)? {
                bail!(
                    "{LIST}: {} is mended in {} {}, which is built in: take the entry out",
                    advisory.id,
                    library.name,
                    advisory.fixed
                );
            }
            if advisory.why.trim().is_empty() {
                bail!("{LIST}: {} does not say why it is closed", advisory.id);
            }
            count[advisory.state as usize] += 1;
            if advisory.state == State::Open {
                open +=
                    &format!("\n    OPEN {}: {}. {}", advisory.id, advisory.title, advisory.why);
            }
        }
        report += &format!(
            "\n  {} {}: {} not compiled in, {} closed, {} open; {}{open}",
            library.name, library.version, count[0], count[1], count[2], library.newest
        );
    }
    let known = |name: &str| list.library.iter().any(|library| library.name == name);
    if let Some(stray) = list.advisory.iter().find(|entry| !known(&entry.library)) {
        bail!("{LIST}: {} is of {}, which is no library there", stray.id, stray.library);
    }
    Ok(report)
}

/// Whether a version of numbers and dots is older than another.
fn is_older(version: &str, other: &str) -> Result<bool> {
    let numbers = |version: &str| {
        let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        numbers.with_context(|| format!("{LIST}: {version} is no version"))
    };
    Ok(numbers(version)? < numbers(other)?)
}

/// The Rust crates, offline: with what is on this machine.
fn rust() -> Result<()> {
    let home = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let database = home.unwrap_or_default().join("advisory-db");
    let version = Command::new("cargo-audit").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) || !database.is_dir() {
        println!(
            "Rust crates: not checked, since cargo-audit or its database ({}) is not on this \
             machine\n  what to do: `cargo install cargo-audit --locked`, then `cargo audit` once \
             while GitHub can be reached",
            database.display()
        );
        return Ok(());
    }
    for lock in ["Cargo.lock", LOCK] {
        let status = Command::new("cargo-audit")
            .args(["audit", "--no-fetch", "--stale", "--file", lock])
            .status()
            .context("cargo-audit")?;
        if !status.success() {
            bail!("cargo audit finds something in {lock}, see above");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = "[[package]]\nname = \"carrier\"\nversion = \"0.3.1\"\n";

    fn list(version: &str, entry: &str) -> String {
        format!(
            "reviewed = \"2026-11-26\"\n[[library]]\nname = \"L\"\nversion = \"3.6.5\"\n\
             crate = \"carrier\"\ncrate-version = \"{version}\"\nnewest = \"none\"\n\
             sources = [\"https://example.org\"]\n[[advisory]]\nlibrary = \"L\"\nid = \"CVE-1\"\n\
             title = \"a fault\"\n{entry}"
        )
    }

    #[test]
    fn the_list_fits_what_is_pinned() {
        let read = |path: &str| {
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
        };
        judge(&read(LIST).unwrap(), &read(LOCK).unwrap()).unwrap();
    }

    #[test]
    fn an_advisory_is_answered_or_the_check_fails() {
        let closed = "fixed = \"3.6.10\"\nstate = \"closed\"\nwhy = \"because\"";
        let report = judge(&list("0.3.1", closed), LOCKED).unwrap();
        assert!(report.contains("0 not compiled in, 1 closed, 0 open"), "{report}");
        let open = "fixed = \"none\"\nstate = \"open\"\nwhy = \"nobody knows\"";
        let report = judge(&list("0.3.1", open), LOCKED).unwrap();
        assert!(report.contains("OPEN CVE-1: a fault. nobody knows"), "{report}");

        let fails = |list: &str, words: &str| {
            let error = format!("{:#}", judge(list, LOCKED).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        fails(&list("0.3.0", closed), "pins 0.3.1");
        fails(
            &list("0.3.1", "fixed = \"3.6.5\"\nstate = \"closed\"\nwhy = \"x\""),
            "take the entry",
        );
        fails(
            &list("0.3.1", "fixed = \"none\"\nstate = \"closed\"\nwhy = \" \""),
            "does not say why",
        );
        fails(&list("0.3.1", "fixed = \"none\"\nstate = \"closed\""), "missing field `why`");
        fails(&list("0.3.1", "fixed = \"new\"\nstate = \"closed\"\nwhy = \"x\""), "is no version");
        fails(&list("0.3.1", closed).replace("library = \"L\"", "library = \"M\""), "no library");
    }
}
