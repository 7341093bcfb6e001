//! What a build is held to: sizes, the IRAM proof, figures and instruction counts, tests on the
//! target, no secret under version control, and which crate may depend on which.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let elf = std::path::Path::new("target/xtensa-esp8266-none-elf/release/firmware-nodemcu");
//! checks::iram::check(elf)?;
//! # Ok(())
//! # }
//! ```

pub mod audit;
pub mod bench;
pub mod budget;
pub mod figures;
pub mod floors;
pub mod iram;
pub mod secrets;
pub mod size;
pub mod target_test;
