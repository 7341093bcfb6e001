//! The guard between the server's bytes and the MQTT client.

use alloc::vec::Vec;

use crate::Fault;
use crate::header::{
    CONNACK, CONNECT, Header, MAX_ASIDE, MAX_PACKET, PINGREQ, PINGRESP, PUBACK, PUBLISH, SUBACK,
    SUBSCRIBE, number, publish,
};

/// Most bytes that are held at a time: the largest packet, and some more behind it.
pub const CAPACITY: usize = 3072;

/// Most bytes of an oversized message's topic that are kept.
pub const MAX_TOPIC_SHOWN: usize = 64;

/// An allocation up to this size is kept while nothing waits: commands and acknowledgements come
/// and go without the heap.
const KEPT_ALLOCATION: usize = 64;

/// What the store holds: a byte that says what it is, its length in two bytes, the content.
const PACKET: u8 = 1;
const OVERSIZED: u8 = 2;
const PUSHED_OUT: u8 = 3;
const REFUSED: u8 = 4;
const ASIDE: u8 = 5;
const ENTRY_HEAD: usize = 3;

/// What [`Guard::take`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole packet, fixed header included, for the client.
    Packet(&'a [u8]),
    /// A PUBLISH larger than [`MAX_PACKET`] came and was thrown away. At QoS 1 `id` is to be
    /// acknowledged, or the server would send it again at each connection, for ever.
    Oversized {
        /// Packet id; `None` at QoS 0.
        id: Option<u16>,
        /// Bytes of its payload.
        payload: usize,
        /// The beginning of its topic, at most [`MAX_TOPIC_SHOWN`] bytes.
        topic: &'a [u8],
    },
    /// A PUBLISH had to make room for newer ones. At QoS 1 `id` is to be acknowledged.
    PushedOut {
        /// Packet id; `None` at QoS 0.
        id: Option<u16>,
    },
    /// The heap had no room for a PUBLISH, which must not be acknowledged: the server will
    /// deliver it again.
    Refused,
    /// A PUBLISH for [`Guard::aside`], which comes before anything else is handed out.
    Aside,
}

/// Why the body of a PUBLISH is thrown away as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    TooLarge,
    NoRoom,
    OutOfMemory,
}

/// A PUBLISH that is thrown away, and what is kept of it.
#[derive(Debug)]
struct Skipped {
    reason: Reason,
    /// Bytes of the body, and how many of them have come.
    size: usize,
    seen: usize,
    /// Topic length and packet id.
    head: [u8; 4],
    topic: [u8; MAX_TOPIC_SHOWN],
}

#[derive(Debug)]
enum State {
    /// Between packets, or within a fixed header.
    Header,
    /// The entry that began at `start` in the store wants so many bytes more.
    Keep {
        start: usize,
        left: usize,
    },
    Skip(Skipped),
}

