//! Points of the curve y^2 = x^3 - 3x + b, and multiples of them.
//!
//! A point is kept as (x, 2y): that saves the doubling formula a division by two. The formulas
//! of a sum know no exception, so it is shown for each multiplication in constant time that none
//! is met: neither a point at infinity, nor a sum of a point with itself or its negative.

use crate::comb;
use crate::field::Field;
use crate::kernel::Limbs;
use crate::num::{N, Num};

/// A point with its coordinates as they are.
#[derive(Clone, Copy)]
pub struct Affine {
    pub x: Field,
    /// 2y.
    pub w: Field,
}

/// A point (x / z^2, w / z^3), where w is twice y.
#[derive(Clone, Copy)]
pub struct Point {
    pub x: Field,
    pub w: Field,
    pub z: Field,
}

impl Affine {
    /// From x and y below p, if they are on the curve.
    pub fn new(x: &Num, y: &Num) -> Option<Self> {
        let (x, y) = (Field::from_num(x), Field::from_num(y));
        // x^3 - 3x + b - y^2
        let (mut sum, mut term, mut square) = (Field::ZERO, Field::ZERO, Field::ZERO);
        square.set_square(&x);
        sum.set_product(&square, &x);
        term.set_three_times_sum(&x, &Field::ZERO.in_ram());
        square.set_difference(&sum, &term);
        sum.set_sum(&square, &Field::B.in_ram());
        term.set_square(&y);
        square.set_difference(&sum, &term);
        let mut w = Field::ZERO;
        w.set_sum(&y, &y);
        square.is_zero().then_some(Self { x, w })
    }

    /// The point that `index` names, or its negative when `negative` is 1, without an address
    /// that depends on either.
    pub fn select<'a>(
        &mut self,
        table: impl Iterator<Item = (&'a Limbs, &'a Limbs)>,
        index: i32,
        negative: i32,
    ) {
        *self = Self { x: Field::ZERO, w: Field::ZERO };
        for (i, (x, w)) in table.enumerate() {
            let other = core::hint::black_box(i as i32 ^ index);
            // Only 0 turns negative.
            let mask = ((other - 1) >> 31) as u32;
            merge(&mut self.x, x, mask);
            merge(&mut self.w, w, mask);
        }
        let opposite = self.w.negative();
        self.w.assign_if(&opposite, negative);
    }
}

/// Adds what `mask` lets through to a number that was 0. Without a loop: half a million words are
/// read for a multiplication.
#[inline(always)]
fn merge(Field(out): &mut Field, limbs: &Limbs, mask: u32) {
    macro_rules! words {
        ($($i:literal)*) => {$( out[$i] |= limbs[$i] & mask; )*};
    }
    words!(0 1 2 3 4 5 6 7 8 9);
}

impl Point {
    pub const INFINITY: Self = Self { x: Field::ONE, w: Field::ONE, z: Field::ZERO };

    pub fn from_affine(point: &Affine) -> Self {
        Self { x: point.x, w: point.w, z: Field::ONE }
    }

    /// The same point with other coordinates: which ones, nobody can tell who does not know
    /// `blind`, which is not 0.
    pub fn blind(&mut self, blind: &Field) {
        let mut power = Field::ZERO;
        power.set_square(blind);
        self.x.multiply_by(&power);
        power.multiply_by(blind);
        self.w.multiply_by(&power);
        self.z.multiply_by(blind);
    }

    /// Becomes twice itself. Right for every point, infinity included.
    ///
    /// "dbl-2001-b" of the Explicit-Formulas Database (D. J. Bernstein), for w instead of y.
    #[inline(never)]
    pub fn double(&mut self) {
        let (mut a, mut b, mut c) = (Field::ZERO, Field::ZERO, Field::ZERO);
        a.set_square(&self.z);
        b.set_difference(&self.x, &a);
        c.set_three_times_sum(&self.x, &a);
        b.multiply_by(&c); // alpha = 3 (x - z^2)(x + z^2)
        self.z.multiply_by(&self.w);
        c.set_square(&self.w); // 4 y^2
        a.set_product(&self.x, &c); // 4 beta = 4 x y^2
        self.w.set_square(&b);
        self.x.set_less_twice(&self.w, &a);
        self.w.set_difference(&a, &self.x);
        b.multiply_by(&self.w);
        c.square();
        self.w.set_twice_less(&b, &c); // 2 (alpha (4 beta - x) - 8 y^4)
    }

