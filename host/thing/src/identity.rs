//! `thing identity` and `thing identity-info`: identity regions as files.

use std::path::PathBuf;

use anyhow::Result;
use process::output;
use things::identity_region;

use crate::context::{Configured, Context};

#[derive(clap::Args)]
pub struct Arguments {
    /// File to write, instead of certs/THING/identity.bin; it will hold the private key
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct InfoArguments {
    /// The region, instead of certs/THING/identity.bin
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Makes the region of a thing.
pub fn write(context: Context, arguments: Arguments) -> Result<()> {
    let Configured { settings, config, folder, .. } = context.configure()?;
    let out = arguments.out.unwrap_or_else(|| folder.identity());
    identity_region::write(&config, &folder, &out, &settings.topics)?;
    output::line(format!(
        "identity of {} is in {} (it holds the private key: keep it to yourself)",
        settings.thing,
        out.display()
    ))
}

/// Shows a region.
pub fn describe(context: &Context, arguments: InfoArguments) -> Result<()> {
    let file = context.identity(arguments.file)?;
    let remedy = format!("`make identity THING={}` makes it", context.settings.thing);
    output::line(identity_region::describe_file(&file, &remedy)?.trim_end())
}
