//! `thing provision`, `thing deprovision`: a thing on a person's AWS account.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use process::output;
use provisioning::{Cli, LocalEvents, Rotation, Session, Witness};
use things::identity_region;

use crate::context::{Configured, Context};
use crate::rotation::AfterTrial;
use crate::update::{self, CloudName};

/// The AWS account and where its things are kept
#[derive(Clone, clap::Args)]
pub struct Account {
    /// Profile of the AWS CLI
    #[arg(long, env = "AWS_PROFILE")]
    profile: Option<String>,
    /// Region
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// Folder into which the AWS CLI is installed when there is none
    #[arg(long, default_value = "target")]
    target: PathBuf,
}

impl Account {
    /// The AWS CLI for it.
    pub fn cli(self, say: &dyn Fn(&str)) -> Result<Cli> {
        // A variable that is empty names none.
        let [profile, region] =
            [self.profile, self.region].map(|name| name.filter(|name| !name.is_empty()));
        Ok(Cli { profile, region, ..Cli::find(&self.target, say)? })
    }

    /// Says whose account it is.
    pub fn open<'a>(self, things: &Path, say: &'a dyn Fn(&str)) -> Result<Session<'a>> {
        Session::open(self.cli(say)?, things, say)
    }
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    account: Account,
    /// Make the next key and certificate, and retire the old ones once the device was seen
    /// connected with them
    #[arg(long)]
    rotate: bool,
    /// Topics of before end: the device has its new identity
    #[arg(long, conflicts_with = "rotate")]
    retire: bool,
    /// The device is the emulated one, which connects to the local cloud and not to AWS
    #[arg(long, requires = "rotate")]
    emulated: bool,
    /// Add a certificate also to a thing that was made elsewhere
    #[arg(long)]
    foreign: bool,
    /// Seconds to wait for that
    #[arg(long, default_value_t = 600)]
    wait: u64,
}

/// A line of progress.
pub fn say(line: &str) {
    // Whoever reads no further misses what he did not want to read.
    let _ = output::line(line);
}

/// Makes a thing, or renews its certificate.
pub fn provision(context: Context, arguments: Arguments) -> Result<()> {
    let Configured { settings, config, folder, things } = context.configure()?;
    let mut session = arguments.account.open(&things, &say)?;
    session.join_foreign_things = arguments.foreign;
    session.end_old_topics = arguments.retire;
    let (thing, topics) = (&settings.thing, &settings.topics);
    if !arguments.rotate {
        session.provision(thing, topics)?;
        let folder = things.join(thing);
        say(&format!("{thing} is complete; its key and certificate are in {}", folder.display()));
        return Ok(());
    }
    let (connections, cloud): (Box<dyn Witness>, _) = if arguments.emulated {
        (Box::new(LocalEvents::new(&settings.state)), CloudName::Local)
    } else {
        (Box::new(session.operator()?), CloudName::Aws)
    };
    let orders = update::orders(cloud, &things, &settings);
    let proved = update::proved(cloud, &orders, &folder);
    let mut witness = AfterTrial { connections, orders, proved, folder: &folder };
    let mut rotation = Rotation {
        write_identity: &|_| identity_region::write(&config, &folder, &folder.identity(), topics),
        witness: &mut witness,
        limit: Duration::from_secs(arguments.wait),
    };
    session.rotate(thing, topics, &mut rotation)?;
    Ok(())
}

#[derive(clap::Args)]
pub struct Removal {
    #[command(flatten)]
    account: Account,
    /// Remove also what was not made on this machine
    #[arg(long)]
    foreign: bool,
}

/// Removes a thing.
pub fn deprovision(context: &Context, removal: Removal) -> Result<()> {
    let mut session = removal.account.open(&context.things, &say)?;
    session.deprovision(&context.settings.thing, removal.foreign)
}
