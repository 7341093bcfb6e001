//! PKI and cloud of one working copy together: what every verb that runs a device needs.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::broker::{Broker, BrokerOptions, Grant};
use crate::client::{ClientOptions, MqttClient, operator_options};
use crate::dns::{DnsServer, HOST_FROM_GUEST};
use crate::gate::{Gate, GateOptions};
use crate::pki::{Pki, SERVER_NAME};
use crate::presence;
use crate::running::Running;
use crate::sntp::SntpServer;
use crate::updates::Service;
use certificates::LeafRequest;
use process::files;
use things::config::Config;
use things::device_identity::{DeviceIdentity, Endpoints};
use things::folder::{Certificate, ThingFolder};
use things::identity_region;
use things::settings::Settings;
use things::topics::Topics;

/// The name of the time server within [`crate::dns::ZONE`].
pub const TIME_SERVER_NAME: &str = "time.iot.test";

/// A cloud, which stops when this is dropped, and what is known about its device.
#[derive(Debug)]
pub struct LocalCloud {
    /// Jobs and streams, once they are served. Ends before the broker does.
    updates: Option<Service>,
    /// The certificates.
    pub pki: Pki,
    /// The MQTT broker.
    pub broker: Broker,
    /// The name server.
    pub dns: DnsServer,
    /// The time server.
    pub sntp: SntpServer,
    /// Name of the device.
    pub thing: String,
    /// Topics of the device.
    pub topics: Topics,
    certs: PathBuf,
    /// The cloud's files.
    folder: PathBuf,
    /// The device's identity when it is not just the local PKI's.
    identity: Option<DeviceIdentity>,
    /// The door for a thing that was provisioned on AWS.
    gate: Option<Gate>,
}

impl LocalCloud {
    /// Opens the PKI and starts the cloud; the cloud's files go to `folder`.
    ///
    /// # Errors
    /// When either fails.
    pub fn start(settings: &Settings, folder: &Path) -> Result<Self> {
        Self::start_with(settings, folder, |_, _| Ok(()))
    }

    /// As [`LocalCloud::start`], after `change` has had its way with the broker's options.
    ///
    /// # Errors
    /// As [`LocalCloud::start`], and what `change` returns.
    pub fn start_with(
        settings: &Settings,
        folder: &Path,
        change: impl FnOnce(&Pki, &mut BrokerOptions) -> Result<()>,
    ) -> Result<Self> {
        let pki = Pki::open(&settings.certs, &settings.thing, &[])?;
        let topics = settings.topics.clone();
        let device = Grant::device(&settings.thing, &topics);
        let mut options = BrokerOptions {
            server: pki.server.clone(),
            local_server: pki.server.clone(),
            client_authority_pem: pki.clients.pem(),
            grants: vec![device, Grant::operator()],
        };
        change(&pki, &mut options)?;
        // Mosquitto resolves relative paths by its own folder.
        files::make_folder(folder)?;
        let folder = folder.canonicalize()?;
        Ok(Self {
            updates: None,
            broker: Broker::start(&folder, &options)?,
            dns: DnsServer::start()?,
            sntp: SntpServer::start()?,
            pki,
            thing: settings.thing.clone(),
            topics,
            certs: settings.certs.clone(),
            folder,
            identity: None,
            gate: None,
        })
    }

    /// Starts the cloud for the device of this working copy: with the settings of `config`, and,
    /// when `folder_of_thing` shows that the thing was provisioned, as the AWS of that thing.
    ///
    /// # Errors
    /// As [`LocalCloud::start`], and when a setting or a file of the thing is wrong.
    pub fn start_configured(
        settings: &Settings,
        folder: &Path,
        config: &Config,
        folder_of_thing: &ThingFolder,
    ) -> Result<Self> {
        let provisioned = folder_of_thing
            .exists()
            .then(|| identity_region::of_thing(config, folder_of_thing, &settings.topics))
            .transpose()?;
        let mut cloud = Self::start(settings, folder)?;
        match provisioned {
            Some(identity) => {
                let notes = folder_of_thing.notes()?;
                let certificate = notes.and_then(|notes| notes.certificate);
                cloud.stand_in_for_aws(identity, certificate)?;
            }
            None => {
                let mut identity = cloud.device_identity();
                config.apply(&mut identity)?;
                identity.endpoints = cloud.as_seen_by_guest();
                cloud.identity = Some(identity);
            }
        }
        Ok(cloud)
    }

