//! The RSA that mbedTLS's glue asks for: `fw_hooks.h` over `rsa_lx106`.

use core::ffi::c_int;
use core::slice;

use rsa_lx106::{Key, Memory};
use vendor_sys as sys;

/// C's key.
///
/// # Safety
/// As `fw_hooks.h` says: `length` bytes at `modulus`, which do not change while it is used.
unsafe fn key(key: &sys::fw_rsa_key) -> Option<Key<'_>> {
    // SAFETY: the caller's promise.
    let modulus = unsafe { slice::from_raw_parts(key.modulus, key.length) };
    Key::new(modulus, key.exponent).ok()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_rsa_workspace(from: &sys::fw_rsa_key) -> usize {
    // SAFETY: as fw_hooks.h says.
    let Some(key) = (unsafe { key(from) }) else { return 0 };
    let (columns, limbs) = Memory::sizes(&key);
    columns * size_of::<i32>() + 2 * limbs * size_of::<i16>()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_rsa_verify(
    from: &sys::fw_rsa_key,
    hash: *const u8,
    hash_length: usize,
    signature: *const u8,
    workspace: *mut i32,
) -> c_int {
    // SAFETY: as fw_hooks.h says.
    let (key, hash, signature) = unsafe {
        (
            key(from),
            slice::from_raw_parts(hash, hash_length),
            slice::from_raw_parts(signature, from.length),
        )
    };
    let Some(key) = key else { return -1 };
    let (columns, limbs) = Memory::sizes(&key);
    // SAFETY: as many bytes as fw_rsa_workspace says, set to something: columns, then two numbers.
    let memory = unsafe {
        let numbers: *mut i16 = workspace.add(columns).cast();
        Memory {
            columns: slice::from_raw_parts_mut(workspace, columns),
            modulus: slice::from_raw_parts_mut(numbers, limbs),
            number: slice::from_raw_parts_mut(numbers.add(limbs), limbs),
        }
    };
    if rsa_lx106::verify(&key, hash, signature, memory).is_ok() { 0 } else { -1 }
}
