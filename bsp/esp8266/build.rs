//! Compiles the chip's C and tells the boards its linker script.

use std::env;
use std::path::PathBuf;

/// The chip's C and assembly, lowest first.
const SOURCES: &[&str] = &[
    "c/start.S",
    "c/chip.c",
    "c/flash.c",
    "c/health.c",
    "c/random.c",
    "c/watchdog.c",
    "c/net_port.c",
];

fn main() {
    // Told by the root build script, so that every C file is compiled alike.
    let told = |name: &str| env::var(format!("DEP_ESP8266_{name}")).expect("vendor-sys tells it");
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let gcc = told("GCC");
    let fast = env::var_os("CARGO_FEATURE_CPU_160MHZ").is_some();

    let mut build = cc::Build::new();
    build.compiler(&gcc).archiver(gcc.replace("gcc", "ar")).ranlib(gcc.replace("gcc", "ranlib"));
    build.no_default_flags(true).inherit_rustflags(false).cargo_metadata(false);
    build.flags(told("FLAGS").split(' ')).flags(["-Os", "-Wall", "-Wextra", "-Werror"]);
    build.define("CHIP_CPU_MHZ", if fast { "160" } else { "80" });
    build.includes(told("INCLUDES").split(':')).include("include").include("c").files(SOURCES);
    build.compile("chip");

    println!("cargo::rustc-link-search=native={}", env::var("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rustc-link-lib=static:-bundle=chip");
    println!("cargo::metadata=LINK_SCRIPT={}", here.join("link/esp8266.ld").display());
    // For test firmware, which looks inside.
    println!("cargo::metadata=INCLUDE={}", here.join("include").display());
    println!("cargo::metadata=SOURCES={}", here.join("c").display());
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=include");
    println!("cargo::rerun-if-changed=link");
    println!("cargo::rerun-if-changed=build.rs");
}
