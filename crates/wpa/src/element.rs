//! Elements of management frames that say how a network is protected, and key data, which has
//! the same form: identifier, length, value.

use core::fmt;

/// Identifier of the RSN element (IEEE 802.11-2020, table 9-92).
pub const RSN: u8 = 48;
/// Identifier of vendors' elements, among them WPA's, and of key data encapsulations.
pub const VENDOR: u8 = 221;

/// The OUI of cipher suites, key managements and key data (IEEE 802.11-2020, 9.4.2.24.2).
const OUI: [u8; 3] = [0x00, 0x0F, 0xAC];
/// The OUI and type of the element that WPA had before the RSN element.
const WPA: [u8; 4] = [0x00, 0x50, 0xF2, 1];

/// Longest RSN element that is kept for comparison, header included.
pub const MAX_RSN: usize = 64;

/// The elements in a row of them; an `Err` when one is cut off, which ends the row.
pub fn elements(bytes: &[u8]) -> impl Iterator<Item = Result<Element<'_>, Cut>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let (header, after) = match rest {
            [] => return None,
            [id, length, after @ ..] => ((*id, usize::from(*length)), after),
            _ => {
                rest = &[];
                return Some(Err(Cut));
            }
        };
        let Some((value, after)) = after.split_at_checked(header.1) else {
            rest = &[];
            return Some(Err(Cut));
        };
        let whole = &rest[..header.1 + 2];
        rest = after;
        Some(Ok(Element { id: header.0, value, whole }))
    })
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// What it is.
    pub id: u8,
    /// What is behind identifier and length.
    pub value: &'a [u8],
    /// All of it.
    pub whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The data of a key data encapsulation of this type (IEEE 802.11-2020, 12.7.2).
    #[must_use]
    pub fn key_data(&self, kind: u8) -> Option<&'a [u8]> {
        let data = self.value.strip_prefix(&OUI)?.strip_prefix(&[kind])?;
        (self.id == VENDOR).then_some(data)
    }
}

/// An element says that it is longer than what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// A set of cipher suites or key managements: bit n is suite n of the standard's OUI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suites(u32);

impl Suites {
    /// Whether `suite` is among them.
    #[must_use]
    pub fn has(self, suite: u8) -> bool {
        suite < 32 && self.0 & (1 << suite) != 0
    }

    fn add(&mut self, suite: [u8; 4], oui: [u8; 3]) {
        let [a, b, c, number] = suite;
        if [a, b, c] == oui && number < 32 {
            self.0 |= 1 << number;
        }
    }
}

/// Cipher suites (IEEE 802.11-2020, table 9-149).
pub mod cipher {
    /// WEP with 40 bits.
    pub const WEP_40: u8 = 1;
    /// TKIP.
    pub const TKIP: u8 = 2;
    /// CCMP with 128 bits.
    pub const CCMP: u8 = 4;
    /// WEP with 104 bits.
    pub const WEP_104: u8 = 5;
}

/// Authentication and key management (IEEE 802.11-2020, table 9-151).
pub mod akm {
    /// 802.1X.
    pub const ENTERPRISE: u8 = 1;
    /// A passphrase.
    pub const PSK: u8 = 2;
    /// 802.1X with SHA-256.
    pub const ENTERPRISE_SHA256: u8 = 5;
    /// WPA3's passphrase.
    pub const SAE: u8 = 8;
}

/// What an RSN or WPA element offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The cipher of broadcast frames; 255 when it is a vendor's.
    pub group: u8,
    /// Ciphers for a station's own frames.
    pub pairwise: Suites,
    /// Ways to make keys.
    pub akm: Suites,
    /// The RSN capabilities: bit 6 when protected management frames are a must.
    pub capabilities: u16,
}

/// Management frames must be protected (IEEE 802.11-2020, 9.4.2.24.4).
const MFP_REQUIRED: u16 = 1 << 6;

impl Offer {
    /// Reads the value of an RSN element. What the standard lets an access point leave out has
    /// the standard's default.
    #[must_use]
    pub fn rsn(value: &[u8]) -> Option<Self> {
        Self::read(value, OUI, cipher::CCMP, akm::ENTERPRISE)
    }

    /// Reads the value of WPA's element.
    #[must_use]
    pub fn wpa(value: &[u8]) -> Option<Self> {
        let [a, b, c, _] = WPA;
        Self::read(value.strip_prefix(&WPA)?, [a, b, c], cipher::TKIP, akm::ENTERPRISE)
    }

