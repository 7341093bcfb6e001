//! `thing image`: the flash files of a board's firmware.

use std::path::PathBuf;

use anyhow::Result;
use board::image::Image;

use crate::esptool;
use crate::verdicts::Elf;

#[derive(clap::Args)]
pub struct Files {
    /// Folder of the image's files
    #[arg(long = "folder")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub esptool: esptool::Arguments,
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    firmware: Elf,
    #[command(flatten)]
    files: Files,
}

/// Makes them and shows the memory map.
pub fn make(arguments: &Arguments) -> Result<()> {
    let Arguments { firmware: Elf { elf }, files } = arguments;
    let image = Image::make(&files.esptool.find()?, elf, &files.folder)?;
    println!("{}", image.map(elf)?);
    Ok(())
}
