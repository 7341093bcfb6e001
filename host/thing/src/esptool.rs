//! `thing esptool`: sets it up and says where it is.

use std::path::PathBuf;

use anyhow::Result;
use board::esptool::Esptool;
use process::output;

#[derive(clap::Args)]
// Part of verbs whose own arguments are called the same, which clap would take for one group.
#[group(skip)]
pub struct Arguments {
    /// Virtual environment with esptool
    #[arg(long = "esptool", default_value = "target/esptool")]
    environment: PathBuf,
}

impl Arguments {
    /// The program; installed when it is not there.
    pub fn find(&self) -> Result<Esptool> {
        Esptool::set_up(&self.environment)
    }
}

/// Says where it is.
pub fn set_up(arguments: &Arguments) -> Result<()> {
    output::line(arguments.find()?.program().display())
}
