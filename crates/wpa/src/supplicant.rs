//! The four-way handshake and the renewal of group keys, from the station's side
//! (IEEE 802.11-2020, 12.7.6 and 12.7.7).

use core::fmt;

use crate::eapol::{self, Frame, MAX_REPLY, info};
use crate::element::{self, Element, MAX_RSN, cipher};
use crate::key::{Hmac, PMK_LENGTH, Ptk, equal, unwrap};
use crate::{Aes128, Mac, Sha1};

/// What both sides know before the handshake.
#[derive(Clone)]
pub struct Config {
    /// The network's key.
    pub pmk: [u8; PMK_LENGTH],
    /// The station's address.
    pub own: Mac,
    /// The access point's.
    pub bssid: Mac,
    /// The cipher of broadcasts that the beacon names, and so the station's RSN element.
    pub group: u8,
}

/// Why a frame was refused. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Shorter than it says or than a key frame is, or longer than its key data.
    Length,
    /// Not of EAPOL's type "key".
    NotKey,
    /// The descriptor is not RSN's.
    Descriptor,
    /// Another version of the descriptor than the one for CCMP: a downgrade.
    Version(u16),
    /// Bits that no access point sends to a station in these handshakes.
    Information(u16),
    /// The replay counter has been seen, or is older than one that was.
    Replay,
    /// The code is not what the keys say.
    Mic,
    /// The message is not the one that comes next.
    OutOfTurn,
    /// A nonce of zeros, or a pairwise key of another length than CCMP's.
    Parameters,
    /// The key data cannot be unwrapped.
    Wrapping,
    /// The key data does not consist of elements, or has one twice.
    KeyData,
    /// The RSN element is not the beacon's: somebody changed the beacon.
    RsnChanged,
    /// There is no group key in it, or one of another length or index than there can be.
    GroupKey,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "wrong length",
            Self::NotKey => "no key frame",
            Self::Descriptor => "not RSN's descriptor",
            Self::Version(version) => {
                return write!(f, "descriptor version {version} where CCMP has 2");
            }
            Self::Information(bits) => return write!(f, "key information {bits:#06x}"),
            Self::Replay => "replayed",
            Self::Mic => "forged, or another passphrase",
            Self::OutOfTurn => "not the message that comes next",
            Self::Parameters => "a nonce of zeros or a key length that is not CCMP's",
            Self::Wrapping => "the key data cannot be unwrapped",
            Self::KeyData => "malformed key data",
            Self::RsnChanged => "the RSN element is not the beacon's: a downgrade",
            Self::GroupKey => "no proper group key",
        })
    }
}

impl core::error::Error for Refused {}

/// A key for broadcasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKey {
    /// Its index on the air, 1 to 3.
    pub index: u8,
    bytes: [u8; 32],
    length: u8,
    /// The number of the last broadcast that was sent with it, lowest byte first: older ones are
    /// replayed.
    pub rsc: [u8; 6],
}

impl GroupKey {
    /// The key: 16 bytes for CCMP, 32 for TKIP (encryption, then Michael's two keys as a station
    /// has them).
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Keys to install once the answer has reached the access point: before, it would be encrypted
/// with a key that the other side does not use yet.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Install {
    /// For the station's own frames. `None` when it is installed already: installing a key again
    /// would make its packet numbers begin again (KRACK, CVE-2017-13077).
    pub pairwise: Option<[u8; 16]>,
    /// For broadcasts, likewise (CVE-2017-13078, CVE-2017-13080).
    pub group: Option<GroupKey>,
    /// The handshake has ended: data may flow.
    pub complete: bool,
}

/// The last few RSN elements that were heard on the way to an association. A driver may not know
/// which access point each is of; what none of them had was sent by nobody.
#[derive(Clone)]
pub struct Heard {
    elements: [([u8; MAX_RSN], u8); Self::MOST],
    next: usize,
}

impl Default for Heard {
    fn default() -> Self {
        Self::new()
    }
}

impl Heard {
    const MOST: usize = 4;

    /// None so far.
    #[must_use]
    pub const fn new() -> Self {
        Self { elements: [([0; MAX_RSN], 0); Self::MOST], next: 0 }
    }

