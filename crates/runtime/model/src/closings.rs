//! When updates are left out of connections, because the server ends them over updates, or refuses a
//! subscription.
//!
//! AWS IoT closes the connection without a word at a SUBSCRIBE or PUBLISH that its policy does not
//! allow (AWS IoT developer guide, "AWS IoT Core policies"). A device whose policy knows nothing of
//! jobs has to do its work all the same. A subscription is refused (SUBACK 0x80) while too many are made
//! at once, by whomever of the account: that passes.

/// Milliseconds within which a server answers what is asked of it, or closes.
pub const ANSWER_MS: u32 = 10_000;
/// Connections in a row that end so before one is made without updates.
pub const MOST: u8 = 2;
/// When one without updates is closed within so many milliseconds, they were not the reason.
pub const STABLE_MS: u32 = 60_000;
/// Milliseconds until updates are asked for again.
pub const LEFT_OUT_MS: u32 = 3_600_000;
/// Milliseconds after a refusal until another connection asks anew: between so many and twice as many.
pub const REFUSED_MS: u32 = 10_000;
/// How often that doubles, with each refusal in a row: to 43 minutes.
pub const MOST_DOUBLED: u8 = 8;

/// What is known of the server. Times are of a clock in milliseconds that may wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closings {
    /// Connections in a row that the server has closed over updates.
    in_row: u8,
    /// Since when there are none, because of that.
    left_out: Option<u32>,
    /// When the connection began.
    since: u32,
    /// When the server was asked on it what it has not answered.
    asked: Option<u32>,
    /// Connections in a row on which it has refused a subscription.
    refused: u8,
    /// When this one makes way for another because of that.
    again: Option<u32>,
}

impl Closings {
    /// Whether updates are asked for on the connection that begins.
    pub fn connected(&mut self, now: u32) -> bool {
        self.since = now;
        self.again = None;
        self.left_out = self.left_out.filter(|since| now.wrapping_sub(*since) < LEFT_OUT_MS);
        self.left_out.is_none()
    }

    /// Something is asked for.
    pub fn asked(&mut self, now: u32) {
        self.asked.get_or_insert(now);
    }

    /// The server has answered.
    pub fn answered(&mut self) {
        self.asked = None;
    }

    /// The server has refused a subscription. `own` is a number of this thing's own: when a fleet is too
    /// many at once, it must not come again at once. `soon`: without doubling, because time is short.
    pub fn refused(&mut self, own: u32, soon: bool, now: u32) {
        self.asked = None;
        let pause = REFUSED_MS << if soon { 0 } else { self.refused };
        self.refused = (self.refused + 1).min(MOST_DOUBLED);
        self.again = Some(now.wrapping_add(pause + own % pause));
    }

    /// The server has granted all subscriptions.
    pub fn granted(&mut self) {
        self.refused = 0;
    }

    /// Whether the connection, which is without updates, should make way for one with them.
    #[must_use]
    pub fn is_time(&self, now: u32) -> bool {
        self.left_out.is_some_and(|since| now.wrapping_sub(since) >= LEFT_OUT_MS)
            || self.again.is_some_and(|again| now.wrapping_sub(again) <= u32::MAX / 2)
    }

    /// The connection has ended: `closed` by the server, or otherwise. Whether updates are left out
    /// from now on; `never` on trial, because without an answer there is no proof.
    pub fn ended(&mut self, closed: bool, never: bool, now: u32) -> bool {
        let within = |since: u32, limit| closed && now.wrapping_sub(since) < limit;
        let over_updates = self.asked.take().is_some_and(|asked| within(asked, ANSWER_MS));
        if self.left_out.is_some() {
            if within(self.since, STABLE_MS) {
                self.left_out = None;
                self.in_row = 0;
            }
            return false;
        }
        // One that is tried after the time is enough.
        self.in_row = if over_updates { (self.in_row + 1).min(MOST) } else { 0 };
        let leave_out = self.in_row == MOST && !never;
        if leave_out {
            self.left_out = Some(now);
        }
        leave_out
    }
}
