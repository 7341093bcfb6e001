//! `make audit`: what is known against the versions that are built in.
//!
//! The C libraries are held against `vendor/advisories.toml`, a list that a person refreshes; the
//! Rust crates against the RustSec database by `cargo audit`, where that program and its database
//! (`ADVISORY_DB`, or cargo's own place for it) are on this machine.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The list, in the repository.
const LIST: &str = "vendor/advisories.toml";

/// What pins the Rust crates.
const RUST_LOCK: &str = "Cargo.lock";

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

/// Advisories of a Rust crate that do not matter here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    #[serde(rename = "crate")]
    name: String,
    version: String,
    ids: Vec<String>,
    why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    reviewed: String,
    library: Vec<Library>,
    advisory: Vec<Advisory>,
    #[serde(default)]
    accepted: Vec<Accepted>,
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
    let list = read(LIST)?;
    println!("{}", judge(&list, &read(LOCK)?)?);
    let accepted = accepted(&list, &read(RUST_LOCK)?)?;
    rust(&accepted)
}

/// The ids of RustSec's that do not matter here.
fn accepted(list: &str, lock: &str) -> Result<Vec<String>> {
    let list: List = toml::from_str(list).with_context(|| LIST.to_owned())?;
    let lock: Lock = toml::from_str(lock).with_context(|| RUST_LOCK.to_owned())?;
    for entry in &list.accepted {
        if !lock.package.iter().any(|it| it.name == entry.name && it.version == entry.version) {
            bail!(
                "{LIST}: {RUST_LOCK} has no {} {} any more: take the entry out",
                entry.name,
                entry.version
            );
        }
        if entry.why.trim().is_empty() {
            bail!("{LIST}: {} {} does not say why", entry.name, entry.version);
        }
    }
    Ok(list.accepted.into_iter().flat_map(|entry| entry.ids).collect())
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
fn rust(accepted: &[String]) -> Result<()> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let database = set("ADVISORY_DB").or_else(|| {
        Some(set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")))?.join("advisory-db"))
    });
    let database = database.unwrap_or_default();
    let version = Command::new("cargo-audit").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) || !database.is_dir() {
        println!(
            "Rust crates: not checked, since cargo-audit or its database ({}) is not on this \
             machine\n  what to do: `cargo install cargo-audit --locked`, then `cargo audit` once \
             while GitHub can be reached, or ADVISORY_DB=FOLDER with a clone of \
             https://github.com/rustsec/advisory-db",
            database.display()
        );
        return Ok(());
    }
    for lock in [RUST_LOCK, LOCK] {
        let mut audit = Command::new("cargo-audit");
        audit.args(["audit", "--no-fetch", "--stale", "--file", lock, "--db"]).arg(&database);
        audit.args(accepted.iter().flat_map(|id| ["--ignore", id]));
        let status = audit.status().context("cargo-audit")?;
        if !status.success() {
            bail!(
                "cargo audit finds something in {lock}, see above\n  what to do: take a newer \
                 version of the crate (`cargo update -p CRATE`), or say in {LIST} why it does not \
                 matter here ([[accepted]])"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        accepted(&read(LIST).unwrap(), &read(RUST_LOCK).unwrap()).unwrap();
    }

    #[test]
    fn what_is_accepted_is_of_a_crate_that_is_locked() {
        let none = list("0.3.1", "fixed = \"none\"\nstate = \"closed\"\nwhy = \"x\"");
        let with = |version: &str, why: &str| {
            format!(
                "{none}\n[[accepted]]\ncrate = \"carrier\"\nversion = \"{version}\"\n\
                 ids = [\"RUSTSEC-1\", \"RUSTSEC-2\"]\nwhy = \"{why}\""
            )
        };
        assert!(accepted(&none, LOCKED).unwrap().is_empty());
        assert_eq!(accepted(&with("0.3.1", "x"), LOCKED).unwrap(), ["RUSTSEC-1", "RUSTSEC-2"]);
        let error = accepted(&with("0.3.0", "x"), LOCKED).unwrap_err().to_string();
        assert!(error.contains("no carrier 0.3.0 any more"), "{error}");
        assert!(accepted(&with("0.3.1", ""), LOCKED).is_err());
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
