//! Numbers below 2^266 as 19 limbs of 14 bits, modulo p or n, in constant time. What is rare is
//! here, in plain Rust; the field's product and square, on which all time is spent, are kernels.

use crate::kernel::COUNT;

/// Bits of a limb.
const BITS: u32 = 14;
const MASK: i32 = (1 << BITS) - 1;

/// A number: limbs from the lowest, each in 0..2^14. While something is computed, the highest
/// carries the sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(align(4))] // copied by words: a constant in the chip's flash can be copied no other way
pub struct Num(pub [i16; COUNT]);

/// An odd modulus between 2^255 and 2^256.
pub struct Modulus {
    value: Num,
    /// The inverse of `value` modulo 2^14.
    inverse: i32,
}

/// p, the field's prime.
pub const P: Modulus = Modulus {
    value: Num([
        0x3FFF, 0x3FFF, 0x3FFF, 0x3FFF, 0x3FFF, 0x3FFF, 0x0FFF, 0, 0, 0, 0, 0, 0, 0x0400, 0, 0,
        0x3FFF, 0x3FFF, 0x000F,
    ]),
    inverse: 0x3FFF,
};

/// n, the number of points.
pub const N: Modulus = Modulus {
    value: Num([
        0x2551, 0x318C, 0x2C2F, 0x2E72, 0x04F3, 0x1E7A, 0x1A71, 0x3EAB, 0x3CE6, 0x3FFE, 0x3FFF,
        0x3FFF, 0x3FFF, 0x03FF, 0, 0, 0x3FFF, 0x3FFF, 0x000F,
    ]),
    inverse: 0x03B1,
};

/// 2^532 modulo n.
const SQUARE_OF_RADIX: Num = Num([
    0x124E, 0x04E2, 0x323B, 0x267C, 0x1710, 0x10D7, 0x35D8, 0x1CD1, 0x31BE, 0x241C, 0x1961, 0x2FB1,
    0x12B6, 0x248E, 0x0164, 0x187F, 0x2BA7, 0x2556, 0x000D,
]);

/// All ones when `condition` is 1, 0 when it is 0. The compiler may not see that there are only
/// two cases, or it might make a branch of what depends on it.
#[inline(always)]
pub fn mask(condition: i32) -> i32 {
    -core::hint::black_box(condition)
}

impl Num {
    pub const ZERO: Self = Self([0; COUNT]);

    /// From 32 bytes, the highest first.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut out = Self::ZERO;
        let (mut held, mut bits, mut next) = (0, 0, 0);
        for &byte in bytes.iter().rev() {
            held |= i32::from(byte) << bits;
            bits += 8;
            if bits >= BITS {
                out.0[next] = (held & MASK) as i16;
                next += 1;
                held >>= BITS;
                bits -= BITS;
            }
        }
        out.0[next] = held as i16;
        out
    }

    /// The lowest 256 bits as 32 bytes, the highest first.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        let (mut held, mut bits, mut next) = (0, 0, 0);
        for byte in out.iter_mut().rev() {
            if bits < 8 {
                held |= i32::from(self.0[next]) << bits;
                next += 1;
                bits += BITS;
            }
            *byte = held as u8;
            held >>= 8;
            bits -= 8;
        }
        out
    }

    /// Bit `index`, below 266.
    pub fn bit(&self, index: u32) -> i32 {
        // index / 14, for the CPU divides by a function.
        let limb = (index * 4682) >> 16;
        (i32::from(self.0[limb as usize]) >> (index - limb * BITS)) & 1
    }

    /// 1 when it is 0, otherwise 0.
    pub fn is_zero(&self) -> i32 {
        let all = self.0.iter().fold(0, |all, limb| all | limb);
        // The limbs are below 2^14, so only 0 turns negative.
        ((i32::from(all) - 1) as u32 >> 31) as i32
    }

    /// 1 when it is less than `other`, otherwise 0.
    pub fn is_less(&self, other: &Self) -> i32 {
        let mut borrow = 0;
        for (&a, &b) in self.0.iter().zip(&other.0) {
            borrow = (i32::from(a) - i32::from(b) + borrow) >> BITS;
        }
        -borrow
    }

    /// `self` when `condition` is 0, `other` when it is 1.
    pub fn select(&self, other: &Self, condition: i32) -> Self {
        let mask = mask(condition) as i16;
        Self(core::array::from_fn(|i| self.0[i] ^ ((self.0[i] ^ other.0[i]) & mask)))
    }

    /// Half of it, rounded down.
    pub fn half(&self) -> Self {
        let above = |i: usize| self.0.get(i + 1).copied().unwrap_or(0);
        Self(core::array::from_fn(|i| self.0[i] >> 1 | (above(i) & 1) << (BITS - 1)))
    }

    /// self + factor * other, with limbs in range again; the highest keeps the sign.
    fn add_multiple(&mut self, other: &Self, factor: i32) {
        let mut carry = 0;
        let (last, rest) = self.0.split_last_mut().expect("there are limbs");
        for (limb, other) in rest.iter_mut().zip(&other.0) {
            let sum = i32::from(*limb) + factor * i32::from(*other) + carry;
            *limb = (sum & MASK) as i16;
            carry = sum >> BITS;
        }
        *last += (factor * i32::from(other.0[COUNT - 1]) + carry) as i16;
    }

    /// Bring a number in -m..m (`adding`) or 0..2m into 0..m.
    fn settle(&mut self, modulus: &Modulus, adding: bool) {
        let modulus = modulus.value();
        if !adding {
            self.add_multiple(&modulus, -1);
        }
        let negative = self.is_negative();
        self.add_multiple(&modulus, negative);
    }

    /// 1 when it is negative, otherwise 0.
    fn is_negative(&self) -> i32 {
        core::hint::black_box(i32::from(self.0[COUNT - 1] < 0))
    }

    /// Reduce a number below 2m, whose limbs may be signed.
    pub fn reduce(mut self, modulus: &Modulus) -> Self {
        self.settle(modulus, false);
        self
    }
}

