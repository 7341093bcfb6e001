//! The inner loops, on bare limbs: `lx106` in assembly on the chip, `portable` anywhere else.
//!
//! A number modulo p is 19 signed limbs of 14 bits, two to a word, the lower in the lower half;
//! the upper half of the last word is 0. Sizes:
//!
//! - Limbs 0 to 17 lie in -2^13..2^13, so that a column of a product, at most 19 of 2^26 each,
//!   and the multiples of p that reduction adds, at most 2^26 + 2^24 + 2^18, and a carry of 2^18
//!   stay below 2^31.
//! - Limb 18 takes what is left: a number x has one of about x / 2^252. The formulas of the curve
//!   combine at most a dozen products, each below 2p, so it stays below 2^10.
//!
//! `portable` computes with overflow checks in tests, which therefore show both.
#![allow(unsafe_code)]

/// A number modulo p, packed.
pub type Limbs = [u32; 10];

/// Limbs that count.
pub const COUNT: usize = 19;

#[cfg(target_arch = "xtensa")]
pub use lx106::*;
#[cfg(not(target_arch = "xtensa"))]
pub use portable::*;

/// `bsp/lx106/c/p256.S`.
#[cfg(target_arch = "xtensa")]
mod lx106 {
    use super::Limbs;

    mod raw {
        use super::Limbs;

        // Each reads two numbers (p256_square: one) and writes one, which may be one of them.
        unsafe extern "C" {
            pub fn p256_multiply(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
            pub fn p256_square(out: *mut Limbs, a: *const Limbs);
            pub fn p256_add(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
            pub fn p256_subtract(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
            pub fn p256_subtract_twice(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
            pub fn p256_twice_subtract(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
            pub fn p256_three_times_sum(out: *mut Limbs, a: *const Limbs, b: *const Limbs);
        }
    }

    macro_rules! kernels {
        ($($name:ident => $raw:ident,)*) => {$(
            #[inline(always)]
            pub fn $name(out: &mut Limbs, a: &Limbs, b: &Limbs) {
                // SAFETY: three valid pointers; the kernel touches nothing else.
                unsafe { raw::$raw(out, a, b) }
            }
        )*};
    }

    kernels! {
        multiply => p256_multiply,
        add => p256_add,
        subtract => p256_subtract,
        subtract_twice => p256_subtract_twice,
        twice_subtract => p256_twice_subtract,
        three_times_sum => p256_three_times_sum,
    }

    #[inline(always)]
    pub fn square(out: &mut Limbs, a: &Limbs) {
        // SAFETY: as above.
        unsafe { raw::p256_square(out, a) }
    }

    #[inline(always)]
    pub fn multiply_by(number: &mut Limbs, factor: &Limbs) {
        let number: *mut Limbs = number;
        // SAFETY: as above; the kernel allows that the output is an operand.
        unsafe { raw::p256_multiply(number, number, factor) }
    }

    #[inline(always)]
    pub fn square_in_place(number: &mut Limbs) {
        let number: *mut Limbs = number;
        // SAFETY: as above.
        unsafe { raw::p256_square(number, number) }
    }
}

/// The same in Rust.
#[cfg(not(target_arch = "xtensa"))]
mod portable {
    use super::{COUNT, Limbs};

    /// What a limb holds.
    const MASK: i32 = 0x3FFF;
    const HALF: i32 = 0x2000;

    fn unpack(packed: &Limbs) -> [i32; COUNT] {
        core::array::from_fn(|i| i32::from((packed[i / 2] >> (i % 2 * 16)) as i16))
    }

    fn pack(limbs: [i32; COUNT]) -> Limbs {
        let half = |i: usize| {
            let limb = limbs.get(i).copied().unwrap_or(0);
            u32::from(i16::try_from(limb).expect("the sizes in this module's documentation") as u16)
        };
        core::array::from_fn(|word| half(2 * word) | half(2 * word + 1) << 16)
    }

    /// out = columns / 2^266 modulo p, by Montgomery's method, a limb at a time.
    ///
    /// -1/p is 1 modulo 2^14, so what clears a limb is the limb itself, times p, and p has four
    /// terms besides the -1: 2^96, 2^192, -2^224, 2^256.
    fn reduce(columns: [i32; 2 * COUNT - 1]) -> Limbs {
        let mut multiples = [0; COUNT];
        let mut out = [0; COUNT];
        let mut carry = 0;
        for (j, column) in columns.into_iter().enumerate() {
            let multiple = |distance: usize| {
                j.checked_sub(distance).and_then(|i| multiples.get(i)).copied().unwrap_or(0)
            };
            let sum =
                column + carry + (multiple(6) << 12) + (multiple(13) << 10) + (multiple(18) << 4)
                    - multiple(16);
            if j < COUNT {
                carry = sum >> 14;
                multiples[j] = sum & MASK;
            } else {
                carry = (sum + HALF) >> 14;
                out[j - COUNT] = ((sum + HALF) & MASK) - HALF;
            }
        }
        out[COUNT - 1] = carry;
        pack(out)
    }

    pub fn multiply(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        let (a, b) = (unpack(a), unpack(b));
        let mut columns = [0; 2 * COUNT - 1];
        for i in 0..COUNT {
            for j in 0..COUNT {
                columns[i + j] += a[i] * b[j];
            }
        }
        *out = reduce(columns);
    }

    pub fn square(out: &mut Limbs, a: &Limbs) {
        multiply(out, a, a);
    }

    pub fn multiply_by(number: &mut Limbs, factor: &Limbs) {
        let copy = *number;
        multiply(number, &copy, factor);
    }

    pub fn square_in_place(number: &mut Limbs) {
        let copy = *number;
        square(number, &copy);
    }

    /// Limb by limb, carried.
    fn linear(out: &mut Limbs, a: &Limbs, b: &Limbs, combine: impl Fn(i32, i32) -> i32) {
        let (a, b) = (unpack(a), unpack(b));
        let mut carry = 0;
        *out = pack(core::array::from_fn(|i| {
            let sum = combine(a[i], b[i]) + carry;
            if i == COUNT - 1 {
                return sum;
            }
            carry = (sum + HALF) >> 14;
            ((sum + HALF) & MASK) - HALF
        }));
    }

    pub fn add(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        linear(out, a, b, |a, b| a + b);
    }

    pub fn subtract(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        linear(out, a, b, |a, b| a - b);
    }

    pub fn subtract_twice(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        linear(out, a, b, |a, b| a - 2 * b);
    }

    pub fn twice_subtract(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        linear(out, a, b, |a, b| 2 * a - b);
    }

    pub fn three_times_sum(out: &mut Limbs, a: &Limbs, b: &Limbs) {
        linear(out, a, b, |a, b| 3 * (a + b));
    }
}
