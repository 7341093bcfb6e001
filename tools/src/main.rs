//! `thing`: the verbs behind the Makefile.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use tools::bench;
use tools::cloud::Endpoints;
use tools::control;
use tools::device::{self, DeviceIdentity};
use tools::esptool::Esptool;
use tools::flash::{self, Port};
use tools::image::Image;
use tools::iram;
use tools::monitor::{self, MonitorOptions};
use tools::pki::Pki;
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
    /// Erase a board's whole flash
    Erase {
        /// Virtual environment with esptool
        #[arg(long, default_value = "target/esptool")]
        esptool: PathBuf,
        #[command(flatten)]
        port: Port,
        /// Bits per second
        #[arg(long, default_value_t = 460_800)]
        baud: u32,
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
        Verb::TargetTest { elf, filter, timeout } => {
            target_test::run(&elf, &filter, Duration::from_secs(timeout))
        }
        Verb::Bench { elf } => bench::run(&elf),
        Verb::Size { elf, budget } => size::report(&elf, &budget),
        Verb::Iram { elf } => iram::check(&elf),
        Verb::Image { elf, files } => {
            let image = Image::make(&Esptool::new(&files.esptool)?, &elf, &files.folder)?;
            println!("{}", image.map(&elf)?);
            Ok(())
        }
        Verb::Flash { files, identity, port, baud } => flash::flash(
            &Esptool::new(&files.esptool)?,
            &port,
            baud,
            &Image::in_folder(&files.folder),
            identity.as_deref(),
        ),
        Verb::Erase { esptool, port, baud } => {
            flash::erase(&Esptool::new(&esptool)?, &port, baud)
        }
        Verb::Monitor { elf, port, baud, no_reset } => {
            monitor::monitor(&port, &MonitorOptions { elf, baud, reset: !no_reset })
        }
    }
}
