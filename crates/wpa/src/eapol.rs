//! EAPOL-Key frames (IEEE 802.11-2020, 12.7.2), read in place.

use crate::supplicant::Refused;

/// Bytes in front of the key data: 4 of 802.1X, 95 of the key descriptor.
pub const HEADER: usize = 99;

const TYPE_KEY: u8 = 3;
const DESCRIPTOR_RSN: u8 = 2;

const INFO: usize = 5;
const KEY_LENGTH: usize = 7;
const REPLAY: usize = 9;
const NONCE: usize = 17;
const RSC: usize = 65;
/// Where the code over the whole frame lies.
const MIC: usize = 81;
const MIC_END: usize = 97;
const DATA_LENGTH: usize = 97;

/// Bits of the key information.
pub mod info {
    /// The bits of the descriptor's version.
    pub const VERSION: u16 = 7;
    /// HMAC-SHA1 and AES key wrap: what goes with CCMP and PSK.
    pub const VERSION_SHA1_AES: u16 = 2;
    /// Of the pairwise handshake, not the group's.
    pub const PAIRWISE: u16 = 1 << 3;
    /// The pairwise key is to be installed.
    pub const INSTALL: u16 = 1 << 6;
    /// The access point wants an answer.
    pub const ACK: u16 = 1 << 7;
    /// There is a code.
    pub const MIC: u16 = 1 << 8;
    /// Both sides have the pairwise key.
    pub const SECURE: u16 = 1 << 9;
    /// A TKIP code was wrong.
    pub const ERROR: u16 = 1 << 10;
    /// A station asks for a handshake.
    pub const REQUEST: u16 = 1 << 11;
    /// The key data is encrypted.
    pub const ENCRYPTED: u16 = 1 << 12;
    /// Of the handshake between stations.
    pub const SMK: u16 = 1 << 13;
}

/// A key frame whose lengths are right: everything but the content of the key data.
pub struct Frame<'a> {
    /// From the 802.1X header to the end of the key data.
    bytes: &'a mut [u8],
    data_length: usize,
}

impl<'a> Frame<'a> {
    /// Looks at a frame from its 802.1X header on. Bytes behind it are padding of the link.
    ///
    /// # Errors
    /// When it is no key frame of RSN, or a length does not fit another.
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, Refused> {
        let [_, kind, length @ ..] = bytes.first_chunk::<4>().ok_or(Refused::Length)?;
        if *kind != TYPE_KEY {
            return Err(Refused::NotKey);
        }
        let length = 4 + usize::from(u16::from_be_bytes(*length));
        let bytes = bytes.get_mut(..length).ok_or(Refused::Length)?;
        let header = bytes.first_chunk::<HEADER>().ok_or(Refused::Length)?;
        if header[4] != DESCRIPTOR_RSN {
            return Err(Refused::Descriptor);
        }
        let data_length =
            usize::from(u16::from_be_bytes([header[DATA_LENGTH], header[DATA_LENGTH + 1]]));
        if data_length != length - HEADER {
            return Err(Refused::Length);
        }
        Ok(Self { bytes, data_length })
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    /// The key information, bits of [`info`].
    #[must_use]
    pub fn info(&self) -> u16 {
        u16::from_be_bytes(self.array(INFO))
    }

    /// Bytes of the pairwise key.
    #[must_use]
    pub fn key_length(&self) -> u16 {
        u16::from_be_bytes(self.array(KEY_LENGTH))
    }

    /// The replay counter.
    #[must_use]
    pub fn replay(&self) -> u64 {
        u64::from_be_bytes(self.array(REPLAY))
    }

    /// The access point's nonce.
    #[must_use]
    pub fn nonce(&self) -> [u8; 32] {
        self.array(NONCE)
    }

    /// The number of the last broadcast sent with the group key, lowest byte first.
    #[must_use]
    pub fn rsc(&self) -> [u8; 6] {
        self.array(RSC)
    }

    /// The code.
    #[must_use]
    pub fn mic(&self) -> [u8; 16] {
        self.array(MIC)
    }

    /// What the code is over: the frame with zeros in the code's place.
    #[must_use]
    pub fn signed(&self) -> [&[u8]; 3] {
        [&self.bytes[..MIC], &[0; MIC_END - MIC], &self.bytes[MIC_END..]]
    }

    /// The key data, which is unwrapped in place.
    #[must_use]
    pub fn data(self) -> &'a mut [u8] {
        &mut self.bytes[HEADER..HEADER + self.data_length]
    }
}

/// Longest answer: the second message, with the station's RSN element.
pub const MAX_REPLY: usize = HEADER + 22;

/// Makes a key frame as a station sends it, with zeros for the code; returns its length.
pub(crate) fn build(
    out: &mut [u8; MAX_REPLY],
    info: u16,
    replay: u64,
    nonce: &[u8; 32],
    data: &[u8],
) -> usize {
    let length = HEADER + data.len();
    out.fill(0);
    // Version 1 of 802.1X: every access point takes it.
    out[0] = 1;
    out[1] = TYPE_KEY;
    out[2..4].copy_from_slice(&((length - 4) as u16).to_be_bytes());
    out[4] = DESCRIPTOR_RSN;
    out[INFO..INFO + 2].copy_from_slice(&info.to_be_bytes());
    out[REPLAY..REPLAY + 8].copy_from_slice(&replay.to_be_bytes());
    out[NONCE..NONCE + 32].copy_from_slice(nonce);
    out[DATA_LENGTH..HEADER].copy_from_slice(&(data.len() as u16).to_be_bytes());
    out[HEADER..length].copy_from_slice(data);
    length
}

/// Puts the code in its place.
pub(crate) fn sign(frame: &mut [u8], mic: [u8; 20]) {
    frame[MIC..MIC_END].copy_from_slice(&mic[..MIC_END - MIC]);
}
