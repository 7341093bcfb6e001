//! Files that others may read at any moment, and secret ones.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Mode of a file that only its owner can read: one with a private key.
pub const SECRET: u32 = 0o600;

/// Writes a program that is going to be run, such as a test's script.
///
/// Linux refuses to run a file while anybody has it open for writing, and a child that another
/// thread forks at that moment has it open until its own program starts ("Text file busy"). So
/// the file is never open in this process.
///
/// # Errors
/// When the file cannot be written.
pub fn write_program(path: &Path, text: &str) -> Result<()> {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut attempt = || -> std::io::Result<bool> {
        let mut child = install.spawn()?;
        child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(text.as_bytes()))?;
        Ok(child.wait()?.success())
    };
    let written = attempt().with_context(|| format!("cannot write {}", path.display()))?;
    anyhow::ensure!(written, "cannot write {}", path.display());
    Ok(())
}

/// Mode of a file that everybody can read.
pub const PUBLIC: u32 = 0o644;

/// Reads a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// As [`read`]; `None` when there is no such file.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Removes a file; it is no error when there is none.
///
/// # Errors
/// When it is there and stays.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Makes a folder, and those above it; one that is there is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file as a whole, with this mode from its first byte on.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    // A new file that takes the old one's place: the mode holds from the first byte, and
    // nobody ever reads half a file.
    let fresh = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        // Before the name: after a power cut it is the old file or the whole new one.
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Without [`write_program`] one of some hundred runs fails.
    #[test]
    fn a_program_runs_at_once_while_others_fork() {
        let folder = tempfile::tempdir().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
            let outcomes: Vec<_> = (0..50)
                .map(|index| {
                    let program = folder.path().join(index.to_string());
                    write_program(&program, "#!/bin/sh\n").unwrap();
                    Command::new(&program).status()
                })
                .collect();
            over.store(true, Ordering::Relaxed);
            for outcome in outcomes {
                assert!(outcome.unwrap().success());
            }
        });
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write(&file, b"old", PUBLIC).unwrap();
        write(&file, b"new", SECRET).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, SECRET);
        let error = write(&folder.path().join("no/file"), b"", PUBLIC).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
