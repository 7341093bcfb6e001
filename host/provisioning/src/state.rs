//! What is known of a thing on this machine: its folder and its journal.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::keys;
use process::{files, wait};
use things::folder;

/// A certificate in the account.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Certificate {
    /// AWS's id.
    pub id: String,
    /// AWS's name for it.
    pub arn: String,
}

/// A call that changes something in the account, written down before it is made and taken
/// off when its answer is written down.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Doing {
    /// The AWS CLI's command.
    pub call: String,
    /// When it was about to be made, seconds since 1970.
    pub since: i64,
}

/// `thing.json`: what was made so far. It holds no secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Journal {
    /// Of this format.
    pub version: u32,
    /// The thing's name.
    pub thing: String,
    /// The AWS account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The region.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Host name of the account's MQTT server in that region.
    pub endpoint: Option<String>,
    /// The topic that the policy lets the thing publish to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_topic: String,
    /// The topic that the policy lets the thing hear.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub control_topic: String,
    /// AWS's name for the thing.
    pub thing_arn: Option<String>,
    /// Name of the policy.
    pub policy: Option<String>,
    /// Policies that this thing had before, not deleted yet.
    pub old_policies: BTreeSet<String>,
    /// Policies of earlier topics that its certificate still has: the device may still use those.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub staying: BTreeSet<String>,
    /// The certificate of `device.pem`.
    pub certificate: Option<Certificate>,
    /// The certificate of `device.next.pem`, while a rotation makes it.
    pub next: Option<Certificate>,
    /// The certificate of `device.old.pem`, until the device was seen with its successor.
    pub retiring: Option<Certificate>,
    /// Id of the certificate with which a rotation has seen the device, until its predecessor is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Whether the files of a rotation are changing places.
    pub swapping: bool,
    /// The call under way, or the one that was under way when something went wrong.
    pub doing: Option<Doing>,
    /// Whether the thing is being removed.
    pub removing: bool,
    /// Whether all is made.
    pub complete: bool,
}

impl Journal {
    /// ARNs of the certificates that it knows.
    pub(super) fn certificate_arns(&self) -> BTreeSet<String> {
        let known = [&self.certificate, &self.next, &self.retiring];
        known.into_iter().flatten().map(|certificate| certificate.arn.clone()).collect()
    }

    /// Those of these ARNs that it does not know.
    pub(super) fn strangers(&self, arns: &[String]) -> Vec<String> {
        let own = self.certificate_arns();
        arns.iter().filter(|arn| !own.contains(*arn)).cloned().collect()
    }
}

/// Which files and which place of the journal a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// In use.
    Current,
    /// In the making, by a rotation.
    Next,
    /// The one before, until the device was seen with its successor.
    Old,
}

impl Slot {
    pub(super) const ALL: [Self; 3] = [Self::Current, Self::Next, Self::Old];

    fn stem(self) -> &'static str {
        match self {
            Self::Current => "device",
            Self::Next => "device.next",
            Self::Old => "device.old",
        }
    }

    pub(super) fn of(self, journal: &mut Journal) -> &mut Option<Certificate> {
        match self {
            Self::Current => &mut journal.certificate,
            Self::Next => &mut journal.next,
            Self::Old => &mut journal.retiring,
        }
    }
}

const VERSION: u32 = 1;

/// The folder of one thing, locked against a second program, and its journal.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    pub(super) journal: Journal,
    _lock: Lock,
}

/// The lock of a folder.
#[derive(Debug)]
struct Lock(fs::File);

impl Drop for Lock {
    /// Closing alone would not do: a child that another thread is just starting has the file
    /// open too until its program begins, and the lock would last as long.
    fn drop(&mut self) {
        // Fails only when the lock is gone already.
        let _ = self.0.unlock();
    }
}

