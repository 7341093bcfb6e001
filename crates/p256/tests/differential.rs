//! The same operations by RustCrypto's `p256`, on numbers at the edges and on random ones: 20,000
//! here, as many as P256_FUZZ_OPERATIONS says in `make curve-fuzz`.

mod common;

use common::{Hash, bytes, shared_secret, verify};
use fuzz::Random;
use p256_lx106 as ours;
use rustcrypto_p256::ecdsa::signature::hazmat::PrehashVerifier;
use rustcrypto_p256::ecdsa::{Signature, VerifyingKey};
use rustcrypto_p256::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
use rustcrypto_p256::{EncodedPoint, PublicKey, SecretKey, ecdh};

const OPERATIONS: u64 = 20_000;

/// Around the ends of what a number may be: 0, n / 2, n, p, 2^256.
fn edges() -> Vec<[u8; 32]> {
    let mut edges = Vec::new();
    for middle in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8",
        "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
        "FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF",
        "0000000100000000000000000000000000000000000000000000000000000000",
        "8000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let mut number = bytes(middle);
        (0..4).for_each(|_| step(&mut number, 0xFF));
        for _ in 0..9 {
            edges.push(number);
            step(&mut number, 1);
        }
    }
    for power in 0..256 {
        let mut number = [0; 32];
        number[31 - power / 8] = 1 << (power % 8);
        edges.push(number);
    }
    edges
}

/// Adds 1, or takes it away (0xFF), modulo 2^256.
fn step(number: &mut [u8; 32], by: u8) {
    for byte in number.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(by);
        *byte = sum;
        if over == (by == 0xFF) {
            break;
        }
    }
}

/// Any numbers, and those at the edges.
struct Numbers {
    random: Random,
    edges: Vec<[u8; 32]>,
}

impl Numbers {
    /// An edge as often as not.
    fn number(&mut self) -> [u8; 32] {
        if self.random.once_in(2) {
            self.edges[self.random.below(self.edges.len())]
        } else {
            self.random.array()
        }
    }
}

fn to_ours(key: &PublicKey) -> [u8; 64] {
    key.to_encoded_point(false).as_bytes()[1..].try_into().expect("x and y")
}

fn to_theirs(point: &[u8; 64]) -> Option<PublicKey> {
    let encoded = EncodedPoint::from_untagged_bytes(point.into());
    Option::from(PublicKey::from_encoded_point(&encoded))
}

/// A key pair from any number, if it is a secret key.
fn check_key(secret: &[u8; 32], random: &[u8; 32]) -> Option<[u8; 64]> {
    let theirs = SecretKey::from_slice(secret).ok().map(|key| to_ours(&key.public_key()));
    assert_eq!(ours::public_key(secret, random).ok(), theirs, "{secret:x?}");
    assert_eq!(ours::is_secret_key(secret), theirs.is_some());
    theirs
}

fn check_shared(secret: &[u8; 32], point: &[u8; 64], random: &[u8; 32]) {
    let theirs = SecretKey::from_slice(secret).ok().zip(to_theirs(point)).map(|(key, point)| {
        let shared = ecdh::diffie_hellman(key.to_nonzero_scalar(), point.as_affine());
        <[u8; 32]>::from(*shared.raw_secret_bytes())
    });
    assert_eq!(shared_secret(secret, point, random).ok(), theirs, "{secret:x?} {point:x?}");
}

/// A signature that may be one, or not.
fn check_verify(point: &[u8; 64], hash: &[u8; 32], signature: &[u8; 64]) -> bool {
    let theirs = to_theirs(point).zip(Signature::from_slice(signature).ok()).is_some_and(
        |(point, signature)| VerifyingKey::from(&point).verify_prehash(hash, &signature).is_ok(),
    );
    let own = verify(point, hash, signature).is_ok();
    assert_eq!(own, theirs, "{point:x?} {hash:x?} {signature:x?}");
    own
}

/// One round: every operation once.
fn round(numbers: &mut Numbers) {
    let (secret, other, hash) = (numbers.number(), numbers.number(), numbers.number());
    let (blind, fresh) = (numbers.number(), numbers.random.array::<32>());
    let key = check_key(&secret, &blind);
    let peer = check_key(&other, &blind);

    // A point that is one, and one with a bit changed or with any coordinates.
    let mut point = peer.unwrap_or([0; 64]);
    check_shared(&secret, &point, &blind);
    match numbers.random.below(3) {
        0 => point[numbers.random.below(64)] ^= 1 << numbers.random.below(8),
        1 => point[..32].copy_from_slice(&numbers.number()),
        _ => point[32..].copy_from_slice(&numbers.number()),
    }
    check_shared(&secret, &point, &blind);
    assert_eq!(ours::is_public_key(&point), to_theirs(&point).is_some());

    let signature = ours::sign::<Hash>(&secret, &hash, &fresh);
    assert_eq!(signature.is_ok(), key.is_some());
    let (Some(key), Ok(mut signature)) = (key, signature) else {
        return;
    };
    assert!(check_verify(&key, &hash, &signature));
    // High s is as good.
    let (r, s) = Signature::from_slice(&signature).expect("r and s in range").split_scalars();
    let high = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).expect("as before");
    assert!(check_verify(&key, &hash, &high.to_bytes().into()));
    match numbers.random.below(4) {
        0 => signature[numbers.random.below(64)] ^= 1 << numbers.random.below(8),
        1 => signature[..32].copy_from_slice(&numbers.number()),
        2 => signature[32..].copy_from_slice(&numbers.number()),
        _ => {
            check_verify(&point, &hash, &signature);
            check_verify(&key, &numbers.number(), &signature);
        }
    }
    check_verify(&key, &hash, &signature);
}

#[test]
fn as_another_library() {
    let operations = std::env::var("P256_FUZZ_OPERATIONS")
        .map_or(OPERATIONS, |text| text.parse().expect("P256_FUZZ_OPERATIONS is a number"));
    let mut numbers = Numbers { random: Random::new(1), edges: edges() };
    let blind = [3; 32];
    for edge in numbers.edges.clone() {
        check_key(&edge, &blind);
        check_shared(&edge, &ours::GENERATOR, &blind);
    }
    // Points (0, sqrt b), and those with x or y near 0 and p.
    for (x, y) in numbers.edges.clone().into_iter().zip(numbers.edges.clone().into_iter().rev()) {
        let point = [x, y].concat().try_into().expect("64 bytes");
        check_shared(&[9; 32], &point, &blind);
    }
    // Ten operations a round.
    for _ in 0..operations / 10 {
        round(&mut numbers);
    }
}

/// Sums that meet infinity, the same point twice and its negative: with the key G or -G,
/// multiples of both points cancel or coincide.
#[test]
fn exceptions_of_a_verification() {
    let one = {
        let mut one = [0; 32];
        one[31] = 1;
        one
    };
    let minus_one = bytes("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632550");
    let edges = edges();
    for secret in [one, minus_one] {
        let key = ours::public_key(&secret, &one).expect("a good key");
        for (i, r) in edges.iter().enumerate() {
            for s in [&one, &minus_one, &edges[i * 7 % edges.len()]] {
                let signature = [*r, *s].concat().try_into().expect("64 bytes");
                for hash in [&[0; 32], r, s, &edges[i * 5 % edges.len()]] {
                    check_verify(&key, hash, &signature);
                }
            }
        }
    }
}
