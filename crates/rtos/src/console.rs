//! The board's console.

use vendor_sys as sys;

/// Writes text as it is, at once.
pub fn write(text: &str) {
    // SAFETY: the board reads `len` bytes from the pointer and keeps nothing.
    unsafe { sys::fw_console_write(text.as_ptr().cast(), text.len() as _) };
}
