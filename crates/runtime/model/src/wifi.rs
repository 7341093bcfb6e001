//! Which access point to join, when to look again, and what to tell a person about it.
//!
//! [`Station`] decides; the task that has the radio does what its [`Step`]s say and tells it what
//! came of them.

use alloc::vec::Vec;
use core::fmt;

use crate::backoff::Backoff;

/// Most bytes of a network's name (IEEE 802.11-2020, 9.4.2.2).
pub const MAX_SSID: usize = 32;

/// The name of a network: any bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ssid {
    bytes: [u8; MAX_SSID],
    length: u8,
}

impl Ssid {
    /// `None` when it is longer than a name can be. An access point that hides its name has the
    /// empty one.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SSID];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { bytes, length: name.len() as u8 })
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Display for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// The address of an access point.
pub type Bssid = [u8; 6];

/// How a network is protected, as far as it matters whether the device can join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Open,
    /// WPA2 with a passphrase and AES, whatever else besides.
    Wpa2,
    /// WEP.
    Wep,
    /// WPA, or WPA2 without AES.
    TkipOnly,
    /// With a user name or a certificate.
    Enterprise,
    /// WPA3 without WPA2.
    Wpa3Only,
    /// In a way that the radio does not know.
    Unknown,
}

/// An access point that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// Its network; empty when it hides that.
    pub ssid: Ssid,
    /// Its address.
    pub bssid: Bssid,
    /// Its channel.
    pub channel: u8,
    /// How strongly it is received, in dBm.
    pub rssi: i8,
    /// How it is protected.
    pub security: Security,
}

/// Why a connection ended or did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A reason code of IEEE 802.11-2020, table 9-49, or, from 200 on, one of [`reason`].
    pub code: u8,
    /// The access point had asked for a proof of the key, and did not go on after it.
    pub key_unproven: bool,
}

/// Reasons that the application knows by number.
pub mod reason {
    /// The access point has as many stations as it takes.
    pub const FULL: u8 = 5;
    /// The handshake took too long.
    pub const HANDSHAKE_TIMEOUT: u8 = 15;
    /// The radio: no beacons any more.
    pub const BEACONS_STOPPED: u8 = 200;
    /// The radio: no such access point.
    pub const NOT_FOUND: u8 = 201;
    /// The radio: the handshake took too long.
    pub const HANDSHAKE_TIMEOUT_HERE: u8 = 204;
}

impl Reason {
    fn is_wrong_key(self) -> bool {
        self.key_unproven
            || matches!(self.code, reason::HANDSHAKE_TIMEOUT | reason::HANDSHAKE_TIMEOUT_HERE)
    }
}

/// A network that the device may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: Ssid,
    /// Whether it has a key. One with a key is never joined without, nor the other way round.
    pub has_key: bool,
}

impl Network {
    /// Whether it may be joined at an access point that is protected like that.
    fn takes(&self, security: Security) -> bool {
        security == if self.has_key { Security::Wpa2 } else { Security::Open }
    }
}

/// Most access points of a network that are kept of one scan: the strongest.
const MOST_OF_ONE: usize = 8;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look which access points there are, then [`Station::scanned`].
    Scan,
    /// Join, then [`Station::connected`] or [`Station::failed`].
    Join {
        /// The network, by its place in the list.
        network: usize,
        /// The access point, unless the network is hidden.
        bssid: Option<Bssid>,
        /// Its channel; 0 when it is not known.
        channel: u8,
    },
    /// Wait so many milliseconds, then [`Station::paused`].
    Pause(u32),
    /// The connection stays; [`Station::no_address`] again when there is none for so many
    /// milliseconds more.
    Stay(u32),
}

