//! PKI and cloud of one working copy together: what every verb that runs a device needs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::client::{ClientOptions, MqttClient};
use crate::cloud::{self, BrokerOptions, Cloud, Running};
use crate::device::DeviceIdentity;
use crate::pki::{OPERATOR, Pki};
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
        })
    }

    /// The identity of this cloud's device.
    #[must_use]
    pub fn device_identity(&self) -> DeviceIdentity {
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
