//! EAPOL-Key messages (IEEE 802.11-2016, 12.7.2).

use super::crypto;

/// Bytes in front of the key data: 802.1X header and the fixed fields.
const FIXED: usize = 99;
const NONCE_AT: usize = 17;
const RSC_AT: usize = 65;
const MIC_AT: usize = 81;

/// Bits of the field "key information".
pub mod info {
    #![allow(missing_docs)]
    pub const VERSION_AES: u16 = 2;
    pub const PAIRWISE: u16 = 1 << 3;
    pub const INSTALL: u16 = 1 << 6;
    pub const ACK: u16 = 1 << 7;
    pub const MIC: u16 = 1 << 8;
    pub const SECURE: u16 = 1 << 9;
    pub const ERROR: u16 = 1 << 10;
    pub const REQUEST: u16 = 1 << 11;
    pub const ENCRYPTED: u16 = 1 << 12;

    pub const MESSAGE_1: u16 = VERSION_AES | PAIRWISE | ACK;
    pub const MESSAGE_2: u16 = VERSION_AES | PAIRWISE | MIC;
    pub const MESSAGE_3: u16 = MESSAGE_2 | INSTALL | ACK | SECURE | ENCRYPTED;
    pub const MESSAGE_4: u16 = MESSAGE_2 | SECURE;
    pub const GROUP_1: u16 = VERSION_AES | ACK | MIC | SECURE | ENCRYPTED;
    pub const GROUP_2: u16 = VERSION_AES | MIC | SECURE;
}

/// The contents of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// [`info`].
    pub info: u16,
    /// Bytes of the pairwise key.
    pub key_length: u16,
    /// Replay counter.
    pub replay: u64,
    /// The sender's nonce.
    pub nonce: [u8; 32],
    /// Packet number of the group key so far.
    pub rsc: [u8; 8],
    /// Integrity code, as received.
    pub mic: [u8; 16],
    /// Key data, wrapped or not.
    pub data: Vec<u8>,
}

impl Message {
    /// A message without nonce, packet number and data.
    #[must_use]
    pub fn new(info: u16, replay: u64) -> Self {
        Self {
            info,
            key_length: if info & info::PAIRWISE != 0 && info & info::ACK != 0 { 16 } else { 0 },
            replay,
            nonce: [0; 32],
            rsc: [0; 8],
            mic: [0; 16],
            data: Vec::new(),
        }
    }

    /// Reads a message from the 802.1X header on; none if it is no EAPOL-Key message of RSN or its
    /// lengths are wrong.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed: &[u8; FIXED] = bytes.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let end = 4 + usize::from(word(2));
        let data = usize::from(word(97));
        if fixed[1] != 3 || fixed[4] != 2 || end < FIXED + data || bytes.len() < end {
            return None;
        }
        Some(Self {
            info: word(5),
            key_length: word(7),
            replay: u64::from_be_bytes(std::array::from_fn(|i| fixed[9 + i])),
            nonce: std::array::from_fn(|i| fixed[NONCE_AT + i]),
            rsc: std::array::from_fn(|i| fixed[RSC_AT + i]),
            mic: std::array::from_fn(|i| fixed[MIC_AT + i]),
            data: bytes[FIXED..FIXED + data].to_vec(),
        })
    }

    /// The message from the 802.1X header on; with `kck` it carries its integrity code.
    #[must_use]
    pub fn bytes(&self, kck: Option<&[u8; 16]>) -> Vec<u8> {
        let mut bytes = vec![2, 3];
        bytes.extend(((FIXED - 4 + self.data.len()) as u16).to_be_bytes());
        bytes.push(2);
        bytes.extend(self.info.to_be_bytes());
        bytes.extend(self.key_length.to_be_bytes());
        bytes.extend(self.replay.to_be_bytes());
        bytes.extend(self.nonce);
        bytes.extend([0; 16]);
        bytes.extend(self.rsc);
        bytes.extend([0; 8 + 16]);
        bytes.extend((self.data.len() as u16).to_be_bytes());
        bytes.extend(&self.data);
        if let Some(kck) = kck {
            let mic = crypto::eapol_mic(kck, &bytes);
            bytes[MIC_AT..MIC_AT + 16].copy_from_slice(&mic);
        }
        bytes
    }
}

/// Whether the integrity code of a message as received is the one that `kck` makes.
#[must_use]
pub fn verified(kck: &[u8; 16], bytes: &[u8]) -> bool {
    let Some(length) = bytes.get(2..4) else { return false };
    let end = 4 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let Some(mut message) = bytes.get(..end).map(<[u8]>::to_vec) else { return false };
    let Some(field) = message.get_mut(MIC_AT..MIC_AT + 16) else { return false };
    let mic = field.to_vec();
    field.fill(0);
    crypto::eapol_mic(kck, &message)[..] == mic
}

/// Key data that brings a group key.
#[must_use]
pub fn group_key(key: &[u8], id: u8) -> Vec<u8> {
    let mut data = vec![0xDD, 6 + key.len() as u8, 0x00, 0x0F, 0xAC, 1, id & 3, 0];
    data.extend(key);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut message = Message::new(info::MESSAGE_3, 7);
        message.nonce = [3; 32];
        message.data = vec![9; 24];
        let kck = [5; 16];
        let bytes = message.bytes(Some(&kck));
        let read = Message::parse(&bytes).unwrap();
        assert_eq!((read.info, read.replay, &read.data), (0x13CA, 7, &message.data));
        assert!(verified(&kck, &bytes));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(!verified(&kck, &damaged), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..length]), None);
            assert!(!verified(&kck, &bytes[..length]));
        }
    }
}
