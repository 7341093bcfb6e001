//! The radio: MAC, analogue side, and the air that they reach.

pub mod air;
pub mod ap;
pub mod authenticator;
pub mod crypto;
pub mod eapol;
pub mod frame;
pub mod mac;
pub mod pcap;
pub mod phy;
pub mod rate;
pub mod settings;
pub mod shared;

use std::io;
use std::path::Path;

use air::{Air, StationId, Tuning};
use ap::Ap;
use mac::{Mac, Memory};
use phy::Phy;
use settings::Settings;
use shared::{Client, Server};

use crate::snapshot::{Keep, Kept, Tape};

/// Access points of one air.
const MOST_APS: usize = 32;

/// MAC, analogue side, and their place on the air.
pub struct Radio {
    /// The MAC.
    pub mac: Mac,
    /// The analogue side.
    pub phy: Phy,
    /// The air, unless another board owns it.
    pub air: Air,
    station: StationId,
    /// The air of another board.
    elsewhere: Option<Client>,
    /// Serves the air to other boards.
    server: Option<Server>,
    tuned: Tuning,
    seed: u64,
    /// Nanoseconds up to which all has been seen.
    now: u64,
}

/// The radio of a board that is alone on its air, which is then quiet ([`Radio::unkept`]).
impl Keep for Radio {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.mac.keep(tape)?;
        self.phy.keep(tape)?;
        self.tune();
        Ok(())
    }
}

impl Radio {
    /// What a snapshot cannot hold of it; `wait` says whether it may be over soon.
    #[must_use]
    pub fn unkept(&self) -> Option<(&'static str, bool)> {
        if self.is_shared() {
            Some(("other boards are on its air", false))
        } else if !self.air.aps.is_empty() {
            Some(("access points are on (give --ap when it is loaded)", false))
        } else if !self.mac.is_quiet() || !self.air.is_quiet() {
            Some(("the radio sends all the time", true))
        } else {
            None
        }
    }

    /// A radio on air without anybody else.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut air = Air::new(seed);
        let station = air.attach();
        Self {
            mac: Mac::new(0),
            phy: Phy::default(),
            air,
            station,
            elsewhere: None,
            server: None,
            tuned: Tuning::default(),
            seed,
            now: 0,
        }
    }

    /// A reset of the chip at `now` nanoseconds; the air does not notice.
    pub fn reset(&mut self, now: u64) {
        self.abort();
        self.mac = Mac::new(now);
        self.phy = Phy::default();
        self.tune();
    }

    /// The air of the board that serves it at `path`, instead of one's own.
    ///
    /// # Errors
    /// Nobody serves it.
    pub fn join_air(&mut self, path: &Path) -> io::Result<()> {
        let mut client = Client::new(path)?;
        client.tune(self.tuned);
        self.elsewhere = Some(client);
        Ok(())
    }

    /// Serves the air to other boards at `path`.
    ///
    /// # Errors
    /// The path is in use, or cannot be made.
    pub fn serve_air(&mut self, path: &Path) -> io::Result<()> {
        self.server = Some(Server::new(path)?);
        Ok(())
    }

    /// Whether other boards share the air: it has to be looked at often then.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.elsewhere.is_some() || self.server.is_some()
    }

    /// Exchanges frames with other boards.
    pub fn poll_others(&mut self) {
        if let Some(server) = &mut self.server {
            server.poll(&mut self.air);
        }
        if let Some(client) = &mut self.elsewhere {
            client.poll();
        }
    }

    /// The channel that the receiver is on.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        self.tuned.channel
    }

    /// When something happens next, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let news = self.elsewhere.as_ref().is_some_and(Client::has_news);
        if self.mac.is_broken() || news {
            return Some(self.now);
        }
        self.air.next().into_iter().chain(self.mac.next()).min()
    }

    /// Lets the time go on to `now` nanoseconds.
    pub fn advance(&mut self, now: u64, memory: &mut Memory) {
        self.now = now;
        self.mac.advance(now);
        self.air.advance(now);
        while let Some(heard) = match &mut self.elsewhere {
            Some(client) => client.heard(now),
            None => self.air.heard(self.station),
        } {
            self.mac.heard(&heard, memory);
        }
        let sent = match &mut self.elsewhere {
            Some(client) => client.sent(now),
            None => self.air.sent(self.station),
        };
        if let Some(sent) = sent {
            self.mac.sent(sent, memory);
            self.exchange();
        }
        if self.mac.end_broken(memory).is_some() {
            self.exchange();
        }
    }

    /// Writes a register of the MAC at `now` nanoseconds.
    pub fn write_mac(&mut self, address: u32, value: u32, now: u64, memory: &Memory) {
        self.mac.write(address, value, now, memory);
        self.tune();
        self.air.advance(now);
        self.exchange();
    }

    /// Writes a register of the baseband.
    pub fn write_baseband(&mut self, address: u32, value: u32) {
        self.phy.write(address, value);
        self.tune();
    }

    /// The MAC is reset by itself.
    pub fn reset_mac(&mut self) {
        self.mac.reset();
        self.exchange();
    }

    fn tune(&mut self) {
        let tuning = self.mac.tuning(self.phy.channel());
        if tuning != self.tuned {
            self.tuned = tuning;
            match &mut self.elsewhere {
                Some(client) => client.tune(tuning),
                None => self.air.tune(self.station, tuning),
            }
        }
    }

    fn abort(&mut self) {
        match &mut self.elsewhere {
            Some(client) => client.abort(),
            None => self.air.abort(self.station),
        }
    }

    fn exchange(&mut self) {
        if self.mac.take_aborted() {
            self.abort();
        }
        if let Some(sending) = self.mac.take_sending() {
            match &mut self.elsewhere {
                Some(client) => client.send(&sending),
                None => self.air.send(self.station, sending),
            }
        }
    }

    /// Switches an access point on at `now` nanoseconds.
    ///
    /// # Errors
    /// There are too many, or one has that address.
    pub fn add_access_point(&mut self, settings: Settings, now: u64) -> Result<(), String> {
        if self.elsewhere.is_some() {
            return Err("the air belongs to another board: its access points are there".to_owned());
        }
        if self.air.aps.len() == MOST_APS {
            return Err(format!("there are {MOST_APS} access points, no more fit"));
        }
        self.air.advance(now);
        let number = self.air.aps.len() as u8 + 1;
        let ap = Ap::new(settings, number, self.seed, now);
        if self.air.aps.iter().any(|other| other.bssid() == ap.bssid()) {
            return Err(format!("another access point is {}", frame::text(ap.bssid())));
        }
        self.air.aps.push(ap);
        Ok(())
    }

    /// Access points send what came from the network behind them.
    pub fn serve(&mut self) {
        self.air.serve_aps();
    }

    /// Whether frames wait for the network behind the access points.
    #[must_use]
    pub fn has_wire(&self) -> bool {
        self.air.aps.iter().any(Ap::has_wire)
    }
}
