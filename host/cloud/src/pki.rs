//! The local public-key infrastructure: who the local cloud and the device are.
//!
//! It mirrors AWS IoT. The server shows a leaf and an intermediate under a root that the
//! device trusts. Devices carry certificates of another authority, which only the broker
//! trusts, so that a device's certificate can never pass for the server's.

use std::path::Path;

use anyhow::{Context, Result, bail};
use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use process::files;
use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The name under which the local cloud's broker presents itself.
pub const SERVER_NAME: &str = "local-ats.iot.test";

/// A leaf that ends sooner than this is renewed by [`Pki::open`].
const RENEW_BEFORE: Duration = Duration::days(7);

/// The local PKI as kept in a folder.
#[derive(Debug)]
pub struct Pki {
    /// What the device trusts.
    pub root: Authority,
    /// Issues the server's certificates.
    pub intermediate: Authority,
    /// Issues the certificates of devices and of the operator; the broker trusts it.
    pub clients: Authority,
    /// The broker's certificate, for [`SERVER_NAME`] and the further names asked for, and
    /// for this machine's own programs.
    pub server: Credential,
    /// The device's certificate and key.
    pub device: Credential,
    /// The certificate with which `on`, `off` and `watch` connect.
    pub operator: Credential,
}

/// The operator's user name at the broker. No thing can have it: AWS allows no full stop in their names.
pub const OPERATOR: &str = "the.operator";

impl Pki {
    /// Opens the PKI in `folder`; makes what is missing and renews what ends within a week,
    /// does not belong to its issuer or lacks a name.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn open(folder: &Path, thing: &str, further_names: &[String]) -> Result<Self> {
        files::make_folder(folder)?;
        let keep = |stem, name, issuer| keep_authority(folder, stem, name, issuer);
        let root = keep("root", "Local IoT root", None)?;
        let intermediate = keep("intermediate", "Local IoT server authority", Some(&root))?;
        let clients = keep("clients", "Local IoT client authority", None)?;
        let mut names = vec![SERVER_NAME, "localhost", "127.0.0.1"];
        names.extend(further_names.iter().map(String::as_str));
        let server = keep_leaf(folder, "server", &intermediate, &LeafRequest::server(&names))?;
        let device = keep_leaf(folder, "device", &clients, &LeafRequest::client(thing))?;
        let operator = keep_leaf(folder, "operator", &clients, &LeafRequest::client(OPERATOR))?;
        Ok(Self { root, intermediate, clients, server, device, operator })
    }
}

fn keep_authority(
    folder: &Path,
    stem: &str,
    name: &str,
    issuer: Option<&Authority>,
) -> Result<Authority> {
    if folder.join(format!("{stem}.key")).exists() {
        let known = Authority::load(folder, stem, issuer.is_none())?;
        if is_current(known.certificate(), issuer)? {
            return Ok(known);
        }
    }
    let made = match issuer {
        None => Authority::root(name, KeyKind::P256, Validity::for_days(3650)),
        Some(issuer) => issuer.intermediate(name, KeyKind::P256, Validity::for_days(1825)),
    }?;
    made.save(folder, stem)?;
    Ok(made)
}

fn keep_leaf(
    folder: &Path,
    stem: &str,
    issuer: &Authority,
    request: &LeafRequest,
) -> Result<Credential> {
    if folder.join(format!("{stem}.key")).exists() {
        let known = Credential::load(folder, stem)?;
        if let Some(leaf) = known.chain.first()
            && is_current(leaf, Some(issuer))?
            && says(leaf, request)?
        {
            return Ok(known);
        }
    }
    let made = issuer.issue(request)?;
    made.save(folder, stem)?;
    Ok(made)
}

fn is_current(certificate: &CertificateDer<'_>, issuer: Option<&Authority>) -> Result<bool> {
    let parsed = parse(certificate)?;
    let signed = match issuer {
        None => parsed.verify_signature(None).is_ok(),
        Some(issuer) => {
            let issuer = parse(issuer.certificate())?;
            parsed.verify_signature(Some(issuer.public_key())).is_ok()
        }
    };
    let ends = parsed.validity().not_after.to_datetime();
    Ok(signed && ends > OffsetDateTime::now_utc() + RENEW_BEFORE)
}

/// Whether a leaf carries the common name and all host names of `request`.
fn says(certificate: &CertificateDer<'_>, request: &LeafRequest) -> Result<bool> {
    let parsed = parse(certificate)?;
    let common_name =
        parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let wanted = CertificateParams::new(request.names.clone())?.subject_alt_names;
    Ok(common_name == Some(&request.common_name) && names_of(&parsed)? == wanted)
}

fn names_of(certificate: &X509Certificate<'_>) -> Result<Vec<rcgen::SanType>> {
    use x509_parser::prelude::GeneralName;
    let Some(extension) = certificate.subject_alternative_name()? else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => None,
        })
        .collect();
    Ok(CertificateParams::new(names)?.subject_alt_names)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate).context("a certificate is damaged")?;
    if !rest.is_empty() {
        bail!("a certificate has {} bytes too many", rest.len());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// The broker lets the operator do everything, and knows each client by its certificate's name.
    #[test]
    fn no_thing_has_the_operators_name() {
        assert!(!things::folder::is_name(OPERATOR));
    }

    #[test]
    fn opening_twice_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        let second = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        assert_eq!(first.root.certificate(), second.root.certificate());
        assert_eq!(first.server.chain, second.server.chain);
        assert_eq!(first.device.chain, second.device.chain);
        assert_eq!(first.device.key, second.device.key);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "key") {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
            }
        }
    }

    #[test]
    fn another_name_renews_only_what_carries_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        let second = Pki::open(folder.path(), "b-thing", &["b.iot.test".to_owned()]).unwrap();
        assert_eq!(first.root.certificate(), second.root.certificate());
        assert_eq!(first.operator.chain, second.operator.chain);
        assert_ne!(first.server.chain[0], second.server.chain[0]);
        assert_ne!(first.device.chain, second.device.chain);
    }

    #[test]
    fn expired_leaf_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        let mut request = LeafRequest::client("a-thing");
        request.validity = Validity::expired();
        let old = first.clients.issue(&request).unwrap();
        old.save(folder.path(), "device").unwrap();
        let second = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        assert_ne!(old.chain, second.device.chain);
    }

    #[test]
    fn a_lost_authority_takes_its_leaves_along() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        fs::remove_file(folder.path().join("root.key")).unwrap();
        let second = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        assert_ne!(first.root.certificate(), second.root.certificate());
        assert_ne!(first.server.chain, second.server.chain);
        assert_eq!(first.device.chain, second.device.chain);
    }

    #[test]
    fn server_chain_is_leaf_and_intermediate() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::open(folder.path(), "a-thing", &[]).unwrap();
        assert_eq!(pki.server.chain.len(), 2);
        assert_eq!(pki.device.chain.len(), 1);
        assert_eq!(&pki.server.chain[1], pki.intermediate.certificate());
    }
}
