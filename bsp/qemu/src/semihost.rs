//! The host's services under QEMU's `-semihosting`: for test firmware.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int};

unsafe extern "C" {
    fn semihost_exit(status: c_int) -> !;
    fn semihost_argc() -> c_int;
    fn semihost_argument(index: c_int, buffer: *mut c_char, size: usize) -> c_int;
}

/// Longest argument that is read, in bytes.
const ARGUMENT: usize = 128;

/// Ends QEMU with this exit status.
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the machine.
    unsafe { semihost_exit(status) }
}

/// The command line given with `-semihosting-config arg=…`; what is longer than 128 bytes is
/// cut.
pub fn arguments() -> Vec<String> {
    // SAFETY: asks the host for a number.
    let count = unsafe { semihost_argc() };
    (0..count)
        .filter_map(|index| {
            let mut buffer = [0u8; ARGUMENT];
            // SAFETY: the host writes at most `ARGUMENT` bytes, the last one a NUL.
            let length = unsafe { semihost_argument(index, buffer.as_mut_ptr().cast(), ARGUMENT) };
            let length = usize::try_from(length).ok()?.min(ARGUMENT - 1);
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
        .collect()
}
