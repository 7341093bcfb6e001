//! The inner loop: `lx106` in assembly on the chip, `portable` anywhere else.
//!
//! Columns of a product are words; limbs are halfwords, signed, of 14 bits and a little more. The
//! sizes that `number.rs` keeps to:
//!
//! - Of the limbs of a stream, and of the five digits that multiply it, one is below 2^13 in size
//!   and the other not above 2^14.03. So a call adds at most 5 * 2^27.03 to a column.
//! - A column that a call has passed lies in 0..2^14.
//!
//! `portable` computes with overflow checks in tests, which therefore show both.
#![allow(unsafe_code)]

/// Digits of a call.
pub const DIGITS: usize = 5;
/// Bits of a limb.
pub const BITS: u32 = 14;

#[cfg(target_arch = "xtensa")]
pub use lx106::add_products;
#[cfg(not(target_arch = "xtensa"))]
pub use portable::add_products;

/// `bsp/lx106/c/rsa.S`.
#[cfg(target_arch = "xtensa")]
mod lx106 {
    use super::DIGITS;

    mod raw {
        unsafe extern "C" {
            /// Changes `count` + 5 columns, reads `count` limbs and 5 digits. `count` is a positive
            /// multiple of 5.
            pub fn rsa_add_products(
                columns: *mut i32,
                stream: *const i16,
                count: usize,
                digits: *const i16,
            );
        }
    }

    /// See the twin.
    #[inline(always)]
    pub fn add_products(columns: &mut [i32], stream: &[i16], digits: &[i16; DIGITS]) {
        assert!(
            columns.len() >= stream.len() + DIGITS
                && stream.len().is_multiple_of(DIGITS)
                && !stream.is_empty()
        );
        // SAFETY: as many columns, limbs and digits as it says.
        unsafe {
            raw::rsa_add_products(
                columns.as_mut_ptr(),
                stream.as_ptr(),
                stream.len(),
                digits.as_ptr(),
            );
        }
    }
}

/// The same in Rust.
#[cfg(not(target_arch = "xtensa"))]
mod portable {
    use super::{BITS, DIGITS};

    /// Adds the product of `stream` and `digits` to the columns, and carries: of each column that
    /// the product reaches 14 bits stay, the rest goes to the next. The stream has a positive
    /// multiple of 5 limbs, and the columns are 5 more.
    pub fn add_products(columns: &mut [i32], stream: &[i16], digits: &[i16; DIGITS]) {
        assert!(
            columns.len() >= stream.len() + DIGITS
                && stream.len().is_multiple_of(DIGITS)
                && !stream.is_empty()
        );
        for (k, &limb) in stream.iter().enumerate() {
            for (column, &digit) in columns[k..].iter_mut().zip(digits) {
                *column += i32::from(limb) * i32::from(digit);
            }
            carry(columns, k);
        }
        for k in stream.len()..stream.len() + DIGITS - 1 {
            carry(columns, k);
        }
    }

    fn carry(columns: &mut [i32], k: usize) {
        columns[k + 1] += columns[k] >> BITS;
        columns[k] &= (1 << BITS) - 1;
    }
}
