//! The note by which a second terminal finds the running cloud.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use process::files;
use serde::{Deserialize, Serialize};
use things::topics::Topics;

/// The note by which a second terminal finds the running cloud.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Running {
    /// The process that runs the cloud.
    pub process: i32,
    /// The broker's port for this machine's own clients.
    pub operator_port: u16,
    /// The folder of the PKI.
    pub certs: PathBuf,
    /// The name of the device.
    pub thing: String,
    /// The device's topics.
    pub topics: Topics,
    /// The board's name, as its folder has it.
    #[serde(default)]
    pub board: String,
    /// Whether the board runs its firmware, and is not still being flashed.
    pub board_runs: bool,
}

/// Removes the note when the cloud stops.
#[derive(Debug)]
pub struct Announced {
    running: Running,
    note: PathBuf,
}

impl Announced {
    /// Notes that the board runs its firmware from now on.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn board_runs(&mut self) -> Result<()> {
        self.running.board_runs = true;
        self.running.write(&self.note)
    }
}

impl Running {
    /// Leaves the note in `folder` for as long as the result lives.
    ///
    /// # Errors
    /// When another cloud of this folder is running or the note cannot be written.
    pub fn announce(&self, folder: &Path) -> Result<Announced> {
        Self::ensure_none(folder)?;
        let note = note(folder);
        self.write(&note)?;
        Ok(Announced { running: self.clone(), note })
    }

    fn write(&self, note: &Path) -> Result<()> {
        files::write(note, &serde_json::to_vec_pretty(self)?, files::PUBLIC)
    }

    /// Fails when another cloud of `folder` is running.
    ///
    /// # Errors
    /// Says which process that is.
    pub fn ensure_none(folder: &Path) -> Result<()> {
        if let Ok(other) = Self::find(folder) {
            bail!(
                "another `make run` is active here (process {}): stop it by Ctrl-C first",
                other.process
            );
        }
        Ok(())
    }

    /// Reads the note.
    ///
    /// # Errors
    /// When nothing runs.
    pub fn find(folder: &Path) -> Result<Self> {
        const NOTHING: &str = "nothing is running: start `make run` in another terminal first";
        let Ok(text) = std::fs::read(note(folder)) else {
            bail!(NOTHING);
        };
        let running: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: delete it", note(folder).display()))?;
        // A note can outlive a process that was killed.
        match nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.process), None) {
            Err(nix::Error::ESRCH) => bail!(NOTHING),
            _ => Ok(running),
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // Nothing is lost when this fails: the process id in the note is stale then.
        let _ = std::fs::remove_file(&self.note);
    }
}

fn note(folder: &Path) -> PathBuf {
    folder.join("cloud.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(process: i32) -> Running {
        Running {
            process,
            operator_port: 1,
            certs: PathBuf::from("certs/local"),
            thing: "t".to_owned(),
            topics: Topics::default(),
            board: String::new(),
            board_runs: false,
        }
    }

    #[test]
    fn the_note_lives_as_long_as_its_cloud() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Running::find(folder.path()).is_err());
        let own = i32::try_from(std::process::id()).unwrap();
        let mut announced = running(own).announce(folder.path()).unwrap();
        assert_eq!(Running::find(folder.path()).unwrap(), running(own));
        assert!(running(own).announce(folder.path()).is_err());
        announced.board_runs().unwrap();
        assert!(Running::find(folder.path()).unwrap().board_runs);
        drop(announced);
        let error = Running::find(folder.path()).unwrap_err();
        assert!(error.to_string().contains("make run"), "{error}");
    }

    #[test]
    fn a_stale_note_counts_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // Linux never gives a process an id above 2^22.
        let announced = running(i32::MAX).announce(folder.path()).unwrap();
        assert!(Running::find(folder.path()).is_err());
        drop(announced);
    }
}
