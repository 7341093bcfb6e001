//! `thing`: the verbs behind the Makefile.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use tools::bench;
use tools::cloud::Endpoints;
use tools::control;
use tools::device::{self, DeviceIdentity};
use tools::pki::{Credential, Pki};
use tools::provision::fleet::{self, Fleet};
use tools::provision::{Cli, Journal, Rotation, Session};
use tools::run::{self, RunOptions};
use tools::settings::Settings;
use tools::size::{self, Budget};
use tools::smoke;
use tools::status::Led;
use tools::target_test;

/// Run, control and check the emulated device and its local cloud
#[derive(Parser)]
#[command(name = "thing", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the local certificates, or renew those that end soon
    Pki {
        /// Further host names for the server's certificate
        #[arg(long = "name")]
        names: Vec<String>,
    },
    /// Write the identity region of a device: credentials and settings (16 KB)
    Identity {
        /// File to write; it will hold the private key
        #[arg(long)]
        out: PathBuf,
        /// Host name of the MQTT server
        #[arg(long, default_value = tools::pki::SERVER_NAME)]
        endpoint: String,
        /// TCP port of the MQTT server
        #[arg(long, default_value_t = identity::DEFAULT_PORT)]
        port: u16,
        /// Name server, address:port
        #[arg(long)]
        dns: String,
        /// Time server, name or name:port
        #[arg(long)]
        ntp: String,
    },
    /// Run the device with its local cloud until Ctrl-C
    Run {
        /// The firmware
        #[arg(long)]
        elf: PathBuf,
        /// Use this identity region instead of the local cloud's
        #[arg(long)]
        identity: Option<PathBuf>,
        /// The board to run on
        #[arg(long, value_enum, default_value_t = Board::Qemu)]
        board: Board,
    },
    /// Light the LED of the running device
    On,
    /// Darken the LED of the running device
    Off,
    /// Show what the running device publishes
    Watch,
    /// Check that the device publishes and obeys on and off, within 120 s
    Smoke {
        /// The firmware
        #[arg(long)]
        elf: PathBuf,
    },
    /// Make a thing on AWS: key, certificate, policy; results go to `certs/<thing>/`
    Provision {
        #[command(flatten)]
        account: Account,
        /// Make the next key and certificate, and retire the old ones once the device was seen
        /// connected with them
        #[arg(long)]
        rotate: bool,
        /// Seconds to wait for that
        #[arg(long, default_value_t = 600)]
        wait: u64,
    },
    /// Remove a thing from AWS and from this machine
    Deprovision {
        #[command(flatten)]
        account: Account,
    },
    /// Provision all things of a list
    ProvisionFleet {
        #[command(flatten)]
        account: Account,
        /// CSV file with a header; the column `thing` has the names
        #[arg(long)]
        file: PathBuf,
    },
    /// Run test firmware on the emulated CPU
    TargetTest {
        /// The test firmware
        #[arg(long)]
        elf: PathBuf,
        /// Only tests with this in their names
        #[arg(long, default_value = "")]
        filter: String,
        /// Seconds that one test may take
        #[arg(long, default_value_t = 60)]
        timeout: u64,
    },
    /// Show what basic steps cost on the emulated CPU, and hold them to budgets
    Bench {
        /// The test firmware
        #[arg(long)]
        elf: PathBuf,
    },
    /// Show what a firmware takes of each memory, and hold it to budgets
    Size {
        /// The firmware
        #[arg(long)]
        elf: PathBuf,
        #[command(flatten)]
        budget: Budget,
    },
}

/// The AWS account and where its things are kept
#[derive(clap::Args)]
struct Account {
    /// Profile of the AWS CLI
    #[arg(long, env = "AWS_PROFILE")]
    profile: Option<String>,
    /// Region
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// Folder of all things (not under version control)
    #[arg(long, default_value = "certs")]
    things: PathBuf,
    /// Folder into which the AWS CLI is installed when there is none
    #[arg(long, default_value = "target")]
    target: PathBuf,
}

impl Account {
    /// Says whose account it is.
    fn open<'a>(self, say: &'a dyn Fn(&str)) -> Result<Session<'a>> {
        let cli = Cli::find(&self.target, say)?.with_profile(self.profile).with_region(self.region);
        Session::open(cli, &self.things, say)
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Board {
    /// The emulated one
    Qemu,
}