/// Something that a person can mend or should know. Each is one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No access point of this network was found.
    Absent(Ssid),
    /// Its protection is none that the device speaks, or not the one that its settings have.
    Unusable(Ssid, Security),
    /// The access point does not know this key.
    WrongKey(Ssid),
    /// The access point is full.
    Full(Ssid),
    /// Connected, and no DHCP server answers.
    NoAddress(Ssid),
    /// The connection broke, or did not come about, for another reason.
    Ended(Ssid, Reason),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(ssid) => write!(
                f,
                "{ssid} is not in reach: is the access point on, near, and at 2.4 GHz? Is the \
                 name spelt as in config.toml?"
            ),
            Self::Unusable(ssid, security) => write!(
                f,
                "{ssid} {}",
                match security {
                    Security::Open => {
                        "has no key here, but one in config.toml: not joined, somebody may pose \
                         as it; remove the passphrase there if it is open"
                    }
                    Security::Wpa2 => {
                        "wants a passphrase: put it into config.toml, then `make identity` and \
                         `make flash-identity`"
                    }
                    Security::Wep => "is protected by WEP only: set its access point to WPA2",
                    Security::TkipOnly => {
                        "offers TKIP only: set its access point to WPA2 with AES (CCMP)"
                    }
                    Security::Enterprise => {
                        "is WPA2 Enterprise: this device needs a network with a passphrase"
                    }
                    Security::Wpa3Only => {
                        "offers WPA3 only: set its access point to WPA2 and WPA3 mixed"
                    }
                    Security::Unknown => "is protected in a way that this device does not know",
                }
            ),
            Self::WrongKey(ssid) => write!(
                f,
                "{ssid} does not take the key: correct the passphrase in config.toml, then `make \
                 identity` and `make flash-identity`"
            ),
            Self::Full(ssid) => write!(
                f,
                "{ssid} has no room for one more station: raise its limit, or take a device off"
            ),
            Self::NoAddress(ssid) => {
                write!(f, "{ssid} gives no address: is its DHCP server on, has it any left?")
            }
            Self::Ended(ssid, reason) => match reason.code {
                reason::BEACONS_STOPPED => {
                    write!(f, "{ssid} fell silent: its access point is off or out of reach")
                }
                reason::NOT_FOUND => write!(f, "{ssid} was not there any more"),
                code => write!(f, "{ssid} ended the connection (reason {code})"),
            },
        }
    }
}

/// Rounds in a row that the radio may end without an answer, and the least pause after each in
/// milliseconds: nearly two minutes. Whatever is on the air or is not, a radio that works says so.
const MOST_UNANSWERED: u32 = 12;
const UNANSWERED_MS: u32 = 10_000;

/// A connection that was shorter than this in milliseconds is not worth an immediate new try.
const BRIEF_MS: u32 = 5_000;

/// An access point to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    network: usize,
    bssid: Option<Bssid>,
    channel: u8,
}

impl Candidate {
    /// Of a hidden network it is not known which access point will answer.
    fn may_be(&self, other: &Self) -> bool {
        self.network == other.network && (self.bssid.is_none() || self.bssid == other.bssid)
    }
}

/// Decides for the one radio of a device.
#[derive(Debug)]
pub struct Station {
    networks: Vec<Network>,
    backoff: Backoff,
    /// What is left to try in this round, the next one last.
    candidates: Vec<Candidate>,
    /// What is being tried or connected.
    current: Option<Candidate>,
    /// The last connection's, to go back to without looking around.
    remembered: Option<Candidate>,
    /// The one that was of no use lately: the next look around leaves it to the end.
    useless: Option<Candidate>,
    /// Whether the candidates of this round come from a look around: when there are none left, all
    /// in reach were tried.
    looked: bool,
    /// Whether the present connection has had an address.
    addressed: bool,
    /// Rounds in a row that ended without an answer of the radio.
    unanswered: u32,
    /// Trouble that was told and has not changed since.
    told: Vec<Trouble>,
    trouble: Vec<Trouble>,
}

impl Station {
    /// With the networks in order of preference; pauses are no longer than `cap_s` seconds.
    #[must_use]
    pub fn new(networks: Vec<Network>, cap_s: u16) -> Self {
        Self {
            networks,
            backoff: Backoff::new(cap_s),
            candidates: Vec::new(),
            current: None,
            remembered: None,
            useless: None,
            looked: false,
            addressed: false,
            unanswered: 0,
            told: Vec::new(),
            trouble: Vec::new(),
        }
    }

    /// From now on pauses are no longer than `cap_s` seconds.
    pub fn set_cap(&mut self, cap_s: u16) {
        self.backoff.set_cap(cap_s);
    }

