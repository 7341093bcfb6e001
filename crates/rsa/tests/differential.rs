//! Powers compared with another library's, on numbers of every size that is taken. Overflow checks
//! are on: a column that does not keep to its bounds ends the test.

mod common;

use common::decrypt;
use fuzz::Random;
use num_bigint::BigUint;

/// As many as `make test` does; RSA_FUZZ_OPERATIONS names another number.
const OPERATIONS: u64 = 600;

fn compare(modulus: &[u8], e: u32, signature: &[u8]) {
    let number = BigUint::from_bytes_be;
    let wanted = number(signature).modpow(&BigUint::from(e), &number(modulus));
    let got = decrypt(modulus, e, signature);
    assert_eq!(number(&got), wanted, "{} {e} {}", hex::encode(modulus), hex::encode(signature));
}

/// Bytes of several kinds: any, few bits set, few not, long runs of both.
fn some_bytes(length: usize, random: &mut Random) -> Vec<u8> {
    let kind = random.below(5);
    let mut run = 0;
    let next = |_| match kind {
        0 | 1 => random.byte(),
        2 => 0,
        3 => 0xFF,
        _ => {
            if random.once_in(20) {
                run = [0, 0xFF, random.byte()][random.below(3)];
            }
            run
        }
    };
    (0..length).map(next).collect()
}

/// A modulus of so many bits.
fn modulus(bits: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = some_bytes(bits.div_ceil(8), random);
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
        _ => BigUint::from_bytes_be(&some_bytes(modulus.len(), random)) % &number,
    };
    let bytes = signature.to_bytes_be();
    [vec![0; modulus.len() - bytes.len()], bytes].concat()
}

#[test]
fn powers_are_those_of_another_library() {
    let operations = std::env::var("RSA_FUZZ_OPERATIONS")
        .map_or(OPERATIONS, |text| text.parse().expect("RSA_FUZZ_OPERATIONS is a number"));
    let mut random = Random::new(0xE5);
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
            3 => (random.number() as u32 | 1).max(3),
            _ => 65537,
        };
        compare(&modulus, e, &signature(&modulus, &mut random));
    }
}

/// One limb more or less, and each place of the topmost bit in its limb.
#[test]
fn every_size_of_the_modulus() {
    let mut random = Random::new(7);
    for bits in (1024..1024 + 150).chain(4096 - 71..=4096) {
        let modulus = modulus(bits, &mut random);
        compare(&modulus, 3, &signature(&modulus, &mut random));
        compare(&modulus, 65537, &signature(&modulus, &mut random));
    }
}
