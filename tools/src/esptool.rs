//! Espressif's own tool for images and the boot loader, as `make` has set it up.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::programs::{self, Owned};

/// The program.
#[derive(Clone, Debug)]
pub struct Esptool {
    program: PathBuf,
}

/// What a run of it that failed had said.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Everything it wrote.
    pub output: String,
}

impl Esptool {
    /// The one in the virtual environment `folder`.
    ///
    /// # Errors
    /// When it has not been set up.
    pub fn new(folder: &Path) -> Result<Self> {
        let program = folder.join("bin/esptool");
        if !program.exists() {
            bail!("{} is missing: run `make image`, which sets it up", program.display());
        }
        Ok(Self { program })
    }

    /// Runs it quietly and returns its output.
    ///
    /// # Errors
    /// When it fails.
    pub fn output<I, S>(&self, arguments: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let bytes = programs::output(&self.program, arguments)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs it with its output shown as it comes.
    ///
    /// # Errors
    /// When it cannot be started or watched; `Ok(Err(..))` when it ran and failed.
    pub fn show<I, S>(&self, arguments: I) -> Result<std::result::Result<(), Failure>>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let errors = writer.try_clone().context("cannot make a pipe")?;
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(errors);
        let mut running = Owned::spawn(&mut command)?;
        // The command keeps its ends of the pipe, which would never end.
        drop(command);
        let mut output = Vec::new();
        let mut piece = [0; 1024];
        loop {
            let length = reader.read(&mut piece).context("cannot read esptool's output")?;
            if length == 0 {
                break;
            }
            output.extend_from_slice(&piece[..length]);
            // Whoever closed the other end does not want the rest.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&piece[..length]);
            let _ = out.flush();
        }
        let status = running.child().wait().context("cannot wait for esptool")?;
        if status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(Failure { output: String::from_utf8_lossy(&output).into_owned() }))
    }
}
