//! How long to wait before the next attempt to connect.
//!
//! Exponential backoff with full jitter, as AWS recommends it ("Exponential Backoff And Jitter",
//! AWS Architecture Blog, 2015; the AWS IoT device SDKs do the same): of all ways to spread clients
//! that lost their server together, it costs the server the fewest attempts. A delay is drawn
//! evenly between nothing and a window that doubles with every attempt, up to the cap.
//!
//! Below that lies a floor of one second: AWS IoT Core takes one CONNECT per second and client
//! id, and a jitter of nothing would break that.

/// Least delay in milliseconds.
pub const FLOOR_MS: u32 = 1_000;

/// Window of the jitter for the first attempt in milliseconds.
pub const BASE_MS: u32 = 1_000;

/// A connection that lasted so many milliseconds was stable, unless the cap is longer.
///
/// What repeats itself without being stable (a server that takes the connection and drops it when
/// it sees the first message, a client id that two devices share) fails within seconds, or, when
/// nothing is answered, at latest at the next keep-alive. Where that is later than this, no more
/// harm comes of it than one attempt a minute.
pub const STABLE_MS: u32 = 60_000;

/// Window of the jitter before the first attempt after a boot, in milliseconds. After a power cut
/// all devices of a place boot together.
pub const FIRST_MS: u32 = 5_000;

/// Delays between attempts to connect, from the first failure to the next stable connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest delay in milliseconds.
    cap_ms: u32,
    /// Width of the next jitter in milliseconds, floor excluded.
    window_ms: u32,
}

impl Backoff {
    /// No delay will be longer than `cap_s` seconds. A cap below two seconds counts as two: there
    /// must be room for jitter.
    #[must_use]
    pub fn new(cap_s: u16) -> Self {
        Self { cap_ms: (u32::from(cap_s) * 1_000).max(FLOOR_MS + BASE_MS), window_ms: BASE_MS }
    }

    /// From now on no delay will be longer than `cap_s` seconds, as in [`Backoff::new`].
    pub fn set_cap(&mut self, cap_s: u16) {
        let Self { cap_ms, .. } = Self::new(cap_s);
        self.cap_ms = cap_ms;
        self.window_ms = self.window_ms.min(cap_ms - FLOOR_MS);
    }

    /// The delay in milliseconds before the first attempt after a boot: drawn evenly from
    /// [`FIRST_MS`], or, when `crashes` in a row led to it, from the floor on, in a window that
    /// doubles with each of them up to the cap. `random` as for [`Backoff::next_delay_ms`].
    ///
    /// A crash may have to do with the connection; with many devices it may be the reason why the
    /// server suffers.
    pub fn first_delay_ms(&self, crashes: u32, random: u32) -> u32 {
        let (least, window) = match crashes {
            0 => (0, FIRST_MS.min(self.cap_ms)),
            _ => {
                // Sixteen doublings are more than any cap, and fit.
                let window = FIRST_MS << (crashes - 1).min(16);
                (FLOOR_MS, window.min(self.cap_ms - FLOOR_MS))
            }
        };
        least + drawn(window, random)
    }

    /// The delay in milliseconds before the next attempt, and a wider window for the one after.
    ///
    /// `random` is an evenly distributed number that other devices do not draw too: with the same
    /// numbers for all, there is no jitter.
    pub fn next_delay_ms(&mut self, random: u32) -> u32 {
        let jitter = drawn(self.window_ms, random);
        self.window_ms = (self.window_ms.saturating_mul(2)).min(self.cap_ms - FLOOR_MS);
        FLOOR_MS + jitter
    }

    /// Says that a connection has ended that lasted `duration_ms`. Only if it was stable does the
    /// window start anew: after [`STABLE_MS`], or the cap where that is longer.
    pub fn connected_for(&mut self, duration_ms: u32) {
        if duration_ms >= STABLE_MS.max(self.cap_ms) {
            self.window_ms = BASE_MS;
        }
    }
}

/// A number from 0 to `window`, evenly drawn by `random`, to one part in 2^32.
fn drawn(window: u32, random: u32) -> u32 {
    // The high half of the product is at most `window` and so fits.
    ((u64::from(random) * (u64::from(window) + 1)) >> 32) as u32
}
