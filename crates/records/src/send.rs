//! Records that are sent.

use gcm::{BLOCK, Direction as Cipher};

use crate::{
    Content, Direction, EXPLICIT_NONCE, Error, HEADER, MAX_CONTENT, VERSION, additional, alert,
};

/// Bytes of a record in front of its content.
pub const PREFIX: usize = HEADER + EXPLICIT_NONCE;

/// Bytes of a record besides its content.
pub const OVERHEAD: usize = PREFIX + BLOCK;

/// Makes the records of one connection.
pub struct Sender(pub(crate) Direction);

impl Sender {
    /// To be filled by [`crate::client`]; until then everything is refused.
    pub const EMPTY: Self = Self(Direction::EMPTY);

    /// Makes a record in place: of `buffer`, all but the first [`PREFIX`] and the last [`BLOCK`]
    /// bytes are the content, at most [`MAX_CONTENT`].
    ///
    /// The last sequence number is kept for the alert that closes.
    ///
    /// # Errors
    /// [`Error::Length`] for a buffer of another size, [`Error::Exhausted`]: nothing is to be sent.
    pub fn seal(&mut self, content: Content, buffer: &mut [u8]) -> Result<(), Error> {
        let sequence = self.0.sequence.ok_or(Error::Exhausted)?;
        if content != Content::Alert && sequence == u64::MAX {
            return Err(Error::Exhausted);
        }
        let length = buffer.len().checked_sub(OVERHEAD).ok_or(Error::Length)?;
        if length > MAX_CONTENT {
            return Err(Error::Length);
        }
        let (prefix, rest) = buffer.split_at_mut(PREFIX);
        let (text, tag) = rest.split_at_mut(length);
        // A counter is unique, and the sequence number is one.
        let explicit = sequence.to_be_bytes();
        // At most MAX_CONTENT and 24.
        let [high, low] = ((EXPLICIT_NONCE + length + BLOCK) as u16).to_be_bytes();
        prefix[..HEADER].copy_from_slice(&[content as u8, VERSION[0], VERSION[1], high, low]);
        prefix[HEADER..].copy_from_slice(&explicit);
        let covered = additional(sequence, content as u8, length as u16);
        let mut message = self.0.key.message(Cipher::Encrypt, &self.0.nonce(explicit), &covered);
        message.update(&self.0.key, text);
        tag.copy_from_slice(&message.tag(&self.0.key));
        self.0.advance();
        Ok(())
    }

    /// An alert as a record: [`alert::CLOSE_NOTIFY`] and [`alert::NO_RENEGOTIATION`] as warnings,
    /// all others as fatal (7.2).
    ///
    /// # Errors
    /// [`Error::Exhausted`]: nothing is to be sent.
    pub fn alert(&mut self, description: u8) -> Result<[u8; OVERHEAD + 2], Error> {
        let warning = matches!(description, alert::CLOSE_NOTIFY | alert::NO_RENEGOTIATION);
        let mut record = [0; OVERHEAD + 2];
        record[PREFIX..PREFIX + 2].copy_from_slice(&[if warning { 1 } else { 2 }, description]);
        self.seal(Content::Alert, &mut record)?;
        Ok(record)
    }
}
