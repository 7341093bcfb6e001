//! Figures of the one heap that C and Rust share.

use esp8266_sys as sys;

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
