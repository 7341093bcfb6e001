//! Crypto for the tests, and an access point's side of the handshakes, written from the standard
//! without any code of the crate.

#![allow(dead_code, reason = "each test file uses its part")]

use aes::cipher::{BlockDecrypt, KeyInit};
use hmac::{Hmac, Mac as _};
use sha1::Digest;
use wpa::eapol::MAX_REPLY;
use wpa::{Config, Heard, Refused, Supplicant};

#[derive(Clone)]
pub struct Sha1(sha1::Sha1);

impl wpa::Sha1 for Sha1 {
    fn new() -> Self {
        Self(sha1::Sha1::new())
    }
    fn update(&mut self, bytes: &[u8]) {
        Digest::update(&mut self.0, bytes);
    }
    fn finish(self) -> [u8; 20] {
        self.0.finalize().into()
    }
}

pub struct Aes(aes::Aes128);

impl wpa::Aes128 for Aes {
    fn new(key: &[u8; 16]) -> Self {
        Self(aes::Aes128::new(key.into()))
    }
    fn decrypt(&self, block: &mut [u8; 16]) {
        self.0.decrypt_block(block.into());
    }
}

pub fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut mac = <Hmac<sha1::Sha1> as hmac::Mac>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

pub const STATION: [u8; 6] = [0x18, 0xFE, 0x34, 0x01, 0x02, 0x03];
pub const BSSID: [u8; 6] = [0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE];
pub const PMK: [u8; 32] = [0x5A; 32];
pub const SNONCE: [u8; 32] = [0x33; 32];

/// RSN element of a WPA2 access point with CCMP for all.
pub const RSN: [u8; 22] =
    [48, 20, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 4, 1, 0, 0, 0x0F, 0xAC, 2, 0x0C, 0];

/// An access point's side. Fields are public, so that a test can make it lie.
#[derive(Clone)]
pub struct Authenticator {
    pub pmk: [u8; 32],
    pub anonce: [u8; 32],
    pub replay: u64,
    pub rsn: Vec<u8>,
    pub gtk: Vec<u8>,
    pub gtk_index: u8,
    pub rsc: u64,
    pub key_length: u16,
    /// Derived when message 2 was right.
    pub ptk: Option<[u8; 48]>,
}

impl Authenticator {
    pub fn new() -> Self {
        Self {
            pmk: PMK,
            anonce: [0x77; 32],
            replay: 0,
            rsn: RSN.to_vec(),
            gtk: vec![0x11; 16],
            gtk_index: 1,
            rsc: 5,
            key_length: 16,
            ptk: None,
        }
    }

    fn frame(&self, info: u16, nonce: &[u8; 32], data: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 3, 0, 0, 2];
        frame.extend(info.to_be_bytes());
        frame.extend(self.key_length.to_be_bytes());
        frame.extend(self.replay.to_be_bytes());
        frame.extend(nonce);
        frame.extend([0; 16]);
        frame.extend(self.rsc.to_le_bytes());
        frame.extend([0; 8 + 16]);
        frame.extend((data.len() as u16).to_be_bytes());
        frame.extend(data);
        let length = frame.len() as u16 - 4;
        frame[2..4].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Signs a frame after a test has changed it.
    pub fn sign(&self, frame: &mut [u8]) {
        frame[81..97].fill(0);
        let mic = hmac_sha1(&self.ptk.expect("message 2 was right")[..16], frame);
        frame[81..97].copy_from_slice(&mic[..16]);
    }

    pub fn wrap(&self, plain: &[u8]) -> Vec<u8> {
        let mut padded = plain.to_vec();
        if padded.len() < 16 || !padded.len().is_multiple_of(8) {
            padded.push(0xDD);
            padded.resize(padded.len().next_multiple_of(8).max(16), 0);
        }
        let kek: [u8; 16] = self.ptk.expect("message 2 was right")[16..32].try_into().unwrap();
        let mut wrapped = vec![0; padded.len() + 8];
        aes_kw::KekAes128::from(kek).wrap(&padded, &mut wrapped).unwrap();
        wrapped
    }

    pub fn message_1(&mut self) -> Vec<u8> {
        self.replay += 1;
        self.frame(0x008A, &self.anonce, &[])
    }

