//! A board's serial line: a device of this machine, or one behind TCP (RFC 2217, or plain).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long a read waits before it says that nothing came.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a server may take to answer what is agreed upon at the start (RFC 2217). One that
/// serves somebody else does not answer at all.
const ANSWER: Duration = Duration::from_secs(3);

/// A line that can be read, with the two signals that reset a board.
pub trait Line: Read + Send {
    /// Changes the rate: bits per second.
    ///
    /// # Errors
    /// When the line is gone or cannot do that.
    fn set_baud(&mut self, baud: u32) -> io::Result<()>;

    /// Drives DTR (GPIO0 of a board with automatic reset: asserted is low).
    ///
    /// # Errors
    /// When the line is gone.
    fn set_dtr(&mut self, asserted: bool) -> io::Result<()>;

    /// Drives RTS (the reset of such a board: asserted is reset).
    ///
    /// # Errors
    /// When the line is gone.
    fn set_rts(&mut self, asserted: bool) -> io::Result<()>;
}

/// Opens `port`: a device, `rfc2217://host:port` or `socket://host:port`.
///
/// # Errors
/// When it cannot be opened.
pub fn open(port: &str, baud: u32) -> Result<Box<dyn Line>> {
    let network = |address: &str, protocol| -> Result<Box<dyn Line>> {
        let address = address.split('?').next().unwrap_or(address);
        let stream = TcpStream::connect(address).with_context(|| {
            format!("nothing listens at {address}: is the board, or what stands for it, running?")
        })?;
        let line = Network::new(stream, protocol, baud)
            .with_context(|| format!("cannot talk to {address}"))?;
        Ok(Box::new(line))
    };
    match port.split_once("://") {
        Some(("rfc2217", address)) => network(address, Protocol::Rfc2217),
        Some(("socket", address)) => network(address, Protocol::Plain),
        _ => {
            let device = serialport::new(port, baud).timeout(PATIENCE).open();
            Ok(Box::new(device.with_context(|| format!("cannot open {port}"))?))
        }
    }
}

/// A serial port of this machine.
impl Line for Box<dyn serialport::SerialPort> {
    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        Ok(self.set_baud_rate(baud)?)
    }

    fn set_dtr(&mut self, asserted: bool) -> io::Result<()> {
        Ok(self.write_data_terminal_ready(asserted)?)
    }

    fn set_rts(&mut self, asserted: bool) -> io::Result<()> {
        Ok(self.write_request_to_send(asserted)?)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Plain,
    Rfc2217,
}

/// Telnet (RFC 854) and its COM port option (RFC 2217), as far as a monitor needs them.
mod telnet {
    pub const IAC: u8 = 255;
    pub const DO: u8 = 253;
    pub const WILL: u8 = 251;
    pub const DONT: u8 = 254;
    pub const SB: u8 = 250;
    pub const SE: u8 = 240;
    pub const BINARY: u8 = 0;
    pub const SUPPRESS_GO_AHEAD: u8 = 3;
    pub const COM_PORT: u8 = 44;
    pub const SET_BAUD_RATE: u8 = 1;
    pub const SET_CONTROL: u8 = 5;
    pub const DTR_ON: u8 = 8;
    pub const DTR_OFF: u8 = 9;
    pub const RTS_ON: u8 = 11;
    pub const RTS_OFF: u8 = 12;
}

/// Where the reader is in Telnet's byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    Command,
    Option,
    Sub,
    SubCommand,
}

struct Network {
    stream: TcpStream,
    protocol: Protocol,
    state: State,
    /// Until when it must have answered, if it has not.
    answer_due: Option<Instant>,
}

impl Network {
    fn new(stream: TcpStream, protocol: Protocol, baud: u32) -> io::Result<Self> {
        use telnet::{BINARY, COM_PORT, DO, IAC, SUPPRESS_GO_AHEAD, WILL};
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let answer_due = (protocol == Protocol::Rfc2217).then(|| Instant::now() + ANSWER);
        let mut line = Self { stream, protocol, state: State::Data, answer_due };
        if protocol == Protocol::Rfc2217 {
            for (verb, option) in [
                (WILL, COM_PORT),
                (DO, BINARY),
                (WILL, BINARY),
                (DO, SUPPRESS_GO_AHEAD),
                (WILL, SUPPRESS_GO_AHEAD),
            ] {
                line.stream.write_all(&[IAC, verb, option])?;
            }
            line.set_baud(baud)?;
        }
        Ok(line)
    }

