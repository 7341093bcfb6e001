//! `thing signing-key`, `thing release`, `thing release-info`: signed images.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use board::image::Image;
use board_facts::Board;
use process::{files, output};
use releases::{PublicKey, Release, Signer};
use slots::Version;

use crate::context::Context;

#[derive(clap::Args)]
pub struct KeyArguments {
    /// Folder of the key, which git ignores; `signing` beside the folders of things when it is not named
    #[arg(long = "keys")]
    folder: Option<PathBuf>,
}

impl KeyArguments {
    fn folder(&self, things: &Path) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| things.join(SIGNING))
    }

    /// The public half.
    fn public(&self, things: &Path) -> PathBuf {
        self.folder(things).join(PUBLIC)
    }

    /// The keys by which devices take updates: those that `[update]` names, for these things or else
    /// for all, and the folder's. While a key is changed there are two.
    ///
    /// # Errors
    /// When there is none, or one that is named cannot be read.
    pub fn trusted(&self, context: &Context, things: &[&str]) -> Result<Vec<Trusted>> {
        let config = context.config()?;
        let mut files = if things.is_empty() { config.update_keys(None)? } else { Vec::new() };
        for thing in things {
            files.extend(config.update_keys(Some(thing))?);
        }
        let own = self.public(&context.things);
        if files.is_empty() || self.folder.is_some() || own.exists() {
            files.push(own);
        }
        let mut trusted: Vec<Trusted> = Vec::new();
        for file in files {
            let key = PublicKey::read(&file)?;
            if trusted.iter().all(|known| known.key != key) {
                trusted.push(Trusted { file, key });
            }
        }
        Ok(trusted)
    }

    /// The folder's key, or a command that signs in its place, by any key that devices trust, and whether
    /// that may be given private keys of devices.
    pub fn signer(
        &self,
        context: &Context,
        things: &[&str],
        command: Option<&str>,
        sees_keys: bool,
    ) -> Result<Signer> {
        match command {
            None => Signer::with_key(&self.folder(&context.things).join("signing.key")),
            Some(command) => {
                let trusted = self.trusted(context, things)?;
                let keys = trusted.into_iter().map(|trusted| trusted.key).collect();
                Ok(Signer::Command { command: command.to_owned(), keys, sees_keys })
            }
        }
    }
}

/// A key by which devices take updates, and where it lies.
pub struct Trusted {
    pub file: PathBuf,
    pub key: PublicKey,
}

/// Whose signature a release has.
///
/// # Errors
/// When it is none of these keys'.
pub fn signed_by<'t>(release: &Release, trusted: &'t [Trusted]) -> Result<&'t Trusted> {
    let signer = trusted.iter().find(|trusted| release.verify(&trusted.key).is_ok());
    signer.with_context(|| {
        let files: Vec<String> =
            trusted.iter().map(|trusted| trusted.file.display().to_string()).collect();
        format!(
            "devices that trust {} would refuse this release, which is signed by another key",
            files.join(" and ")
        )
    })
}

/// The folder of the signing key, beside the folders of things.
const SIGNING: &str = "signing";
/// The public half of the key, in that folder.
const PUBLIC: &str = "signing.pub";

/// The public half of the key of this working copy, or of an application's folder outside it.
pub fn own_public_key(things: &Path) -> PathBuf {
    things.join(SIGNING).join(PUBLIC)
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
pub fn make_key(context: &Context, arguments: &KeyArguments) -> Result<()> {
    let key = releases::make_key(&arguments.folder(&context.things))?;
    output::line(format!(
        "The signing key is {}: whoever has it makes firmware that your devices take. Keep a copy \
         where nobody else gets it.\nDevices that take updates trust {}.",
        key.display(),
        arguments.public(&context.things).display()
    ))
}

/// The file of a board's release of this version.
pub fn file(folder: &Path, board: &Board, version: Version) -> PathBuf {
    folder.join(format!("{}-{version}.release", board.name))
}

/// Signs a board's image.
///
/// # Errors
/// When it is none, cannot be signed, or the version is already another image's.
pub fn make(context: &Context, arguments: &Arguments) -> Result<()> {
    let Arguments { board, image, to, key, signer } = arguments;
    if let Some(reason) = board.no_updates() {
        bail!("{} takes no updates over the air: {reason}", board.title);
    }
    let signer = key.signer(context, &[], signer.as_deref(), false)?;
    let image = Image::in_folder(image);
    image.verify()?;
    let bytes = files::read(&image.firmware)?;
    let descriptor = releases::describe(&bytes)?;
    ensure!(
        descriptor.board() == board.name,
        "{} is an image of the board {}, not {}: run `make image BOARD={}`",
        image.firmware.display(),
        descriptor.board(),
        board.name,
        board.name
    );
    let file = file(to, board, descriptor.version());
    // Devices may run what has that number, and who goes back to it needs it as it was.
    ensure!(
        !file.try_exists()? || Release::read(&file)?.image() == bytes,
        "{} is there and holds another image: RELEASE={} takes it, another VERSION= makes a new one",
        file.display(),
        file.display()
    );
    let release = Release::sign(bytes, &signer)?;
    files::make_folder(to)?;
    release.write(&file)?;
    output::line(format!("{}: {}", file.display(), release.summary()))
}

/// Checks a release and says what it is.
pub fn describe(context: &Context, arguments: &InfoArguments) -> Result<()> {
    let InfoArguments { file, key } = arguments;
    let release = Release::read(file)?;
    let trusted = key.trusted(context, &[])?;
    let signer = signed_by(&release, &trusted)?;
    output::line(format!("{}\nsigned by the key of {}", release.summary(), signer.file.display()))
}
