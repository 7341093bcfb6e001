//! The status task.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use rtos::{Waker, watchdog};
use runtime::{Thing, made};

use crate::LedState;

/// Milliseconds between two statuses when nothing happens.
const PERIOD_MS: u32 = 10_000;

/// Seconds within which the task shows life: one period, and time for the console.
const LIFE_S: u16 = 30;

/// What the task tells, and who asks it to.
#[derive(Clone)]
pub struct Reporter {
    thing: Thing,
    topic: &'static str,
    led_on: Arc<AtomicBool>,
    due: Waker,
}

impl Reporter {
    /// At boot: LED off.
    pub fn new(thing: Thing, topic: &'static str) -> Self {
        let due = made(Waker::new());
        Self { thing, topic, led_on: Arc::new(AtomicBool::new(false)), due }
    }

    /// Wakes the task for a fresh status.
    pub fn due(&self) -> Waker {
        self.due.clone()
    }

    /// The LED was switched.
    pub fn set_led(&self, state: LedState) {
        self.led_on.store(state == LedState::On, Ordering::Release);
        self.due.wake();
    }

    /// Reports every 10 s, after each LED change and after each connect, for ever.
    pub fn run(&self) {
        loop {
            watchdog::alive(LIFE_S);
            let led_on = self.led_on.load(Ordering::Acquire);
            self.thing.report(self.topic, if led_on { r#""led":"on""# } else { r#""led":"off""# });
            self.due.wait(PERIOD_MS);
        }
    }
}