    fn com_port(&mut self, command: u8, value: &[u8]) -> io::Result<()> {
        use telnet::{COM_PORT, IAC, SB, SE};
        if self.protocol == Protocol::Plain {
            return Ok(());
        }
        let mut bytes = vec![IAC, SB, COM_PORT, command];
        for &byte in value {
            bytes.push(byte);
            if byte == IAC {
                bytes.push(IAC);
            }
        }
        bytes.extend([IAC, SE]);
        self.stream.write_all(&bytes)
    }

    /// Keeps the data of `buffer[..length]`, in its place; how much that is.
    fn strip(&mut self, buffer: &mut [u8], length: usize) -> usize {
        let mut kept = 0;
        for i in 0..length {
            let byte = buffer[i];
            let mut data = false;
            self.state = match (self.state, byte) {
                (State::Data, telnet::IAC) => State::Command,
                (State::Data, _) => {
                    data = true;
                    State::Data
                }
                (State::Command, telnet::IAC) => {
                    data = true;
                    State::Data
                }
                (State::Command, telnet::SB) => State::Sub,
                (State::Command, telnet::WILL..=telnet::DONT) => State::Option,
                (State::Command | State::Option, _) => State::Data,
                (State::Sub, telnet::IAC) => State::SubCommand,
                (State::Sub, _) => State::Sub,
                (State::SubCommand, telnet::SE) => State::Data,
                (State::SubCommand, _) => State::Sub,
            };
            if data {
                buffer[kept] = byte;
                kept += 1;
            }
        }
        kept
    }
}

impl Read for Network {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = match self.stream.read(buffer) {
                Err(_) if self.answer_due.is_some_and(|due| Instant::now() > due) => {
                    return Err(io::Error::other("it does not answer"));
                }
                result => result?,
            };
            self.answer_due = None;
            if self.protocol == Protocol::Plain || length == 0 {
                return Ok(length);
            }
            let kept = self.strip(buffer, length);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl Line for Network {
    fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        self.com_port(telnet::SET_BAUD_RATE, &baud.to_be_bytes())
    }

    fn set_dtr(&mut self, asserted: bool) -> io::Result<()> {
        let value = if asserted { telnet::DTR_ON } else { telnet::DTR_OFF };
        self.com_port(telnet::SET_CONTROL, &[value])
    }

    fn set_rts(&mut self, asserted: bool) -> io::Result<()> {
        let value = if asserted { telnet::RTS_ON } else { telnet::RTS_OFF };
        self.com_port(telnet::SET_CONTROL, &[value])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// What the other side of an RFC 2217 line received, and what the line read.
    fn talk(sent: &[u8], act: impl FnOnce(&mut dyn Line)) -> (Vec<u8>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("rfc2217://{}", listener.local_addr().unwrap());
        let sent = sent.to_vec();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // In pieces, so that commands are cut apart.
            for piece in sent.chunks(2) {
                stream.write_all(piece).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        });
        let mut line = open(&port, 115_200).unwrap();
        act(&mut *line);
        let mut read = Vec::new();
        line.read_to_end(&mut read).unwrap();
        drop(line);
        (server.join().unwrap(), read)
    }

    #[test]
    fn commands_are_taken_out_of_the_data() {
        let sent = b"a\xFF\xFD\x2Cb\xFF\xFA\x2C\x65\x00\xFF\xFF\x01\xFF\xF0c\xFF\xFFd\xFF\xF1e";
        assert_eq!(talk(sent, |_| ()).1, b"abc\xFFde");
    }

    #[test]
    fn rate_and_signals_are_told() {
        let (heard, _) = talk(b"", |line| {
            line.set_dtr(false).unwrap();
            line.set_rts(true).unwrap();
            // A rate with a byte 0xFF in it, which has to be doubled.
            line.set_baud(0x1_FF80).unwrap();
        });
        let tail = b"\xFF\xFA\x2C\x01\x00\x01\xC2\x00\xFF\xF0\
                     \xFF\xFA\x2C\x05\x09\xFF\xF0\xFF\xFA\x2C\x05\x0B\xFF\xF0\
                     \xFF\xFA\x2C\x01\x00\x01\xFF\xFF\x80\xFF\xF0";
        assert!(heard.ends_with(tail), "{heard:02x?}");
        assert!(heard.starts_with(b"\xFF\xFB\x2C"), "{heard:02x?}");
    }

    #[test]
    fn one_that_serves_somebody_else_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("rfc2217://{}", listener.local_addr().unwrap());
        let mut line = open(&port, 115_200).unwrap();
        let error = loop {
            match line.read(&mut [0; 8]) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {}
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(error.to_string(), "it does not answer");
    }

    #[test]
    fn nobody_there_is_said() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = open(&format!("rfc2217://{free}"), 115_200).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("nothing listens"), "{error}");
    }
}
