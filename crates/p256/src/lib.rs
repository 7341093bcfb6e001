//! ECDH and ECDSA on the curve P-256 (FIPS 186-5, SP 800-186), for the ESP8266's CPU.
//!
//! Whatever knows a secret key runs in constant time: the same instructions on the same addresses
//! for every key, hash and point. What only checks a signature takes the time it needs. Nothing is
//! allocated; the deepest call needs [`STACK`] bytes of stack, and those that multiply any point a
//! [`Workspace`] from the caller.
//!
//! Numbers are 32 bytes, the highest first; points are x and y, 64 bytes; signatures r and s, 64
//! bytes. The product and the square modulo p are assembly on the chip and Rust anywhere else
//! (`kernel`); all else is the same code on both.
//!
//! ```
//! use p256_lx106::{Workspace, public_key, shared_secret};
//!
//! // Random bytes, in earnest.
//! let (mine, yours, random) = ([1; 32], [2; 32], [3; 32]);
//! let secret = |own: &[u8; 32], other: &[u8; 32]| {
//!     let public = public_key(other, &random).unwrap();
//!     shared_secret(own, &public, &random, &mut { Workspace::NEW }).unwrap()
//! };
//! assert_eq!(secret(&mine, &yours), secret(&yours, &mine));
//! ```
#![no_std]
#![deny(unsafe_code)]

mod comb;
mod comb_table;
mod field;
#[doc(hidden)]
pub mod kernel;
mod nonce;
mod num;
mod point;

use core::fmt;

use field::Field;
use nonce::Nonces;
use num::{N, Num, P};
pub use point::Workspace;
use point::{Affine, Point};

/// The generator of the curve's points, as a public key: that of the secret key 1.
pub const GENERATOR: [u8; 64] = [
    0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2,
    0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96,
    0x4F, 0xE3, 0x42, 0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16,
    0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
];

/// Bytes of stack that the deepest of this crate's functions needs on the chip, those that
/// [`Sha256`] and interrupts need not counted.
pub const STACK: usize = 2048;

/// SHA-256 (FIPS 180-4), for [`sign`].
pub trait Sha256 {
    /// Begins a message.
    fn new() -> Self;
    /// Continues it.
    fn update(&mut self, bytes: &[u8]);
    /// The hash of the message.
    fn finish(self) -> [u8; 32];
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// A secret key is not between 1 and n - 1: take another.
    SecretKey,
    /// A public key is no point of the curve: refuse whoever sent it.
    PublicKey,
    /// A signature is not that of this key over this hash.
    Signature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretKey => "the secret key is not between 1 and n - 1",
            Self::PublicKey => "the public key is no point of P-256",
            Self::Signature => "the signature is not that of this key over this hash",
        })
    }
}

impl core::error::Error for Error {}

/// Overwrites a secret that is no longer needed.
fn wipe(secret: &mut [u8; 32]) {
    *core::hint::black_box(secret) = [0; 32];
}

fn wipe_num(secret: &mut Num) {
    *core::hint::black_box(secret) = Num::ZERO;
}

/// A secret key as a number.
fn secret(bytes: &[u8; 32]) -> Result<Num, Error> {
    let number = Num::from_bytes(bytes);
    if N.contains(&number) == 1 { Ok(number) } else { Err(Error::SecretKey) }
}

fn halves(bytes: &[u8; 64]) -> (&[u8; 32], &[u8; 32]) {
    let (low, high) = bytes.split_at(32);
    (low.try_into().expect("half of 64"), high.try_into().expect("half of 64"))
}

fn joined(a: &Num, b: &Num) -> [u8; 64] {
    let mut out = [0; 64];
    out[..32].copy_from_slice(&a.to_bytes());
    out[32..].copy_from_slice(&b.to_bytes());
    out
}

/// A public key as a point. The curve has n points, a prime, so each but infinity is of order n.
#[inline(never)]
fn public(bytes: &[u8; 64]) -> Result<Affine, Error> {
    let (x, y) = halves(bytes);
    let (x, y) = (Num::from_bytes(x), Num::from_bytes(y));
    if x.is_less(&P.value()) & y.is_less(&P.value()) == 0 {
        return Err(Error::PublicKey);
    }
    Affine::new(&x, &y).ok_or(Error::PublicKey)
}

/// A number to blind with, from random bytes: any but 0.
fn blind(bytes: &[u8; 32]) -> Field {
    let mut blind = Num::from_bytes(bytes).reduce(&P);
    blind.0[0] |= blind.is_zero() as i16;
    Field::from_num(&blind)
}

/// Whether these bytes may be a secret key: between 1 and n - 1. 32 random bytes nearly always may.
pub fn is_secret_key(bytes: &[u8; 32]) -> bool {
    secret(bytes).is_ok()
}

/// Whether these bytes are a public key: a point of the curve, and not infinity.
pub fn is_public_key(bytes: &[u8; 64]) -> bool {
    public(bytes).is_ok()
}

