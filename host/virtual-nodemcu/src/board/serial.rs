//! The host's end of UART0: an RFC 2217 server on loopback, or a pseudo-terminal.

use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a full pseudo-terminal is waited for, in milliseconds.
const PTY_PATIENCE: u16 = 1000;

/// Bytes that are read of a host at once, and how many such pieces are kept while the line is busy.
/// More stays with the host, which waits as at a serial port whose driver's buffer is full.
const PIECE: usize = 512;
const MOST_PIECES: usize = 4;

/// What the host does to the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// It sends bytes.
    Data(Vec<u8>),
    /// It sets its baud rate.
    Baud(u32),
    /// It sets DTR; true is asserted (the pin is low).
    Dtr(bool),
    /// It sets RTS.
    Rts(bool),
    /// It is there.
    Connected,
    /// It is gone, and with it DTR and RTS.
    Disconnected,
}

/// The host's end.
pub struct Serial {
    input: Receiver<Input>,
    sink: Sink,
}

/// The master end of a pseudo-terminal; it never blocks.
struct Pty {
    file: std::fs::File,
    /// The slave end, kept open, also tells the speed that its user set.
    slave: OwnedFd,
    /// The speed that was told last, in baud.
    told: AtomicU32,
    /// It is full and nobody has read for a while.
    unread: AtomicBool,
}

impl Pty {
    /// The speed that its user set since the last call. 74880, the ROM's, has no constant in POSIX:
    /// the kernel's own number is asked for.
    fn new_speed(&self) -> Option<u32> {
        let mut settings = MaybeUninit::<libc::termios2>::zeroed();
        // SAFETY: TCGETS2 writes one termios2 to where the pointer says, and the descriptor is open.
        let done =
            unsafe { libc::ioctl(self.slave.as_raw_fd(), libc::TCGETS2, settings.as_mut_ptr()) };
        if done != 0 {
            return None;
        }
        // SAFETY: all bits zero are a termios2, and what the kernel wrote is one.
        let speed = unsafe { settings.assume_init() }.c_ospeed;
        (speed != 0 && self.told.swap(speed, Ordering::Relaxed) != speed).then_some(speed)
    }

    fn wait(&self, what: PollFlags, timeout: PollTimeout) -> bool {
        let mut ready = [PollFd::new(self.file.as_fd(), what)];
        poll(&mut ready, timeout).is_ok_and(|count| count > 0)
    }

