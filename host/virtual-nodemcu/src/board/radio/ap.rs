//! A virtual access point: beacons, answers, stations, and the way to the network behind it.

use std::collections::{BTreeMap, VecDeque};

use super::air::Random;
use super::authenticator::{Authenticator, GroupKey, Step, Terms};
use super::crypto::{self, Key};
use super::frame::{self, Address, Header, element, flag, is_group, kind};
use super::rate::{self, Rate};
use super::settings::{Refuse, Security, Settings};

/// Time between beacons: 100 units of 1024 us, in nanoseconds.
const BEACON_INTERVAL: u64 = 102_400_000;
/// Frames that wait to be sent; what comes then is lost.
const QUEUE: usize = 256;
/// Frames that wait for a station that sleeps.
const ASLEEP: usize = 64;
/// Frames in a row that a station does not acknowledge before it counts as gone.
const GONE: u32 = 20;
/// Longest frame that passes to the network behind: Ethernet without checksum.
const MAX_ETHERNET: usize = 1514;

/// Status codes (IEEE 802.11-2016, table 9-46).
mod status {
    pub const GOOD: u16 = 0;
    pub const REFUSED: u16 = 1;
    pub const ALGORITHM: u16 = 13;
    pub const FULL: u16 = 17;
    pub const INVALID_ELEMENT: u16 = 40;
}

/// Reason codes (table 9-45).
mod reason {
    pub const NOT_AUTHENTICATED: u16 = 6;
    pub const NOT_ASSOCIATED: u16 = 7;
}

/// A frame to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// It, without checksum.
    pub frame: Vec<u8>,
    /// Its rate.
    pub rate: Rate,
}

/// What waits to be sent; numbered and encrypted when its turn comes.
#[derive(Clone, Debug)]
enum Waiting {
    Management(Vec<u8>),
    /// Data for one station.
    Unicast {
        to: Address,
        from: Address,
        body: Vec<u8>,
        eapol: bool,
    },
    /// Data for a group.
    Group {
        to: Address,
        from: Address,
        body: Vec<u8>,
    },
    /// As it stands, its number included.
    Raw(Vec<u8>),
}

#[derive(Debug, Default)]
struct Client {
    /// None: only authenticated.
    id: Option<u16>,
    /// Its security element.
    element: Vec<u8>,
    authenticator: Option<Authenticator>,
    key: Option<Key>,
    sent: u64,
    received: u64,
    /// Number of its last frame, to know a repetition.
    last: Option<u16>,
    asleep: bool,
    buffered: VecDeque<Waiting>,
    unanswered: u32,
    /// Protected data as last sent to it, for a replay.
    last_data: Option<Vec<u8>>,
    wants_old_group_key: bool,
}

/// A station as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientState {
    /// Its address.
    pub address: Address,
    /// Whether data passes.
    pub joined: bool,
    /// Whether it sleeps between beacons.
    pub asleep: bool,
}

/// What can be done to a running access point, besides changing a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends a station away, or all; `forged`: somebody else does in its name, so that it does not
    /// know.
    Deauthenticate {
        /// Whom; none: all.
        station: Option<Address>,
        /// Reason code.
        reason: u16,
        /// The access point keeps the station.
        forged: bool,
    },
    /// Gives all stations another group key.
    Rekey,
    /// Off, with all it knew; on again after so many nanoseconds, or only when told.
    Off(Option<u64>),
    /// On again.
    On,
    /// To another channel, announced in so many beacons (0: without a word).
    Switch {
        /// The channel.
        channel: u8,
        /// Beacons that tell.
        beacons: u8,
    },
    /// Sends something once more, as it was sent.
    Replay(Replay),
    /// Sends an EAPOL message with wrong contents.
    Forge(Forge),
}

/// What is sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Message 1 of the four-way handshake.
    Message1,
    /// Message 3: what makes a station reinstall a key (KRACK).
    Message3,
    /// Message 1 of the group handshake.
    Group,
    /// The last data frame, old packet number included.
    Data,
}

/// An EAPOL message that is not the access point's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// Message 1 with another nonce and a higher replay counter.
    Message1,
    /// Message 3 with a higher replay counter and no right integrity code.
    Message3,
    /// A group message with a higher replay counter and no right integrity code.
    Group,
    /// A message cut in the middle, and one whose lengths lie.
    Malformed,
}

/// An access point.
pub struct Ap {
    settings: Settings,
    bssid: Address,
    pmk: [u8; 32],
    random: Random,
    up: bool,
    back_at: Option<u64>,
    /// When its clock was 0.
    born: u64,
    beacon_at: u64,
    rekey_at: Option<u64>,
    switch: Option<(u8, u8)>,
    sequence: u16,
    clients: BTreeMap<Address, Client>,
    group: GroupKey,
    /// The key that stations without the new one still have.
    next_group: Option<GroupKey>,
    queue: VecDeque<Waiting>,
    group_buffer: VecDeque<Waiting>,
    to_wire: Vec<Vec<u8>>,
    log: Vec<String>,
    now: u64,
}