    /// The first step. `kept` is the access point of an earlier life: the network's place, address
    /// and channel. `in_vain`: that life ended without a connection over it, so that any other one is
    /// worth more.
    pub fn start(&mut self, kept: Option<(usize, Bssid, u8)>, in_vain: bool) -> Step {
        let place = if in_vain { &mut self.useless } else { &mut self.remembered };
        *place = kept
            .filter(|(network, ..)| *network < self.networks.len())
            .map(|(network, bssid, channel)| Candidate { network, bssid: Some(bssid), channel });
        self.again()
    }

    /// Trouble since the last call that has not been told before.
    pub fn trouble(&mut self) -> Vec<Trouble> {
        core::mem::take(&mut self.trouble)
    }

    /// The network that is being tried or connected, by its place.
    #[must_use]
    pub fn network(&self) -> Option<usize> {
        self.current.map(|current| current.network)
    }

    /// Whether one more that a scan found is worth its place beside these. In a large house most are
    /// other people's. One of a network that cannot be joined there tells why, and one that hides its
    /// name may be ours: more of them would say no more.
    #[must_use]
    pub fn wants(&self, found: &[AccessPoint], one: &AccessPoint) -> bool {
        let network = self.networks.iter().find(|network| network.ssid == one.ssid);
        let takes = |one: &AccessPoint| network.is_some_and(|network| network.takes(one.security));
        let most = if takes(one) { MOST_OF_ONE } else { 1 };
        let alike = |other: &&AccessPoint| other.ssid == one.ssid && takes(other) == takes(one);
        (network.is_some() || one.ssid == Ssid::default())
            && found.iter().filter(alike).count() < most
    }

    /// A scan found these: all in reach, or those that it [wants](Station::wants).
    pub fn scanned(&mut self, found: &[AccessPoint], random: u32) -> Step {
        let mut candidates = Vec::new();
        let mut trouble = Vec::new();
        let mut hidden = Vec::new();
        for (index, network) in self.networks.iter().enumerate() {
            // The strongest first. There are few, and a sort of the library takes 4 KB of code.
            let mut own: Vec<&AccessPoint> = Vec::new();
            for one in found.iter().filter(|one| one.ssid == network.ssid) {
                let weaker = own.iter().position(|other| other.rssi < one.rssi);
                own.insert(weaker.unwrap_or(own.len()), one);
            }
            if own.is_empty() {
                hidden.push(Candidate { network: index, bssid: None, channel: 0 });
                continue;
            }
            let before = candidates.len();
            for one in own.iter().filter(|one| network.takes(one.security)) {
                let &&AccessPoint { bssid, channel, .. } = one;
                candidates.push(Candidate { network: index, bssid: Some(bssid), channel });
            }
            if candidates.len() == before {
                trouble.push(Trouble::Unusable(network.ssid, own[0].security));
            }
        }
        if found.iter().any(|one| one.ssid == Ssid::default()) {
            // One of those that hide their names may be ours: only asking by name can tell.
            candidates.append(&mut hidden);
        } else if candidates.is_empty() {
            trouble
                .extend(hidden.iter().map(|one| Trouble::Absent(self.networks[one.network].ssid)));
        }
        trouble.into_iter().for_each(|one| self.tell(one));
        if let Some(useless) = self.useless.take()
            && let Some(place) = candidates.iter().position(|one| one.may_be(&useless))
        {
            candidates[place..].rotate_left(1);
        }
        candidates.reverse();
        if candidates.is_empty() {
            self.unanswered = 0;
        }
        self.candidates = candidates;
        self.looked = true;
        self.next(random)
    }

    /// It is connected.
    pub fn connected(&mut self, access_point: Option<&AccessPoint>) {
        if let (Some(current), Some(access_point)) = (&mut self.current, access_point) {
            current.bssid = Some(access_point.bssid);
            current.channel = access_point.channel;
        }
        self.remembered = self.current;
        self.addressed = false;
        self.unanswered = 0;
        // What is mended may break again, and is then worth a line again.
        self.mended(false);
    }

    /// It is of use: it has an address of this network, or the server is reached. May be said again.
    pub fn addressed(&mut self) {
        self.candidates.clear();
        self.looked = false;
        self.addressed = true;
        self.mended(true);
    }

    /// Forgets what was told of the present network, with or without the missing address.
    fn mended(&mut self, address: bool) {
        if let Some(current) = self.current {
            self.forget(self.networks[current.network].ssid, address);
        }
    }

