//! No crate is left out of clippy, of `make doc` and of what editors check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `make` says, or would do, as at a person's prompt; a command in one line.
fn make(arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MADE", "BOARD"] {
        make.env_remove(variable);
    }
    output(make.args(arguments).current_dir(root())).replace("\\\n", "")
}

/// Every crate of the workspace, and those of it that it uses.
fn workspace() -> BTreeMap<String, Vec<String>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs this"));
    cargo.args(["metadata", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"]);
    // From where .cargo/config.toml, which is for the chip, is not found.
    let metadata = output(cargo.arg(root().join("Cargo.toml")).current_dir("/"));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            (name(package), used.filter(|one| !one["path"].is_null()).map(name).collect())
        })
        .collect()
}

/// The crates that cargo is told by `-p`.
fn named<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in lines {
        let mut words = line.split_whitespace();
        while words.any(|word| word == "-p") {
            names.extend(words.next().map(str::to_owned));
        }
    }
    names
}

/// They, and what they use: cargo looks at the crates of a workspace on its way to another.
fn with_what_they_use(
    names: &BTreeSet<String>,
    workspace: &BTreeMap<String, Vec<String>>,
) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut left: Vec<&String> = names.iter().collect();
    while let Some(name) = left.pop() {
        if all.insert(name.clone()) {
            left.extend(workspace.get(name).into_iter().flatten());
        }
    }
    all
}

#[track_caller]
fn has_all(what: &str, names: &BTreeSet<String>, workspace: &BTreeMap<String, Vec<String>>) {
    let missing: Vec<_> = workspace.keys().filter(|name| !names.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "{what} leaves out {missing:?}: CHIP_PROGRAMS, CHIP_CRATES, HOST_CRATES and HOST_TESTS in \
         the Makefile name what is looked at"
    );
}

#[test]
fn no_crate_is_left_out() {
    let workspace = workspace();
    assert!(workspace.contains_key("boot-stage") && workspace.contains_key("thing"));

    let lint = make(&["--dry-run", "lint", "RADIO=0"]);
    let clippy = named(lint.lines().filter(|line| line.contains(" clippy ")));
    has_all("make lint", &with_what_they_use(&clippy, &workspace), &workspace);

    // Documentation is made of what is named and of nothing else.
    let doc = make(&["--dry-run", "doc"]);
    let documented = named(doc.lines().filter(|line| line.contains(" doc ")));
    has_all("make doc", &documented, &workspace);

    let editor = make(&["-s", "chip-crates", "host-crates"]);
    let checked = with_what_they_use(&named(editor.lines()), &workspace);
    has_all("tools/editor-check", &checked, &workspace);
    let script = std::fs::read_to_string(root().join("tools/editor-check")).unwrap();
    for list in ["$(make -s chip-crates)", "$(make -s -C \"$tree\" host-crates)"] {
        assert!(script.contains(list), "{list}");
    }
}
