//! The status task.

use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use app_model::status::{self, Status};
use rtos::{Duration, watchdog};

use crate::{LedState, Shared, wifi};

/// Milliseconds between two statuses when nothing happens.
const PERIOD_MS: u32 = 10_000;

/// Seconds within which the task shows life: one period, and time for the console.
const LIFE_S: u16 = 30;

/// What the other tasks know and the status tells.
pub struct Facts {
    led_on: AtomicBool,
    reconnects: AtomicU32,
    reset_reason: &'static str,
    crash: Option<String>,
    crash_told: AtomicBool,
    forget_crash: fn(),
}

impl Facts {
    /// At boot: LED off, never connected, the crash not told.
    pub fn new(reset_reason: &'static str, crash: Option<String>, forget_crash: fn()) -> Self {
        Self {
            led_on: AtomicBool::new(false),
            reconnects: AtomicU32::new(0),
            reset_reason,
            crash,
            crash_told: AtomicBool::new(false),
            forget_crash,
        }
    }

    /// A status reached the server. Every status carries the crash until then, so this one did;
    /// whether it was the first to do so.
    pub fn published(&self) -> bool {
        let first = self.crash.is_some() && !self.crash_told.swap(true, Ordering::AcqRel);
        if first {
            (self.forget_crash)();
        }
        first
    }

    /// The crash that no status has told of yet.
    fn crash(&self) -> Option<&str> {
        self.crash.as_deref().filter(|_| !self.crash_told.load(Ordering::Acquire))
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
        watchdog::alive(LIFE_S);
        let stacks = rtos::stack::headroom();
        for stack in &stacks {
            log::debug!("{}: {} bytes of stack never used", stack.task, stack.bytes);
        }
        let tightest = stacks.iter().min_by_key(|stack| stack.bytes);
        let facts = &shared.facts;
        let access_point = shared.wifi.as_ref().and_then(wifi::Facts::access_point);
        let status = Status {
            uptime_s: (rtos::uptime_ms() / 1000) as u32,
            heap_free: rtos::heap::free() as u32,
            heap_min: rtos::heap::low_water() as u32,
            stack_min: tightest.map_or(0, |stack| stack.bytes as u32),
            stack_task: tightest.map_or("", |stack| &stack.task),
            led: if facts.led_on.load(Ordering::Acquire) { LedState::On } else { LedState::Off },
            reset: facts.reset_reason,
            reconnects: facts.reconnects.load(Ordering::Acquire),
            version: crate::VERSION,
            wifi: shared.wifi.as_ref().map(|wifi| status::Wifi {
                access_point: access_point.as_ref(),
                reconnects: wifi.reconnects(),
            }),
            crash: facts.crash(),
        };
        // Only the newest counts: what the link has not taken makes room.
        let _ = shared.outbox.receive(Duration::zero());
        let _ = shared.outbox.send(status.to_json(), Duration::zero());
        shared.link.wake();
        shared.status.wait(PERIOD_MS);
    }
}