/// The public key of a secret one. `random` bytes, unknown to others, only hide what the
/// computation looks like.
///
/// # Errors
/// [`Error::SecretKey`].
pub fn public_key(secret_key: &[u8; 32], random: &[u8; 32]) -> Result<[u8; 64], Error> {
    let mut number = secret(secret_key)?;
    let mut point = Point::INFINITY;
    point::multiply_generator(&number, &blind(random), &mut point);
    wipe_num(&mut number);
    let (x, y) = point.affine();
    Ok(joined(&x, &y))
}

/// ECDH: the secret that is shared with the owner of a public key (SP 800-56A, 5.7.1.2).
/// `random` as for [`public_key`].
///
/// # Errors
/// [`Error::SecretKey`], [`Error::PublicKey`].
pub fn shared_secret(
    secret_key: &[u8; 32],
    public_key: &[u8; 64],
    random: &[u8; 32],
    workspace: &mut Workspace,
) -> Result<[u8; 32], Error> {
    let point = public(public_key)?;
    let mut number = secret(secret_key)?;
    point::multiply(&number, &point, &blind(random), workspace);
    wipe_num(&mut number);
    let (x, _) = workspace.sum.affine();
    Ok(x.to_bytes())
}

/// The leftmost 256 bits of a hash, modulo n (FIPS 186-5, 6.4.1).
fn hash_number(hash: &[u8]) -> Num {
    let mut bytes = [0; 32];
    let length = hash.len().min(32);
    bytes[32 - length..].copy_from_slice(&hash[..length]);
    Num::from_bytes(&bytes).reduce(&N)
}

/// Signs a hash (FIPS 186-5, 6.4.1): r and s.
///
/// The secret number comes from the key, the hash and `fresh` random bytes, by RFC 6979. Bytes that
/// repeat, or none at all, make the signature of a hash repeat, and give nothing away.
///
/// # Errors
/// [`Error::SecretKey`].
pub fn sign<H: Sha256>(
    secret_key: &[u8; 32],
    hash: &[u8],
    fresh: &[u8],
) -> Result<[u8; 64], Error> {
    let hash = hash_number(hash);
    let mut key = secret(secret_key)?;
    let mut nonces = Nonces::new::<H>(secret_key, &hash.to_bytes(), fresh);
    loop {
        let mut nonce = Num::from_bytes(&nonces.next::<H>());
        if N.contains(&nonce) == 1 {
            let random = nonces.blind::<H>();
            let r = x_of_multiple(&nonce, &random);
            let s = fraction(&hash, &r, &key, &nonce, &random);
            wipe_num(&mut nonce);
            if r.is_zero() | s.is_zero() == 0 {
                wipe_num(&mut key);
                return Ok(joined(&r, &s));
            }
        }
        nonces.skip::<H>();
    }
}

/// The x of nonce * G, modulo n.
#[inline(never)]
fn x_of_multiple(nonce: &Num, random: &[u8; 32]) -> Num {
    let mut point = Point::INFINITY;
    point::multiply_generator(nonce, &blind(random), &mut point);
    point.affine().0.reduce(&N)
}

/// (hash + r key) / nonce modulo n, both parts of the fraction times a random number.
#[inline(never)]
fn fraction(hash: &Num, r: &Num, key: &Num, nonce: &Num, random: &[u8; 32]) -> Num {
    use num::multiply_modulo_n as product;

    let mut mask = Num::from_bytes(random).reduce(&N);
    mask.0[0] |= mask.is_zero() as i16;
    let sum = N.add(&product(hash, &mask), &product(r, &product(key, &mask)));
    product(&N.invert(&product(nonce, &mask)), &sum)
}

/// Checks a signature over a hash (FIPS 186-5, 6.4.2). In variable time: all of it is public.
///
/// # Errors
/// [`Error::PublicKey`], [`Error::Signature`].
pub fn verify(
    public_key: &[u8; 64],
    hash: &[u8],
    signature: &[u8; 64],
    workspace: &mut Workspace,
) -> Result<(), Error> {
    let point = public(public_key)?;
    let (r, s) = halves(signature);
    let r = Num::from_bytes(r);
    let (a, b) = factors(hash, &r, s).ok_or(Error::Signature)?;
    point::multiply_both(&a, &b, &point, workspace);
    if is_x_of(&workspace.sum, &r) { Ok(()) } else { Err(Error::Signature) }
}

/// hash / s and r / s modulo n, if s and r may be those of a signature.
#[inline(never)]
fn factors(hash: &[u8], r: &Num, s: &[u8; 32]) -> Option<(Num, Num)> {
    use num::multiply_modulo_n as product;

    let s = Num::from_bytes(s);
    if N.contains(r) & N.contains(&s) == 0 {
        return None;
    }
    let inverse = N.invert(&s);
    Some((product(&hash_number(hash), &inverse), product(r, &inverse)))
}

/// Whether the point's x is r modulo n: r itself or r + n, where that is below p.
#[inline(never)]
fn is_x_of(sum: &Point, r: &Num) -> bool {
    if sum.z.is_zero() {
        return false;
    }
    let mut square = Field::ZERO;
    square.set_square(&sum.z);
    let is = |candidate: &Num| {
        let (mut x, mut difference) = (Field::from_num(candidate), Field::ZERO);
        x.multiply_by(&square);
        difference.set_difference(&x, &sum.x);
        difference.is_zero()
    };
    is(r) || N.raised(r).is_some_and(|raised| is(&raised))
}
