//! What every verb is told: the settings, and where a person's own files are.

use std::path::PathBuf;

use anyhow::Result;
use things::config::Config;
use things::folder::ThingFolder;
use things::settings::Settings;

/// What every verb is told.
#[derive(clap::Args)]
pub struct Context {
    #[command(flatten)]
    pub settings: Settings,
    /// The settings of your devices
    #[arg(long, global = true, default_value = "config.toml")]
    config: PathBuf,
    /// Folder with a folder for each thing
    #[arg(long, global = true, default_value = "certs")]
    pub things: PathBuf,
}

/// What a person has set for the thing that a verb is about.
pub struct Configured {
    pub settings: Settings,
    pub config: Config,
    pub folder: ThingFolder,
    /// Folder with a folder for each thing.
    pub things: PathBuf,
}

impl Context {
    /// The folder of the thing that the settings name.
    pub fn folder(&self) -> Result<ThingFolder> {
        Ok(ThingFolder::new(&self.things, &self.settings.thing)?)
    }

    /// The identity region of that thing, unless another file is named.
    pub fn identity(&self, named: Option<PathBuf>) -> Result<PathBuf> {
        named.map_or_else(|| Ok(self.folder()?.identity()), Ok)
    }

    /// Reads a person's settings.
    pub fn config(&self) -> Result<Config> {
        Ok(Config::load(&self.config)?)
    }

    /// For the verbs that need a person's settings; only those stop at a mistake in them.
    pub fn configure(mut self) -> Result<Configured> {
        let config = self.config()?;
        self.settings.adopt(&config)?;
        let folder = self.folder()?;
        Ok(Configured { settings: self.settings, config, folder, things: self.things })
    }
}
