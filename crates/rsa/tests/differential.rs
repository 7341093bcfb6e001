//! Powers compared with another library's, on numbers of every size that is taken. Overflow checks
//! are on: a column that does not keep to its bounds ends the test.

mod common;

use common::{Random, decrypt};
use num_bigint::BigUint;

/// As many as `make test` does; RSA_FUZZ_OPERATIONS names another number.
const OPERATIONS: u64 = 600;

fn compare(modulus: &[u8], e: u32, signature: &[u8]) {
    let number = BigUint::from_bytes_be;
    let wanted = number(signature).modpow(&BigUint::from(e), &number(modulus));
    let got = decrypt(modulus, e, signature);
    assert_eq!(number(&got), wanted, "{} {e} {}", hex::encode(modulus), hex::encode(signature));
}

/// A modulus of so many bits.
fn modulus(bits: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.bytes(bits.div_ceil(8));
    let top = (bits - 1) % 8;
    bytes[0] = bytes[0] & ((1 << top) - 1) | 1 << top;
    *bytes.last_mut().expect("there are some") |= 1;
    bytes
}

/// A number below it: any, or one at the ends.
fn signature(modulus: &[u8], random: &mut Random) -> Vec<u8> {
    let number = BigUint::from_bytes_be(modulus);
    let signature = match random.below(8) {
        0 => BigUint::from(random.below(3)),
        1 => &number - (1 + random.below(2)),
        2 => &number >> random.below(modulus.len()),
        3 => number.sqrt() + random.below(2),
        _ => BigUint::from_bytes_be(&random.bytes(modulus.len())) % &number,
    };
    let bytes = signature.to_bytes_be();
    [vec![0; modulus.len() - bytes.len()], bytes].concat()
}

#[test]
fn powers_are_those_of_another_library() {
    let operations = std::env::var("RSA_FUZZ_OPERATIONS")
        .map_or(OPERATIONS, |text| text.parse().expect("RSA_FUZZ_OPERATIONS is a number"));
    let mut random = Random(0xE5);
    for i in 0..operations {
        let bits = match i % 4 {
            0 => 2048,
            1 => [1024, 1025, 3071, 3072, 4095, 4096][random.below(6)],
            _ => 1024 + random.below(3073),
        };
        let modulus = modulus(bits, &mut random);
        let e = match random.below(8) {
            0 => 3,
            1 => 5,
            2 => 17,
            3 => (random.word() as u32 | 1).max(3),
            _ => 65537,
        };
        compare(&modulus, e, &signature(&modulus, &mut random));
    }
}

/// One limb more or less, and each place of the topmost bit in its limb.
#[test]
fn every_size_of_the_modulus() {
    let mut random = Random(7);
    for bits in (1024..1024 + 150).chain(4096 - 71..=4096) {
        let modulus = modulus(bits, &mut random);
        compare(&modulus, 3, &signature(&modulus, &mut random));
        compare(&modulus, 65537, &signature(&modulus, &mut random));
    }
}
