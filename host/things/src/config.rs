//! `config.toml`: a person's settings for their devices. `config.example.toml` explains them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use identity::{Error, Field, Level};
use serde::Deserialize;
use toml::Spanned;

use crate::device_identity::{DeviceIdentity, Wifi};
use crate::folder::ThingFolder;
use crate::log_modules::{LOG_MODULES, is_known};
use crate::pem_file;
use crate::problem::{Problem, read_text};
use crate::topics::{Topics, check_published, check_subscribed};

/// Largest file that is read, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// What a person writes in place of the thing's name.
const THING: &str = "{thing}";

const REMEDY: &str = "correct it; config.example.toml explains every setting";

/// The settings of one file, or the defaults when there is no file.
#[derive(Debug)]
pub struct Config {
    file: PathBuf,
    text: String,
    settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    connection: Connection,
    topics: TopicSettings,
    certificate: CertificateSettings,
    network: Network,
    wifi: Vec<Spanned<WifiSettings>>,
    log: BTreeMap<Spanned<String>, LevelSetting>,
    update: UpdateSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Connection {
    endpoint: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    client_id: Option<Spanned<String>>,
    keep_alive: Option<Spanned<u16>>,
    backoff_cap: Option<Spanned<u16>>,
    clean_session: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TopicSettings {
    status: Option<Spanned<String>>,
    control: Option<Spanned<String>>,
    publish: Vec<Spanned<String>>,
    subscribe: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CertificateSettings {
    certificate: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    roots: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Network {
    ntp: Vec<Spanned<String>>,
    dns: Vec<Spanned<String>>,
    modem_sleep: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UpdateSettings {
    keys: Vec<Spanned<String>>,
    trial: Option<Spanned<u16>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WifiSettings {
    ssid: String,
    #[serde(default)]
    passphrase: Secret,
}

/// Text that no error message repeats.
#[derive(Default, Deserialize)]
#[serde(try_from = "toml::Value")]
struct Secret(String);

impl TryFrom<toml::Value> for Secret {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        match value {
            toml::Value::String(text) => Ok(Self(text)),
            _ => Err("a passphrase must be text in quotes"),
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
    }
}

#[derive(Debug, Deserialize)]
struct LevelSetting(#[serde(with = "LevelName")] Level);

/// How a person writes a [`Level`].
#[derive(Deserialize)]
#[serde(remote = "Level", rename_all = "lowercase")]
enum LevelName {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Config {
    /// Reads a file; without one, all settings have their defaults.
    ///
    /// # Errors
    /// When the file is not TOML, or has a key that does not exist or a value of a wrong type.
    pub fn load(file: &Path) -> Result<Self, Problem> {
        let mut config =
            Self { file: file.to_owned(), text: String::new(), settings: Settings::default() };
        if file.exists() {
            config.text = read_text(file, FILE_LIMIT, REMEDY)?;
            config.settings = toml::from_str(&config.text).map_err(|error| {
                // Only the message: the whole error quotes the line, which may hold a secret.
                // Rust's name of a type says nothing to a person.
                let message = error
                    .message()
                    .replace('\n', ", ")
                    .replace("expected u16", "expected a number from 0 to 65535");
                let problem = Problem::of(file, message, REMEDY);
                match error.span() {
                    Some(span) => problem.at(&config.text, &span),
                    None => problem,
                }
            })?;
        }
        Ok(config)
    }

    /// The device's topics: the file's, or else `defaults`.
    ///
    /// # Errors
    /// When a topic has another placeholder than `{thing}`, or AWS would not take one of those of the
    /// application.
    pub fn topics(&self, thing: &str, defaults: Topics) -> Result<Topics, Problem> {
        let TopicSettings { status, control, publish, subscribe } = &self.settings.topics;
        let topic = |setting: &Option<_>, default| match setting {
            Some(setting) => self.filled(setting, thing),
            None => Ok(default),
        };
        let besides = |settings: &[Spanned<String>],
                       check: fn(&str, &str) -> Result<(), &'static str>| {
            let one = |setting: &Spanned<String>| {
                let topic = self.filled(setting, thing)?;
                match check(&topic, thing) {
                    Ok(()) => Ok(topic),
                    Err(flaw) => {
                        Err(self.problem(&setting.span(), format!("the topic {topic:?} {flaw}")))
                    }
                }
            };
            settings.iter().map(one).collect::<Result<_, _>>()
        };
        Ok(Topics {
            status: topic(status, defaults.status)?,
            control: topic(control, defaults.control)?,
            publish: besides(publish, check_published)?,
            subscribe: besides(subscribe, check_subscribed)?,
        })
    }

    /// The MQTT client id, if the file sets one.
    ///
    /// # Errors
    /// When it has another placeholder than `{thing}`.
    pub fn client_id(&self, thing: &str) -> Result<Option<String>, Problem> {
        self.settings.connection.client_id.as_ref().map(|id| self.filled(id, thing)).transpose()
    }

    /// Where the certificate and the key of a thing are.
    ///
    /// # Errors
    /// When a path has another placeholder than `{thing}`.
    pub fn credential_files(&self, folder: &ThingFolder) -> Result<(PathBuf, PathBuf), Problem> {
        let path = |setting: &Option<Spanned<String>>, default| match setting {
            Some(setting) => Ok(self.beside(&self.filled(setting, folder.thing())?)),
            None => Ok(default),
        };
        let settings = &self.settings.certificate;
        Ok((path(&settings.certificate, folder.certificate())?, path(&settings.key, folder.key())?))
    }

    /// The endpoint: the file's, or else the one that provisioning noted.
    ///
    /// # Errors
    /// When there is none or it cannot be AWS IoT's.
    pub fn endpoint(&self, folder: &ThingFolder) -> Result<String, Problem> {
        let notes = folder.notes()?;
        let noted = notes.as_ref().and_then(|notes| notes.endpoint.as_ref());
        let flaw = |endpoint: &str| {
            endpoint_flaw(endpoint).map(|flaw| format!("the endpoint {endpoint:?} {flaw}"))
        };
        match (&self.settings.connection.endpoint, noted, &notes) {
            (Some(own), ..) => match flaw(own.get_ref()) {
                None => Ok(own.get_ref().clone()),
                Some(flaw) => Err(self.problem(&own.span(), flaw)),
            },
            (None, Some(noted), Some(notes)) => match flaw(noted) {
                None => Ok(noted.clone()),
                Some(flaw) => Err(notes.blame("endpoint", flaw)),
            },
            _ => Err(Problem::of(
                &self.file,
                "no endpoint is known",
                format!(
                    "set `endpoint` under [connection] to what `aws iot describe-endpoint \
                     --endpoint-type iot:Data-ATS` says, or run `make provision THING={}`",
                    folder.thing()
                ),
            )),
        }
    }

    /// Where the public keys lie that updates of this thing must be signed by; when none is named, those
    /// that are the same for all.
    ///
    /// # Errors
    /// When a path has another placeholder than `{thing}`.
    pub fn update_keys(&self, thing: Option<&str>) -> Result<Vec<PathBuf>, Problem> {
        let keys = self.settings.update.keys.iter();
        let keys = keys.filter(|key| thing.is_some() || !key.get_ref().contains(THING));
        keys.map(|key| Ok(self.beside(&self.filled(key, thing.unwrap_or_default())?))).collect()
    }

    /// Puts all settings but endpoint and credentials into an identity, whose other fields are
    /// valid before, and checks each.
    ///
    /// # Errors
    /// With the line of the first value that the device could not use.
    pub fn apply(&self, identity: &mut DeviceIdentity) -> Result<(), Problem> {
        let thing = identity.thing.clone();
        // First: the settings of the command line have them already, unchecked.
        self.apply_topics(identity)?;
        let Settings { connection, certificate, network, wifi, log, update, .. } = &self.settings;
        self.set(identity, &connection.port, |its, port| its.endpoints.port = *port)?;
        if let Some(id) = &connection.client_id {
            identity.client_id = Some(self.filled(id, &thing)?);
            self.check(identity, &id.span())?;
        }
        self.set(identity, &connection.keep_alive, |its, seconds| its.keep_alive_s = *seconds)?;
        self.set(identity, &connection.backoff_cap, |its, seconds| its.backoff_cap_s = *seconds)?;
        if let Some(clean) = connection.clean_session {
            identity.clean_session = clean;
        }
        for root in &certificate.roots {
            let file = self.beside(&self.filled(root, &thing)?);
            identity.roots.extend(pem_file::roots(&file)?);
            self.check(identity, &root.span())?;
        }
        self.set(identity, &network.ntp, |its, server| its.endpoints.ntp.push(server.clone()))?;
        self.set(identity, &network.dns, |its, server| its.endpoints.dns.push(server.clone()))?;
        identity.modem_sleep = network.modem_sleep;
        self.set(identity, wifi, |its, WifiSettings { ssid, passphrase }| {
            its.wifi.push(Wifi::new(ssid.clone(), passphrase.0.clone()));
        })?;
        for (module, LevelSetting(level)) in log {
            if !is_known(module.get_ref()) {
                let what = format!(
                    "the device's log has no module {:?}; it has {}, and \"*\" for all",
                    module.get_ref(),
                    LOG_MODULES.join(", ")
                );
                return Err(self.problem(&module.span(), what));
            }
            identity.log_levels.push((module.get_ref().clone(), *level));
            self.check(identity, &module.span())?;
        }
        for key in &update.keys {
            let file = self.beside(&self.filled(key, &thing)?);
            identity.update_keys.push(pem_file::public_key(&file)?);
            self.check(identity, &key.span())?;
        }
        self.set(identity, &update.trial, |its, seconds| its.trial_s = *seconds)
    }

    /// Puts the values of a setting into an identity, and checks each.
    fn set<'s, T: 's>(
        &self,
        identity: &mut DeviceIdentity,
        values: impl IntoIterator<Item = &'s Spanned<T>>,
        put: impl Fn(&mut DeviceIdentity, &T),
    ) -> Result<(), Problem> {
        values.into_iter().try_for_each(|value| {
            put(identity, value.get_ref());
            self.check(identity, &value.span())
        })
    }

    /// Both topics at once: each is compared with the other.
    fn apply_topics(&self, identity: &mut DeviceIdentity) -> Result<(), Problem> {
        let TopicSettings { status, control, .. } = &self.settings.topics;
        identity.topics = self.topics(&identity.thing, identity.topics.clone())?;
        let Err(error) = identity.validate() else { return Ok(()) };
        let blamed = match error {
            Error::Invalid { field: Field::StatusTopic, .. } => status.as_ref(),
            _ => control.as_ref().or(status.as_ref()),
        };
        match blamed {
            Some(topic) => Err(self.problem(&topic.span(), reason(&error))),
            None => Err(Problem::of(&self.file, reason(&error), REMEDY)),
        }
    }

    fn check(&self, identity: &DeviceIdentity, span: &Range<usize>) -> Result<(), Problem> {
        identity.validate().map_err(|error| self.problem(span, reason(&error)))
    }

    fn problem(&self, span: &Range<usize>, what: impl Into<String>) -> Problem {
        Problem::of(&self.file, what, REMEDY).at(&self.text, span)
    }

    /// A text with the thing's name in its place.
    fn filled(&self, setting: &Spanned<String>, thing: &str) -> Result<String, Problem> {
        let text = setting.get_ref().replace(THING, thing);
        if text.contains(['{', '}']) {
            return Err(self.problem(&setting.span(), "braces are only for {thing}"));
        }
        Ok(text)
    }

    /// A path as seen from the file that names it.
    fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// What is wrong, without the remedy that the device's own message has.
fn reason(error: &Error) -> String {
    match error {
        Error::Invalid { field, reason } => format!("the {field} {reason}"),
        other => other.to_string(),
    }
}

/// What shows that this cannot be the endpoint of AWS IoT's MQTT.
fn endpoint_flaw(endpoint: &str) -> Option<&'static str> {
    const COMMAND: &str = "is not a host name: take what `aws iot describe-endpoint \
                           --endpoint-type iot:Data-ATS` says, without https:// and port";
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let lower = endpoint.to_ascii_lowercase();
    if endpoint.len() > identity::MAX_HOST_NAME
        || !endpoint.contains('.')
        || !endpoint.split('.').all(label)
        || endpoint.parse::<std::net::Ipv4Addr>().is_ok()
    {
        return Some(COMMAND);
    }
    if lower.contains(".amazonaws.com") && lower.contains(".iot.") {
        let labels: Vec<&str> = lower.split('.').collect();
        let first = labels[0];
        // ID-ats.iot.REGION.amazonaws.com, and in China ID.ats.iot.REGION.amazonaws.com.cn.
        if labels[1] == "iot" && !first.ends_with("-ats") {
            return Some(
                "is of AWS's old kind (iot:Data), which the built-in roots do not cover: take what \
                 `aws iot describe-endpoint --endpoint-type iot:Data-ATS` says",
            );
        }
        if first == "xxxx-ats" || first == "xxxxxxxxxxxxxx-ats" {
            return Some("is the example's: put your account's there");
        }
    }
    if lower.contains(".credentials.iot.") || lower.contains(".jobs.iot.") {
        return Some("is not the one for MQTT: take the one of iot:Data-ATS");
    }
    None
}
