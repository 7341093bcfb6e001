//! The key that signs, in a file or with somebody else, and the one that devices trust.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::files::{self, PUBLIC, SECRET};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use things::pem_file;

/// Makes a key: `signing.key` in `folder`, its owner's alone, and `signing.pub`, which devices trust.
/// Returns the first.
///
/// # Errors
/// When there is one already, which devices may trust, or the files cannot be written.
pub fn make_key(folder: &Path) -> Result<PathBuf> {
    let (secret, public) = (folder.join("signing.key"), folder.join("signing.pub"));
    for file in [&secret, &public] {
        ensure!(
            !file.exists(),
            "{} is there already, and devices may trust it: move it away if you want another",
            file.display()
        );
    }
    files::make_folder(folder)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a P-256 key")?;
    files::write(&public, key.public_key_pem().as_bytes(), PUBLIC)?;
    files::write(&secret, key.serialize_pem().as_bytes(), SECRET)?;
    Ok(secret)
}

/// Whoever signs.
pub enum Signer {
    /// A key in this process.
    Key(EcdsaKeyPair),
    /// A command of the shell: it gets what is to be signed at its standard input and answers with the
    /// signature in DER, as base64.
    Command {
        /// The command.
        command: String,
        /// The keys of which one must have made its signatures.
        keys: Vec<PublicKey>,
        /// Whether it may be given an identity, which has a device's private key in it.
        sees_keys: bool,
    },
}

/// What to do where there is no key.
const NO_KEY: &str = "where devices trust one already, copy it from where it was made; else `make \
                      signing-key` makes one";

impl Signer {
    /// The key in a PEM file (PKCS #8).
    ///
    /// # Errors
    /// When others may read it, or it is no P-256 key.
    pub fn with_key(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {name}: {NO_KEY}"))?;
        let mode = std::fs::metadata(file)?.permissions().mode();
        ensure!(mode & 0o077 == 0, "others may read {name}: chmod 600 {name}");
        let pem = pem::parse(text).with_context(|| format!("{name} is no PEM file"))?;
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            pem.contents(),
            &SystemRandom::new(),
        )
        .map_err(|_| anyhow::anyhow!("{name} is no P-256 key in PKCS #8"))?;
        Ok(Self::Key(key))
    }

    /// The keys of which one's signatures are.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        match self {
            Self::Key(key) => {
                PublicKey::uncompressed(key.public_key().as_ref()).into_iter().collect()
            }
            Self::Command { keys, .. } => keys.clone(),
        }
    }

    /// The signature of these bytes, in DER and base64, as job documents have it.
    ///
    /// # Errors
    /// When whoever signs fails, or is not the one that devices trust.
    pub fn signature(&self, bytes: &[u8]) -> Result<String> {
        self.sign(bytes).map(|der| STANDARD.encode(der))
    }

    /// The signature of an image, in DER.
    pub(crate) fn sign(&self, image: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Key(key) => {
                let signature = key.sign(&SystemRandom::new(), image);
                let signature = signature.map_err(|_| anyhow::anyhow!("the key does not sign"))?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Command { command, keys, .. } => {
                let answer = ask(command, image)?;
                let signature = STANDARD
                    .decode(answer.split_whitespace().collect::<String>())
                    .context("what the signer answered is no base64")?;
                if !keys.iter().any(|key| key.verifies(image, &signature)) {
                    bail!(
                        "what the signer answered is not the signature of this image by a key that \
                         devices trust"
                    );
                }
                Ok(signature)
            }
        }
    }
}

/// Runs a signer's command.
fn ask(command: &str, image: &[u8]) -> Result<String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a shell")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let image = image.to_vec();
    // From a thread of its own: the command may answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&image));
    let output = child.wait_with_output().context("cannot wait for the signer")?;
    // One that does not want all of it has its reasons; what it answers is checked.
    let _ = writer.join();
    ensure!(output.status.success(), "the signer failed ({}): {command}", output.status);
    String::from_utf8(output.stdout).context("what the signer answered is no text")
}

/// A key that devices trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// x and y.
    point: [u8; 64],
}

impl PublicKey {
    /// Reads a PEM file (`PUBLIC KEY`, as openssl writes it).
    ///
    /// # Errors
    /// When it is none of P-256.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {name}: {NO_KEY}"))?;
        let pem = pem::parse(text).with_context(|| format!("{name} is no PEM file"))?;
        let point = pem_file::point(pem.contents())
            .with_context(|| format!("{name} is no public key on P-256"))?;
        Ok(Self { point })
    }

    /// The key of an uncompressed point.
    fn uncompressed(point: &[u8]) -> Option<Self> {
        let point = point.strip_prefix(&[4])?.try_into().ok()?;
        Some(Self { point })
    }

    /// Its point, x and y.
    #[must_use]
    pub fn point(&self) -> &[u8; 64] {
        &self.point
    }

    /// Whether the signature (DER) is this key's over this image.
    #[must_use]
    pub fn verifies(&self, image: &[u8], signature: &[u8]) -> bool {
        let key =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, pem_file::uncompressed(&self.point));
        key.verify(image, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = make_key(folder.path()).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = std::fs::read(&file).unwrap();
        let error = make_key(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        let error = Signer::with_key(&file).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let error = Signer::with_key(&folder.path().join("none")).err().unwrap().to_string();
        assert!(error.contains("`make signing-key` makes one"), "{error}");
        let error = PublicKey::read(&file).err().unwrap().to_string();
        assert!(error.contains("no public key on P-256"), "{error}");
    }

    /// openssl as a signer outside, and as a judge of what is made here.
    #[test]
    fn another_program_signs_and_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let file = make_key(folder.path()).unwrap();
        let public = PublicKey::read(&folder.path().join("signing.pub")).unwrap();
        let image = vec![0x5A; 100_000];
        let quoted = file.display();
        let command = format!("openssl dgst -sha256 -sign '{quoted}' | base64");
        // The key is being changed: both are trusted.
        make_key(&folder.path().join("other")).unwrap();
        let other = PublicKey::read(&folder.path().join("other/signing.pub")).unwrap();
        let outside =
            Signer::Command { command, keys: vec![other, public.clone()], sees_keys: false };
        assert!(public.verifies(&image, &outside.sign(&image).unwrap()));

        let own = Signer::with_key(&file).unwrap();
        assert_eq!(own.keys(), std::slice::from_ref(&public));
        let signature = own.sign(&image).unwrap();
        let [data, der] = ["image", "der"].map(|name| folder.path().join(name));
        std::fs::write(&data, &image).unwrap();
        std::fs::write(&der, &signature).unwrap();
        let verified = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(folder.path().join("signing.pub"))
            .arg("-signature")
            .args([&der, &data])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(verified.success());

        for (command, wanted) in [
            ("exit 3", "the signer failed"),
            ("echo '!'", "no base64"),
            ("echo AAAA", "not the signature of this image"),
            ("true", "not the signature of this image"),
        ] {
            let (command, keys) = (command.to_owned(), vec![public.clone()]);
            let signer = Signer::Command { command, keys, sees_keys: false };
            let error = signer.sign(&image).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
