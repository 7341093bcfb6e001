//! A small station: it drives the MAC's registers as the chip's own libraries do, and speaks
//! 802.11 and WPA2 on top. It runs without a core: the board's time goes on when it waits.

// Each test program uses its own part.
#![allow(dead_code)]

use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::radio::ap::Ap;
use virtual_nodemcu::board::radio::crypto::{self, Ptk};
use virtual_nodemcu::board::radio::eapol::{self, Message, info};
use virtual_nodemcu::board::radio::frame::{self, Address, Header, flag, kind};
use virtual_nodemcu::board::radio::settings::Settings;
use virtual_nodemcu::cpu::Bus as _;

pub const MAC: Address = [0x5C, 0xCF, 0x7F, 1, 2, 3];
/// What the libraries enable.
const INTERRUPTS: u32 = 0x2C88_0300;
const RECEIVED: u32 = 1 << 8;
const SENT: u32 = 1 << 19;
const OWNER: u32 = 1 << 31;
const END: u32 = 1 << 30;
/// The ring: descriptors, buffers of 524 bytes; a descriptor and a buffer to send.
const RING: u32 = 0x3FFE_8000;
const RING_SIZE: u32 = 16;
const BUFFERS: u32 = 0x3FFE_9000;
const BUFFER: u32 = 524;
const TX_DESCRIPTOR: u32 = 0x3FFF_0000;
const TX_BUFFER: u32 = 0x3FFF_0100;
/// Interrupt line of the NMI.
const NMI: u32 = 1 << 14;
/// The RSN element of a station that wants CCMP and PSK.
pub const RSN: [u8; 22] =
    [48, 20, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 2, 0, 0];
/// Rates as the chip numbers them.
pub const RATE_1M: u32 = 0;
pub const RATE_6M: u32 = 0xB;
pub const RATE_54M: u32 = 0xC;

/// What the hardware said of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 0: acknowledged.
    pub result: u32,
    /// From the start to the interrupt, in microseconds.
    pub took: u64,
}

/// A frame from the ring.
#[derive(Clone, Debug)]
pub struct Received {
    pub rssi: i32,
    pub rate: u32,
    pub for_us: bool,
    /// Without checksum.
    pub frame: Vec<u8>,
    /// Descriptors that it took.
    pub pieces: usize,
}

impl Received {
    pub fn head(&self) -> Header {
        Header::parse(&self.frame).unwrap()
    }

    pub fn body(&self) -> &[u8] {
        &self.frame[self.head().length..]
    }
}

pub struct Station {
    pub board: Board,
    pub cycle: u64,
    pub address: Address,
    sequence: u16,
    /// Head of the ring as the program sees it.
    head: u32,
    pub inbox: Vec<Received>,
    pub bssid: Address,
    pub ptk: Option<Ptk>,
    pub pn: u64,
    /// Packet numbers received by key: pairwise, group 1, group 2.
    pub group_installed: Vec<u8>,
}

pub fn settings(text: &str) -> Settings {
    Settings::parse(text).unwrap()
}

impl Station {
    /// A station with access points around it.
    pub fn new(aps: &[&str]) -> Self {
        Self::with_seed(aps, 1)
    }

    pub fn with_seed(aps: &[&str], seed: u64) -> Self {
        let mut board = Board::new(Flash::blank(1 << 20), MAC, seed);
        for ap in aps {
            board.radio.add_access_point(settings(ap), 0).unwrap();
        }
        Self::on(board)
    }

    /// A station on this board.
    pub fn on(board: Board) -> Self {
        Self::with_address(board, MAC)
    }

    pub fn with_address(board: Board, address: Address) -> Self {
        let mut this = Self {
            board,
            cycle: 1,
            address,
            sequence: 0,
            head: RING,
            inbox: Vec::new(),
            bssid: [0; 6],
            ptk: None,
            pn: 0,
            group_installed: Vec::new(),
        };
        this.initialise();
        this
    }

    pub fn store(&mut self, address: u32, value: u32) {
        self.board.store32(address, value, self.cycle).unwrap();
    }

    pub fn load(&mut self, address: u32) -> u32 {
        self.board.load32(address, self.cycle).unwrap()
    }