    fn read(value: &[u8], oui: [u8; 3], default: u8, default_akm: u8) -> Option<Self> {
        let (version, mut rest) = value.split_first_chunk()?;
        if u16::from_le_bytes(*version) != 1 {
            return None;
        }
        let defaults = |suite: u8| Suites(1 << suite);
        let mut offer = Self {
            group: default,
            pairwise: defaults(default),
            akm: defaults(default_akm),
            capabilities: 0,
        };
        if rest.is_empty() {
            return Some(offer);
        }
        let (group, after) = rest.split_first_chunk::<4>()?;
        offer.group = if group.starts_with(&oui) { group[3] } else { 255 };
        rest = after;
        for pairwise in [true, false] {
            if rest.is_empty() {
                return Some(offer);
            }
            let (count, after) = rest.split_first_chunk()?;
            let length = usize::from(u16::from_le_bytes(*count)).checked_mul(4)?;
            let (suites, after) = after.split_at_checked(length)?;
            if suites.is_empty() {
                return None;
            }
            let mut list = Suites::default();
            for suite in suites.chunks_exact(4) {
                list.add([suite[0], suite[1], suite[2], suite[3]], oui);
            }
            *(if pairwise { &mut offer.pairwise } else { &mut offer.akm }) = list;
            rest = after;
        }
        if let Some((capabilities, _)) = rest.split_first_chunk() {
            offer.capabilities = u16::from_le_bytes(*capabilities);
        }
        Some(offer)
    }
}

/// How a network wants to be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// No key at all.
    Open,
    /// WPA2-PSK with CCMP, whatever else is offered besides. `group` is the cipher of broadcasts:
    /// [`cipher::CCMP`], or [`cipher::TKIP`] while old stations are welcome.
    Wpa2 {
        /// The group cipher.
        group: u8,
    },
    /// WEP, which is no protection.
    Wep,
    /// Nothing better than TKIP.
    TkipOnly,
    /// A user name or a certificate is wanted.
    Enterprise,
    /// WPA3 without WPA2, or protected management frames as a must.
    Wpa3Only,
    /// An element that cannot be read, or only suites that are not known.
    Unknown,
}

impl Security {
    /// Reads it from a beacon: whether its capabilities have the privacy bit, and its elements.
    #[must_use]
    pub fn of(privacy: bool, beacon_elements: &[u8]) -> Self {
        let (mut rsn, mut wpa) = (None, None);
        for element in elements(beacon_elements).flatten() {
            if element.id == RSN {
                rsn = rsn.or(Some(element.value));
            } else if element.id == VENDOR && element.value.starts_with(&WPA) {
                wpa = wpa.or(Some(element.value));
            }
        }
        match (rsn, wpa) {
            (None, None) if privacy => Self::Wep,
            (None, None) => Self::Open,
            // WPA had CCMP too, here and there; it is 20 years old and has another handshake.
            (None, Some(wpa)) => match Offer::wpa(wpa) {
                Some(offer) if !offer.akm.has(akm::PSK) => Self::Enterprise,
                Some(_) => Self::TkipOnly,
                None => Self::Unknown,
            },
            (Some(rsn), _) => Offer::rsn(rsn).map_or(Self::Unknown, Self::of_rsn),
        }
    }

    fn of_rsn(offer: Offer) -> Self {
        let group = matches!(offer.group, cipher::CCMP | cipher::TKIP);
        if offer.capabilities & MFP_REQUIRED != 0 {
            return Self::Wpa3Only;
        }
        if offer.akm.has(akm::PSK) {
            return match offer {
                _ if offer.pairwise.has(cipher::CCMP) && group => Self::Wpa2 { group: offer.group },
                _ if offer.pairwise.has(cipher::TKIP) => Self::TkipOnly,
                _ => Self::Unknown,
            };
        }
        if offer.akm.has(akm::SAE) {
            Self::Wpa3Only
        } else if offer.akm.has(akm::ENTERPRISE) || offer.akm.has(akm::ENTERPRISE_SHA256) {
            Self::Enterprise
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Wpa2 { group: cipher::CCMP } => "WPA2",
            Self::Wpa2 { .. } => "WPA2 with TKIP for broadcasts",
            Self::Wep => "WEP, which this device does not speak: set the access point to WPA2",
            Self::TkipOnly => {
                "WPA with TKIP only, which this device does not speak: set the access point to \
                 WPA2 with AES"
            }
            Self::Enterprise => {
                "WPA2 Enterprise, which this device does not speak: it needs a network with a \
                 passphrase"
            }
            Self::Wpa3Only => {
                "WPA3 only, which this device does not speak: set the access point to WPA2, or \
                 to WPA2 and WPA3 with protected management frames optional"
            }
            Self::Unknown => "protected in a way that is not known",
        })
    }
}

/// The RSN element that this station sends: PSK and CCMP, with the access point's group cipher.
#[must_use]
pub fn own_rsn(group: u8) -> [u8; 22] {
    let [a, b, c] = OUI;
    let (ccmp, psk) = (cipher::CCMP, akm::PSK);
    [RSN, 20, 1, 0, a, b, c, group, 1, 0, a, b, c, ccmp, 1, 0, a, b, c, psk, 0, 0]
}
