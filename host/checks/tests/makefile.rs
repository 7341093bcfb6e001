//! What verbs hand on to the host program, which is a stand-in here that writes its words down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use process::files;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// `make`, as at a person's prompt and not as within `make test`.
fn make(folder: &Path, arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    make.current_dir(folder).arg("--file").arg(root().join("Makefile")).args(arguments);
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "BOARD", "THING"] {
        make.env_remove(variable);
    }
    let output = make.output().unwrap();
    let text = String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// What the host program was told for a verb, a line for each call.
fn told(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (program, words) = (folder.path().join("thing"), folder.path().join("words"));
    let text = format!("#!/bin/sh\necho \"$*\" >>'{}'\n", words.display());
    files::write_program(&program, &text).unwrap();
    let program = format!("THING_PROGRAM={}", program.display());
    // Nothing is built: the programs are there.
    make(&root(), &[&["MADE=programs", "CARGO=false", &program], arguments].concat());
    fs::read_to_string(words).unwrap()
}

/// The stand-in asks for no version to be built, as the program does where a release is there.
#[test]
fn a_version_that_has_a_release_is_not_built() {
    let words = told(&["update", "THING=lamp", "VERSION=1.0.0", "DOWNGRADE=1"]);
    let calls: Vec<&str> = words.lines().collect();
    assert_eq!(calls.len(), 2, "{words}");
    assert!(calls[0].starts_with("update-version --named "), "{words}");
    assert!(calls[1].starts_with("update --named "), "{words}");
    assert!(calls[1].ends_with(" --new-version 1.0.0 --allow-downgrade"), "{words}");
    let words = told(&["update", "THING=lamp", "RELEASE=a.release"]);
    assert!(words.ends_with(" --release a.release\n"), "{words}");
}

/// Of an application nobody knows what it reports.
#[test]
fn the_programs_are_told_of_an_application() {
    for (verb, more) in [("on", " --application"), ("off", " --application"), ("watch", "")] {
        let place = "--state target/apps/hello";
        assert_eq!(told(&[verb, "APP=examples/hello"]), format!("{place} {verb}{more}\n"));
        assert_eq!(told(&[verb]), format!("{verb}\n"));
    }
    // What they would do: these build.
    for verb in ["run", "smoke"] {
        let does = |more: &[&str]| make(&root(), &[&["--dry-run", verb], more].concat());
        assert!(does(&["APP=examples/hello"]).contains(" --application"), "{verb}");
        assert!(!does(&["BOARD=nodemcu"]).contains(" --application"), "{verb}");
    }
}

#[test]
fn what_was_built_is_removed_and_releases_stay() {
    let copy = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("bsp"), copy.path().join("bsp")).unwrap();
    let target = copy.path().join("target");
    make(copy.path(), &["clean"]);
    for folder in ["debug/deps", "thing", "releases"] {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    for file in ["releases/nodemcu-1.0.0.release", ".rustc_info.json", "setup.stamp"] {
        fs::write(target.join(file), "").unwrap();
    }
    make(copy.path(), &["clean"]);
    let left: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [target.join("releases")]);
    assert!(target.join("releases/nodemcu-1.0.0.release").is_file());
}
