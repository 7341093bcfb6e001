//! Records that are received.

use core::mem;

use gcm::{BLOCK, Direction as Cipher, Message, same};

use crate::{
    Content, Direction, EXPLICIT_NONCE, Error, HEADER, MAX_CONTENT, VERSION, additional, alert,
};

/// Records without application data that may come between two with some: warnings, wishes for a
/// new handshake, empty records. More are an attack on the CPU.
const MAX_IDLE: u8 = 32;

/// Takes the application data of a connection.
pub trait Sink {
    /// Decrypted bytes of a record whose tag has not come yet.
    fn offer(&mut self, bytes: &[u8]);
    /// What was offered since the last call is genuine.
    fn commit(&mut self);
    /// What was offered since the last commit is not: forget it. Nothing follows.
    fn discard(&mut self);
}

/// What came of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The record wants more.
    More,
    /// A record of application data was committed.
    Data,
    /// A record without any is over.
    Nothing,
    /// The peer asks for a new handshake and is to be sent [`alert::NO_RENEGOTIATION`].
    Refuse,
    /// The peer ended the connection in an orderly way. What follows is not looked at.
    Closed,
}

/// The part of a record that is coming in.
enum Part {
    Header,
    Nonce,
    Text {
        message: Message,
        left: usize,
    },
    Tag {
        message: Message,
    },
    /// After close_notify, or a failure.
    End(Result<Progress, Error>),
}

/// Reads the records of one connection.
pub struct Receiver {
    pub(crate) direction: Direction,
    part: Part,
    /// Bytes of the header, the nonce or the tag; how many have come.
    head: [u8; BLOCK],
    got: usize,
    content: Content,
    /// Bytes of content that the record has.
    length: usize,
    /// The content of a record that is no application data, as far as it matters: the first two
    /// bytes, and whether all are zero.
    control: [u8; 2],
    zeros: bool,
    idle: u8,
}

impl Receiver {
    /// To be filled by [`crate::client`]; until then every record is refused.
    pub const EMPTY: Self = Self {
        direction: Direction::EMPTY,
        part: Part::Header,
        head: [0; BLOCK],
        got: 0,
        content: Content::Data,
        length: 0,
        control: [0; 2],
        zeros: true,
        idle: 0,
    };

    /// How many bytes the part of the record that is coming in still wants. Who reads no more
    /// than that has nothing left over when a record ends. At least 1.
    #[must_use]
    pub fn wanted(&self) -> usize {
        match &self.part {
            Part::Header => HEADER - self.got,
            Part::Nonce => EXPLICIT_NONCE - self.got,
            // The tag is wanted with it.
            Part::Text { left, .. } => left + BLOCK,
            Part::Tag { .. } => BLOCK - self.got,
            Part::End(_) => 1,
        }
    }

    /// Takes bytes of the stream, decrypts them in place, and gives application data to `sink`.
    /// Returns how many were taken, which is all of them unless a record ended, and what came of
    /// them.
    ///
    /// # Errors
    /// The connection is over. Nothing of the record reached `sink` but to be discarded; the same
    /// error follows as [`Error::Over`] from then on.
    pub fn take(
        &mut self,
        bytes: &mut [u8],
        sink: &mut impl Sink,
    ) -> Result<(usize, Progress), Error> {
        let mut taken = 0;
        while taken < bytes.len() {
            let (step, progress) = self.step(&mut bytes[taken..], sink);
            taken += step;
            match progress {
                Ok(Progress::More) => {}
                Ok(progress) => return Ok((taken, progress)),
                Err(error) => {
                    self.fail(sink);
                    return Err(error);
                }
            }
        }
        Ok((taken, Progress::More))
    }

    /// The stream has ended. Without close_notify that is an attack if the bytes of the protocol
    /// above do not say themselves where they end; MQTT's do.
    ///
    /// # Errors
    /// [`Error::Truncated`] within a record.
    pub fn end(&mut self, sink: &mut impl Sink) -> Result<(), Error> {
        match self.part {
            Part::End(Ok(_)) => Ok(()),
            Part::Header if self.got == 0 => Ok(()),
            Part::End(Err(error)) => Err(error),
            _ => {
                self.fail(sink);
                Err(Error::Truncated)
            }
        }
    }

    fn fail(&mut self, sink: &mut impl Sink) {
        if !matches!(self.part, Part::End(_)) {
            sink.discard();
            self.part = Part::End(Err(Error::Over));
        }
    }

