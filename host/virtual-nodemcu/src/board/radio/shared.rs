//! One air for several boards, each a process of its own: the board that owns the air serves it on
//! a Unix socket, the others are stations there.
//!
//! Messages are a byte of kind, two of length (little endian), and that many bytes. From a station:
//! `TUNE`, `SEND`, `ABORT`; to it: `HEARD`, `SENT`. The air's time is the owner's; a
//! station hears frames when they arrive.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::air::{Air, Heard, Sending, Sent, StationId, Tuning};
use super::frame::Address;
use super::rate::Rate;

/// Channel (0: none), then twice: whether there is an address, and the address.
const TUNE: u8 = 1;
/// Rate, slots to wait (two bytes), frame.
const SEND: u8 = 2;
/// Nothing.
const ABORT: u8 = 3;
/// Signal strength, rate, frame.
const HEARD: u8 = 4;
/// Whether it was acknowledged, signal strength.
const SENT: u8 = 5;

/// Stations that may come from outside.
const MOST_STATIONS: usize = 64;
/// Bytes that a station which does not read is owed before it is dropped.
const MOST_OWED: usize = 1 << 20;
/// Longest message.
const MOST: usize = 4096;

/// A listener at `path`, which only this user may connect to. A socket that an earlier process left
/// behind is replaced; one that somebody serves is not.
///
/// # Errors
/// The path is in use, or cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket()) {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another board serves it"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, owner_only)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A stream that never blocks, in both directions.
#[derive(Debug)]
pub struct Pipe {
    stream: UnixStream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    open: bool,
    /// The other end sends nothing any more; it may still read.
    ended: bool,
}

impl Pipe {
    /// Over this stream.
    ///
    /// # Errors
    /// When it cannot be made not to block.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), output: VecDeque::new(), open: true, ended: false })
    }

    /// Whether the other end is there and reads.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the other end has sent all that it will.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether bytes wait until the other end takes them.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.output.is_empty()
    }

    /// The bytes that were read and not taken.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// Reads and writes what can be without waiting; the bytes read so far.
    pub fn poll(&mut self) -> &mut Vec<u8> {
        let mut buffer = [0; 4096];
        while self.open && !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.input.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.open &= error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        // Who has ended and does not read either is gone.
        if self.ended {
            let mut hung_up = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
            let _ = poll(&mut hung_up, PollTimeout::ZERO);
            let gone = hung_up[0].any().unwrap_or(true);
            self.open &= !gone;
        }
        self.flush();
        &mut self.input
    }

    /// Writes, now or as soon as there is room. An end that does not read is dropped.
    pub fn write(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
        self.flush();
        self.open &= self.output.len() < MOST_OWED;
    }

    fn flush(&mut self) {
        while self.open && !self.output.is_empty() {
            let (first, _) = self.output.as_slices();
            match self.stream.write(first) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.open &= error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u16).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Takes whole messages off the front. None: what stands there is no message.
fn messages(input: &mut Vec<u8>) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some([kind, low, high]) = input.get(at..at + 3) {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        if length > MOST {
            return None;
        }
        let Some(body) = input.get(at + 3..at + 3 + length) else { break };
        all.push((*kind, body.to_vec()));
        at += 3 + length;
    }
    input.drain(..at);
    Some(all)
}

/// A rate in a byte: the chip's number, or 16 and more for 802.11n.
fn rate_byte(rate: Rate) -> u8 {
    match rate {
        Rate::Ht(mcs) => 16 + mcs,
        rate => rate.to_chip(),
    }
}

fn rate_of(byte: u8) -> Option<Rate> {
    match byte {
        16..=23 => Some(Rate::Ht(byte - 16)),
        byte => Rate::from_chip(byte),
    }
}

/// The owner's side.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    peers: Vec<(Pipe, StationId)>,
}

