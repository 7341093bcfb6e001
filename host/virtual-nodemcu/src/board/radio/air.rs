//! The air: what is sent, who hears it, and when.
//!
//! It has channels that do not reach into each other, access points, and stations (a board's MAC
//! each). Whoever sends waits until its channel is free; a frame takes the time that its rate
//! takes. Time is in nanoseconds, and goes on when [`Air::advance`] says so.

use std::collections::VecDeque;

use super::ap::{Ap, Out};
use super::crypto;
use super::frame::{self, Address, kind};
use super::pcap::Pcap;
use super::rate::{self, Rate};
use super::settings::Settings;

/// Channels 1 to 14.
const CHANNELS: usize = 15;
/// Frames that wait for a station that does not look; the oldest are lost.
const INBOX: usize = 256;
/// How often an access point sends a frame that nobody acknowledges.
const AP_TRIES: u32 = 7;

/// A frame that a station hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When it ended.
    pub at: u64,
    /// The frame without its checksum.
    pub frame: Vec<u8>,
    /// How strong it was, in dBm.
    pub rssi: i8,
    /// Its rate.
    pub rate: Rate,
}

/// How a station's frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When that was known.
    pub at: u64,
    /// Whether it was acknowledged, or needed no acknowledgement.
    pub acked: bool,
    /// How strong the acknowledgement was, in dBm.
    pub rssi: i8,
}

/// What a station listens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The channel; none: between channels, or the radio is off.
    pub channel: Option<u8>,
    /// Its addresses: it acknowledges what is for them.
    pub addresses: [Option<Address>; 2],
}

/// A frame that a station hands to the air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The frame without its checksum.
    pub frame: Vec<u8>,
    /// Its rate.
    pub rate: Rate,
    /// Slots to wait once the channel is free.
    pub slots: u32,
}

/// A station's place on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationId(usize);

#[derive(Debug, Default)]
struct Station {
    tuning: Tuning,
    heard: VecDeque<Heard>,
    sent: Option<Sent>,
}

impl Station {
    /// The oldest of what it does not take is lost.
    fn hear(&mut self, flight: &Flight, rssi: i8) {
        if self.heard.len() == INBOX {
            self.heard.pop_front();
        }
        let frame = flight.frame.clone();
        self.heard.push_back(Heard { at: flight.end, frame, rssi, rate: flight.rate });
    }

    fn is_meant(&self, to: Option<Address>) -> bool {
        to.is_some() && self.tuning.addresses.contains(&to)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Station(usize),
    Ap(usize),
}

/// A frame that is on the air or waits for it.
#[derive(Debug)]
struct Flight {
    sender: Sender,
    channel: u8,
    start: u64,
    end: u64,
    frame: Vec<u8>,
    rate: Rate,
    tries: u32,
}

/// The air.
pub struct Air {
    now: u64,
    /// Until when each channel is in use.
    busy: [u64; CHANNELS],
    flights: Vec<Flight>,
    stations: Vec<Option<Station>>,
    /// The access points.
    pub aps: Vec<Ap>,
    random: Random,
    /// Where the frames are written down.
    pub pcap: Option<Pcap>,
}

/// Numbers that a seed repeats (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers from `seed` on.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    /// True in so many per cent of all cases.
    pub fn percent(&mut self, percent: u8) -> bool {
        percent > 0 && self.word() % 100 < u64::from(percent)
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.word() as u8)
    }
}

