//! `thing`: the verbs behind the Makefile.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use tools::bench;
use tools::config::Config;
use tools::control;
use tools::esptool::Esptool;
use tools::figures;
use tools::flash::{self, Port};
use tools::image::Image;
use tools::iram;
use tools::machine::Firmware;
use tools::monitor::{self, MonitorOptions};
use tools::output::{self, Unheard};
use tools::pki::Pki;
use tools::provision::fleet::{self, Fleet};
use tools::provision::{Cli, LocalCloud, Rotation, Session, Witness};
use tools::provisioned::ThingFolder;
use tools::region;
use tools::run::{self, RunOptions};
use tools::secrets;
use tools::settings::{Settings, Topics};
use tools::size::{self, Budget};
use tools::smoke;
use tools::status::Led;
use tools::target_test;

/// Run, flash, control and check devices and their local cloud
#[derive(Parser)]
#[command(name = "thing", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    places: Places,
}

/// Where a person's own files are.
#[derive(clap::Args)]
struct Places {
    /// The settings of your devices
    #[arg(long, global = true, default_value = "config.toml")]
    config: PathBuf,
    /// Folder with a folder for each thing
    #[arg(long, global = true, default_value = "certs")]
    things: PathBuf,
}

impl Places {
    /// The folder of the thing that the settings name.
    fn thing(&self, settings: &Settings) -> Result<ThingFolder> {
        Ok(ThingFolder::new(&self.things, &settings.thing)?)
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Make the local certificates, or renew those that end soon
    Pki {
        /// Further host names for the server's certificate
        #[arg(long = "name")]
        names: Vec<String>,
    },
    /// Make the identity region of a thing from config.toml and certs/THING (16 KB)
    Identity {
        /// File to write, instead of certs/THING/identity.bin; it will hold the private key
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Show an identity region without its secrets
    IdentityInfo {
        /// The region, instead of certs/THING/identity.bin
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Fail when a private key is under version control
    CheckSecrets,
    /// Run the device with its local cloud until Ctrl-C
    Run {
        #[command(flatten)]
        firmware: Firmware,
        /// Use this identity region instead of the local cloud's
        #[arg(long)]
        identity: Option<PathBuf>,
    },
    /// Light the LED of the running device
    On,
    /// Darken the LED of the running device
    Off,
    /// Show what the running device publishes
    Watch,
    /// Check that the device publishes and obeys on and off, within 120 s
    Smoke {
        #[command(flatten)]
        firmware: Firmware,
    },
    /// Make a thing on AWS: key, certificate, policy; results go to `certs/<thing>/`
    Provision {
        #[command(flatten)]
        account: Account,
        /// Make the next key and certificate, and retire the old ones once the device was seen
        /// connected with them
        #[arg(long)]
        rotate: bool,
        /// The device is the emulated one, which connects to the local cloud and not to AWS
        #[arg(long, requires = "rotate")]
        emulated: bool,
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
    /// Measure what a firmware takes while it runs, and hold it to budgets
    Figures {
        /// The firmware
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
    /// Prove that what runs with the flash cache off reaches nothing in flash
    Iram {
        /// The firmware
        #[arg(long)]
        elf: PathBuf,
    },
    /// Make the flash files of a board's firmware and show the memory map
    Image {
        /// The firmware
        #[arg(long)]
        elf: PathBuf,
        #[command(flatten)]
        files: ImageFiles,
    },
    /// Write firmware and identity to a board
    Flash {
        #[command(flatten)]
        files: ImageFiles,
        /// Identity region to write too, if the file exists
        #[arg(long)]
        identity: Option<PathBuf>,
        #[command(flatten)]
        port: Port,
        /// Bits per second of the transfer
        #[arg(long, default_value_t = 460_800)]
        baud: u32,
    },
    /// Write only the identity region to a board
    FlashIdentity {
        /// The region, instead of certs/THING/identity.bin
        #[arg(long)]
        identity: Option<PathBuf>,
        #[command(flatten)]
        access: Access,
    },
    /// Set esptool up and say where it is
    Esptool {
        /// Virtual environment
        #[arg(long, default_value = "target/esptool")]
        esptool: PathBuf,
    },
    /// Erase a board's whole flash
    Erase {
        #[command(flatten)]
        access: Access,
    },
    /// Show a board's console
    Monitor {
        /// The firmware, for the names of code addresses
        #[arg(long)]
        elf: PathBuf,
        #[command(flatten)]
        port: Port,
        /// Bits per second; 74880 shows what the boot ROM says
        #[arg(long, default_value_t = monitor::FIRMWARE_BAUD)]
        baud: u32,
        /// Do not reset the board first
        #[arg(long)]
        no_reset: bool,
    },
}

#[derive(clap::Args)]
struct ImageFiles {
    /// Folder of the image's files
    #[arg(long = "folder")]
    folder: PathBuf,
    /// Virtual environment with esptool
    #[arg(long, default_value = "target/esptool")]
    esptool: PathBuf,
}

/// The way to a board's flash
#[derive(clap::Args)]
struct Access {
    /// Virtual environment with esptool
    #[arg(long, default_value = "target/esptool")]
    esptool: PathBuf,
    #[command(flatten)]
    port: Port,
    /// Bits per second
    #[arg(long, default_value_t = 460_800)]
    baud: u32,
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
    /// Folder into which the AWS CLI is installed when there is none
    #[arg(long, default_value = "target")]
    target: PathBuf,
}

impl Account {
    /// Says whose account it is.
    fn open<'a>(self, things: &Path, say: &'a dyn Fn(&str)) -> Result<Session<'a>> {
        let cli = Cli::find(&self.target, say)?.with_profile(self.profile).with_region(self.region);
        Session::open(cli, things, say)
    }
}

fn main() -> ExitCode {
    match perform(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Unheard>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(Arguments { verb, mut settings, places }: Arguments) -> Result<()> {
    // Only the verbs that need a person's settings stop at a mistake in them.
    let configure = |settings: &mut Settings| -> Result<(Config, ThingFolder)> {
        let config = Config::load(&places.config)?;
        settings.adopt(&config)?;
        Ok((config, places.thing(settings)?))
    };
    match verb {
        Verb::Pki { names } => {
            Pki::open(&settings.certs, &settings.thing, &names)?;
            output::line(format!("local certificates are in {}", settings.certs.display()))
        }
        Verb::Identity { out } => {
            let (config, folder) = configure(&mut settings)?;
            let out = out.unwrap_or_else(|| folder.identity());
            region::write(&config, &folder, &out, &settings.topics())?;
            output::line(format!(
                "identity of {} is in {} (it holds the private key: keep it to yourself)",
                settings.thing,
                out.display()
            ))
        }
        Verb::IdentityInfo { file } => {
            let file = match file {
                Some(file) => file,
                None => places.thing(&settings)?.identity(),
            };
            let remedy = format!("`make identity THING={}` makes it", settings.thing);
            output::line(region::describe_file(&file, &remedy)?.trim_end())
        }
        Verb::CheckSecrets => secrets::check(),
        Verb::Run { firmware, identity } => {
            let (config, folder) = configure(&mut settings)?;
            run::run(&settings, &config, &folder, &RunOptions { firmware, identity })
        }
        Verb::On => control::switch(&settings.state, Led::On),
        Verb::Off => control::switch(&settings.state, Led::Off),
        Verb::Watch => control::watch(&settings.state),
        Verb::Smoke { firmware } => {
            let (config, folder) = configure(&mut settings)?;
            smoke::smoke(&settings, &config, &folder, &firmware)
        }
        Verb::Provision { account, rotate, emulated, wait } => {
            let (config, folder) = configure(&mut settings)?;
            let say = |line: &str| println!("{line}");
            let mut session = account.open(&places.things, &say)?;
            let thing = &settings.thing;
            if rotate {
                let mut witness: Box<dyn Witness> = if emulated {
                    Box::new(LocalCloud::new(&settings.state))
                } else {
                    Box::new(session.operator()?)
                };
                let mut rotation = Rotation {
                    write_identity: &|_| {
                        region::write(&config, &folder, &folder.identity(), &settings.topics())
                    },
                    witness: &mut *witness,
                    limit: Duration::from_secs(wait),
                };
                session.rotate(thing, &settings.topics(), &mut rotation)?;
            } else {
                session.provision(thing, &settings.topics())?;
                println!(
                    "{thing} is complete; its key and certificate are in {}",
                    places.things.join(thing).display()
                );
            }
            Ok(())
        }
        Verb::Deprovision { account } => {
            let say = |line: &str| println!("{line}");
            account.open(&places.things, &say)?.deprovision(&settings.thing)
        }
        Verb::ProvisionFleet { account, file } => {
            let config = Config::load(&places.config)?;
            provision_fleet(account, &places.things, &file, &config)
        }
        Verb::TargetTest { elf, filter, timeout } => {
            target_test::run(&elf, &filter, Duration::from_secs(timeout))
        }
        Verb::Bench { elf } => bench::run(&elf),
        Verb::Figures { elf } => figures::run(&settings, &elf),
        Verb::Size { elf, budget } => size::report(&elf, &budget),
        Verb::Iram { elf } => iram::check(&elf),
        Verb::Image { elf, files } => {
            let image = Image::make(&Esptool::set_up(&files.esptool)?, &elf, &files.folder)?;
            println!("{}", image.map(&elf)?);
            Ok(())
        }
        Verb::Flash { files, identity, port, baud } => flash::flash(
            &Esptool::set_up(&files.esptool)?,
            &port,
            baud,
            &Image::in_folder(&files.folder),
            identity.as_deref(),
        ),
        Verb::FlashIdentity { identity, access: Access { esptool, port, baud } } => {
            let identity = match identity {
                Some(path) => path,
                None => places.thing(&settings)?.identity(),
            };
            let esptool = Esptool::set_up(&esptool)?;
            flash::flash_identity(&esptool, &port, baud, &settings.thing, &identity)
        }
        Verb::Esptool { esptool } => output::line(Esptool::set_up(&esptool)?.program().display()),
        Verb::Erase { access: Access { esptool, port, baud } } => {
            flash::erase(&Esptool::set_up(&esptool)?, &port, baud)
        }
        Verb::Monitor { elf, port, baud, no_reset } => {
            monitor::monitor(&port, &MonitorOptions { elf, baud, reset: !no_reset })
        }
    }
}

/// Many things, with a progress bar.
fn provision_fleet(account: Account, things: &Path, file: &Path, config: &Config) -> Result<()> {
    let fleet = Fleet::read(file)?;
    let bar = ProgressBar::new(fleet.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")?);
    // Lines of the single steps would bury the bar; whose account it is, one wants to see.
    let started = Cell::new(false);
    let say = |line: &str| {
        if started.get() { bar.set_message(line.to_owned()) } else { println!("{line}") }
    };
    let mut session = account.open(things, &say)?;
    println!("things       {}", fleet.len());
    started.set(true);
    let topics = |thing: &str| Ok(config.topics(thing, Topics::default())?);
    let outcomes = fleet.provision(&mut session, &topics, &|thing, outcome| {
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