impl Modulus {
    /// The modulus itself, in RAM: the chip's flash gives no halfwords.
    pub fn value(&self) -> Num {
        core::hint::black_box(self.value)
    }

    /// m - a, for a in 1..m.
    pub fn negate(&self, a: &Num) -> Num {
        let mut out = self.value();
        out.add_multiple(a, -1);
        out
    }

    /// a + b, for numbers below m.
    pub fn add(&self, a: &Num, b: &Num) -> Num {
        let mut out = *a;
        out.add_multiple(b, 1);
        out.reduce(self)
    }

    /// a + m, when that is below p.
    pub fn raised(&self, a: &Num) -> Option<Num> {
        let mut out = *a;
        out.add_multiple(&self.value(), 1);
        (out.is_less(&P.value()) == 1).then_some(out)
    }

    /// 1 when 0 < a < m, otherwise 0.
    pub fn contains(&self, a: &Num) -> i32 {
        a.is_less(&self.value()) & (1 - a.is_zero())
    }

    /// The inverse of a number below m; of 0 it is 0.
    ///
    /// Bernstein and Yang's "Fast constant-time gcd computation and modular inversion" in the
    /// variant that starts with delta = 1/2: 590 steps are enough for numbers of 256 bits. 14 of
    /// them only look at the lowest 14 bits and make a matrix, with which the numbers themselves,
    /// f and g, and their cofactors d and e modulo m, are then multiplied.
    #[inline(never)]
    pub fn invert(&self, a: &Num) -> Num {
        const ROUNDS: u32 = 590u32.div_ceil(BITS);

        let modulus = self.value();
        let (mut f, mut g) = (modulus, *a);
        let (mut d, mut e) = (Num::ZERO, Num::ZERO);
        e.0[0] = 1;
        // -(delta + 1/2).
        let mut zeta = -1;
        for _ in 0..ROUNDS {
            let matrix = divide_steps(&mut zeta, f.0[0].into(), g.0[0].into());
            matrix.apply(&mut f, &mut g);
            matrix.apply_modulo(&mut d, &mut e, &modulus, self.inverse);
        }
        // f is 1 or -1, and a times d is f, with d in -2m..m.
        let negative = d.is_negative();
        d.add_multiple(&modulus, negative);
        let mut out = Num::ZERO;
        out.add_multiple(&d, 1 - 2 * f.is_negative());
        out.settle(self, true);
        out
    }
}

/// What 14 steps do to (f, g), times 2^14.
struct Matrix {
    u: i32,
    v: i32,
    q: i32,
    r: i32,
}