    /// Takes bytes of one part.
    fn step(&mut self, bytes: &mut [u8], sink: &mut impl Sink) -> (usize, Result<Progress, Error>) {
        match &mut self.part {
            Part::Text { message, left } => {
                let step = bytes.len().min(*left);
                let text = &mut bytes[..step];
                message.update(&self.direction.key, text);
                *left -= step;
                let over = *left == 0;
                if self.content == Content::Data {
                    sink.offer(text);
                } else {
                    note(&mut self.control, &mut self.zeros, &mut self.got, text);
                }
                if over {
                    self.begin_tag();
                }
                (step, Ok(Progress::More))
            }
            Part::End(result) => (bytes.len(), *result),
            part => {
                let size = match part {
                    Part::Header => HEADER,
                    Part::Nonce => EXPLICIT_NONCE,
                    _ => BLOCK,
                };
                let step = bytes.len().min(size - self.got);
                self.head[self.got..self.got + step].copy_from_slice(&bytes[..step]);
                self.got += step;
                if self.got < size {
                    return (step, Ok(Progress::More));
                }
                self.got = 0;
                let result = match mem::replace(&mut self.part, Part::Header) {
                    Part::Header => self.header(),
                    Part::Nonce => self.begin_text(),
                    Part::Tag { message } => self.complete(message, sink),
                    other => {
                        self.part = other;
                        Ok(Progress::More)
                    }
                };
                (step, result)
            }
        }
    }

    fn header(&mut self) -> Result<Progress, Error> {
        let [content, major, minor, high, low, ..] = self.head;
        self.content = match content {
            21 => Content::Alert,
            22 => Content::Handshake,
            23 => Content::Data,
            _ => return Err(Error::Unexpected),
        };
        if [major, minor] != VERSION {
            return Err(Error::Version);
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        self.length = length.checked_sub(EXPLICIT_NONCE + BLOCK).ok_or(Error::Length)?;
        if self.length > MAX_CONTENT {
            return Err(Error::Length);
        }
        self.part = Part::Nonce;
        Ok(Progress::More)
    }

    fn begin_text(&mut self) -> Result<Progress, Error> {
        let sequence = self.direction.sequence.ok_or(Error::Exhausted)?;
        let mut explicit = [0; EXPLICIT_NONCE];
        explicit.copy_from_slice(&self.head[..EXPLICIT_NONCE]);
        // At most MAX_CONTENT.
        let covered = additional(sequence, self.content as u8, self.length as u16);
        let nonce = self.direction.nonce(explicit);
        let message = self.direction.key.message(Cipher::Decrypt, &nonce, &covered);
        self.control = [0; 2];
        self.zeros = true;
        self.part = if self.length == 0 {
            Part::Tag { message }
        } else {
            Part::Text { message, left: self.length }
        };
        Ok(Progress::More)
    }

    fn begin_tag(&mut self) {
        self.got = 0;
        if let Part::Text { message, .. } = mem::replace(&mut self.part, Part::Header) {
            self.part = Part::Tag { message };
        }
    }

    fn complete(&mut self, message: Message, sink: &mut impl Sink) -> Result<Progress, Error> {
        if !same(&message.tag(&self.direction.key), &self.head) {
            return Err(Error::Tag);
        }
        self.direction.advance();
        if self.content == Content::Data && self.length > 0 {
            self.idle = 0;
            sink.commit();
            return Ok(Progress::Data);
        }
        self.idle += 1;
        if self.idle > MAX_IDLE {
            return Err(Error::Unexpected);
        }
        match self.content {
            Content::Data => Ok(Progress::Nothing),
            Content::Alert => self.on_alert(),
            Content::Handshake => self.on_handshake(),
        }
    }

    fn on_alert(&mut self) -> Result<Progress, Error> {
        if self.length != 2 {
            return Err(Error::Malformed);
        }
        let [level, description] = self.control;
        match (level, description) {
            (_, alert::CLOSE_NOTIFY) => {
                self.part = Part::End(Ok(Progress::Closed));
                Ok(Progress::Closed)
            }
            (1, _) => Ok(Progress::Nothing),
            _ => Err(Error::Alert(description)),
        }
    }

    /// HelloRequest (7.4.1.1), which is four zeros, may be refused. Nothing else may come.
    fn on_handshake(&mut self) -> Result<Progress, Error> {
        if self.length == 0 || !self.length.is_multiple_of(4) || !self.zeros {
            return Err(Error::Unexpected);
        }
        Ok(Progress::Refuse)
    }
}

/// Keeps what matters of a record that is no application data.
fn note(control: &mut [u8; 2], zeros: &mut bool, got: &mut usize, text: &[u8]) {
    for byte in text {
        if let Some(place) = control.get_mut(*got) {
            *place = *byte;
        }
        *got += 1;
        *zeros &= *byte == 0;
    }
}