impl Air {
    /// Silent air. `seed` decides what is lost.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            now: 0,
            busy: [0; CHANNELS],
            flights: Vec::new(),
            stations: Vec::new(),
            aps: Vec::new(),
            random: Random::new(seed),
            pcap: None,
        }
    }

    /// Whether nothing is under way, and no result either.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let waits = |station: &Station| station.sent.is_some() || !station.heard.is_empty();
        self.flights.is_empty() && !self.stations.iter().flatten().any(waits)
    }

    /// The time that the air has reached.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Another station, deaf until it is tuned.
    pub fn attach(&mut self) -> StationId {
        let free = self.stations.iter().position(Option::is_none);
        let at = free.unwrap_or_else(|| {
            self.stations.push(None);
            self.stations.len() - 1
        });
        self.stations[at] = Some(Station::default());
        StationId(at)
    }

    /// The station is gone.
    pub fn detach(&mut self, id: StationId) {
        self.abort(id);
        self.stations[id.0] = None;
    }

    /// The station listens elsewhere, or to other addresses.
    pub fn tune(&mut self, id: StationId, tuning: Tuning) {
        if let Some(Some(station)) = self.stations.get_mut(id.0) {
            station.tuning = tuning;
        }
    }

    /// The station sends. There is one frame of it at a time: another before [`Air::sent`] told
    /// the end of the first takes its place.
    pub fn send(&mut self, id: StationId, sending: Sending) {
        self.abort(id);
        let Some(Some(station)) = self.stations.get(id.0) else { return };
        let channel = station.tuning.channel.unwrap_or(0);
        self.start(Sender::Station(id.0), channel, sending, 0);
    }

    /// The station gives up what it sends.
    pub fn abort(&mut self, id: StationId) {
        self.flights.retain(|flight| flight.sender != Sender::Station(id.0));
        if let Some(Some(station)) = self.stations.get_mut(id.0) {
            station.sent = None;
        }
    }

    /// The oldest frame that the station has heard.
    pub fn heard(&mut self, id: StationId) -> Option<Heard> {
        self.stations.get_mut(id.0)?.as_mut()?.heard.pop_front()
    }

    /// How the station's frame ended, once.
    pub fn sent(&mut self, id: StationId) -> Option<Sent> {
        let now = self.now;
        self.stations.get_mut(id.0)?.as_mut()?.sent.take_if(|sent| sent.at <= now)
    }

    /// When something happens next.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let flights = self.flights.iter().map(|flight| flight.end);
        let results = self.stations.iter().flatten().filter_map(|s| s.sent).map(|sent| sent.at);
        let aps = self.aps.iter().filter_map(Ap::next);
        flights.chain(results.filter(|at| *at > self.now)).chain(aps).min()
    }

    /// Lets the time go on to `to`.
    pub fn advance(&mut self, to: u64) {
        loop {
            let landing = (0..self.flights.len()).min_by_key(|i| self.flights[*i].end);
            let landing = landing.filter(|i| self.flights[*i].end <= to);
            let due = (0..self.aps.len())
                .filter_map(|i| Some((self.aps[i].next()?, i)))
                .min()
                .filter(|(at, _)| *at <= to);
            match (landing, due) {
                (Some(flight), due) if due.is_none_or(|(at, _)| self.flights[flight].end <= at) => {
                    let flight = self.flights.swap_remove(flight);
                    self.now = self.now.max(flight.end);
                    self.land(flight);
                }
                (_, Some((at, ap))) => {
                    self.now = self.now.max(at);
                    self.aps[ap].advance(self.now);
                }
                (_, None) => break,
            }
            self.serve_aps();
        }
        self.now = self.now.max(to);
    }

    /// Access points send what they have to, now that something happened.
    pub fn serve_aps(&mut self) {
        for i in 0..self.aps.len() {
            if !self.flights.iter().any(|flight| flight.sender == Sender::Ap(i))
                && let Some(Out { frame, rate }) = self.aps[i].pop()
            {
                let slots = self.backoff(0);
                let channel = self.aps[i].settings().channel;
                self.start(Sender::Ap(i), channel, Sending { frame, rate, slots }, 0);
            }
        }
    }

    /// Random slots of the contention window after so many failures.
    fn backoff(&mut self, tries: u32) -> u32 {
        let window = ((rate::WINDOW + 1) << tries.min(6)) - 1;
        (self.random.word() % u64::from(window + 1)) as u32
    }

    fn start(&mut self, sender: Sender, channel: u8, sending: Sending, tries: u32) {
        let Sending { mut frame, rate, slots } = sending;
        let busy = &mut self.busy[usize::from(channel).min(CHANNELS - 1)];
        let start = self.now.max(*busy) + rate::DIFS + u64::from(slots) * rate::SLOT;
        let end = start + rate.air_time(frame.len() + 4);
        *busy = end;
        if frame::receiver(&frame).is_some() {
            *busy += rate.ack_time();
        }
        if let Sender::Ap(ap) = sender {
            self.aps[ap].stamp(&mut frame, start);
        }
        self.flights.push(Flight { sender, channel, start, end, frame, rate, tries });
    }

    /// A frame has been sent: whoever listens hears it, and acknowledges it.
    fn land(&mut self, flight: Flight) {
        let receiver = frame::receiver(&flight.frame);
        let rssi = match flight.sender {
            Sender::Ap(ap) => self.aps[ap].settings().rssi,
            Sender::Station(_) => self.strongest(flight.channel),
        };
        self.note(&flight.frame, flight.rate, flight.channel, rssi, flight.start);
        let acked = match flight.sender {
            Sender::Ap(ap) => self.land_from_ap(ap, &flight, receiver),
            Sender::Station(station) => self.land_from_station(station, &flight, receiver),
        };
        if acked.is_some() && receiver.is_some() {
            let ack = acknowledgement(&flight.frame);
            let rate = flight.rate.of_ack();
            self.note(&ack, rate, flight.channel, rssi, flight.end + rate::SIFS);
        }
        match flight.sender {
            Sender::Station(station) => {
                let at = match receiver {
                    // A group's frame is done when it ends; an acknowledgement is missed a slot
                    // after it should have begun.
                    None => flight.end,
                    Some(_) if acked.is_some() => flight.end + flight.rate.ack_time(),
                    Some(_) => flight.end + rate::SIFS + 3 * rate::SLOT,
                };
                let sent = Sent {
                    at,
                    acked: receiver.is_none() || acked.is_some(),
                    rssi: acked.unwrap_or(0),
                };
                if let Some(Some(station)) = self.stations.get_mut(station) {
                    station.sent = Some(sent);
                }
            }
            Sender::Ap(ap) => {
                let tries = flight.tries + 1;
                if receiver.is_none() || acked.is_some() {
                    self.aps[ap].delivered(&flight.frame, true, self.now);
                } else if tries < AP_TRIES && self.aps[ap].is_up() {
                    let slots = self.backoff(tries);
                    let mut frame = flight.frame;
                    frame::set_retry(&mut frame);
                    let rate = slower(flight.rate, tries);
                    let sending = Sending { frame, rate, slots };
                    self.start(Sender::Ap(ap), flight.channel, sending, tries);
                } else {
                    self.aps[ap].delivered(&flight.frame, false, self.now);
                }
            }
        }
    }

    /// Signal strength of the acknowledgement, if there was one.
    fn land_from_ap(&mut self, ap: usize, flight: &Flight, to: Option<Address>) -> Option<i8> {
        let settings = self.aps[ap].settings();
        let (rssi, loss, acks) = (settings.rssi, settings.loss, settings.acks);
        let mut acked = None;
        for station in self.stations.iter_mut().flatten() {
            if station.tuning.channel != Some(flight.channel)
                || i32::from(rssi) < flight.rate.sensitivity()
                || self.random.percent(loss)
            {
                continue;
            }
            station.hear(flight, rssi);
            if station.is_meant(to) && !self.random.percent(loss) && acks {
                acked = Some(rssi);
            }
        }
        acked
    }

    fn land_from_station(
        &mut self,
        sender: usize,
        flight: &Flight,
        to: Option<Address>,
    ) -> Option<i8> {
        let mut acked = None;
        for ap in &mut self.aps {
            let Settings { channel, rssi, loss, acks, .. } = *ap.settings();
            if channel != flight.channel
                || !ap.is_up()
                || i32::from(rssi) < flight.rate.sensitivity()
                || self.random.percent(loss)
            {
                continue;
            }
            if to == Some(ap.bssid()) && acks && !self.random.percent(loss) {
                acked = Some(rssi);
            }
            ap.receive(&flight.frame, flight.end);
        }
        // Other stations in reach, at the same strength as the access point of the channel.
        let rssi = self.strongest(flight.channel);
        for (i, station) in self.stations.iter_mut().enumerate() {
            let Some(station) = station else { continue };
            if i == sender || station.tuning.channel != Some(flight.channel) {
                continue;
            }
            station.hear(flight, rssi);
            if station.is_meant(to) {
                acked = Some(rssi);
            }
        }
        acked
    }

    /// Strength at which the stations of a channel are heard.
    fn strongest(&self, channel: u8) -> i8 {
        let aps = self.aps.iter().map(Ap::settings).filter(|ap| ap.channel == channel);
        aps.map(|ap| ap.rssi).max().unwrap_or(-50)
    }

    fn note(&mut self, frame: &[u8], rate: Rate, channel: u8, rssi: i8, at: u64) {
        if let Some(pcap) = &mut self.pcap {
            pcap.write(frame, rate, channel, rssi, at);
        }
    }
}

/// The acknowledgement of a frame.
fn acknowledgement(frame: &[u8]) -> Vec<u8> {
    let mut ack = vec![kind::ACK, 0, 0, 0];
    ack.extend(frame.get(10..16).unwrap_or(&frame::BROADCAST));
    ack
}

/// What an access point repeats a frame at after so many failures.
fn slower(rate: Rate, tries: u32) -> Rate {
    match (rate, tries) {
        (Rate::Dsss(..), _) => rate,
        (_, 0..=1) => rate,
        (_, 2..=3) => Rate::Ofdm(24.min(rate.units())),
        (_, 4..=5) => Rate::Ofdm(12),
        _ => rate::SLOWEST,
    }
}

/// A frame with its checksum, as it is on the air.
#[must_use]
pub fn with_fcs(frame: &[u8]) -> Vec<u8> {
    [frame, &crypto::fcs(frame)].concat()
}
