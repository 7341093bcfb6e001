//! The elliptic curve that mbedTLS's glue asks for: `fw_hooks.h` over `p256_lx106`.

use core::ffi::c_int;
use core::mem::MaybeUninit;

use p256_lx106 as p256;
use vendor_sys as sys;

/// mbedTLS's SHA-256.
pub struct Sha256(sys::mbedtls_sha256_context);

impl p256::Sha256 for Sha256 {
    fn new() -> Self {
        let mut context = MaybeUninit::uninit();
        // SAFETY: the first call makes any memory a context, the second begins a hash in one and
        // fails only for a hash that is neither SHA-256 (0) nor SHA-224.
        unsafe {
            sys::mbedtls_sha256_init(context.as_mut_ptr());
            sys::mbedtls_sha256_starts(context.as_mut_ptr(), 0);
            Self(context.assume_init())
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        // SAFETY: a context that was begun, and bytes with their length. It cannot fail.
        unsafe { sys::mbedtls_sha256_update(&raw mut self.0, bytes.as_ptr(), bytes.len() as _) };
    }

    fn finish(mut self) -> [u8; 32] {
        let mut hash = [0; 32];
        // SAFETY: as above, and room for the hash.
        unsafe {
            sys::mbedtls_sha256_finish(&raw mut self.0, hash.as_mut_ptr());
            sys::mbedtls_sha256_free(&raw mut self.0);
        }
        hash
    }
}

/// Stores what was computed and says in C whether there is anything.
fn store<const N: usize>(result: Result<[u8; N], p256::Error>, out: &mut [u8; N]) -> c_int {
    match result {
        Ok(bytes) => {
            *out = bytes;
            0
        }
        Err(_) => -1,
    }
}

const _: () = assert!(size_of::<p256::Workspace>() <= size_of::<sys::fw_p256_workspace>());

// An array parameter in C is a pointer to so many bytes, hence a reference: the glue passes arrays
// of its own.

#[unsafe(no_mangle)]
extern "C" fn fw_p256_is_secret_key(key: &[u8; 32]) -> bool {
    p256::is_secret_key(key)
}

#[unsafe(no_mangle)]
extern "C" fn fw_p256_is_public_key(key: &[u8; 64]) -> bool {
    p256::is_public_key(key)
}

#[unsafe(no_mangle)]
extern "C" fn fw_p256_public_key(
    secret: &[u8; 32],
    random: &[u8; 32],
    public_key: &mut [u8; 64],
) -> c_int {
    store(p256::public_key(secret, random), public_key)
}

#[unsafe(no_mangle)]
extern "C" fn fw_p256_shared_secret(
    secret: &[u8; 32],
    public_key: &[u8; 64],
    random: &[u8; 32],
    workspace: &mut MaybeUninit<p256::Workspace>,
    shared: &mut [u8; 32],
) -> c_int {
    let workspace = workspace.write(p256::Workspace::NEW);
    store(p256::shared_secret(secret, public_key, random, workspace), shared)
}

/// # Safety
/// `hash` points to `hash_length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn fw_p256_sign(
    secret: &[u8; 32],
    hash: *const u8,
    hash_length: usize,
    fresh: &[u8; 32],
    signature: &mut [u8; 64],
) -> c_int {
    // SAFETY: the caller's promise.
    let hash = unsafe { core::slice::from_raw_parts(hash, hash_length) };
    store(p256::sign::<Sha256>(secret, hash, fresh), signature)
}

/// # Safety
/// `hash` points to `hash_length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn fw_p256_verify(
    public_key: &[u8; 64],
    hash: *const u8,
    hash_length: usize,
    signature: &[u8; 64],
    workspace: &mut MaybeUninit<p256::Workspace>,
) -> c_int {
    // SAFETY: the caller's promise.
    let hash = unsafe { core::slice::from_raw_parts(hash, hash_length) };
    let workspace = workspace.write(p256::Workspace::NEW);
    if p256::verify(public_key, hash, signature, workspace).is_ok() { 0 } else { -1 }
}
