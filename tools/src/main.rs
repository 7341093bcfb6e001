//! `thing`: the verbs behind the Makefile.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

use tools::bench;
use tools::config::Config;
use tools::control;
use tools::figures;
use tools::output::{self, Unheard};
use tools::pki::Pki;
use tools::provisioned::ThingFolder;
use tools::region;
use tools::run::{self, RunOptions};
use tools::secrets;
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
}

#[derive(Clone, Copy, ValueEnum)]
enum Board {
    /// The emulated one
    Qemu,
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
        Verb::Run { elf, identity, board: Board::Qemu } => {
            let (config, folder) = configure(&mut settings)?;
            run::run(&settings, &config, &folder, &RunOptions { elf, identity })
        }
        Verb::On => control::switch(&settings.state, Led::On),
        Verb::Off => control::switch(&settings.state, Led::Off),
        Verb::Watch => control::watch(&settings.state),
        Verb::Smoke { elf } => {
            let (config, folder) = configure(&mut settings)?;
            smoke::smoke(&settings, &config, &folder, &elf)
        }
        Verb::TargetTest { elf, filter, timeout } => {
            target_test::run(&elf, &filter, Duration::from_secs(timeout))
        }
        Verb::Bench { elf } => bench::run(&elf),
        Verb::Figures { elf } => figures::run(&settings, &elf),
        Verb::Size { elf, budget } => size::report(&elf, &budget),
    }
}
