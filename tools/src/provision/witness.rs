//! Seeing a device connect with a certain certificate.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::Certificate;
use crate::client::{ClientOptions, MqttClient};
use crate::pki::Credential;

/// Amazon's roots, as in the firmware.
const ROOTS: [&str; 2] = [
    include_str!("../../../certs/amazon-root-ca-1.pem"),
    include_str!("../../../certs/amazon-root-ca-3.pem"),
];

/// Where AWS IoT tells who connects; the client id follows.
const CONNECTED: &str = "$aws/events/presence/connected/";

/// Sees devices connect.
pub trait Witness {
    /// Begins to look. Called before the device can have the new certificate.
    ///
    /// # Errors
    /// When looking is impossible.
    fn prepare(&mut self, thing: &str) -> Result<()>;

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

impl std::fmt::Debug for PresenceEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresenceEvents").field("host", &self.options.host).finish_non_exhaustive()
    }
}

impl PresenceEvents {
    /// Looks on by a connection with these options.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self { options, client: None }
    }

    /// Looks on at an account's endpoint, with the pair in `folder`.
    ///
    /// # Errors
    /// When the pair cannot be read.
    pub(super) fn on_aws(endpoint: &str, client_id: &str, folder: &Path) -> Result<Self> {
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
            client_id: client_id.to_owned(),
            keep_alive_s: 30,
            clean_session: true,
            last_will: None,
        }))
    }
}

impl Witness for PresenceEvents {
    fn prepare(&mut self, thing: &str) -> Result<()> {
        let mut client = MqttClient::connect(&self.options).with_context(|| {
            format!(
                "cannot connect to {}:{} to see the device connect: is that port open from here?",
                self.options.host, self.options.port
            )
        })?;
        client.subscribe(&format!("{CONNECTED}{thing}"))?;
        self.client = Some(client);
        Ok(())
    }

    fn sees(&mut self, thing: &str, certificate: &Certificate, limit: Duration) -> Result<bool> {
        let Some(client) = &mut self.client else {
            bail!("nobody was looking");
        };
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = client.next(left)? else {
                return Ok(false);
            };
            if names(&message.payload, thing, certificate) {
                return Ok(true);
            }
        }
    }
}

/// Whether a presence event is about this client and this certificate.
fn names(event: &[u8], thing: &str, certificate: &Certificate) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        client_id: String,
        event_type: String,
        principal_identifier: String,
    }
    serde_json::from_slice::<Event>(event).is_ok_and(|event| {
        event.client_id == thing
            && event.event_type == "connected"
            && event.principal_identifier == certificate.id
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event: &str) -> bool {
        let certificate = Certificate { id: "new".to_owned(), arn: "arn:cert/new".to_owned() };
        names(event.as_bytes(), "demo", &certificate)
    }

    #[test]
    fn only_the_new_certificate_counts() {
        let event = r#"{"clientId":"demo","timestamp":1573002230757,"eventType":"connected",
            "sessionIdentifier":"s","principalIdentifier":"new","ipAddress":"192.0.2.0",
            "versionNumber":0}"#;
        assert!(seen(event));
        assert!(!seen(&event.replace("\"new\"", "\"old\"")));
        assert!(!seen(&event.replace("demo", "other")));
        assert!(!seen(&event.replace("\"connected\"", "\"disconnected\"")));
        assert!(!seen("gone"));
    }
}
