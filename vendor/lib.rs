//! Empty: this package exists for its manifest and lock file. See `Cargo.toml`.
