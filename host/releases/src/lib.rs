//! Signed images: the signing key, and the one file that an update is made of.
//!
//! A release is a line of JSON and, behind it, the image as it goes into a slot:
//!
//! ```json
//! {"format":1,"board":"nodemcu","version":"1.2.3","size":305532,"sha256":"…","sig-sha256-ecdsa":"…"}
//! ```
//!
//! The signature is ECDSA on P-256 with SHA-256 over the image, in DER and base64: what AWS Signer and
//! FreeRTOS's job documents call `sig-sha256-ecdsa`. Board and version stand in the image as well,
//! so they are signed; the line only repeats them.

mod identity;
mod key;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::files::{self, PUBLIC};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slots::{Descriptor, Version};

pub use identity::SignedIdentity;
pub use key::{PublicKey, Signer, make_key};

/// Version of the file's form.
const FORMAT: u32 = 1;
/// Longest line in front of the image.
const MAX_LINE: usize = 1024;

/// The line in front of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    format: u32,
    board: String,
    version: String,
    size: usize,
    sha256: String,
    #[serde(rename = "sig-sha256-ecdsa")]
    signature: String,
}

/// What a board's firmware without the radio's libraries says of itself (`bsp/esp8266/c/net_port.c`), and
/// no other.
pub const WITHOUT_RADIO: &str =
    "no network port: this firmware was built without the radio's libraries";

/// A signed image.
#[derive(Clone, Debug)]
pub struct Release {
    line: Line,
    image: Vec<u8>,
}

/// What an image says of itself, if it is a sound one for a slot.
///
/// # Errors
/// When it is damaged, or says nothing of itself: it is a test's, or older than releases.
pub fn describe(image: &[u8]) -> Result<Descriptor> {
    let word = |at| board::image::word(image, at);
    let whole =
        slots::Image::check(word).is_some_and(|whole| 4 * whole.words as usize == image.len());
    ensure!(whole, "it is no sound image for a slot: run `make image`");
    Descriptor::read(word).context("the image does not say for which board it is, and its version")
}

/// Whether an image drives the radio, as far as it tells itself: a real board has no network without that.
#[must_use]
pub fn has_radio(image: &[u8]) -> bool {
    let mark = WITHOUT_RADIO.as_bytes();
    !image.windows(mark.len()).any(|bytes| bytes == mark)
}

impl Release {
    /// Signs an image.
    ///
    /// # Errors
    /// When it is none, or the signer fails.
    pub fn sign(image: Vec<u8>, signer: &Signer) -> Result<Self> {
        let descriptor = describe(&image)?;
        let signature = signer.signature(&image)?;
        let line = Line {
            format: FORMAT,
            board: descriptor.board().to_owned(),
            version: descriptor.version().to_string(),
            size: image.len(),
            sha256: format!("{:x}", Sha256::digest(&image)),
            signature,
        };
        Ok(Self { line, image })
    }