    /// As the libraries do it.
    pub fn initialise(&mut self) {
        for i in 0..RING_SIZE {
            let at = RING + 12 * i;
            self.store(at, OWNER | BUFFER << 12 | BUFFER);
            self.store(at + 4, BUFFERS + BUFFER * i);
            self.store(at + 8, RING + 12 * ((i + 1) % RING_SIZE));
        }
        self.head = RING;
        self.compare(0x3FF2_0C48, self.address);
        self.store(0x3FF2_0008, RING);
        self.store(0x3FF2_0004, OWNER);
        self.store(0x3FF2_0C18, INTERRUPTS);
        self.store(0x3FF0_0000, 1);
    }

    pub fn tune(&mut self, channel: u8) {
        let mhz = if channel == 14 { 2484 } else { 2407 + 5 * u32::from(channel) };
        let divider = ((50u64 << 20) * 2 / u64::from(mhz)).div_ceil(2) as u32;
        self.store(0x6000_9B14, divider << 17);
        assert_eq!(self.board.radio.phy.channel(), Some(channel));
    }

    pub fn microseconds(&mut self) -> u64 {
        self.board.clock.nanoseconds(self.cycle) / 1000
    }

    /// One step of the board's time: to its next event, at most to `end`.
    fn step(&mut self, end: u64) {
        let mut end = end;
        if self.board.radio.is_shared() {
            // As fast as the wall clock, or the others would be too late.
            end = end.min(self.cycle + self.board.clock.cycles_in(100_000));
            std::thread::sleep(std::time::Duration::from_micros(100));
            self.board.radio.poll_others();
        }
        let next = self.board.next_event(self.cycle).unwrap_or(end);
        self.cycle = next.clamp(self.cycle + 1, end.max(self.cycle + 1));
        self.board.advance(self.cycle);
        // The NMI's line is the status behind the gate.
        let status = self.board.load32(0x3FF2_0C20, self.cycle).unwrap();
        let gate = self.board.load32(0x3FF0_0000, self.cycle).unwrap() & 1 != 0;
        assert_eq!(self.board.lines() & NMI != 0, gate && status != 0);
        if status & RECEIVED != 0 {
            self.store(0x3FF2_0C24, RECEIVED);
            self.collect();
        }
    }

    /// Lets `microseconds` pass; what is received goes to the inbox.
    pub fn wait(&mut self, microseconds: u64) {
        let end = self.cycle + self.board.clock.cycles_in(microseconds * 1000);
        while self.cycle < end {
            self.step(end);
        }
    }

    /// Takes frames out of the ring and gives their descriptors back.
    fn collect(&mut self) {
        let last = self.load(0x3FF2_0014);
        loop {
            let mut bytes = Vec::new();
            let mut pieces = 0;
            let done = loop {
                let word = self.load(self.head);
                assert_ne!(word & OWNER, 0, "taking it is the program's");
                let buffer = self.load(self.head + 4);
                let length = (word >> 12 & 0xFFF) as usize;
                bytes.extend(self.board.read_memory(buffer, length).unwrap());
                self.store(self.head, OWNER | BUFFER << 12 | BUFFER);
                let done = self.head == last;
                self.head = self.load(self.head + 8);
                pieces += 1;
                if word & END != 0 {
                    break done;
                }
            };
            let control = u32::from_le_bytes(*bytes.first_chunk().unwrap());
            let length = (control >> 16 & 0xFFF) as usize;
            assert_eq!(bytes.len(), 12 + length, "the length that the header tells");
            let frame = bytes[12..bytes.len() - 4].to_vec();
            let encrypted = frame[1] & flag::PROTECTED != 0;
            assert!(encrypted || crypto::fcs(&frame) == bytes[bytes.len() - 4..], "checksum");
            self.inbox.push(Received {
                rssi: (control & 0xFF) as i32 - 93,
                rate: control >> 8 & 0xF,
                for_us: control >> 28 & 1 != 0,
                frame,
                pieces,
            });
            if done {
                return;
            }
        }
    }

    /// Sends a frame as it stands and waits for the end of it. With a key the frame carries its
    /// CCMP header.
    pub fn transmit(&mut self, frame: &[u8], rate: u32, key: u32) -> Outcome {
        let length = self.place(frame, if key != 0 { 12 } else { 4 });
        self.store(0x3FF2_0DC0, 3 << 12);
        self.store(0x3FF2_0DC8, length | rate << 12 | key << 16);
        let group = frame[4] & 1 != 0;
        let start = self.microseconds();
        self.store(0x3FF2_0DC4, 0xC020_0000 | u32::from(!group) << 24 | TX_DESCRIPTOR & 0x3_FFFF);
        assert_eq!(self.load(0x3FF2_0C20) & SENT, 0, "not inside the store");
        let status = self.await_end();
        assert_eq!(status >> 8 & 0xF, 0, "the slot");
        assert_eq!(self.load(0x3FF2_0DC4) >> 30, 0, "the start bits are cleared");
        Outcome { result: status >> 28, took: self.microseconds() - start }
    }