/// 14 steps on the low ends of f, which is odd, and g.
fn divide_steps(zeta: &mut i32, mut f: i32, mut g: i32) -> Matrix {
    let (mut u, mut v, mut q, mut r) = (1, 0, 0, 1);
    for _ in 0..BITS {
        let negative = core::hint::black_box(*zeta >> 31);
        let odd = mask(g & 1);
        // g += f or g -= f where g is odd, and likewise below.
        g += ((f ^ negative) - negative) & odd;
        q += ((u ^ negative) - negative) & odd;
        r += ((v ^ negative) - negative) & odd;
        let swap = negative & odd;
        *zeta = (*zeta ^ swap) - 1;
        f += g & swap;
        u += q & swap;
        v += r & swap;
        g >>= 1;
        u <<= 1;
        v <<= 1;
    }
    Matrix { u, v, q, r }
}

impl Matrix {
    /// (f, g) = matrix * (f, g) / 2^14, which is exact.
    fn apply(&self, f: &mut Num, g: &mut Num) {
        let (mut carry_f, mut carry_g) = (0, 0);
        for i in 0..COUNT {
            let (a, b) = (i32::from(f.0[i]), i32::from(g.0[i]));
            let sum_f = self.u * a + self.v * b + carry_f;
            let sum_g = self.q * a + self.r * b + carry_g;
            if i > 0 {
                f.0[i - 1] = (sum_f & MASK) as i16;
                g.0[i - 1] = (sum_g & MASK) as i16;
            }
            carry_f = sum_f >> BITS;
            carry_g = sum_g >> BITS;
        }
        f.0[COUNT - 1] = carry_f as i16;
        g.0[COUNT - 1] = carry_g as i16;
    }

    /// The same modulo m for numbers in -2m..m: the multiples of m that make the division exact
    /// are chosen so that the results are in that range, too.
    fn apply_modulo(&self, d: &mut Num, e: &mut Num, modulus: &Num, inverse: i32) {
        let (sign_d, sign_e) = (i32::from(d.0[COUNT - 1] >> 15), i32::from(e.0[COUNT - 1] >> 15));
        let (low_d, low_e) = (i32::from(d.0[0]), i32::from(e.0[0]));
        let low = |a, b| (a * low_d + b * low_e) & MASK;
        let multiple = |a, b| {
            let raised = (a & sign_d) + (b & sign_e);
            raised - ((inverse * low(a, b) + raised) & MASK)
        };
        let (multiple_d, multiple_e) = (multiple(self.u, self.v), multiple(self.q, self.r));
        let (mut carry_d, mut carry_e) = (0, 0);
        for i in 0..COUNT {
            let [a, b, m] = [d.0[i], e.0[i], modulus.0[i]].map(i32::from);
            let sum_d = self.u * a + self.v * b + multiple_d * m + carry_d;
            let sum_e = self.q * a + self.r * b + multiple_e * m + carry_e;
            if i > 0 {
                d.0[i - 1] = (sum_d & MASK) as i16;
                e.0[i - 1] = (sum_e & MASK) as i16;
            }
            carry_d = sum_d >> BITS;
            carry_e = sum_e >> BITS;
        }
        d.0[COUNT - 1] = carry_d as i16;
        e.0[COUNT - 1] = carry_e as i16;
    }
}

/// a * b modulo n, for numbers below 2^256.
#[inline(never)]
pub fn multiply_modulo_n(a: &Num, b: &Num) -> Num {
    divided_product(&divided_product(a, &core::hint::black_box(SQUARE_OF_RADIX)), b)
}

/// a * b / 2^266 modulo n, by Montgomery's method.
fn divided_product(a: &Num, b: &Num) -> Num {
    let modulus = N.value();
    let mut out = Num::ZERO;
    for &factor in &a.0 {
        let factor = i32::from(factor);
        let low = i32::from(out.0[0]) + factor * i32::from(b.0[0]);
        let multiple = ((MASK + 1 - N.inverse) * (low & MASK)) & MASK;
        let mut carry = (low + multiple * i32::from(modulus.0[0])) >> BITS;
        for j in 1..COUNT {
            let [old, b, n] = [out.0[j], b.0[j], modulus.0[j]].map(i32::from);
            let sum = old + factor * b + multiple * n + carry;
            out.0[j - 1] = (sum & MASK) as i16;
            carry = sum >> BITS;
        }
        out.0[COUNT - 1] = carry as i16;
    }
    out.reduce(&N)
}
