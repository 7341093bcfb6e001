//! Boards as programs see them: their images and flash, their serial ports and consoles, the
//! statuses they send, and the boards that run on this machine.
//!
//! A virtual board or QEMU's, started with an identity region:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use board::machine::{Firmware, VirtualNetwork};
//!
//! # fn start(firmware: &Firmware, region: &[u8]) -> anyhow::Result<()> {
//! let network = VirtualNetwork::usual();
//! let machine = firmware.start(region, Path::new("target/thing"), true, &network)?;
//! println!("{}", machine.console.tail(10));
//! # Ok(())
//! # }
//! ```

pub mod boards;
pub mod console;
pub mod esptool;
pub mod flash;
pub mod image;
pub mod machine;
pub mod monitor;
pub mod port;
pub mod qemu;
mod repeats;
pub mod serial;
pub mod status;
pub mod virtual_board;
