//! Which server is asked when.
//!
//! Whatever happens, one server is asked no more often than every [`FLOOR_S`], and any two
//! questions are a second apart; one that does not help is asked ever less often.

/// Most servers that are known.
pub const MOST_SERVERS: usize = 4;
/// Seconds between two questions to one server at least (RFC 4330 section 10).
pub const FLOOR_S: u32 = 15;
/// Seconds between two questions to a server that does not help at most.
pub const LONGEST_S: u32 = 1024;
/// Seconds between two questions while all is well.
pub const PERIOD_S: u32 = 3600;
/// Seconds after the first answer until another one is to confirm it.
pub const SECOND_LOOK_S: u32 = 64;
/// Seconds until a question counts as lost.
pub const ANSWER_S: u32 = 3;

#[derive(Clone, Copy, Debug)]
struct Server {
    /// Uptime in seconds before which it is not asked, whatever happens.
    floor: u32,
    /// Uptime in seconds before which it is not asked, as it has not helped.
    earliest: u32,
    /// Failures since it last helped.
    failures: u8,
}

/// Who is asked when. Time is uptime in seconds.
#[derive(Clone, Debug)]
pub struct Schedule {
    servers: [Server; MOST_SERVERS],
    count: u8,
    /// The server to ask next, if it may be.
    next: u8,
    /// The server that was asked and has not answered.
    asked: Option<u8>,
    /// When the next question is due, as far as the whole is concerned.
    due: u32,
}

impl Schedule {
    /// For `count` servers, at most [`MOST_SERVERS`], the preferred one first. The first
    /// question is due at once.
    #[must_use]
    pub const fn new(count: usize) -> Self {
        let count = if count < MOST_SERVERS { count } else { MOST_SERVERS };
        Self {
            servers: [Server { floor: 0, earliest: 0, failures: 0 }; MOST_SERVERS],
            count: count as u8,
            next: 0,
            asked: None,
            due: 0,
        }
    }

    /// The server to ask now, which counts as asked then; `None` when it is not time yet or a
    /// question is open.
    pub fn ask(&mut self, now: u32) -> Option<usize> {
        if self.asked.is_some() || now < self.due {
            return None;
        }
        let chosen = (0..self.count).map(|step| (self.next + step) % self.count).find(|index| {
            let server = &self.servers[usize::from(*index)];
            now >= server.floor.max(server.earliest)
        })?;
        self.asked = Some(chosen);
        self.due = now + 1;
        self.servers[usize::from(chosen)].floor = now + FLOOR_S;
        Some(usize::from(chosen))
    }

    /// The server that was asked has told the time: ask again after `seconds`; another one first
    /// if `elsewhere`.
    pub fn helped(&mut self, now: u32, seconds: u32, elsewhere: bool) {
        let Some(asked) = self.asked.take() else { return };
        self.servers[usize::from(asked)].failures = 0;
        self.next = if elsewhere { (asked + 1) % self.count } else { asked };
        self.due = now + seconds.max(1);
    }

    /// The server that was asked does not answer, has no address, or must not be believed. The
    /// others come first; it is asked ever less often. `random` spreads what many devices do.
    pub fn failed(&mut self, now: u32, random: u32) {
        let Some(asked) = self.asked.take() else { return };
        let server = &mut self.servers[usize::from(asked)];
        // 15 s twice, for what is lost on the way, then ever longer.
        let doublings = u32::from(server.failures).saturating_sub(1).min(7);
        server.failures = server.failures.saturating_add(1);
        let delay = (FLOOR_S << doublings).min(LONGEST_S);
        server.earliest = now + delay + random % (delay / 4 + 1);
        self.next = (asked + 1) % self.count;
        self.due = now + 1;
    }

    /// There is an address, or another network: what did not help before may help now.
    pub fn network_changed(&mut self, now: u32) {
        for server in &mut self.servers {
            server.failures = 0;
            server.earliest = server.floor;
        }
        self.due = self.due.min(now);
    }

    /// The time is in doubt: ask as soon as the floor allows, another server than the last first.
    pub fn hurry(&mut self, now: u32) {
        self.due = self.due.min(now);
        if self.asked.is_none() && self.count > 0 {
            self.next = (self.next + 1) % self.count;
        }
    }

    /// Whether a question is open.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        self.asked.is_some()
    }
}