    /// Checks message 2 as an access point does.
    pub fn take_message_2(&mut self, frame: &[u8]) -> bool {
        assert_eq!(frame[5..7], [0x01, 0x0A]);
        assert_eq!(frame[9..17], self.replay.to_be_bytes());
        let snonce = &frame[17..49];
        let mut seed = b"Pairwise key expansion\0".to_vec();
        seed.extend(BSSID.min(STATION));
        seed.extend(BSSID.max(STATION));
        seed.extend(self.anonce.as_slice().min(snonce));
        seed.extend(self.anonce.as_slice().max(snonce));
        let mut ptk = [0; 60];
        for (index, part) in ptk.chunks_mut(20).enumerate() {
            let mut input = seed.clone();
            input.push(index as u8);
            part.copy_from_slice(&hmac_sha1(&self.pmk, &input));
        }
        let ptk: [u8; 48] = ptk[..48].try_into().unwrap();
        let right = signed_by(frame, &ptk[..16]);
        if right {
            self.ptk = Some(ptk);
            let own = wpa::element::own_rsn(if self.gtk.len() == 32 { 2 } else { 4 });
            assert_eq!(frame[99..], own);
        }
        right
    }

    pub fn group_key_data(&self) -> Vec<u8> {
        let mut data = vec![0xDD, 6 + self.gtk.len() as u8, 0, 0x0F, 0xAC, 1, self.gtk_index, 0];
        data.extend(&self.gtk);
        data
    }

    pub fn message_3(&mut self) -> Vec<u8> {
        let mut data = self.rsn.clone();
        data.extend(self.group_key_data());
        self.message_3_with(&data)
    }

    pub fn message_3_with(&mut self, plain: &[u8]) -> Vec<u8> {
        self.replay += 1;
        let mut frame = self.frame(0x13CA, &self.anonce, &self.wrap(plain));
        self.sign(&mut frame);
        frame
    }

    pub fn take_message_4(&self, frame: &[u8]) {
        assert_eq!(frame.len(), 99);
        assert_eq!(frame[5..7], [0x03, 0x0A]);
        assert_eq!(frame[9..17], self.replay.to_be_bytes());
        assert!(signed_by(frame, &self.ptk.unwrap()[..16]));
    }

    pub fn group_1(&mut self) -> Vec<u8> {
        let data = self.group_key_data();
        self.group_1_with(&data)
    }

    pub fn group_1_with(&mut self, plain: &[u8]) -> Vec<u8> {
        self.replay += 1;
        let mut frame = self.frame(0x1382, &[0; 32], &self.wrap(plain));
        self.sign(&mut frame);
        frame
    }

    pub fn take_group_2(&self, frame: &[u8]) {
        assert_eq!(frame[5..7], [0x03, 0x02]);
        assert_eq!(frame[9..17], self.replay.to_be_bytes());
        assert!(signed_by(frame, &self.ptk.unwrap()[..16]));
    }
}

fn signed_by(frame: &[u8], kck: &[u8]) -> bool {
    let mut blank = frame.to_vec();
    blank[81..97].fill(0);
    frame[81..97] == hmac_sha1(kck, &blank)[..16]
}

pub fn station() -> Supplicant {
    station_with(4, Some(&RSN))
}

pub fn station_with(group: u8, beacon: Option<&[u8]>) -> Supplicant {
    let mut heard = Heard::new();
    for element in wpa::element::elements(beacon.unwrap_or_default()).flatten() {
        if element.id == wpa::element::RSN {
            heard.hear(element.whole);
        }
    }
    Supplicant::new(Config { pmk: PMK, own: STATION, bssid: BSSID, group }, heard)
}

/// What the station answers.
pub fn answer(station: &mut Supplicant, frame: &[u8]) -> Result<Vec<u8>, Refused> {
    answer_fresh(station, frame, SNONCE)
}

pub fn answer_fresh(
    station: &mut Supplicant,
    frame: &[u8],
    nonce: [u8; 32],
) -> Result<Vec<u8>, Refused> {
    let mut frame = frame.to_vec();
    let mut reply = [0; MAX_REPLY];
    station
        .receive::<Sha1, Aes>(&mut frame, || nonce, &mut reply)
        .map(|length| reply[..length].to_vec())
}

/// Both sides up to message 2.
pub fn half_way() -> (Supplicant, Authenticator) {
    let (mut station, mut ap) = (station(), Authenticator::new());
    let second = answer(&mut station, &ap.message_1()).unwrap();
    assert!(ap.take_message_2(&second));
    (station, ap)
}

/// Both sides with keys installed.
pub fn connected() -> (Supplicant, Authenticator) {
    let (mut station, mut ap) = half_way();
    let fourth = answer(&mut station, &ap.message_3()).unwrap();
    ap.take_message_4(&fourth);
    let install = station.acknowledged();
    assert!(install.complete);
    (station, ap)
}
