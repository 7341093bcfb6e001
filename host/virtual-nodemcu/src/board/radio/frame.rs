//! Frames of IEEE 802.11, as far as a station and an access point exchange them.

/// A station's address, or a group's.
pub type Address = [u8; 6];

/// Everybody.
pub const BROADCAST: Address = [0xFF; 6];
/// Length of a header with three addresses.
pub const SHORT_HEADER: usize = 24;
/// Length of a header with four.
pub const LONG_HEADER: usize = 30;
/// LLC and SNAP in front of an Ethernet type.
pub const SNAP: [u8; 6] = [0xAA, 0xAA, 3, 0, 0, 0];
/// Ethernet type of EAPOL.
pub const EAPOL: [u8; 2] = [0x88, 0x8E];

/// First byte of a header: type and subtype.
pub mod kind {
    #![allow(missing_docs)]
    pub const ASSOCIATION_REQUEST: u8 = 0x00;
    pub const ASSOCIATION_RESPONSE: u8 = 0x10;
    pub const REASSOCIATION_REQUEST: u8 = 0x20;
    pub const REASSOCIATION_RESPONSE: u8 = 0x30;
    pub const PROBE_REQUEST: u8 = 0x40;
    pub const PROBE_RESPONSE: u8 = 0x50;
    pub const BEACON: u8 = 0x80;
    pub const DISASSOCIATION: u8 = 0xA0;
    pub const AUTHENTICATION: u8 = 0xB0;
    pub const DEAUTHENTICATION: u8 = 0xC0;
    pub const ACTION: u8 = 0xD0;
    pub const PS_POLL: u8 = 0xA4;
    pub const ACK: u8 = 0xD4;
    pub const DATA: u8 = 0x08;
    pub const NULL: u8 = 0x48;
    pub const QOS_DATA: u8 = 0x88;
    pub const QOS_NULL: u8 = 0xC8;
}

/// Second byte of a header.
pub mod flag {
    #![allow(missing_docs)]
    pub const TO_DS: u8 = 0x01;
    pub const FROM_DS: u8 = 0x02;
    pub const RETRY: u8 = 0x08;
    pub const POWER: u8 = 0x10;
    pub const MORE_DATA: u8 = 0x20;
    pub const PROTECTED: u8 = 0x40;
}

/// Numbers of information elements.
pub mod element {
    #![allow(missing_docs)]
    pub const SSID: u8 = 0;
    pub const RATES: u8 = 1;
    pub const CHANNEL: u8 = 3;
    pub const TIM: u8 = 5;
    pub const COUNTRY: u8 = 7;
    pub const CHANNEL_SWITCH: u8 = 37;
    pub const HT_CAPABILITIES: u8 = 45;
    pub const RSN: u8 = 48;
    pub const MORE_RATES: u8 = 50;
    pub const HT_OPERATION: u8 = 61;
    pub const VENDOR: u8 = 221;
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type and subtype: [`kind`].
    pub kind: u8,
    /// [`flag`].
    pub flags: u8,
    /// Whom the frame is for.
    pub receiver: Address,
    /// Who sends it.
    pub transmitter: Address,
    /// The third address.
    pub third: Address,
    /// Sequence number and, below it, four bits of fragment number.
    pub sequence: u16,
    /// Where the QoS field is.
    pub qos_at: Option<usize>,
    /// Bytes of the header.
    pub length: usize,
}

