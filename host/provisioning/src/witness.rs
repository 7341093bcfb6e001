//! Seeing a device connect with a certain certificate.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::Certificate;
use certificates::Credential;
use cloud::client::operator_options;
use cloud::client::{ClientOptions, MqttClient};
use cloud::pki::Pki;
use cloud::presence::{self, Event};
use cloud::running::Running;

/// Amazon's roots, as in the firmware.
const ROOTS: [&str; 2] = [
    include_str!("../../../certs/amazon-root-ca-1.pem"),
    include_str!("../../../certs/amazon-root-ca-3.pem"),
];

/// Sees devices connect.
pub trait Witness {
    /// Begins to look, where there is something to do for that. Called before the device can have the
    /// new certificate.
    ///
    /// # Errors
    /// When looking is impossible.
    fn prepare(&mut self, _thing: &str) -> Result<()> {
        Ok(())
    }

    /// How the device gets its new identity.
    fn advice(&self, thing: &str) -> String;

    /// Waits until `thing` was seen connected with `certificate`; `false` when `limit` passes
    /// first. Another certificate, such as the old one, does not count.
    ///
    /// # Errors
    /// When looking becomes impossible.
    fn sees(&mut self, thing: &str, certificate: &Certificate, limit: Duration) -> Result<bool>;
}

/// Sees them by AWS IoT's presence events: they name the client, and the certificate that it
/// connected with.
pub struct PresenceEvents {
    options: ClientOptions,
    client: Option<MqttClient>,
}

/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_secs(2);

impl PresenceEvents {
    /// Looks on by a connection with these options.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self { options, client: None }
    }

    /// Looks on at an account's endpoint, with the pair in `folder`, by a client id that begins with
    /// `name` and is this one's own: AWS ends the older of two connections of one.
    pub(super) fn on_aws(endpoint: &str, name: &str, folder: &Path) -> Result<Self> {
        let mut own = [0; 4];
        SystemRandom::new().fill(&mut own).ok().context("this machine has no random numbers")?;
        let roots = ROOTS
            .iter()
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
            .collect::<Result<_, _>>()
            .context("one of Amazon's roots is damaged")?;
        Ok(Self::new(ClientOptions {
            host: endpoint.to_owned(),
            port: identity::DEFAULT_PORT,
            roots,
            credential: Some(Credential::load(folder, "device")?),
            client_id: format!("{name}-{}", hex::encode(own)),
            keep_alive_s: 30,
            clean_session: true,
            last_will: None,
        }))
    }

    /// By which name it looks on.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.options.client_id
    }

    fn connect(&self, thing: &str) -> Result<MqttClient> {
        let mut client = MqttClient::connect(&self.options)?;
        client.subscribe(&presence::topic(thing))?;
        Ok(client)
    }

    /// Makes a connection that was lost again. What a device did meanwhile is not told.
    fn connect_again(&self, thing: &str, deadline: Instant) -> Result<MqttClient> {
        loop {
            match self.connect(thing) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() + PAUSE >= deadline => {
                    return Err(error).with_context(|| {
                        format!(
                            "the connection to {}:{} by which {thing} would be seen is lost; its old \
                             certificate stays valid: run the same command again",
                            self.options.host, self.options.port
                        )
                    });
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}

impl Witness for PresenceEvents {
    fn prepare(&mut self, thing: &str) -> Result<()> {
        let client = self.connect(thing).with_context(|| {
            format!(
                "cannot connect to {}:{} to see the device connect: is that port open from here?",
                self.options.host, self.options.port
            )
        })?;
        self.client = Some(client);
        Ok(())
    }

    fn advice(&self, thing: &str) -> String {
        format!(
            "Give it to the device now, by `make update-identity THING={thing}` in another terminal \
             or by its cable; one that has it already must be restarted"
        )
    }

    fn sees(&mut self, thing: &str, certificate: &Certificate, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            let client = self.client.as_mut().context("nobody was looking")?;
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match client.next(left) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(false),
                Err(_) => {
                    self.client = Some(self.connect_again(thing, deadline)?);
                    continue;
                }
            };
            let event = Event::parse(&message.payload);
            if event.is_some_and(|event| event.is_connection_of(thing, &certificate.id)) {
                return Ok(true);
            }
        }
    }
}

/// Sees the emulated device by the events of the local cloud, whenever that runs.
#[derive(Debug)]
pub struct LocalEvents {
    state: PathBuf,
}

/// How often it is looked whether the local cloud runs.
const LOOK: Duration = Duration::from_millis(200);

/// How long to listen to it before looking whether the time is over.
const LISTEN: Duration = Duration::from_secs(1);

impl LocalEvents {
    /// Looks on at the cloud of `make run` that leaves its notes in the folder `state`.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }

    /// Listens to the cloud that runs now; `None` when there is none, or not one for `thing`.
    fn join(&self, thing: &str) -> Option<PresenceEvents> {
        let running = Running::find(&self.state).ok().filter(|running| running.thing == thing)?;
        let pki = Pki::open(&running.certs, thing, &[]).ok()?;
        let mut events = PresenceEvents::new(operator_options(&pki, running.operator_port));
        events.prepare(thing).ok()?;
        Some(events)
    }
}

/// Prepares nothing: the local cloud keeps its last event for those who come later.
impl Witness for LocalEvents {
    fn advice(&self, thing: &str) -> String {
        format!(
            "Start `make run THING={thing}` in another terminal now, or anew if it runs: it gives \
             the emulated device this identity"
        )
    }

    fn sees(&mut self, thing: &str, certificate: &Certificate, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        let mut events = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if events.is_none() {
                events = self.join(thing);
            }
            let Some(present) = &mut events else {
                if left.is_zero() {
                    return Ok(false);
                }
                std::thread::sleep(LOOK.min(left));
                continue;
            };
            match present.sees(thing, certificate, LISTEN.min(left)) {
                Ok(true) => return Ok(true),
                Ok(false) if left.is_zero() => return Ok(false),
                Ok(false) => {}
                // That `make run` has ended; the next one may be on its way.
                Err(_) => events = None,
            }
        }
    }
}