    fn forget(&mut self, ssid: Ssid, address: bool) {
        self.told.retain(|told| {
            told.ssid() != ssid || (!address && matches!(told, Trouble::NoAddress(_)))
        });
    }

    /// The radio did not look around, or never said what came of that or of joining. `None`: for so
    /// long now that it will not by itself any more.
    pub fn unanswered(&mut self, random: u32) -> Option<Step> {
        let mut step = self.next(random);
        if let Step::Pause(milliseconds) = &mut step {
            *milliseconds = (*milliseconds).max(UNANSWERED_MS);
            self.unanswered += 1;
        }
        (self.unanswered < MOST_UNANSWERED).then_some(step)
    }

    /// Joining failed.
    pub fn failed(&mut self, reason: Reason, random: u32) -> Step {
        self.unanswered = 0;
        let Some(current) = self.current.take() else { return self.next(random) };
        let ssid = self.networks[current.network].ssid;
        if self.remembered == Some(current) && self.candidates.is_empty() {
            // It was not looked for before: look now.
            self.remembered = None;
            if reason.code == reason::NOT_FOUND {
                return Step::Scan;
            }
        }
        self.tell(if reason.is_wrong_key() {
            Trouble::WrongKey(ssid)
        } else if reason.code == reason::FULL {
            Trouble::Full(ssid)
        } else if reason.code == reason::NOT_FOUND {
            Trouble::Absent(ssid)
        } else {
            Trouble::Ended(ssid, reason)
        });
        self.next(random)
    }

    /// The connection, which had lasted so many milliseconds, ended.
    pub fn lost(&mut self, reason: Reason, lasted_ms: u32, random: u32) -> Step {
        let current = self.current.take();
        if let Some(current) = current {
            self.tell(Trouble::Ended(self.networks[current.network].ssid, reason));
        }
        self.backoff.connected_for(lasted_ms);
        if reason.code == reason::BEACONS_STOPPED || !self.addressed {
            // This access point is gone, or has never been of use; another one may be near.
            self.remembered = None;
        }
        if !self.addressed {
            self.useless = current;
        }
        self.candidates.clear();
        if lasted_ms < BRIEF_MS {
            return Step::Pause(self.backoff.next_delay_ms(random));
        }
        self.again()
    }

    /// It is connected, and for long there is no address. Another access point may be better. When
    /// all in reach are like that it stays for a while, since an address may still come, and then
    /// looks again.
    pub fn no_address(&mut self, random: u32) -> Step {
        if let Some(current) = self.current {
            self.tell(Trouble::NoAddress(self.networks[current.network].ssid));
        }
        if let Some(candidate) = self.candidates.pop() {
            return self.join(candidate);
        }
        if core::mem::take(&mut self.looked) {
            return Step::Stay(self.backoff.next_delay_ms(random));
        }
        self.remembered = None;
        self.useless = self.current.take();
        Step::Scan
    }

    /// A pause is over.
    pub fn paused(&mut self) -> Step {
        self.again()
    }

    fn again(&mut self) -> Step {
        self.looked = false;
        match self.remembered {
            Some(candidate) => self.join(candidate),
            None => Step::Scan,
        }
    }

    fn next(&mut self, random: u32) -> Step {
        match self.candidates.pop() {
            Some(candidate) => self.join(candidate),
            None => {
                self.current = None;
                self.remembered = None;
                Step::Pause(self.backoff.next_delay_ms(random))
            }
        }
    }

    fn join(&mut self, candidate: Candidate) -> Step {
        self.current = Some(candidate);
        let Candidate { network, bssid, channel } = candidate;
        Step::Join { network, bssid, channel }
    }

    fn tell(&mut self, trouble: Trouble) {
        // An ended connection is news each time.
        if matches!(trouble, Trouble::Ended(..)) {
            self.trouble.push(trouble);
        } else if !self.told.contains(&trouble) {
            self.forget(trouble.ssid(), true);
            self.told.push(trouble);
            self.trouble.push(trouble);
        }
    }
}

impl Trouble {
    fn ssid(&self) -> Ssid {
        match self {
            Self::Absent(ssid)
            | Self::Unusable(ssid, _)
            | Self::WrongKey(ssid)
            | Self::Full(ssid)
            | Self::NoAddress(ssid)
            | Self::Ended(ssid, _) => *ssid,
        }
    }
}
