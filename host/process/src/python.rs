//! Programs that come from PyPI, each in a virtual environment of its own under `target/`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::programs;

/// The requirements of the AWS CLI: versions and hashes.
pub const AWS_CLI: &str = include_str!("../python/aws-cli.txt");

/// The requirements of esptool: versions and hashes.
pub const ESPTOOL: &str = include_str!("../python/esptool.txt");

/// What builds those requirements of esptool that come as source.
pub const ESPTOOL_BUILD: &str = include_str!("../python/esptool-build.txt");

/// Whether `folder` is such an environment already.
#[must_use]
pub fn is_made(folder: &Path, build: &str, requirements: &str) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|made| made == stamp(build, requirements))
}

/// Says for which requirements an environment was made.
const STAMP: &str = "requirements.txt";

fn stamp(build: &str, requirements: &str) -> String {
    format!("{build}{requirements}")
}

/// Makes sure that `folder` is a virtual environment with exactly `requirements` (the text
/// of a requirements file with hashes), and returns its folder of programs. With nothing to
/// do it needs no network. Where some come as source, `build` are the requirements of their build,
/// so that pip fetches nothing that is not pinned; it is empty where none do.
///
/// # Errors
/// When Python or its `venv` is missing, or PyPI cannot be reached.
pub fn environment(folder: &Path, build: &str, requirements: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    // Two programs that start at the same time: the second waits for the first.
    let lock_path = folder.with_extension("lock");
    let lock = fs::File::create(&lock_path)
        .with_context(|| format!("cannot write {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    if is_made(&folder, build, requirements) {
        return Ok(folder.join("bin"));
    }
    let python = programs::find("python3", "python3-venv")?;
    programs::output(
        &python,
        ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), folder.as_os_str()],
    )
    .context("cannot make a Python environment: is the Debian package python3-venv installed?")?;
    if build.is_empty() {
        install(&folder, requirements, "--only-binary=:all:")?;
    } else {
        install(&folder, build, "--only-binary=:all:")?;
        install(&folder, requirements, "--no-build-isolation")?;
    }
    // Last: an installation that was interrupted is made again.
    fs::write(folder.join(STAMP), stamp(build, requirements))?;
    Ok(folder.join("bin"))
}

fn install(folder: &Path, requirements: &str, how: &str) -> Result<()> {
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, requirements)?;
    let options = "-m pip install --quiet --disable-pip-version-check --require-hashes -r";
    let options = options.split(' ').map(OsStr::new).chain([wanted.as_os_str(), how.as_ref()]);
    programs::output(&folder.join("bin/python"), options)
        .context("cannot install from PyPI: is this machine online?")?;
    fs::remove_file(&wanted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_made_again_and_needs_nobody() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("tool");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(STAMP), "build\nrequirements\n").unwrap();
        let programs = environment(&folder, "build\n", "requirements\n").unwrap();
        assert_eq!(programs, folder.canonicalize().unwrap().join("bin"));
        assert!(!folder.join("bin").exists(), "it was made again");
        assert!(is_made(&folder, "build\n", "requirements\n"));
        assert!(!is_made(&folder, "", "requirements\n"), "of another release");
    }

    #[test]
    fn every_requirement_is_pinned_by_hash() {
        for list in [AWS_CLI, ESPTOOL, ESPTOOL_BUILD] {
            let pinned = list.lines().filter(|line| line.contains("==") && !line.starts_with('#'));
            assert!(pinned.clone().count() > 0);
            for line in pinned {
                assert!(line.ends_with('\\'), "no hash follows {line}");
            }
        }
    }
}
