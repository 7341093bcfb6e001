//! Numbers modulo p, in Montgomery's form: x is kept as x * 2^266.

use crate::kernel::{self, COUNT, Limbs};
use crate::num::{Num, P, mask};

/// A number modulo p. Its limbs stand for a number that need not be the least: see
/// [`kernel`] for what holds of them.
#[derive(Clone, Copy, Debug)]
pub struct Field(pub Limbs);

/// 2^532 modulo p.
const SQUARE_OF_RADIX: Field = Field([
    0x00C0_0000,
    0x0000_0000,
    0x0000_0000,
    0x0000_FFFF,
    0x0000_FFC0,
    0x0000_FF00,
    0x0000_0000,
    0xFFF8_0000,
    0x0140_0000,
    0x0000_0000,
]);
/// 1 without Montgomery's factor.
const RAW_ONE: Field = Field([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

impl Field {
    pub const ZERO: Self = Self([0; 10]);
    pub const ONE: Self = Self([
        0x0000_0400,
        0x0000_0000,
        0x0000_0000,
        0xFF00_0000,
        0x0000_0000,
        0x0000_0000,
        0x0000_0000,
        0x0000_FFC0,
        0x0000_0400,
        0x0000_0000,
    ]);
    /// The curve's b.
    pub const B: Self = Self([
        0x0BDE_FF70,
        0x1F62_0A71,
        0x090E_E273,
        0x0C9D_E10C,
        0xEACF_0017,
        0xF721_0BB6,
        0x1A22_02B0,
        0x0748_0D02,
        0x0062_F782,
        0x0000_000C,
    ]);

    /// The same number in RAM, if it is a constant: the kernels read halfwords, which the chip's
    /// flash does not give.
    pub fn in_ram(self) -> Self {
        core::hint::black_box(self)
    }

    pub fn from_num(num: &Num) -> Self {
        let mut out = Self::pack(num);
        out.multiply_by(&SQUARE_OF_RADIX.in_ram());
        out
    }

    /// Limbs of 0..2^14 made signed.
    fn pack(num: &Num) -> Self {
        let mut halves = [0; 2 * COUNT.div_ceil(2)];
        let mut carry = 0;
        for (half, &limb) in halves.iter_mut().zip(&num.0) {
            let sum = i32::from(limb) + carry;
            carry = (sum + 0x2000) >> 14;
            *half = ((sum - (carry << 14)) & 0xFFFF) as u32;
        }
        // The highest limb is small: nothing is carried out of it.
        Self(core::array::from_fn(|i| halves[2 * i] | halves[2 * i + 1] << 16))
    }

    /// The least number that it stands for.
    pub fn to_num(self) -> Num {
        let mut plain = self;
        plain.multiply_by(&RAW_ONE.in_ram());
        // In 0..=p now: x / 2^266 is less than 1, and the multiples of p added were less than 2^266.
        let mut carry = 0;
        let limbs = core::array::from_fn(|i| {
            let limb = i32::from((plain.0[i / 2] >> (i % 2 * 16)) as i16) + carry;
            carry = limb >> 14;
            (limb & 0x3FFF) as i16
        });
        Num(limbs).reduce(&P)
    }

    /// 1 / x; of 0 it is 0.
    pub fn inverse(&self) -> Self {
        Self::from_num(&P.invert(&self.to_num()))
    }

    #[inline(always)]
    pub fn set_product(&mut self, a: &Self, b: &Self) {
        kernel::multiply(&mut self.0, &a.0, &b.0);
    }
    #[inline(always)]
    pub fn set_square(&mut self, a: &Self) {
        kernel::square(&mut self.0, &a.0);
    }
    #[inline(always)]
    pub fn multiply_by(&mut self, factor: &Self) {
        kernel::multiply_by(&mut self.0, &factor.0);
    }
    #[inline(always)]
    pub fn square(&mut self) {
        kernel::square_in_place(&mut self.0);
    }
    /// a + b
    #[inline(always)]
    pub fn set_sum(&mut self, a: &Self, b: &Self) {
        kernel::add(&mut self.0, &a.0, &b.0);
    }
    /// a - b
    #[inline(always)]
    pub fn set_difference(&mut self, a: &Self, b: &Self) {
        kernel::subtract(&mut self.0, &a.0, &b.0);
    }
    /// a - 2b
    #[inline(always)]
    pub fn set_less_twice(&mut self, a: &Self, b: &Self) {
        kernel::subtract_twice(&mut self.0, &a.0, &b.0);
    }
    /// 2a - b
    #[inline(always)]
    pub fn set_twice_less(&mut self, a: &Self, b: &Self) {
        kernel::twice_subtract(&mut self.0, &a.0, &b.0);
    }
    /// 3(a + b)
    #[inline(always)]
    pub fn set_three_times_sum(&mut self, a: &Self, b: &Self) {
        kernel::three_times_sum(&mut self.0, &a.0, &b.0);
    }

    /// -x
    pub fn negative(&self) -> Self {
        let mut out = Self::ZERO;
        out.set_difference(&Self::ZERO.in_ram(), self);
        out
    }

    /// `self` when `condition` is 0, `other` when it is 1, in constant time.
    pub fn assign_if(&mut self, other: &Self, condition: i32) {
        let mask = mask(condition) as u32;
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word ^= (*word ^ other) & mask;
        }
    }

    /// Whether it is 0 modulo p.
    pub fn is_zero(&self) -> bool {
        self.to_num().is_zero() == 1
    }
}
