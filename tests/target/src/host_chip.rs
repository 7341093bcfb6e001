//! How a test on the chip learns its name and tells its result: by flash and console.

use alloc::string::String;

use chip as _;

unsafe extern "C" {
    safe fn test_exit(status: i32) -> !;
    // The region that holds the identity of a firmware, here the name of the test, ended by a
    // byte that is no letter of one.
    safe static _identity_start: [u8; 64];
}

/// Prints the result and does no more.
pub fn exit(status: i32) -> ! {
    test_exit(status)
}

/// The name of the test.
pub fn argument() -> String {
    let name = _identity_start.iter().take_while(|byte| byte.is_ascii_graphic());
    name.map(|byte| char::from(*byte)).collect()
}

/// What the CPU raises where nothing is.
pub const NO_LOAD: &str = "LoadProhibited (28)";
/// See [`NO_LOAD`].
pub const NO_STORE: &str = "StoreProhibited (29)";
