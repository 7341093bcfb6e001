//! `thing image`, `thing flash`, `thing flash-identity`, `thing erase`, `thing esptool`: what a board's
//! flash holds, made, and written through its serial port.

use std::path::PathBuf;

use anyhow::Result;
use board::esptool::Esptool;
use board::flash::Line;
use board::image::Image;
use board_facts::Board;
use process::output;

use crate::context::Context;
use crate::verdicts::Elf;

#[derive(clap::Args)]
// Part of verbs whose own arguments are called the same, which clap would take for one group.
#[group(skip)]
pub struct Tool {
    /// Virtual environment with esptool
    #[arg(long = "esptool", default_value = "target/esptool")]
    environment: PathBuf,
}

impl Tool {
    /// The program; installed when it is not there.
    fn find(&self) -> Result<Esptool> {
        Esptool::set_up(&self.environment)
    }
}

#[derive(clap::Args)]
pub struct Files {
    /// Folder of the image's files
    #[arg(long = "folder")]
    folder: PathBuf,
    #[command(flatten)]
    esptool: Tool,
}

#[derive(clap::Args)]
pub struct ImageArguments {
    #[command(flatten)]
    firmware: Elf,
    /// The boot stage
    #[arg(long)]
    boot: PathBuf,
    /// The board
    #[arg(long, default_value = "nodemcu", value_parser = Board::named)]
    board: Board,
    #[command(flatten)]
    files: Files,
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    files: Files,
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
    esptool: Tool,
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

/// Makes the files and shows the memory map.
pub fn image(arguments: &ImageArguments) -> Result<()> {
    let ImageArguments { firmware: Elf { elf }, boot, board, files } = arguments;
    let image = Image::make(&files.esptool.find()?, board, boot, elf, &files.folder)?;
    println!("{}", image.map(board, elf)?);
    Ok(())
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
    let identity = context.identity(identity)?;
    board::flash::flash_identity(&esptool.find()?, &line, &context.settings.thing, &identity)
}

/// Erases all of it.
pub fn erase(Access { esptool, line }: &Access) -> Result<()> {
    board::flash::erase(&esptool.find()?, line)
}

/// Sets esptool up and says where it is.
pub fn esptool(tool: &Tool) -> Result<()> {
    output::line(tool.find()?.program().display())
}
