//! AWS IoT's presence events: they tell which client has connected, and with which certificate.
//!
//! AWS publishes them on topics of its own. The local cloud does so for a provisioned thing, and
//! unlike AWS it keeps the last one for those who look later: whoever renews a certificate of
//! the emulated device may start `make run` first.

use std::sync::mpsc::{Sender, channel};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::client::{ClientOptions, MqttClient};

/// The topic that tells of connections; the client id follows.
const CONNECTED: &str = "$aws/events/presence/connected/";

/// The topic that tells of this client's connections.
#[must_use]
pub fn topic(client_id: &str) -> String {
    format!("{CONNECTED}{client_id}")
}

/// The time as AWS tells it, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// An event, with those of AWS's fields that somebody here uses.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The client.
    pub client_id: String,
    /// When, in milliseconds since 1970.
    pub timestamp: u64,
    /// `connected` or `disconnected`.
    pub event_type: String,
    /// Id of the certificate that the client has shown.
    pub principal_identifier: String,
}

impl Event {
    /// A client has connected just now.
    fn connected(client_id: &str, certificate: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            timestamp: now(),
            event_type: "connected".to_owned(),
            principal_identifier: certificate.to_owned(),
        }
    }

    /// Reads a message; `None` when it is no event.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// Whether it says that this client has connected with this certificate.
    #[must_use]
    pub fn is_connection_of(&self, client_id: &str, certificate: &str) -> bool {
        self.event_type == "connected"
            && self.client_id == client_id
            && self.principal_identifier == certificate
    }
}

/// Publishes an event by a connection with `options` each time that something is sent to the
/// result, for as long as it lives.
pub(crate) fn announcer(
    options: ClientOptions,
    client_id: String,
    certificate: String,
) -> Sender<()> {
    let (sender, connections) = channel();
    std::thread::spawn(move || {
        for () in connections {
            // A connection for each: devices connect seldom.
            let publish = || -> Result<()> {
                let event = serde_json::to_vec(&Event::connected(&client_id, &certificate))?;
                MqttClient::connect(&options)?.publish(&topic(&client_id), &event, true)
            };
            if let Err(error) = publish() {
                eprintln!("the local cloud could not tell of a connection: {error:#}");
            }
        }
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_connection_that_is_meant_counts() {
        let event = r#"{"clientId":"demo","timestamp":1573002230757,"eventType":"connected",
            "sessionIdentifier":"s","principalIdentifier":"new","ipAddress":"192.0.2.0",
            "versionNumber":0}"#;
        let seen = |event: &str| {
            Event::parse(event.as_bytes())
                .is_some_and(|event| event.is_connection_of("demo", "new"))
        };
        assert!(seen(event));
        assert!(!seen(&event.replace("\"new\"", "\"old\"")));
        assert!(!seen(&event.replace("demo", "other")));
        assert!(!seen(&event.replace("\"connected\"", "\"disconnected\"")));
        assert!(!seen("gone"));
    }

    #[test]
    fn what_is_written_is_read() {
        let event = Event::connected("demo", "new");
        assert_eq!(Event::parse(&serde_json::to_vec(&event).unwrap()), Some(event.clone()));
        assert!(event.is_connection_of("demo", "new"));
    }
}
