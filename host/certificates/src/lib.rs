//! Certificates and keys: made, kept in files, read again.
//!
//! Everything is ECDSA P-256 unless a test asks for RSA. Private keys are written with
//! mode 0600 and never printed.
//!
//! ```
//! use certificates::{Authority, KeyKind, LeafRequest, Validity};
//!
//! # fn main() -> anyhow::Result<()> {
//! let root = Authority::root("a root", KeyKind::P256, Validity::for_days(30))?;
//! let credential = root.issue(&LeafRequest::client("demo"))?;
//! assert_eq!(credential.chain.len(), 1);
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use process::files::{self, PUBLIC, SECRET};
use process::programs;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// The kind of key in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256, the default everywhere.
    P256,
    /// RSA with 2048 bits, made by the `openssl` program.
    Rsa2048,
}

impl KeyKind {
    fn generate(self) -> Result<KeyPair> {
        match self {
            Self::P256 => {
                KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a P-256 key")
            }
            Self::Rsa2048 => {
                // The library that signs cannot make RSA keys.
                let openssl = programs::find("openssl", "openssl")?;
                let pem = programs::output(
                    &openssl,
                    ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                )?;
                let pem = String::from_utf8(pem).context("openssl made no PEM text")?;
                KeyPair::from_pem_and_sign_algo(&pem, &PKCS_RSA_SHA256)
                    .context("cannot use the RSA key that openssl made")
            }
        }
    }
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// First moment.
    pub not_before: OffsetDateTime,
    /// Last moment.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From yesterday, for clocks that disagree, until `days` from now.
    #[must_use]
    pub fn for_days(days: i64) -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now - Duration::DAY, not_after: now + Duration::days(days) }
    }

    /// Ended an hour ago.
    #[must_use]
    pub fn expired() -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now - Duration::days(30), not_after: now - Duration::HOUR }
    }

    /// Begins in a day.
    #[must_use]
    pub fn not_yet() -> Self {
        let now = OffsetDateTime::now_utc();
        Self { not_before: now + Duration::DAY, not_after: now + Duration::days(30) }
    }
}

/// What a leaf certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Presented by a TLS server.
    Server,
    /// Presented by a TLS client.
    Client,
}

/// What a leaf certificate says.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    /// Common name; the broker takes a client's as its user name.
    pub common_name: String,
    /// DNS names and IP addresses of the subject alternative name extension.
    pub names: Vec<String>,
    /// Server or client.
    pub purpose: Purpose,
    /// When it is valid.
    pub validity: Validity,
    /// Kind of key.
    pub key: KeyKind,
    /// Bytes of an ignorable extension, to make a certificate as large as a test wants.
    pub padding: usize,
}

impl LeafRequest {
    /// A server's certificate for `names`, P-256, one year.
    #[must_use]
    pub fn server(names: &[&str]) -> Self {
        Self {
            common_name: names.first().copied().unwrap_or_default().to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            purpose: Purpose::Server,
            validity: Validity::for_days(365),
            key: KeyKind::P256,
            padding: 0,
        }
    }

    /// A client's certificate, P-256, one year.
    #[must_use]
    pub fn client(common_name: &str) -> Self {
        Self { names: Vec::new(), purpose: Purpose::Client, ..Self::server(&[common_name]) }
    }
}

/// A private key with the certificates that belong to it: the leaf first, then its issuers
/// up to but without the root.
#[derive(Debug)]
pub struct Credential {
    /// Leaf, then intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key, PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Credential {
    /// The chain as PEM text.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|certificate| pem_text("CERTIFICATE", certificate)).collect()
    }

    /// The key as PEM text. Keep it secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem_text("PRIVATE KEY", self.key.secret_der())
    }

    /// Writes `<stem>.pem` and `<stem>.key` into `folder` and returns both paths.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, stem: &str) -> Result<(PathBuf, PathBuf)> {
        let chain = folder.join(format!("{stem}.pem"));
        let key = folder.join(format!("{stem}.key"));
        files::write(&chain, self.chain_pem().as_bytes(), PUBLIC)?;
        files::write(&key, self.key_pem().as_bytes(), SECRET)?;
        Ok((chain, key))
    }

    /// Reads what [`Credential::save`] wrote.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn load(folder: &Path, stem: &str) -> Result<Self> {
        let chain = folder.join(format!("{stem}.pem"));
        let key = folder.join(format!("{stem}.key"));
        Ok(Self {
            chain: CertificateDer::pem_file_iter(&chain)
                .and_then(Iterator::collect)
                .with_context(|| format!("cannot read {}", chain.display()))?,
            key: PrivateKeyDer::from_pem_file(&key)
                .with_context(|| format!("cannot read {}", key.display()))?,
        })
    }
}

