//! The access point's side of the four-way handshake and of the group handshake (IEEE
//! 802.11-2016, 12.7.6 and 12.7.7), for one station.

use super::crypto::{self, Key, Ptk};
use super::eapol::{self, Message, info};
use super::frame::Address;

/// How long the first answer is waited for, in nanoseconds; each further one a second. As hostapd.
const FIRST_WAIT: u64 = 100_000_000;
const WAIT: u64 = 1_000_000_000;
/// How often a message is sent before the station is sent away.
const TRIES: u32 = 4;

/// Reasons for which a station is sent away (IEEE 802.11-2016, table 9-45).
pub mod reason {
    #![allow(missing_docs)]
    pub const FOUR_WAY_TIMEOUT: u16 = 15;
    pub const GROUP_TIMEOUT: u16 = 16;
    pub const ELEMENT_DIFFERS: u16 = 17;
}

/// What is wrong with message 3 on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Message3 {
    /// Nothing.
    #[default]
    Good,
    /// Its integrity code.
    WrongMic,
    /// The access point's security element is not the one of its beacons.
    OtherElement,
    /// The key data cannot be unwrapped.
    WrongKeyData,
    /// There is no group key in it.
    NoGroupKey,
    /// The nonce is not the one of message 1.
    OtherNonce,
}

/// Messages that are never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Message 1 of the four-way handshake.
    pub message1: bool,
    /// Message 3.
    pub message3: bool,
    /// Message 1 of the group handshake.
    pub group: bool,
}

/// The group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupKey {
    /// The key.
    pub key: Key,
    /// 1 or 2.
    pub id: u8,
    /// Packet number of the last frame.
    pub pn: u64,
}

/// What the access point has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this message.
    Send(Vec<u8>),
    /// Use this key from now on; the station is in.
    Installed(Key),
    /// The station has the new group key.
    HasGroupKey,
    /// Send the station away, for this reason.
    SendAway(u16),
    /// Something for the log.
    Say(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Message2,
    Message4,
    Group2,
    Nothing,
}

/// What one station's handshakes need to know.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The pairwise master key.
    pub pmk: [u8; 32],
    /// The access point's address and the station's.
    pub addresses: [Address; 2],
    /// The station's security element, as in its association request.
    pub element: Vec<u8>,
    /// The access point's security elements, as in its beacons.
    pub own_elements: Vec<u8>,
    /// What is wrong on purpose.
    pub message3: Message3,
    /// What is not sent.
    pub silence: Silence,
}

/// The state for one station.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// What was agreed; faults may be changed at any time.
    pub terms: Terms,
    nonce: [u8; 32],
    station_nonce: [u8; 32],
    replay: u64,
    /// The counter of the first try of the message that is waited for.
    first_replay: u64,
    ptk: Option<Ptk>,
    waiting: Waiting,
    tries: u32,
    deadline: u64,
    group: GroupKey,
    /// The last message 1, message 3 and group message, as sent.
    pub sent: [Option<Vec<u8>>; 3],
}

impl Authenticator {
    /// Begins the handshake.
    pub fn start(terms: Terms, nonce: [u8; 32], group: GroupKey, now: u64) -> (Self, Vec<Step>) {
        let mut this = Self {
            terms,
            nonce,
            station_nonce: [0; 32],
            replay: 0,
            first_replay: 0,
            ptk: None,
            waiting: Waiting::Nothing,
            tries: 0,
            deadline: 0,
            group,
            sent: [const { None }; 3],
        };
        let steps = this.wait_for(Waiting::Message2, now);
        (this, steps)
    }

