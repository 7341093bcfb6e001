//! What both tests need: memory.
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
