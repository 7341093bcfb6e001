//! The LX106 CPU as Rust sees it: a panic and a failed allocation end in the crash report,
//! `alloc` uses the kernel's heap, and the reset reason and the cycle counter are there to
//! read. The C side is `bsp/lx106/c`.
//!
//! ```ignore
//! if let Some(record) = lx106::crash_record() {
//!     log::warn!("crashed before: {record}");
//!     lx106::forget_crash();
//! }
//! let start = lx106::cycles();
//! work();
//! log::info!("{} cycles", lx106::cycles() - start);
//! ```
#![no_std]
// The handler for failed allocations has no stable replacement; without it they would be
// reported as a panic, without their cause.
#![feature(alloc_error_handler)]

extern crate alloc;

mod int128;
mod kept;

use alloc::string::String;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::mem::size_of;
use core::panic::PanicInfo;
use core::ptr;

// bsp/lx106/include/crash.h, lx106.h and bsp/lx106/c/heap.c. `usize` is C's size_t here.
unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn free(block: *mut c_void);

    fn crash_panic(message: *const u8, length: usize) -> !;
    safe fn crash_out_of_memory(size: usize) -> !;

    safe fn lx106_restart() -> !;
    safe fn lx106_reset_reason() -> u32;
    safe fn lx106_crash_count() -> u32;
    safe fn lx106_crashes_in_a_row() -> u32;
    fn lx106_give_up(why: *const u8, length: usize) -> !;
    fn lx106_crash_record(record: *mut u8) -> usize;
    safe fn lx106_forget_crash();
    safe fn lx106_cycles() -> u64;
    safe fn lx106_interrupt_stack_free() -> u32;

    safe static board_cpu_hz: u32;
}

pub use kept::{Kept, keep_time, kept_time};

/// Why the CPU was last reset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResetReason {
    /// The power was off: RAM held no valid note.
    PowerOn,
    /// Reset from outside: a button, a debugger, a watchdog.
    External,
    /// [`restart`].
    Software,
    /// A CPU exception.
    Exception,
    /// A failed assertion in C.
    Assert,
    /// An allocation failed that nobody could do without.
    OutOfMemory,
    /// A task overflowed its stack.
    StackOverflow,
    /// A Rust panic.
    Panic,
    /// A task, or all of them, showed no life for too long.
    Watchdog,
    /// [`give_up`].
    GaveUp,
    /// A deep sleep ended.
    DeepSleep,
}

impl ResetReason {
    /// The reason as a word, such as `power-on` or `stack-overflow`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PowerOn => "power-on",
            Self::External => "external",
            Self::Software => "software",
            Self::Exception => "exception",
            Self::Assert => "assert",
            Self::OutOfMemory => "out-of-memory",
            Self::StackOverflow => "stack-overflow",
            Self::Panic => "panic",
            Self::Watchdog => "watchdog",
            Self::GaveUp => "gave-up",
            Self::DeepSleep => "deep-sleep",
        }
    }
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the CPU was last reset; the same answer until the next reset.
pub fn reset_reason() -> ResetReason {
    // The numbers of enum lx106_reset_reason in crash.h.
    match lx106_reset_reason() {
        0 => ResetReason::PowerOn,
        2 => ResetReason::Software,
        3 => ResetReason::Exception,
        4 => ResetReason::Assert,
        5 => ResetReason::OutOfMemory,
        6 => ResetReason::StackOverflow,
        7 => ResetReason::Panic,
        8 => ResetReason::Watchdog,
        9 => ResetReason::GaveUp,
        10 => ResetReason::DeepSleep,
        _ => ResetReason::External,
    }
}

/// Crashes since power-on, the one that caused the last reset included.
pub fn crash_count() -> u32 {
    lx106_crash_count()
}

/// Crashes in a row, the one that caused the last reset included: each came within ten minutes
/// of its boot, and nobody reset the board or cut its power in between.
pub fn crashes_in_a_row() -> u32 {
    lx106_crashes_in_a_row()
}

/// `CRASH_RECORD_MAX` of crash.h.
const CRASH_RECORD: usize = 96;

