//! The operating system as this project's programs use it: other programs found, started and
//! stopped, scratch folders, files, standard output, Ctrl-C.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! let shell = process::programs::find("sh", "dash")?;
//! let said = process::programs::output(&shell, ["-c", "echo here"])?;
//! assert_eq!(said, b"here\n");
//! # Ok(())
//! # }
//! ```

pub mod files;
pub mod interrupt;
pub mod output;
pub mod programs;
pub mod python;
pub mod scratch;
pub mod wait;
