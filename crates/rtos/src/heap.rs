//! Figures of the one heap that C and Rust share.

use vendor_sys as sys;

/// Bytes free now.
pub fn free() -> usize {
    // SAFETY: reads a counter of the heap.
    unsafe { sys::xPortGetFreeHeapSize() as usize }
}

/// Fewest bytes that were ever free since boot: the low-water mark.
pub fn low_water() -> usize {
    // SAFETY: as above.
    unsafe { sys::xPortGetMinimumEverFreeHeapSize() as usize }
}

/// Bytes of the largest block that can be had now: what fragmentation leaves.
pub fn largest_block() -> usize {
    let mut stats = sys::HeapStats_t::default();
    // SAFETY: fills the structure that it is given.
    unsafe { sys::vPortGetHeapStats(&mut stats) };
    stats.xSizeOfLargestFreeBlockInBytes
}