    /// An element was heard, header included. One that is too long to keep is not kept.
    pub fn hear(&mut self, element: &[u8]) {
        let known = self.iter().any(|one| one == element);
        if known || element.len() > MAX_RSN {
            return;
        }
        let (bytes, length) = &mut self.elements[self.next];
        bytes[..element.len()].copy_from_slice(element);
        *length = element.len() as u8;
        self.next = (self.next + 1) % Self::MOST;
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.elements
            .iter()
            .map(|(bytes, length)| &bytes[..usize::from(*length)])
            .filter(|element| !element.is_empty())
    }

    /// Whether it may be of a beacon: it was heard, or nothing was, or it cannot be kept.
    fn may_be(&self, element: &[u8]) -> bool {
        element.len() > MAX_RSN
            || self.iter().next().is_none()
            || self.iter().any(|one| one == element)
    }
}

/// How far a handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The access point has said nothing.
    Silent,
    /// It was answered and has not proven that it knows the key. When it ends here, the
    /// passphrase is wrong (or the access point's is).
    Unproven,
    /// It has proven that it knows the key.
    Proven,
    /// Keys are installed.
    Complete,
}

/// One handshake and what follows it. A new association needs a new one.
pub struct Supplicant {
    config: Config,
    heard: Heard,
    /// Of the last frame whose code was right.
    replay: Option<u64>,
    /// Of the handshake that is under way.
    nonces: Option<([u8; 32], [u8; 32])>,
    candidate: Option<Ptk>,
    /// Those that the access point has proven to have.
    proven: Option<Ptk>,
    pending: Install,
    installed: Option<[u8; 16]>,
    groups: [Option<GroupKey>; 3],
}

impl Supplicant {
    /// Before an association. `heard` are the RSN elements that beacons and probe responses had:
    /// with another one in the handshake than any of them, somebody has changed the beacon.
    #[must_use]
    pub fn new(config: Config, heard: Heard) -> Self {
        Self {
            config,
            heard,
            replay: None,
            nonces: None,
            candidate: None,
            proven: None,
            pending: Install::default(),
            installed: None,
            groups: [None; 3],
        }
    }

