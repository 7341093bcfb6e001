//! Figures of the one heap that C and Rust share.

use core::sync::atomic::{AtomicU32, Ordering};

use vendor_sys as sys;

/// Fewest bytes that were free before the mark that was set last.
static BEFORE: AtomicU32 = AtomicU32::new(u32::MAX);

/// Bytes free now.
pub fn free() -> usize {
    // SAFETY: reads a counter of the heap.
    unsafe { sys::xPortGetFreeHeapSize() as usize }
}

/// Fewest bytes that were ever free since boot: the low-water mark.
pub fn low_water() -> usize {
    low_water_since_mark().min(BEFORE.load(Ordering::Relaxed) as usize)
}

/// The same since [`mark`], or since boot.
pub fn low_water_since_mark() -> usize {
    // SAFETY: reads a counter of the heap.
    unsafe { sys::xPortGetMinimumEverFreeHeapSize() as usize }
}

/// From now on [`low_water_since_mark`] counts anew.
pub fn mark() {
    BEFORE.fetch_min(low_water_since_mark() as u32, Ordering::Relaxed);
    // SAFETY: sets that counter to what is free now.
    unsafe { sys::xPortResetHeapMinimumEverFreeHeapSize() };
}

/// Bytes of the largest block that can be had now: what fragmentation leaves.
pub fn largest_block() -> usize {
    let mut stats = sys::HeapStats_t::default();
    // SAFETY: fills the structure that it is given.
    unsafe { sys::vPortGetHeapStats(&mut stats) };
    stats.xSizeOfLargestFreeBlockInBytes
}
