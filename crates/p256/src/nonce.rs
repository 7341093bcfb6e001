//! The secret number of a signature: HMAC_DRBG with SHA-256 as RFC 6979 has it, with fresh random
//! bytes as its section 3.6 allows.

use core::hint::black_box;

use crate::Sha256;

/// Bytes that SHA-256 takes in at a time.
const BLOCK: usize = 64;

/// What tells the HMAC for [`Nonces::blind`] from RFC 6979's, where 0 and 1 stand there.
const BLIND: u8 = 2;

/// The parts are in RAM: flash gives the chip no single bytes.
fn hmac<H: Sha256>(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let hash = |pad: u8, parts: &[&[u8]]| {
        let mut block = [pad; BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let mut hash = H::new();
        hash.update(&block);
        parts.iter().for_each(|part| hash.update(part));
        hash.finish()
    };
    hash(0x5C, &[&hash(0x36, parts)])
}

/// The generator, RFC 6979 section 3.2.
pub struct Nonces {
    key: [u8; 32],
    value: [u8; 32],
}

impl Nonces {
    /// From the secret key, the hash as a number below n, and fresh random bytes.
    #[inline(never)]
    pub fn new<H: Sha256>(secret: &[u8; 32], hash: &[u8; 32], fresh: &[u8]) -> Self {
        let mut nonces = Self { key: [0; 32], value: [1; 32] };
        for step in 0..2 {
            nonces.key = hmac::<H>(&nonces.key, &[&nonces.value, &[step], secret, hash, fresh]);
            nonces.value = hmac::<H>(&nonces.key, &[&nonces.value]);
        }
        nonces
    }

    /// The next candidate.
    #[inline(never)]
    pub fn next<H: Sha256>(&mut self) -> [u8; 32] {
        self.value = hmac::<H>(&self.key, &[&self.value]);
        self.value
    }

    /// After a candidate that was of no use.
    pub fn skip<H: Sha256>(&mut self) {
        self.key = hmac::<H>(&self.key, &[&self.value, &[black_box(0)]]);
        self.value = hmac::<H>(&self.key, &[&self.value]);
    }

    /// Something else that nobody can know, to blind a computation with.
    pub fn blind<H: Sha256>(&self) -> [u8; 32] {
        hmac::<H>(&self.key, &[&self.value, &[black_box(BLIND)]])
    }
}

impl Drop for Nonces {
    fn drop(&mut self) {
        crate::wipe(&mut self.key);
        crate::wipe(&mut self.value);
    }
}