impl Store {
    /// Opens `<certs>/<thing>`; makes the folder when there is none. Waits up to `limit` for another
    /// program that is at work on it.
    ///
    /// # Errors
    /// When the name is not one of a thing, the other program goes on for longer, or the journal is
    /// damaged.
    pub(super) fn open_within(certs: &Path, thing: &str, limit: Duration) -> Result<Self> {
        check_name(thing)?;
        let folder = certs.join(thing);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let lock_path = folder.join(LOCK);
        let lock = fs::File::create(&lock_path)
            .with_context(|| format!("cannot write {}", lock_path.display()))?;
        let locked = wait::until(limit, LOOK, || match lock.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        })?;
        locked.with_context(|| {
            format!("another program is at work on {thing} right now: wait until it has ended")
        })?;
        let lock = Lock(lock);
        let journal = journal(certs, thing)?.unwrap_or_else(|| Journal {
            version: VERSION,
            thing: thing.to_owned(),
            ..Journal::default()
        });
        Ok(Self { folder, journal, _lock: lock })
    }

    /// A file of this thing.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file of this slot with this extension.
    pub(super) fn file(&self, slot: Slot, extension: &str) -> PathBuf {
        self.path(&format!("{}.{extension}", slot.stem()))
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the journal.
    pub(super) fn save(&self) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(&self.journal)?;
        text.push(b'\n');
        files::write(&self.path(JOURNAL), &text, 0o600)
    }

    /// Writes down that `call` is about to be made.
    pub(super) fn about_to(&mut self, call: &str) -> Result<()> {
        let since = OffsetDateTime::now_utc().unix_timestamp();
        self.journal.doing = Some(Doing { call: call.to_owned(), since });
        self.save()
    }

    /// Writes down what came of it.
    pub(super) fn done(&mut self, note: impl FnOnce(&mut Journal)) -> Result<()> {
        note(&mut self.journal);
        self.journal.doing = None;
        self.save()
    }

    /// Begins to let the next pair take the place of the present one, which becomes the old
    /// one.
    pub(super) fn begin_swap(&mut self) -> Result<()> {
        self.remove_pair(Slot::Old)?;
        self.journal.swapping = true;
        self.save()?;
        self.finish_swap()
    }

    /// Finishes a swap that may have been interrupted anywhere.
    pub(super) fn finish_swap(&mut self) -> Result<()> {
        if !self.journal.swapping {
            return Ok(());
        }
        for (extension, mode) in PAIR {
            let [present, next, old] = Slot::ALL.map(|slot| self.file(slot, extension));
            // No next one: this file has moved already.
            if !next.exists() {
                continue;
            }
            if !old.exists() {
                files::write(&old, &files::read(&present)?, mode)?;
            }
            fs::rename(&next, &present)
                .with_context(|| format!("cannot replace {}", present.display()))?;
        }
        let journal = &mut self.journal;
        journal.retiring = journal.certificate.take();
        journal.certificate = journal.next.take();
        journal.swapping = false;
        self.save()
    }

    /// Removes a pair.
    pub(super) fn remove_pair(&self, slot: Slot) -> Result<()> {
        PAIR.iter().try_for_each(|(extension, _)| files::remove(&self.file(slot, extension)))
    }

    /// Whether there is any file of the thing.
    pub(super) fn has_files(&self) -> bool {
        let pair = |slot| PAIR.map(|(extension, _)| self.file(slot, extension));
        let pairs = Slot::ALL.into_iter().flat_map(pair);
        pairs.chain(REST.map(|name| self.path(name))).any(|path| path.exists())
    }

    /// Whether of the thing's files a key or a certificate is not known to be of the journal's
    /// account. A key that has no certificate yet is, when there is a journal: both were made here.
    pub(super) fn has_strange_files(&self) -> bool {
        let Journal { account, certificate, next, .. } = &self.journal;
        let strange = |slot| {
            let key = self.file(slot, "key");
            // What cannot be read as a key was not made here.
            self.file(slot, "pem").exists()
                || key.exists() && !matches!(keys::load(&key), Ok(Some(_)))
        };
        // Beside the certificate, which the journal knows, the key of another one. While a pair changes
        // its place the two differ.
        let mismatched = || {
            let [key, pem] = ["key", "pem"].map(|extension| self.file(Slot::Current, extension));
            let pem = fs::read_to_string(pem);
            let belongs = |key| match &pem {
                Ok(pem) => keys::belong_together(pem, &key).unwrap_or(false),
                Err(_) => true,
            };
            !self.journal.swapping
                && key.exists()
                && !keys::load(&key).is_ok_and(|key| key.is_some_and(belongs))
        };
        // The journal has its account before anything is made.
        (account.is_empty() && certificate.is_none())
            || if certificate.is_none() { strange(Slot::Current) } else { mismatched() }
            || (next.is_none() && strange(Slot::Next))
    }

    /// Removes the files that provisioning made, and the folder when nothing else is in it. Key
    /// and certificate stay when the journal still knows the certificate: so it is in the account.
    pub(super) fn remove(mut self) -> Result<()> {
        for slot in Slot::ALL {
            if slot.of(&mut self.journal).is_none() {
                self.remove_pair(slot)?;
            }
        }
        // The journal goes last: as long as it is there, the rest can be removed again.
        for name in REST.iter().chain(&[LOCK]) {
            files::remove(&self.path(name))?;
        }
        // Not empty: the person keeps something of their own there.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

/// Key, request and certificate, with their modes. The certificate first: should a program
/// read them in the middle of a swap, its check that the two belong together tells.
const PAIR: [(&str, u32); 3] = [("pem", 0o644), ("csr", 0o644), ("key", 0o600)];

/// The journal's name in the folder.
const JOURNAL: &str = "thing.json";

/// How often it is looked whether another program is still at work.
const LOOK: Duration = Duration::from_millis(100);

/// The lock's.
const LOCK: &str = ".lock";

/// What else there is of a thing.
const REST: [&str; 4] = ["identity.bin", "proved.der", "proved.topics", JOURNAL];

/// Reads a journal.
fn read(text: &[u8], thing: &str) -> Result<Journal> {
    let journal: Journal = serde_json::from_slice(text)?;
    if journal.version != VERSION {
        bail!("it has version {}, this program knows {VERSION}", journal.version);
    }
    if journal.thing != thing {
        bail!("it is about {}", journal.thing);
    }
    Ok(journal)
}

/// Reads the journal of a thing without changing anything; `None` when there is none.
///
/// # Errors
/// When the name is not one of a thing, or the journal is damaged.
pub fn journal(certs: &Path, thing: &str) -> Result<Option<Journal>> {
    check_name(thing)?;
    let path = certs.join(thing).join(JOURNAL);
    let Some(text) = files::read_if_there(&path)? else { return Ok(None) };
    read(&text, thing).map(Some).with_context(|| {
        format!(
            "{} is damaged: move it away and run the same command again; what exists in the account is \
             found by the key in device.key",
            path.display()
        )
    })
}

/// Refuses what AWS would not take as the name of a thing, or what is no name of a folder
/// for one.
///
/// # Errors
/// Says what is allowed.
pub(super) fn check_name(thing: &str) -> Result<()> {
    if !folder::is_name(thing) {
        bail!(
            "\"{}\" cannot be the name of a thing: AWS takes 1 to 128 of A-Z a-z 0-9 : _ -",
            thing.escape_debug()
        );
    }
    if folder::RESERVED.contains(&thing) {
        bail!("a thing cannot be called {thing}: certs/{thing} is a folder of another kind");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(certs: &Path, thing: &str) -> Result<Store> {
        Store::open_within(certs, thing, Duration::ZERO)
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let long = "x".repeat(129);
        for bad in ["", "local", "a/b", "..", ".", "a b", "ä", "a\n", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["demo", "-x", "A:b_c-9"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let certs = tempfile::tempdir().unwrap();
        let mut store = open(certs.path(), "demo").unwrap();
        store.about_to("iot create-thing").unwrap();
        assert_eq!(
            journal(certs.path(), "demo").unwrap().unwrap().doing.unwrap().call,
            "iot create-thing"
        );
        store.done(|journal| journal.thing_arn = Some("arn".to_owned())).unwrap();
        drop(store);
        let store = open(certs.path(), "demo").unwrap();
        assert_eq!(store.journal.thing_arn.as_deref(), Some("arn"));
        assert_eq!(store.journal.doing, None);
    }

    #[test]
    fn a_second_program_has_to_wait() {
        let certs = tempfile::tempdir().unwrap();
        let first = open(certs.path(), "demo").unwrap();
        let error = open(certs.path(), "demo").unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
        let ends = std::thread::spawn(move || {
            std::thread::sleep(2 * LOOK);
            drop(first);
        });
        Store::open_within(certs.path(), "demo", Duration::from_secs(20)).unwrap();
        ends.join().unwrap();
    }

    #[test]
    fn the_lock_ends_with_its_owner_whoever_has_the_file_open_too() {
        let certs = tempfile::tempdir().unwrap();
        let store = open(certs.path(), "demo").unwrap();
        // What a child has between its start and its program's.
        let _inherited = store._lock.0.try_clone().unwrap();
        drop(store);
        open(certs.path(), "demo").unwrap();
    }

    #[test]
    fn a_damaged_journal_says_what_to_do() {
        let certs = tempfile::tempdir().unwrap();
        drop(open(certs.path(), "demo").unwrap());
        for text in ["", "{", r#"{"version":9,"thing":"demo"}"#, r#"{"version":1,"thing":"x"}"#] {
            fs::write(certs.path().join("demo/thing.json"), text).unwrap();
            let error = open(certs.path(), "demo").unwrap_err();
            assert!(error.to_string().contains("move it away"), "{error}");
        }
    }

    #[test]
    fn a_swap_goes_on_wherever_it_stopped() {
        let certificate =
            |id: &str| Some(Certificate { id: id.to_owned(), arn: format!("arn:cert/{id}") });
        // How many of the file operations were made before the power went.
        for made in 0..=6 {
            let certs = tempfile::tempdir().unwrap();
            let mut store = open(certs.path(), "demo").unwrap();
            store.journal.certificate = certificate("a");
            store.journal.next = certificate("b");
            store.journal.swapping = true;
            for (index, (extension, _)) in PAIR.iter().enumerate() {
                let file = |stem: &str| store.path(&format!("{stem}.{extension}"));
                fs::write(file("device"), "a").unwrap();
                fs::write(file("device.next"), "b").unwrap();
                if made > 2 * index {
                    fs::write(file("device.old"), "a").unwrap();
                }
                if made > 2 * index + 1 {
                    fs::rename(file("device.next"), file("device")).unwrap();
                }
            }
            store.save().unwrap();
            drop(store);
            let mut store = open(certs.path(), "demo").unwrap();
            store.finish_swap().unwrap();
            for (extension, _) in PAIR {
                let read = |stem: &str| {
                    fs::read_to_string(store.path(&format!("{stem}.{extension}"))).ok()
                };
                assert_eq!(read("device").as_deref(), Some("b"), "{made} {extension}");
                assert_eq!(read("device.old").as_deref(), Some("a"), "{made} {extension}");
                assert_eq!(read("device.next"), None, "{made} {extension}");
            }
            assert_eq!(store.journal.certificate, certificate("b"));
            assert_eq!(store.journal.retiring, certificate("a"));
            assert_eq!(store.journal.next, None);
        }
    }

    #[test]
    fn removing_keeps_what_is_not_ours() {
        let certs = tempfile::tempdir().unwrap();
        let store = open(certs.path(), "demo").unwrap();
        store.save().unwrap();
        store.remove().unwrap();
        assert!(!certs.path().join("demo").exists());
        let store = open(certs.path(), "demo").unwrap();
        fs::write(certs.path().join("demo/notes"), "mine").unwrap();
        store.remove().unwrap();
        assert!(certs.path().join("demo/notes").exists());
    }
}