/// Checks what the server sends on one connection. See the crate's documentation.
#[derive(Debug)]
pub struct Guard {
    /// Entries, oldest first: taken ones, visible ones, then what is not committed.
    store: Vec<u8>,
    /// Where the entry begins that is handed out next.
    taken: usize,
    /// Where what is not committed begins.
    committed: usize,
    header: Header,
    state: State,
    /// Met while checking what is not committed.
    fault: Option<Fault>,
    discarded: bool,
    /// What may come.
    clean_session: bool,
    connack_due: bool,
    connected: bool,
    suback: Option<u16>,
    /// Answered before; a SUBSCRIBE that was sent twice may be answered twice.
    subacked: Option<u16>,
    publish: Option<u16>,
    pings: u8,
    /// How topics begin whose messages are set aside; empty for none.
    aside: Vec<u8>,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// For a connection on which nothing was sent yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            store: Vec::new(),
            taken: 0,
            committed: 0,
            header: Header::new(),
            state: State::Header,
            fault: None,
            discarded: false,
            clean_session: false,
            connack_due: false,
            connected: false,
            suback: None,
            subacked: None,
            publish: None,
            pings: 0,
            aside: Vec::new(),
        }
    }

    /// From now on, messages at QoS 0 whose topics begin with `prefix` are not for the client but for
    /// [`Guard::aside`]. They may have up to [`MAX_ASIDE`] bytes.
    pub fn set_aside(&mut self, prefix: &[u8]) {
        self.aside = prefix.to_vec();
    }

    /// Topic and payload of the next message, if that was set aside. They stay where they are until
    /// the next call of `aside`, `take` or `offer`.
    pub fn aside(&mut self) -> Option<(&str, &[u8])> {
        self.forget_taken();
        if self.is_empty() {
            return None;
        }
        let (ASIDE, length) = self.entry(0)? else { return None };
        self.taken = ENTRY_HEAD + length;
        let (_, body) = Header::split(self.store.get(ENTRY_HEAD..self.taken)?)?;
        let (topic, _, payload) = publish(0, body)?;
        Some((core::str::from_utf8(topic).ok()?, payload))
    }

    /// Notes a packet that the client sends, and so which answers may come. One SUBSCRIBE (of
    /// one topic) and one PUBLISH at QoS 1 may be unanswered at a time; an older one counts as
    /// given up.
    pub fn sent(&mut self, packet: &[u8]) {
        let Some((header, body)) = Header::split(packet) else { return };
        match header.kind() {
            CONNECT => {
                // Behind the protocol's name ("MQTT") and level (3.1.2.3).
                self.clean_session = body.get(7).is_some_and(|flags| flags & 2 != 0);
                self.connack_due = true;
            }
            SUBSCRIBE => self.suback = number(body).map(|(id, _)| id),
            PUBLISH if header.qos() > 0 => {
                self.publish = publish(header.qos(), body).map(|(_, id, _)| id);
            }
            PINGREQ => self.pings = self.pings.saturating_add(1),
            _ => {}
        }
    }

    /// Checks bytes and keeps what matters of them, without making anything visible.
    pub fn offer(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first()
            && self.fault.is_none()
            && !self.discarded
        {
            let result = match &mut self.state {
                State::Header => {
                    bytes = rest;
                    match self.header.push(*first) {
                        Ok(true) => self.begin(),
                        Ok(false) => Ok(()),
                        Err(fault) => Err(fault),
                    }
                }
                State::Keep { start, left } => {
                    let (start, step) = (*start, bytes.len().min(*left));
                    *left -= step;
                    let whole = *left == 0;
                    let (now, later) = bytes.split_at(step);
                    bytes = later;
                    // Reserved when the entry began.
                    self.store.extend_from_slice(now);
                    if whole { self.complete(start) } else { Ok(()) }
                }
                State::Skip(skipped) => {
                    let (now, later) = bytes.split_at(bytes.len().min(skipped.size - skipped.seen));
                    bytes = later;
                    skipped.note(now);
                    if skipped.seen == skipped.size { self.complete_skipped() } else { Ok(()) }
                }
            };
            self.fault = result.err();
        }
    }

    /// Makes visible what was offered.
    ///
    /// # Errors
    /// The first fault in what was offered: the connection is to be closed.
    pub fn commit(&mut self) -> Result<(), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.committed = match self.state {
            State::Keep { start, .. } => start,
            _ => self.store.len(),
        };
        Ok(())
    }

    /// Forgets what was offered and not committed. Nothing is taken after that: a connection
    /// with a forged record is to be closed.
    pub fn discard(&mut self) {
        self.store.truncate(self.committed);
        self.state = State::Header;
        self.fault = None;
        self.discarded = true;
    }

    /// Whether [`Guard::take`] has nothing to hand out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.committed
    }

    /// The next whole packet or what is left of one. It stays where it is until the next call
    /// of `take` or `offer`.
    pub fn take(&mut self) -> Option<Item<'_>> {
        self.forget_taken();
        if self.is_empty() {
            return None;
        }
        let (kind, length) = self.entry(0)?;
        if kind == ASIDE {
            return Some(Item::Aside);
        }
        self.taken = ENTRY_HEAD + length;
        let content = self.store.get(ENTRY_HEAD..self.taken)?;
        Some(match kind {
            OVERSIZED => {
                let (id, rest) = split_id(content)?;
                let (payload, topic) = rest.split_first_chunk()?;
                Item::Oversized { id, payload: u32::from_le_bytes(*payload) as usize, topic }
            }
            PUSHED_OUT => Item::PushedOut { id: split_id(content)?.0 },
            REFUSED => Item::Refused,
            _ => Item::Packet(content),
        })
    }

    /// Removes what was handed out, and gives the heap back what it took.
    fn forget_taken(&mut self) {
        let gone = core::mem::take(&mut self.taken);
        self.committed -= gone;
        if gone == self.store.len() && self.store.capacity() > KEPT_ALLOCATION {
            self.store = Vec::new();
        } else {
            self.store.drain(..gone);
        }
        if let State::Keep { start, .. } = &mut self.state {
            *start -= gone;
        }
    }

    /// Kind and content length of the entry at `at`.
    fn entry(&self, at: usize) -> Option<(u8, usize)> {
        let head: [u8; ENTRY_HEAD] = self.store.get(at..)?.first_chunk().copied()?;
        Some((head[0], usize::from(u16::from_le_bytes([head[1], head[2]]))))
    }

    /// A fixed header is complete.
    fn begin(&mut self) -> Result<(), Fault> {
        let header = self.header;
        let (kind, length) = (header.kind(), header.remaining());
        let flags = match kind {
            PUBLISH if header.qos() <= 1 => header.flags(),
            CONNACK | PUBACK | SUBACK | PINGRESP => 0,
            _ => return Err(Fault::Unexpected(kind)),
        };
        // Nothing but CONNACK comes first (MQTT-3.2.0-1), and that comes once.
        let expected = match kind {
            CONNACK => self.connack_due && !self.connected,
            SUBACK => self.connected && self.suback.or(self.subacked).is_some(),
            _ => self.connected,
        };
        if !expected {
            return Err(Fault::Unexpected(kind));
        }
        if length > MAX_PACKET && kind != PUBLISH {
            return Err(Fault::Oversized(kind));
        }
        let fits = match kind {
            CONNACK | PUBACK => length == 2,
            SUBACK => length == 3,
            PINGRESP => length == 0,
            // A topic of one character, and the packet id.
            _ => length >= 3 + usize::from(header.qos() > 0) * 2,
        };
        if header.flags() != flags || !fits {
            return Err(Fault::Malformed(kind));
        }
        let size = ENTRY_HEAD + header.bytes().len() + length;
        // Whether it is to be set aside shows with its topic.
        let may_be_aside = kind == PUBLISH && header.qos() == 0 && !self.aside.is_empty();
        let reason = if length > if may_be_aside { MAX_ASIDE } else { MAX_PACKET } {
            Reason::TooLarge
        } else if !self.make_room(size, if kind == PUBLISH { header.qos() } else { 1 }) {
            Reason::NoRoom
        } else if !self.reserve(size) {
            Reason::OutOfMemory
        } else {
            let start = self.store.len();
            self.append(PACKET, header.bytes().len() + length, &[header.bytes()]);
            if length == 0 {
                return self.complete(start);
            }
            self.state = State::Keep { start, left: length };
            return Ok(());
        };
        if kind != PUBLISH {
            return Err(match reason {
                Reason::OutOfMemory => Fault::OutOfMemory,
                _ => Fault::Flood,
            });
        }
        self.state = State::Skip(Skipped::new(reason, length));
        Ok(())
    }

    /// Writes the head of an entry whose content has `length` bytes, and its first pieces. The
    /// caller has reserved the space.
    fn append(&mut self, kind: u8, length: usize, pieces: &[&[u8]]) {
        // At most CAPACITY.
        let length = (length as u16).to_le_bytes();
        self.store.extend_from_slice(&[kind, length[0], length[1]]);
        for piece in pieces {
            self.store.extend_from_slice(piece);
        }
    }

    /// As `append`, when nothing is reserved yet.
    fn append_whole(&mut self, kind: u8, pieces: &[&[u8]]) -> Result<(), Fault> {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if !self.make_room(ENTRY_HEAD + length, 1) {
            return Err(Fault::Flood);
        }
        if !self.reserve(ENTRY_HEAD + length) {
            return Err(Fault::OutOfMemory);
        }
        self.append(kind, length, pieces);
        Ok(())
    }

    /// Whether there is memory for `size` bytes more. One function for a test to replace.
    #[inline(never)]
    fn reserve(&mut self, size: usize) -> bool {
        self.store.try_reserve_exact(size).is_ok()
    }

    /// Whether `size` bytes more fit. Messages that are not committed yet, oldest first, are cut
    /// down to their acknowledgement for that: those at QoS 0, and others only for what is not at QoS 0
    /// itself.
    fn make_room(&mut self, size: usize, qos: u8) -> bool {
        (0..=qos).any(|most| self.push_out(size, most))
    }

    /// Whether `size` bytes more fit, once messages of at most this QoS are cut down.
    #[inline(never)]
    fn push_out(&mut self, size: usize, most: u8) -> bool {
        let mut at = self.committed;
        while self.store.len() + size > CAPACITY {
            let Some((kind, length)) = self.entry(at) else { return false };
            let end = at + ENTRY_HEAD + length;
            if kind != PACKET && kind != ASIDE {
                at = end;
                continue;
            }
            let Some((header, body)) = self.store.get(at + ENTRY_HEAD..end).and_then(Header::split)
            else {
                return false;
            };
            let id = match publish(header.qos(), body) {
                Some((_, id, _)) if header.kind() == PUBLISH && header.qos() <= most => {
                    id.to_be_bytes()
                }
                _ => {
                    at = end;
                    continue;
                }
            };
            self.store[at] = PUSHED_OUT;
            self.store[at + 1] = 2;
            self.store[at + 2] = 0;
            self.store[at + 3..at + 5].copy_from_slice(&id);
            at += ENTRY_HEAD + 2;
            self.store.drain(at..end);
        }
        true
    }

    /// The packet that began at `start` is whole.
    fn complete(&mut self, start: usize) -> Result<(), Fault> {
        let header = core::mem::replace(&mut self.header, Header::new());
        self.state = State::Header;
        let kind = header.kind();
        let begin = start + ENTRY_HEAD + header.bytes().len();
        let body = self.store.get(begin..).unwrap_or_default();
        let wanted = match kind {
            CONNACK => {
                let [flags, code] = *body else { return Err(Fault::Malformed(kind)) };
                // Bits 7 to 1 are reserved (3.2.2.1), and who is refused has no session
                // (MQTT-3.2.2-4).
                if flags > 1 || flags == 1 && code != 0 {
                    return Err(Fault::Malformed(kind));
                }
                if flags == 1 && self.clean_session {
                    return Err(Fault::SessionPresent);
                }
                self.connack_due = false;
                self.connected = code == 0;
                true
            }
            SUBACK => {
                let [high, low, code] = *body else { return Err(Fault::Malformed(kind)) };
                let id = Some(u16::from_be_bytes([high, low]));
                let wanted = self.suback == id;
                // What is granted is not more than what was asked for, or it is a refusal (3.9.3).
                if !wanted && self.subacked != id || !matches!(code, 0 | 1 | 0x80) {
                    return Err(Fault::Malformed(kind));
                }
                if wanted {
                    self.subacked = self.suback.take();
                }
                wanted
            }
            PUBACK => {
                // One that nobody waits for is no fault: as above.
                let id = number(body).map(|(id, _)| id);
                let wanted = id.is_some() && self.publish == id;
                if wanted {
                    self.publish = None;
                }
                wanted
            }
            PINGRESP => {
                let wanted = self.pings > 0;
                self.pings = self.pings.saturating_sub(1);
                wanted
            }
            _ => {
                let qos = header.qos();
                let sound = publish(qos, body)
                    .filter(|(topic, id, _)| is_topic(topic) && (qos == 0 || *id != 0));
                let Some((topic, _, payload)) = sound else { return Err(Fault::Malformed(kind)) };
                if qos == 0 && !self.aside.is_empty() && topic.starts_with(&self.aside) {
                    self.store[start] = ASIDE;
                } else if body.len() > MAX_PACKET {
                    return self.cut_down(start, topic.len(), payload.len());
                }
                true
            }
        };
        if !wanted {
            self.store.truncate(start);
        }
        Ok(())
    }

    /// The entry at `start` is a message at QoS 0 that was kept because it might have been one to set
    /// aside, and is too large for the client.
    fn cut_down(&mut self, start: usize, topic: usize, payload: usize) -> Result<(), Fault> {
        let mut shown = [0; MAX_TOPIC_SHOWN];
        let shown = &mut shown[..topic.min(MAX_TOPIC_SHOWN)];
        let at = self.store.len() - payload - topic;
        for (to, from) in shown.iter_mut().zip(self.store.get(at..).unwrap_or(&[])) {
            *to = *from;
        }
        self.store.truncate(start);
        self.append_whole(OVERSIZED, &[&[0, 0], &(payload as u32).to_le_bytes(), shown])
    }

    /// A PUBLISH that was thrown away has come to its end.
    fn complete_skipped(&mut self) -> Result<(), Fault> {
        let header = core::mem::replace(&mut self.header, Header::new());
        let State::Skip(skipped) = core::mem::replace(&mut self.state, State::Header) else {
            return Ok(());
        };
        let topic = usize::from(u16::from_be_bytes([skipped.head[0], skipped.head[1]]));
        let head = 2 + topic + if header.qos() > 0 { 2 } else { 0 };
        let id = match header.qos() {
            0 => [0, 0],
            _ => [skipped.head[2], skipped.head[3]],
        };
        if topic == 0 || head > skipped.size || header.qos() > 0 && id == [0, 0] {
            return Err(Fault::Malformed(PUBLISH));
        }
        match skipped.reason {
            Reason::TooLarge => {
                // The length has four bytes of seven bits at most.
                let payload = ((skipped.size - head) as u32).to_le_bytes();
                let shown = skipped.topic.get(..topic).unwrap_or(&skipped.topic);
                self.append_whole(OVERSIZED, &[&id, &payload, shown])
            }
            Reason::NoRoom => self.append_whole(PUSHED_OUT, &[&id]),
            Reason::OutOfMemory => self.append_whole(REFUSED, &[]),
        }
    }
}

