//! How much stack each task has never used.

use alloc::string::String;
use alloc::vec::Vec;

use vendor_sys as sys;

/// One task's stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headroom {
    /// The task's name.
    pub task: String,
    /// Bytes of its stack that have never been touched.
    pub bytes: usize,
}

/// Every task's headroom.
pub fn headroom() -> Vec<Headroom> {
    // SAFETY: reads a counter.
    let tasks = unsafe { sys::uxTaskGetNumberOfTasks() } as usize;
    // A task may appear between the two calls; then the kernel would report none at all.
    let mut states: Vec<sys::TaskStatus_t> = Vec::with_capacity(tasks + 2);
    // SAFETY: the kernel writes at most `capacity` entries and returns how many it wrote.
    unsafe {
        let filled = sys::uxTaskGetSystemState(
            states.as_mut_ptr(),
            states.capacity() as _,
            core::ptr::null_mut(),
        );
        states.set_len(filled as usize);
    }
    states
        .iter()
        .map(|state| Headroom {
            // SAFETY: the name is a NUL-terminated array inside the task's control block;
            // tasks that delete themselves are freed by the idle task, which cannot run
            // before this task blocks.
            task: unsafe { core::ffi::CStr::from_ptr(state.pcTaskName) }
                .to_string_lossy()
                .into_owned(),
            bytes: state.usStackHighWaterMark as usize * size_of::<sys::StackType_t>(),
        })
        .collect()
}
