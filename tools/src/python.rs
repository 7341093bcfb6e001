//! Programs that come from PyPI, each in a virtual environment of its own under `target/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::programs;

/// The requirements of the AWS CLI: versions and hashes.
pub const AWS_CLI: &str = include_str!("../python/aws-cli.txt");

/// Makes sure that `folder` is a virtual environment with exactly `requirements` (the text
/// of a requirements file with hashes), and returns its folder of programs. With nothing to
/// do it needs no network.
///
/// # Errors
/// When Python or its `venv` is missing, or PyPI cannot be reached.
pub fn environment(folder: &Path, requirements: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    // Two programs that start at the same time: the second waits for the first.
    let lock_path = folder.with_extension("lock");
    let lock = fs::File::create(&lock_path)
        .with_context(|| format!("cannot write {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made_for| made_for == requirements) {
        return Ok(folder.join("bin"));
    }
    let python = programs::find("python3", "python3-venv")?;
    programs::output(
        &python,
        ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), folder.as_os_str()],
    )
    .context("cannot make a Python environment: is the Debian package python3-venv installed?")?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, requirements)?;
    programs::output(
        &folder.join("bin/python"),
        [
            "-m".as_ref(),
            "pip".as_ref(),
            "install".as_ref(),
            "--quiet".as_ref(),
            "--disable-pip-version-check".as_ref(),
            "--require-hashes".as_ref(),
            "--only-binary=:all:".as_ref(),
            "-r".as_ref(),
            wanted.as_os_str(),
        ],
    )
    .context("cannot install from PyPI: is this machine online?")?;
    // Last: an installation that was interrupted is made again.
    fs::rename(&wanted, &stamp)?;
    Ok(folder.join("bin"))
}
