//! How a test on QEMU learns its name and tells its result: semihosting.

use alloc::string::String;

use board_qemu::semihost;
pub use semihost::exit;

/// The name of the test.
pub fn argument() -> String {
    semihost::arguments().into_iter().next().unwrap_or_default()
}

/// What the CPU raises where nothing is: for loads and stores alike.
pub const NO_LOAD: &str = "LoadStorePIFAddrError (15)";
/// See [`NO_LOAD`].
pub const NO_STORE: &str = NO_LOAD;
