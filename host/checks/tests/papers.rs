//! What the papers promise of themselves: links, an index, a table of licences, verbs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages, by their paths from the root.
fn pages() -> Vec<PathBuf> {
    let folders = ["", "bsp", "certs", "docs", "host/virtual-nodemcu", "vendor"];
    let files = folders.into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(move |entry| Path::new(folder).join(entry.unwrap().file_name()))
    });
    let pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    assert!(pages.len() > 15, "{pages:?}");
    pages
}

/// Where the links of a page lead, but for those into the net, without the place in the page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.match_indices("](").map(|(at, mark)| &text[at + mark.len()..]);
    let links = ends.filter_map(|rest| rest.split([')', '\n']).next());
    links.filter(|link| !link.contains("://")).filter_map(|link| link.split('#').next())
}

/// The words of which names of crates and verbs are made.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)).collect()
}

#[test]
fn every_page_of_docs_is_in_its_index() {
    let index = read("docs/README.md");
    for page in pages().iter().filter(|page| page.starts_with("docs")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || links(&index).any(|link| link == name), "{name}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        for link in links(&text).filter(|link| !link.is_empty()) {
            let target = root().join(&page).parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link}", page.display());
            count += 1;
        }
    }
    assert!(count > 10);
}

/// The ways through the house name files: whole, or without the folder `src` of the crate.
#[test]
fn every_file_that_architecture_names_is_there() {
    let text = read("ARCHITECTURE.md");
    // The tree's lines are of the folder above them.
    let (_, text) = text.split_once("\n## The host's house\n").unwrap();
    let is_file = |word: &str| {
        word.contains('/')
            && Path::new(word).extension().is_some_and(|e| {
                ["rs", "c", "h", "S", "ld", "toml", "awk", "json"].iter().any(|known| e == *known)
            })
    };
    let between = |c: char| !c.is_ascii_alphanumeric() && !"_-./".contains(c);
    let words = text.split(between).filter(|word| !word.starts_with('/'));
    let files: BTreeSet<&str> = words.filter(|word| is_file(word)).collect();
    assert!(files.len() > 30, "{files:?}");
    for file in files {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let places = [root().join(file), root().join(folder).join("src").join(name)];
        assert!(places.iter().any(|place| place.is_file()), "{file}");
    }
}

#[test]
fn every_crate_that_is_used_stands_in_the_table_of_licences() {
    let readme = read("README.md");
    let (_, chapter) = readme.split_once("\n## Third parties\n").unwrap();
    let named = words(chapter);
    // From where .cargo/config.toml, which is for the chip, is not found.
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo runs this"));
    cargo.args(["metadata", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let output = cargo.arg(root().join("Cargo.toml")).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let used = packages.iter().flat_map(|package| package["dependencies"].as_array().unwrap());
    let foreign = used.filter(|dependency| dependency["path"].is_null());
    let foreign: BTreeSet<&str> = foreign.map(|one| one["name"].as_str().unwrap()).collect();
    assert!(foreign.contains("freertos-rust"), "{foreign:?}");
    let missing: BTreeSet<_> = foreign.difference(&named).collect();
    assert!(missing.is_empty(), "README.md, \"Third parties\", does not name {missing:?}");
}

/// The verbs of `make help`.
fn verbs(makefile: &str) -> BTreeSet<&str> {
    let rules = makefile.lines().filter(|line| line.contains(" ## ") || line.contains(": ## "));
    let names = rules.filter_map(|line| line.split(':').next());
    names.flat_map(str::split_whitespace).collect()
}

#[test]
fn every_verb_is_told_and_every_told_verb_is_there() {
    let makefile = read("Makefile");
    let verbs = verbs(&makefile);
    assert!(verbs.len() > 50 && verbs.contains("run") && verbs.contains("watch"), "{verbs:?}");
    let mut told = BTreeSet::new();
    let pages = pages();
    let texts: Vec<String> = pages.iter().map(read).collect();
    for (page, text) in pages.iter().zip(&texts) {
        // A command: in a block, which is indented, or between backticks.
        for mark in ["`make ", "$(make ", "\n    make ", "\n       make "] {
            for (at, _) in text.match_indices(mark) {
                let rest =
                    text[at + mark.len()..].split(['`', '\n', '#', '>', '|', ')']).next().unwrap();
                // Verbs stand before and between what is set: `make flash monitor THING=lamp`.
                let words = rest.split_whitespace().filter(|word| !word.starts_with('-'));
                let mut names = words.take_while(|word| !word.contains(['=', '\'', '"']));
                // `pin` is a verb of the Makefile that `make new` writes.
                if let Some(first) = names.next().filter(|name| *name != "pin") {
                    assert!(verbs.contains(first), "{}: make {rest}", page.display());
                    told.insert(first);
                }
                told.extend(names.filter(|name| verbs.contains(name)));
            }
        }
    }
    let untold: BTreeSet<_> = verbs.difference(&told).collect();
    assert!(untold.is_empty(), "no page tells of make {untold:?}");
}
