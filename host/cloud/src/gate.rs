//! The broker's door for a thing that was provisioned on AWS.
//!
//! Who signs AWS's device certificates is nowhere to be had, so Mosquitto, which knows devices
//! by their authority, cannot take one. This gate does: it demands the one certificate that the
//! thing has, with its key, and passes what is inside on to the broker as the same thing of the
//! local PKI. Towards the device it presents the name that the identity has, and it agrees on
//! AWS's protocol when the device offers it (ALPN).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};

use x509_parser::prelude::{FromDer, X509Certificate};

use certificates::Credential;

/// AWS IoT's name of MQTT where several protocols share a port.
const ALPN_MQTT: &[u8] = b"x-amzn-mqtt-ca";

/// The signature of a P-256 key, the only kind that a device has.
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// How often a connection looks whether it shall end, in milliseconds.
const POLL_MS: u8 = 100;

/// What a gate needs.
#[derive(Debug)]
pub struct GateOptions {
    /// Shown to the device.
    pub server: Credential,
    /// The only client certificate that is let in.
    pub device: CertificateDer<'static>,
    /// The broker's port on 127.0.0.1.
    pub broker_port: u16,
    /// The root of the broker's certificate, which must be good for 127.0.0.1.
    pub broker_root: CertificateDer<'static>,
    /// As whom the broker knows the device.
    pub broker_client: Credential,
    /// Hears of each MQTT connection that the broker has accepted.
    pub connected: Option<Sender<()>>,
}

/// A running gate; stops when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    /// Opens a gate on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When a certificate is unusable or there is no port.
    pub fn start(options: GateOptions) -> Result<Self> {
        let provider = Arc::new(provider::default_provider());
        let inner = client_config(&options, &provider)?;
        let outer = server_config(options, &provider)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free TCP port")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let log = Arc::new(Mutex::new(Vec::new()));
        let acceptor = std::thread::spawn({
            let (stop, log) = (Arc::clone(&stop), Arc::clone(&log));
            move || accept(&listener, &outer, &inner, &stop, &log)
        });
        Ok(Self { address, stop, acceptor: Some(acceptor), log })
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Why connections have ended so far, the orderly ones left out.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// The side of the gate that the broker sees.
struct Inner {
    config: Arc<ClientConfig>,
    port: u16,
    connected: Option<Sender<()>>,
}

fn client_config(options: &GateOptions, provider: &Arc<CryptoProvider>) -> Result<Inner> {
    let mut roots = RootCertStore::empty();
    roots.add(options.broker_root.clone())?;
    let client = &options.broker_client;
    let config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_client_auth_cert(client.chain.clone(), client.key.clone_key())?;
    let connected = options.connected.clone();
    Ok(Inner { config: Arc::new(config), port: options.broker_port, connected })
}

fn server_config(
    options: GateOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>> {
    let (_, parsed) = X509Certificate::from_der(&options.device)?;
    let point = parsed.public_key().subject_public_key.data.to_vec();
    let verifier = Pinned { certificate: options.device, point };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(options.server.chain, options.server.key)?;
    config.alpn_protocols = vec![ALPN_MQTT.to_vec()];
    Ok(Arc::new(config))
}

/// Lets one certificate in, whoever has signed it; the client proves in the handshake that it
/// has the key.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    /// Its public key.
    point: Vec<u8>,
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if signature.scheme != SCHEME {
            return Err(CertificateError::BadSignature.into());
        }
        // Not by rustls's own function, which refuses X.509 version 1: the certificate is
        // the thing's, whatever an authority has made of it.
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point)
            .verify(message, signature.signature())
            .map_err(|_| CertificateError::BadSignature)?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // TLS 1.3 is not offered.
        Err(CertificateError::BadSignature.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SCHEME]
    }
}

fn accept(
    listener: &TcpListener,
    outer: &Arc<ServerConfig>,
    inner: &Inner,
    stop: &Arc<AtomicBool>,
    log: &Arc<Mutex<Vec<String>>>,
) {
    for device in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let sides = device.map_err(anyhow::Error::from).and_then(|device| {
            // A device finds a broker that is down as it would without a gate: closed.
            let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, inner.port))?;
            let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
            Ok([
                Side::new(ServerConnection::new(Arc::clone(outer))?.into(), device)?,
                Side::new(ClientConnection::new(Arc::clone(&inner.config), name)?.into(), broker)?,
            ])
        });
        let (stop, log) = (Arc::clone(stop), Arc::clone(log));
        let consent = Consent { begun: Vec::new(), connected: inner.connected.clone() };
        std::thread::spawn(move || {
            if let Err(error) = sides.and_then(|sides| carry(sides, &stop, consent)) {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            }
        });
    }
}

