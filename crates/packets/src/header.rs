//! Packet types and the fixed header (2.2).

use crate::Fault;

/// Most bytes after the fixed header of a packet that is kept. A longer PUBLISH is reduced to what
/// its acknowledgement needs.
pub const MAX_PACKET: usize = 2048;
/// The same for a PUBLISH that is set aside: 2 KB of payload, topic and what is around both.
pub const MAX_ASIDE: usize = 2560;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const PINGRESP: u8 = 13;

/// Packet type and up to four length bytes.
pub(crate) const MAX_HEADER: usize = 5;

/// A fixed header as its bytes come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    bytes: [u8; MAX_HEADER],
    have: usize,
}

impl Header {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MAX_HEADER], have: 0 }
    }

    /// Takes one byte; true when the header is complete.
    pub(crate) fn push(&mut self, byte: u8) -> Result<bool, Fault> {
        let Some(place) = self.bytes.get_mut(self.have) else { return Err(Fault::BadLength) };
        *place = byte;
        self.have += 1;
        match self.have {
            1 => Ok(false),
            MAX_HEADER if byte & 0x80 != 0 => Err(Fault::BadLength),
            _ => Ok(byte & 0x80 == 0),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.have).unwrap_or_default()
    }

    pub(crate) fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }

    pub(crate) fn flags(&self) -> u8 {
        self.bytes[0] & 0x0F
    }

    /// Quality of service of a PUBLISH.
    pub(crate) fn qos(&self) -> u8 {
        self.bytes[0] >> 1 & 3
    }

    /// Bytes that follow, once the header is complete.
    pub(crate) fn remaining(&self) -> usize {
        let lengths = self.bytes.get(1..self.have).unwrap_or_default();
        lengths.iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7F))
    }

    /// Splits a packet of ours into header and body.
    pub(crate) fn split(packet: &[u8]) -> Option<(Self, &[u8])> {
        let mut header = Self::new();
        for byte in packet.iter().take(MAX_HEADER) {
            if header.push(*byte).ok()? {
                return Some((header, packet.get(header.have..)?));
            }
        }
        None
    }
}

/// The 16-bit number at the front of some bytes, and what follows.
pub(crate) fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Topic and packet id (0 at QoS 0) of a PUBLISH's body, and its payload (3.3.2).
pub(crate) fn publish(qos: u8, body: &[u8]) -> Option<(&[u8], u16, &[u8])> {
    let (length, rest) = number(body)?;
    let (topic, rest) = rest.split_at_checked(length.into())?;
    match qos {
        0 => Some((topic, 0, rest)),
        _ => number(rest).map(|(id, payload)| (topic, id, payload)),
    }
}
