//! A thing on AWS IoT: made, renewed and removed.
//!
//! The person's own AWS CLI does the talking ([`Cli`]). Every step looks at what is there
//! before it makes anything, and a journal is written before and after each call that changes
//! the account. So a command that was interrupted anywhere, even between a call and its answer,
//! is simply given again: it goes on, and nothing is made twice.
//!
//! # What is left under `certs/<thing>/`
//!
//! | File | Content |
//! | --- | --- |
//! | `device.key` | private key, P-256, PEM (PKCS #8), mode 0600 |
//! | `device.csr` | the request that the certificate was made from, PEM |
//! | `device.pem` | the certificate, PEM |
//! | `thing.json` | the journal ([`Journal`]): endpoint, ARNs, topics, and how far things are; no secret |
//! | `device.next.*` | key and certificate that a rotation is making |
//! | `device.old.*` | those before, until the device was seen with the new ones |
//! | `proved.topics` | the topics with which the device proved itself when its identity came by a job |
//! | `identity.bin` | the identity region, written by `make identity`; holds the key, mode 0600 |
//!
//! # How a certificate is never made twice
//!
//! AWS makes a new certificate for each request, even for the same CSR. So the key is written
//! first, then the journal says that a certificate is being made. When the answer was lost, the
//! account's certificates since then are searched for the one with the public half of that key.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use provisioning::{Cli, Session};
//! use things::topics::Topics;
//!
//! # fn provision() -> anyhow::Result<()> {
//! let cli = Cli::find(Path::new("target"), &|line| eprintln!("{line}"))?;
//! let say = |line: &str| println!("{line}");
//! let mut session = Session::open(cli, Path::new("certs"), &say)?; // says whose account it is
//! let journal = session.provision("lamp", &Topics::default())?;
//! println!("{:?}", journal.endpoint);
//! # Ok(())
//! # }
//! ```

mod cli;
mod failure;
pub mod fleet;
mod keys;
mod make;
mod plan;
mod policy;
mod remove;
mod rotate;
mod state;
mod witness;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::KeyPair;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use cli::{Cli, Options, Patience};
pub use failure::{Cause, Failure};
pub use policy::Policy;
pub use rotate::Rotation;
pub use state::{Certificate, Doing, Journal, journal};
pub use witness::{LocalEvents, PresenceEvents, Witness};

use state::{Slot, Store};
use things::folder::ThingFolder;
use things::topics::Topics;

/// The thing that is this program's own client.
pub const OPERATOR: &str = "esp8266-operator";

/// How far apart the clocks of AWS and of this machine may be, in seconds.
const CLOCK_SKEW_S: i64 = 900;

/// How long another program may be at work on [`OPERATOR`].
const OPERATOR_PATIENCE: Duration = Duration::from_secs(60);

/// How many certificates AWS lists at once at most; without being asked it lists 25.
const LARGEST_PAGE: &str = "250";

/// How many pages of the newest certificates are looked at when an answer was lost.
const MOST_PAGES: usize = 8;

/// How long to wait for AWS to let go of a policy where the next run can delete it as well.
const SHORTLY: Duration = Duration::from_secs(15);

/// An account, as a person with certain credentials sees it.
pub struct Session<'a> {
    cli: Cli,
    certs: PathBuf,
    say: &'a dyn Fn(&str),
    account: String,
    region: String,
    /// Beginning of the ARNs: `arn:aws:iot:REGION:ACCOUNT`.
    scope: String,
    endpoint: Option<String>,
    policies_seen: HashSet<String>,
    /// Of a policy and the one that takes its place: whether that allows as much.
    policies_compared: HashMap<(String, String), bool>,
    /// Whether policies of earlier topics go: the person says that the devices have the present ones.
    pub end_old_topics: bool,
    /// Whether things that were made elsewhere get a certificate from here, too: the person says that
    /// it is meant.
    pub join_foreign_things: bool,
    /// While a fleet is made: policies of before, to be deleted at its end and not for each thing.
    policies_later: Option<BTreeSet<String>>,
}

