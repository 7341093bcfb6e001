//! A sink that notes everything, and a peer that sends records.
#![allow(dead_code)] // each test takes a part of it

use records::{Content, Error, OVERHEAD, PREFIX, Progress, Receiver, Sender, Sink};

/// What a [`Receiver`] told.
#[derive(Default)]
pub struct Log {
    pub committed: Vec<u8>,
    pub offered: Vec<u8>,
    pub commits: usize,
    pub discards: usize,
}

impl Sink for Log {
    fn offer(&mut self, bytes: &[u8]) {
        assert_eq!(self.discards, 0, "nothing follows a discard");
        self.offered.extend_from_slice(bytes);
    }

    fn commit(&mut self) {
        assert_eq!(self.discards, 0, "nothing follows a discard");
        self.committed.append(&mut self.offered);
        self.commits += 1;
    }

    fn discard(&mut self) {
        self.offered.clear();
        self.discards += 1;
    }
}

pub fn key_block(key_size: usize) -> Vec<u8> {
    (0..2 * key_size + 8).map(|i| (i * 37 + 11) as u8).collect()
}

/// [`records::client`] with new values.
pub fn client(
    key_block: &[u8],
    key_size: usize,
    sent: u64,
    received: u64,
) -> Option<(Sender, Receiver)> {
    let (mut sender, mut receiver) = (Sender::EMPTY, Receiver::EMPTY);
    records::client((&mut sender, &mut receiver), key_block, key_size, sent, received)
        .then_some((sender, receiver))
}

/// A client's connection, and the other side's sender, at these sequence numbers.
pub fn connection_at(key_size: usize, sent: u64, received: u64) -> (Sender, Receiver, Sender) {
    let block = key_block(key_size);
    let (sender, receiver) = client(&block, key_size, sent, received).unwrap();
    let (keys, salts) = block.split_at(2 * key_size);
    let swapped = [&keys[key_size..], &keys[..key_size], &salts[4..], &salts[..4]].concat();
    let (server, _) = client(&swapped, key_size, received, sent).unwrap();
    (sender, receiver, server)
}

pub fn connection() -> (Sender, Receiver, Sender) {
    connection_at(16, 1, 1)
}

/// A record with this content.
pub fn record(sender: &mut Sender, content: Content, bytes: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; OVERHEAD + bytes.len()];
    buffer[PREFIX..PREFIX + bytes.len()].copy_from_slice(bytes);
    sender.seal(content, &mut buffer).unwrap();
    buffer
}

/// Gives the stream to the receiver in pieces of the lengths given, repeated. Returns what came
/// of each piece but `More`, up to an error.
pub fn feed(
    receiver: &mut Receiver,
    log: &mut Log,
    stream: &[u8],
    cuts: &[usize],
) -> Result<Vec<Progress>, Error> {
    let mut progress = Vec::new();
    let mut cuts = cuts.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let mut piece = rest[..(*cuts.next().unwrap()).min(rest.len())].to_vec();
        let (taken, came) = receiver.take(&mut piece, log)?;
        assert!(taken > 0 && (taken == piece.len() || came != Progress::More));
        if came != Progress::More {
            progress.push(came);
        }
        rest = &rest[taken..];
    }
    Ok(progress)
}

/// Pseudo-random numbers (xorshift64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
