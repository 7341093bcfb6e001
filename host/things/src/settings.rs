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
    /// The device's topics.
    #[command(flatten)]
    pub topics: Topics,
}

impl Settings {
    /// The device when none is named.
    pub const DEFAULT_THING: &str = "demo";

    /// Of this thing, with folders below this one and the usual topics.
    #[must_use]
    pub fn below(folder: &Path, thing: &str) -> Self {
        let (certs, state) = (folder.join("certs"), folder.join("state"));
        Self { certs, state, thing: thing.to_owned(), topics: Topics::default() }
    }

    /// Takes the topics of `config` where the command line names none.
    ///
    /// # Errors
    /// When the config's are unusable.
    pub fn adopt(&mut self, config: &Config) -> Result<(), Problem> {
        let default = Topics::default();
        let configured = config.topics(&self.thing, default.clone())?;
        if self.topics.status == default.status {
            self.topics.status = configured.status;
        }
        if self.topics.control == default.control {
            self.topics.control = configured.control;
        }
        (self.topics.publish, self.topics.subscribe) = (configured.publish, configured.subscribe);
        Ok(())
    }
}
