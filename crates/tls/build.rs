//! Turns the public roots of `certs/` into DER, which needs no parser of text on the device.

use std::path::Path;
use std::{env, fs};

/// Amazon's roots that AWS IoT endpoints chain to: RSA 2048 and P-256.
const ROOTS: [&str; 2] = ["amazon-root-ca-1", "amazon-root-ca-3"];

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for root in ROOTS {
        let source = format!("../../certs/{root}.pem");
        println!("cargo::rerun-if-changed={source}");
        let text = fs::read(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let document = pem::parse(text).unwrap_or_else(|error| panic!("{source}: {error}"));
        fs::write(Path::new(&out).join(format!("{root}.der")), document.contents())
            .expect("OUT_DIR is writable");
    }
}
