//! How far the clock is trusted, and whose word it takes.

/// Seconds by which an answer may differ from a clock that a server has set: beyond that it needs
/// a second witness (the panic threshold of RFC 5905).
pub const STEP: u32 = 1000;
/// Seconds after the firmware's build that no answer may pass: by then the roots that are built
/// in have expired.
pub const FARTHEST: u32 = 20 * 365 * 86_400;
/// Seconds by which two answers that speak of the same time may differ, time between them allowed
/// for.
const AGREE: u32 = 10;

/// Where the time comes from, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// The firmware's build: it is later than that.
    Build,
    /// A time kept from before a reset: it is later than that.
    Kept,
    /// A time server.
    Server,
}

/// What became of a server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken; the clock was only a lower bound before.
    Set,
    /// Taken; it differs little from what the clock said.
    Agrees,
    /// Taken; the clock was wrong.
    Corrected,
    /// Not taken yet: it differs much from what the clock says, and a second answer must
    /// confirm it.
    Doubted,
    /// Before the firmware's build: with that, expired certificates would be valid again.
    BeforeBuild,
    /// Absurdly late.
    TooLate,
}

/// The wall clock. Knows time since boot only from its arguments, in seconds.
#[derive(Clone, Debug)]
pub struct Clock {
    build: u32,
    /// Time of day at boot, as far as is known.
    boot: u32,
    trust: Trust,
    /// Time of day at boot by a word that was not taken yet.
    doubt: Option<u32>,
    /// A certificate's dates did not fit: the next word is taken even if it differs much.
    suspect: bool,
}

impl Clock {
    /// A clock that knows only when the firmware was built.
    #[must_use]
    pub const fn new(build: u32) -> Self {
        Self { build, boot: build, trust: Trust::Build, doubt: None, suspect: false }
    }

    /// Takes a time kept from before the reset as a lower bound, unless it is absurd or older than
    /// the firmware. Does nothing once a server has been heard.
    pub fn recall(&mut self, kept: u32, uptime: u32) {
        if self.trust == Trust::Build && kept > self.build && !self.is_too_late(kept) {
            self.boot = kept.saturating_sub(uptime);
            self.trust = Trust::Kept;
        }
    }

    /// Seconds since 1970: exact by a server's word, else at least.
    #[must_use]
    pub fn now(&self, uptime: u32) -> u32 {
        self.boot.saturating_add(uptime)
    }

    /// Where the time comes from.
    #[must_use]
    pub const fn trust(&self) -> Trust {
        self.trust
    }

    /// Whether it is exact, as far as anybody knows, and not only a lower bound.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self.trust, Trust::Server)
    }

    /// Whether it is worth keeping over a reset: a server's word that nothing speaks against.
    #[must_use]
    pub const fn is_worth_keeping(&self) -> bool {
        self.is_exact() && !self.suspect && self.doubt.is_none()
    }

    /// A certificate's dates do not fit: perhaps the time is wrong. What the clock says stays, as
    /// an expired certificate must not help itself in; but the next word counts at once.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// Judges a server's word, and takes it if it is good.
    pub fn hear(&mut self, seconds: u32, uptime: u32) -> Verdict {
        if seconds < self.build {
            return Verdict::BeforeBuild;
        }
        if self.is_too_late(seconds) {
            return Verdict::TooLate;
        }
        let (now, boot) = (self.now(uptime), seconds.saturating_sub(uptime));
        let far = match self.trust {
            Trust::Build => false,
            // A lower bound: only what is earlier contradicts it.
            Trust::Kept => seconds < now.saturating_sub(STEP),
            Trust::Server => seconds.abs_diff(now) > STEP,
        };
        let confirmed =
            self.suspect || self.doubt.is_some_and(|doubt| boot.abs_diff(doubt) <= AGREE);
        if far && !confirmed {
            self.doubt = Some(boot);
            return Verdict::Doubted;
        }
        let verdict = match (self.trust, far) {
            (Trust::Server, true) => Verdict::Corrected,
            (Trust::Server, false) => Verdict::Agrees,
            _ => Verdict::Set,
        };
        *self = Self { boot, trust: Trust::Server, doubt: None, suspect: false, build: self.build };
        verdict
    }

    fn is_too_late(&self, seconds: u32) -> bool {
        seconds > self.build.saturating_add(FARTHEST)
    }
}
