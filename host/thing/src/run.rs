//! `thing run`: the device and its cloud in one terminal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use board::boards;
use board::machine::Firmware;
use board_facts::Board;
use cloud::local::LocalCloud;
use cloud::running::Running;
use process::files::{self, SECRET};
use process::interrupt::Interrupt;
use process::output::{self, Unheard};
use releases::PublicKey;
use things::device_identity::DeviceIdentity;
use things::folder::ThingFolder;
use things::settings::Settings;

use crate::context::{Configured, Context};
use crate::{release, smoke};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    firmware: Firmware,
    /// Use this identity region instead of the local cloud's
    #[arg(long)]
    identity: Option<PathBuf>,
    /// The firmware is an application of one's own: what it reports and obeys, nobody knows here
    #[arg(long)]
    application: bool,
}

/// Runs until Ctrl-C or until the board ends.
pub fn run(context: Context, arguments: &Arguments) -> Result<()> {
    let Configured { settings, config, folder, things } = context.configure()?;
    let interrupt = Interrupt::watch()?;
    files::make_folder(&settings.state)?;
    // Before anything is written: the other one is using these files.
    Running::ensure_none(&settings.state)?;
    let cloud = settings.state.join("cloud");
    let mut cloud = LocalCloud::start_configured(&settings, &cloud, &config, &folder)?;
    cloud.serve_updates(&[])?;
    let running = Running { board: arguments.firmware.board.name.clone(), ..cloud.running() };
    let mut announced = running.announce(&settings.state)?;
    let (mut device, network) =
        smoke::with_network(cloud.device_identity(), arguments.firmware.radio);
    let trust = trust(&cloud, &things, &arguments.firmware.board, &mut device)?;
    let region = match &arguments.identity {
        Some(path) => files::read(path)?,
        None => device.region()?,
    };
    files::write(&identity_given(&settings.state), &region, SECRET)?;
    output::line(introduction(&cloud, &settings, &folder, arguments, &trust))?;
    let mut machine = arguments.firmware.start(&region, &settings.state, true, &network)?;
    announced.board_runs()?;
    let mut forbidden = cloud.broker.forbidden();
    let outcome = loop {
        if interrupt.happened() {
            break Ok(());
        }
        if machine.console.is_unheard() {
            break Err(Unheard.into());
        }
        if let Err(error) = cloud.broker.check() {
            break Err(error);
        }
        for deed in &mut forbidden {
            output::line(format!("AWS IoT would end the connection here: {deed}"))?;
        }
        if let Some(status) = machine.process.wait(Duration::from_millis(100))? {
            break Err(anyhow::anyhow!("the board ended by itself ({status})"));
        }
    };
    drop(machine);
    drop(announced);
    drop(cloud);
    match outcome {
        Ok(()) => output::line("\nStopped: the board, the broker, the name and time servers."),
        Err(error) => bail!(error),
    }
}

/// Where the identity of the board that runs is kept, for a second terminal.
pub fn identity_given(state: &Path) -> PathBuf {
    state.join("identity.bin")
}

/// Lets a device that nobody else has trust the signing key of this working copy, if there is one and
/// nobody has said whom it trusts.
pub fn trust_own(things: &Path, device: &mut DeviceIdentity) -> Result<()> {
    let public = release::own_public_key(things);
    if device.update_keys.is_empty() && public.exists() {
        device.update_keys.push(*PublicKey::read(&public)?.point());
    }
    Ok(())
}

/// Lets the device trust the signing key of this working copy, if there is one and nobody has said
/// whom it trusts. Says in words what updates it takes.
fn trust(
    cloud: &LocalCloud,
    things: &Path,
    board: &Board,
    device: &mut DeviceIdentity,
) -> Result<String> {
    let public = release::own_public_key(things);
    Ok(if let Some(reason) = board.no_updates() {
        format!("none: {reason}")
    } else if !device.update_keys.is_empty() {
        "those signed by the keys of [update] in config.toml, by `make update`".to_owned()
    } else if cloud.stands_in_for_aws() || !public.exists() {
        let how = if cloud.stands_in_for_aws() {
            "name a key under [update] in config.toml"
        } else {
            "`make signing-key` makes a key that it trusts from the next `make run` on"
        };
        format!("none are taken: {how}")
    } else {
        // One that was made for this cloud is nobody else's: what this person signs is right.
        trust_own(things, device)?;
        format!("those signed by the key of {}, by `make update`", public.display())
    })
}

fn introduction(
    cloud: &LocalCloud,
    settings: &Settings,
    folder: &ThingFolder,
    arguments: &Arguments,
    trust: &str,
) -> String {
    let endpoints = cloud.device_identity().endpoints;
    let identity = whose(&cloud.thing, cloud.stands_in_for_aws(), folder.exists());
    let (reports, obeys, verbs) = habits(arguments.application);
    format!(
        "{board} starts here, with its own small cloud on this machine:\n  \
         broker    {host}:{port} (Mosquitto, mutual TLS, set up as AWS IoT)\n  \
         identity  {identity}\n  \
         status    topic {status}{reports}\n  \
         control   topic {control}{obeys}\n  \
         updates   {trust}\n  \
         logs      {logs}\n\
         {verbs}\n\
         Ctrl-C here stops everything. Below is the device's serial console.\n",
        board = boards::title(&arguments.firmware.board),
        host = endpoints.host,
        port = endpoints.port,
        status = cloud.topics.status,
        control = cloud.topics.control,
        logs = settings.state.join("cloud").display(),
    )
}

/// What is known of status and control topic, and the verbs of the second terminal.
fn habits(application: bool) -> (&'static str, &'static str, &'static str) {
    if application {
        (
            "",
            "",
            "In a second terminal (with APP= if you named one here):\n  \
             make on, make off        send it on and off\n  \
             make send MESSAGE='...'  sends it anything else\n  \
             make watch               shows what it publishes on its status topic",
        )
    } else {
        (
            ", every 10 s",
            ", takes on and off",
            "In a second terminal:\n  \
             make on     lights the LED\n  \
             make off    darkens it\n  \
             make watch  shows what the device publishes",
        )
    }
}

/// Whose identity the device has: that of `thing` when it `is_on_aws`; otherwise what was named
/// and has no folder (`exists`) is told to have none.
fn whose(thing: &str, is_on_aws: bool, exists: bool) -> String {
    if is_on_aws {
        format!("that of {thing} on AWS, whose part this cloud plays")
    } else if thing != Settings::DEFAULT_THING && !exists {
        format!(
            "one made for this cloud ({thing} has none: `make provision THING={thing}` makes one)"
        )
    } else {
        "one made for this cloud".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_application_nothing_is_promised() {
        let (reports, obeys, verbs) = habits(true);
        assert_eq!((reports, obeys), ("", ""));
        assert!(!verbs.contains("LED") && verbs.contains("make send"), "{verbs}");
        let (.., verbs) = habits(false);
        assert!(verbs.contains("make on     lights the LED"), "{verbs}");
    }

    #[test]
    fn a_thing_without_an_identity_is_told_which_one_is_used_instead() {
        assert_eq!(
            whose("nope", false, false),
            "one made for this cloud (nope has none: `make provision THING=nope` makes one)"
        );
        assert_eq!(whose("nope", false, true), "one made for this cloud");
        assert_eq!(whose(Settings::DEFAULT_THING, false, false), "one made for this cloud");
        assert!(whose("lamp", true, true).starts_with("that of lamp on AWS"));
    }
}