impl Ap {
    /// Switches an access point on. `number` makes its address, if the settings do not say it.
    #[must_use]
    pub fn new(settings: Settings, number: u8, seed: u64, now: u64) -> Self {
        let bssid = settings.bssid.unwrap_or([0x02, 0xA9, 0, 0, 0, number]);
        let mut random = Random::new(seed ^ u64::from(number) << 32 ^ 0xA9);
        let group = GroupKey { key: random.bytes(), id: 1, pn: 0 };
        let mut ap = Self {
            pmk: [0; 32],
            settings,
            bssid,
            random,
            up: true,
            back_at: None,
            born: now,
            beacon_at: now + BEACON_INTERVAL,
            rekey_at: None,
            switch: None,
            sequence: 0,
            clients: BTreeMap::new(),
            group,
            next_group: None,
            queue: VecDeque::new(),
            group_buffer: VecDeque::new(),
            to_wire: Vec::new(),
            log: Vec::new(),
            now,
        };
        ap.update_pmk();
        ap.plan_rekey();
        ap
    }

    fn update_pmk(&mut self) {
        self.pmk = if self.settings.psk.is_empty() {
            [0; 32]
        } else {
            crypto::pmk(self.settings.psk.as_bytes(), self.settings.ssid.as_bytes())
        };
    }

    fn plan_rekey(&mut self) {
        let every = u64::from(self.settings.rekey) * 1_000_000_000;
        self.rekey_at = (every > 0).then_some(self.now + every);
    }

    /// Its address.
    #[must_use]
    pub fn bssid(&self) -> Address {
        self.bssid
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// The stations that it knows.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientState> {
        let state = |(address, client): (&Address, &Client)| ClientState {
            address: *address,
            joined: self.is_open_to(client),
            asleep: client.asleep,
        };
        self.clients.iter().map(state).collect()
    }

