//! A flag that one task sets to wake another.

use alloc::sync::Arc;

use freertos_rust::{FreeRtosError, Semaphore};

use crate::at_least;

/// Wakes the task that waits on it. Cloned freely; several wakes before a wait count as one.
#[derive(Clone)]
pub struct Waker(Arc<Semaphore>);

impl Waker {
    /// A flag that is not set.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new() -> Result<Self, FreeRtosError> {
        let flag = Semaphore::new_binary()?;
        Ok(Self(Arc::new(flag)))
    }

    /// Sets the flag.
    pub fn wake(&self) {
        self.0.give();
    }

    /// Waits until the flag is set or `milliseconds` have passed ([`at_least`]), and clears it.
    /// Whether it was set.
    pub fn wait(&self, milliseconds: u32) -> bool {
        self.0.take(at_least(milliseconds)).is_ok()
    }
}
