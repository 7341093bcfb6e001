//! `thing image`: the flash files of a board's firmware.

use std::path::PathBuf;

use anyhow::Result;
use board::image::Image;
use board_facts::Board;

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
    /// The boot stage
    #[arg(long)]
    boot: PathBuf,
    /// The board
    #[arg(long, default_value = "nodemcu", value_parser = Board::named)]
    board: Board,
    #[command(flatten)]
    files: Files,
}

/// Makes them and shows the memory map.
pub fn make(arguments: &Arguments) -> Result<()> {
    let Arguments { firmware: Elf { elf }, boot, board, files } = arguments;
    let image = Image::make(&files.esptool.find()?, board, boot, elf, &files.folder)?;
    println!("{}", image.map(board, elf)?);
    Ok(())
}