    /// What there is to tell since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// Frames for the network behind since the last call: Ethernet without checksum.
    pub fn take_wire(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.to_wire)
    }

    /// Whether [`Ap::take_wire`] has something.
    #[must_use]
    pub fn has_wire(&self) -> bool {
        !self.to_wire.is_empty()
    }

    fn say(&mut self, text: &str) {
        if self.log.len() < QUEUE {
            self.log.push(format!("access point {}: {text}", self.settings.ssid));
        }
    }

    /// Changes a setting.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn change(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.settings.change(key, value)?;
        match key {
            "psk" => self.update_pmk(),
            "rekey" => self.plan_rekey(),
            _ => {}
        }
        let (message3, silence) = (self.settings.message3, self.settings.mute.handshake);
        let authenticators = self.clients.values_mut().filter_map(|c| c.authenticator.as_mut());
        for authenticator in authenticators {
            authenticator.terms.message3 = message3;
            authenticator.terms.silence = silence;
        }
        Ok(())
    }

    /// Does something at time `now`.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn act(&mut self, action: &Action, now: u64) -> Result<(), String> {
        self.now = self.now.max(now);
        match action {
            Action::Deauthenticate { station, reason, forged } => {
                let known: Vec<_> = self.clients.keys().copied().collect();
                let whom: Vec<_> = match station {
                    Some(station) => vec![*station],
                    None => known,
                };
                for station in whom {
                    self.send_away(station, *reason);
                    if !forged {
                        self.clients.remove(&station);
                    }
                }
            }
            Action::Rekey => self.rekey(),
            Action::Off(back_after) => {
                self.up = false;
                self.forget();
                self.back_at = back_after.map(|after| self.now + after);
                self.say("off");
            }
            Action::On => self.switch_on(),
            Action::Switch { channel, beacons } => {
                let mut settings = self.settings.clone();
                settings.change("channel", &channel.to_string())?;
                if *beacons == 0 {
                    self.settings = settings;
                    self.say(&format!("on channel {channel} now"));
                } else {
                    self.switch = Some((*channel, *beacons));
                }
            }
            Action::Replay(what) => self.replay(*what)?,
            Action::Forge(what) => self.forge(*what)?,
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.clients.clear();
        self.queue.clear();
        self.group_buffer.clear();
        self.switch = None;
        self.next_group = None;
    }

    fn switch_on(&mut self) {
        if self.up {
            return;
        }
        self.up = true;
        self.back_at = None;
        self.born = self.now;
        self.beacon_at = self.now + BEACON_INTERVAL;
        self.group = GroupKey { key: self.random.bytes(), id: 1, pn: 0 };
        self.plan_rekey();
        self.say("on");
    }

    fn rekey(&mut self) {
        let id = 3 - self.next_group.unwrap_or(self.group).id;
        let group = GroupKey { key: self.random.bytes(), id, pn: 0 };
        self.next_group = Some(group);
        let mut all = Vec::new();
        for (address, client) in &mut self.clients {
            if client.key.is_none() {
                continue;
            }
            if let Some(authenticator) = &mut client.authenticator {
                client.wants_old_group_key = true;
                all.push((*address, authenticator.rekey(group, self.now)));
            }
        }
        for (address, steps) in all {
            self.take_steps(address, steps);
        }
        self.adopt_group_key();
        self.plan_rekey();
    }

    /// Once all stations have the new group key, it is used.
    fn adopt_group_key(&mut self) {
        if !self.clients.values().any(|client| client.wants_old_group_key)
            && let Some(group) = self.next_group.take()
        {
            self.group = group;
            self.say(&format!("group key {} is used from now on", group.id));
        }
    }

    fn replay(&mut self, what: Replay) -> Result<(), String> {
        let mut found = false;
        let mut frames = Vec::new();
        for (address, client) in &self.clients {
            let sent = |n: usize| client.authenticator.as_ref().and_then(|a| a.sent[n].clone());
            let message = match what {
                Replay::Message1 => sent(0),
                Replay::Message3 => sent(1),
                Replay::Group => sent(2),
                Replay::Data => {
                    if let Some(frame) = &client.last_data {
                        frames.push(Waiting::Raw(frame.clone()));
                        found = true;
                    }
                    continue;
                }
            };
            if let Some(message) = message {
                frames.push(self.eapol(*address, message));
                found = true;
            }
        }
        frames.into_iter().for_each(|frame| self.push(frame));
        if found { Ok(()) } else { Err("no station was sent such a message yet".to_owned()) }
    }

    fn forge(&mut self, what: Forge) -> Result<(), String> {
        use super::eapol::{Message, info};
        let stations: Vec<_> = self.clients.keys().copied().collect();
        if stations.is_empty() {
            return Err("there is no station to send it to".to_owned());
        }
        for station in stations {
            let mut message = match what {
                Forge::Message1 => Message::new(info::MESSAGE_1, 1000),
                Forge::Message3 => Message::new(info::MESSAGE_3, 1000),
                Forge::Group => Message::new(info::GROUP_1, 1000),
                Forge::Malformed => Message::new(info::MESSAGE_3, 1001),
            };
            message.nonce = self.random.bytes();
            if what != Forge::Message1 {
                message.data = self.random.bytes::<56>().to_vec();
            }
            let kck = self.random.bytes();
            let bytes = message.bytes((what != Forge::Message1).then_some(&kck));
            let messages = if what == Forge::Malformed {
                let cut = bytes[..60].to_vec();
                let mut lies = bytes;
                // The length of the key data.
                lies[97..99].copy_from_slice(&[0xFF, 0xFF]);
                vec![cut, lies]
            } else {
                vec![bytes]
            };
            for message in messages {
                let frame = self.eapol(station, message);
                self.push(frame);
            }
        }
        Ok(())
    }

    /// When it has something to do by itself.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        if !self.up {
            return self.back_at;
        }
        let handshakes = self.clients.values().filter_map(|c| c.authenticator.as_ref());
        let deadlines = handshakes.filter_map(Authenticator::deadline);
        deadlines.chain([self.beacon_at]).chain(self.rekey_at).min()
    }

    /// Does what is due at time `now`.
    pub fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        if !self.up {
            if self.back_at.is_some_and(|at| at <= now) {
                self.switch_on();
            }
            return;
        }
        if self.beacon_at <= now {
            self.beacon_at += BEACON_INTERVAL;
            if self.beacon_at <= now {
                self.beacon_at = now + BEACON_INTERVAL;
            }
            self.beacon();
        }
        if self.rekey_at.is_some_and(|at| at <= now) {
            self.rekey();
        }
        let mut all = Vec::new();
        for (address, client) in &mut self.clients {
            if let Some(authenticator) = &mut client.authenticator {
                let steps = authenticator.advance(now);
                if !steps.is_empty() {
                    all.push((*address, steps));
                }
            }
        }
        for (address, steps) in all {
            self.take_steps(address, steps);
        }
    }

    fn beacon(&mut self) {
        if let Some((channel, left)) = self.switch {
            if left == 0 {
                self.settings.channel = channel;
                self.switch = None;
                self.say(&format!("on channel {channel} now"));
            } else {
                self.switch = Some((channel, left - 1));
            }
        }
        // It says whether something for a group follows, so it is written before that is taken.
        let beacon = self.settings.beacons.then(|| {
            let addresses = [frame::BROADCAST, self.bssid, self.bssid];
            let mut frame = frame::header(kind::BEACON, 0, addresses);
            frame.extend(self.description(true));
            Waiting::Management(frame)
        });
        // Those that sleep listen behind a beacon.
        while let Some(frame) = self.group_buffer.pop_back() {
            self.queue.push_front(frame);
        }
        if let Some(beacon) = beacon {
            self.queue.push_front(beacon);
        }
    }

    /// What beacons and probe responses tell, from the time stamp on.
    fn description(&self, beacon: bool) -> Vec<u8> {
        // The time stamp is filled in when the frame is sent.
        let mut body = vec![0; 8];
        body.extend([100, 0]);
        body.extend(self.capabilities().to_le_bytes());
        let name = if beacon && self.settings.hidden { &[] } else { self.settings.ssid.as_bytes() };
        body.extend(element(element::SSID, name));
        body.extend(rates());
        body.extend(element(element::CHANNEL, &[self.settings.channel]));
        if beacon {
            body.extend(self.tim());
        }
        if self.settings.ht {
            body.extend(element(element::COUNTRY, &[b'D', b'E', b' ', 1, 13, 20]));
        }
        if let Some((channel, left)) = self.switch {
            body.extend(element(element::CHANNEL_SWITCH, &[0, channel, left]));
        }
        body.extend(more_rates());
        body.extend(self.security_elements());
        if self.settings.ht {
            body.extend(self.ht_elements());
        }
        body
    }

    fn ht_elements(&self) -> Vec<u8> {
        let mut capabilities = [0; 26];
        // Short guard interval at 20 MHz; MCS 0-7.
        capabilities[0] = 0x20;
        capabilities[3] = 0xFF;
        let mut operation = [0; 22];
        operation[0] = self.settings.channel;
        // WMM parameters with the usual values of the four categories.
        let wmm = [
            0x00, 0x50, 0xF2, 2, 1, 1, 0x80, 0, 0x03, 0xA4, 0, 0, 0x27, 0xA4, 0, 0, 0x42, 0x43,
            0x5E, 0, 0x62, 0x32, 0x2F, 0,
        ];
        [
            element(element::HT_CAPABILITIES, &capabilities),
            element(element::HT_OPERATION, &operation),
            element(element::VENDOR, &wmm),
        ]
        .concat()
    }

    /// Which sleeping stations have something to fetch.
    fn tim(&self) -> Vec<u8> {
        let mut bits = [0u8; 32];
        for client in self.clients.values().filter(|client| !client.buffered.is_empty()) {
            let id = client.id.unwrap_or(0);
            bits[usize::from(id / 8) % 32] |= 1 << (id % 8);
        }
        let last = bits.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let group = u8::from(!self.group_buffer.is_empty());
        element(element::TIM, &[&[0, 1, group][..], &bits[..=last]].concat())
    }

    fn capabilities(&self) -> u16 {
        // ESS, short preamble, short slot.
        0x0421 | if self.settings.security.is_private() { 0x10 } else { 0 }
    }

    fn security_elements(&self) -> Vec<u8> {
        const CCMP: [u8; 4] = [0x00, 0x0F, 0xAC, 4];
        const TKIP: [u8; 4] = [0x00, 0x0F, 0xAC, 2];
        const WPA_CCMP: [u8; 4] = [0x00, 0x50, 0xF2, 4];
        const WPA_TKIP: [u8; 4] = [0x00, 0x50, 0xF2, 2];
        const PSK: u8 = 2;
        let rsn = |pairwise: &[[u8; 4]], keys: &[u8], capabilities: u16| {
            let mut body = vec![1, 0];
            body.extend(CCMP);
            body.extend((pairwise.len() as u16).to_le_bytes());
            body.extend(pairwise.concat());
            body.extend((keys.len() as u16).to_le_bytes());
            keys.iter().for_each(|key| body.extend([0x00, 0x0F, 0xAC, *key]));
            body.extend(capabilities.to_le_bytes());
            element(element::RSN, &body)
        };
        let wpa = |group: [u8; 4], pairwise: &[[u8; 4]]| {
            let mut body = vec![0x00, 0x50, 0xF2, 1, 1, 0];
            body.extend(group);
            body.extend((pairwise.len() as u16).to_le_bytes());
            body.extend(pairwise.concat());
            body.extend([1, 0, 0x00, 0x50, 0xF2, PSK]);
            element(element::VENDOR, &body)
        };
        match self.settings.security {
            Security::Open | Security::Wep => Vec::new(),
            Security::Wpa2 => rsn(&[CCMP], &[PSK], 0),
            Security::Mixed => {
                [rsn(&[CCMP, TKIP], &[PSK], 0), wpa(WPA_CCMP, &[WPA_CCMP, WPA_TKIP])].concat()
            }
            Security::Wpa => wpa(WPA_TKIP, &[WPA_TKIP]),
            // SAE; management frames protected: possible, or required without PSK.
            Security::Transition => rsn(&[CCMP], &[PSK, 8], 0x80),
            Security::Wpa3 => rsn(&[CCMP], &[8], 0xC0),
            Security::Enterprise => rsn(&[CCMP], &[1], 0),
        }
    }

    /// Fills in what is only known when a frame goes out: time and the channel switch's count.
    pub fn stamp(&self, frame: &mut [u8], start: u64) {
        if let Some(&(kind::BEACON | kind::PROBE_RESPONSE)) = frame.first() {
            let stamp = start.saturating_sub(self.born) / 1000;
            if let Some(field) = frame.get_mut(24..32) {
                field.copy_from_slice(&stamp.to_le_bytes());
            }
        }
    }

    fn push(&mut self, frame: Waiting) {
        if self.queue.len() < QUEUE {
            self.queue.push_back(frame);
        }
    }

    fn number(&mut self, frame: &mut [u8]) {
        self.sequence = (self.sequence + 1) & 0xFFF;
        frame[22..24].copy_from_slice(&(self.sequence << 4).to_le_bytes());
    }

    /// The next frame to send.
    pub fn pop(&mut self) -> Option<Out> {
        if !self.up {
            return None;
        }
        while let Some(waiting) = self.queue.pop_front() {
            match waiting {
                Waiting::Management(mut frame) => {
                    self.number(&mut frame);
                    return Some(Out { frame, rate: rate::SLOWEST });
                }
                Waiting::Raw(frame) => return Some(Out { frame, rate: Rate::Ofdm(12) }),
                Waiting::Group { to, from, body } => {
                    // Who sleeps stays awake for those that follow.
                    let more = matches!(self.queue.front(), Some(Waiting::Group { .. }))
                        && self.clients.values().any(|client| client.asleep);
                    let frame = self.group_frame([to, from], &body, more);
                    return Some(Out { frame, rate: rate::SLOWEST });
                }
                Waiting::Unicast { to, .. } => {
                    let Some(client) = self.clients.get_mut(&to) else { continue };
                    if client.asleep {
                        if client.buffered.len() < ASLEEP {
                            client.buffered.push_back(waiting);
                        }
                        continue;
                    }
                    if let Some(out) = self.unicast_frame(waiting, false) {
                        return Some(out);
                    }
                }
            }
        }
        None
    }

    fn group_frame(&mut self, [to, from]: [Address; 2], body: &[u8], more: bool) -> Vec<u8> {
        let secure = self.settings.security.has_handshake();
        let mut flags = flag::FROM_DS | if secure { flag::PROTECTED } else { 0 };
        if more {
            flags |= flag::MORE_DATA;
        }
        let mut frame = frame::header(kind::DATA, flags, [to, self.bssid, from]);
        self.number(&mut frame);
        if secure {
            self.group.pn += 1;
            frame.extend(crypto::ccmp_header(self.group.pn, self.group.id));
            frame.extend(body);
            crypto::ccmp_seal(&self.group.key, &frame).unwrap_or(frame)
        } else {
            frame.extend(body);
            frame
        }
    }

    fn unicast_frame(&mut self, waiting: Waiting, more: bool) -> Option<Out> {
        let Waiting::Unicast { to, from, body, eapol } = waiting else { return None };
        let secure = self.settings.security.has_handshake();
        let key = self.clients.get(&to)?.key;
        if secure && key.is_none() && !eapol {
            return None;
        }
        let mut flags = flag::FROM_DS;
        if key.is_some() {
            flags |= flag::PROTECTED;
        }
        if more {
            flags |= flag::MORE_DATA;
        }
        let mut frame = frame::header(kind::DATA, flags, [to, self.bssid, from]);
        self.number(&mut frame);
        let client = self.clients.get_mut(&to)?;
        if let Some(key) = key {
            client.sent += 1;
            frame.extend(crypto::ccmp_header(client.sent, 0));
            frame.extend(body);
            frame = crypto::ccmp_seal(&key, &frame)?;
            if !eapol {
                client.last_data = Some(frame.clone());
            }
        } else {
            frame.extend(body);
        }
        // As fast as the signal allows, up to what the boards' own libraries mostly use.
        let rate = [Rate::Ofdm(108), Rate::Ofdm(48), Rate::Ofdm(24)]
            .into_iter()
            .find(|rate| i32::from(self.settings.rssi) >= rate.sensitivity() + 5)
            .unwrap_or(Rate::Ofdm(12));
        Some(Out { frame, rate })
    }

    /// A frame that [`Ap::pop`] gave was acknowledged, or was given up.
    pub fn delivered(&mut self, frame: &[u8], acked: bool, now: u64) {
        self.now = self.now.max(now);
        let Some(head) = Header::parse(frame) else { return };
        if is_group(head.receiver) {
            return;
        }
        let Some(client) = self.clients.get_mut(&head.receiver) else { return };
        client.unanswered = if acked { 0 } else { client.unanswered + 1 };
        if client.unanswered >= GONE {
            self.clients.remove(&head.receiver);
            self.say(&format!("{} does not answer any more", frame::text(head.receiver)));
            self.adopt_group_key();
            return;
        }
        let response =
            matches!(head.kind, kind::ASSOCIATION_RESPONSE | kind::REASSOCIATION_RESPONSE);
        if acked && response && client.id.is_some() {
            self.begin(head.receiver);
        }
    }

    /// A station is associated: the handshake begins, or it is in.
    fn begin(&mut self, station: Address) {
        if !self.settings.security.has_handshake() {
            self.say(&format!("{} joined", frame::text(station)));
            return;
        }
        let nonce = self.random.bytes();
        let own_elements = self.security_elements();
        let Some(client) = self.clients.get_mut(&station) else { return };
        let terms = Terms {
            pmk: self.pmk,
            addresses: [self.bssid, station],
            element: client.element.clone(),
            own_elements,
            message3: self.settings.message3,
            silence: self.settings.mute.handshake,
        };
        let group = self.next_group.unwrap_or(self.group);
        let (authenticator, steps) = Authenticator::start(terms, nonce, group, self.now);
        client.authenticator = Some(authenticator);
        self.take_steps(station, steps);
    }

    fn take_steps(&mut self, station: Address, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(message) => {
                    let frame = self.eapol(station, message);
                    self.push(frame);
                }
                Step::Installed(key) => {
                    if let Some(client) = self.clients.get_mut(&station) {
                        client.key = Some(key);
                        client.sent = 0;
                        client.received = 0;
                    }
                    self.say(&format!("{} joined by WPA2", frame::text(station)));
                }
                Step::HasGroupKey => {
                    if let Some(client) = self.clients.get_mut(&station) {
                        client.wants_old_group_key = false;
                    }
                    self.adopt_group_key();
                }
                Step::SendAway(reason) => {
                    self.send_away(station, reason);
                    self.clients.remove(&station);
                    self.adopt_group_key();
                }
                Step::Say(text) => self.say(&format!("{}: {text}", frame::text(station))),
            }
        }
    }

    fn eapol(&self, to: Address, message: Vec<u8>) -> Waiting {
        let body = [&frame::SNAP[..], &frame::EAPOL, &message].concat();
        Waiting::Unicast { to, from: self.bssid, body, eapol: true }
    }

    fn send_away(&mut self, station: Address, reason: u16) {
        self.answer(kind::DEAUTHENTICATION, station, &reason.to_le_bytes());
        self.say(&format!("{} is sent away, reason {reason}", frame::text(station)));
    }

    /// A frame that is on its channel.
    pub fn receive(&mut self, bytes: &[u8], now: u64) {
        self.now = self.now.max(now);
        if bytes.first() == Some(&kind::PS_POLL) {
            return self.poll(bytes);
        }
        let Some(head) = Header::parse(bytes) else { return };
        let body = &bytes[head.length..];
        if head.kind == kind::PROBE_REQUEST {
            return self.probe(&head, body);
        }
        if head.receiver != self.bssid {
            return;
        }
        if let Some(client) = self.clients.get_mut(&head.transmitter) {
            let again = head.flags & flag::RETRY != 0 && client.last == Some(head.sequence);
            client.last = Some(head.sequence);
            if again {
                return;
            }
            client.asleep = head.flags & flag::POWER != 0;
            if !client.asleep {
                while let Some(waiting) = client.buffered.pop_front() {
                    self.queue.push_back(waiting);
                }
            }
        }
        match head.kind {
            kind::AUTHENTICATION => self.authentication(&head, body),
            kind::ASSOCIATION_REQUEST => self.association(&head, body.get(4..)),
            kind::REASSOCIATION_REQUEST => self.association(&head, body.get(10..)),
            kind::DEAUTHENTICATION | kind::DISASSOCIATION => {
                if self.clients.remove(&head.transmitter).is_some() {
                    self.say(&format!("{} left", frame::text(head.transmitter)));
                    self.adopt_group_key();
                }
            }
            kind::DATA | kind::QOS_DATA => self.data(&head, bytes),
            kind::NULL | kind::QOS_NULL => {
                self.is_class_3(head.transmitter);
            }
            _ => {}
        }
    }

    /// A sleeping station fetches one frame.
    fn poll(&mut self, bytes: &[u8]) {
        let Some(&[_, _, _, _, b0, b1, b2, b3, b4, b5, t0, t1, t2, t3, t4, t5]) =
            bytes.first_chunk()
        else {
            return;
        };
        if [b0, b1, b2, b3, b4, b5] != self.bssid {
            return;
        }
        let Some(client) = self.clients.get_mut(&[t0, t1, t2, t3, t4, t5]) else { return };
        let Some(waiting) = client.buffered.pop_front() else { return };
        let more = !client.buffered.is_empty();
        if let Some(out) = self.unicast_frame(waiting, more) {
            self.push(Waiting::Raw(out.frame));
        }
    }

    fn probe(&mut self, head: &Header, body: &[u8]) {
        if self.settings.mute.probe || !self.up {
            return;
        }
        let elements = frame::find_element(body, element::CHANNEL);
        if elements.is_some_and(|channel| channel != [self.settings.channel]) {
            return;
        }
        let name = frame::find_element(body, element::SSID).unwrap_or(&[]);
        let wanted = if name.is_empty() {
            !self.settings.hidden
        } else {
            name == self.settings.ssid.as_bytes()
        };
        if !wanted {
            return;
        }
        let description = self.description(false);
        self.answer(kind::PROBE_RESPONSE, head.transmitter, &description);
    }

    fn answer(&mut self, kind: u8, to: Address, body: &[u8]) {
        let mut frame = frame::header(kind, 0, [to, self.bssid, self.bssid]);
        frame.extend(body);
        self.push(Waiting::Management(frame));
    }

    fn authentication(&mut self, head: &Header, body: &[u8]) {
        let Some(&[algorithm, 0, 1, 0, ..]) = body.first_chunk::<6>() else { return };
        if self.settings.mute.authentication {
            return;
        }
        let code = if self.settings.refuse == Refuse::Authentication {
            status::REFUSED
        } else if algorithm != 0 {
            status::ALGORITHM
        } else {
            status::GOOD
        };
        if code == status::GOOD {
            // What waits for the station as it was, under its old key, is not for it as it is.
            self.queue.retain(
                |waiting| !matches!(waiting, Waiting::Unicast { to, .. } if *to == head.transmitter),
            );
            let client = Client { last: Some(head.sequence), ..Client::default() };
            self.clients.insert(head.transmitter, client);
            self.adopt_group_key();
        }
        let [low, high] = code.to_le_bytes();
        self.answer(kind::AUTHENTICATION, head.transmitter, &[algorithm, 0, 2, 0, low, high]);
    }

    fn association(&mut self, head: &Header, elements: Option<&[u8]>) {
        let Some(elements) = elements else { return };
        if !self.clients.contains_key(&head.transmitter) {
            return self.send_away(head.transmitter, reason::NOT_AUTHENTICATED);
        }
        if self.settings.mute.association {
            return;
        }
        let code = self.judge(elements);
        let id = (1..).find(|id| !self.clients.values().any(|c| c.id == Some(*id))).unwrap_or(1);
        let response = if head.kind == kind::ASSOCIATION_REQUEST {
            kind::ASSOCIATION_RESPONSE
        } else {
            kind::REASSOCIATION_RESPONSE
        };
        let mut body = self.capabilities().to_le_bytes().to_vec();
        body.extend(code.to_le_bytes());
        body.extend((id | 0xC000).to_le_bytes());
        body.extend(rates());
        body.extend(more_rates());
        if self.settings.ht {
            body.extend(self.ht_elements());
        }
        let client = self.clients.get_mut(&head.transmitter).expect("looked for above");
        client.key = None;
        client.authenticator = None;
        client.id = (code == status::GOOD).then_some(id);
        client.element = [element::RSN, element::VENDOR]
            .into_iter()
            .find_map(|number| Some(element(number, frame::find_element(elements, number)?)))
            .unwrap_or_default();
        if code != status::GOOD {
            self.say(&format!("{} is refused, status {code}", frame::text(head.transmitter)));
        }
        self.answer(response, head.transmitter, &body);
    }

    /// The status code for an association request.
    fn judge(&self, elements: &[u8]) -> u16 {
        if self.settings.refuse == Refuse::Full {
            return status::FULL;
        }
        if frame::find_element(elements, element::SSID) != Some(self.settings.ssid.as_bytes()) {
            return status::REFUSED;
        }
        let rsn = frame::find_element(elements, element::RSN);
        match self.settings.security {
            Security::Open => status::GOOD,
            security if security.has_handshake() => {
                // Group cipher CCMP, one pairwise cipher, CCMP, one way to manage keys, PSK.
                const WANTED: [u8; 18] = [
                    1, 0, 0x00, 0x0F, 0xAC, 4, 1, 0, 0x00, 0x0F, 0xAC, 4, 1, 0, 0x00, 0x0F, 0xAC, 2,
                ];
                if rsn.is_some_and(|rsn| rsn.starts_with(&WANTED)) {
                    status::GOOD
                } else {
                    status::INVALID_ELEMENT
                }
            }
            _ => status::REFUSED,
        }
    }

    /// Whether a station may send data; it is told if not.
    fn is_class_3(&mut self, station: Address) -> bool {
        let associated = self.clients.get(&station).map(|client| client.id.is_some());
        if associated != Some(true) {
            let code = if associated.is_some() {
                reason::NOT_ASSOCIATED
            } else {
                reason::NOT_AUTHENTICATED
            };
            self.send_away(station, code);
        }
        associated == Some(true)
    }

    fn is_open_to(&self, client: &Client) -> bool {
        client.id.is_some() && (client.key.is_some() || !self.settings.security.has_handshake())
    }

    fn data(&mut self, head: &Header, bytes: &[u8]) {
        if head.flags & (flag::TO_DS | flag::FROM_DS) != flag::TO_DS
            || !self.is_class_3(head.transmitter)
        {
            return;
        }
        let Some(client) = self.clients.get_mut(&head.transmitter) else { return };
        let opened;
        let body = if head.protected() {
            let Some(key) = client.key else { return };
            let Some(frame) = crypto::ccmp_open(&key, bytes) else {
                return self.say("a frame with a wrong integrity code: dropped");
            };
            opened = frame;
            let ccmp = *opened[head.length..].first_chunk().expect("it was decrypted");
            let number = crypto::ccmp_pn(ccmp);
            let before = client.received;
            if number <= before {
                return self
                    .say(&format!("packet number {number} after {before}: dropped as a replay"));
            }
            client.received = number;
            &opened[head.length + crypto::CCMP_HEADER..]
        } else {
            &bytes[head.length..]
        };
        let Some((&snap, payload)) = body.split_first_chunk::<8>() else { return };
        if snap[..6] != frame::SNAP {
            return;
        }
        let kind = [snap[6], snap[7]];
        if kind == frame::EAPOL {
            let now = self.now;
            let Some(authenticator) = &mut client.authenticator else { return };
            let steps = authenticator.receive(payload, now);
            return self.take_steps(head.transmitter, steps);
        }
        let must_be_protected = self.settings.security.has_handshake();
        if must_be_protected && !head.protected() {
            return self.say("data in the clear: dropped");
        }
        let ethernet = [&head.third[..], &head.transmitter, &kind, payload].concat();
        self.route(&ethernet, true);
    }

    /// A frame from the network behind.
    pub fn deliver(&mut self, ethernet: &[u8]) {
        self.route(ethernet, false);
    }

    /// Sends an Ethernet frame where it belongs: to a station, to all, to the network behind.
    fn route(&mut self, ethernet: &[u8], from_air: bool) {
        let Some((head, payload)) = ethernet.split_first_chunk::<14>() else { return };
        if ethernet.len() > MAX_ETHERNET
            || self.settings.mute.data
            || !self.up
            || !self.settings.dhcp && is_dhcp(ethernet)
        {
            return;
        }
        let to: Address = std::array::from_fn(|i| head[i]);
        let from: Address = std::array::from_fn(|i| head[6 + i]);
        let body = || [&frame::SNAP[..], &head[12..14], payload].concat();
        let known = self.clients.get(&to).is_some_and(|client| self.is_open_to(client));
        if known {
            self.push(Waiting::Unicast { to, from, body: body(), eapol: false });
            return;
        }
        if is_group(to) && self.clients.values().any(|client| self.is_open_to(client)) {
            let frame = Waiting::Group { to, from, body: body() };
            if self.clients.values().any(|client| client.asleep) {
                if self.group_buffer.len() < ASLEEP {
                    self.group_buffer.push_back(frame);
                }
            } else {
                self.push(frame);
            }
        }
        if from_air {
            self.to_wire.push(ethernet.to_vec());
        }
    }
}

fn rates() -> Vec<u8> {
    // 1, 2, 5.5, 11 basic; 6, 9, 12, 18.
    element(element::RATES, &[0x82, 0x84, 0x8B, 0x96, 12, 18, 24, 36])
}

fn more_rates() -> Vec<u8> {
    element(element::MORE_RATES, &[48, 72, 96, 108])
}

/// Whether a frame is DHCP over IPv4.
fn is_dhcp(ethernet: &[u8]) -> bool {
    let ip = &ethernet[14..];
    let port = |at: usize| ip.get(at..at + 2).is_some_and(|p| p == [0, 67] || p == [0, 68]);
    ethernet[12..14] == [8, 0] && ip.len() >= 28 && ip[9] == 17 && {
        let header = usize::from(ip[0] & 0xF) * 4;
        port(header) || port(header + 2)
    }
}
