//! `crates/packets` for the seam in C: `fw_packets` of `vendor/include/fw_hooks.h`.

use alloc::boxed::Box;
use core::ptr;

use packets::{Fault, Guard, Item};
use sys::fw_packet_kind;
use vendor_sys as sys;

/// Logs a fault and names it as `paho_port.h` does.
fn report(fault: Fault) -> i32 {
    log::error!(target: "mqtt", "{fault}: closing");
    let code = |base, kind: u8| base + u32::from(kind);
    let code = match fault {
        Fault::BadLength => sys::PAHO_ERROR_BAD_LENGTH,
        Fault::Unexpected(kind) => code(sys::PAHO_ERROR_UNEXPECTED, kind),
        Fault::Malformed(kind) => code(sys::PAHO_ERROR_MALFORMED, kind),
        Fault::Oversized(kind) => code(sys::PAHO_ERROR_OVERSIZED, kind),
        Fault::SessionPresent => sys::PAHO_ERROR_SESSION_PRESENT,
        Fault::Flood => sys::PAHO_ERROR_FLOOD,
        Fault::OutOfMemory => sys::PAHO_ERROR_NO_MEMORY,
    };
    code as i32
}

fn describe(item: Item) -> sys::fw_packet {
    let packet = |kind, data: &[u8], payload, id: Option<u16>| sys::fw_packet {
        data: data.as_ptr(),
        length: data.len() as u32,
        payload,
        id: id.unwrap_or_default(),
        kind: kind as u8,
    };
    match item {
        Item::Packet(whole) => packet(fw_packet_kind::FW_PACKET_WHOLE, whole, 0, None),
        Item::Oversized { id, payload, topic } => {
            packet(fw_packet_kind::FW_PACKET_OVERSIZED, topic, payload as u32, id)
        }
        Item::PushedOut { id } => packet(fw_packet_kind::FW_PACKET_PUSHED_OUT, &[], 0, id),
        Item::Refused => packet(fw_packet_kind::FW_PACKET_REFUSED, &[], 0, None),
        Item::Aside => packet(fw_packet_kind::FW_PACKET_ASIDE, &[], 0, None),
    }
}

/// The guard behind C's handle.
///
/// # Safety
/// `handle` is of `fw_packets_new`, not freed, and in nobody else's hands meanwhile.
unsafe fn guard<'a>(handle: *mut sys::fw_packets) -> &'a mut Guard {
    // SAFETY: as promised; C's type stands for `Guard`.
    unsafe { &mut *handle.cast() }
}

/// What guards the connection, if there is one. Its owner is the task that makes all of paho's
/// calls, and it must not be held over any of them.
///
/// # Safety
/// The caller is that task, and makes none meanwhile.
pub(crate) unsafe fn of_connection<'a>() -> Option<&'a mut Guard> {
    // SAFETY: as promised: C uses it in such calls only.
    unsafe { sys::paho_packets().cast::<Guard>().as_mut() }
}

/// # Safety
/// `bytes` are `length` readable bytes.
unsafe fn slice<'a>(bytes: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: as promised.
    unsafe { core::slice::from_raw_parts(bytes, length) }
}

#[unsafe(no_mangle)]
extern "C" fn fw_packets_new() -> *mut sys::fw_packets {
    // SAFETY: `Guard` is not zero-sized, so its layout may be allocated.
    let memory = unsafe { alloc::alloc::alloc(core::alloc::Layout::new::<Guard>()) };
    if !memory.is_null() {
        // SAFETY: allocated for a `Guard` just now.
        unsafe { ptr::write(memory.cast(), Guard::new()) };
    }
    memory.cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_free(handle: *mut sys::fw_packets) {
    if !handle.is_null() {
        // SAFETY: made by `fw_packets_new` with the global allocator, as a box would be.
        drop(unsafe { Box::from_raw(handle.cast::<Guard>()) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_sent(
    handle: *mut sys::fw_packets,
    packet: *const u8,
    length: usize,
) {
    // SAFETY: C passes a live handle and a packet with its length.
    unsafe { guard(handle).sent(slice(packet, length)) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_offer(
    handle: *mut sys::fw_packets,
    bytes: *const u8,
    length: usize,
) {
    // SAFETY: C passes a live handle and bytes with their length.
    unsafe { guard(handle).offer(slice(bytes, length)) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_commit(handle: *mut sys::fw_packets) -> i32 {
    // SAFETY: C passes a live handle.
    unsafe { guard(handle) }.commit().map_or_else(report, |()| 0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_discard(handle: *mut sys::fw_packets) {
    // SAFETY: C passes a live handle.
    unsafe { guard(handle) }.discard();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_take(
    handle: *mut sys::fw_packets,
    out: *mut sys::fw_packet,
) -> bool {
    // SAFETY: C passes a live handle.
    let Some(item) = unsafe { guard(handle) }.take() else { return false };
    // SAFETY: and the structure to fill.
    unsafe { *out = describe(item) };
    true
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_packets_waiting(handle: *const sys::fw_packets) -> bool {
    // SAFETY: C passes a live handle.
    !unsafe { guard(handle.cast_mut()) }.is_empty()
}
