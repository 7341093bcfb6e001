//! Key derivation: HMAC-SHA1, the pseudo-random function, the keys of a network and of a session.

use crate::{Aes128, Mac, Sha1};

/// Bytes of a pairwise master key.
pub const PMK_LENGTH: usize = 32;

/// Block of SHA-1 in bytes.
const BLOCK: usize = 64;

/// HMAC-SHA1 (RFC 2104) with the key's two blocks already hashed: PBKDF2 uses one key 8,192
/// times.
#[derive(Clone)]
pub struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: Sha1> Hmac<H> {
    /// Takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            let mut hash = H::new();
            hash.update(key);
            block[..20].copy_from_slice(&hash.finish());
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| {
            let mut hash = H::new();
            hash.update(&block.map(|byte| byte ^ pad));
            hash
        };
        Self { inner: padded(0x36), outer: padded(0x5C) }
    }

    /// The code of a message given in parts.
    #[must_use]
    pub fn of(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }
}

/// The pairwise master key of a passphrase: PBKDF2 (RFC 8018) with 4,096 rounds of HMAC-SHA1
/// and the SSID as salt (IEEE 802.11-2020, J.4.1). Some 16,000 blocks of SHA-1: seconds of an
/// ESP8266.
#[must_use]
pub fn pmk<H: Sha1>(passphrase: &[u8], ssid: &[u8]) -> [u8; PMK_LENGTH] {
    const ROUNDS: u32 = 4096;
    let hmac = Hmac::<H>::new(passphrase);
    let mut pmk = [0; PMK_LENGTH];
    for (index, part) in (1u32..).zip(pmk.chunks_mut(20)) {
        let mut round = hmac.of(&[ssid, &index.to_be_bytes()]);
        let mut sum = round;
        for _ in 1..ROUNDS {
            round = hmac.of(&[&round]);
            for (sum, byte) in sum.iter_mut().zip(round) {
                *sum ^= byte;
            }
        }
        part.copy_from_slice(&sum[..part.len()]);
    }
    pmk
}

/// Fills `out` by the pseudo-random function PRF-n (IEEE 802.11-2020, 12.7.1.2) over a context
/// given in parts.
pub fn prf<H: Sha1>(key: &[u8], label: &str, context: [&[u8]; 4], out: &mut [u8]) {
    let hmac = Hmac::<H>::new(key);
    let [a, b, c, d] = context;
    for (index, part) in (0u8..).zip(out.chunks_mut(20)) {
        let block = hmac.of(&[label.as_bytes(), &[0], a, b, c, d, &[index]]);
        part.copy_from_slice(&block[..part.len()]);
    }
}

/// The keys of one session with an access point (pairwise transient key, IEEE 802.11-2020,
/// 12.7.1.3).
#[derive(Clone, PartialEq, Eq)]
pub struct Ptk {
    /// Confirms EAPOL-Key frames.
    pub kck: [u8; 16],
    /// Encrypts the key data in them.
    pub kek: [u8; 16],
    /// Encrypts data frames.
    pub tk: [u8; 16],
}

impl Ptk {
    /// Derives them from both addresses and both nonces, in either order.
    #[must_use]
    pub fn derive<H: Sha1>(
        pmk: &[u8; PMK_LENGTH],
        addresses: [&Mac; 2],
        nonces: [&[u8; 32]; 2],
    ) -> Self {
        let [a, b] = addresses;
        let [m, n] = nonces;
        let mut bytes = [0; 48];
        let context: [&[u8]; 4] = [a.min(b), a.max(b), m.min(n), m.max(n)];
        prf::<H>(pmk, "Pairwise key expansion", context, &mut bytes);
        let part = |at: usize| {
            let mut part = [0; 16];
            part.copy_from_slice(&bytes[at..at + 16]);
            part
        };
        Self { kck: part(0), kek: part(16), tk: part(32) }
    }
}

/// Unwraps a key in place (AES key wrap, RFC 3394) and returns the plain text, the last
/// `wrapped.len() - 8` bytes. `None` when the length is no multiple of 8 or below 24, or the
/// integrity check fails; the bytes are of no use then.
pub fn unwrap<'a, A: Aes128>(kek: &[u8; 16], wrapped: &'a mut [u8]) -> Option<&'a mut [u8]> {
    if wrapped.len() < 24 || !wrapped.len().is_multiple_of(8) {
        return None;
    }
    let aes = A::new(kek);
    let (check, plain) = wrapped.split_first_chunk_mut::<8>()?;
    let count = (plain.len() / 8) as u64;
    for round in (0..6).rev() {
        for (index, part) in plain.chunks_exact_mut(8).enumerate().rev() {
            let step = u64::from_be_bytes(*check) ^ (count * round + index as u64 + 1);
            let mut block = [0; 16];
            block[..8].copy_from_slice(&step.to_be_bytes());
            block[8..].copy_from_slice(part);
            aes.decrypt(&mut block);
            check.copy_from_slice(&block[..8]);
            part.copy_from_slice(&block[8..]);
        }
    }
    (*check == [0xA6; 8]).then_some(plain)
}

/// Whether two codes are equal, in a time that does not tell where they differ.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
