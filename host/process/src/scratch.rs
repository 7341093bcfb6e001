//! Folders for the time of a run.
//!
//! They hold private keys, so they must not stay. Each is removed when its owner lets go of
//! it; what a killed process has left behind, the next one removes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// What every name begins with; the owner's process id follows.
const PREFIX: &str = "thing-";

/// A new folder among the machine's temporary files; removed when dropped.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> Result<TempDir> {
    folder_in(&std::env::temp_dir())
}

fn folder_in(parent: &Path) -> Result<TempDir> {
    remove_leftovers(parent);
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))
}

/// Removes the folders of this user's processes that have ended. What cannot be removed stays:
/// nothing here depends on it.
fn remove_leftovers(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let abandoned = entry.file_name().to_str().and_then(owner).is_some_and(has_ended);
        // Of the entry itself, not of what a link points to.
        let own =
            entry.metadata().is_ok_and(|entry| entry.is_dir() && entry.uid() == geteuid().as_raw());
        if abandoned && own {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The process that made the folder of this name.
fn owner(name: &str) -> Option<i32> {
    let (process, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    process.parse().ok().filter(|process| *process > 0)
}

fn has_ended(process: i32) -> bool {
    kill(Pid::from_raw(process), None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_owners() {
        assert_eq!(owner("thing-12-x3a"), Some(12));
        for other in ["thing-x3a", "thing-", "thing--1-x", "other-12-x", "12-x"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_dead_leave_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        // Linux never gives a process an id above 2^22.
        let dead = parent.path().join(format!("thing-{}-x", i32::MAX));
        let alive = parent.path().join(format!("thing-{}-x", std::process::id()));
        let other = parent.path().join("thing");
        for folder in [&dead, &alive, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "x").unwrap();
        }
        let own = folder_in(parent.path()).unwrap();
        assert!(!dead.exists());
        assert!(alive.exists() && other.exists() && own.path().exists());
    }
}