    /// A frame to send is in memory, with so many bytes behind it that the hardware makes; its length
    /// with them.
    fn place(&mut self, frame: &[u8], behind: u32) -> u32 {
        let length = frame.len() as u32 + behind;
        assert!(self.board.write_ram(TX_BUFFER, frame));
        self.store(TX_DESCRIPTOR, OWNER | END | length << 12 | length);
        self.store(TX_DESCRIPTOR + 4, TX_BUFFER);
        self.store(TX_DESCRIPTOR + 8, 0);
        length
    }

    /// Waits for the end of what is sent; its status.
    fn await_end(&mut self) -> u32 {
        let start = self.microseconds();
        while self.load(0x3FF2_0C20) & SENT == 0 {
            self.step(u64::MAX);
            assert!(self.microseconds() < start + 1_000_000, "never sent");
        }
        self.store(0x3FF2_0C24, SENT);
        self.load(0x3FF2_0C84)
    }

    /// Sends a frame by slot 0 while another slot is under way; the slots in the order of their
    /// ends.
    pub fn transmit_behind(&mut self, frame: &[u8]) -> [u32; 2] {
        let length = self.place(frame, 4);
        self.store(0x3FF2_0DC8, length | RATE_6M << 12);
        self.store(0x3FF2_0DC4, 0xC120_0000 | TX_DESCRIPTOR & 0x3_FFFF);
        [0, 1].map(|_| self.await_end() >> 8 & 0xF)
    }

    /// Sends a frame with a number of its own; repeats it as the libraries do.
    pub fn send(&mut self, mut frame: Vec<u8>, rate: u32, key: u32) -> bool {
        self.sequence = (self.sequence + 1) & 0xFFF;
        frame[22..24].copy_from_slice(&(self.sequence << 4).to_le_bytes());
        for _ in 0..32 {
            if self.transmit(&frame, rate, key).result == 0 {
                return true;
            }
            frame::set_retry(&mut frame);
        }
        false
    }

    /// The first frame of this kind in the inbox, waiting up to `milliseconds` for it.
    pub fn await_frame(&mut self, kinds: &[u8], milliseconds: u64) -> Option<Received> {
        self.await_that(|r| kinds.contains(&r.frame[0]), milliseconds)
    }

    pub fn await_that(
        &mut self,
        wanted: impl Fn(&Received) -> bool,
        milliseconds: u64,
    ) -> Option<Received> {
        let end = self.cycle + self.board.clock.cycles_in(milliseconds * 1_000_000);
        loop {
            if let Some(at) = self.inbox.iter().position(&wanted) {
                return Some(self.inbox.remove(at));
            }
            if self.cycle >= end {
                return None;
            }
            self.step(end);
        }
    }

    pub fn probe(&mut self, name: &[u8]) {
        let mut frame = frame::header(
            kind::PROBE_REQUEST,
            0,
            [frame::BROADCAST, self.address, frame::BROADCAST],
        );
        frame.extend(frame::element(frame::element::SSID, name));
        frame.extend([1, 4, 2, 4, 11, 22]);
        assert!(self.send(frame, RATE_1M, 0), "a group's frame needs no acknowledgement");
    }

    fn management(&self, kind: u8) -> Vec<u8> {
        frame::header(kind, 0, [self.bssid, self.address, self.bssid])
    }

    /// Open authentication; the status, if there was an answer.
    pub fn authenticate(&mut self) -> Option<u16> {
        let mut frame = self.management(kind::AUTHENTICATION);
        frame.extend([0, 0, 1, 0, 0, 0]);
        self.send(frame, RATE_1M, 0);
        let answer = self.await_frame(&[kind::AUTHENTICATION], 300)?;
        let body = answer.body();
        assert_eq!(body[..4], [0, 0, 2, 0]);
        Some(u16::from_le_bytes([body[4], body[5]]))
    }