fn main() -> ExitCode {
    match perform(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(Arguments { verb, settings }: Arguments) -> Result<()> {
    match verb {
        Verb::Pki { names } => {
            Pki::open(&settings.certs, &settings.thing, &names)?;
            println!("local certificates are in {}", settings.certs.display());
            Ok(())
        }
        Verb::Identity { out, endpoint, port, dns, ntp } => {
            let pki = Pki::open(&settings.certs, &settings.thing, &[])?;
            let region = DeviceIdentity::new(
                Endpoints { host: endpoint, port, dns, ntp },
                &settings.thing,
                settings.topics(),
                pki.device.clone(),
                pki.root.certificate().clone(),
            )
            .region()
            .context("the identity cannot be made")?;
            device::save_region(&region, &out)?;
            println!("identity of {} is in {}", settings.thing, out.display());
            Ok(())
        }
        Verb::Run { elf, identity, board: Board::Qemu } => {
            run::run(&settings, &RunOptions { elf, identity })
        }
        Verb::On => control::switch(&settings.state, Led::On),
        Verb::Off => control::switch(&settings.state, Led::Off),
        Verb::Watch => control::watch(&settings.state),
        Verb::Smoke { elf } => smoke::smoke(&settings, &elf),
        Verb::Provision { account, rotate, wait } => {
            let say = |line: &str| println!("{line}");
            let folder = account.things.join(&settings.thing);
            let mut session = account.open(&say)?;
            let thing = &settings.thing;
            if rotate {
                let mut witness = session.operator()?;
                let mut rotation = Rotation {
                    write_identity: &|journal| write_identity(&folder, journal),
                    witness: &mut witness,
                    limit: Duration::from_secs(wait),
                };
                session.rotate(thing, &settings.topics(), &mut rotation)?;
            } else {
                session.provision(thing, &settings.topics())?;
                println!(
                    "{thing} is complete; its key and certificate are in {}",
                    folder.display()
                );
            }
            Ok(())
        }
        Verb::Deprovision { account } => {
            let say = |line: &str| println!("{line}");
            account.open(&say)?.deprovision(&settings.thing)
        }
        Verb::ProvisionFleet { account, file } => provision_fleet(account, &file, &settings),
        Verb::TargetTest { elf, filter, timeout } => {
            target_test::run(&elf, &filter, Duration::from_secs(timeout))
        }
        Verb::Bench { elf } => bench::run(&elf),
        Verb::Size { elf, budget } => size::report(&elf, &budget),
    }
}

/// Writes the identity of a thing from its folder.
fn write_identity(folder: &Path, journal: &Journal) -> Result<()> {
    let credential = Credential::load(folder, "device")?;
    let endpoint = journal.endpoint.as_deref().unwrap_or_default();
    let mut fields = identity::Identity::new(endpoint, &[], credential.key.secret_der());
    fields.certificates = credential.chain.iter().map(AsRef::as_ref).collect();
    // What the policy allows: the thing's name as client id, and these topics.
    fields.client_id = Some(&journal.thing);
    fields.thing_name = Some(&journal.thing);
    fields.status_topic = &journal.status_topic;
    fields.control_topic = &journal.control_topic;
    let region = fields.encode_region().context("the identity cannot be made")?;
    device::save_region(&region, &folder.join("identity.bin"))
}

/// Many things, with a progress bar.
fn provision_fleet(account: Account, file: &Path, settings: &Settings) -> Result<()> {
    let fleet = Fleet::read(file)?;
    let bar = ProgressBar::new(fleet.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")?);
    // Lines of the single steps would bury the bar; whose account it is, one wants to see.
    let started = Cell::new(false);
    let say = |line: &str| {
        if started.get() { bar.set_message(line.to_owned()) } else { println!("{line}") }
    };
    let mut session = account.open(&say)?;
    println!("things       {}", fleet.len());
    started.set(true);
    let outcomes = fleet.provision(&mut session, &|_| settings.topics(), &|thing, outcome| {
        bar.inc(1);
        if let fleet::Outcome::Failed(error) = outcome {
            bar.suspend(|| eprintln!("{thing}: {error}"));
        }
    });
    bar.finish_and_clear();
    println!("report       {}", fleet.report().display());
    let outcomes = outcomes?;
    let count = |wanted: &dyn Fn(&fleet::Outcome) -> bool| {
        outcomes.iter().filter(|outcome| wanted(outcome)).count()
    };
    let made = count(&|outcome| *outcome == fleet::Outcome::Provisioned);
    let complete = count(&|outcome| *outcome == fleet::Outcome::Complete);
    let failed = outcomes.len() - made - complete;
    println!("{made} provisioned, {complete} complete before, {failed} failed");
    if failed > 0 {
        bail!(
            "{failed} things failed: the report says why; mend that and run the same command again"
        );
    }
    Ok(())
}
