//! How many log lines a flood may cause.
//!
//! The console takes 90 us a character: a line for each of a hundred messages a second would keep
//! the device from everything else.

/// Lets so many through at once, and one more for each period that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    burst: u32,
    period_ms: u64,
    left: u32,
    /// Since when the next one is earned.
    since_ms: u64,
    unsaid: u32,
}

impl Throttle {
    /// `burst` at once, then one in `period_ms` milliseconds.
    #[must_use]
    pub const fn new(burst: u32, period_ms: u64) -> Self {
        Self { burst, period_ms, left: burst, since_ms: 0, unsaid: 0 }
    }

    /// Whether one more may pass at `now_ms`: then how many did not since the last that did.
    pub fn take(&mut self, now_ms: u64) -> Option<u32> {
        let earned = now_ms.saturating_sub(self.since_ms) / self.period_ms;
        if earned > 0 {
            self.since_ms += earned * self.period_ms;
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(self.burst);
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        };
        self.left = left;
        Some(core::mem::take(&mut self.unsaid))
    }
}
