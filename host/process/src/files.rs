//! Files that others may read at any moment, and secret ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};

/// Mode of a file that only its owner can read: one with a private key.
pub const SECRET: u32 = 0o600;

/// Mode of a file that everybody can read.
pub const PUBLIC: u32 = 0o644;

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
