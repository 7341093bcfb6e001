//! Multiples of the generator G that are known in advance, for a comb of five teeth.
//!
//! An odd k below 2^256 is a sum of 260 signed powers of two (`point::signed_bits`): five teeth of
//! 52 bits, in two halves of 26. Round i adds, for each half, the five powers of bit i of the
//! half, which are one of 16 points or its negative: entry j of table h is
//!
//! ```text
//! 2^(26 h) * (2^208 ± 2^156 ± 2^104 ± 2^52 ± 1) * G
//! ```
//!
//! with a plus where bit 3, 2, 1, 0 of j is 1.
//!
//! No sum is an exception. Let A be the multiple of G reached, T the one that is added. A has been
//! doubled and is, modulo 4, twice an odd number; T of table 1 is a multiple of 2^26, T of table 0
//! odd. So neither A - T nor A + T is 0. In all rounds but the last both are below
//! 2^255 + 2^212, and so below n, which leaves the last, with |A ± T| < 2n: neither may be n or -n.
//! For T of table 1 they are even, and n is odd. For T of table 0, A is k - T: A + T is k, which
//! lies between 0 and n, and A - T is k - 2T, which could be n for a negative T. A test goes
//! through all 16 and shows that the T of such a k is another.

use crate::comb_table::TABLES;
use crate::field::Field;
use crate::kernel::Limbs;
use crate::num::Num;
use crate::point::Affine;

/// Bits of the comb.
pub const BITS: u32 = TEETH * TOOTH;
const TEETH: u32 = 5;
const TOOTH: u32 = 2 * ROUNDS;

/// Rounds of a multiplication.
pub const ROUNDS: u32 = 26;

/// x and 2y of a point.
pub type Entry = (Limbs, Limbs);

/// Which entry of a table round `round` adds, and 1 when it is negative.
pub fn digit(bits: &Num, round: u32, table: u32) -> (i32, i32) {
    let at = |tooth: u32| bits.bit(round + table * ROUNDS + tooth * TOOTH);
    let negative = 1 - at(TEETH - 1);
    let index = at(0) | at(1) << 1 | at(2) << 2 | at(3) << 3;
    ((index ^ -negative) & 15, negative)
}

/// A table, for a search that reads all of it.
pub fn entries(table: u32) -> impl Iterator<Item = (&'static Limbs, &'static Limbs)> {
    TABLES[table as usize].iter().map(|(x, w)| (x, w))
}

/// An entry, in variable time.
pub fn get(table: u32, index: i32, negative: bool) -> Affine {
    let (x, w) = TABLES[table as usize][index as usize];
    let w = Field(w).in_ram();
    Affine { x: Field(x).in_ram(), w: if negative { w.negative() } else { w } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::N;
    use crate::point::signed_bits;

    /// 14 bits a limb, the sign in the highest.
    fn add_power(number: &mut [i32], power: u32, times: i32) {
        number[(power / 14) as usize] += times << (power % 14);
    }

    #[test]
    fn the_tables_hold_multiples_of_the_generator() {
        let generator = Affine::new(
            &Num::from_bytes(&crate::GENERATOR[..32].try_into().unwrap()),
            &Num::from_bytes(&crate::GENERATOR[32..].try_into().unwrap()),
        )
        .expect("G is on the curve");
        let mut power = Num::ZERO;
        power.0[0] = 1;
        let powers: [Num; BITS as usize] = core::array::from_fn(|_| {
            let this = power;
            power = N.add(&this, &this);
            this
        });
        let mut workspace = crate::Workspace::NEW;
        for table in [0, 1] {
            for (j, (x, w)) in entries(table).enumerate() {
                let mut k = powers[(table * ROUNDS + 4 * TOOTH) as usize];
                for tooth in 0..4 {
                    let power = powers[(table * ROUNDS + tooth * TOOTH) as usize];
                    let plus = j >> tooth & 1 == 1;
                    k = N.add(&k, &if plus { power } else { N.negate(&power) });
                }
                let entry = crate::Point { x: Field(*x), w: Field(*w), z: Field::ONE };
                crate::point::multiply(&k, &generator, &Field::ONE, &mut workspace);
                assert_eq!(entry.affine(), workspace.sum.affine(), "table {table}, entry {j}");
            }
        }
    }

    #[test]
    fn the_last_sum_of_a_multiplication_is_no_exception() {
        for signs in 0..16 {
            // The top tooth is -1.
            let sign = |tooth: u32| if tooth < 4 && signs >> tooth & 1 == 1 { 1 } else { -1 };
            let mut k = N.value().0.map(i32::from);
            for tooth in 0..5 {
                add_power(&mut k, tooth * TOOTH, 2 * sign(tooth));
            }
            let mut carry = 0;
            let k = Num(k.map(|limb| {
                let sum = limb + carry;
                carry = sum >> 14;
                (sum & 0x3FFF) as i16
            }));
            assert_eq!(carry, 0, "n + 2T is positive");
            let bits = signed_bits(&k, BITS);
            let same = (0..5).all(|tooth| 2 * bits.bit(tooth * TOOTH) - 1 == sign(tooth));
            assert!(!same, "{k:?} meets an exception");
        }
    }
}
