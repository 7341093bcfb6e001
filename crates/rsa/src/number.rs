//! Numbers modulo N, where N is the key's modulus n times 2^k: so shifted that its top limb is full
//! and that its limbs are a multiple of 5. What is computed modulo N is right modulo n, and
//! (x modulo n) * 2^k is (x * 2^k) modulo N.
//!
//! A number is L limbs of 14 bits, each in -2^13..=2^13. A product grows from its top: five digits
//! of one factor times the other are added, then five digits of the quotient are taken away, and so
//! on five columns lower. The quotient is chosen from the topmost columns, to the nearest integer
//! and a little: what is left is at most 0.503 N in size, of either sign.
//!
//! A column keeps below 2^31: carried, it holds 2^14 and a carry of 2^18 at most; a product adds
//! 5 * 2^27 (a square 5 * 2^27 in the rows, where digits are doubled, or 5 * 2^26 in the corner);
//! the quotient's first digit is at most 1.02 * 2^14, as a digit of 2^70 times 0.503 N and what was
//! left of the last columns come together, and the other four are at most 0.51 * 2^14, which makes
//! 3.1 * 2^27.

use crate::kernel::{BITS, DIGITS, add_products};

const MASK: i32 = (1 << BITS) - 1;
const HALF: i32 = 1 << (BITS - 1);

/// Columns below those that a row needs. The window on them goes down by five in each step; when it
/// is at the bottom, the columns move up.
const SLACK: usize = 5 * DIGITS;

/// The limbs for a modulus of so many bits.
pub const fn limbs(bits: usize) -> usize {
    // N has one bit less than the limbs, or the top limb would not fit as a signed one.
    (bits + 1).div_ceil(BITS as usize).next_multiple_of(DIGITS)
}

/// The columns for so many limbs.
pub const fn columns(limbs: usize) -> usize {
    limbs + DIGITS + SLACK
}

/// The 14 bits that are limb `i` of a number (its highest byte first) times 2^shift.
fn limb(bytes: &[u8], shift: usize, i: usize) -> i32 {
    // Counted from 16 bits below the number, which are 0, because a limb may begin there.
    let Some(bit) = (i * BITS as usize + 16).checked_sub(shift) else { return 0 };
    let byte = |at: usize| {
        let from_end = at.checked_sub(1).and_then(|at| bytes.len().checked_sub(at));
        from_end.and_then(|at| bytes.get(at)).map_or(0, |&byte| u32::from(byte))
    };
    let at = bit / 8;
    let word = byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16;
    (word >> (bit % 8)) as i32 & MASK
}

/// Fills a number with limbs of 0..2^14, made signed.
fn fill(out: &mut [i16], limb: impl Fn(usize) -> i32) {
    let mut carry = 0;
    let last = out.len() - 1;
    for (i, out) in out.iter_mut().enumerate() {
        let sum = limb(i) + carry;
        carry = if i == last { 0 } else { (sum + HALF) >> BITS };
        *out = (sum - (carry << BITS)) as i16;
    }
}

/// The modulus N.
pub struct Modulus<'a> {
    limbs: &'a mut [i16],
    /// k: N is n * 2^k.
    shift: usize,
    /// 2^57 divided by the topmost 28 bits of N.
    reciprocal: i64,
}

impl<'a> Modulus<'a> {
    /// The modulus of a key: its highest byte first, which is not 0. `limbs` are as many as
    /// [`limbs`] says.
    pub fn new(bytes: &[u8], bits: usize, limbs: &'a mut [i16]) -> Self {
        let count = limbs.len();
        let shift = count * BITS as usize - 1 - bits;
        fill(limbs, |i| limb(bytes, shift, i));
        let top = (i32::from(limbs[count - 1]) << BITS) + i32::from(limbs[count - 2]);
        let reciprocal = ((1 << 57) / top as u64) as i64;
        Self { limbs, shift, reciprocal }
    }

    /// Five digits of the quotient of these columns by N, the lowest first. There are L + 5, and
    /// the digits belong to the lowest five.
    fn quotient(&self, columns: &[i32]) -> [i16; DIGITS] {
        let (n, count) = (&*self.limbs, self.limbs.len());
        let top: [i32; DIGITS + 1] = core::array::from_fn(|i| n[count - 1 - i].into());
        let mut digits = [0i32; DIGITS];
        // What is left of the columns from the one above the digit's own on, and that one's. Sums
        // wrap: columns that are not carried yet may go too far, all of them together do not.
        let mut left = columns[count + 4];
        let mut column = columns[count + 3];
        for t in 0..DIGITS {
            left = (left << BITS).wrapping_add(column);
            let mut next = columns[count + 2 - t];
            for u in 0..t {
                next = next.wrapping_sub(digits[u] * top[1 + t - u]);
            }
            let exact = i64::from(left.wrapping_add(next >> BITS)) * self.reciprocal;
            let digit = ((exact + (1 << 42)) >> 43) as i32;
            digits[t] = digit;
            left = left.wrapping_sub(digit * top[0]);
            column = next.wrapping_sub(digit * top[1]);
        }
        core::array::from_fn(|t| digits[DIGITS - 1 - t] as i16)
    }

