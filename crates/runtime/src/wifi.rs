//! The Wi-Fi task: does with the board's radio what `runtime_model::wifi` decides.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use identity::{Identity, WifiKey, WifiNetwork};
use rtos::{Duration, Mutex, watchdog};
pub use runtime_model::wifi::{AccessPoint, Bssid, Reason, Security, Ssid};
use runtime_model::wifi::{Network, Station, Step};

use crate::{Thing, made, pause};

/// A board's radio.
pub trait Wifi: Send + 'static {
    /// Whether the network driver has started it.
    fn is_on(&self) -> bool;
    /// Begins to look for access points; [`Event::Scanned`] follows. False when it did not begin.
    fn scan(&mut self) -> bool;
    /// Shows what the last scan found, strongest first.
    fn found(&mut self, see: &mut dyn FnMut(AccessPoint));
    /// Begins to join; [`Event::Connected`] or [`Event::Disconnected`] follows. False when it did
    /// not begin.
    fn join(&mut self, target: &Target) -> bool;
    /// Ends the connection, or the try; [`Event::Disconnected`] follows.
    fn leave(&mut self);
    /// The next event, if one comes within so many milliseconds.
    fn next_event(&mut self, milliseconds: u32) -> Option<Event>;
    /// The access point of the connection.
    fn current(&self) -> Option<AccessPoint>;
    /// A network's key, from its passphrase: seconds of computing.
    fn pmk(&self, passphrase: &str, ssid: &Ssid) -> [u8; 32];
    /// Keeps an access point over resets: the network's place in the identity, address, channel.
    fn keep(&mut self, network: usize, access_point: &AccessPoint);
    /// The one that was kept last, if any.
    fn kept(&self) -> Option<(usize, Bssid, u8)>;
}

/// A board without a radio. There is none of it, so that nothing of this module is in its image.
pub enum NoRadio {}

impl Wifi for NoRadio {
    fn is_on(&self) -> bool {
        match *self {}
    }
    fn scan(&mut self) -> bool {
        match *self {}
    }
    fn found(&mut self, _: &mut dyn FnMut(AccessPoint)) {
        match *self {}
    }
    fn join(&mut self, _: &Target) -> bool {
        match *self {}
    }
    fn leave(&mut self) {
        match *self {}
    }
    fn next_event(&mut self, _: u32) -> Option<Event> {
        match *self {}
    }
    fn current(&self) -> Option<AccessPoint> {
        match *self {}
    }
    fn pmk(&self, _: &str, _: &Ssid) -> [u8; 32] {
        match *self {}
    }
    fn keep(&mut self, _: usize, _: &AccessPoint) {
        match *self {}
    }
    fn kept(&self) -> Option<(usize, Bssid, u8)> {
        match *self {}
    }
}

/// What to join.
#[derive(Clone, Copy)]
pub struct Target {
    /// The network.
    pub ssid: Ssid,
    /// The access point, if not any.
    pub bssid: Option<Bssid>,
    /// The channel to begin with; 0 for any.
    pub channel: u8,
    /// The network's key; none for an open one.
    pub pmk: Option<[u8; 32]>,
    /// Whether the radio sleeps between beacons once it has joined.
    pub modem_sleep: bool,
}

/// What the radio tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A scan is over.
    Scanned,
    /// Joined: frames flow.
    Connected,
    /// A connection ended, or did not come about.
    Disconnected(Reason),
}

/// Seconds within which the task shows life: its longest wait, and the computing of a key.
const LIFE_S: u16 = 60;
/// Milliseconds between two looks at the clock and the address.
const LOOK_MS: u32 = 1_000;
/// Milliseconds that a scan or a join may take: all channels twice, and every try of the
/// handshake.
const STEP_MS: u64 = 20_000;
/// Milliseconds without an address after which a connection is of no use.
const ADDRESS_MS: u64 = 20_000;

/// What is told of a radio that does not answer, and why the device is then reset.
const DEAD: &str = "the radio does not answer";

/// What the status tells of the radio.
pub(crate) struct Facts {
    access_point: Mutex<Option<AccessPoint>>,
    reconnects: AtomicU32,
}

impl Facts {
    /// Not connected, never was.
    pub fn new() -> Self {
        Self { access_point: made(Mutex::new(None)), reconnects: AtomicU32::new(0) }
    }

