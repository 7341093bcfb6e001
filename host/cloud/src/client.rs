//! An MQTT client on this machine: the operator, and test clients that act as devices.

use std::collections::VecDeque;
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rumqttc::{
    Client, Connection, Event, Incoming, LastWill, MqttOptions, Outgoing, QoS, TlsConfiguration,
    Transport,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use certificates::Credential;

use crate::pki::{OPERATOR, Pki};

/// How long the broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The broker's host name; its certificate must have it.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// What the broker's certificate is checked against.
    pub roots: Vec<CertificateDer<'static>>,
    /// Who connects; `None` shows no certificate.
    pub credential: Option<Credential>,
    /// MQTT client id.
    pub client_id: String,
    /// Keep-alive in seconds.
    pub keep_alive_s: u64,
    /// Whether the broker forgets the session afterwards.
    pub clean_session: bool,
    /// Topic and payload of a last will.
    pub last_will: Option<(String, Vec<u8>)>,
}

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it.
    pub retained: bool,
}

#[derive(Debug)]
enum Happening {
    Connected,
    Subscribed,
    Acknowledged,
    Message(Message),
    Closed(anyhow::Error),
}

/// A connected client; disconnects when dropped.
pub struct MqttClient {
    client: Client,
    happenings: Receiver<Happening>,
    /// Messages that came while something else was awaited.
    waiting: VecDeque<Message>,
    thread: Option<JoinHandle<()>>,
}

impl MqttClient {
    /// Connects and waits for the broker's consent.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub fn connect(options: &ClientOptions) -> Result<Self> {
        let mut mqtt = MqttOptions::new(&options.client_id, &options.host, options.port);
        mqtt.set_keep_alive(Duration::from_secs(options.keep_alive_s))
            .set_clean_session(options.clean_session)
            // The broker's limit is the payload's; a topic and a header come on top.
            .set_max_packet_size(256 * 1024, 256 * 1024)
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls_config(
                options,
            )?))));
        if let Some((topic, payload)) = &options.last_will {
            mqtt.set_last_will(LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, false));
        }
        let (client, connection) = Client::new(mqtt, 64);
        let (sender, happenings) = channel();
        let thread = std::thread::Builder::new()
            .name("mqtt-client".to_owned())
            .spawn(move || drive(connection, &sender))
            .context("cannot start the MQTT thread")?;
        let mut this = Self { client, happenings, waiting: VecDeque::new(), thread: Some(thread) };
        this.await_answer("accept the connection", &Happening::Connected)?;
        Ok(this)
    }

    /// Subscribes at QoS 1 and waits for the broker's consent.
    ///
    /// # Errors
    /// When the broker refuses or the connection ends.
    pub fn subscribe(&mut self, filter: &str) -> Result<()> {
        self.client.subscribe(filter, QoS::AtLeastOnce)?;
        self.await_answer(&format!("accept the subscription of {filter}"), &Happening::Subscribed)
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    ///
    /// # Errors
    /// When none comes.
    pub fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Result<()> {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload)?;
        self.await_answer(&format!("acknowledge the message to {topic}"), &Happening::Acknowledged)
    }

    /// Publishes at another QoS without waiting for anything.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn publish_unwatched(&mut self, topic: &str, payload: &[u8], qos: QoS) -> Result<()> {
        Ok(self.client.publish(topic, qos, false, payload)?)
    }

    /// The next message; `None` when `limit` passes first.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn next(&mut self, limit: Duration) -> Result<Option<Message>> {
        if let Some(message) = self.waiting.pop_front() {
            return Ok(Some(message));
        }
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.happenings.recv_timeout(left) {
                Ok(Happening::Message(message)) => return Ok(Some(message)),
                Ok(Happening::Closed(why)) => return Err(why),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("the connection has ended"),
            }
        }
    }

    /// Waits until the broker closes the connection and says why.
    ///
    /// # Errors
    /// When the connection still stands after `limit`.
    pub fn closed(&mut self, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.happenings.recv_timeout(left) {
                Ok(Happening::Closed(why)) => return Ok(format!("{why:#}")),
                Ok(Happening::Message(message)) => self.waiting.push_back(message),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("still connected after {} s", limit.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => return Ok("already closed".to_owned()),
            }
        }
    }

    fn await_answer(&mut self, what: &str, wanted: &Happening) -> Result<()> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.happenings.recv_timeout(left) {
                Ok(happening) if discriminant(&happening) == discriminant(wanted) => return Ok(()),
                Ok(Happening::Message(message)) => self.waiting.push_back(message),
                Ok(Happening::Closed(why)) => {
                    return Err(why.context(format!("the broker did not {what}")));
                }
                Ok(_) => {}
                Err(_) => bail!("the broker did not {what} within {} s", ANSWER_LIMIT.as_secs()),
            }
        }
    }
}

impl std::fmt::Debug for MqttClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttClient").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Drop for MqttClient {
    fn drop(&mut self) {
        // Both fail only when the connection has ended already.
        let _ = self.client.disconnect();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Turns the library's events into ours until the connection ends. The library would
/// connect again by itself; whoever uses this client wants to know instead.
fn drive(mut connection: Connection, sender: &Sender<Happening>) {
    for event in connection.iter() {
        let happening = match event {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => Happening::Connected,
            Ok(Event::Incoming(Incoming::SubAck(answer))) => {
                use rumqttc::SubscribeReasonCode::Failure;
                if answer.return_codes.contains(&Failure) {
                    Happening::Closed(anyhow!("subscription refused"))
                } else {
                    Happening::Subscribed
                }
            }
            Ok(Event::Incoming(Incoming::PubAck(_))) => Happening::Acknowledged,
            Ok(Event::Incoming(Incoming::Publish(message))) => Happening::Message(Message {
                topic: message.topic,
                payload: message.payload.to_vec(),
                retained: message.retain,
            }),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => return,
            Ok(_) => continue,
            Err(error) => Happening::Closed(error.into()),
        };
        let over = matches!(happening, Happening::Closed(_));
        if sender.send(happening).is_err() || over {
            return;
        }
    }
}

/// TLS as such a client has it.
///
/// # Errors
/// When a certificate or the key is unusable.
pub fn tls_config(options: &ClientOptions) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in &options.roots {
        roots.add(root.clone())?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
    Ok(match &options.credential {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
    })
}

/// How the operator connects. The client id is the process's own: two terminals do not
/// push each other out.
#[must_use]
pub fn operator_options(pki: &Pki, port: u16) -> ClientOptions {
    ClientOptions {
        host: "127.0.0.1".to_owned(),
        port,
        roots: vec![pki.root.certificate().clone()],
        credential: Some(pki.operator.clone()),
        client_id: unique_client_id(OPERATOR),
        keep_alive_s: 30,
        clean_session: true,
        last_will: None,
    }
}

/// A client id that no other client of this machine has.
fn unique_client_id(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{stem}-{}-{count}", std::process::id())
}
