//! RSA signatures, verified: PKCS#1 v1.5 (RFC 8017, 8.2.2) with SHA-256, SHA-384 or SHA-512, for the
//! ESP8266's CPU. All of it is public, so it takes the time that it needs.
//!
//! The padded hash that belongs to a signature is made here and compared whole: nothing of a
//! signature is parsed. Nothing is allocated; the caller lends [`Memory`]. The inner loop is
//! assembly on the chip and Rust anywhere else (`kernel`); all else is the same code on both.
#![no_std]
#![deny(unsafe_code)]

#[doc(hidden)]
pub mod kernel;
mod number;

use core::fmt;

use number::{Modulus, Power};

/// The sizes of a modulus that are taken, in bits.
pub const BITS: core::ops::RangeInclusive<usize> = 1024..=4096;

/// Bytes of stack that [`verify`] needs on the chip, those that interrupts need not counted.
pub const STACK: usize = 512;

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// A key that is none: the modulus is even or of a size out of [`BITS`], or the exponent is
    /// even or 1.
    Key,
    /// There is no such hash, or the memory is not of the size that [`Memory::sizes`] says.
    Argument,
    /// The signature is not that of this key over this hash.
    Signature,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "the key is not an RSA key of 1024 to 4096 bits",
            Self::Argument => {
                "the hash is not SHA-256, SHA-384 or SHA-512, or there is too little memory"
            }
            Self::Signature => "the signature is not that of this key over this hash",
        })
    }
}

impl core::error::Error for Error {}

/// A public key.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    modulus: &'a [u8],
    exponent: u32,
}

impl<'a> Key<'a> {
    /// A key of a modulus, its highest byte first and not 0, and an exponent.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn new(modulus: &'a [u8], exponent: u32) -> Result<Self, Error> {
        let odd = modulus.last().is_some_and(|byte| byte % 2 == 1) && exponent % 2 == 1;
        let key = Self { modulus, exponent };
        let whole = modulus.first() != Some(&0) && BITS.contains(&key.bits());
        if odd && exponent > 1 && whole { Ok(key) } else { Err(Error::Key) }
    }

    fn bits(&self) -> usize {
        let zeros = self.modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        8 * self.modulus.len() - zeros
    }
}

/// What a verification needs of memory, whatever is in it.
#[derive(Debug)]
pub struct Memory<'a> {
    /// Words.
    pub columns: &'a mut [i32],
    /// Halfwords.
    pub modulus: &'a mut [i16],
    /// Halfwords.
    pub number: &'a mut [i16],
}

impl Memory<'_> {
    /// How many columns a key wants, and how large modulus and number each are.
    pub fn sizes(key: &Key<'_>) -> (usize, usize) {
        let limbs = number::limbs(key.bits());
        (number::columns(limbs), limbs)
    }
}

/// What stands in front of a hash in its DER encoding (RFC 8017, 9.2, note 1).
fn prefix(hash: &[u8]) -> Option<[u8; 19]> {
    let size = hash.len() as u8;
    let algorithm = match hash.len() {
        32 => 1,
        48 => 2,
        64 => 3,
        _ => return None,
    };
    Some([
        0x30,
        17 + size,
        0x30,
        0x0D,
        6,
        9,
        0x60,
        0x86,
        0x48,
        1,
        0x65,
        3,
        4,
        2,
        algorithm,
        5,
        0,
        4,
        size,
    ])
}

/// Checks a signature over a hash: 32 bytes of SHA-256, 48 of SHA-384, 64 of SHA-512.
///
/// # Errors
/// [`Error::Signature`]; [`Error::Argument`].
pub fn verify(
    key: &Key<'_>,
    hash: &[u8],
    signature: &[u8],
    memory: Memory<'_>,
) -> Result<(), Error> {
    let prefix = prefix(hash).ok_or(Error::Argument)?;
    let Memory { columns, modulus, number } = memory;
    if (columns.len(), modulus.len()) != Memory::sizes(key) || number.len() != modulus.len() {
        return Err(Error::Argument);
    }
    let length = key.modulus.len();
    // Both have their highest byte first, so that this compares numbers.
    if signature.len() != length || signature >= key.modulus {
        return Err(Error::Signature);
    }
    let byte = raise(key, signature, columns, modulus, number);
    // The lowest first: the hash, what stands in front of it, 0, as many 0xFF as there is room for,
    // 1, 0. There is room for more than the eight that RFC 8017 asks for.
    let digest = hash.iter().rev().chain(prefix.iter().rev()).copied().chain([0]);
    let wanted = digest.chain(core::iter::repeat(0xFF)).take(length - 2).chain([1, 0]);
    let same = wanted.enumerate().fold(true, |same, (i, wanted)| same & (byte(i) == wanted));
    if same { Ok(()) } else { Err(Error::Signature) }
}

/// signature^exponent modulo n: its bytes, the lowest first.
fn raise<'a>(
    key: &Key<'_>,
    signature: &[u8],
    columns: &'a mut [i32],
    modulus: &'a mut [i16],
    number: &'a mut [i16],
) -> impl Fn(usize) -> u8 + use<'a> {
    let modulus = Modulus::new(key.modulus, key.bits(), modulus);
    let mut power = Power::new(signature, &modulus, number, columns);
    for bit in (0..key.exponent.ilog2()).rev() {
        power.square();
        if key.exponent >> bit & 1 == 1 {
            power.multiply(signature, bit == 0);
        }
    }
    power.bytes()
}

/// For tests: what [`verify`] compares with the padded hash, the lowest byte first.
#[doc(hidden)]
pub fn decrypt(key: &Key<'_>, signature: &[u8], memory: Memory<'_>, out: &mut [u8]) {
    let byte = raise(key, signature, memory.columns, memory.modulus, memory.number);
    out.iter_mut().enumerate().for_each(|(i, out)| *out = byte(i));
}