    /// Takes multiples of N * 2^56 to N away, so that the rest is a number, in the lower L columns;
    /// there are L + 5.
    fn reduce(&self, columns: &mut [i32]) {
        let count = self.limbs.len();
        let digits = self.quotient(columns).map(|digit| -digit);
        add_products(columns, self.limbs, &digits);
        // What is above the L columns belongs to the highest of them; 2^42 and more times a carry
        // is nothing modulo 2^32, and the sum is small.
        let above = (columns[count] << BITS).wrapping_add(columns[count + 1] << (2 * BITS));
        columns[count - 1] = columns[count - 1].wrapping_add(above);
    }
}

/// A number modulo N, in the making.
pub struct Power<'a, 'm> {
    modulus: &'m Modulus<'m>,
    number: &'a mut [i16],
    columns: &'a mut [i32],
    /// Where the window on the columns begins.
    base: usize,
}

impl<'a, 'm> Power<'a, 'm> {
    /// A number below n, its highest byte first. There are as many limbs in `number` as the modulus
    /// has, and as many columns as [`columns`] says.
    pub fn new(
        bytes: &[u8],
        modulus: &'m Modulus<'m>,
        number: &'a mut [i16],
        columns: &'a mut [i32],
    ) -> Self {
        fill(number, |i| limb(bytes, 0, i));
        Self { modulus, number, columns, base: 0 }
    }

    /// Squares it.
    pub fn square(&mut self) {
        self.build(|number, columns, j| {
            let digits: [i16; DIGITS] = core::array::from_fn(|t| number[j + t]);
            if j > 0 {
                add_products(columns, &number[..j], &digits.map(|digit| 2 * digit));
            }
            for (t, &a) in digits.iter().enumerate() {
                for (column, &b) in columns[j + t..].iter_mut().zip(&digits) {
                    *column += i32::from(a) * i32::from(b);
                }
            }
        });
    }

    /// Multiplies it by a number below n; as the last step by 2^k as well.
    pub fn multiply(&mut self, bytes: &[u8], last: bool) {
        let shift = if last { self.modulus.shift } else { 0 };
        self.build(|number, columns, j| {
            let digits = core::array::from_fn(|t| limb(bytes, shift, j + t) as i16);
            add_products(columns, number, &digits);
        });
    }

    /// Makes a product: `add_row` adds to the columns what its five digits from `j` on contribute.
    fn build(&mut self, add_row: impl Fn(&[i16], &mut [i32], usize)) {
        let count = self.number.len();
        self.columns.fill(0);
        self.base = SLACK;
        for j in (0..count).step_by(DIGITS).rev() {
            if self.base == 0 {
                self.columns.copy_within(..count, SLACK);
                self.base = SLACK;
            }
            // What was left of the last step is five columns above now.
            self.base -= DIGITS;
            let columns = &mut self.columns[self.base..][..count + DIGITS];
            columns[..DIGITS].fill(0);
            add_row(self.number, columns, j);
            self.modulus.reduce(columns);
        }
        let columns = &self.columns[self.base..];
        fill(self.number, |i| columns[i]);
    }

    /// After the last step: the bytes, the lowest first, of the least number that it stands for
    /// modulo n.
    pub fn bytes(self) -> impl Fn(usize) -> u8 + use<'a> {
        let Self { modulus: Modulus { limbs: n, shift, .. }, number, .. } = self;
        let shift = *shift;
        // In 0..N: with N added when it is negative, which the carry out of its limbs tells.
        let negative = number.iter().fold(0, |carry, &limb| (i32::from(limb) + carry) >> BITS) < 0;
        let mut carry = 0;
        for (limb, &n) in number.iter_mut().zip(n.iter()) {
            let sum = i32::from(*limb) + if negative { i32::from(n) } else { 0 } + carry;
            *limb = (sum & MASK) as i16;
            carry = sum >> BITS;
        }
        move |i| {
            let (at, bit) = ((8 * i + shift) / BITS as usize, (8 * i + shift) % BITS as usize);
            let limb = |at: usize| number.get(at).map_or(0, |&limb| u32::from(limb as u16));
            ((limb(at) | limb(at + 1) << BITS) >> bit) as u8
        }
    }
}