impl<'a> Session<'a> {
    /// Asks AWS who the person is and says so: account, ARN, region. Nothing is made.
    /// Results go to folders under `certs`; `say` shows a line of progress.
    ///
    /// # Errors
    /// When AWS cannot be reached or refuses.
    pub fn open(mut cli: Cli, certs: &Path, say: &'a dyn Fn(&str)) -> Result<Self> {
        let region = cli.settle_region()?;
        let who = cli.call("sts", "get-caller-identity", &[], say)?;
        let account = text(&who, "Account")?;
        let arn = text(&who, "Arn")?;
        say(&format!("AWS account  {account}"));
        say(&format!("you are      {arn}"));
        say(&format!("region       {region}"));
        // China and GovCloud have partitions of their own.
        let partition = arn.split(':').nth(1).unwrap_or("aws");
        let scope = format!("arn:{partition}:iot:{region}:{account}");
        Ok(Self {
            cli,
            certs: certs.to_owned(),
            say,
            account,
            region,
            scope,
            endpoint: None,
            policies_seen: HashSet::new(),
            policies_compared: HashMap::new(),
            end_old_topics: false,
            join_foreign_things: false,
            policies_later: None,
        })
    }

    /// Makes the thing, or completes or confirms it. Where its topics are others than before, the
    /// device may use both until it was seen with the new ones.
    ///
    /// # Errors
    /// When a call fails, or what is there is not what it should be; the same command goes on
    /// once that is mended.
    pub fn provision(&mut self, thing: &str, topics: &Topics) -> Result<Journal> {
        let journal = self.complete(thing, topics)?;
        if !journal.staying.is_empty() {
            (self.say)(&format!(
                "{thing} may use its topics of before, too, until its device has the new ones: give it \
                 its identity by `make update-identity THING={thing}` and run this command again, or by \
                 its cable, and run this command with RETIRE=1"
            ));
        }
        if journal.next.is_some() || journal.retiring.is_some() {
            (self.say)(&format!(
                "a rotation of {thing} is under way: `make provision THING={thing} ROTATE=1` goes on \
                 with it"
            ));
        }
        Ok(journal)
    }

    fn complete(&mut self, thing: &str, topics: &Topics) -> Result<Journal> {
        if thing == OPERATOR {
            bail!("{OPERATOR} is the name of this program's own client: choose another one");
        }
        let policy = Policy::new(&self.scope, thing, topics)?;
        let before = self.journal(thing)?;
        let same_policy = |journal: &Journal| journal.policy.as_deref() == Some(&policy.name);
        // The journal's policy is what was meant to be: an interrupted run got no further. Its topics are
        // those that stand.
        let allowed = |journal: &Journal| {
            if journal.status_topic.is_empty() {
                journal.policy.is_none() || same_policy(journal)
            } else {
                (&journal.status_topic, &journal.control_topic) == (&topics.status, &topics.control)
            }
        };
        if self.end_old_topics && !before.as_ref().is_none_or(allowed) {
            bail!(
                "{thing} may not use the topics of config.toml yet, so no device of it can have them: run \
                 `make provision THING={thing}` without RETIRE=1, and give the device its identity, first"
            );
        }
        // What was proved under another policy may not be so any more.
        let end_old_topics = self.end_old_topics
            || before.as_ref().is_some_and(same_policy) && self.old_topics_end(thing, topics)?;
        let store = self.make(thing, topics, &policy, end_old_topics)?;
        Ok(store.journal.clone())
    }

    /// Makes the client with which this program sees things connect. Several may look at once.
    ///
    /// # Errors
    /// As [`Session::provision`].
    pub fn operator(&mut self) -> Result<PresenceEvents> {
        let policy = Policy::operator(&self.scope, OPERATOR);
        let nothing = Topics::new("", "");
        let store = self.make(OPERATOR, &nothing, &policy, true)?;
        let endpoint = store.journal.endpoint.as_deref().unwrap_or_default();
        PresenceEvents::on_aws(endpoint, OPERATOR, store.folder())
    }

    /// Whether policies of other topics than these may go.
    fn old_topics_end(&self, thing: &str, topics: &Topics) -> Result<bool> {
        Ok(self.end_old_topics || ThingFolder::new(&self.certs, thing)?.has_proved(topics))
    }

