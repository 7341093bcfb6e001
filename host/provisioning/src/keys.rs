//! Keys and certificates on this machine. A private key is made here, written with mode
//! 0600, and goes nowhere but into the device's identity.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use process::files::{self, SECRET};

/// Makes a P-256 key and writes it to `path`.
pub(super) fn make(path: &Path) -> Result<KeyPair> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a P-256 key")?;
    files::write(path, key.serialize_pem().as_bytes(), SECRET)?;
    Ok(key)
}

/// The P-256 key in `path`; `None` when there is no file.
///
/// # Errors
/// When the file cannot be read or holds another kind of key.
pub(super) fn load(path: &Path) -> Result<Option<KeyPair>> {
    let Some(bytes) = files::read_if_there(path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    // Errors of the parser are not passed on: they might show what they could not parse.
    match KeyPair::from_pem_and_sign_algo(&text, &PKCS_ECDSA_P256_SHA256) {
        Ok(key) => Ok(Some(key)),
        Err(_) => bail!(
            "{} is not a P-256 private key in PEM (PKCS #8): put the right one back from a \
             backup, or move it away to have a new one made",
            path.display()
        ),
    }
}

/// The request for a certificate of `key`, PEM. AWS keeps the common name.
pub(super) fn request(key: &KeyPair, thing: &str) -> Result<String> {
    let mut name = DistinguishedName::new();
    // X.520 allows 64 characters; AWS allows a thing's name 128.
    name.push(DnType::CommonName, thing.get(..64).unwrap_or(thing));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params
        .serialize_request(key)
        .and_then(|request| request.pem())
        .context("cannot make the certificate request")
}

/// Whether the certificate (PEM) carries the public half of `key`.
pub(super) fn belong_together(certificate: &str, key: &KeyPair) -> Result<bool> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .context("this is not a certificate in PEM")?;
    let (_, parsed) = X509Certificate::from_der(&der).context("a certificate is damaged")?;
    Ok(parsed.public_key().raw == key.subject_public_key_info())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        assert!(load(&path).unwrap().is_none());
        let first = make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = load(&path).unwrap().unwrap();
        assert_eq!(first.subject_public_key_info(), second.subject_public_key_info());
    }

    #[test]
    fn another_kind_of_key_is_refused_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.key");
        for text in ["", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", load(&path).unwrap_err());
            assert!(error.contains("P-256") && !error.contains("c2VjcmV0"), "{error}");
        }
    }

    #[test]
    fn the_check_tells_pairs_from_strangers() {
        let key = KeyPair::generate().unwrap();
        let other = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        assert!(belong_together(&certificate, &key).unwrap());
        assert!(!belong_together(&certificate, &other).unwrap());
        assert!(belong_together("no certificate", &key).is_err());
    }

    #[test]
    fn long_names_fit_the_request() {
        let key = KeyPair::generate().unwrap();
        assert!(request(&key, &"x".repeat(128)).unwrap().contains("CERTIFICATE REQUEST"));
    }
}
