//! Espressif's own tool for images and the boot loader, from PyPI in the release that
//! `host/process/python/esptool.txt` pins.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use process::output;
use process::programs::{self, Owned};
use process::python;

/// The program.
#[derive(Clone, Debug)]
pub struct Esptool {
    program: PathBuf,
    /// Whether [`Esptool::show`] shows one line of progress in place of all that it writes.
    brief: bool,
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
        let programs = python::environment(folder, python::ESPTOOL_BUILD, python::ESPTOOL)
            .with_context(|| {
                format!(
                    "esptool cannot be set up (offline: bring {} from a machine where this ran)",
                    folder.display()
                )
            })?;
        Ok(Self { program: programs.join("esptool"), brief: false })
    }

    /// The same, but what it does is one line of progress: for boards on this machine, where
    /// nothing that it writes tells a person anything. When it fails, all of it is shown.
    #[must_use]
    pub fn brief(self) -> Self {
        Self { brief: true, ..self }
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
    pub fn output(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        let bytes = programs::output(&self.program, arguments)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Runs it with its output shown as it comes.
    ///
    /// # Errors
    /// When it cannot be started or watched; `Ok(Err(..))` when it ran and failed.
    pub fn show(&self, arguments: Vec<OsString>) -> Result<std::result::Result<(), Failure>> {
        let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let errors = writer.try_clone().context("cannot make a pipe")?;
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(errors);
        let mut running = Owned::spawn(&mut command)?;
        // The command keeps its ends of the pipe, which would never end.
        drop(command);
        let mut output = Vec::new();
        let mut piece = [0; 1024];
        // On a terminal; elsewhere it would only be noise.
        let progress = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stdout())
            .with_style(ProgressStyle::with_template("flashing the board: {pos:>3} %")?);
        loop {
            let length = reader.read(&mut piece).context("cannot read esptool's output")?;
            if length == 0 {
                break;
            }
            output.extend_from_slice(&piece[..length]);
            if self.brief {
                if let Some(percent) = percent(&output) {
                    progress.set_position(percent);
                }
            } else {
                // Whoever closed the other end does not want the rest.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(&piece[..length]);
                let _ = out.flush();
            }
        }
        let status = running.child().wait().context("cannot wait for esptool")?;
        progress.finish_and_clear();
        let output = String::from_utf8_lossy(&output).into_owned();
        if status.success() {
            return Ok(Ok(()));
        }
        if self.brief {
            output::line(&output)?;
        }
        Ok(Err(Failure { output }))
    }
}

/// The last per cent figure in what esptool wrote, as in `[====> ]  23.5% 65536/177035 bytes`.
fn percent(output: &[u8]) -> Option<u64> {
    let end = output.iter().rposition(|byte| *byte == b'%')?;
    let number = output[..end]
        .rsplit(|byte| !byte.is_ascii_digit() && *byte != b'.')
        .next()
        .and_then(|digits| std::str::from_utf8(digits).ok())?;
    let whole = number.split('.').next()?;
    whole.parse().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figure_counts() {
        assert_eq!(percent(b"Writing at 0x0 [=>   ]  23.5% 65536/177035 bytes"), Some(23));
        assert_eq!(percent(b"[=] 9.0% 1/2 bytes\r[==] 100.0% 2/2 bytes"), Some(100));
        assert_eq!(percent(b"Connecting..."), None);
        assert_eq!(percent(b"%"), None);
        assert_eq!(percent(b"12345%"), None);
    }
}
