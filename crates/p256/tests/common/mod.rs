//! What the tests share.

// Each test program uses its own part.
#![allow(dead_code)]

use sha2::Digest;

/// SHA-256 for `sign`.
pub struct Hash(sha2::Sha256);

impl p256_lx106::Sha256 for Hash {
    fn new() -> Self {
        Self(sha2::Sha256::new())
    }
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

pub fn bytes(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hexadecimal").try_into().expect("32 bytes")
}

pub fn point(x: &str, y: &str) -> [u8; 64] {
    [bytes(x), bytes(y)].concat().try_into().expect("64 bytes")
}
