//! Servers that do what no good broker does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use certificates::Credential;
use cloud::client;
use cloud::pki::Pki;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::Stage;

/// Longest packet that a server here expects of the device, in bytes.
const PACKET_LIMIT: usize = 1024;

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// Serves every connection to a port of its own in a thread of its own; stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Hands each connection to `serve`, which ends when reading or writing fails.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(serve: impl Fn(TcpStream) -> Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the server's address");
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        let serve = Arc::new(serve);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if let Ok(clone) = stream.try_clone() {
                    let mut held = state.connections.lock().unwrap_or_else(PoisonError::into_inner);
                    held.push(clone);
                }
                let serve = Arc::clone(&serve);
                // What goes wrong here is what the device has made of this server: the test
                // looks at the device.
                std::thread::spawn(move || {
                    let end = stream.try_clone();
                    let _ = serve(stream);
                    if let Ok(end) = end {
                        let _ = end.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// A TLS server that hands each finished handshake to `serve`.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn tls(
        config: ServerConfig,
        serve: impl Fn(&mut Session) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::tls_with_early(config, &[], serve)
    }

    /// The same, with bytes that are sent together with the end of the handshake.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn tls_with_early(
        config: ServerConfig,
        early: &'static [u8],
        serve: impl Fn(&mut Session) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        Self::start(move |stream| serve(&mut Session::accept(&config, stream, early)?))
    }

    /// Between devices and the stage's broker: joins what the broker says into records of up to 16 KB, as
    /// AWS IoT does. The second value is the content length in bytes of the longest record sent on a
    /// connection that has ended.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[must_use]
    pub fn joining(stage: &Stage) -> (Self, Arc<AtomicUsize>) {
        let to_broker = stage.rival_options();
        let client = Arc::new(client::tls_config(&to_broker).expect("the PKI's certificates"));
        let longest = Arc::new(AtomicUsize::new(0));
        let longest_seen = Arc::clone(&longest);
        let pki = &stage.cloud.pki;
        let server = Self::tls(tls_config(pki, &pki.server), move |session| {
            let name = to_broker.host.clone().try_into()?;
            let connection = ClientConnection::new(Arc::clone(&client), name)?;
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, to_broker.port))?;
            stream.set_nodelay(true)?;
            let end = session.pass_on(StreamOwned::new(connection, stream));
            longest_seen.fetch_max(session.longest_record(), Ordering::AcqRel);
            end
        });
        (server, longest)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        let held = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in held.iter() {
            // Ends the thread that serves it.
            let _ = connection.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Reads until the device gives up, and answers nothing.
///
/// # Errors
/// When the connection breaks.
pub fn stay_silent(mut stream: TcpStream) -> Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}

/// TLS as the local broker has it: TLS 1.2, with the device's certificate demanded.
///
/// # Panics
/// When the PKI is unusable.
#[must_use]
pub fn tls_config(pki: &Pki, server: &Credential) -> ServerConfig {
    tls_config_for(pki.clients.certificate(), server)
}

/// As [`tls_config`], for devices with certificates of this authority.
///
/// # Panics
/// When a certificate is unusable.
#[must_use]
pub fn tls_config_for(clients: &CertificateDer<'static>, server: &Credential) -> ServerConfig {
    tls_config_of(ring::default_provider(), clients, server)
}

