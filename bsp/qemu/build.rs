//! Compiles the board's drivers and names its linker script.

use std::env;
use std::path::PathBuf;

include!("../own_c.rs");

/// The board's C and assembly, lowest first.
const SOURCES: &[&str] = &["c/start.S", "c/board.c", "c/semihost.c", "c/open_eth.c"];

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    board_facts::build::qemu_board();
    link_own_c(own_c().includes(["c", &out]).files(SOURCES), "board");

    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let script = here.join("link/qemu.ld");
    board_facts::build::link_by(script.to_str().expect("the folder's name is UTF-8"));
    // For the build scripts of other firmware on this board.
    println!("cargo::metadata=LINK_SCRIPT={}", script.display());
    println!("cargo::metadata=INCLUDE={}", here.join("c").display());
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../own_c.rs");
}