    /// Adds another point. Wrong for infinity and for points with the same x: then z becomes,
    /// and stays, 0.
    ///
    /// The usual formula with z2 = 1, for w instead of y and with z doubled.
    pub fn add(&mut self, other: &Affine) {
        let mut factor = Field::ZERO;
        self.add_and_tell(other, &mut factor);
    }

    /// The same, and tells by which factor z grew.
    #[inline(never)]
    fn add_and_tell(&mut self, other: &Affine, b: &mut Field) {
        let (mut a, mut c, mut d) = (Field::ZERO, Field::ZERO, Field::ZERO);
        a.set_square(&self.z);
        d.set_product(&a, &other.x);
        c.set_difference(&d, &self.x); // h
        a.multiply_by(&self.z);
        a.multiply_by(&other.w);
        d.set_difference(&a, &self.w); // r
        b.set_sum(&c, &c);
        self.z.multiply_by(b);
        a.set_square(b); // 4 h^2
        c.multiply_by(&a); // j = 4 h^3
        a.multiply_by(&self.x); // v
        self.w.multiply_by(&c);
        // r^2 - j - 2v
        self.x.set_square(&d);
        let mut sum = Field::ZERO;
        sum.set_difference(&self.x, &c);
        self.x.set_less_twice(&sum, &a);
        // 2 (r (v - x) - w j)
        sum.set_difference(&a, &self.x);
        sum.multiply_by(&d);
        a.set_difference(&sum, &self.w);
        self.w.set_sum(&a, &a);
    }

    /// The point's coordinates; of infinity 0, 0.
    // Large: by value it would be copied to the stack.
    #[allow(clippy::wrong_self_convention)]
    #[inline(never)]
    pub fn affine(&self) -> (Num, Num) {
        let inverse = self.z.inverse();
        let mut power = Field::ZERO;
        power.set_square(&inverse);
        let (mut x, mut y) = (self.x, self.w);
        x.multiply_by(&power);
        power.multiply_by(&inverse);
        y.multiply_by(&power);
        (x.to_num(), half_modulo_p(y))
    }
}

/// w / 2.
fn half_modulo_p(w: Field) -> Num {
    let w = w.to_num();
    let odd = i32::from(w.0[0] & 1);
    // w + p is below 2^257.
    let p = crate::num::P.value();
    let mut sum = Num::ZERO;
    let mut carry = 0;
    for (i, limb) in sum.0.iter_mut().enumerate() {
        let total = i32::from(w.0[i]) + i32::from(p.0[i]) + carry;
        *limb = (total & 0x3FFF) as i16;
        carry = total >> 14;
    }
    w.select(&sum, odd).half()
}

/// An odd number k below n or, when `k` is even, n - k; and whether it was even.
pub fn odd(k: &Num) -> (Num, i32) {
    let even = i32::from(1 - (k.0[0] & 1));
    (k.select(&N.negate(k), even), even)
}

/// The bits b of an odd k below 2^256 such that k is the sum over i < `length` of 2^i where b_i is
/// 1, and of -2^i where it is 0: (k - 1) / 2 + 2^(length - 1).
pub fn signed_bits(k: &Num, length: u32) -> Num {
    let mut bits = k.half();
    bits.0[((length - 1) / 14) as usize] |= 1 << ((length - 1) % 14);
    bits
}

/// What the multiplication of any point needs besides the stack, which is small on the chip.
pub struct Workspace {
    multiples: Multiples,
    factors: [Field; 8],
    digits: Digits,
    /// The result.
    pub sum: Point,
}

impl Workspace {
    /// Memory for one multiplication after another.
    pub const NEW: Self = Self {
        multiples: Multiples::EMPTY,
        factors: [Field::ZERO; 8],
        digits: Digits([0; 257]),
        sum: Point::INFINITY,
    };
}

/// P, 3P, ... 15P.
struct Multiples([Affine; 8]);

impl Multiples {
    /// Room for them.
    const EMPTY: Self = Self([Affine { x: Field::ZERO, w: Field::ZERO }; 8]);

