//! Where stock esptool is.

use std::path::PathBuf;

/// The program, as `make` sets it up, or the one that ESPTOOL names.
pub fn program() -> PathBuf {
    let path = std::env::var_os("ESPTOOL").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/esptool/bin/esptool"),
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} is missing: `make virtual-test` sets it up, or name one in ESPTOOL",
        path.display()
    );
    path
}
