//! What the tests share.

// Each test program uses its own part.
#![allow(dead_code)]

pub use crypto_tests::{Hash, bytes};

pub fn point(x: &str, y: &str) -> [u8; 64] {
    [bytes::<32>(x), bytes(y)].concat().try_into().expect("64 bytes")
}

/// With a workspace that another call has used.
pub fn verify(key: &[u8; 64], hash: &[u8], signature: &[u8; 64]) -> Result<(), p256_lx106::Error> {
    WORKSPACE.with_borrow_mut(|workspace| p256_lx106::verify(key, hash, signature, workspace))
}

pub fn shared_secret(
    secret: &[u8; 32],
    public: &[u8; 64],
    random: &[u8; 32],
) -> Result<[u8; 32], p256_lx106::Error> {
    WORKSPACE
        .with_borrow_mut(|workspace| p256_lx106::shared_secret(secret, public, random, workspace))
}

thread_local! {
    static WORKSPACE: std::cell::RefCell<p256_lx106::Workspace> =
        const { std::cell::RefCell::new(p256_lx106::Workspace::NEW) };
}