    /// Association; the status, if there was an answer.
    pub fn associate(&mut self, name: &str, rsn: &[u8]) -> Option<u16> {
        let mut frame = self.management(kind::ASSOCIATION_REQUEST);
        frame.extend([0x31, 4, 3, 0]);
        frame.extend(frame::element(frame::element::SSID, name.as_bytes()));
        frame.extend([1, 8, 0x82, 0x84, 0x8B, 0x96, 12, 24, 48, 96]);
        frame.extend(rsn);
        self.send(frame, RATE_1M, 0);
        let answer = self.await_frame(&[kind::ASSOCIATION_RESPONSE], 300)?;
        let body = answer.body();
        Some(u16::from_le_bytes([body[2], body[3]]))
    }

    pub fn set_bssid(&mut self, bssid: Address) {
        self.bssid = bssid;
        self.compare(0x3FF2_0C28, bssid);
    }

    /// What is received is compared with all of an address.
    fn compare(&mut self, at: u32, address: Address) {
        let [low, high] = words(address);
        for (offset, word) in [(0, low), (4, high), (0x10, u32::MAX), (0x14, 0x1_FFFF)] {
            self.store(at + offset, word);
        }
    }

    /// Finds the network, authenticates, associates. True: accepted.
    pub fn join(&mut self, name: &str, channel: u8, rsn: &[u8]) -> bool {
        self.tune(channel);
        self.ptk = None;
        self.group_installed.clear();
        self.store(0x3FF2_080C, 0);
        self.inbox.clear();
        self.probe(name.as_bytes());
        let answer = self.await_that(
            |r| r.frame[0] == kind::PROBE_RESPONSE && ssid(&r.frame) == Some(name.as_bytes()),
            100,
        );
        let Some(answer) = answer else { return false };
        self.set_bssid(answer.head().third);
        self.inbox.clear();
        self.authenticate() == Some(0) && self.associate(name, rsn) == Some(0)
    }

    /// An Ethernet payload to the access point, encrypted if there is a key.
    pub fn send_data(
        &mut self,
        to: Address,
        ethertype: [u8; 2],
        payload: &[u8],
        rate: u32,
    ) -> bool {
        let secure = self.ptk.is_some() && !self.group_installed.is_empty();
        let flags = flag::TO_DS | if secure { flag::PROTECTED } else { 0 };
        let mut frame = frame::header(kind::DATA, flags, [self.bssid, self.address, to]);
        if secure {
            self.pn += 1;
            frame.extend(crypto::ccmp_header(self.pn, 0));
        }
        frame.extend(frame::SNAP);
        frame.extend(ethertype);
        frame.extend(payload);
        self.send(frame, rate, if secure { 6 } else { 0 })
    }

    pub fn send_eapol(&mut self, message: &[u8]) -> bool {
        self.send_data(self.bssid, frame::EAPOL, message, RATE_6M)
    }

    /// The next Ethernet payload of a kind, for this station or its network.
    pub fn await_data(&mut self, ethertype: [u8; 2], milliseconds: u64) -> Option<Vec<u8>> {
        let received = self.await_that(|r| ethertype_of(r) == Some(ethertype), milliseconds)?;
        Some(payload_of(&received)[8..].to_vec())
    }

    pub fn await_eapol(&mut self, milliseconds: u64) -> Option<(Vec<u8>, Message)> {
        let bytes = self.await_data(frame::EAPOL, milliseconds)?;
        let message = Message::parse(&bytes)?;
        Some((bytes, message))
    }

    /// Writes a key into the table, as the libraries lay it out.
    pub fn install(&mut self, entry: u32, id: u32, group: bool, key: &[u8; 16]) {
        let at = 0x3FF2_1400 + 40 * entry;
        let [low, high] = words(self.bssid);
        self.store(at, low);
        let kind = if group { 6 } else { 2 };
        self.store(at + 4, high | 3 << 18 | kind << 21 | id << 30);
        for (i, word) in (0..).zip(key.chunks(4)) {
            self.store(at + 8 + 4 * i, u32::from_le_bytes(word.try_into().unwrap()));
        }
        let valid = self.load(0x3FF2_080C);
        self.store(0x3FF2_080C, valid | 1 << entry);
    }

