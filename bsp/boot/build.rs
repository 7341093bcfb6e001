//! Names the linker script.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-arg-bins=-T{folder}/boot.ld");
    println!("cargo::rerun-if-changed=boot.ld");
    println!("cargo::rerun-if-changed=build.rs");
}
