//! The small SHA-1 and AES against other people's.

mod common;

use fuzz::Random;
use wpa::{Aes128 as _, Sha1 as _, SmallAes128, SmallSha1};

#[test]
fn sha1_is_that_of_another() {
    let mut rng = Random::new(1);
    let bytes: Vec<u8> = (0..300).map(|_| rng.number() as u8).collect();
    for length in 0..bytes.len() {
        let mut small = SmallSha1::new();
        // In pieces: at the borders of blocks they meet.
        let (first, second) = bytes[..length].split_at(rng.below(length + 1));
        small.update(first);
        small.update(second);
        let mut other = common::Sha1::new();
        other.update(&bytes[..length]);
        assert_eq!(small.finish(), other.finish(), "{length} bytes");
    }
}

/// FIPS 180-4's example of a million.
#[test]
fn sha1_of_a_million() {
    let mut small = SmallSha1::new();
    small.update(&[b'a'; 1_000_000]);
    assert_eq!(small.finish()[..4], [0x34, 0xAA, 0x97, 0x3C]);
}

/// FIPS 197, C.1.
#[test]
fn aes_of_the_standard() {
    let key: [u8; 16] = std::array::from_fn(|i| i as u8);
    let mut block = [
        0x69, 0xC4, 0xE0, 0xD8, 0x6A, 0x7B, 0x04, 0x30, 0xD8, 0xCD, 0xB7, 0x80, 0x70, 0xB4, 0xC5,
        0x5A,
    ];
    SmallAes128::new(&key).decrypt(&mut block);
    assert_eq!(block, std::array::from_fn(|i| i as u8 * 0x11));
}

#[test]
fn aes_is_that_of_another() {
    let mut rng = Random::new(2);
    let mut random = || -> [u8; 16] { std::array::from_fn(|_| rng.number() as u8) };
    for _ in 0..2000 {
        let (key, block) = (random(), random());
        let (mut small, mut other) = (block, block);
        SmallAes128::new(&key).decrypt(&mut small);
        common::Aes::new(&key).decrypt(&mut other);
        assert_eq!(small, other);
    }
}
