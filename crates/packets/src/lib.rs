//! What an MQTT 3.1.1 server sends, checked and bounded before the MQTT client sees any of it.
//!
//! Section numbers are those of the OASIS standard "MQTT Version 3.1.1" (2014).
//!
//! A [`Guard`] is fed the bytes of one connection as they come, cut anywhere, and hands out whole
//! packets: each was asked for, has the length, flags and packet id that it must have, and fits.
//! What does not fit is reduced to what its acknowledgement needs.
//!
//! It works in two phases, so that it can also be fed from a TLS record whose tag is not verified
//! yet: [`Guard::offer`] checks and keeps, [`Guard::commit`] makes visible what was offered since,
//! [`Guard::discard`] forgets it, faults included. Bytes that turn out to be forged have then
//! decided which of their own kind were kept, and nothing else.
//!
//! Messages that are larger than others, and come while the heap has little room for copies, can be
//! [set aside](Guard::set_aside): their owner reads them where they lie, past the client.
//!
//! What it holds is at most [`CAPACITY`] bytes, and nothing while nothing waits.
//!
//! ```
//! use packets::{Guard, Item};
//!
//! let mut guard = Guard::new();
//! guard.sent(&[0x10, 0]); // CONNECT
//! guard.offer(&[0x20, 2, 0]); // CONNACK, in two pieces
//! assert!(guard.commit().is_ok() && guard.take().is_none());
//! guard.offer(&[0]);
//! guard.commit().unwrap();
//! assert_eq!(guard.take(), Some(Item::Packet(&[0x20, 2, 0, 0])));
//! // A second one ends the connection.
//! guard.offer(&[0x20, 2, 0, 0]);
//! assert!(guard.commit().is_err());
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod guard;
mod header;

pub use guard::{CAPACITY, Guard, Item, MAX_TOPIC_SHOWN};
pub use header::{MAX_ASIDE, MAX_PACKET};

use core::fmt;

/// Why the server's bytes end the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A remaining length of more than four bytes (2.2.3).
    BadLength,
    /// A packet of this type that a server must not send, or not now.
    Unexpected(u8),
    /// A packet of this type with wrong flags, length, packet id or text.
    Malformed(u8),
    /// A packet of this type, not PUBLISH, larger than [`MAX_PACKET`].
    Oversized(u8),
    /// The server says that it kept a session, though it was told to start a new one
    /// (MQTT-3.2.2-1).
    SessionPresent,
    /// More acknowledgements are due than a server may wait for.
    Flood,
    /// No memory for a packet.
    OutOfMemory,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLength => write!(out, "a packet length of more than four bytes"),
            Self::Unexpected(kind) => write!(out, "unexpected packet of type {kind}"),
            Self::Malformed(kind) => write!(out, "malformed packet of type {kind}"),
            Self::Oversized(kind) => {
                write!(out, "packet of type {kind} larger than {MAX_PACKET} bytes")
            }
            Self::SessionPresent => {
                write!(out, "a kept session in answer to a clean one")
            }
            Self::Flood => write!(out, "more messages at once than can be acknowledged"),
            Self::OutOfMemory => write!(out, "no memory for a packet"),
        }
    }
}

impl core::error::Error for Fault {}