    fn make(
        &mut self,
        thing: &str,
        topics: &Topics,
        policy: &Policy,
        end_old_topics: bool,
    ) -> Result<Store> {
        let mut store = self.store(thing)?;
        if store.journal.removing {
            bail!("{thing} is half removed: `make deprovision THING={thing}` finishes that");
        }
        let Store { journal, .. } = &mut store;
        self.account.clone_into(&mut journal.account);
        self.region.clone_into(&mut journal.region);
        journal.complete = false;
        // Before it exists: what its name says cannot be mistaken, so that a policy whose making
        // was not heard of can be removed, too.
        let before = journal.policy.replace(policy.name.clone());
        if before.as_ref() != Some(&policy.name) {
            // Whatever the device has proved, it has proved under that policy.
            ThingFolder::new(&self.certs, thing)?.forget_proved()?;
        }
        journal.old_policies.extend(before);
        journal.old_policies.remove(&policy.name);
        journal.staying.remove(&policy.name);
        (self.say)(&format!("thing        {}:thing/{thing}", self.scope));
        (self.say)(&format!("policy       {}:policy/{}", self.scope, policy.name));
        let endpoint = self.endpoint()?;
        (self.say)(&format!("endpoint     {endpoint}"));
        store.journal.endpoint = Some(endpoint);
        store.finish_swap()?;
        self.make_all(&mut store, policy, Slot::Current, end_old_topics)?;
        store.done(|journal| {
            topics.status.clone_into(&mut journal.status_topic);
            topics.control.clone_into(&mut journal.control_topic);
            journal.complete = true;
        })?;
        Ok(store)
    }

    /// Whether a journal says that all is made, in this account, for these topics, and the
    /// files are there and belong together. Asks nobody.
    ///
    /// # Errors
    /// When the files cannot be read.
    fn is_complete(&self, journal: &Journal, topics: &Topics) -> Result<bool> {
        let policy = Policy::new(&self.scope, &journal.thing, topics)?;
        let folder = self.certs.join(&journal.thing);
        let Some(key) = keys::load(&folder.join("device.key"))? else {
            return Ok(false);
        };
        let Ok(certificate) = std::fs::read_to_string(folder.join("device.pem")) else {
            return Ok(false);
        };
        Ok(journal.complete
            && !journal.removing
            && journal.account == self.account
            && journal.region == self.region
            && journal.policy.as_deref() == Some(&policy.name)
            && (journal.staying.is_empty() || !self.old_topics_end(&journal.thing, topics)?)
            && keys::belong_together(&certificate, &key)?)
    }

