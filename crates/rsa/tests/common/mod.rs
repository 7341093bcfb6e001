//! What both tests need: memory, and numbers that are the same in every run.
#![allow(dead_code)]

use rsa_lx106::{Error, Key, Memory};

/// Runs `f` with memory of just the right size for the key, full of something.
fn with_memory<T>(key: &Key<'_>, f: impl FnOnce(Memory<'_>) -> T) -> T {
    let (columns, limbs) = Memory::sizes(key);
    f(Memory {
        columns: &mut vec![0x5A5A_5A5A; columns],
        modulus: &mut vec![0x5A5A; limbs],
        number: &mut vec![-0x5A5A; limbs],
    })
}

/// Whether the signature is good.
pub fn verify(modulus: &[u8], e: u32, hash: &[u8], signature: &[u8]) -> Result<(), Error> {
    let key = Key::new(modulus, e)?;
    with_memory(&key, |memory| rsa_lx106::verify(&key, hash, signature, memory))
}

/// signature^e modulo the modulus, the highest byte first.
pub fn decrypt(modulus: &[u8], e: u32, signature: &[u8]) -> Vec<u8> {
    let key = Key::new(modulus, e).expect("a key");
    let mut out = vec![0; modulus.len()];
    with_memory(&key, |memory| rsa_lx106::decrypt(&key, signature, memory, &mut out));
    out.reverse();
    out
}

/// Numbers that are the same in every run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// Bytes of several kinds: any, few bits set, few not, long runs of both.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let kind = self.below(5);
        let mut run = 0;
        (0..length)
            .map(|_| match kind {
                0 | 1 => self.word() as u8,
                2 => 0,
                3 => 0xFF,
                _ => {
                    if self.below(20) == 0 {
                        run = [0, 0xFF, self.word() as u8][self.below(3)];
                    }
                    run
                }
            })
            .collect()
    }
}