    /// Writes what somebody reads. A reader that is slow is waited for; where there is none, the
    /// line does not wait, and what it carries is lost.
    fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match (&self.file).write(bytes) {
                Ok(count) => {
                    self.unread.store(false, Ordering::Relaxed);
                    bytes = &bytes[count..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let given_up = self.unread.load(Ordering::Relaxed);
                    if given_up || !self.wait(PollFlags::POLLOUT, PollTimeout::from(PTY_PATIENCE)) {
                        self.unread.store(true, Ordering::Relaxed);
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Where bytes to the host go; nowhere while nobody is connected.
#[derive(Clone)]
enum Sink {
    Telnet(Arc<Mutex<Option<TcpStream>>>),
    Pty(Arc<Pty>),
    /// A test holds the other end.
    Channel(Sender<Vec<u8>>),
}

impl Serial {
    /// A server at `address` (port 0 takes a free one); also returns where it listens.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub fn rfc2217(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (send, input) = mpsc::sync_channel(MOST_PIECES);
        let client = Arc::new(Mutex::new(None));
        let sink = Sink::Telnet(Arc::clone(&client));
        thread::Builder::new().name("rfc2217".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                // One at a time, as with a cable: the next waits until this one is gone.
                if serve(stream, &client, &send).is_none() {
                    return;
                }
            }
        })?;
        Ok((Self { input, sink }, address))
    }

    /// A pseudo-terminal with a symbolic link to it at `link`. It has no DTR and RTS.
    ///
    /// # Errors
    /// There is none to be had, or the link cannot be made.
    pub fn pty(link: &Path) -> io::Result<Self> {
        let pty = nix::pty::openpty(None, None)?;
        let mut settings = nix::sys::termios::tcgetattr(&pty.slave)?;
        nix::sys::termios::cfmakeraw(&mut settings);
        // What most firmware speaks, for who sets none.
        nix::sys::termios::cfsetspeed(&mut settings, nix::sys::termios::BaudRate::B115200)?;
        nix::sys::termios::tcsetattr(&pty.slave, nix::sys::termios::SetArg::TCSANOW, &settings)?;
        let name = nix::unistd::ttyname(&pty.slave)?;
        match std::fs::read_link(link) {
            Ok(_) => std::fs::remove_file(link)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => {
                return Err(io::Error::other(format!(
                    "{} is there and is no link: remove it or name another",
                    link.display()
                )));
            }
        }
        std::os::unix::fs::symlink(&name, link)?;
        let flags = OFlag::from_bits_retain(fcntl(&pty.master, FcntlArg::F_GETFL)?);
        fcntl(&pty.master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let file = std::fs::File::from(pty.master);
        let master = Arc::new(Pty {
            file,
            slave: pty.slave,
            told: AtomicU32::new(0),
            unread: AtomicBool::new(false),
        });
        let (send, input) = mpsc::sync_channel(MOST_PIECES);
        let reader = Arc::clone(&master);
        thread::Builder::new().name("pty".to_owned()).spawn(move || {
            let mut buffer = [0; PIECE];
            loop {
                reader.wait(PollFlags::POLLIN, PollTimeout::NONE);
                let count = match (&reader.file).read(&mut buffer) {
                    Ok(count) => count,
                    Err(e)
                        if matches!(
                            e.kind(),
                            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                        ) =>
                    {
                        continue;
                    }
                    Err(_) => return,
                };
                if reader.new_speed().is_some_and(|speed| send.send(Input::Baud(speed)).is_err()) {
                    return;
                }
                if count == 0 || send.send(Input::Data(buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { input, sink: Sink::Pty(master) })
    }

    /// Two ends within the program: for tests.
    #[must_use]
    pub fn channel() -> (Self, Sender<Input>, Receiver<Vec<u8>>) {
        let (send, input) = mpsc::channel();
        let (out, output) = mpsc::channel();
        (Self { input, sink: Sink::Channel(out) }, send, output)
    }

    /// What the host did, if it did something before `wait` is over.
    #[must_use]
    pub fn receive(&self, wait: Duration) -> Option<Input> {
        // Who only listens sets a speed too.
        if let Sink::Pty(pty) = &self.sink
            && let Some(speed) = pty.new_speed()
        {
            return Some(Input::Baud(speed));
        }
        if wait.is_zero() {
            self.input.try_recv().ok()
        } else {
            match self.input.recv_timeout(wait) {
                Ok(input) => Some(input),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    thread::sleep(wait);
                    None
                }
            }
        }
    }

    /// Sends bytes to the host. Nobody there is no error: nobody listens to the line then.
    pub fn send(&self, bytes: &[u8]) {
        match &self.sink {
            Sink::Telnet(client) => {
                let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(stream) = client.as_mut()
                    && stream.write_all(&escaped(bytes)).is_err()
                {
                    // The reader sees the end of it and reports.
                    let _ = stream.shutdown(std::net::Shutdown::Both);
                    *client = None;
                }
            }
            Sink::Pty(pty) => pty.write(bytes),
            Sink::Channel(out) => {
                let _ = out.send(bytes.to_vec());
            }
        }
    }
}

/// Telnet's codes, and those of its COM port option (RFC 2217).
mod telnet {
    pub const IAC: u8 = 255;
    pub const DONT: u8 = 254;
    pub const DO: u8 = 253;
    pub const WONT: u8 = 252;
    pub const WILL: u8 = 251;
    pub const SB: u8 = 250;
    pub const SE: u8 = 240;
    pub const BINARY: u8 = 0;
    pub const ECHO: u8 = 1;
    pub const SUPPRESS_GO_AHEAD: u8 = 3;
    pub const COM_PORT: u8 = 44;
    pub const SET_BAUD: u8 = 1;
    pub const SET_CONTROL: u8 = 5;
    pub const NOTIFY_MODEM_STATE: u8 = 107;
    /// What a server's reply adds to the client's command.
    pub const REPLY: u8 = 100;
    pub const DTR_ON: u8 = 8;
    pub const DTR_OFF: u8 = 9;
    pub const RTS_ON: u8 = 11;
    pub const RTS_OFF: u8 = 12;
}

/// Serves one client to its end. None once nobody wants to hear of it any more.
fn serve(
    stream: TcpStream,
    client: &Mutex<Option<TcpStream>>,
    send: &SyncSender<Input>,
) -> Option<()> {
    let _ = stream.set_nodelay(true);
    // A client that stopped reading must not stop the board.
    let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
    let Ok(writer) = stream.try_clone() else { return Some(()) };
    *client.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    send.send(Input::Connected).ok()?;
    let mut reader = stream;
    let mut protocol = Protocol::default();
    let mut buffer = [0; PIECE];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        let (inputs, replies) = protocol.feed(&buffer[..count]);
        for input in inputs {
            send.send(input).ok()?;
        }
        if !replies.is_empty() {
            let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
            if client.as_mut().is_none_or(|stream| stream.write_all(&replies).is_err()) {
                break;
            }
        }
    }
    *client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    send.send(Input::Disconnected).ok()
}

/// The telnet side of one connection.
#[derive(Debug, Default)]
struct Protocol {
    state: State,
    /// Options agreed upon: by us (WILL) and by the client (DO).
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Option(u8),
    Sub(Vec<u8>),
    SubCommand(Vec<u8>),
}

impl Protocol {
    /// Takes bytes from the client; returns what they mean and what to answer.
    fn feed(&mut self, bytes: &[u8]) -> (Vec<Input>, Vec<u8>) {
        let mut inputs = Vec::new();
        let mut replies = Vec::new();
        let mut data = Vec::new();
        for &byte in bytes {
            self.state = match (std::mem::take(&mut self.state), byte) {
                (State::Data, telnet::IAC) => State::Command,
                (State::Data, byte) => {
                    data.push(byte);
                    State::Data
                }
                (State::Command, telnet::IAC) => {
                    data.push(telnet::IAC);
                    State::Data
                }
                (State::Command, telnet::SB) => State::Sub(Vec::new()),
                (State::Command, verb @ telnet::WILL..=telnet::DONT) => State::Option(verb),
                (State::Command, _) => State::Data,
                (State::Option(verb), option) => {
                    self.negotiate(verb, option, &mut replies);
                    State::Data
                }
                (State::Sub(body), telnet::IAC) => State::SubCommand(body),
                (State::Sub(mut body), byte) => {
                    // No command is longer than five bytes.
                    if body.len() < 64 {
                        body.push(byte);
                    }
                    State::Sub(body)
                }
                (State::SubCommand(mut body), telnet::IAC) => {
                    body.push(telnet::IAC);
                    State::Sub(body)
                }
                (State::SubCommand(body), telnet::SE) => {
                    if !data.is_empty() {
                        inputs.push(Input::Data(std::mem::take(&mut data)));
                    }
                    com_port(&body, &mut inputs, &mut replies);
                    State::Data
                }
                (State::SubCommand(_), _) => State::Data,
            };
        }
        if !data.is_empty() {
            inputs.push(Input::Data(data));
        }
        (inputs, replies)
    }

    /// Agrees to what a serial line needs, refuses the rest; says nothing twice.
    fn negotiate(&mut self, verb: u8, option: u8, replies: &mut Vec<u8>) {
        let known = [telnet::BINARY, telnet::SUPPRESS_GO_AHEAD, telnet::COM_PORT, telnet::ECHO]
            .contains(&option);
        let (list, yes, no, wanted) = match verb {
            telnet::DO | telnet::DONT => {
                (&mut self.ours, telnet::WILL, telnet::WONT, verb == telnet::DO)
            }
            _ => (&mut self.theirs, telnet::DO, telnet::DONT, verb == telnet::WILL),
        };
        let agreed = list.contains(&option);
        if wanted && known {
            if !agreed {
                list.push(option);
                replies.extend([telnet::IAC, yes, option]);
                if option == telnet::COM_PORT && verb == telnet::WILL {
                    // Modem lines: clear to send, data set ready, carrier.
                    let state = [telnet::COM_PORT, telnet::NOTIFY_MODEM_STATE, 0xB0];
                    subnegotiate(&state, replies);
                }
            }
        } else if agreed || wanted {
            list.retain(|o| *o != option);
            replies.extend([telnet::IAC, no, option]);
        }
    }
}

fn subnegotiate(body: &[u8], replies: &mut Vec<u8>) {
    replies.extend([telnet::IAC, telnet::SB]);
    replies.extend(escaped(body));
    replies.extend([telnet::IAC, telnet::SE]);
}

/// The bytes, with telnet's own among them twice.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let times = |byte: u8| if byte == telnet::IAC { 2 } else { 1 };
    bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, times(*byte))).collect()
}

/// A command of RFC 2217: its meaning, and the acknowledgement with the value now in force.
fn com_port(body: &[u8], inputs: &mut Vec<Input>, replies: &mut Vec<u8>) {
    let [telnet::COM_PORT, command, value @ ..] = body else { return };
    match (*command, value) {
        (telnet::SET_BAUD, [a, b, c, d]) => {
            let baud = u32::from_be_bytes([*a, *b, *c, *d]);
            // 0 asks for the value.
            if baud != 0 {
                inputs.push(Input::Baud(baud));
            }
        }
        (telnet::SET_CONTROL, [telnet::DTR_ON]) => inputs.push(Input::Dtr(true)),
        (telnet::SET_CONTROL, [telnet::DTR_OFF]) => inputs.push(Input::Dtr(false)),
        (telnet::SET_CONTROL, [telnet::RTS_ON]) => inputs.push(Input::Rts(true)),
        (telnet::SET_CONTROL, [telnet::RTS_OFF]) => inputs.push(Input::Rts(false)),
        _ => {}
    }
    if *command < telnet::REPLY {
        let mut reply = vec![telnet::COM_PORT, command + telnet::REPLY];
        reply.extend(value);
        subnegotiate(&reply, replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telnet::{COM_PORT, DO, IAC, SB, SE, WILL, WONT};

    #[test]
    fn data_commands_and_escapes_in_one_stream_cut_anywhere() {
        let stream = [
            &b"ab"[..],
            &[IAC, IAC],
            &[IAC, SB, COM_PORT, 1, 0, 1, 0xC2, 0, IAC, SE],
            b"c",
            &[IAC, SB, COM_PORT, 5, 8, IAC, SE],
            &[IAC, SB, COM_PORT, 5, 12, IAC, SE],
        ]
        .concat();
        for cut in 0..stream.len() {
            let mut protocol = Protocol::default();
            let (mut inputs, mut replies) = protocol.feed(&stream[..cut]);
            let rest = protocol.feed(&stream[cut..]);
            inputs.extend(rest.0);
            replies.extend(rest.1);
            let data: Vec<u8> = inputs
                .iter()
                .filter_map(|i| if let Input::Data(d) = i { Some(d.clone()) } else { None })
                .flatten()
                .collect();
            assert_eq!(data, b"ab\xffc");
            inputs.retain(|i| !matches!(i, Input::Data(_)));
            assert_eq!(inputs, [Input::Baud(115_200), Input::Dtr(true), Input::Rts(false)]);
            assert_eq!(replies[..10], [IAC, SB, COM_PORT, 101, 0, 1, 0xC2, 0, IAC, SE]);
        }
    }

    #[test]
    fn options_are_agreed_once_and_unknown_ones_refused() {
        let mut protocol = Protocol::default();
        assert_eq!(protocol.feed(&[IAC, DO, COM_PORT]).1, [IAC, WILL, COM_PORT]);
        assert!(protocol.feed(&[IAC, DO, COM_PORT]).1.is_empty(), "no loop of agreements");
        assert_eq!(protocol.feed(&[IAC, DO, 99]).1, [IAC, WONT, 99]);
    }

    #[test]
    fn a_client_that_floods_or_vanishes_harms_nobody() {
        let (serial, address) = Serial::rfc2217("127.0.0.1:0".parse().unwrap()).unwrap();
        for _ in 0..3 {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(&[IAC, SB]).unwrap();
            client.write_all(&[7; 100_000]).unwrap();
            drop(client);
            assert_eq!(serial.receive(Duration::from_secs(5)), Some(Input::Connected));
            assert_eq!(serial.receive(Duration::from_secs(5)), Some(Input::Disconnected));
            serial.send(b"nobody is there");
        }
    }

    #[test]
    fn garbage_of_telnet_is_survived() {
        let mut state = 1u32;
        let mut protocol = Protocol::default();
        for _ in 0..10_000 {
            let bytes: Vec<u8> = (0..50)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Codes more often than chance has them.
                    if state >> 31 == 0 { (state >> 16) as u8 } else { 240 | (state >> 20) as u8 }
                })
                .collect();
            let (_, replies) = protocol.feed(&bytes);
            assert!(replies.len() <= 4 * bytes.len() + 200, "no flood in return");
        }
        // And then a command is understood again.
        protocol.feed(&[0, IAC, SE, 0]);
        let (inputs, _) = protocol.feed(&[IAC, SB, COM_PORT, 5, 8, IAC, SE]);
        assert_eq!(inputs, [Input::Dtr(true)]);
    }

    #[test]
    fn a_pty_tells_any_speed_to_who_only_listens() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("port");
        let serial = Serial::pty(&link).unwrap();
        assert_eq!(serial.receive(Duration::ZERO), Some(Input::Baud(115_200)));
        let host = std::fs::OpenOptions::new().read(true).write(true).open(&link).unwrap();
        let mut settings = MaybeUninit::<libc::termios2>::zeroed();
        // SAFETY: both ioctls take one termios2, and the descriptor is open.
        let done = unsafe {
            let got = libc::ioctl(host.as_raw_fd(), libc::TCGETS2, settings.as_mut_ptr());
            let settings = settings.assume_init_mut();
            settings.c_cflag = settings.c_cflag & !libc::CBAUD | libc::BOTHER;
            (settings.c_ispeed, settings.c_ospeed) = (74_880, 74_880);
            (got, libc::ioctl(host.as_raw_fd(), libc::TCSETS2, settings))
        };
        assert_eq!(done, (0, 0));
        assert_eq!(serial.receive(Duration::ZERO), Some(Input::Baud(74_880)));
        assert_eq!(serial.receive(Duration::ZERO), None);
    }

    #[test]
    fn a_pty_works_both_ways_and_never_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("port");
        let serial = Serial::pty(&link).unwrap();
        // Nobody reads: far more than it holds.
        for _ in 0..100 {
            serial.send(&[b'x'; 10_000]);
        }
        let mut host = std::fs::OpenOptions::new().read(true).write(true).open(&link).unwrap();
        let mut buffer = [0; 100_000];
        while host.read(&mut buffer).unwrap() == buffer.len() {}
        host.write_all(b"to the board").unwrap();
        let mut seen = Vec::new();
        while seen != b"to the board" {
            match serial.receive(Duration::from_secs(60)).expect("bytes") {
                Input::Data(bytes) => seen.extend(bytes),
                // The speed that its user set, told before the bytes.
                Input::Baud(_) => {}
                other => panic!("{other:?}"),
            }
        }
        serial.send(b"\xFFto the host\n");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\xFFto the host\n") {
            let count = host.read(&mut buffer).unwrap();
            seen.extend(&buffer[..count]);
        }
        drop(host);
        // Another board takes the link over; a file in its place stays.
        let _second = Serial::pty(&link).unwrap();
        std::fs::remove_file(&link).unwrap();
        std::fs::write(&link, "mine").unwrap();
        assert!(Serial::pty(&link).is_err());
        assert_eq!(std::fs::read(&link).unwrap(), b"mine");
        assert!(Serial::pty(&folder.path().join("no/such/folder")).is_err());
    }
}
