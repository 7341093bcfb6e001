//! The SPI flash by offset, beyond what the cache's window shows.
//!
//! Nothing else runs while the flash works: 4 KB are read or written at once, and erasing a
//! sector may take 400 ms. Buffers are words, because the flash knows nothing smaller.

use core::ffi::{c_int, c_void};
use core::fmt;

/// Bytes that are erased at once.
pub const SECTOR: u32 = 4096;

/// The arguments lie outside the flash or are not aligned, the buffer is not in RAM, or the
/// flash reports an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the flash refused: an address outside of it, or a fault of the chip")
    }
}

impl core::error::Error for Error {}

fn checked(code: c_int) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(Error) }
}

/// Fills `words` from `offset`, a multiple of 4.
///
/// # Errors
/// [`Error`].
pub fn read(offset: u32, words: &mut [u32]) -> Result<(), Error> {
    // SAFETY: writes exactly the slice; everything else is checked there.
    checked(unsafe { chip_flash_read(offset, words.as_mut_ptr().cast(), size_of_val(words)) })
}

/// Writes `words` at `offset`, a multiple of 4. A write only turns ones into zeros: erase first.
///
/// # Errors
/// [`Error`].
///
/// # Safety
/// The firmware runs from this flash: the range must hold neither code nor constants of it, nor
/// anything that is borrowed, such as the identity region.
pub unsafe fn write(offset: u32, words: &[u32]) -> Result<(), Error> {
    // SAFETY: reads exactly the slice; the rest is the caller's contract.
    checked(unsafe { chip_flash_write(offset, words.as_ptr().cast(), size_of_val(words)) })
}

/// Erases the sector at `offset`, a multiple of [`SECTOR`]: every bit becomes one.
///
/// # Errors
/// [`Error`].
///
/// # Safety
/// As for [`write()`].
pub unsafe fn erase_sector(offset: u32) -> Result<(), Error> {
    // SAFETY: the caller's contract.
    checked(unsafe { chip_flash_erase_sector(offset) })
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_flash_read(offset: u32, to: *mut c_void, length: usize) -> c_int;
    fn chip_flash_write(offset: u32, from: *const c_void, length: usize) -> c_int;
    fn chip_flash_erase_sector(offset: u32) -> c_int;
}
