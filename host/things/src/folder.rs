//! The folder `certs/<thing>/`: what `make provision` leaves of a thing on AWS IoT.

use std::path::{Path, PathBuf};

use process::files::{self, PUBLIC};
use serde::Deserialize;

use crate::problem::{Problem, read_text};
use crate::topics::Topics;

/// Largest notes that are read, in bytes.
const NOTES_LIMIT: u64 = 64 * 1024;

/// Names under `certs/` that no thing may have: the local PKI, the signing key and orders of updates
/// lie there.
pub const RESERVED: [&str; 3] = ["local", "signing", "updates"];

/// Where a thing's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThingFolder {
    folder: PathBuf,
    thing: String,
}

/// What AWS knows a certificate by.
#[derive(Debug, Deserialize)]
pub struct Certificate {
    /// Its id in the account.
    pub id: String,
}

/// The notes of provisioning: what identities need of `thing.json`.
#[derive(Debug, Deserialize)]
pub struct Notes {
    /// The endpoint, if provisioning has got so far.
    pub endpoint: Option<String>,
    /// The topic to which the thing's policy lets it publish.
    pub status_topic: Option<String>,
    /// The topic to which the thing's policy lets it subscribe.
    pub control_topic: Option<String>,
    /// The certificate.
    pub certificate: Option<Certificate>,
    /// Policies of earlier topics, which the device may still use.
    #[serde(default)]
    pub staying: Vec<String>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    remedy: String,
}

impl Notes {
    /// A problem of the value of this key.
    #[must_use]
    pub fn blame(&self, key: &str, what: impl Into<String>) -> Problem {
        let problem = Problem::of(&self.file, what, &self.remedy);
        match self.text.find(&format!("\"{key}\"")) {
            Some(start) => problem.at(&self.text, &(start..start)),
            None => problem,
        }
    }
}

/// Whether AWS takes this as the name of a thing.
#[must_use]
pub fn is_name(thing: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
    (1..=128).contains(&thing.len()) && thing.bytes().all(allowed)
}

impl ThingFolder {
    /// The folder of `thing` below `certs`; nothing needs to exist.
    ///
    /// # Errors
    /// When the thing's name is none, or would lead elsewhere.
    pub fn new(certs: &Path, thing: &str) -> Result<Self, Problem> {
        let folder = certs.join(thing);
        if !is_name(thing) || RESERVED.contains(&thing) {
            return Err(Problem::of(
                &folder,
                format!("{thing:?} cannot be a thing's name"),
                "take 1 to 128 letters, digits, hyphens, underscores and colons, and not \
                 \"local\", \"signing\" or \"updates\": THING=name",
            ));
        }
        Ok(Self { folder, thing: thing.to_owned() })
    }

    /// The thing's name.
    #[must_use]
    pub fn thing(&self) -> &str {
        &self.thing
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.join("device.key")
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("device.pem")
    }

    /// The notes of provisioning, JSON.
    #[must_use]
    pub fn notes_file(&self) -> PathBuf {
        self.folder.join("thing.json")
    }

    /// The identity region.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity.bin")
    }

    /// The certificate, DER, with which the device proved itself on AWS when an identity came to it
    /// over the air last.
    #[must_use]
    pub fn proved(&self) -> PathBuf {
        self.folder.join("proved.der")
    }

    /// Writes down that the device proved itself with these topics, on AWS.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_proved(&self, topics: &Topics) -> anyhow::Result<()> {
        files::write(&self.proved_topics(), &serde_json::to_vec(topics)?, PUBLIC)
    }

    /// Whether the device proved itself with these topics since the thing's policy was another one.
    #[must_use]
    pub fn has_proved(&self, topics: &Topics) -> bool {
        let noted = std::fs::read(self.proved_topics()).ok();
        noted
            .and_then(|text| serde_json::from_slice(&text).ok())
            .is_some_and(|noted: Topics| noted.are_those_of(topics))
    }

    /// Forgets with which topics the device proved itself: what it has is another matter from now on.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_proved(&self) -> anyhow::Result<()> {
        files::remove(&self.proved_topics())
    }

    fn proved_topics(&self) -> PathBuf {
        self.folder.join("proved.topics")
    }

    /// Whether the thing was provisioned, wholly or in part.
    #[must_use]
    pub fn exists(&self) -> bool {
        [self.key(), self.certificate(), self.notes_file()].iter().any(|file| file.exists())
    }

    /// What to do when a file is missing.
    #[must_use]
    pub fn remedy(&self) -> String {
        format!(
            "`make provision THING={}` makes it on AWS; or put device.pem and device.key into {} \
             and the endpoint into config.toml",
            self.thing,
            self.folder.display()
        )
    }

    /// The notes of provisioning, if there are any.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn notes(&self) -> Result<Option<Notes>, Problem> {
        let file = self.notes_file();
        if !file.exists() {
            return Ok(None);
        }
        let text = read_text(&file, NOTES_LIMIT, &self.remedy())?;
        let remedy = format!("run `make provision THING={}` again", self.thing);
        let notes = serde_json::from_str(&text).map_err(|error| {
            Problem::of(&file, format!("this is damaged: {error}"), &remedy).at_line(error.line())
        })?;
        Ok(Some(Notes { text, file, remedy, ..notes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../a",
            "local",
            "signing",
            "updates",
            "a b",
            "ü",
            &"x".repeat(129),
        ] {
            let error = ThingFolder::new(Path::new("certs"), name).unwrap_err();
            assert!(error.to_string().contains("THING=name"), "{error}");
        }
        let folder = ThingFolder::new(Path::new("certs"), "demo").unwrap();
        assert_eq!(folder.key(), Path::new("certs/demo/device.key"));
        assert!(!folder.exists());
    }

    #[test]
    fn only_the_topics_that_were_proved_count() {
        let certs = tempfile::tempdir().unwrap();
        std::fs::create_dir(certs.path().join("demo")).unwrap();
        let folder = ThingFolder::new(certs.path(), "demo").unwrap();
        let (old, new) = (Topics::default(), Topics::new("x", &Topics::default().control));
        assert!(!folder.has_proved(&old));
        folder.note_proved(&new).unwrap();
        assert!(folder.has_proved(&new) && !folder.has_proved(&old));
        std::fs::write(folder.proved_topics(), "{").unwrap();
        assert!(!folder.has_proved(&new));
        folder.forget_proved().unwrap();
        folder.forget_proved().unwrap();
    }

    #[test]
    fn notes_say_what_is_known_and_where() {
        let certs = tempfile::tempdir().unwrap();
        let folder = ThingFolder::new(certs.path(), "demo").unwrap();
        assert!(folder.notes().unwrap().is_none());
        std::fs::create_dir(certs.path().join("demo")).unwrap();
        std::fs::write(folder.notes_file(), "{\"thing\": \"demo\"}").unwrap();
        assert!(folder.exists());
        assert_eq!(folder.notes().unwrap().unwrap().endpoint, None);
        std::fs::write(folder.notes_file(), "{\n\"region\": 1,\n\"endpoint\": \"a.b\"}").unwrap();
        let notes = folder.notes().unwrap().unwrap();
        assert_eq!(notes.endpoint.as_deref(), Some("a.b"));
        let blame = notes.blame("endpoint", "is odd").to_string();
        assert!(blame.contains("thing.json:3: is odd"), "{blame}");
        std::fs::write(folder.notes_file(), "{\n\"endpoint\": \n").unwrap();
        let error = folder.notes().unwrap_err().to_string();
        assert!(error.contains("thing.json:3: this is damaged"), "{error}");
        assert!(error.contains("make provision THING=demo"), "{error}");
    }
}