    /// Reads a release and checks that line and image belong together.
    ///
    /// # Errors
    /// When they do not, or the file is none.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&bytes).with_context(|| format!("{name} is no sound release"))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
        let (line, image) = bytes.split_at(end.context("it does not begin with a line of JSON")?);
        let line: Line =
            serde_json::from_slice(line).context("its first line is not the expected")?;
        let image = image[1..].to_vec();
        if line.format != FORMAT {
            bail!("its form is {}, and this program knows {FORMAT}", line.format);
        }
        ensure!(line.size == image.len(), "it has {} of {} bytes", image.len(), line.size);
        ensure!(line.sha256 == format!("{:x}", Sha256::digest(&image)), "its image is damaged");
        let descriptor = describe(&image)?;
        ensure!(
            line.board == descriptor.board() && line.version == descriptor.version().to_string(),
            "its first line says {} {}, and its image {} {}",
            line.board,
            line.version,
            descriptor.board(),
            descriptor.version()
        );
        Ok(Self { line, image })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When it is not this key's over this image.
    pub fn verify(&self, key: &PublicKey) -> Result<()> {
        let signature =
            STANDARD.decode(&self.line.signature).context("the signature is no base64")?;
        ensure!(
            key.verifies(&self.image, &signature),
            "the signature is not that of this key over this image"
        );
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec(&self.line).context("cannot make JSON")?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.image);
        files::write(path, &bytes, PUBLIC)
    }

    /// The board that it is for.
    #[must_use]
    pub fn board(&self) -> &str {
        &self.line.board
    }

    /// Its version.
    ///
    /// # Panics
    /// Never: it was compared with the image's.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::parse(&self.line.version).expect("the image's own")
    }

    /// The image, as it goes into a slot.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// The signature as job documents have it.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.line.signature
    }

    /// What it is, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let Line { board, version, size, sha256, .. } = &self.line;
        format!("{board} {version}, {size} bytes, SHA-256 {sha256}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of nothing but its descriptor.
    fn image(version: [u8; 3], board: &str) -> Vec<u8> {
        image_with(version, board, "")
    }

    /// The same with a text in it.
    fn image_with(version: [u8; 3], board: &str, text: &str) -> Vec<u8> {
        let mut code = b"FWD1".to_vec();
        code.extend([version[0], 0, version[1], 0, version[2], 0, 0, 0]);
        code.extend(board.as_bytes());
        code.resize(48, 0);
        code.extend(text.as_bytes());
        code.resize(code.len().next_multiple_of(16), 0);
        let mut bytes = vec![0xEA, 4, 2, 0x40, 4, 0, 0x10, 0x40, 0, 0, 0, 0];
        bytes.extend(u32::try_from(code.len()).unwrap().to_le_bytes());
        bytes.extend(code);
        bytes.extend([0xE9, 1, 2, 0x40, 4, 0, 0x10, 0x40]);
        bytes.extend([0, 0, 0x10, 0x40, 4, 0, 0, 0, 1, 2, 3, 4]);
        bytes.resize(bytes.len().next_multiple_of(16) + 4 + 8, 0);
        assert_eq!(board::image::seal(&mut bytes), Some(bytes.len()));
        bytes
    }

    #[test]
    fn a_release_is_made_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::with_key(&make_key(folder.path()).unwrap()).unwrap();
        let key = PublicKey::read(&folder.path().join("signing.pub")).unwrap();
        let release = Release::sign(image([1, 20, 3], "lamp"), &signer).unwrap();
        let file = folder.path().join("lamp.release");
        release.write(&file).unwrap();
        let read = Release::read(&file).unwrap();
        read.verify(&key).unwrap();
        assert_eq!((read.board(), read.version().to_string().as_str()), ("lamp", "1.20.3"));
        assert_eq!(read.image(), release.image());
        assert!(read.summary().starts_with("lamp 1.20.3, "), "{}", read.summary());
        // As a device reads it.
        assert!(read.signature().len() < 100);
    }

    #[test]
    fn an_image_without_the_radio_is_known() {
        for (text, drives) in [(WITHOUT_RADIO, false), ("no network port", true), ("", true)] {
            assert_eq!(has_radio(&image_with([1, 0, 0], "lamp", text)), drives, "{text}");
        }
        // It is in what the one is built of, whole, and in nothing of the other.
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bsp/esp8266");
        let read = |file: &str| std::fs::read_to_string(sources.join(file)).unwrap();
        assert!(read("c/net_port.c").contains(WITHOUT_RADIO));
        assert!(read("build.rs").contains("    } else {\n        build.files(PORT_SOURCES);"));
        for file in ["radio/radio.c", "radio/adapter.c"] {
            assert!(!read(file).contains(WITHOUT_RADIO), "{file}");
        }
    }

    #[test]
    fn what_was_changed_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::with_key(&make_key(folder.path()).unwrap()).unwrap();
        let release = Release::sign(image([1, 0, 0], "lamp"), &signer).unwrap();
        let mut bytes = serde_json::to_vec(&release.line).unwrap();
        bytes.push(b'\n');
        bytes.extend(&release.image);
        Release::parse(&bytes).unwrap();
        let start = bytes.len() - release.image.len();
        for at in start..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Release::parse(&damaged).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(Release::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        let text = String::from_utf8_lossy(&bytes[..start]).into_owned();
        for (from, to) in [("lamp", "door"), ("1.0.0", "2.0.0"), ("\"format\":1", "\"format\":2")] {
            let mut changed = text.replace(from, to).into_bytes();
            changed.extend(&release.image);
            assert!(Release::parse(&changed).is_err(), "{to}");
        }
    }

    #[test]
    fn the_signature_is_of_this_key_over_this_image() {
        let [one, two] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let signer = Signer::with_key(&make_key(one.path()).unwrap()).unwrap();
        make_key(two.path()).unwrap();
        let own = PublicKey::read(&one.path().join("signing.pub")).unwrap();
        let other = PublicKey::read(&two.path().join("signing.pub")).unwrap();
        let release = Release::sign(image([1, 0, 0], "lamp"), &signer).unwrap();
        release.verify(&own).unwrap();
        let error = release.verify(&other).unwrap_err().to_string();
        assert!(error.contains("not that of this key"), "{error}");
        let mut newer = Release::sign(image([2, 0, 0], "lamp"), &signer).unwrap();
        newer.line.signature = release.line.signature;
        assert!(newer.verify(&own).is_err());
    }

    #[test]
    fn what_is_no_image_is_not_signed() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::with_key(&make_key(folder.path()).unwrap()).unwrap();
        let good = image([1, 0, 0], "lamp");
        let mut damaged = good.clone();
        damaged[30] ^= 1;
        let mut nameless = good.clone();
        nameless[16] = 0;
        board::image::seal(&mut nameless).unwrap();
        for (bytes, wanted) in [
            (Vec::new(), "no sound image"),
            (good[..good.len() - 1].to_vec(), "no sound image"),
            (damaged, "no sound image"),
            (nameless, "does not say for which board"),
        ] {
            let error = Release::sign(bytes, &signer).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
