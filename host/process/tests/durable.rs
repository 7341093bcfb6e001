//! A file that is replaced is the old one or the whole new one, whenever the power fails: what
//! [`process::files::write`] asks of the system, and in which order. No test can cut the power of the
//! machine that it runs on; this one looks at what a journaling file system needs to be told.

use std::path::Path;
use std::process::Command;

use process::files;

/// What [`write_for_the_recorder`] is told to write.
const WRITE: &str = "DURABLE_WRITE";

#[test]
fn a_file_is_on_the_disk_before_its_name_and_its_name_before_all_goes_on() {
    let folder = process::scratch::folder().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let recorder = folder.join("recorder.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorder.c");
    let compiled = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
        .args([&recorder, &source])
        .status()
        .unwrap();
    assert!(compiled.success());

    let (file, record) = (folder.join("key.pem"), folder.join("record"));
    files::write(&file, b"old", files::SECRET).unwrap();
    let program = std::env::current_exe().unwrap();
    let written = Command::new(program)
        .args(["--ignored", "--exact", "write_for_the_recorder"])
        .env("LD_PRELOAD", &recorder)
        .env("RECORD", &record)
        .env(WRITE, &file)
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
    let wanted = format!(
        "fsync {fresh}\nrename to {file}\nfsync {folder}\n",
        fresh = file.with_extension("new").display(),
        file = file.display(),
        folder = folder.display(),
    );
    assert_eq!(std::fs::read_to_string(&record).unwrap(), wanted);
}

#[test]
#[ignore = "the test above runs it"]
fn write_for_the_recorder() {
    let file = std::env::var_os(WRITE).expect("the test above says what is written");
    files::write(Path::new(&file), b"new", files::SECRET).unwrap();
}
