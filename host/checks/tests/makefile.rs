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
    make_with(folder, &[], arguments)
}

/// The same in a shell with these variables.
fn make_with(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut make = Command::new("make");
    make.current_dir(folder).args(arguments);
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MADE", "BOARD", "THING"]
    {
        make.env_remove(variable);
    }
    make.envs(variables.iter().copied());
    let output = make.output().unwrap();
    let text = String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// What the host program was told for a verb, a line for each call.
fn told(arguments: &[&str]) -> String {
    told_in(&root(), arguments)
}

fn told_in(folder: &Path, arguments: &[&str]) -> String {
    told_with(folder, &[], arguments)
}

fn told_with(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let notes = tempfile::tempdir().unwrap();
    let (program, words) = (notes.path().join("thing"), notes.path().join("words"));
    let text = format!("#!/bin/sh\necho \"$*\" >>'{}'\n", words.display());
    files::write_program(&program, &text).unwrap();
    let program = format!("THING_PROGRAM={}", program.display());
    // Nothing is built: the programs are there.
    let arguments = [&["MADE=programs", "CARGO=false", &program], arguments].concat();
    make_with(folder, variables, &arguments);
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
    let words = told(&["update", "THING=lamp", "RELEASE=a.release", "RADIO=1"]);
    assert!(words.ends_with(" --release a.release\n"), "{words}");
}

/// An identity has a private key in it.
#[test]
fn a_signer_sees_a_key_only_when_a_person_says_so() {
    let told = |more: &[&str]| {
        told(&[&["update-identity", "THING=lamp", "SIGNER=hsm 'a key'"], more].concat())
    };
    assert!(told(&[]).ends_with(" --signer hsm 'a key'\n"));
    assert!(told(&["SIGNER_SEES_KEY=0"]).ends_with(" --signer hsm 'a key'\n"));
    let said = told(&["SIGNER_SEES_KEY=1"]);
    assert!(said.ends_with(" --signer hsm 'a key' --signer-sees-key\n"), "{said}");
}

/// Two that were said are both handed on, and refused there. What the shell sets by itself is none.
#[test]
fn which_things_are_meant_is_said_behind_make() {
    let in_shell = |variables: &[(&str, &str)], arguments: &[&str]| {
        let words = told_with(&root(), variables, arguments);
        let update = words.lines().last().unwrap();
        update.split_once(" --board").unwrap().0.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let shell = [("GROUP", "users"), ("FLEET", "list.csv")];
    for (variables, arguments, words) in [
        (&[][..], &["THING=a", "GROUP=g"][..], "update --named --group g"),
        (&[], &["GROUP=g", "FLEET=f"], "update --group g --fleet f"),
        (&[], &["THING=a", "FLEET=f"], "update --named --fleet f"),
        (&[], &["GROUP=g", "CLOUD=aws"], "update --group g --cloud aws"),
        (&[], &[], "update"),
        (&shell, &[], "update"),
        (&shell, &["THING=a"], "update --named"),
        (&[("THING", "a")], &[], "update --named"),
        (&[("THING", "a")], &["GROUP=g"], "update --group g"),
    ] {
        assert_eq!(in_shell(variables, &[&["update"], arguments].concat()), words);
    }
}

#[test]
fn a_firmware_without_the_radio_is_meant_only_if_somebody_says_so() {
    for (variables, arguments, words) in [
        (&[][..], &["ESP8266_SDK=/sdk"][..], None),
        (&[], &["RADIO=1"], None),
        (&[], &["ESP8266_SDK="], Some("missing")),
        (&[("RADIO", "0")], &["ESP8266_SDK=/sdk"], Some("missing")),
        (&[], &["ESP8266_SDK=/sdk", "RADIO=0"], Some("meant")),
    ] {
        let told = told_with(&root(), variables, &[&["update"], arguments].concat());
        assert_eq!(told.lines().count(), 2, "{told}");
        for call in told.lines() {
            let said = call.split_once(" --no-radio ").map(|(_, more)| more.split(' ').next());
            assert_eq!(said.flatten(), words, "{arguments:?}: {call}");
        }
    }
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
    let makefile = root().join("Makefile").display().to_string();
    let clean = ["--file", &makefile, "clean"];
    make(copy.path(), &clean);
    for folder in ["debug/deps", "thing", "releases"] {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    for file in ["releases/nodemcu-1.0.0.release", ".rustc_info.json", "setup.stamp"] {
        fs::write(target.join(file), "").unwrap();
    }
    make(copy.path(), &clean);
    let left: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [target.join("releases")]);
    assert!(target.join("releases/nodemcu-1.0.0.release").is_file());
}

/// The framework's Makefile does the work, in a folder of its own, where a list of the same name may lie.
#[test]
fn an_application_s_files_are_looked_for_in_its_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().canonicalize().unwrap().join("my-lamp");
    let mut new = Command::new(root().join("tools/new"));
    let done = new.arg(&folder).arg("nodemcu").output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let here = |file: &str| folder.join(file).display().to_string();
    for (arguments, file) in [
        (&["provision-fleet", "FILE=things.csv"][..], here("things.csv")),
        (&["update", "FLEET=lists/my things.csv"], here("lists/my things.csv")),
        (&["update", "THING=a", "RELEASE=../a.release"], here("../a.release")),
        (&["update", "THING=a", "RELEASE=/a/b.release"], "/a/b.release".to_owned()),
    ] {
        let words = told_in(&folder, arguments);
        assert!(words.contains(&format!(" {file}")), "{file}: {words}");
    }
    // One of the shell's is not said by being handed on.
    let words = told_with(&folder, &[("FLEET", "things.csv")], &["update", "THING=a"]);
    assert!(!words.contains("--fleet"), "{words}");
    // Where releases lie is said so that it can be said back.
    let words = told_in(&folder, &["update", "THING=a", "VERSION=1.0.0"]);
    let releases = root().join("target/releases").display().to_string();
    assert!(words.contains(&format!(" --releases {releases} ")), "{words}");
    let does = |arguments: &[&str]| make(&folder, &[&["--dry-run"], arguments].concat());
    assert!(does(&["release"]).contains(&format!(" --to '{releases}'")));
    assert!(does(&["run", "PCAP=air.pcap", "RADIO=1"]).contains(&here("air.pcap")));
    let port = "ESPPORT=rfc2217://127.0.0.1:9";
    assert!(does(&["flash", port, "IDENTITY=id.bin"]).contains(&here("id.bin")));
}
