//! Espressif's own tool for images and the boot loader, from PyPI in the release that
//! `host/process/python/esptool.txt` pins.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use process::output;
use process::programs::{self, Owned};
use process::python;

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
    /// The one in the virtual environment `folder`, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn set_up(folder: &Path) -> Result<Self> {
        if !python::is_made(folder, python::ESPTOOL_BUILD, python::ESPTOOL) {
            output::line(format!("installing esptool from PyPI into {}", folder.display()))?;
        }
        let programs = python::environment_built(folder, python::ESPTOOL_BUILD, python::ESPTOOL)
            .with_context(|| {
                format!(
                    "esptool cannot be set up (offline: bring {} from a machine where this ran)",
                    folder.display()
                )
            })?;
        Ok(Self { program: programs.join("esptool") })
    }

    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
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