    /// Those of a point, which is not infinity.
    ///
    /// All sums have 2P as one operand. Seen on the curve on which 2P has z = 1, each is one with
    /// an affine point; a curve with another a, but sums do not use a. Points differ and none is
    /// infinity, for n is a prime above 16. One inversion is enough: each sum tells by which
    /// factor z has grown since the last.
    #[inline(never)]
    fn fill(&mut self, point: &Affine, factors: &mut [Field; 8]) {
        let mut sum = Point::from_affine(point);
        sum.double();
        let step = Affine { x: sum.x, w: sum.w };
        let factor = sum.z;
        sum = Point::from_affine(point);
        sum.blind(&factor);
        sum.z = Field::ONE;
        for (multiple, factor) in self.0.iter_mut().zip(&mut *factors).skip(1) {
            sum.add_and_tell(&step, factor);
            *multiple = Affine { x: sum.x, w: sum.w };
        }
        sum.z.multiply_by(&factor);
        let mut inverse = sum.z.inverse();
        for (multiple, factor) in self.0.iter_mut().zip(&*factors).skip(1).rev() {
            let mut power = Field::ZERO;
            power.set_square(&inverse);
            multiple.x.multiply_by(&power);
            power.multiply_by(&inverse);
            multiple.w.multiply_by(&power);
            inverse.multiply_by(factor);
        }
        self.0[0] = *point;
    }

    /// Multiple 2 * index + 1, negative when `negative` is 1, in constant time.
    fn select(&self, out: &mut Affine, index: i32, negative: i32) {
        out.select(self.0.iter().map(|point| (&point.x.0, &point.w.0)), index, negative);
    }

    /// The multiple `digit`, which is odd, in variable time.
    fn get(&self, digit: i32) -> Affine {
        let point = &self.0[(digit.unsigned_abs() / 2) as usize];
        let mut out = Affine { x: point.x, w: point.w };
        if digit < 0 {
            out.w = point.w.negative();
        }
        out
    }
}

/// Bits of the last digit of [`multiply`].
const LAST: u32 = 2;

/// `workspace.sum` = k * P in constant time, for k in 1..n.
///
/// k is made odd and then consists of 65 digits, all odd: the highest 63 of four bits, between -15
/// and 15, the others of two, between -3 and 3. No sum is an exception: before a digit d of w bits
/// is added, the multiple reached is 2^w times an odd number, so neither d nor -d. But for the last
/// digit, it is below n with d added or taken away. Before the last, it is k - d; that is -d
/// modulo n only for k = 0, and d only for k = 2d. k is odd, which leaves k = n + 2d with a negative
/// d: a test shows that the last digit of such a k is not d. (With four bits it would be, for
/// n - 2.)
#[inline(never)]
pub fn multiply(k: &Num, point: &Affine, blind: &Field, workspace: &mut Workspace) {
    let (k, even) = odd(k);
    let bits = signed_bits(&k, 256);
    let Workspace { multiples, factors, sum, .. } = workspace;
    multiples.fill(point, factors);
    let mut digit = Affine { x: Field::ZERO, w: Field::ZERO };
    let mut at = 256;
    while at > 0 {
        let width = if at > 2 * LAST { 4 } else { LAST };
        let first = at == 256;
        at -= width;
        let value = (0..width - 1).fold(0, |value, i| value | bits.bit(at + i) << i);
        let negative = 1 - bits.bit(at + width - 1);
        // The digit is 2 index + 1 or its negative.
        let index = (value ^ -negative) & ((1 << (width - 1)) - 1);
        multiples.select(&mut digit, index, negative);
        if first {
            *sum = Point::from_affine(&digit);
            sum.blind(blind);
        } else {
            for _ in 0..width {
                sum.double();
            }
            sum.add(&digit);
        }
    }
    negate_if(sum, even);
}

/// Changes the sign when `condition` is 1, in constant time.
fn negate_if(point: &mut Point, condition: i32) {
    let opposite = point.w.negative();
    point.w.assign_if(&opposite, condition);
}

