//! Empty, and never compiled: its manifest is what counts.
//!
//! Cargo gives a dependency the features that the selected packages want together. Built one by one,
//! the host programs would each have third-party crates of their own, and the virtual NodeMCU, the
//! dearest of all, would be compiled six times in `make test`. Where this package is selected too, as
//! the Makefile's `host` does, all builds want the same.

fn main() {}