    /// The access point of the connection.
    pub fn access_point(&self) -> Option<AccessPoint> {
        *self.access_point.lock(Duration::infinite()).ok()?
    }

    /// Connections that were made again after the first.
    pub fn reconnects(&self) -> u32 {
        self.reconnects.load(Ordering::Acquire)
    }

    fn set(&self, access_point: Option<AccessPoint>) {
        if let Ok(mut place) = self.access_point.lock(Duration::infinite()) {
            *place = access_point;
        }
    }
}

/// The networks of an identity.
pub(crate) struct Networks {
    known: Vec<Known>,
    backoff_cap_s: u16,
    modem_sleep: bool,
}

impl Networks {
    /// Takes them out of it.
    pub fn of(identity: &Identity<'static>) -> Self {
        let known = identity.wifi.iter().filter_map(Known::of).collect();
        let Identity { backoff_cap_s, modem_sleep, .. } = *identity;
        Self { known, backoff_cap_s, modem_sleep }
    }
}

/// A network of the identity, and its key once it is known.
struct Known {
    ssid: Ssid,
    passphrase: Option<&'static str>,
    pmk: Option<[u8; 32]>,
}

impl Known {
    fn of(network: &WifiNetwork<'static>) -> Option<Self> {
        let (passphrase, pmk) = match network.key {
            WifiKey::None => (None, None),
            WifiKey::Passphrase(passphrase) => (Some(passphrase), None),
            WifiKey::Pmk(pmk) => (None, Some(*pmk)),
        };
        Some(Self { ssid: Ssid::new(network.ssid)?, passphrase, pmk })
    }
}

/// Keeps the radio connected, for ever. `in_vain`: the time before this boot ended without a
/// connection. `give_up` resets the device, with the reason.
pub(crate) fn run(
    thing: &Thing,
    networks: Networks,
    mut radio: impl Wifi,
    random: fn() -> u32,
    in_vain: bool,
    give_up: fn(&str) -> !,
) {
    let Some(facts) = thing.wifi() else { return };
    let Networks { mut known, backoff_cap_s, modem_sleep } = networks;
    if known.is_empty() {
        log::error!(
            "no Wi-Fi network is known: put [[wifi]] into config.toml, then `make identity` and \
             `make flash-identity`"
        );
        return;
    }
    let networks = known
        .iter()
        .map(|one| Network {
            ssid: one.ssid,
            has_key: one.pmk.is_some() || one.passphrase.is_some(),
        })
        .collect();
    let mut station = Station::new(networks, backoff_cap_s);
    while !radio.is_on() {
        pause(20);
    }
    // Who was reset goes back without looking around.
    let mut step = station.start(radio.kept(), in_vain);
    let mut first = true;
    loop {
        watchdog::alive(LIFE_S);
        station.set_cap(thing.backoff_cap_s(backoff_cap_s));
        for trouble in station.trouble() {
            log::warn!("{trouble}");
        }
        step = match step {
            Step::Scan if scan(&mut radio) => {
                let mut found = Vec::new();
                radio.found(&mut |one| {
                    let AccessPoint { ssid, channel, rssi, security, .. } = one;
                    log::debug!("{ssid}: channel {channel}, {rssi} dBm, {security:?}");
                    if station.wants(&found, &one) {
                        found.push(one);
                    }
                });
                station.scanned(&found, random())
            }
            Step::Scan => unanswered(&mut station, random(), give_up),
            Step::Join { network, bssid, channel } => {
                let target = Target {
                    ssid: known[network].ssid,
                    bssid,
                    channel,
                    pmk: key(&radio, &mut known[network]),
                    modem_sleep,
                };
                match join(&mut radio, &target) {
                    Ok(()) => {
                        let current = radio.current();
                        station.connected(current.as_ref());
                        if let Some(current) = &current {
                            radio.keep(network, current);
                        }
                        told(&target.ssid, current.as_ref());
                        if !core::mem::take(&mut first) {
                            facts.reconnects.fetch_add(1, Ordering::AcqRel);
                        }
                        stay(thing, facts, &mut radio, &mut station, random)
                    }
                    Err(Some(reason)) => station.failed(reason, random()),
                    Err(None) => unanswered(&mut station, random(), give_up),
                }
            }
            Step::Pause(milliseconds) => {
                log::debug!("next look for a network in {milliseconds} ms");
                pause(milliseconds);
                station.paused()
            }
            // Only ever an answer while connected, and taken there.
            Step::Stay(_) => Step::Scan,
        };
    }
}

