//! `thing`: the verbs behind the Makefile. Each verb has its arguments and its code in a module.

mod context;
mod control;
mod flash;
mod fleet;
mod identity;
mod pki;
mod provision;
mod release;
mod rotation;
mod run;
mod smoke;
mod trust;
mod update;
mod verdicts;

use std::process::ExitCode;

use anyhow::Result;
use board::monitor::Monitor;
use board::status::Led;
use clap::{Parser, Subcommand};
use process::output::Unheard;

use context::Context;

/// Run, flash, control and check devices and their local cloud
#[derive(Parser)]
#[command(name = "thing", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    context: Context,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the local certificates, or renew those that end soon
    Pki(pki::Arguments),
    /// Make the identity region of a thing from config.toml and certs/THING (16 KB)
    Identity(identity::Arguments),
    /// Show an identity region without its secrets
    IdentityInfo(identity::InfoArguments),
    /// Run the device with its local cloud until Ctrl-C
    Run(run::Arguments),
    /// Light the LED of the running device
    On(control::Switching),
    /// Darken the LED of the running device
    Off(control::Switching),
    /// Publish a message to the running device's control topic
    Send {
        /// What to send, as it is
        message: String,
    },
    /// Show what the running device publishes
    Watch,
    /// Check that the device publishes and obeys on and off, within 120 s
    Smoke(smoke::Arguments),
    /// Make a thing on AWS: key, certificate, policy; results go to `certs/<thing>/`
    Provision(provision::Arguments),
    /// Remove a thing from AWS and from this machine
    Deprovision(provision::Removal),
    /// Provision all things of a list
    ProvisionFleet(fleet::Arguments),
    /// Run test firmware on the emulated CPU
    TargetTest(verdicts::TargetTest),
    /// Show what basic steps cost on the emulated CPU, and hold them to budgets
    Bench(verdicts::Elf),
    /// Measure what a firmware takes while it runs, and hold it to budgets
    Figures(verdicts::Elf),
    /// Show what a firmware takes of each memory, and hold it to budgets
    Size(verdicts::Size),
    /// Prove that what runs with the flash cache off reaches nothing in flash
    Iram(verdicts::Elf),
    /// Hold what is built in against the known faults of its versions
    Audit,
    /// Fail when a private key is under version control
    CheckSecrets,
    /// Fail when a crate depends on one that is no floor below its own; reads `cargo metadata`'s
    /// output
    CheckFloors,
    /// Make the flash files of a board's firmware and show the memory map
    Image(flash::ImageArguments),
    /// Write firmware and identity to a board
    Flash(flash::Arguments),
    /// Write only the identity region to a board
    FlashIdentity(flash::IdentityArguments),
    /// Make the key that signs releases
    SigningKey(release::KeyArguments),
    /// Sign a board's image: one file, from which updates are made
    Release(release::Arguments),
    /// Check a release, its signature included, and say what it is
    ReleaseInfo(release::InfoArguments),
    /// Update things over the air, and follow that until it is over
    Update(update::Arguments),
    /// Give a thing its identity as it is made now, over the air
    UpdateIdentity(update::IdentityArguments),
    /// Say which version `update` needs built, if any
    UpdateVersion(update::VersionArguments),
    /// Show the updates that are not over
    UpdateStatus(provision::Account),
    /// Call an update off
    UpdateCancel(update::CancelArguments),
    /// Print the policy on AWS of whoever orders updates
    UpdatePolicy(update::PolicyArguments),
    /// Set esptool up and say where it is
    Esptool(flash::Tool),
    /// Erase a board's whole flash
    Erase(flash::Access),
    /// Show a board's console
    Monitor(Monitor),
}

fn main() -> ExitCode {
    let Arguments { verb, context } = Arguments::parse();
    match perform(verb, context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Unheard>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("thing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb, context: Context) -> Result<()> {
    match verb {
        Verb::Pki(arguments) => pki::open(&context, &arguments),
        Verb::Identity(arguments) => identity::write(context, arguments),
        Verb::IdentityInfo(arguments) => identity::describe(&context, arguments),
        Verb::Run(arguments) => run::run(context, &arguments),
        Verb::On(arguments) => control::switch(&context, Led::On, &arguments),
        Verb::Off(arguments) => control::switch(&context, Led::Off, &arguments),
        Verb::Send { message } => control::send(&context, &message),
        Verb::Watch => control::watch(&context),
        Verb::Smoke(arguments) => smoke::smoke(context, &arguments),
        Verb::Provision(arguments) => provision::provision(context, arguments),
        Verb::Deprovision(removal) => provision::deprovision(&context, removal),
        Verb::ProvisionFleet(arguments) => fleet::provision(&context, arguments),
        Verb::TargetTest(arguments) => arguments.run(),
        Verb::Bench(firmware) => checks::bench::run(&firmware.elf),
        Verb::Figures(firmware) => checks::figures::run(&context.settings, &firmware.elf),
        Verb::Size(arguments) => checks::size::report(&arguments.firmware.elf, &arguments.budget),
        Verb::Iram(firmware) => checks::iram::check(&firmware.elf),
        Verb::Audit => checks::audit::check(),
        Verb::CheckSecrets => checks::secrets::check(),
        Verb::CheckFloors => checks::floors::check(std::io::stdin().lock()),
        Verb::Image(arguments) => flash::image(&arguments),
        Verb::Flash(arguments) => flash::flash(&context, &arguments),
        Verb::FlashIdentity(arguments) => flash::flash_identity(&context, arguments),
        Verb::SigningKey(arguments) => release::make_key(&context, &arguments),
        Verb::Release(arguments) => release::make(&context, &arguments),
        Verb::ReleaseInfo(arguments) => release::describe(&context, &arguments),
        Verb::Update(arguments) => update::update(&context, arguments),
        Verb::UpdateIdentity(arguments) => update::update_identity(context, arguments),
        Verb::UpdateVersion(arguments) => update::next_version(&context, &arguments),
        Verb::UpdateStatus(account) => update::status(&context, account),
        Verb::UpdateCancel(arguments) => update::cancel(&context, arguments),
        Verb::UpdatePolicy(arguments) => update::policy(&context, arguments),
        Verb::Esptool(tool) => flash::esptool(&tool),
        Verb::Erase(access) => flash::erase(&access),
        Verb::Monitor(arguments) => board::monitor::monitor(&arguments),
    }
}
