//! Names the chip's linker script.

fn main() {
    let script = std::env::var("DEP_CHIP_LINK_SCRIPT").expect("esp8266-chip tells it");
    println!("cargo::rustc-link-arg-bins=-T{script}");
    println!("cargo::rerun-if-changed=build.rs");
}
