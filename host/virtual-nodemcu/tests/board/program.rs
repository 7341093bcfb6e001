//! Programs for the virtual board: compiled for the LX106, made into images by esptool.

// Each test program uses its own part.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use virtual_nodemcu::harness::{Builder, VirtualBoard};

#[path = "esptool.rs"]
mod esptool;

/// Compiles the program for `test`.
pub fn compile(test: &str, elf: &Path) {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/board");
    let status = Command::new("xtensa-lx106-elf-gcc")
        .args(["-Os", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib"])
        .args(["-mlongcalls", "-mtext-section-literals", "-Wl,--no-warn-rwx-segments"])
        .arg(format!("-DTEST_{test}"))
        .arg("-T")
        .arg(source.join("program.ld"))
        .arg(source.join("program.c"))
        .arg("-o")
        .arg(elf)
        .status()
        .expect("xtensa-lx106-elf-gcc (Debian: gcc-xtensa-lx106)");
    assert!(status.success());
}

/// Flash files of a program, by offset.
pub fn files(elf: &Path) -> Vec<(usize, Vec<u8>)> {
    let prefix = elf.with_extension("image-");
    let output = Command::new(esptool::program())
        .args(["--chip", "esp8266", "elf2image", "-o"])
        .arg(&prefix)
        .arg(elf)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    [0, 0x10000]
        .into_iter()
        .filter_map(|offset| {
            let file = format!("{}{offset:#07x}.bin", prefix.display());
            Some((offset, std::fs::read(file).ok()?))
        })
        .collect()
}

/// Compiles the program for `test`; its flash files by offset.
pub fn images(test: &str) -> Vec<(usize, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let elf = folder.path().join("program.elf");
    compile(test, &elf);
    files(&elf)
}

/// A board with the program for `test`, whose time passes as fast as the host can.
pub fn board(test: &str) -> Builder {
    let unpaced = VirtualBoard::builder().unpaced();
    images(test).iter().fold(unpaced, |builder, (offset, image)| builder.image(*offset, image))
}

/// A flash file with the program for `test`; its path.
pub fn flash(folder: &Path, name: &str, test: &str) -> PathBuf {
    let mut contents = vec![0xFF; 4 << 20];
    for (offset, image) in images(test) {
        contents[offset..offset + image.len()].copy_from_slice(&image);
    }
    let path = folder.join(name);
    std::fs::write(&path, contents).unwrap();
    path
}