    /// What is known of a thing on this machine.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub fn journal(&self, thing: &str) -> Result<Option<Journal>> {
        journal(&self.certs, thing)
    }

    /// Opens the thing's folder; refuses one that belongs to another account or region.
    fn store(&self, thing: &str) -> Result<Store> {
        // Several rotations may begin at once, and each makes the operator.
        let patience = if thing == OPERATOR { OPERATOR_PATIENCE } else { Duration::ZERO };
        let store = Store::open_within(&self.certs, thing, patience)?;
        let journal = &store.journal;
        let elsewhere = (!journal.account.is_empty() && journal.account != self.account)
            || (!journal.region.is_empty() && journal.region != self.region);
        if elsewhere {
            bail!(
                "{thing} was made in account {}, region {}, and you are in account {}, region {}: \
                 choose the right one by AWS_PROFILE=… and AWS_REGION=…, or give the thing another name",
                journal.account,
                journal.region,
                self.account,
                self.region
            );
        }
        Ok(store)
    }

    /// Looks something up.
    fn look(&self, operation: &str, options: &Options<'_>) -> Result<Value> {
        self.cli.call("iot", operation, options, self.say)
    }

    /// Looks something up that may not exist.
    fn look_for(&self, operation: &str, options: &Options<'_>) -> Result<Option<Value>> {
        Failure::unless_missing(self.look(operation, options))
    }

    /// Changes something, with the journal written before; the caller writes it after.
    fn change(&self, store: &mut Store, operation: &str, options: &Options<'_>) -> Result<Value> {
        store.about_to(&format!("iot {operation}"))?;
        self.look(operation, options)
    }

    /// Host name of the account's MQTT server.
    fn endpoint(&mut self) -> Result<String> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint.clone());
        }
        let answer = self.look("describe-endpoint", &[("endpoint-type", "iot:Data-ATS")])?;
        let endpoint = text(&answer, "endpointAddress")?;
        if endpoint.is_empty() || !endpoint.contains('.') || endpoint.contains(['/', ':', ' ']) {
            bail!(
                "region {} has no endpoint for devices (AWS says \"{endpoint}\"): choose another \
                 region by AWS_REGION=…",
                self.region
            );
        }
        self.endpoint = Some(endpoint.clone());
        Ok(endpoint)
    }

    /// Finds the certificate of `key` among those of the thing and those that the account got
    /// since the key was made.
    fn search(&self, store: &Store, key_path: &Path, key: &KeyPair) -> Result<Option<Certificate>> {
        let attached = self.principals(&store.journal.thing)?;
        if let Some(certificate) = self.search_among(&attached, key)? {
            return Ok(Some(certificate));
        }
        let written = std::fs::metadata(key_path)?.modified()?;
        let written = OffsetDateTime::from(written).unix_timestamp();
        let since = store.journal.doing.as_ref().map_or(written, |doing| doing.since.min(written));
        let recent = |listed: &Value| {
            seconds(&listed["creationDate"]).is_none_or(|created| created >= since - CLOCK_SKEW_S)
        };
        // The newest first.
        let mut marker = None;
        for _ in 0..MOST_PAGES {
            // The AWS CLI's own way through the pages would go through all of them.
            let mut arguments = vec![("no-paginate", ""), ("page-size", LARGEST_PAGE)];
            arguments.extend(marker.as_deref().map(|marker| ("marker", marker)));
            let answer = self.look("list-certificates", &arguments)?;
            let page = list(&answer, "certificates");
            for listed in page.iter().filter(|listed| recent(listed)) {
                let certificate = certificate(listed)?;
                if self.is_of(&certificate, key)? {
                    return Ok(Some(certificate));
                }
            }
            marker = answer["nextMarker"].as_str().map(str::to_owned);
            if marker.is_none() || !page.last().is_some_and(recent) {
                break;
            }
        }
        Ok(None)
    }

    /// Finds the certificate of `key` among these ARNs.
    fn search_among(&self, arns: &[String], key: &KeyPair) -> Result<Option<Certificate>> {
        for arn in arns {
            if let Some((_, id)) = arn.split_once(":cert/") {
                let certificate = Certificate { id: id.to_owned(), arn: arn.clone() };
                if self.is_of(&certificate, key)? {
                    return Ok(Some(certificate));
                }
            }
        }
        Ok(None)
    }

    /// Whether a certificate of the account carries the public half of `key`.
    fn is_of(&self, certificate: &Certificate, key: &KeyPair) -> Result<bool> {
        let arguments = [("certificate-id", certificate.id.as_str())];
        let Some(described) = self.look_for("describe-certificate", &arguments)? else {
            return Ok(false);
        };
        let pem = text(&described["certificateDescription"], "certificatePem")?;
        // Others' certificates may have anything in them.
        Ok(keys::belong_together(&pem, key).unwrap_or(false))
    }

    /// Names of the policies attached to a certificate.
    fn attached_policies(&self, arn: &str) -> Result<Vec<String>> {
        let answer = self.look_for("list-attached-policies", &[("target", arn)])?;
        let answer = answer.unwrap_or_default();
        list(&answer, "policies").iter().map(|policy| text(policy, "policyName")).collect()
    }

    /// ARNs of what is attached to a thing.
    fn principals(&self, thing: &str) -> Result<Vec<String>> {
        let answer = self.look_for("list-thing-principals", &[("thing-name", thing)])?;
        Ok(texts(&answer.unwrap_or_default(), "principals"))
    }
}

fn text(value: &Value, field: &str) -> Result<String> {
    value[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("AWS's answer has no {field}: is this AWS CLI very old?"))
}

fn certificate(value: &Value) -> Result<Certificate> {
    Ok(Certificate { id: text(value, "certificateId")?, arn: text(value, "certificateArn")? })
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A time as the AWS CLI writes it: version 1 as a number, version 2 as text.
fn seconds(value: &Value) -> Option<i64> {
    match value {
        // Whole seconds are enough.
        Value::Number(number) => number.as_f64().map(|seconds| seconds as i64),
        Value::String(text) => {
            OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
        }
        _ => None,
    }
}

/// What is attached to a thing, for a person to recognise it.
fn in_short(arns: &[String]) -> String {
    let names = arns.iter().map(|arn| arn.split_once(":cert/").map_or(&**arn, |(_, id)| short(id)));
    names.collect::<Vec<_>>().join(", ")
}

/// Enough of a certificate's id to recognise it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_of_both_versions_of_the_cli_are_read() {
        assert_eq!(seconds(&json!(1_795_404_181.41)), Some(1_795_404_181));
        assert_eq!(seconds(&json!("2026-11-23T03:23:01.410000+00:00")), Some(1_795_404_181));
        assert_eq!(seconds(&json!("yesterday")), None);
        assert_eq!(seconds(&Value::Null), None);
    }
}