    /// The four-way handshake with this passphrase: true once the keys are in.
    pub fn handshake(&mut self, name: &str, passphrase: &str) -> bool {
        let pmk = crypto::pmk(passphrase.as_bytes(), name.as_bytes());
        let Some((_, first)) = self.await_eapol(500) else { return false };
        assert_eq!(first.info, info::MESSAGE_1);
        let nonce = [0x5A; 32];
        let ptk = Ptk::derive(&pmk, [self.bssid, self.address], [first.nonce, nonce]);
        let mut second = Message::new(info::MESSAGE_2, first.replay);
        second.nonce = nonce;
        second.data = RSN.to_vec();
        self.send_eapol(&second.bytes(Some(&ptk.kck)));
        let Some((bytes, third)) = self.await_that_eapol(info::MESSAGE_3, 500) else {
            return false;
        };
        assert!(eapol::verified(&ptk.kck, &bytes), "message 3's integrity code");
        assert_eq!(third.nonce, first.nonce);
        let Some(data) = unwrap(&ptk.kek, &third.data) else { return false };
        assert_eq!(data[..22], RSN, "the element of the beacons");
        let (id, group) = group_key(&data).expect("a group key");
        let fourth = Message::new(info::MESSAGE_4, third.replay);
        self.send_eapol(&fourth.bytes(Some(&ptk.kck)));
        self.install(6, 0, false, &ptk.tk);
        self.install(1 + u32::from(id), id.into(), true, &group);
        self.pn = 0;
        self.ptk = Some(ptk);
        self.group_installed = vec![id];
        true
    }

    pub fn await_that_eapol(
        &mut self,
        wanted: u16,
        milliseconds: u64,
    ) -> Option<(Vec<u8>, Message)> {
        loop {
            let (bytes, message) = self.await_eapol(milliseconds)?;
            if message.info == wanted {
                return Some((bytes, message));
            }
        }
    }

    /// Answers a new group key.
    pub fn group_handshake(&mut self, milliseconds: u64) -> Option<u8> {
        let ptk = self.ptk.clone().unwrap();
        let (bytes, first) = self.await_that_eapol(info::GROUP_1, milliseconds)?;
        assert!(eapol::verified(&ptk.kck, &bytes));
        let data = unwrap(&ptk.kek, &first.data).unwrap();
        let (id, key) = group_key(&data).unwrap();
        self.install(1 + u32::from(id), id.into(), true, &key);
        let second = Message::new(info::GROUP_2, first.replay);
        assert!(self.send_eapol(&second.bytes(Some(&ptk.kck))));
        Some(id)
    }

    pub fn ap(&mut self) -> &mut Ap {
        &mut self.board.radio.air.aps[0]
    }

    /// Joins by WPA2.
    pub fn join_wpa2(&mut self, name: &str, passphrase: &str, channel: u8) -> bool {
        let joined = self.join(name, channel, &RSN) && self.handshake(name, passphrase);
        self.wait(1000);
        joined && self.ap().clients().iter().any(|client| client.joined)
    }

    /// Frames that have reached the network behind the first access point.
    pub fn wire(&mut self) -> Vec<Vec<u8>> {
        self.ap().take_wire()
    }

    /// A frame from the network behind it.
    pub fn deliver(&mut self, ethernet: &[u8]) {
        self.ap().deliver(ethernet);
        self.board.radio.serve();
    }
}

/// An address as registers hold it.
fn words([a, b, c, d, e, f]: Address) -> [u32; 2] {
    [[a, b, c, d], [e, f, 0, 0]].map(u32::from_le_bytes)
}

pub fn ssid(frame: &[u8]) -> Option<&[u8]> {
    frame::find_element(frame.get(36..)?, frame::element::SSID)
}

/// LLC, SNAP and payload, behind the CCMP header if there is one.
fn payload_of(received: &Received) -> &[u8] {
    let body = received.body();
    if received.head().protected() {
        // Its integrity code is still counted.
        &body[8..body.len() - 8]
    } else {
        body
    }
}

fn ethertype_of(received: &Received) -> Option<[u8; 2]> {
    if received.frame[0] != kind::DATA {
        return None;
    }
    payload_of(received).get(6..8)?.try_into().ok()
}

pub fn unwrap(kek: &[u8; 16], data: &[u8]) -> Option<Vec<u8>> {
    aes_kw::KekAes128::from(*kek).unwrap_vec(data).ok()
}

/// Id and key of the group key in key data.
pub fn group_key(mut data: &[u8]) -> Option<(u8, [u8; 16])> {
    while let [kind, length, rest @ ..] = data {
        let body = rest.get(..usize::from(*length))?;
        if *kind == 0xDD && body.len() == 22 && body[..4] == [0x00, 0x0F, 0xAC, 1] {
            return Some((body[4] & 3, body[6..].try_into().unwrap()));
        }
        data = &rest[body.len()..];
    }
    None
}