impl Skipped {
    fn new(reason: Reason, size: usize) -> Self {
        Self { reason, size, seen: 0, head: [0; 4], topic: [0; MAX_TOPIC_SHOWN] }
    }

    /// Keeps what is needed of the thrown away bytes: topic length, topic, packet id.
    fn note(&mut self, bytes: &[u8]) {
        for (at, byte) in (self.seen..).zip(bytes) {
            // Unknown while the first two bytes come in, and not used then.
            let id_at = 2 + usize::from(u16::from_be_bytes([self.head[0], self.head[1]]));
            let place = match at {
                0..2 => self.head.get_mut(at),
                _ if at < id_at => self.topic.get_mut(at - 2),
                _ if at < id_at + 2 => self.head.get_mut(2 + at - id_at),
                _ => break,
            };
            if let Some(place) = place {
                *place = *byte;
            }
        }
        self.seen += bytes.len();
    }
}

/// The packet id in front of an entry's content; 0 stands for none.
fn split_id(content: &[u8]) -> Option<(Option<u16>, &[u8])> {
    let (id, rest) = number(content)?;
    Some(((id != 0).then_some(id), rest))
}

/// Whether a topic may be published to: UTF-8 without NUL (1.5.3) and without wildcards
/// (MQTT-3.3.2-2).
fn is_topic(topic: &[u8]) -> bool {
    !topic.is_empty()
        && core::str::from_utf8(topic).is_ok()
        && !topic.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}
