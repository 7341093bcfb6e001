//! `thing flash`, `thing flash-identity`, `thing erase`: a board's flash through its serial port.

use std::path::PathBuf;

use anyhow::Result;
use board::flash::Line;
use board::image::Image;

use crate::context::Context;
use crate::{esptool, image};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: image::Files,
    /// Identity region to write too, if the file exists
    #[arg(long)]
    identity: Option<PathBuf>,
    #[command(flatten)]
    line: Line,
}

/// The way to a board's flash
#[derive(clap::Args)]
pub struct Access {
    #[command(flatten)]
    esptool: esptool::Arguments,
    #[command(flatten)]
    line: Line,
}

#[derive(clap::Args)]
pub struct IdentityArguments {
    /// The region, instead of certs/THING/identity.bin
    #[arg(long)]
    identity: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

/// Writes firmware and identity.
pub fn flash(context: &Context, arguments: &Arguments) -> Result<()> {
    let Arguments { files, identity, line } = arguments;
    let image = Image::in_folder(&files.folder);
    let thing = &context.settings.thing;
    board::flash::flash(&files.esptool.find()?, line, &image, thing, identity.as_deref())
}

/// Writes the identity alone.
pub fn flash_identity(context: &Context, arguments: IdentityArguments) -> Result<()> {
    let IdentityArguments { identity, access: Access { esptool, line } } = arguments;
    let identity = match identity {
        Some(path) => path,
        None => context.folder()?.identity(),
    };
    board::flash::flash_identity(&esptool.find()?, &line, &context.settings.thing, &identity)
}

/// Erases all of it.
pub fn erase(Access { esptool, line }: &Access) -> Result<()> {
    board::flash::erase(&esptool.find()?, line)
}