    /// How far it came.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self {
            Self { installed: Some(_), .. } => Progress::Complete,
            Self { proven: Some(_), .. } => Progress::Proven,
            Self { nonces: Some(_), .. } => Progress::Unproven,
            _ => Progress::Silent,
        }
    }

    /// Takes a frame of the access point, from its 802.1X header on, makes the answer and returns
    /// its length. `fresh` gives 32 unpredictable bytes.
    ///
    /// # Errors
    /// Why it was refused: nothing is to be answered, and nothing has changed.
    pub fn receive<H: Sha1, A: Aes128>(
        &mut self,
        frame: &mut [u8],
        fresh: impl FnOnce() -> [u8; 32],
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<usize, Refused> {
        const SIGNED: u16 = info::MIC | info::SECURE | info::ENCRYPTED;

        let frame = Frame::parse(frame)?;
        let bits = frame.info();
        if bits & info::VERSION != info::VERSION_SHA1_AES {
            return Err(Refused::Version(bits & info::VERSION));
        }
        if bits & info::ACK == 0 || bits & (info::ERROR | info::REQUEST | info::SMK) != 0 {
            return Err(Refused::Information(bits));
        }
        if self.replay.is_some_and(|seen| frame.replay() <= seen) {
            return Err(Refused::Replay);
        }
        match bits & (info::PAIRWISE | info::MIC | info::INSTALL | info::ENCRYPTED | info::SECURE) {
            info::PAIRWISE => self.first::<H>(&frame, fresh, reply),
            // The first message of a renewal, as some access points mark it.
            bits if bits == info::PAIRWISE | info::SECURE => self.first::<H>(&frame, fresh, reply),
            bits if bits == info::PAIRWISE | info::INSTALL | SIGNED => {
                self.third::<H, A>(frame, reply)
            }
            bits if bits == SIGNED => self.group::<H, A>(frame, reply),
            _ => Err(Refused::Information(bits)),
        }
    }

    /// The keys to install, now that the last answer was acknowledged. Handed out once.
    pub fn acknowledged(&mut self) -> Install {
        let install = core::mem::take(&mut self.pending);
        if let Some(key) = install.pairwise {
            self.installed = Some(key);
        }
        if let Some(group) = install.group {
            self.groups[usize::from(group.index - 1)] = Some(group);
        }
        install
    }

    /// Message 1: nothing of it is signed, so it changes nothing but the keys that are to be
    /// proven.
    fn first<H: Sha1>(
        &mut self,
        frame: &Frame,
        fresh: impl FnOnce() -> [u8; 32],
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<usize, Refused> {
        let theirs = frame.nonce();
        if theirs == [0; 32] {
            return Err(Refused::Parameters);
        }
        // One nonce of ours for all first messages of a handshake: with a new one for each,
        // anybody could make the access point's third one look forged.
        let ours = match &self.nonces {
            Some((_, ours)) if self.candidate != self.proven => *ours,
            _ => fresh(),
        };
        let ptk = self.derive::<H>(&theirs, &ours);
        let element = element::own_rsn(self.config.group);
        let bits = info::VERSION_SHA1_AES | info::PAIRWISE | info::MIC;
        let length = answer::<H>(reply, bits, frame.replay(), &ours, &element, &ptk.kck);
        self.nonces = Some((theirs, ours));
        self.candidate = Some(ptk);
        Ok(length)
    }

    fn derive<H: Sha1>(&self, theirs: &[u8; 32], ours: &[u8; 32]) -> Ptk {
        let Config { pmk, own, bssid, .. } = &self.config;
        Ptk::derive::<H>(pmk, [own, bssid], [theirs, ours])
    }

    /// Message 3: the access point proves that it has the key, repeats its RSN element under the
    /// code, and sends the group key.
    fn third<H: Sha1, A: Aes128>(
        &mut self,
        frame: Frame,
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<usize, Refused> {
        let (Some((theirs, ours)), Some(candidate)) = (&self.nonces, &self.candidate) else {
            return Err(Refused::OutOfTurn);
        };
        // A forged first message may have come in between, with another nonce. The code tells
        // which one is the access point's.
        let nonce = frame.nonce();
        let (theirs, ours) = (*theirs, *ours);
        let ptk = if nonce == theirs { candidate.clone() } else { self.derive::<H>(&nonce, &ours) };
        check_mic::<H>(&frame, &ptk.kck)?;
        if frame.key_length() != 16 {
            return Err(Refused::Parameters);
        }
        let (replay, rsc) = (frame.replay(), frame.rsc());
        let data = unwrap::<A>(&ptk.kek, frame.data()).ok_or(Refused::Wrapping)?;
        let data = KeyData::parse(data)?;
        let rsn = data.rsn.ok_or(Refused::RsnChanged)?;
        let offer = element::Offer::rsn(rsn.value).ok_or(Refused::RsnChanged)?;
        // Also that of another access point must offer what was asked for.
        if !self.heard.may_be(rsn.whole)
            || offer.group != self.config.group
            || !offer.pairwise.has(cipher::CCMP)
        {
            return Err(Refused::RsnChanged);
        }
        let group = self.group_key(&data, rsc)?;

        let bits = info::VERSION_SHA1_AES | info::PAIRWISE | info::MIC | info::SECURE;
        let length = answer::<H>(reply, bits, replay, &[0; 32], &[], &ptk.kck);
        self.replay = Some(replay);
        self.pending = Install {
            pairwise: (self.installed != Some(ptk.tk)).then_some(ptk.tk),
            group: self.unless_installed(group),
            complete: self.installed.is_none(),
        };
        self.nonces = Some((nonce, ours));
        self.candidate = Some(ptk.clone());
        self.proven = Some(ptk);
        Ok(length)
    }

    /// The first message of a group key handshake.
    fn group<H: Sha1, A: Aes128>(
        &mut self,
        frame: Frame,
        reply: &mut [u8; MAX_REPLY],
    ) -> Result<usize, Refused> {
        let (Some(_), Some(ptk)) = (self.installed, &self.proven) else {
            return Err(Refused::OutOfTurn);
        };
        check_mic::<H>(&frame, &ptk.kck)?;
        let (replay, rsc) = (frame.replay(), frame.rsc());
        let data = unwrap::<A>(&ptk.kek, frame.data()).ok_or(Refused::Wrapping)?;
        let group = self.group_key(&KeyData::parse(data)?, rsc)?;
        let bits = info::VERSION_SHA1_AES | info::MIC | info::SECURE;
        let length = answer::<H>(reply, bits, replay, &[0; 32], &[], &ptk.kck);
        self.replay = Some(replay);
        self.pending = Install { group: self.unless_installed(group), ..Install::default() };
        Ok(length)
    }

    /// The group key in key data: key id and a reserved byte, then the key (IEEE 802.11-2020,
    /// figure 12-35).
    fn group_key(&self, data: &KeyData, rsc: [u8; 6]) -> Result<GroupKey, Refused> {
        let Some([id, _, key @ ..]) = data.group else { return Err(Refused::GroupKey) };
        let index = id & 3;
        let tkip = self.config.group == cipher::TKIP;
        if index == 0 || key.len() != if tkip { 32 } else { 16 } {
            return Err(Refused::GroupKey);
        }
        let mut bytes = [0; 32];
        bytes[..key.len()].copy_from_slice(key);
        if tkip {
            // Michael's keys: the access point sends with the one that a station receives with.
            let (send, receive) = bytes[16..].split_at_mut(8);
            send.swap_with_slice(receive);
        }
        Ok(GroupKey { index, bytes, length: key.len() as u8, rsc })
    }

    /// A key that is installed under its index stays, with the packet number that it has reached.
    fn unless_installed(&self, group: GroupKey) -> Option<GroupKey> {
        let installed = &self.groups[usize::from(group.index - 1)];
        (!installed.is_some_and(|installed| installed.key() == group.key())).then_some(group)
    }
}

fn check_mic<H: Sha1>(frame: &Frame, kck: &[u8; 16]) -> Result<(), Refused> {
    let mic = Hmac::<H>::new(kck).of(&frame.signed());
    if equal(&mic[..16], &frame.mic()) { Ok(()) } else { Err(Refused::Mic) }
}

fn answer<H: Sha1>(
    reply: &mut [u8; MAX_REPLY],
    bits: u16,
    replay: u64,
    nonce: &[u8; 32],
    data: &[u8],
    kck: &[u8; 16],
) -> usize {
    let length = eapol::build(reply, bits, replay, nonce, data);
    let frame = &mut reply[..length];
    let mic = Hmac::<H>::new(kck).of(&[frame]);
    eapol::sign(frame, mic);
    length
}

/// What is looked for in key data.
struct KeyData<'a> {
    rsn: Option<Element<'a>>,
    group: Option<&'a [u8]>,
}

impl<'a> KeyData<'a> {
    /// Type of the encapsulation that holds a group key.
    const GROUP_KEY: u8 = 1;

    fn parse(bytes: &'a [u8]) -> Result<Self, Refused> {
        let (mut rsn, mut group) = (None, None);
        let mut rest = bytes;
        while let [id, length, ..] = rest {
            // Padding up to the wrap's 8 bytes: 0xDD, then zeros.
            if (*id, *length) == (element::VENDOR, 0) {
                break;
            }
            let element = element::elements(rest).next();
            let Some(Ok(element)) = element else { return Err(Refused::KeyData) };
            rest = &rest[element.whole.len()..];
            let twice = if element.id == element::RSN {
                rsn.replace(element).is_some()
            } else if let Some(data) = element.key_data(Self::GROUP_KEY) {
                group.replace(data).is_some()
            } else {
                false
            };
            if twice {
                return Err(Refused::KeyData);
            }
        }
        // What is left is padding.
        let (first, zeros) = match rest {
            [] => return Ok(Self { rsn, group }),
            [first, zeros @ ..] => (*first, zeros),
        };
        if first != element::VENDOR || zeros.len() > 7 || zeros.iter().any(|byte| *byte != 0) {
            return Err(Refused::KeyData);
        }
        Ok(Self { rsn, group })
    }
}
