//! The kernel for safe Rust.
//!
//! Tasks, queues, locks and timers are freertos-rust's, re-exported. What it leaves out is
//! here: figures about heap and stacks, uptime, a wake-up flag between tasks, signs of life for
//! the watchdog, and the log.
//!
//! ```ignore
//! let queue = Arc::new(Queue::<u32>::new(4)?);
//! let numbers = Arc::clone(&queue);
//! Task::new().name("reader").stack_size(256).priority(priority::PROMPT).start(move |_| {
//!     loop {
//!         watchdog::alive(30);
//!         if let Ok(number) = numbers.receive(Duration::ms(10_000)) {
//!             ::log::info!("{number}");
//!         }
//!     }
//! })?;
//! queue.send(7, Duration::zero())?;
//! ```

#![no_std]

extern crate alloc;

pub mod console;
pub mod heap;
pub mod log;
pub mod stack;
mod waker;
pub mod watchdog;

use vendor_sys as sys;

pub use freertos_rust::{
    CurrentTask, Duration, FreeRtosError, Mutex, Queue, Semaphore, Task, TaskPriority, Timer,
};
pub use waker::Waker;

/// Priorities of all tasks, in one place because only their order means anything.
///
/// The link task works through TLS handshakes of 100 million instructions: all that must
/// stay prompt meanwhile is above it.
pub mod priority {
    use super::TaskPriority;

    /// Owns the MQTT client; computes handshakes.
    pub const LINK: TaskPriority = TaskPriority(2);
    /// Measures, waits for pins, composes statuses: what an application does, without haste.
    pub const ORDINARY: TaskPriority = TaskPriority(3);
    /// Short work that must not wait for anything else of the application: switches the LED.
    pub const PROMPT: TaskPriority = TaskPriority(4);
}

/// Time to wait for so many milliseconds, in whole ticks of the kernel's clock (5 ms), the first of
/// which is under way. What is shorter than one is one: none would be no wait at all, in which no task
/// of less priority runs. `Duration::ms` rounds down.
pub fn at_least(milliseconds: u32) -> Duration {
    const TICK_MS: u32 = 1000 / sys::configTICK_RATE_HZ;
    Duration::ms(milliseconds.saturating_add(TICK_MS - 1))
}

/// Milliseconds since the scheduler started, in 64 bits: the 32-bit tick count alone would
/// wrap within a year.
pub fn uptime_ms() -> u64 {
    let mut now = sys::TimeOut_t::default();
    // SAFETY: fills the structure that it is given; callable from any task.
    unsafe { sys::vTaskSetTimeOutState(&mut now) };
    let ticks = (u64::from(now.xOverflowCount as u32) << 32) | u64::from(now.xTimeOnEntering);
    ticks * 1000 / u64::from(sys::configTICK_RATE_HZ)
}

/// Microseconds that the calling task has had the CPU to itself, interrupts included. Wraps
/// after an hour: for differences only.
pub fn cpu_time_us() -> u32 {
    // SAFETY: NULL means the calling task; the frequency is a constant of the board.
    let (units, hz) =
        unsafe { (sys::ulTaskGetRunTimeCounter(core::ptr::null_mut()), sys::board_cpu_hz) };
    // The kernel counts in units of 256 cycles (`portGET_RUN_TIME_COUNTER_VALUE`).
    (u64::from(units) * 256_000_000 / u64::from(hz)) as u32
}

/// Starts the scheduler. Tasks created so far begin to run; never returns.
pub fn run() -> ! {
    freertos_rust::FreeRtosUtils::start_scheduler()
}
