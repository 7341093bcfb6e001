//! A signed identity: what an update over the air brings in place of an image.

use anyhow::{Context, Result, ensure};
use identity::Stored;

use crate::key::Signer;

/// An identity for one thing, and the signature over its bytes.
pub struct SignedIdentity {
    file: Vec<u8>,
    signature: String,
    thing: String,
    sequence: u32,
}

impl std::fmt::Debug for SignedIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds the private key.
        f.debug_struct("SignedIdentity").field("thing", &self.thing).finish_non_exhaustive()
    }
}

impl SignedIdentity {
    /// Signs an identity: one copy, which need not be filled up.
    ///
    /// # Errors
    /// When it is none that a device takes by an update, the signer may not see it, or fails.
    pub fn sign(file: Vec<u8>, signer: &Signer) -> Result<Self> {
        let stored = Stored::read_copy(&file)?;
        let thing = stored.identity.thing_name.context("the identity names no thing")?.to_owned();
        ensure!(
            !stored.identity.update_keys.is_empty(),
            "the identity has no key for updates, so that none could follow: name one under [update] \
             in config.toml"
        );
        ensure!(
            !matches!(signer, Signer::Command { sees_keys: false, .. }),
            "SIGNER= would be given the whole identity, {thing}'s private key in it: if that command \
             keeps it on this machine, say so by SIGNER_SEES_KEY=1 (docs/fleet.md, \"A thing's \
             identity\", has one that does)"
        );
        let sequence = stored.sequence;
        let signature = signer.signature(&file)?;
        Ok(Self { file, signature, thing, sequence })
    }

    /// Its bytes, the private key among them.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// The signature as job documents have it.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The thing that it is for.
    #[must_use]
    pub fn thing(&self) -> &str {
        &self.thing
    }

    /// Its sequence number, which must be ahead of that of the identity in use.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// What it is, in words.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("of {}, number {}, {} bytes", self.thing, self.sequence, self.file.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PublicKey, make_key};
    use identity::Identity;

    /// A certificate and its key, as far as an identity looks at them.
    fn credential() -> (Vec<u8>, Vec<u8>) {
        let certificate = [&[0x30, 0x82, 2, 0, 0x30][..], &[7; 511]].concat();
        let key = [&[0x30, 45, 2, 1, 1, 4, 32][..], &[9; 32], &[0xA0, 6], &[1; 6]].concat();
        (certificate, key)
    }

    /// Who signs may be far away.
    #[test]
    fn a_command_gets_a_private_key_only_when_that_was_said() {
        let folder = tempfile::tempdir().unwrap();
        let key = make_key(folder.path()).unwrap();
        let public = PublicKey::read(&folder.path().join("signing.pub")).unwrap();
        let seen = folder.path().join("seen");
        let command = format!(
            "tee '{}' | openssl dgst -sha256 -sign '{}' | base64",
            seen.display(),
            key.display()
        );
        let (certificate, key) = credential();
        let mut identity = Identity::new("x-ats.iot.test", &certificate, &key);
        identity.thing_name = Some("lamp");
        identity.update_keys.push(&[7; 64]);
        let file = identity.encode_file(5).unwrap();
        let sign = |sees_keys| {
            let (command, keys) = (command.clone(), vec![public.clone()]);
            SignedIdentity::sign(file.clone(), &Signer::Command { command, keys, sees_keys })
        };
        let error = sign(false).unwrap_err().to_string();
        assert!(error.contains("lamp's private key"), "{error}");
        assert!(error.contains("SIGNER_SEES_KEY=1"), "{error}");
        assert!(!seen.exists());
        sign(true).unwrap();
        assert_eq!(std::fs::read(&seen).unwrap(), file);
    }

    #[test]
    fn what_a_device_would_refuse_is_not_signed() {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::with_key(&make_key(folder.path()).unwrap()).unwrap();
        let (certificate, key) = credential();
        let mut identity = Identity::new("x-ats.iot.test", &certificate, &key);
        let sign = |identity: &Identity<'_>| {
            SignedIdentity::sign(identity.encode_file(5).unwrap(), &signer)
        };
        let error = sign(&identity).unwrap_err().to_string();
        assert!(error.contains("names no thing"), "{error}");
        identity.thing_name = Some("lamp");
        let error = sign(&identity).unwrap_err().to_string();
        assert!(error.contains("name one under [update]"), "{error}");
        identity.update_keys.push(&[7; 64]);
        let signed = sign(&identity).unwrap();
        assert_eq!((signed.thing(), signed.sequence()), ("lamp", 5));
        assert!(signed.summary().starts_with("of lamp, number 5, "), "{}", signed.summary());
        assert!(!format!("{signed:?}").contains('9'), "it shows its bytes");
        let mut damaged = signed.file().to_vec();
        damaged[60] ^= 1;
        assert!(SignedIdentity::sign(damaged, &signer).is_err());
    }
}