impl Header {
    /// Reads the header of a management or data frame; none if it is neither or too short.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let first: &[u8; SHORT_HEADER] = frame.first_chunk()?;
        let kind = first[0];
        if kind & 3 != 0 || !matches!(kind & 0xC, 0 | 8) {
            return None;
        }
        let flags = first[1];
        let data = kind & 0xC == 8;
        let both = flag::TO_DS | flag::FROM_DS;
        let mut length = if data && flags & both == both { LONG_HEADER } else { SHORT_HEADER };
        let qos_at = (data && kind & 0x80 != 0).then_some(length);
        if qos_at.is_some() {
            length += 2;
        }
        let address = |at: usize| std::array::from_fn(|i| first[at + i]);
        (frame.len() >= length).then(|| Self {
            kind,
            flags,
            receiver: address(4),
            transmitter: address(10),
            third: address(16),
            sequence: u16::from_le_bytes([first[22], first[23]]),
            qos_at,
            length,
        })
    }

    /// Whether the frame is encrypted.
    #[must_use]
    pub fn protected(&self) -> bool {
        self.flags & flag::PROTECTED != 0
    }

    /// Whether it is a management frame.
    #[must_use]
    pub fn is_management(&self) -> bool {
        self.kind & 0xC == 0
    }
}

/// The address that a frame is for; nobody's in what is too short.
#[must_use]
pub fn receiver_of(frame: &[u8]) -> Address {
    frame.get(4..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; 6])
}

/// Who has to acknowledge a frame; none if it is for a group or too short.
#[must_use]
pub fn receiver(frame: &[u8]) -> Option<Address> {
    let address: Address = *frame.get(4..)?.first_chunk()?;
    // Of control frames only PS-Poll wants an answer of this kind.
    let wants = frame[0] & 0xC != 4 || frame[0] == kind::PS_POLL;
    (wants && !is_group(address)).then_some(address)
}

/// Whether an address is a group's.
#[must_use]
pub fn is_group(address: Address) -> bool {
    address[0] & 1 != 0
}

/// Sets the bit that tells a repeated frame.
pub fn set_retry(frame: &mut [u8]) {
    if let Some(flags) = frame.get_mut(1) {
        *flags |= flag::RETRY;
    }
}

/// A header with three addresses, without sequence number: whoever sends it numbers it.
#[must_use]
pub fn header(kind: u8, flags: u8, addresses: [Address; 3]) -> Vec<u8> {
    let mut frame = vec![kind, flags, 0, 0];
    frame.extend(addresses.concat());
    frame.extend([0, 0]);
    frame
}

/// An information element.
#[must_use]
pub fn element(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number, body.len() as u8][..], body].concat()
}

/// The body of the information element with that number; none if it is not there or cut.
#[must_use]
pub fn find_element(mut elements: &[u8], number: u8) -> Option<&[u8]> {
    while let [id, length, rest @ ..] = elements {
        let body = rest.get(..usize::from(*length))?;
        if *id == number {
            return Some(body);
        }
        elements = &rest[body.len()..];
    }
    None
}

/// `5c:cf:7f:12:34:56`
#[must_use]
pub fn text(address: Address) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_short_ones_refused() {
        let mut frame = header(kind::DATA, flag::TO_DS, [[1; 6], [2; 6], [3; 6]]);
        let head = Header::parse(&frame).unwrap();
        assert_eq!((head.receiver, head.transmitter, head.third), ([1; 6], [2; 6], [3; 6]));
        assert_eq!((head.length, head.qos_at), (24, None));
        frame[0] = kind::QOS_DATA;
        assert_eq!(Header::parse(&frame), None, "no room for the QoS field");
        frame.extend([5, 0]);
        assert_eq!(Header::parse(&frame).unwrap().qos_at, Some(24));
        frame[1] |= flag::FROM_DS;
        assert_eq!(Header::parse(&frame), None, "no fourth address");
        for length in 0..SHORT_HEADER {
            assert_eq!(Header::parse(&vec![8; length]), None);
        }
        assert_eq!(
            receiver(&[0xD4, 0, 0, 0, 2, 2, 2, 2, 2, 2]),
            None,
            "nobody acknowledges an ACK"
        );
    }

    #[test]
    fn elements_are_found_and_cut_ones_are_not() {
        let elements = [element(0, b"name"), element(48, &[1, 2])].concat();
        assert_eq!(find_element(&elements, 48), Some(&[1, 2][..]));
        assert_eq!(find_element(&elements, 7), None);
        assert_eq!(find_element(&elements[..elements.len() - 1], 48), None);
        assert_eq!(find_element(&[0], 0), None);
    }
}
