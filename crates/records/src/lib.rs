//! TLS 1.2 (RFC 5246) with AES-GCM (RFC 5288) once the handshake is done: a record of any legal
//! size is decrypted as it arrives, in whatever pieces it arrives.
//!
//! Nothing is known of a record's bytes before its last 16, the tag, have come. So they go to a
//! [`Sink`] in two phases: offered as they are decrypted, committed once the tag was right, or
//! discarded. What was offered may decide which bytes are kept, and nothing else.
//!
//! Nothing is allocated. Every failure is final: the peer is owed at most one alert
//! ([`Error::alert`]), and the connection is to be closed.
//!
//! ```
//! use records::{Content, OVERHEAD, PREFIX, Receiver, Sender};
//!
//! let (mut sender, mut receiver) = (Sender::EMPTY, Receiver::EMPTY);
//! // Keys and salts of a handshake that chose AES-128-GCM.
//! assert!(records::client((&mut sender, &mut receiver), &[9; 40], 16, 1, 1));
//! let mut record = [0; OVERHEAD + 4];
//! record[PREFIX..PREFIX + 4].copy_from_slice(b"ping");
//! sender.seal(Content::Data, &mut record).unwrap();
//! assert_eq!(&record[..5], &[23, 3, 3, 0, 28]);
//! assert_ne!(&record[PREFIX..PREFIX + 4], b"ping");
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod receive;
mod send;

use core::fmt;

use gcm::Key;

pub use receive::{Progress, Receiver, Sink};
pub use send::{OVERHEAD, PREFIX, Sender};

/// Most bytes of content in a record (6.2.1).
pub const MAX_CONTENT: usize = 1 << 14;

/// Bytes of a record's header: type, version, length.
const HEADER: usize = 5;
/// Bytes of a nonce that stand in the record (RFC 5288, section 3).
const EXPLICIT_NONCE: usize = 8;
/// Bytes of a nonce that come from the handshake.
const SALT: usize = 4;
/// Version 1.2 as records have it.
const VERSION: [u8; 2] = [3, 3];

/// What a record carries (6.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Content {
    /// Alert.
    Alert = 21,
    /// Handshake.
    Handshake = 22,
    /// Application data.
    Data = 23,
}

/// Descriptions of alerts (7.2) that are sent or told from others here.
pub mod alert {
    /// The sender ends the connection in an orderly way.
    pub const CLOSE_NOTIFY: u8 = 0;
    /// A record that must not come, or not now.
    pub const UNEXPECTED_MESSAGE: u8 = 10;
    /// A record whose tag is wrong.
    pub const BAD_RECORD_MAC: u8 = 20;
    /// A record longer than allowed.
    pub const RECORD_OVERFLOW: u8 = 22;
    /// A message of an impossible length.
    pub const DECODE_ERROR: u8 = 50;
    /// Another version of the protocol.
    pub const PROTOCOL_VERSION: u8 = 70;
    /// Nothing to do with the peer.
    pub const INTERNAL_ERROR: u8 = 80;
    /// No to a wish for a new handshake; the one warning that is sent here.
    pub const NO_RENEGOTIATION: u8 = 100;
}

/// Why the connection cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// A record of another version.
    Version,
    /// A record with more than [`MAX_CONTENT`] bytes, or too short for nonce and tag.
    Length,
    /// A record's tag is wrong: damaged on the way, or forged.
    Tag,
    /// A record of a type, or a handshake message, that must not come any more.
    Unexpected,
    /// An alert that is not two bytes long.
    Malformed,
    /// The peer gave up, for the reason with this number (7.2).
    Alert(u8),
    /// The stream ended within a record.
    Truncated,
    /// No sequence number is left (6.1).
    Exhausted,
    /// A failure before ended the connection.
    Over,
}

impl Error {
    /// The alert to send for it, always fatal. `None` when the peer gets none.
    #[must_use]
    pub const fn alert(self) -> Option<u8> {
        match self {
            Self::Version => Some(alert::PROTOCOL_VERSION),
            Self::Length => Some(alert::RECORD_OVERFLOW),
            Self::Tag => Some(alert::BAD_RECORD_MAC),
            Self::Unexpected => Some(alert::UNEXPECTED_MESSAGE),
            Self::Malformed => Some(alert::DECODE_ERROR),
            Self::Exhausted => Some(alert::INTERNAL_ERROR),
            Self::Alert(_) | Self::Truncated | Self::Over => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => write!(out, "a record of another TLS version"),
            Self::Length => write!(out, "a record of impossible length"),
            Self::Tag => write!(out, "a record with a wrong tag"),
            Self::Unexpected => write!(out, "a record that must not come after the handshake"),
            Self::Malformed => write!(out, "a malformed alert"),
            Self::Alert(number) => write!(out, "alert {number}"),
            Self::Truncated => write!(out, "the stream ended within a record"),
            Self::Exhausted => write!(out, "the sequence numbers are used up"),
            Self::Over => write!(out, "the connection has failed before"),
        }
    }
}

impl core::error::Error for Error {}

/// One direction of a connection.
struct Direction {
    key: Key,
    salt: [u8; SALT],
    /// Of the next record; `None` when the last one was used: it must not wrap (6.1).
    sequence: Option<u64>,
}

impl Direction {
    const EMPTY: Self = Self { key: Key::EMPTY, salt: [0; SALT], sequence: None };

    /// False for a key of a wrong size.
    fn set(&mut self, key: &[u8], salt: [u8; SALT], sequence: u64) -> bool {
        self.salt = salt;
        self.sequence = Some(sequence);
        self.key.set(key)
    }

    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE]) -> [u8; SALT + EXPLICIT_NONCE] {
        let mut nonce = [0; SALT + EXPLICIT_NONCE];
        nonce[..SALT].copy_from_slice(&self.salt);
        nonce[SALT..].copy_from_slice(&explicit);
        nonce
    }

    fn advance(&mut self) {
        self.sequence = self.sequence.and_then(|sequence| sequence.checked_add(1));
    }
}

/// What the tag covers besides the content (6.2.3.3).
fn additional(sequence: u64, content: u8, length: u16) -> [u8; 13] {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&sequence.to_be_bytes());
    bytes[8] = content;
    bytes[9..11].copy_from_slice(&VERSION);
    bytes[11..].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Makes both directions of a client's connection usable, with the handshake's key block (6.3,
/// RFC 5288): client's key, server's key, client's salt, server's salt. `key_size` is 16 or 32.
/// The sequence numbers are those of the next record; after a handshake, whose Finished was the
/// first record under these keys, 1 and 1.
///
/// They are filled where they are, for each has half a kilobyte. False when the sizes do not fit.
#[must_use]
pub fn client(
    (sender, receiver): (&mut Sender, &mut Receiver),
    key_block: &[u8],
    key_size: usize,
    sent: u64,
    received: u64,
) -> bool {
    let split = || {
        let (ours, rest) = key_block.split_at_checked(key_size)?;
        let (theirs, salts) = rest.split_at_checked(key_size)?;
        let (&[our_salt, their_salt], []) = salts.as_chunks::<SALT>() else { return None };
        Some((ours, theirs, our_salt, their_salt))
    };
    let Some((ours, theirs, our_salt, their_salt)) = split() else { return false };
    sender.0.set(ours, our_salt, sent) && receiver.direction.set(theirs, their_salt, received)
}