/// A certificate authority that can issue.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    /// Certificates between this authority and its root, itself first; empty for a root.
    path: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new self-signed root.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn root(name: &str, key: KeyKind, validity: Validity) -> Result<Self> {
        let key = key.generate()?;
        let params = authority_params(name, validity, BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self { certificate, path: Vec::new(), issuer: Issuer::new(params, key) })
    }

    /// A new authority under this one.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn intermediate(&self, name: &str, key: KeyKind, validity: Validity) -> Result<Self> {
        let key = key.generate()?;
        let params = authority_params(name, validity, BasicConstraints::Constrained(0));
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let mut path = vec![certificate.clone()];
        path.extend(self.path.iter().cloned());
        Ok(Self { certificate, path, issuer: Issuer::new(params, key) })
    }

    /// A further certificate of this root's name and key, signed by an older root, for those who
    /// trust only that one.
    ///
    /// # Errors
    /// When the older root cannot sign.
    pub fn cross_signed_by(
        &self,
        older: &Self,
        name: &str,
        validity: Validity,
    ) -> Result<CertificateDer<'static>> {
        let params = authority_params(name, validity, BasicConstraints::Unconstrained);
        Ok(params.signed_by(self.issuer.key(), &older.issuer)?.der().clone())
    }

    /// Issues a leaf; its chain ends below the root.
    ///
    /// # Errors
    /// When the key cannot be made or a name is not a DNS name or IP address.
    pub fn issue(&self, request: &LeafRequest) -> Result<Credential> {
        let key = request.key.generate()?;
        let mut params = CertificateParams::new(request.names.clone())
            .with_context(|| format!("bad host name among {:?}", request.names))?;
        params.distinguished_name = distinguished_name(&request.common_name);
        params.not_before = request.validity.not_before;
        params.not_after = request.validity.not_after;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match request.purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if request.padding > 0 {
            // Not critical and of an arc reserved for examples (RFC 7299 sibling arcs):
            // verifiers must skip it.
            let zeros = vec![0; request.padding];
            let content = yasna::construct_der(|writer| writer.write_bytes(&zeros));
            let padding = rcgen::CustomExtension::from_oid_content(&[2, 999, 1], content);
            params.custom_extensions.push(padding);
        }
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let mut chain = vec![certificate];
        chain.extend(self.path.iter().cloned());
        Ok(Credential { chain, key: PrivateKeyDer::from(key) })
    }

    /// This authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// This authority's own certificate as PEM text.
    #[must_use]
    pub fn pem(&self) -> String {
        pem_text("CERTIFICATE", &self.certificate)
    }

    /// Writes `<stem>.pem` and `<stem>.key` into `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, stem: &str) -> Result<()> {
        let mut chain = self.path.clone();
        if chain.is_empty() {
            chain.push(self.certificate.clone());
        }
        let key = PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der()).into();
        Credential { chain, key }.save(folder, stem).map(drop)
    }

    /// Reads what [`Authority::save`] wrote.
    ///
    /// # Errors
    /// When a file cannot be read, or the key is of a kind that cannot sign.
    pub fn load(folder: &Path, stem: &str, is_root: bool) -> Result<Self> {
        let Credential { chain, key } = Credential::load(folder, stem)?;
        let certificate = chain
            .first()
            .with_context(|| format!("{stem}.pem in {} is empty", folder.display()))?
            .clone();
        let key = KeyPair::try_from(&key).context("unusable private key")?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        let path = if is_root { Vec::new() } else { chain };
        Ok(Self { certificate, path, issuer })
    }
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn authority_params(
    name: &str,
    validity: Validity,
    constraints: BasicConstraints,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name);
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// One PEM block of DER bytes.
fn pem_text(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

/// A server's credential with a chain of RSA certificates as AWS IoT shows it, leaf, authority and
/// two cross-signed roots, with as many bytes (1480, 1122, 1174 and 1145, give or take a few), and
/// the first of these roots, which devices trust: the most that a handshake has to hold.
///
/// # Errors
/// When a key cannot be made.
pub fn largest_chain(server_name: &str) -> Result<(Credential, CertificateDer<'static>)> {
    const BYTES: usize = 1480 + 1122 + 1174 + 1145;
    let year = Validity::for_days(365);
    let root = |name: &str| Authority::root(name, KeyKind::Rsa2048, year);
    let (oldest, older, trusted) =
        (root("Oldest root")?, root("Older root")?, root("Trusted root")?);
    let issuer = trusted.intermediate("RSA server authority", KeyKind::Rsa2048, year)?;
    let cross_signed = [
        trusted.cross_signed_by(&older, "Trusted root", year)?,
        older.cross_signed_by(&oldest, "Older root", year)?,
    ];
    let mut request = LeafRequest::server(&[server_name]);
    request.key = KeyKind::Rsa2048;
    request.padding = 1;
    let size = |credential: &Credential| {
        credential.chain.iter().chain(&cross_signed).map(|certificate| certificate.len()).sum()
    };
    let bare: usize = size(&issuer.issue(&request)?);
    request.padding = BYTES.saturating_sub(bare);
    let mut credential = issuer.issue(&request)?;
    credential.chain.extend(cross_signed);
    Ok((credential, trusted.certificate().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Certificate};

    #[test]
    fn padding_makes_the_chain_large() {
        let root = Authority::root("root", KeyKind::P256, Validity::for_days(1)).unwrap();
        let mut request = LeafRequest::server(&["a.iot.test"]);
        request.padding = 6000;
        let credential = root.issue(&request).unwrap();
        let size: usize = credential.chain.iter().map(|der| der.len()).sum();
        assert!((6300..6700).contains(&size), "{size}");
    }

    #[test]
    fn rsa_keys_can_be_asked_for() {
        let root = Authority::root("root", KeyKind::Rsa2048, Validity::for_days(1)).unwrap();
        let mut request = LeafRequest::server(&["a.iot.test"]);
        request.key = KeyKind::Rsa2048;
        let credential = root.issue(&request).unwrap();
        assert!(is_signed_by(&credential.chain[0], &root));
    }

    fn is_signed_by(certificate: &CertificateDer<'_>, issuer: &Authority) -> bool {
        let (_, issuer) = X509Certificate::from_der(&issuer.certificate).unwrap();
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        certificate.verify_signature(Some(issuer.public_key())).is_ok()
    }

    #[test]
    fn the_largest_chain_is_as_large_as_that_of_aws() {
        let (credential, _) = largest_chain("local-ats.iot.test").unwrap();
        assert_eq!(credential.chain.len(), 4);
        let bytes: usize = credential.chain.iter().map(|certificate| certificate.len()).sum();
        assert!(bytes.abs_diff(4921) < 16, "{bytes} bytes");
    }
}
