//! The clock: waits for it, keeps the time over resets, and doubts it when a certificate's dates
//! do not fit.

use net::clock::{Date, Trust};
use rtos::Duration;

use crate::TimeStore;

/// Milliseconds that a first connect waits for the clock. Against a lower bound, a certificate
/// that has expired since would be taken.
const TIMEOUT_MS: u64 = 20_000;
/// Milliseconds between two times that are kept: as much may be missing after a reset.
const KEEP_MS: u64 = 3_600_000;

/// Waits for the first answer of a time server, but not for ever: a lower bound may do.
pub fn wait() {
    let start = rtos::uptime_ms();
    while !net::clock::is_synchronised() {
        if rtos::uptime_ms() - start > TIMEOUT_MS {
            let (trust, now) = net::clock::reading();
            let source = match trust {
                Trust::Kept => "kept from before the reset",
                _ => "when this firmware was built",
            };
            log::warn!(
                "no answer from a time server: it is later than {} ({source}); until one answers, certificates count as begun",
                Date::of(now)
            );
            return;
        }
        rtos::CurrentTask::delay(Duration::ms(50));
    }
}

/// Whether there is a time from before a reset, which a thing that wakes may connect with.
pub fn is_kept() -> bool {
    matches!(net::clock::reading(), (Trust::Kept, _))
}

/// A connection failed: if a certificate's dates did not fit, the time is asked for again.
pub fn look_at_failure() {
    if tls::Error::last().is_some_and(|error| error.dates_do_not_fit()) {
        net::clock::suspect();
    }
}

/// Hands the time to the board now and then.
pub struct Keeper {
    store: TimeStore,
    due_ms: u64,
}

impl Keeper {
    /// Takes the time that the board has kept as a lower bound.
    pub fn new(store: TimeStore) -> Self {
        if let Some(kept) = (store.kept)() {
            net::clock::recall(kept);
        }
        Self { store, due_ms: 0 }
    }

    /// Keeps the time now, if it is worth that.
    pub fn keep(&self) {
        if let Some(now) = net::clock::worth_keeping() {
            (self.store.keep)(now);
        }
    }

    /// While connected, when a server's certificate has fitted the time: keeps it once an hour.
    pub fn turn(&mut self) {
        if rtos::uptime_ms() >= self.due_ms
            && let Some(now) = net::clock::worth_keeping()
        {
            (self.store.keep)(now);
            self.due_ms = rtos::uptime_ms() + KEEP_MS;
        }
    }
}