    /// When it gives up waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        (self.waiting != Waiting::Nothing).then_some(self.deadline)
    }

    /// The keys, once both sides have them.
    #[must_use]
    pub fn ptk(&self) -> Option<&Ptk> {
        self.ptk.as_ref()
    }

    /// Gives the station another group key.
    pub fn rekey(&mut self, group: GroupKey, now: u64) -> Vec<Step> {
        self.group = group;
        if self.waiting != Waiting::Nothing {
            // What is under way brings it. A station that has not answered the last key gains no
            // patience by the next.
            return Vec::new();
        }
        self.wait_for(Waiting::Group2, now)
    }

    fn wait_for(&mut self, what: Waiting, now: u64) -> Vec<Step> {
        self.waiting = what;
        self.tries = 0;
        self.first_replay = self.replay + 1;
        self.again(now)
    }

    /// Sends the message that is to be answered, with the next replay counter.
    fn again(&mut self, now: u64) -> Vec<Step> {
        self.replay += 1;
        self.tries += 1;
        self.deadline = now + if self.tries == 1 { FIRST_WAIT } else { WAIT };
        let silence = self.terms.silence;
        let (which, bytes, silent) = match self.waiting {
            Waiting::Message2 => {
                let mut message = Message::new(info::MESSAGE_1, self.replay);
                message.nonce = self.nonce;
                (0, message.bytes(None), silence.message1)
            }
            Waiting::Message4 => (1, self.message3(), silence.message3),
            Waiting::Group2 => (2, self.group1(), silence.group),
            Waiting::Nothing => return Vec::new(),
        };
        self.sent[which] = Some(bytes.clone());
        if silent { Vec::new() } else { vec![Step::Send(bytes)] }
    }

    fn message3(&self) -> Vec<u8> {
        let Some(ptk) = &self.ptk else { return Vec::new() };
        let mut message = Message::new(info::MESSAGE_3, self.replay);
        message.nonce = self.nonce;
        message.rsc = self.rsc();
        let mut elements = self.terms.own_elements.clone();
        let mut group = eapol::group_key(&self.group.key, self.group.id);
        match self.terms.message3 {
            Message3::OtherElement => {
                if let Some(last) = elements.last_mut() {
                    *last ^= 0x80;
                }
            }
            Message3::NoGroupKey => group.clear(),
            Message3::OtherNonce => message.nonce[0] ^= 1,
            Message3::Good | Message3::WrongMic | Message3::WrongKeyData => {}
        }
        message.data = crypto::wrap(&ptk.kek, &[elements, group].concat());
        if self.terms.message3 == Message3::WrongKeyData {
            message.data[0] ^= 1;
        }
        let mut kck = ptk.kck;
        if self.terms.message3 == Message3::WrongMic {
            kck[0] ^= 1;
        }
        message.bytes(Some(&kck))
    }

    fn group1(&self) -> Vec<u8> {
        let Some(ptk) = &self.ptk else { return Vec::new() };
        let mut message = Message::new(info::GROUP_1, self.replay);
        message.rsc = self.rsc();
        message.data = crypto::wrap(&ptk.kek, &eapol::group_key(&self.group.key, self.group.id));
        message.bytes(Some(&ptk.kck))
    }

    fn rsc(&self) -> [u8; 8] {
        self.group.pn.to_le_bytes()
    }

    /// A message of the station, from the 802.1X header on.
    pub fn receive(&mut self, bytes: &[u8], now: u64) -> Vec<Step> {
        let Some(message) = Message::parse(bytes) else {
            return vec![Step::Say("a malformed EAPOL message: ignored".to_owned())];
        };
        if !(self.first_replay..=self.replay).contains(&message.replay) {
            return vec![Step::Say(format!(
                "an EAPOL message with replay counter {}, not {}: ignored",
                message.replay, self.replay
            ))];
        }
        match (self.waiting, message.info & !info::VERSION_AES & !7) {
            (Waiting::Message2, what) if what == info::MESSAGE_2 & !7 => {
                self.station_nonce = message.nonce;
                let ptk =
                    Ptk::derive(&self.terms.pmk, self.terms.addresses, [self.nonce, message.nonce]);
                if !eapol::verified(&ptk.kck, bytes) {
                    return vec![Step::Say(
                        "message 2 has a wrong integrity code: another passphrase".to_owned(),
                    )];
                }
                if message.data != self.terms.element {
                    return vec![
                        Step::Say("message 2 repeats another security element".to_owned()),
                        Step::SendAway(reason::ELEMENT_DIFFERS),
                    ];
                }
                self.ptk = Some(ptk);
                self.wait_for(Waiting::Message4, now)
            }
            (Waiting::Message4, what) if what == info::MESSAGE_4 & !7 => {
                let Some(ptk) = &self.ptk else { return Vec::new() };
                if !eapol::verified(&ptk.kck, bytes) {
                    return vec![Step::Say("message 4 has a wrong integrity code".to_owned())];
                }
                self.waiting = Waiting::Nothing;
                vec![Step::Installed(ptk.tk), Step::HasGroupKey]
            }
            (Waiting::Group2, what) if what == info::GROUP_2 & !7 => {
                let Some(ptk) = &self.ptk else { return Vec::new() };
                if !eapol::verified(&ptk.kck, bytes) {
                    return vec![Step::Say(
                        "the answer to the group key has a wrong integrity code".to_owned(),
                    )];
                }
                self.waiting = Waiting::Nothing;
                vec![Step::HasGroupKey]
            }
            _ => Vec::new(),
        }
    }

    /// Lets the time go on to `now`.
    pub fn advance(&mut self, now: u64) -> Vec<Step> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        if self.tries < TRIES {
            return self.again(now);
        }
        let (text, code) = match self.waiting {
            Waiting::Group2 => ("no answer to the group key", reason::GROUP_TIMEOUT),
            Waiting::Message4 => ("no answer to message 3", reason::FOUR_WAY_TIMEOUT),
            _ => ("no good answer to message 1", reason::FOUR_WAY_TIMEOUT),
        };
        self.waiting = Waiting::Nothing;
        vec![Step::Say(text.to_owned()), Step::SendAway(code)]
    }
}