/// One TLS connection of the two that a gate joins.
struct Side {
    tls: Connection,
    stream: TcpStream,
    over: bool,
}

impl Side {
    fn new(tls: Connection, stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { tls, stream, over: false })
    }

    /// Sends and receives what can be without waiting, and returns what has come.
    fn turn(&mut self) -> Result<Vec<u8>> {
        while !self.over && self.tls.wants_read() {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => self.over = true,
                Ok(_) => {
                    let state = self.tls.process_new_packets();
                    if state.is_err() {
                        // The alert that says why.
                        let _ = self.tls.write_tls(&mut self.stream);
                    }
                    self.over |= state?.peer_has_closed();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.over = true,
            }
        }
        let mut plain = Vec::new();
        // An end without a farewell is an error of TLS and an ordinary event here.
        match self.tls.reader().read_to_end(&mut plain) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.over = true,
            _ => {}
        }
        Ok(plain)
    }

    fn flush(&mut self) {
        while !self.over && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.over = true,
            }
        }
    }

    fn interest(&self) -> PollFlags {
        if self.tls.wants_write() {
            PollFlags::POLLIN | PollFlags::POLLOUT
        } else {
            PollFlags::POLLIN
        }
    }
}

/// CONNACK, the first packet that a broker sends: its type and length, then the flags, then 0
/// for consent.
const CONNACK: [u8; 2] = [0x20, 2];
const CONNACK_LENGTH: usize = 4;

/// Looks for the broker's consent to a connection.
struct Consent {
    begun: Vec<u8>,
    connected: Option<Sender<()>>,
}

impl Consent {
    /// Looks at what the broker has sent; tells of its consent once.
    fn look(&mut self, bytes: &[u8]) {
        if self.connected.is_none() {
            return;
        }
        let missing = CONNACK_LENGTH - self.begun.len();
        self.begun.extend(bytes.iter().take(missing));
        if self.begun.len() < CONNACK_LENGTH {
            return;
        }
        let connected = self.connected.take();
        if self.begun.starts_with(&CONNACK)
            && self.begun[CONNACK_LENGTH - 1] == 0
            && let Some(connected) = connected
        {
            // Nobody listens any more: the cloud is stopping.
            let _ = connected.send(());
        }
    }
}

/// Passes bytes between both sides until one of them ends.
fn carry(
    [mut device, mut broker]: [Side; 2],
    stop: &AtomicBool,
    mut consent: Consent,
) -> Result<()> {
    while !device.over && !broker.over && !stop.load(Ordering::Acquire) {
        let from_device = device.turn().context("the device's TLS")?;
        let from_broker = broker.turn().context("the broker's TLS")?;
        consent.look(&from_broker);
        broker.tls.writer().write_all(&from_device)?;
        device.tls.writer().write_all(&from_broker)?;
        device.flush();
        broker.flush();
        let mut both = [
            PollFd::new(device.stream.as_fd(), device.interest()),
            PollFd::new(broker.stream.as_fd(), broker.interest()),
        ];
        poll(&mut both, PollTimeout::from(POLL_MS))?;
    }
    for side in [&mut device, &mut broker] {
        side.tls.send_close_notify();
        side.flush();
        let _ = side.stream.shutdown(Shutdown::Both);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn the_brokers_consent_is_heard_of_once_and_a_refusal_never() {
        let heard = |parts: &[&[u8]]| {
            let (sender, receiver) = channel();
            let mut consent = Consent { begun: Vec::new(), connected: Some(sender) };
            parts.iter().for_each(|part| consent.look(part));
            drop(consent);
            receiver.iter().count()
        };
        assert_eq!(heard(&[&[0x20, 2, 0, 0]]), 1);
        // A kept session; cut anywhere; with more behind it.
        assert_eq!(heard(&[&[0x20], &[2, 1], &[0, 0x90, 3], &[0x20, 2, 0, 0]]), 1);
        assert_eq!(heard(&[&[0x20, 2, 0, 5]]), 0);
        assert_eq!(heard(&[&[0x20, 2, 0], &[]]), 0);
    }
}
