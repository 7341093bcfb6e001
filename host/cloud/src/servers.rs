//! The servers of the local cloud, together.

use std::path::Path;

use anyhow::Result;
use things::endpoints::Endpoints;
use things::topics::Topics;

use crate::broker::{Broker, BrokerOptions, Grant};
use crate::dns::{DnsServer, HOST_FROM_GUEST};
use crate::pki::{Pki, SERVER_NAME};
use crate::sntp::SntpServer;

/// The name of the time server within [`crate::dns::ZONE`].
pub const TIME_SERVER_NAME: &str = "time.iot.test";

/// Broker, name server and time server; all stop when this is dropped.
#[derive(Debug)]
pub struct Servers {
    /// The MQTT broker.
    pub broker: Broker,
    /// The name server.
    pub dns: DnsServer,
    /// The time server.
    pub sntp: SntpServer,
}

impl Servers {
    /// Starts everything; files and logs go to `folder`.
    ///
    /// # Errors
    /// When a part does not start.
    pub fn start(folder: &Path, options: &BrokerOptions) -> Result<Self> {
        Ok(Self {
            broker: Broker::start(folder, options)?,
            dns: DnsServer::start()?,
            sntp: SntpServer::start()?,
        })
    }

    /// Where a device in the emulator finds this cloud.
    #[must_use]
    pub fn as_seen_by_guest(&self) -> Endpoints {
        Endpoints {
            host: SERVER_NAME.to_owned(),
            port: self.broker.device_port(),
            dns: vec![format!("{HOST_FROM_GUEST}:{}", self.dns.address().port())],
            ntp: vec![format!("{TIME_SERVER_NAME}:{}", self.sntp.address().port())],
        }
    }
}

/// The ordinary options: the PKI's own server certificate, one device, the operator.
#[must_use]
pub fn ordinary_options(pki: &Pki, thing: &str, topics: &Topics) -> BrokerOptions {
    BrokerOptions {
        server: pki.server.clone(),
        local_server: pki.server.clone(),
        client_authority_pem: pki.clients.pem(),
        grants: vec![Grant::device(thing, topics), Grant::operator()],
    }
}
