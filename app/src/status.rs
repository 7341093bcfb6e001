//! The status task.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use app_model::status::Status;
use rtos::Duration;

use crate::{LedState, Shared};

/// Milliseconds between two statuses when nothing happens.
const PERIOD_MS: u32 = 10_000;

/// What the other tasks know and the status tells.
pub struct Facts {
    led_on: AtomicBool,
    reconnects: AtomicU32,
    reset_reason: &'static str,
}

impl Facts {
    /// At boot: LED off, never connected.
    pub fn new(reset_reason: &'static str) -> Self {
        Self { led_on: AtomicBool::new(false), reconnects: AtomicU32::new(0), reset_reason }
    }

    /// The LED was switched.
    pub fn set_led(&self, state: LedState) {
        self.led_on.store(state == LedState::On, Ordering::Release);
    }

    /// A connection was made again after the first.
    pub fn count_reconnect(&self) {
        self.reconnects.fetch_add(1, Ordering::AcqRel);
    }
}

/// Puts a status into the outbox every 10 s, after each LED change and after each connect,
/// for ever.
pub fn run(shared: &Shared) {
    loop {
        let stacks = rtos::stack::headroom();
        for stack in &stacks {
            log::debug!("{}: {} bytes of stack never used", stack.task, stack.bytes);
        }
        let tightest = stacks.iter().min_by_key(|stack| stack.bytes);
        let facts = &shared.facts;
        let status = Status {
            uptime_s: (rtos::uptime_ms() / 1000) as u32,
            heap_free: rtos::heap::free() as u32,
            heap_min: rtos::heap::low_water() as u32,
            stack_min: tightest.map_or(0, |stack| stack.bytes as u32),
            stack_task: tightest.map_or("", |stack| &stack.task),
            led: if facts.led_on.load(Ordering::Acquire) { LedState::On } else { LedState::Off },
            reset: facts.reset_reason,
            reconnects: facts.reconnects.load(Ordering::Acquire),
            version: env!("CARGO_PKG_VERSION"),
        };
        // Only the newest counts: what the link has not taken makes room.
        let _ = shared.outbox.receive(Duration::zero());
        let _ = shared.outbox.send(status.to_json(), Duration::zero());
        shared.link.wake();
        shared.status.wait(PERIOD_MS);
    }
}
