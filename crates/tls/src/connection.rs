//! `crates/records` for the C side: `fw_records` of `vendor/include/fw_hooks.h`.

use alloc::alloc::{Layout, alloc};
use alloc::boxed::Box;
use core::ptr;
use core::slice;

use records::{Content, Error, OVERHEAD, PREFIX, Progress, Receiver, Sender, Sink};
use sys::{fw_record_fault, fw_record_fault_kind, fw_record_progress, fw_record_sink};
use vendor_sys as sys;

const _: () = assert!(
    PREFIX == sys::FW_RECORD_PREFIX as usize
        && OVERHEAD == sys::FW_RECORD_OVERHEAD as usize
        && OVERHEAD + 2 == sys::FW_RECORD_ALERT as usize
);

/// Both directions of a connection.
struct Records {
    sender: Sender,
    receiver: Receiver,
}

/// C's functions that take data.
struct Functions<'a>(&'a fw_record_sink);

impl Sink for Functions<'_> {
    fn offer(&mut self, bytes: &[u8]) {
        if let Some(offer) = self.0.offer {
            // SAFETY: C's own function and context, and bytes with their length.
            unsafe { offer(self.0.context, bytes.as_ptr(), bytes.len()) };
        }
    }

    fn commit(&mut self) {
        if let Some(commit) = self.0.commit {
            // SAFETY: C's own function and context.
            unsafe { commit(self.0.context) };
        }
    }

    fn discard(&mut self) {
        if let Some(discard) = self.0.discard {
            // SAFETY: as above.
            unsafe { discard(self.0.context) };
        }
    }
}

fn describe(error: Error) -> fw_record_fault {
    let kind = match error {
        Error::Version => fw_record_fault_kind::FW_RECORD_VERSION,
        Error::Length => fw_record_fault_kind::FW_RECORD_LENGTH,
        Error::Tag => fw_record_fault_kind::FW_RECORD_TAG,
        Error::Unexpected => fw_record_fault_kind::FW_RECORD_UNEXPECTED,
        Error::Malformed => fw_record_fault_kind::FW_RECORD_MALFORMED,
        Error::Alert(_) => fw_record_fault_kind::FW_RECORD_ALERTED,
        Error::Truncated => fw_record_fault_kind::FW_RECORD_TRUNCATED,
        Error::Exhausted => fw_record_fault_kind::FW_RECORD_EXHAUSTED,
        Error::Over => fw_record_fault_kind::FW_RECORD_OVER,
    };
    let received = if let Error::Alert(number) = error { number } else { 0 };
    fw_record_fault { kind: kind as u8, answer: error.alert().unwrap_or_default(), received }
}

/// The connection behind C's handle.
///
/// # Safety
/// `handle` is of `fw_records_new`, not freed, and in nobody else's hands meanwhile.
unsafe fn connection<'a>(handle: *mut sys::fw_records) -> &'a mut Records {
    // SAFETY: as promised; C's type stands for `Records`.
    unsafe { &mut *handle.cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_new(
    key_block: *const u8,
    key_size: usize,
    sent: u64,
    received: u64,
) -> *mut sys::fw_records {
    // SAFETY: C's block has room for two keys and two salts.
    let key_block = unsafe { slice::from_raw_parts(key_block, 2 * key_size + 8) };
    // Not Box::new, which would end in a crash where C can do without, and put it on the stack
    // first.
    // SAFETY: the type has a size.
    let room: *mut Records = unsafe { alloc(Layout::new::<Records>()) }.cast();
    if room.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: room for it, aligned; whole once both parts are written.
    let mut records = unsafe {
        (&raw mut (*room).sender).write(Sender::EMPTY);
        (&raw mut (*room).receiver).write(Receiver::EMPTY);
        Box::from_raw(room)
    };
    let parts = (&mut records.sender, &mut records.receiver);
    if !records::client(parts, key_block, key_size, sent, received) {
        return ptr::null_mut();
    }
    Box::into_raw(records).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_free(handle: *mut sys::fw_records) {
    if !handle.is_null() {
        // SAFETY: made by fw_records_new as a Box would be, and not used again.
        drop(unsafe { Box::from_raw(handle.cast::<Records>()) });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_wanted(handle: *mut sys::fw_records) -> usize {
    // SAFETY: C passes a live handle.
    unsafe { connection(handle) }.receiver.wanted()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_take(
    handle: *mut sys::fw_records,
    bytes: *mut u8,
    length: usize,
    sink: &fw_record_sink,
    fault: &mut fw_record_fault,
) -> u8 {
    // SAFETY: C passes a live handle, and bytes with their length.
    let (records, bytes) =
        unsafe { (connection(handle), slice::from_raw_parts_mut(bytes, length)) };
    let progress = match records.receiver.take(bytes, &mut Functions(sink)) {
        Ok((_, Progress::More)) => fw_record_progress::FW_RECORD_MORE,
        Ok((_, Progress::Data)) => fw_record_progress::FW_RECORD_DATA,
        Ok((_, Progress::Nothing)) => fw_record_progress::FW_RECORD_NOTHING,
        Ok((_, Progress::Refuse)) => fw_record_progress::FW_RECORD_REFUSE,
        Ok((_, Progress::Closed)) => fw_record_progress::FW_RECORD_CLOSED,
        Err(error) => {
            *fault = describe(error);
            fw_record_progress::FW_RECORD_FAULT
        }
    };
    progress as u8
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_end(
    handle: *mut sys::fw_records,
    sink: &fw_record_sink,
    fault: &mut fw_record_fault,
) -> bool {
    // SAFETY: C passes a live handle.
    match unsafe { connection(handle) }.receiver.end(&mut Functions(sink)) {
        Ok(()) => true,
        Err(error) => {
            *fault = describe(error);
            false
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_seal(
    handle: *mut sys::fw_records,
    record: *mut u8,
    length: usize,
) -> bool {
    // SAFETY: C passes a live handle, and bytes with their length.
    let (records, record) =
        unsafe { (connection(handle), slice::from_raw_parts_mut(record, length)) };
    records.sender.seal(Content::Data, record).is_ok()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fw_records_alert(
    handle: *mut sys::fw_records,
    description: u8,
    record: *mut [u8; OVERHEAD + 2],
) -> bool {
    // SAFETY: C passes a live handle.
    let Ok(alert) = unsafe { connection(handle) }.sender.alert(description) else { return false };
    // SAFETY: C has room for it.
    unsafe { record.write(alert) };
    true
}
