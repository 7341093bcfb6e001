//! `thing run`: the device and its cloud in one terminal.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use board_facts::Board;

use crate::cloud::Running;
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::lab::Lab;
use crate::machine::{self, Firmware};
use crate::output::{self, Unheard};
use crate::provisioned::ThingFolder;
use crate::settings::Settings;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The firmware and its board.
    pub firmware: Firmware,
    /// An identity region to use instead of the local cloud's.
    pub identity: Option<PathBuf>,
}

/// Runs until Ctrl-C or until the board ends.
///
/// # Errors
/// When something does not start or ends by itself.
pub fn run(
    settings: &Settings,
    config: &Config,
    folder_of_thing: &ThingFolder,
    options: &RunOptions,
) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    std::fs::create_dir_all(&settings.state)
        .with_context(|| format!("cannot make the folder {}", settings.state.display()))?;
    // Before anything is written: the other one is using these files.
    Running::ensure_none(&settings.state)?;
    let cloud = settings.state.join("cloud");
    let mut lab = Lab::start_configured(settings, &cloud, config, folder_of_thing)?;
    let announced = lab.running().announce(&settings.state)?;
    let region = match &options.identity {
        Some(path) => {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => lab.device_identity().region()?,
    };
    output::line(introduction(&lab, settings, &options.firmware.board))?;
    let mut machine = options.firmware.start(&region, &settings.state, true)?;
    let outcome = loop {
        if interrupt.happened() {
            break Ok(());
        }
        if machine.console().is_unheard() {
            break Err(Unheard.into());
        }
        if let Err(error) = lab.cloud.broker.check() {
            break Err(error);
        }
        if let Some(status) = machine.wait(Duration::from_millis(100))? {
            break Err(anyhow::anyhow!("the board ended by itself ({status})"));
        }
    };
    drop(machine);
    drop(announced);
    drop(lab);
    match outcome {
        Ok(()) => output::line("\nStopped: the board, the broker, the name and time servers."),
        Err(error) => bail!(error),
    }
}

fn introduction(lab: &Lab, settings: &Settings, board: &Board) -> String {
    let endpoints = lab.device_identity().endpoints;
    let identity = if lab.stands_in_for_aws() {
        format!("that of {} on AWS, whose part this cloud plays", lab.thing)
    } else {
        "one made for this cloud".to_owned()
    };
    format!(
        "{board} starts here, with its own small cloud on this machine:\n  \
         broker    {host}:{port} (Mosquitto, mutual TLS, set up as AWS IoT)\n  \
         identity  {identity}\n  \
         status    topic {status}, every 10 s\n  \
         control   topic {control}, takes on and off\n  \
         logs      {logs}\n\
         In a second terminal:\n  \
         make on     lights the LED\n  \
         make off    darkens it\n  \
         make watch  shows what the device publishes\n\
         Ctrl-C here stops everything. Below is the device's serial console.\n",
        board = machine::title(board),
        host = endpoints.host,
        port = endpoints.port,
        status = lab.topics.status,
        control = lab.topics.control,
        logs = settings.state.join("cloud").display(),
    )
}