impl Server {
    /// Serves the air at `path`.
    ///
    /// # Errors
    /// As [`listen`].
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { listener: listen(path)?, path: path.to_owned(), peers: Vec::new() })
    }

    /// Stations from outside.
    #[must_use]
    pub fn stations(&self) -> usize {
        self.peers.len()
    }

    /// Passes on what stations and air have to say to each other.
    pub fn poll(&mut self, air: &mut Air) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.peers.len() < MOST_STATIONS
                && let Ok(pipe) = Pipe::new(stream)
            {
                self.peers.push((pipe, air.attach()));
            }
        }
        for (pipe, id) in &mut self.peers {
            match messages(pipe.poll()) {
                Some(all) => {
                    for (kind, body) in all {
                        if Self::serve(air, *id, kind, &body).is_none() {
                            pipe.open = false;
                        }
                    }
                }
                None => pipe.open = false,
            }
            while let Some(heard) = air.heard(*id) {
                let body = [&[heard.rssi as u8, rate_byte(heard.rate)][..], &heard.frame].concat();
                pipe.write(&message(HEARD, &body));
            }
            if let Some(sent) = air.sent(*id) {
                pipe.write(&message(SENT, &[u8::from(sent.acked), sent.rssi as u8]));
            }
        }
        self.peers.retain(|(pipe, id)| {
            let stays = pipe.is_open() && !pipe.has_ended();
            if !stays {
                air.detach(*id);
            }
            stays
        });
    }

    /// None: that was no message.
    fn serve(air: &mut Air, id: StationId, kind: u8, body: &[u8]) -> Option<()> {
        match (kind, body) {
            (TUNE, [channel, rest @ ..]) if rest.len() == 14 && *channel <= 14 => {
                let address = |at: usize| -> Option<Address> {
                    (rest[at] != 0).then(|| std::array::from_fn(|i| rest[at + 1 + i]))
                };
                let channel = (*channel != 0).then_some(*channel);
                air.tune(id, Tuning { channel, addresses: [address(0), address(7)] });
            }
            (SEND, [rate, low, high, frame @ ..]) if frame.len() >= 10 => {
                let slots = u32::from(u16::from_le_bytes([*low, *high]));
                let rate = rate_of(*rate)?;
                air.send(id, Sending { frame: frame.to_vec(), rate, slots: slots.min(1023) });
            }
            (ABORT, []) => air.abort(id),
            _ => return None,
        }
        Some(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A station's side.
pub struct Client {
    pipe: Pipe,
    heard: VecDeque<(i8, Rate, Vec<u8>)>,
    sent: Option<(bool, i8)>,
    sending: bool,
}

impl Client {
    /// On the air that is served at `path`.
    ///
    /// # Errors
    /// Nobody serves it.
    pub fn new(path: &Path) -> io::Result<Self> {
        let pipe = Pipe::new(UnixStream::connect(path)?)?;
        Ok(Self { pipe, heard: VecDeque::new(), sent: None, sending: false })
    }

    /// Looks for what the air has to say. Without an owner the air is silent: nothing is heard, and
    /// nobody acknowledges.
    pub fn poll(&mut self) {
        match messages(self.pipe.poll()) {
            Some(all) => {
                for (kind, body) in all {
                    match (kind, &body[..]) {
                        (HEARD, [rssi, rate, frame @ ..]) => {
                            if let Some(rate) = rate_of(*rate) {
                                self.heard.push_back((*rssi as i8, rate, frame.to_vec()));
                            }
                        }
                        (SENT, [acked, rssi]) if self.sending => {
                            self.sending = false;
                            self.sent = Some((*acked != 0, *rssi as i8));
                        }
                        _ => {}
                    }
                }
            }
            None => self.pipe.open = false,
        }
        let silent = !self.pipe.is_open() || self.pipe.has_ended();
        if silent && std::mem::take(&mut self.sending) {
            self.sent = Some((false, 0));
        }
    }

    /// Whether something waits for the station.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.sent.is_some() || !self.heard.is_empty()
    }

    /// As [`Air::tune`].
    pub fn tune(&mut self, tuning: Tuning) {
        let mut body = vec![tuning.channel.unwrap_or(0)];
        for address in tuning.addresses {
            body.push(u8::from(address.is_some()));
            body.extend(address.unwrap_or_default());
        }
        self.pipe.write(&message(TUNE, &body));
    }

    /// As [`Air::send`].
    pub fn send(&mut self, sending: &Sending) {
        self.sending = true;
        self.sent = None;
        let mut body = vec![rate_byte(sending.rate)];
        body.extend((sending.slots as u16).to_le_bytes());
        body.extend(&sending.frame);
        self.pipe.write(&message(SEND, &body));
    }

    /// As [`Air::abort`].
    pub fn abort(&mut self) {
        self.sending = false;
        self.sent = None;
        self.pipe.write(&message(ABORT, &[]));
    }

    /// As [`Air::heard`]; frames come at `now`.
    pub fn heard(&mut self, now: u64) -> Option<Heard> {
        let (rssi, rate, frame) = self.heard.pop_front()?;
        Some(Heard { at: now, frame, rssi, rate })
    }

    /// As [`Air::sent`].
    pub fn sent(&mut self, now: u64) -> Option<Sent> {
        let (acked, rssi) = self.sent.take()?;
        Some(Sent { at: now, acked, rssi })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::radio::ap::Ap;
    use crate::board::radio::frame::{self, kind};
    use crate::board::radio::settings::Settings;

    #[test]
    fn a_station_from_outside_hears_and_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("air");
        let mut air = Air::new(1);
        air.aps.push(Ap::new(Settings::parse("ssid=x,channel=3").unwrap(), 1, 1, 0));
        let mut server = Server::new(&path).unwrap();
        assert!(Server::new(&path).is_err(), "somebody serves it");
        let mut client = Client::new(&path).unwrap();
        let own = [2, 0, 0, 0, 0, 9];
        client.tune(Tuning { channel: Some(3), addresses: [Some(own), None] });
        let bssid = air.aps[0].bssid();
        let mut auth = frame::header(kind::AUTHENTICATION, 0, [bssid, own, bssid]);
        auth.extend([0, 0, 1, 0, 0, 0]);
        client.send(&Sending { frame: auth, rate: Rate::Ofdm(12), slots: 3 });
        let (mut acked, mut answered, mut beacon) = (false, false, false);
        for step in 1..200 {
            server.poll(&mut air);
            air.advance(step * 1_000_000);
            server.poll(&mut air);
            client.poll();
            acked |= client.sent(0).is_some_and(|sent| sent.acked);
            while let Some(heard) = client.heard(0) {
                answered |= heard.frame[0] == kind::AUTHENTICATION;
                beacon |= heard.frame[0] == kind::BEACON;
            }
        }
        assert!(acked && answered && beacon);
        assert_eq!(server.stations(), 1);
        drop(client);
        server.poll(&mut air);
        assert_eq!(server.stations(), 0);
        // Nonsense ends a connection and nothing else.
        let mut raw = UnixStream::connect(&path).unwrap();
        raw.write_all(&[9, 1, 0, 7]).unwrap();
        server.poll(&mut air);
        server.poll(&mut air);
        assert_eq!(server.stations(), 0);
        drop(server);
        assert!(!path.exists());
    }

    #[test]
    fn without_an_owner_the_air_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("air");
        assert!(Client::new(&path).is_err());
        let server = Server::new(&path).unwrap();
        let mut client = Client::new(&path).unwrap();
        drop(server);
        client.send(&Sending { frame: vec![0; 24], rate: Rate::Ofdm(12), slots: 0 });
        client.poll();
        assert_eq!(client.sent(5), Some(Sent { at: 5, acked: false, rssi: 0 }));
    }
}
