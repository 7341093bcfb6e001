//! The crate without the rest of its repository, and its example for Python. `make crate-test`
//! runs these: they build it once more, and need pytest.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "board/program.rs"]
mod program;

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn good(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// With the network and without. The repository's lock file goes with it, so that no other versions
/// are fetched.
#[test]
#[ignore = "builds the crate again: make crate-test"]
fn a_copy_of_the_folder_builds_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("virtual-nodemcu");
    copy(&here(), &alone);
    std::fs::copy(here().join("../../Cargo.lock"), alone.join("Cargo.lock")).unwrap();
    // Kept between runs: what was compiled need not be again.
    let target = here().join("../../target/alone");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for features in [&["--no-default-features"][..], &[]] {
        good(
            Command::new(&cargo)
                .current_dir(&alone)
                .args(["check", "--offline", "--quiet"])
                .args(features)
                .env("CARGO_TARGET_DIR", &target)
                .env_remove("CARGO_MANIFEST_DIR"),
        );
    }
}

/// As README says, where cargo also finds the configuration of the repository, which is for the
/// chip. What is installed is only looked at, not built to be quick.
#[test]
#[ignore = "builds the crate again: make crate-test"]
fn it_is_installed_from_within_the_repository() {
    let root = tempfile::tempdir().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    good(
        Command::new(&cargo)
            .current_dir(here().join("../.."))
            .args(["install", "--path", "host/virtual-nodemcu", "--locked", "--offline", "--quiet"])
            .args(["--debug", "--no-default-features"])
            .args(["--config", "profile.dev.package.virtual-nodemcu.opt-level = 0", "--root"])
            .arg(root.path())
            .env("CARGO_TARGET_DIR", here().join("../../target/alone"))
            .env_remove("CARGO_MANIFEST_DIR"),
    );
    let told = Command::new(root.path().join("bin/virtual-nodemcu")).arg("--version").output();
    let told = String::from_utf8(told.unwrap().stdout).unwrap();
    assert_eq!(told.trim(), concat!("virtual-nodemcu ", env!("CARGO_PKG_VERSION")));
}

/// The files of `python/`, as somebody uses them who tests a firmware.
#[test]
#[ignore = "needs pytest: make crate-test"]
fn pytest_drives_a_board() {
    let folder = tempfile::tempdir().unwrap();
    let flash = program::flash(folder.path(), "firmware.bin", "echo");
    good(
        Command::new("/usr/bin/python3")
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
            .arg(here().join("python"))
            .env("FIRMWARE", flash)
            .env("VIRTUAL_NODEMCU", env!("CARGO_BIN_EXE_virtual-nodemcu"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    );
}
