//! PKI and cloud of one working copy together: what every verb that runs a device needs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::client::{ClientOptions, MqttClient};
use crate::cloud::{
    self, BrokerOptions, Cloud, Endpoints, Gate, GateOptions, HOST_FROM_GUEST, Running,
};
use crate::config::Config;
use crate::device::DeviceIdentity;
use crate::pki::{LeafRequest, OPERATOR, Pki};
use crate::presence;
use crate::provisioned::ThingFolder;
use crate::region;
use crate::settings::{Settings, Topics};

/// A cloud and what is known about its device.
#[derive(Debug)]
pub struct Lab {
    /// The certificates.
    pub pki: Pki,
    /// The cloud.
    pub cloud: Cloud,
    /// Name of the device.
    pub thing: String,
    /// Topics of the device.
    pub topics: Topics,
    certs: PathBuf,
    /// The device's identity when it is not just the local PKI's.
    identity: Option<DeviceIdentity>,
    /// The door for a thing that was provisioned on AWS.
    gate: Option<Gate>,
}

impl Lab {
    /// Opens the PKI and starts the cloud; the cloud's files go to `folder`.
    ///
    /// # Errors
    /// When either fails.
    pub fn start(settings: &Settings, folder: &Path) -> Result<Self> {
        Self::start_with(settings, folder, |_, _| Ok(()))
    }

    /// As [`Lab::start`], after `change` has had its way with the broker's options.
    ///
    /// # Errors
    /// As [`Lab::start`], and what `change` returns.
    pub fn start_with(
        settings: &Settings,
        folder: &Path,
        change: impl FnOnce(&Pki, &mut BrokerOptions) -> Result<()>,
    ) -> Result<Self> {
        let pki = Pki::open(&settings.certs, &settings.thing, &[])?;
        let topics = settings.topics();
        let mut options = cloud::ordinary_options(&pki, &settings.thing, &topics);
        change(&pki, &mut options)?;
        // Mosquitto resolves relative paths by its own folder.
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        Ok(Self {
            cloud: Cloud::start(&folder, &options)?,
            pki,
            thing: settings.thing.clone(),
            topics,
            certs: settings.certs.clone(),
            identity: None,
            gate: None,
        })
    }

    /// Starts the cloud for the device of this working copy: with the settings of `config`, and,
    /// when `folder_of_thing` shows that the thing was provisioned, as the AWS of that thing.
    ///
    /// # Errors
    /// As [`Lab::start`], and when a setting or a file of the thing is wrong.
    pub fn start_configured(
        settings: &Settings,
        folder: &Path,
        config: &Config,
        folder_of_thing: &ThingFolder,
    ) -> Result<Self> {
        let provisioned = folder_of_thing
            .exists()
            .then(|| region::of_thing(config, folder_of_thing, &settings.topics()))
            .transpose()?;
        let mut lab = Self::start(settings, folder)?;
        match provisioned {
            Some(identity) => {
                let notes = folder_of_thing.notes()?;
                let certificate = notes.as_ref().and_then(|notes| notes.certificate_id());
                lab.stand_in_for_aws(identity, certificate)?;
            }
            None => {
                let mut identity = lab.device_identity();
                config.apply(&mut identity)?;
                identity.endpoints = lab.cloud.as_seen_by_guest();
                lab.identity = Some(identity);
            }
        }
        Ok(lab)
    }

    /// Plays AWS for an identity: under its endpoint's name, with its certificate demanded. What
    /// is swapped in through the identity: the local root, the port, name and time servers. With
    /// the certificate's id in the account it also tells of connections as AWS does.
    fn stand_in_for_aws(
        &mut self,
        mut identity: DeviceIdentity,
        certificate: Option<&str>,
    ) -> Result<()> {
        let endpoint = identity.endpoints.host.clone();
        // The second name is for this machine's own clients.
        let names = [&*endpoint, "127.0.0.1"];
        let gate = Gate::start(GateOptions {
            server: self.pki.intermediate.issue(&LeafRequest::server(&names))?,
            device: identity.credential.chain[0].clone(),
            broker_port: self.cloud.broker.device_port(),
            broker_root: self.pki.root.certificate().clone(),
            broker_client: self.pki.device.clone(),
            connected: certificate.map(|certificate| {
                let port = self.cloud.broker.operator_port();
                let options = operator_options(&self.pki, port);
                presence::announcer(options, self.thing.clone(), certificate.to_owned())
            }),
        })?;
        self.cloud.dns.set(&endpoint, Some(HOST_FROM_GUEST));
        identity.endpoints =
            Endpoints { host: endpoint, port: gate.port(), ..self.cloud.as_seen_by_guest() };
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

    /// The identity of this cloud's device.
    #[must_use]
    pub fn device_identity(&self) -> DeviceIdentity {
        if let Some(identity) = &self.identity {
            return identity.clone();
        }
        DeviceIdentity::new(
            self.cloud.as_seen_by_guest(),
            &self.thing,
            self.topics.clone(),
            self.pki.device.clone(),
            self.pki.root.certificate().clone(),
        )
    }

    /// Connects as the operator.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn operator(&self) -> Result<MqttClient> {
        MqttClient::connect(&operator_options(&self.pki, self.cloud.broker.operator_port()))
    }

    /// What a second terminal needs to find this cloud.
    #[must_use]
    pub fn running(&self) -> Running {
        Running {
            // Linux's process ids are positive and below 2^22.
            process: nix::unistd::getpid().as_raw(),
            operator_port: self.cloud.broker.operator_port(),
            certs: self.certs.clone(),
            thing: self.thing.clone(),
            topics: self.topics.clone(),
        }
    }
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
