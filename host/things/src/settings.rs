//! What every verb agrees on.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::problem::Problem;
use crate::topics::Topics;

/// Names and places.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Folder of the local PKI (not under version control)
    #[arg(long, global = true, default_value = "certs/local")]
    pub certs: PathBuf,
    /// Folder for logs and notes of running programs
    #[arg(long, global = true, default_value = "target/thing")]
    pub state: PathBuf,
    /// Name of the device: common name of its certificate
    #[arg(long, global = true, env = "THING", default_value = Self::DEFAULT_THING)]
    pub thing: String,
    /// Topic on which the device publishes its status
    #[arg(long, global = true, default_value = "esp8266/status")]
    pub status_topic: String,
    /// Topic on which the device hears commands
    #[arg(long, global = true, default_value = "esp8266/control")]
    pub control_topic: String,
}

impl Settings {
    /// The device when none is named.
    pub const DEFAULT_THING: &str = "demo";

    /// Of this thing, with folders below this one and the usual topics.
    #[must_use]
    pub fn below(folder: &Path, thing: &str) -> Self {
        let Topics { status: status_topic, control: control_topic } = Topics::default();
        let (certs, state) = (folder.join("certs"), folder.join("state"));
        Self { certs, state, thing: thing.to_owned(), status_topic, control_topic }
    }

    /// Takes the topics of `config` where the command line names none.
    ///
    /// # Errors
    /// When the config's are unusable.
    pub fn adopt(&mut self, config: &Config) -> Result<(), Problem> {
        let (default, own) = (Topics::default(), self.topics());
        let configured = config.topics(&self.thing, default.clone())?;
        if own.status == default.status {
            self.status_topic = configured.status;
        }
        if own.control == default.control {
            self.control_topic = configured.control;
        }
        Ok(())
    }

    /// The device's topics.
    #[must_use]
    pub fn topics(&self) -> Topics {
        Topics { status: self.status_topic.clone(), control: self.control_topic.clone() }
    }
}
