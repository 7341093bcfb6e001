//! `thing identity` and `thing identity-info`: identity regions as files.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use identity::WifiKey;
use identity::{COPY_SIZE, Error, Identity, REGION_SIZE, Stored, decode_copy};
use process::files::{self, SECRET};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Config;
use crate::device_identity::{DeviceIdentity, Endpoints};
use crate::folder::ThingFolder;
use crate::pem_file;
use crate::problem::Problem;
use crate::topics::Topics;

/// The identity of a thing on AWS IoT: its files, and the settings of `config`. `topics` are
/// for a config that sets none.
///
/// # Errors
/// With the file and line of the first thing that is wrong.
pub fn of_thing(
    config: &Config,
    folder: &ThingFolder,
    topics: &Topics,
) -> Result<DeviceIdentity, Problem> {
    let (certificate, key) = config.credential_files(folder)?;
    let credential = pem_file::credential(&certificate, &key, &folder.remedy())?;
    let endpoints = Endpoints {
        host: config.endpoint(folder)?,
        port: identity::DEFAULT_PORT,
        dns: Vec::new(),
        ntp: Vec::new(),
    };
    let mut identity = DeviceIdentity {
        // The policy lets a thing connect by its own name only.
        client_id: Some(folder.thing().to_owned()),
        roots: Vec::new(),
        ..DeviceIdentity::new(
            endpoints,
            folder.thing(),
            Topics::default(),
            credential.clone(),
            credential.chain[0].clone(),
        )
    };
    identity.validate().map_err(|error| {
        Problem::of(&certificate, error.to_string(), "take the device's certificate alone")
    })?;
    identity.topics = topics.clone();
    config.apply(&mut identity)?;
    agrees_with_policy(&identity, folder)?;
    Ok(identity)
}

/// The policy that provisioning made lets a thing connect by its own name and use its topics.
fn agrees_with_policy(identity: &DeviceIdentity, folder: &ThingFolder) -> Result<(), Problem> {
    let Some(notes) = folder.notes()? else { return Ok(()) };
    let id = identity.client_id.as_deref().unwrap_or_default();
    if id != folder.thing() {
        return Err(Problem::of(
            &folder.notes_file(),
            format!(
                "the thing's policy allows the client id {:?} only, and the settings say {id:?}",
                folder.thing()
            ),
            "remove `client_id` from config.toml",
        ));
    }
    for (key, allowed, wanted) in [
        ("status_topic", &notes.status_topic, &identity.topics.status),
        ("control_topic", &notes.control_topic, &identity.topics.control),
    ] {
        if let Some(allowed) = allowed
            && allowed != wanted
        {
            let what =
                format!("the thing's policy allows {allowed:?}, the settings say {wanted:?}");
            return Err(notes.blame(key, what));
        }
    }
    Ok(())
}

/// Writes the identity of a thing, `topics` as for [`of_thing`]. A file that is there already holds the predecessor: the new
/// identity gets the next sequence number, so that it is the newer one on any device that has
/// the old.
///
/// # Errors
/// As [`of_thing`], and when there is no room or the file cannot be written.
pub fn write(config: &Config, folder: &ThingFolder, out: &Path, topics: &Topics) -> Result<()> {
    let identity = of_thing(config, folder, topics)?;
    let before = std::fs::read(out).ok();
    let sequence = before
        .as_deref()
        .and_then(|region| Stored::read(region).ok())
        .map_or(1, |stored| stored.sequence.wrapping_add(1));
    let copy = identity.copy(sequence).map_err(|error| match error {
        Error::TooLarge { needed } => Problem::of(
            out,
            format!("the identity would take {needed} bytes of {COPY_SIZE}"),
            "leave out chain certificates, roots or Wi-Fi networks",
        ),
        other => Problem::of(out, other.to_string(), "correct config.toml or the files it names"),
    })?;
    files::write(out, &[&*copy, &copy].concat(), SECRET)
}

/// Describes a region without its secrets.
///
/// # Errors
/// When the file cannot be read or holds no identity.
pub fn describe_file(file: &Path, remedy: &str) -> Result<String> {
    let problem = |what: String| Problem::of(file, what, remedy);
    let length =
        std::fs::metadata(file).map_err(|error| problem(format!("cannot be read: {error}")))?.len();
    if length != REGION_SIZE as u64 {
        bail!(problem(format!(
            "this is no identity region: it has {length} bytes and not {REGION_SIZE}"
        )));
    }
    Ok(describe(&files::read(file)?).map_err(|error| problem(error.to_string()))?)
}

/// Describes a region without its secrets.
///
/// # Errors
/// When neither copy is valid.
pub fn describe(region: &[u8]) -> Result<String, Error> {
    let stored = Stored::read(region)?;
    let mut text = String::new();
    for (index, copy) in region.chunks(COPY_SIZE).enumerate() {
        let state = match decode_copy(copy) {
            Err(error) => error.to_string(),
            Ok(_) if index == stored.copy => {
                format!("valid, sequence {}: this one counts", stored.sequence)
            }
            Ok(identity) if identity == stored.identity => "valid, the same".to_owned(),
            Ok(_) => "valid, an earlier identity".to_owned(),
        };
        line(&mut text, &format!("copy {index}"), &state);
    }
    describe_fields(&mut text, &stored.identity);
    Ok(text)
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<14}{value}");
}

fn describe_fields(text: &mut String, identity: &Identity<'_>) {
    line(text, "endpoint", &format!("{}:{}", identity.endpoint, identity.port));
    line(text, "thing", identity.thing_name.unwrap_or("none"));
    line(text, "client id", identity.client_id.unwrap_or("ESP-<MAC address>"));
    line(text, "status", identity.status_topic);
    line(text, "control", identity.control_topic);
    for der in &identity.certificates {
        line(text, "certificate", &describe_certificate(der));
    }
    line(text, "private key", "present, not shown");
    for der in &identity.roots {
        line(text, "root", &describe_certificate(der));
    }
    for network in &identity.wifi {
        let ssid = network.ssid.escape_ascii();
        let secret = match network.key {
            WifiKey::None => "open",
            WifiKey::Passphrase(_) => "with a passphrase",
            WifiKey::Pmk(_) => "with a key",
        };
        line(text, "Wi-Fi", &format!("{ssid} ({secret})"));
    }
    line(text, "modem sleep", if identity.modem_sleep { "on" } else { "off" });
    for server in identity.ntp_servers() {
        line(text, "NTP server", &server.to_string());
    }
    for server in &identity.dns_servers {
        line(text, "DNS server", &server.to_string());
    }
    line(text, "keep-alive", &format!("{} s", identity.keep_alive_s));
    line(text, "backoff cap", &format!("{} s", identity.backoff_cap_s));
    line(text, "session", if identity.clean_session { "clean" } else { "persistent" });
    for entry in &identity.log_levels {
        line(text, "log level", &format!("{} {:?}", entry.module, entry.level).to_lowercase());
    }
    for key in &identity.update_keys {
        line(text, "update key", &format!("SHA-256 {}", sha256(&pem_file::spki(key))));
    }
    if identity.update_keys.is_empty() {
        line(text, "update key", "none: no update is taken");
    }
    line(text, "update trial", &format!("{} s", identity.trial_s));
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

/// Subject, end of validity and SHA-256 of a certificate.
fn describe_certificate(der: &[u8]) -> String {
    let digest = sha256(der);
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => format!(
            "{}, until {}, SHA-256 {digest}",
            certificate.subject(),
            certificate.validity().not_after.to_datetime().date()
        ),
        Err(_) => format!("unreadable, SHA-256 {digest}"),
    }
}