/// Goes on after a step that the radio has not answered, or gives up.
fn unanswered(station: &mut Station, random: u32, give_up: fn(&str) -> !) -> Step {
    log::warn!("{DEAD}");
    station.unanswered(random).unwrap_or_else(|| give_up(DEAD))
}

fn told(ssid: &Ssid, current: Option<&AccessPoint>) {
    match current {
        Some(AccessPoint { bssid: [a, b, c, d, e, f], channel, rssi, .. }) => log::info!(
            "joined {ssid}, access point {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, channel \
             {channel}, {rssi} dBm"
        ),
        None => log::info!("joined {ssid}"),
    }
}

/// The network's key; of an older identity it is computed, once.
fn key(radio: &impl Wifi, known: &mut Known) -> Option<[u8; 32]> {
    if let (None, Some(passphrase)) = (known.pmk, known.passphrase) {
        log::info!("computing the key of {}; `make identity` would spare this", known.ssid);
        known.pmk = Some(radio.pmk(passphrase, &known.ssid));
    }
    known.pmk
}

/// The next event, or none within so many milliseconds.
fn wait(radio: &mut impl Wifi, milliseconds: u64) -> Option<Event> {
    let start = rtos::uptime_ms();
    while rtos::uptime_ms() - start < milliseconds {
        watchdog::alive(LIFE_S);
        if let Some(event) = radio.next_event(LOOK_MS) {
            return Some(event);
        }
    }
    None
}

/// Looks around. False when the radio does not, or never ends it.
fn scan(radio: &mut impl Wifi) -> bool {
    if !radio.scan() {
        return false;
    }
    loop {
        match wait(radio, STEP_MS) {
            Some(Event::Scanned) => return true,
            // Of what was before.
            Some(_) => {}
            None => return false,
        }
    }
}

/// Joins; or why not, unless the radio does not say.
fn join(radio: &mut impl Wifi, target: &Target) -> Result<(), Option<Reason>> {
    if !radio.join(target) {
        return Err(None);
    }
    let mut left = false;
    loop {
        match wait(radio, STEP_MS) {
            Some(Event::Connected) if !left => return Ok(()),
            Some(Event::Disconnected(reason)) => return Err(Some(reason)),
            Some(_) => {}
            None if left => return Err(None),
            None => {
                radio.leave();
                left = true;
            }
        }
    }
}

/// While connected: until the connection ends, or is given up for want of an address.
fn stay(
    thing: &Thing,
    facts: &Facts,
    radio: &mut impl Wifi,
    station: &mut Station,
    random: fn() -> u32,
) -> Step {
    let since = rtos::uptime_ms();
    // When the station is asked what to do, while the connection is of no use.
    let mut useless_at = Some(since + ADDRESS_MS);
    let step = loop {
        watchdog::alive(LIFE_S);
        facts.set(radio.current());
        let event = radio.next_event(LOOK_MS);
        // The address of the network before says nothing about this one, a connection does. Both may have
        // come since the last look, when it has ended already.
        let of_use = net::is_address_confirmed() || thing.is_connected();
        if of_use {
            station.addressed();
        }
        if let Some(Event::Disconnected(reason)) = event {
            let lasted = u32::try_from(rtos::uptime_ms() - since).unwrap_or(u32::MAX);
            break station.lost(reason, lasted, random());
        }
        let now = rtos::uptime_ms();
        useless_at = match useless_at {
            _ if of_use => None,
            None => Some(now + ADDRESS_MS),
            Some(at) if now >= at => match station.no_address(random()) {
                Step::Stay(milliseconds) => Some(now + u64::from(milliseconds)),
                other => {
                    radio.leave();
                    let _ = wait(radio, STEP_MS);
                    break other;
                }
            },
            same => same,
        };
        for trouble in station.trouble() {
            log::warn!("{trouble}");
        }
    };
    facts.set(None);
    step
}
