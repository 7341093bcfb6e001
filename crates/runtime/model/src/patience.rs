//! How long a device goes on trying before it suspects itself.
//!
//! A device with a link and without a connection usually waits for somebody else: a server, a
//! router, a person. But it may be its own fault, in a state that no reconnect reaches, and then
//! only a reset helps. So after hours it is reset once, tells of it in its next status, and has
//! hours again.
//!
//! Time without a link does not count where the link is a cable: a reset would change nothing. That
//! nothing is in reach of a radio is the word of the part that may be at fault, deaf or wedged, and a
//! reset starts it anew. So there that time counts for a quarter: 16 hours at least, since many an access
//! point is off at night.

/// Least time without a connection, link up, until the reset, in milliseconds: four hours, more
/// than most outages last.
pub const LEAST_MS: u32 = 4 * 60 * 60 * 1000;

/// Up to so many milliseconds are added by chance: devices that lost the same server must not be
/// reset in step.
pub const SPREAD_MS: u32 = 60 * 60 * 1000;

/// Adds up the time without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    radio: bool,
    limit_ms: u32,
    without_ms: u32,
    connected_ms: u64,
    looked_ms: u64,
}

impl Patience {
    /// From `now_ms` on. `radio`: the link is one. `random` is an evenly distributed number that other
    /// devices do not draw too.
    #[must_use]
    pub fn new(now_ms: u64, radio: bool, random: u32) -> Self {
        let spread = (u64::from(random) * u64::from(SPREAD_MS)) >> 32;
        let limit_ms = LEAST_MS + spread as u32;
        Self { radio, limit_ms, without_ms: 0, connected_ms: now_ms, looked_ms: now_ms }
    }

    /// There is a connection, or was until now.
    pub fn connected(&mut self, now_ms: u64) {
        self.without_ms = 0;
        self.connected_ms = now_ms;
        self.looked_ms = now_ms;
    }

    /// There is no connection; `link` says whether there is a link. Whether that has been so for
    /// too long.
    pub fn is_over(&mut self, now_ms: u64, link: bool) -> bool {
        // A pause of the backoff, less than a day, lies between two looks.
        let passed_ms = now_ms.saturating_sub(self.looked_ms) as u32;
        self.without_ms = self.without_ms.saturating_add(match link {
            true => passed_ms,
            false if self.radio => passed_ms / 4,
            false => 0,
        });
        self.looked_ms = now_ms;
        self.without_ms >= self.limit_ms
    }

    /// Whole hours without a connection so far, with a link or without.
    #[must_use]
    pub fn hours(&self) -> u64 {
        self.looked_ms.saturating_sub(self.connected_ms) / 3_600_000
    }
}
