//! Compiles the board's drivers and names its linker script.

use std::env;
use std::path::PathBuf;

/// The board's C and assembly, lowest first.
const SOURCES: &[&str] = &["c/start.S", "c/board.c", "c/semihost.c", "c/open_eth.c"];

fn main() {
    // Told by the root build script, so that every C file is compiled alike.
    let told = |name: &str| env::var(format!("DEP_ESP8266_{name}")).expect("esp8266-sys tells it");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let gcc = told("GCC");

    let mut build = cc::Build::new();
    build.compiler(&gcc).archiver(gcc.replace("gcc", "ar")).ranlib(gcc.replace("gcc", "ranlib"));
    build.no_default_flags(true).inherit_rustflags(false).cargo_metadata(false);
    build.flags(told("FLAGS").split(' ')).flags(["-Os", "-Wall", "-Wextra", "-Werror"]);
    build.includes(told("INCLUDES").split(':')).include("c").files(SOURCES);
    build.compile("board");

    println!("cargo::rustc-link-search=native={}", env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-lib=static:-bundle=board");
    let script = here.join("link/qemu.ld");
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    // For the build scripts of other firmware on this board.
    println!("cargo::metadata=LINK_SCRIPT={}", script.display());
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rerun-if-changed=build.rs");
}
