//! No private key is ever under version control.

use std::path::Path;

use anyhow::{Context, Result, bail};

use process::programs;
use things::pem_file;

/// What begins a private key in PEM, in two parts, so that this file is not taken for one.
const MARK: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY-----");

/// First bytes of a copy of an identity region.
const REGION: &[u8] = b"EID1";

/// How the names of keys and identities end.
const NAMES: [&str; 3] = [".key", ".p12", "identity.bin"];

/// A person's settings, Wi-Fi passphrases among them.
const SETTINGS: &str = "config.toml";

/// Fails when a file of git's index or of the working tree's tracked files holds a private key.
///
/// # Errors
/// With the files, and what to do.
pub fn check() -> Result<()> {
    let git = programs::find("git", "git")?;
    let listed = programs::output(&git, ["ls-files", "-z", "--cached"])
        .context("the files under version control cannot be listed")?;
    let mut found = Vec::new();
    for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name);
        // What would be committed, not what lies on disk.
        let content = programs::output(&git, ["cat-file", "blob", &format!(":{name}")])
            .with_context(|| format!("{name} cannot be read from git's index"))?;
        if is_secret(Path::new(&*name), &content) {
            found.push(name.into_owned());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!(
        "private keys or settings with secrets are under version control: {}\n  what to do: `git \
         rm --cached` them; was one ever committed, retire its certificate: the history keeps it",
        found.join(", ")
    );
}

/// Whether a file's name or content shows a secret.
fn is_secret(name: &Path, content: &[u8]) -> bool {
    let name = name.to_string_lossy();
    name == SETTINGS
        || NAMES.iter().any(|end| name.ends_with(end))
        || content.starts_with(REGION)
        || pem_file::is_der_key(content)
        || has_key(content)
}

/// Whether there is a line `-----BEGIN ... PRIVATE KEY-----` with base64 below it.
fn has_key(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let begins = line.find(MARK.0).is_some_and(|start| line[start..].contains(MARK.1));
        if begins && lines.clone().take(3).any(is_base64) {
            return true;
        }
    }
    false
}

/// Whether a line is what PEM wraps: at least 40 characters of base64.
fn is_base64(line: &str) -> bool {
    line.len() >= 40
        && line
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificates::{Authority, KeyKind, LeafRequest, Validity};

    #[test]
    fn keys_are_found_whatever_they_are_called() {
        let root = Authority::root("r", KeyKind::P256, Validity::for_days(1)).unwrap();
        let credential = root.issue(&LeafRequest::client("a")).unwrap();
        let key = credential.key_pem();
        let secret = |name: &str, content: &str| is_secret(Path::new(name), content.as_bytes());
        assert!(secret("README.md", &format!("my key:\n{key}")));
        assert!(secret("README.md", &key.replace('\n', "\r\n")));
        assert!(secret("x.rs", &key.replace("PRIVATE", "EC PRIVATE")));
        assert!(secret("certs/a/device.key", ""));
        assert!(secret("config.toml", ""));
        assert!(secret("any.bin", "EID1..."));
        assert!(is_secret(Path::new("any.bin"), credential.key.secret_der()));
        assert!(!secret("device.pem", &credential.chain_pem()));
        assert!(!secret("config.example.toml", "a = 1"));
        assert!(!secret(".cargo/config.toml", "a = 1"));
        // Prose about keys is none.
        assert!(!secret("README.md", "a file that begins with -----BEGIN PRIVATE KEY-----\nand"));
    }
}