/// The record of the last crash that nobody has forgotten yet, as one line: cause, address,
/// task. It survives resets, not a power cut.
pub fn crash_record() -> Option<String> {
    let mut record = [0; CRASH_RECORD];
    // SAFETY: writes at most CRASH_RECORD bytes and returns how many.
    let length = unsafe { lx106_crash_record(record.as_mut_ptr()) };
    let record = record.get(..length)?;
    // A panic's message may have been cut inside a character.
    (length > 0).then(|| String::from_utf8_lossy(record).into_owned())
}

/// Forgets the crash record: it has reached whom it concerns.
pub fn forget_crash() {
    lx106_forget_crash();
}

/// Resets the board on purpose; the next boot's reason is [`ResetReason::Software`].
pub fn restart() -> ! {
    lx106_restart()
}

/// Resets the board because it cannot do its work and a fresh start may help. `why`, one line,
/// becomes the crash record, and the next boot's reason is [`ResetReason::GaveUp`].
pub fn give_up(why: &str) -> ! {
    // SAFETY: the pointer and the length are those of `why`.
    unsafe { lx106_give_up(why.as_ptr(), why.len()) }
}

/// CPU cycles since boot.
pub fn cycles() -> u64 {
    lx106_cycles()
}

/// CPU clock in Hz.
pub fn clock_hz() -> u32 {
    board_cpu_hz
}

/// Bytes of the interrupt stack that were never used.
pub fn interrupt_stack_free() -> u32 {
    lx106_interrupt_stack_free()
}

/// The kernel's heap (`malloc`), which aligns to 8 bytes.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

/// What `malloc` guarantees: `portBYTE_ALIGNMENT`.
const MALLOC_ALIGNMENT: usize = 8;

// SAFETY: malloc, realloc and free keep the contract of GlobalAlloc for alignments up to
// MALLOC_ALIGNMENT; for larger ones the block is over-allocated, the pointer returned is
// aligned inside it, and the word in front of it remembers where the block starts.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: malloc takes any size and returns null when it cannot serve it.
            return unsafe { malloc(layout.size()) }.cast();
        }
        let Some(size) = layout.size().checked_add(layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: as above.
        let block: *mut u8 = unsafe { malloc(size) }.cast();
        if block.is_null() {
            return block;
        }
        // `block` is a multiple of 8 and the alignment a larger power of two, so there are
        // between 8 and `align` bytes in front of the pointer: room for one word.
        let offset = layout.align() - (block.addr() & (layout.align() - 1));
        // SAFETY: offset <= align, so the result and `layout.size()` bytes after it lie
        // inside the block; the word in front lies inside it because offset >= 8.
        unsafe {
            let aligned = block.add(offset);
            aligned.sub(size_of::<usize>()).cast::<*mut u8>().write(block);
            aligned
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let block = if layout.align() <= MALLOC_ALIGNMENT {
            pointer
        } else {
            // SAFETY: `alloc` wrote the block's address there for this alignment.
            unsafe { pointer.sub(size_of::<usize>()).cast::<*mut u8>().read() }
        };
        // SAFETY: `block` came from malloc and, by the caller's promise, is not used again.
        unsafe { free(block.cast()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGNMENT {
            // SAFETY: `pointer` came from malloc; new_size is not zero by the contract.
            return unsafe { realloc(pointer.cast(), new_size) }.cast();
        }
        // SAFETY: the caller promises that new_size is valid for this alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the layout's size is not zero by the contract of `realloc`.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both blocks are valid for the smaller size and do not overlap; the
            // old one is given back exactly once.
            unsafe {
                ptr::copy_nonoverlapping(pointer, new, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
        }
        new
    }
}

#[alloc_error_handler]
fn on_alloc_error(layout: Layout) -> ! {
    crash_out_of_memory(layout.size())
}

/// A panic message in the making, cut at a size that any task's stack can spare.
struct Message {
    bytes: [u8; 160],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let copied = room.len().min(text.len());
        room[..copied].copy_from_slice(&text.as_bytes()[..copied]);
        self.length += copied;
        Ok(())
    }
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message { bytes: [0; 160], length: 0 };
    // Writing to `Message` cannot fail, and a failing Display in the panic's arguments
    // only shortens the message.
    if let Some(location) = info.location() {
        let _ = write!(message, "{}:{}: ", location.file(), location.line());
    }
    let _ = write!(message, "{}", info.message());
    // SAFETY: the pointer and the length describe the bytes written above.
    unsafe { crash_panic(message.bytes.as_ptr(), message.length) }
}