    /// Plays AWS for an identity: under its endpoint's name, with its certificate demanded. What
    /// is swapped in through the identity: the local root, the port, name and time servers. With
    /// the certificate's id in the account it also tells of connections as AWS does.
    fn stand_in_for_aws(
        &mut self,
        mut identity: DeviceIdentity,
        certificate: Option<Certificate>,
    ) -> Result<()> {
        let endpoint = identity.endpoints.host.clone();
        // The second name is for this machine's own clients.
        let names = [&*endpoint, "127.0.0.1"];
        let gate = Gate::start(GateOptions {
            server: self.pki.intermediate.issue(&LeafRequest::server(&names))?,
            device: identity.credential.chain[0].clone(),
            broker_port: self.broker.device_port(),
            broker_root: self.pki.root.certificate().clone(),
            broker_client: self.pki.device.clone(),
            connected: certificate.map(|certificate| {
                presence::announcer(self.operator_options(), self.thing.clone(), certificate.id)
            }),
        })?;
        self.dns.set(&endpoint, Some(HOST_FROM_GUEST));
        identity.endpoints =
            Endpoints { host: endpoint, port: gate.port(), ..self.as_seen_by_guest() };
        identity.roots = vec![self.pki.root.certificate().clone()];
        self.identity = Some(identity);
        self.gate = Some(gate);
        Ok(())
    }

    /// Whether this cloud plays AWS for a provisioned thing.
    #[must_use]
    pub fn stands_in_for_aws(&self) -> bool {
        self.gate.is_some()
    }

    /// Why connections of a provisioned thing have failed so far.
    #[must_use]
    pub fn gate_log(&self) -> Vec<String> {
        self.gate.as_ref().map(Gate::log).unwrap_or_default()
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

    /// The identity of this cloud's device.
    #[must_use]
    pub fn device_identity(&self) -> DeviceIdentity {
        if let Some(identity) = &self.identity {
            return identity.clone();
        }
        DeviceIdentity::new(
            self.as_seen_by_guest(),
            &self.thing,
            self.topics.clone(),
            self.pki.device.clone(),
            self.pki.root.certificate().clone(),
        )
    }

    /// Serves jobs and streams to its device and to these further things. What was ordered
    /// before, of the same folder, goes on.
    ///
    /// # Errors
    /// When what was kept is damaged, or the broker refuses.
    pub fn serve_updates(&mut self, further: &[String]) -> Result<()> {
        let things = std::iter::once(self.thing.clone()).chain(further.iter().cloned());
        let folder = self.folder.join("updates");
        self.updates = Some(Service::start(self.operator_options(), &folder, things)?);
        Ok(())
    }

    /// Jobs and streams.
    #[must_use]
    pub fn updates(&self) -> Option<&Service> {
        self.updates.as_ref()
    }

    /// Connects as the operator.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn operator(&self) -> Result<MqttClient> {
        MqttClient::connect(&self.operator_options())
    }

    fn operator_options(&self) -> ClientOptions {
        operator_options(&self.pki, self.broker.operator_port())
    }

    /// What a second terminal needs to find this cloud.
    #[must_use]
    pub fn running(&self) -> Running {
        Running {
            // Linux's process ids are positive and below 2^22.
            process: nix::unistd::getpid().as_raw(),
            operator_port: self.broker.operator_port(),
            certs: self.certs.clone(),
            thing: self.thing.clone(),
            topics: self.topics.clone(),
            board: String::new(),
            board_runs: false,
        }
    }
}