/// `sum` = k * G in constant time, for k in 1..n: see [`comb`], which also shows why no sum is an
/// exception.
#[inline(never)]
pub fn multiply_generator(k: &Num, blind: &Field, sum: &mut Point) {
    let (k, even) = odd(k);
    let bits = signed_bits(&k, comb::BITS);
    let mut tooth = Affine { x: Field::ZERO, w: Field::ZERO };
    for i in (0..comb::ROUNDS).rev() {
        if i < comb::ROUNDS - 1 {
            sum.double();
        }
        for table in [1, 0] {
            let (index, negative) = comb::digit(&bits, i, table);
            tooth.select(comb::entries(table), index, negative);
            if i == comb::ROUNDS - 1 && table == 1 {
                *sum = Point::from_affine(&tooth);
                sum.blind(blind);
            } else {
                sum.add(&tooth);
            }
        }
    }
    negate_if(sum, even);
}

/// `workspace.sum` = a * G + b * P in variable time, for a and b below n.
pub fn multiply_both(a: &Num, b: &Num, point: &Affine, workspace: &mut Workspace) {
    workspace.multiples.fill(point, &mut workspace.factors);
    workspace.digits.fill(b);
    interleave(a, workspace, false);
    if workspace.sum.z.is_zero() {
        // The sum is infinity, or was on the way, or an exception was met: hardly ever by chance.
        interleave(a, workspace, true);
    }
}

/// Both multiplications with one chain of doublings. `careful` looks for exceptions at each sum.
#[inline(never)]
fn interleave(a: &Num, workspace: &mut Workspace, careful: bool) {
    let Workspace { multiples, digits, sum, .. } = workspace;
    let with_generator = a.is_zero() == 0;
    let (a, even) = odd(a);
    let bits = signed_bits(&a, comb::BITS);
    *sum = Point::INFINITY;
    let mut begun = false;
    let mut add = |sum: &mut Point, other: &Affine| {
        if careful {
            add_any(sum, other);
        } else if begun {
            sum.add(other);
        } else {
            *sum = Point::from_affine(other);
            begun = true;
        }
    };
    for (i, &digit) in digits.0.iter().enumerate().rev() {
        sum.double();
        if digit != 0 {
            add(sum, &multiples.get(digit.into()));
        }
        if with_generator && i < comb::ROUNDS as usize {
            for table in [1, 0] {
                let (index, negative) = comb::digit(&bits, i as u32, table);
                add(sum, &comb::get(table, index, negative != even));
            }
        }
    }
}

/// The sum of any two points, in variable time.
#[inline(never)]
fn add_any(sum: &mut Point, other: &Affine) {
    if sum.z.is_zero() {
        *sum = Point::from_affine(other);
        return;
    }
    let before = *sum;
    sum.add(other);
    if !sum.z.is_zero() {
        return;
    }
    // The same x: the same point or its negative.
    let (mut power, mut w, mut difference) = (Field::ZERO, Field::ZERO, Field::ZERO);
    power.set_square(&before.z);
    power.multiply_by(&before.z);
    w.set_product(&other.w, &power);
    difference.set_difference(&w, &before.w);
    if difference.is_zero() {
        *sum = before;
        sum.double();
    } else {
        *sum = Point::INFINITY;
    }
}

/// Digits for a number below 2^256, lowest first: 0, or odd and between -15 and 15, with four 0
/// at least after each that is not.
struct Digits([i8; 257]);

impl Digits {
    #[inline(never)]
    fn fill(&mut self, number: &Num) {
        let digits = &mut self.0;
        digits.fill(0);
        let mut carry = 0;
        let mut i = 0;
        while i < 257 {
            let bit = |j: u32| if i + j < 257 { number.bit(i + j) } else { 0 };
            if bit(0) + carry != 1 {
                // 0, or 2 and the carry goes on.
                i += 1;
                continue;
            }
            let value = bit(0) + 2 * bit(1) + 4 * bit(2) + 8 * bit(3) + 16 * bit(4) + carry;
            carry = i32::from(value > 16);
            digits[i as usize] = (value - 32 * carry) as i8;
            i += 5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::N;

    /// n + 2d for a negative d.
    fn below_n(twice: i16) -> Num {
        let mut number = N.value();
        number.0[0] -= twice;
        assert!(number.0[0] >= 0);
        number
    }

    #[test]
    fn the_last_digit_of_a_multiplication_is_no_exception() {
        let most = (1i16 << LAST) - 1;
        for d in (1..=most).step_by(2) {
            let bits = signed_bits(&below_n(2 * d), 256);
            let last = 2 * (bits.0[0] & most) - most;
            assert_ne!(last, -d);
        }
    }
}