/// As [`tls_config_for`], with these ciphers.
///
/// # Panics
/// When a certificate is unusable.
#[must_use]
pub fn tls_config_of(
    provider: CryptoProvider,
    clients: &CertificateDer<'static>,
    server: &Credential,
) -> ServerConfig {
    let attempt = || -> Result<ServerConfig> {
        let provider = Arc::new(provider);
        let mut authorities = RootCertStore::empty();
        authorities.add(clients.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(authorities),
            Arc::clone(&provider),
        )
        .build()?;
        // Without a look at whether they belong together: a test may want that they do not.
        let key = provider.key_provider.load_private_key(server.key.clone_key())?;
        let certified = CertifiedKey::new(server.chain.clone(), key);
        Ok(ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
    };
    attempt().expect("a TLS configuration")
}

/// An MQTT server's side of one TLS connection.
#[derive(Debug)]
pub struct Session {
    tls: StreamOwned<ServerConnection, Tap>,
}

impl Session {
    fn accept(config: &Arc<ServerConfig>, stream: TcpStream, early: &[u8]) -> Result<Self> {
        stream.set_nodelay(true)?;
        let tap = Tap { stream, header: Vec::new(), left: 0, longest: 0, forged: false, cut: None };
        let mut connection = ServerConnection::new(Arc::clone(config))?;
        // Held back until there are keys, then in one write with the server's Finished.
        connection.writer().write_all(early)?;
        let mut tls = StreamOwned::new(connection, tap);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self { tls })
    }

    /// The host name that the device named (SNI).
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.tls.conn.server_name().map(str::to_owned)
    }

    /// The protocol that was agreed on by ALPN.
    #[must_use]
    pub fn protocol(&self) -> Option<Vec<u8>> {
        self.tls.conn.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// Content length in bytes of the longest record sent.
    #[must_use]
    pub fn longest_record(&self) -> usize {
        self.tls.sock.longest
    }

    /// The next packet's type (the upper half of its first byte) and content.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        self.packet().map(|(first, body)| (first >> 4, body))
    }

    /// The next packet's first byte, which has its flags, and content.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn packet(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut byte = || -> Result<u8> {
            let mut byte = [0];
            self.tls.read_exact(&mut byte)?;
            Ok(byte[0])
        };
        let first = byte()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let next = byte()?;
            length |= usize::from(next & 0x7F) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
        if length > PACKET_LIMIT {
            bail!("the device sent a packet of {length} bytes");
        }
        let mut body = vec![0; length];
        self.tls.read_exact(&mut body)?;
        Ok((first, body))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.tls.write_all(bytes)?;
        Ok(self.tls.flush()?)
    }

    /// Sends bytes as one record whose tag is wrong.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send_forged(&mut self, bytes: &[u8]) -> Result<()> {
        self.tls.sock.forged = true;
        self.send(bytes)?;
        self.tls.sock.forged = false;
        Ok(())
    }

    /// Sends only the first bytes of a record with these.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send_cut(&mut self, bytes: &[u8], length: usize) -> Result<()> {
        self.tls.sock.cut = Some(length);
        self.send(bytes)
    }

    /// Passes packets on between the device and a broker, unread, until one of them ends. What the broker
    /// says is held back until it pauses, or is a record's fill, and goes in one record.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn pass_on(&mut self, mut broker: StreamOwned<ClientConnection, TcpStream>) -> Result<()> {
        for side in [&self.tls.sock.stream, &broker.sock] {
            side.set_read_timeout(Some(PAUSE))?;
        }
        let (mut joined, mut buffer) = (Vec::new(), [0; RECORD]);
        loop {
            let room = RECORD - joined.len();
            let paused = match read_until_pause(&mut broker, &mut buffer[..room])? {
                Some([]) => return Ok(()),
                Some(bytes) => {
                    joined.extend_from_slice(bytes);
                    joined.len() == RECORD
                }
                None => true,
            };
            if paused && !joined.is_empty() {
                self.send(&joined)?;
                joined.clear();
            }
            if paused {
                match read_until_pause(&mut self.tls, &mut buffer)? {
                    Some([]) => return Ok(()),
                    Some(bytes) => {
                        broker.write_all(bytes)?;
                        broker.flush()?;
                    }
                    None => {}
                }
            }
        }
    }

    /// Ends the connection in order: close_notify, then FIN.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn end(&mut self) -> Result<()> {
        self.tls.conn.send_close_notify();
        self.tls.flush()?;
        Ok(self.tls.sock.stream.shutdown(Shutdown::Write)?)
    }

    /// Takes the device's CONNECT and answers with a CONNACK of this code, no session present.
    ///
    /// # Errors
    /// When the device sends something else or nothing.
    pub fn welcome(&mut self, code: u8) -> Result<()> {
        self.welcome_back(false, code)
    }

    /// As [`Session::welcome`], with a session present or not.
    ///
    /// # Errors
    /// When the device sends something else or nothing.
    pub fn welcome_back(&mut self, session_present: bool, code: u8) -> Result<()> {
        match self.receive()? {
            (CONNECT, _) => self.send(&[CONNACK << 4, 2, session_present.into(), code]),
            (kind, _) => bail!("the device sent packet type {kind} before CONNECT"),
        }
    }

    /// Publishes to the device, at QoS 1 when there is a packet id.
    ///
    /// # Errors
    /// When the connection has ended.
    ///
    /// # Panics
    /// When the message is longer than a test needs.
    pub fn publish(&mut self, topic: &str, id: Option<u16>, payload: &[u8]) -> Result<()> {
        let mut body = u16::try_from(topic.len())?.to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(id.into_iter().flat_map(u16::to_be_bytes));
        body.extend(payload);
        assert!(body.len() < 128, "one length byte");
        let first = PUBLISH << 4 | u8::from(id.is_some()) << 1;
        self.send(&[&[first, body.len() as u8], &body[..]].concat())
    }

    /// Serves as a broker would, until the connection ends: acknowledges what comes and
    /// delivers nothing.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn serve(&mut self) -> Result<()> {
        loop {
            self.answer(1)?;
        }
    }

    /// Serves until the device has subscribed, which is answered with this SUBACK code. A
    /// device that has been here before first sends what was not acknowledged then.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn serve_until_subscribed(&mut self, code: u8) -> Result<()> {
        while self.answer(code)? != SUBSCRIBE {}
        Ok(())
    }

    /// Takes a packet and answers it, a SUBSCRIBE with this code; returns its type.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn answer(&mut self, suback: u8) -> Result<u8> {
        let (kind, body) = self.receive()?;
        self.answer_to(kind, &body, suback)?;
        Ok(kind)
    }

    /// Answers a packet of this type and content, a SUBSCRIBE with this code.
    ///
    /// # Errors
    /// When the connection has ended, or a broker gets no such packet.
    pub fn answer_to(&mut self, kind: u8, body: &[u8], suback: u8) -> Result<()> {
        match kind {
            PUBLISH => {
                let (length, rest) = body.split_first_chunk().context("no topic")?;
                let topic = usize::from(u16::from_be_bytes(*length));
                let id = rest.get(topic..topic + 2).context("no packet id")?;
                self.send(&[PUBACK << 4, 2, id[0], id[1]])?;
            }
            SUBSCRIBE => {
                let id = body.get(..2).context("no packet id")?;
                self.send(&[SUBACK << 4, 3, id[0], id[1], suback])?;
            }
            PINGREQ => self.send(&[PINGRESP << 4, 0])?,
            // Of what a test has published.
            PUBACK => {}
            kind => bail!("the device sent packet type {kind}"),
        }
        Ok(())
    }
}

