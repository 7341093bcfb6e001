//! Vectors of others (Project Wycheproof's), and forgeries.

mod common;

use common::verify;
use crypto_tests::{RsaSet, SHA256, SHA384, SHA512, Sha, Signed};
use fuzz::Random;
use num_bigint::BigUint;
use rsa_lx106::Error;

/// What may stand in front of the hash's own bytes.
const PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0D, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32];

fn wycheproof(set: RsaSet, sha: Sha) {
    let mut counts = [0, 0];
    for Signed { name, key: (modulus, e), hash, signature, valid } in crypto_tests::rsa(set, sha) {
        let verified = verify(&modulus, e, &hash, &signature).is_ok();
        assert_eq!(verified, valid, "{name}");
        counts[usize::from(valid)] += 1;
    }
    assert!(counts[0] > 100 && counts[1] >= 4, "{set:?}: {counts:?}");
}

#[test]
fn wycheproof_2048() {
    wycheproof(RsaSet::Rsa2048Sha256, SHA256);
    wycheproof(RsaSet::Rsa2048Sha384, SHA384);
    wycheproof(RsaSet::Rsa2048Sha512, SHA512);
}

#[test]
fn wycheproof_3072() {
    wycheproof(RsaSet::Rsa3072Sha256, SHA256);
    wycheproof(RsaSet::Rsa3072Sha384, SHA384);
    wycheproof(RsaSet::Rsa3072Sha512, SHA512);
}

#[test]
fn wycheproof_4096() {
    wycheproof(RsaSet::Rsa4096Sha256, SHA256);
    wycheproof(RsaSet::Rsa4096Sha384, SHA384);
    wycheproof(RsaSet::Rsa4096Sha512, SHA512);
}

/// A modulus of 2048 bits, which nobody can factor, nor need.
fn modulus() -> Vec<u8> {
    let mut modulus = Random::new(1).array::<256>().to_vec();
    modulus[0] |= 0x80;
    modulus[255] |= 1;
    modulus
}

fn padded(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    [vec![0; 256 - bytes.len()], bytes].concat()
}

/// Bleichenbacher's forgery (CRYPTO 2006, rump session): with e = 3, a cube whose beginning looks
/// like a short padding with the hash, and whose end is whatever it is. Nobody needs the key.
#[test]
fn a_hash_that_is_not_at_the_end_is_refused() {
    let hash = SHA256(b"message");
    for padding in [8, 32, 100] {
        let mut wanted = [&[0, 1][..], &vec![0xFF; padding], &[0], &PREFIX, &hash].concat();
        let front = wanted.len();
        wanted.resize(256, 0);
        let root = BigUint::from_bytes_be(&wanted).cbrt() + 1u32;
        let cube = padded(&root.pow(3));
        // The forgery is one: who looks only at the beginning would take it. A long padding leaves
        // no room for it.
        assert_eq!(cube[..front] == wanted[..front], padding < 100);
        let refused = verify(&modulus(), 3, &hash, &padded(&root));
        assert_eq!(refused, Err(Error::Signature), "{padding}");
    }
}

/// The same where the garbage is in the padding: the end is right, for every odd end is that of a
/// cube.
#[test]
fn a_hash_behind_garbage_is_refused() {
    let hash = (0u8..).map(|i| SHA256(&[i])).find(|hash| hash[31] % 2 == 1).expect("one is odd");
    let end = BigUint::from_bytes_be(&[&[0][..], &PREFIX, &hash].concat());
    let bits = 8 * (1 + 19 + 32);
    // The cube root modulo 2^bits, bit by bit.
    let mut root = BigUint::from(1u32);
    for bit in 1..bits {
        let modulus = BigUint::from(1u32) << (bit + 1);
        if root.pow(3) % &modulus != &end % &modulus {
            root.set_bit(bit, true);
        }
    }
    let cube = padded(&root.pow(3));
    assert_eq!(BigUint::from_bytes_be(&cube[256 - 52..]), end, "the forgery is one");
    assert_eq!(verify(&modulus(), 3, &hash, &padded(&root)), Err(Error::Signature));
}

/// With a padded hash in the place of the signature and an exponent of 1, anybody could sign.
#[test]
fn exponents_and_moduli_that_are_none_are_refused() {
    let hash = SHA256(b"message");
    let padding = vec![0xFF; 256 - 3 - 19 - 32];
    let signature = [&[0, 1][..], &padding, &[0], &PREFIX, &hash].concat();
    for e in [0, 1, 2, 4, 65536] {
        assert_eq!(verify(&modulus(), e, &hash, &signature), Err(Error::Key), "{e}");
    }
    let with = |change: fn(&mut Vec<u8>)| {
        let mut modulus = modulus();
        change(&mut modulus);
        verify(&modulus, 3, &hash, &signature[..modulus.len().min(256)])
    };
    assert_eq!(with(|_| ()), Err(Error::Signature));
    assert_eq!(with(|n| n[255] &= !1), Err(Error::Key), "even");
    assert_eq!(with(|n| n[0] = 0), Err(Error::Key), "a leading zero");
    assert_eq!(with(|n| n.clear()), Err(Error::Key), "none");
    assert_eq!(with(|n| drop(n.drain(..129))), Err(Error::Key), "too small");
    assert_eq!(with(|n| n.extend([1; 257])), Err(Error::Key), "too large");
}

#[test]
fn signatures_of_another_size_are_refused() {
    let (modulus, hash) = (modulus(), SHA256(b"message"));
    let mut larger = modulus.clone();
    larger[255] += 2;
    for signature in [vec![], vec![1; 255], vec![1; 257], vec![0; 256], modulus.clone(), larger] {
        assert_eq!(verify(&modulus, 3, &hash, &signature), Err(Error::Signature));
    }
    for size in [0, 20, 28, 31, 33, 65] {
        assert_eq!(verify(&modulus, 3, &vec![0; size], &[1; 256]), Err(Error::Argument));
    }
}
