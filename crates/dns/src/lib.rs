//! A question for the IPv4 addresses of a host name, and the answer (RFC 1035).
//!
//! lwIP's own resolver keeps one address of an answer. A name with several has them so that the
//! others are tried when one does not answer (RFC 1123, 2.3).
//!
//! ```
//! use core::net::Ipv4Addr;
//!
//! let question = dns::Question::new("a.test", 7).unwrap();
//! // What a server answers: the question again, and one record that points to its name.
//! let mut answer = question.bytes().to_vec();
//! answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
//! answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
//! let addresses = question.addresses(&answer).unwrap();
//! assert_eq!(addresses.as_slice(), [Ipv4Addr::new(192, 0, 2, 1)]);
//! ```

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use core::net::Ipv4Addr;

/// Most bytes of a question: header, name (255 bytes, RFC 1035 section 2.3.4), type and class.
pub const MAX_QUESTION: usize = HEADER + 255 + 4;

/// Most bytes of an answer over UDP (RFC 1035, 2.3.4). This resolver asks for no more by EDNS.
pub const MAX_ANSWER: usize = 512;

/// Most addresses that are kept.
pub const MAX_ADDRESSES: usize = 8;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

/// Flags of the header (RFC 1035, 4.1.1).
const IS_ANSWER: u16 = 1 << 15;
const OPCODE: u16 = 0xF << 11;
const RECURSION_DESIRED: u16 = 1 << 8;
const CODE: u16 = 0xF;
const NO_SUCH_NAME: u16 = 3;

/// Why there is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This is no host name.
    BadName,
    /// This is no answer to the question. Another packet may be.
    NotOurs,
    /// The server says that there is no such name.
    NoSuchName,
    /// The name has no IPv4 address.
    NoAddress,
    /// The server refuses, or has failed: its code (RFC 1035, 4.1.1).
    Server(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => write!(out, "this is no host name"),
            Self::NotOurs => write!(out, "not an answer to the question"),
            Self::NoSuchName => write!(out, "there is no such name"),
            Self::NoAddress => write!(out, "the name has no IPv4 address"),
            Self::Server(code) => write!(out, "the name server answers with code {code}"),
        }
    }
}

impl core::error::Error for Fault {}

/// A question, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    bytes: [u8; MAX_QUESTION],
    length: usize,
}

impl Question {
    /// Asks for the addresses of `name`. `id` is a number that nobody else can guess.
    ///
    /// # Errors
    /// `BadName`: it is empty, longer than 253 bytes, or a label is empty or longer than 63 bytes.
    pub fn new(name: &str, id: u16) -> Result<Self, Fault> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > 253 {
            return Err(Fault::BadName);
        }
        let mut question = Self { bytes: [0; MAX_QUESTION], length: 0 };
        for number in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            question.push(&number.to_be_bytes());
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(Fault::BadName);
            }
            question.push(&[label.len() as u8]);
            question.push(label.as_bytes());
        }
        question.push(&[0]);
        question.push(&TYPE_A.to_be_bytes());
        question.push(&CLASS_IN.to_be_bytes());
        Ok(question)
    }

    fn push(&mut self, bytes: &[u8]) {
        // All lengths were checked: 12 + 254 + 1 + 4 bytes at most.
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *to = *from;
        }
        self.length += bytes.len();
    }

    /// What is sent to the server.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The addresses in a packet that has come from the server that was asked, in its order.
    ///
    /// # Errors
    /// `NotOurs` when it is something else, and the other faults but `BadName`.
    pub fn addresses(&self, packet: &[u8]) -> Result<Addresses, Fault> {
        let mut reader = Reader(packet);
        let (id, flags) = (reader.number()?, reader.number()?);
        let (questions, answers) = (reader.number()?, reader.number()?);
        reader.take(4)?;
        let asked = self.bytes().get(HEADER..).unwrap_or_default();
        let repeated = reader.take(asked.len())?;
        // Servers may change the case of letters, nothing else.
        if self.bytes().get(..2) != Some(&id.to_be_bytes())
            || flags & IS_ANSWER == 0
            || flags & OPCODE != 0
            || questions != 1
            || !repeated.eq_ignore_ascii_case(asked)
        {
            return Err(Fault::NotOurs);
        }
        match flags & CODE {
            0 => {}
            NO_SUCH_NAME => return Err(Fault::NoSuchName),
            code => return Err(Fault::Server(code as u8)),
        }
        let mut addresses = Addresses { list: [Ipv4Addr::UNSPECIFIED; MAX_ADDRESSES], count: 0 };
        for _ in 0..answers {
            // One that is cut off ends the list, it does not spoil it.
            match reader.record() {
                Ok(Some(address)) => addresses.push(address),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        if addresses.count == 0 { Err(Fault::NoAddress) } else { Ok(addresses) }
    }
}

/// Addresses of a host, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    list: [Ipv4Addr; MAX_ADDRESSES],
    count: usize,
}

impl Addresses {
    /// Just this one.
    #[must_use]
    pub fn one(address: Ipv4Addr) -> Self {
        Self { list: [address; MAX_ADDRESSES], count: 1 }
    }

    /// All of them, in the order in which they are to be tried.
    #[must_use]
    pub fn as_slice(&self) -> &[Ipv4Addr] {
        self.list.get(..self.count).unwrap_or_default()
    }

    /// Lets another one be tried first: what accepts connections need not be of use.
    pub fn rotate(&mut self, by: usize) {
        let count = self.count.max(1);
        if let Some(list) = self.list.get_mut(..self.count) {
            list.rotate_left(by % count);
        }
    }

    /// Those that no connection can be made to, and what is there already, are left out.
    fn push(&mut self, address: Ipv4Addr) {
        let useless = address.is_unspecified() || address.is_broadcast() || address.is_multicast();
        if !useless
            && !self.as_slice().contains(&address)
            && let Some(place) = self.list.get_mut(self.count)
        {
            *place = address;
            self.count += 1;
        }
    }
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Fault::NotOurs)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Fault> {
        let bytes = self.take(2)?;
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte)))
    }

    /// Skips a name, which a pointer may end (RFC 1035, 4.1.4). Nothing is followed.
    fn name(&mut self) -> Result<(), Fault> {
        loop {
            let length = self.take(1)?.iter().fold(0, |_, byte| usize::from(*byte));
            match length {
                0 => return Ok(()),
                1..64 => self.take(length).map(drop)?,
                0xC0.. => return self.take(1).map(drop),
                _ => return Err(Fault::NotOurs),
            }
        }
    }

    /// The next record, and its address if it has one. Aliases on the way to the addresses are
    /// passed over: the server has followed them.
    fn record(&mut self) -> Result<Option<Ipv4Addr>, Fault> {
        self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        self.take(4)?;
        let length = self.number()?;
        let data = self.take(length.into())?;
        Ok(match (kind, class, data) {
            (TYPE_A, CLASS_IN, &[a, b, c, d]) => Some(Ipv4Addr::new(a, b, c, d)),
            _ => None,
        })
    }
}