/// How long a broker is silent until what it said goes out.
const PAUSE: Duration = Duration::from_millis(20);
/// Most bytes of content in a TLS record (RFC 5246, section 6.2.1).
const RECORD: usize = 1 << 14;

/// What has come, none of it at the end; `None` after a [`PAUSE`].
fn read_until_pause<'a>(
    from: &mut impl Read,
    buffer: &'a mut [u8],
) -> std::io::Result<Option<&'a [u8]>> {
    match from.read(buffer) {
        Ok(length) => Ok(Some(&buffer[..length])),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Packet types (MQTT 3.1.1, table 2.1).
pub const CONNECT: u8 = 1;
/// Answers CONNECT.
pub const CONNACK: u8 = 2;
/// A message, either way.
pub const PUBLISH: u8 = 3;
/// Answers PUBLISH at QoS 1.
pub const PUBACK: u8 = 4;
/// Asks for the messages of a topic.
pub const SUBSCRIBE: u8 = 8;
/// Answers SUBSCRIBE.
pub const SUBACK: u8 = 9;
/// A sign of life.
pub const PINGREQ: u8 = 12;
/// Answers PINGREQ.
pub const PINGRESP: u8 = 13;

/// Length of a TLS record's header in bytes.
const RECORD_HEADER: usize = 5;

/// A stream that notes how long the records are that it sends, and may spoil them.
#[derive(Debug)]
struct Tap {
    stream: TcpStream,
    /// What has been sent of the current record's header.
    header: Vec<u8>,
    /// Bytes of the current record that are still to come.
    left: usize,
    longest: usize,
    /// Change the last byte of each write, which is a record.
    forged: bool,
    /// Of the next record only so many bytes are sent.
    cut: Option<usize>,
}

impl Tap {
    fn note(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let step = self.left.min(bytes.len());
                self.left -= step;
                bytes = &bytes[step..];
                continue;
            }
            self.header.push(*first);
            bytes = &bytes[1..];
            if self.header.len() == RECORD_HEADER {
                self.left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
                self.longest = self.longest.max(self.left);
                self.header.clear();
            }
        }
    }
}

impl Read for Tap {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Tap {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if let Some(length) = self.cut.take() {
            self.stream.write_all(&buffer[..length])?;
            return Ok(buffer.len());
        }
        if self.forged {
            let mut spoilt = buffer.to_vec();
            if let Some(last) = spoilt.last_mut() {
                *last ^= 1;
            }
            self.stream.write_all(&spoilt)?;
            return Ok(buffer.len());
        }
        let written = self.stream.write(buffer)?;
        self.note(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

/// Sends `bytes` one at a time, one a second, until the connection ends.
///
/// # Errors
/// When it has ended.
pub fn trickle(mut stream: TcpStream, bytes: impl IntoIterator<Item = u8>) -> Result<()> {
    stream.set_nodelay(true)?;
    for byte in bytes {
        stream.write_all(&[byte])?;
        std::thread::sleep(Duration::from_secs(1));
    }
    stay_silent(stream)
}
