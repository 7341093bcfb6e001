//! AES and AES-GCM for the C side, as `fw_hooks.h` says: it keeps keys and messages in words of
//! its own. A key is nothing but words, so that any content of them is one.

use core::{ptr, slice};

use gcm::{Aes, BLOCK, Direction, Key, Message};

/// What C has room for: FW_AES_WORDS, FW_GCM_KEY_WORDS and FW_GCM_MESSAGE_WORDS.
const _: () = assert!(
    size_of::<Aes>() <= 61 * 4
        && size_of::<Key>() <= 125 * 4
        && size_of::<Message>() <= 20 * 4
        && align_of::<Key>() <= 4
        && align_of::<Message>() <= 4
);

/// C's pair of address and length.
///
/// # Safety
/// `length` bytes at `data` are readable and do not change; null is allowed for none.
unsafe fn bytes<'a>(data: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_aes_set_key(aes: &mut Aes, key: *const u8, size: usize) -> bool {
    // SAFETY: as fw_hooks.h says.
    aes.set(unsafe { bytes(key, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_aes_encrypt(
    aes: &Aes,
    input: *const [u8; BLOCK],
    output: *mut [u8; BLOCK],
) {
    // SAFETY: a block each, which may be the same one: it is read before it is written.
    unsafe { output.write(aes.encrypt(&input.read())) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_gcm_set_key(key: &mut Key, from: *const u8, size: usize) -> bool {
    // SAFETY: as fw_hooks.h says.
    key.set(unsafe { bytes(from, size) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_gcm_begin(
    message: *mut Message,
    key: &Key,
    encrypt: bool,
    nonce: *const u8,
    size: usize,
) {
    let direction = if encrypt { Direction::Encrypt } else { Direction::Decrypt };
    // SAFETY: as fw_hooks.h says.
    unsafe { message.write(key.message(direction, bytes(nonce, size), &[])) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_gcm_additional(
    message: &mut Message,
    key: &Key,
    data: *const u8,
    size: usize,
) {
    // SAFETY: as fw_hooks.h says.
    message.additional(key, unsafe { bytes(data, size) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_gcm_update(message: &mut Message, key: &Key, data: *mut u8, size: usize) {
    if size > 0 {
        // SAFETY: as fw_hooks.h says.
        message.update(key, unsafe { slice::from_raw_parts_mut(data, size) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_gcm_tag(message: *mut Message, key: &Key, tag: *mut [u8; BLOCK]) {
    // SAFETY: a message that was begun; C does not use it again before the next begin.
    unsafe { tag.write(ptr::read(message).tag(key)) };
}
