//! `thing signing-key`, `thing release`, `thing release-info`: signed images.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use board::image::Image;
use board_facts::Board;
use process::output;
use releases::{PublicKey, Release, Signer};

#[derive(clap::Args)]
pub struct KeyArguments {
    /// Folder of the key, which git ignores
    #[arg(long = "keys", default_value = "certs/signing")]
    pub folder: PathBuf,
}

impl KeyArguments {
    /// The folder's key, or a command that signs in its place.
    pub fn signer(&self, command: Option<&str>) -> Result<Signer> {
        match command {
            None => Signer::with_key(&self.folder.join("signing.key")),
            Some(command) => {
                let public = PublicKey::read(&self.folder.join("signing.pub"))?;
                Ok(Signer::Command { command: command.to_owned(), public })
            }
        }
    }
}

#[derive(clap::Args)]
pub struct Arguments {
    /// The board
    #[arg(long, value_parser = Board::named)]
    board: Board,
    /// Folder of the board's flash files
    #[arg(long)]
    image: PathBuf,
    /// Folder that the release is written to
    #[arg(long, default_value = "target/releases")]
    to: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// A command of the shell that signs instead of the folder's signing.key: it gets the image at its
    /// standard input and answers with the signature in DER, as base64
    #[arg(long)]
    signer: Option<String>,
}

#[derive(clap::Args)]
pub struct InfoArguments {
    /// The release
    file: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
}

/// Makes the signing key.
pub fn make_key(arguments: &KeyArguments) -> Result<()> {
    let key = releases::make_key(&arguments.folder)?;
    output::line(format!(
        "The signing key is {}: whoever has it makes firmware that your devices take. Keep a copy \
         where nobody else gets it.\nDevices that take updates trust {}.",
        key.display(),
        arguments.folder.join("signing.pub").display()
    ))
}

/// Signs a board's image.
pub fn make(arguments: &Arguments) -> Result<()> {
    let Arguments { board, image, to, key, signer } = arguments;
    if let Some(reason) = board.no_updates() {
        bail!("{} takes no updates over the air: {reason}", board.title);
    }
    let signer = key.signer(signer.as_deref())?;
    let image = Image::in_folder(image);
    image.verify()?;
    let release = Release::sign(std::fs::read(&image.firmware)?, &signer)?;
    ensure!(
        release.board() == board.name,
        "{} is an image of the board {}, not {}: run `make image BOARD={}`",
        image.firmware.display(),
        release.board(),
        board.name,
        board.name
    );
    std::fs::create_dir_all(to)?;
    let file = to.join(format!("{}-{}.release", board.name, release.version()));
    release.write(&file)?;
    output::line(format!("{}: {}", file.display(), release.summary()))
}

/// Checks a release and says what it is.
pub fn describe(arguments: &InfoArguments) -> Result<()> {
    let InfoArguments { file, key } = arguments;
    let release = Release::read(file)?;
    let public = key.folder.join("signing.pub");
    release.verify(&PublicKey::read(&public)?)?;
    output::line(format!("{}\nsigned by the key of {}", release.summary(), public.display()))
}
