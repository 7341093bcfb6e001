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
//! | `identity.bin` | the identity region, written by `make identity`; holds the key, mode 0600 |
//!
//! # How a certificate is never made twice
//!
//! AWS makes a new certificate for each request, even for the same CSR. So the key is written
//! first, then the journal says that a certificate is being made. When the answer was lost, the
//! account's certificates since then are searched for the one with the public half of that key.

mod cli;
mod failure;
pub mod fleet;
mod keys;
mod policy;
mod remove;
mod rotate;
mod state;
mod witness;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::KeyPair;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use cli::{Cli, Patience};
pub use failure::{Cause, Failure};
pub use policy::Policy;
pub use rotate::Rotation;
pub use state::{Certificate, Doing, Journal, journal};
pub use witness::{LocalEvents, PresenceEvents, Witness};

use process::files;
use state::Store;
use things::topics::Topics;

/// The thing that is this program's own client.
pub const OPERATOR: &str = "esp8266-operator";

/// How far apart the clocks of AWS and of this machine may be, in seconds.
const CLOCK_SKEW_S: i64 = 900;

/// How many of the newest certificates are looked at when an answer was lost.
const SEARCHED: &str = "500";

/// Which files and which place of the journal a certificate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// In use.
    Current,
    /// In the making, by a rotation.
    Next,
}

impl Slot {
    fn stem(self) -> &'static str {
        match self {
            Self::Current => "device",
            Self::Next => "device.next",
        }
    }

    fn of(self, journal: &mut Journal) -> &mut Option<Certificate> {
        match self {
            Self::Current => &mut journal.certificate,
            Self::Next => &mut journal.next,
        }
    }
}

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
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
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
        })
    }

    /// Makes the thing, or completes or confirms it.
    ///
    /// # Errors
    /// When a call fails, or what is there is not what it should be; the same command goes on
    /// once that is mended.
    pub fn provision(&mut self, thing: &str, topics: &Topics) -> Result<Journal> {
        let journal = self.complete(thing, topics)?;
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
        let store = self.make(thing, topics, &policy)?;
        Ok(store.journal.clone())
    }

    /// Makes the client with which this program sees devices connect.
    ///
    /// # Errors
    /// As [`Session::provision`].
    pub fn operator(&mut self) -> Result<PresenceEvents> {
        let policy = Policy::operator(&self.scope);
        let nothing = Topics { status: String::new(), control: String::new() };
        let store = self.make(OPERATOR, &nothing, &policy)?;
        let endpoint = store.journal.endpoint.as_deref().unwrap_or_default();
        PresenceEvents::on_aws(endpoint, OPERATOR, store.folder())
    }

    fn make(&mut self, thing: &str, topics: &Topics, policy: &Policy) -> Result<Store> {
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
        journal.old_policies.extend(before.filter(|before| *before != policy.name));
        (self.say)(&format!("thing        {}:thing/{thing}", self.scope));
        (self.say)(&format!("policy       {}:policy/{}", self.scope, policy.name));
        let endpoint = self.endpoint()?;
        (self.say)(&format!("endpoint     {endpoint}"));
        store.journal.endpoint = Some(endpoint);
        store.finish_swap()?;
        self.ensure_thing(&mut store, thing)?;
        self.ensure_policy(&mut store, policy)?;
        let (certificate, new) = self.ensure_certificate(&mut store, Slot::Current)?;
        self.ensure_attached(&mut store, policy, &certificate, new)?;
        if !new {
            self.drop_old_policies(&mut store, policy, &certificate)?;
        }
        store.done(|journal| {
            topics.status.clone_into(&mut journal.status_topic);
            topics.control.clone_into(&mut journal.control_topic);
            journal.complete = true;
        })?;
        Ok(store)
    }

    /// Whether the journal says that all is made, in this account, for these topics, and the
    /// files are there and belong together. Asks nobody.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn is_complete(&self, thing: &str, topics: &Topics) -> Result<bool> {
        let Some(journal) = journal(&self.certs, thing)? else {
            return Ok(false);
        };
        let policy = Policy::new(&self.scope, thing, topics)?;
        let folder = self.certs.join(thing);
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
        let store = Store::open(&self.certs, thing)?;
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
    fn look(&self, operation: &str, arguments: &[(&str, &str)]) -> Result<Value> {
        self.cli.call("iot", operation, &options(arguments), self.say)
    }

    /// Looks something up that may not exist.
    fn look_for(&self, operation: &str, arguments: &[(&str, &str)]) -> Result<Option<Value>> {
        match self.look(operation, arguments) {
            Err(error) if is(&error, &Cause::NotFound) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Changes something, with the journal written before; the caller writes it after.
    fn change(
        &self,
        store: &mut Store,
        operation: &str,
        arguments: &[(&str, &str)],
    ) -> Result<Value> {
        store.about_to(&format!("iot {operation}"))?;
        self.look(operation, arguments)
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

    fn ensure_thing(&self, store: &mut Store, thing: &str) -> Result<()> {
        if let Some(answer) = self.look_for("describe-thing", &[("thing-name", thing)])? {
            (self.say)(&format!("thing {thing} exists"));
            let arn = text(&answer, "thingArn")?;
            return store.done(|journal| journal.thing_arn = Some(arn));
        }
        let answer = self.change(store, "create-thing", &[("thing-name", thing)])?;
        let arn = text(&answer, "thingArn")?;
        store.done(|journal| journal.thing_arn = Some(arn))?;
        (self.say)(&format!("thing {thing} made"));
        Ok(())
    }

    fn ensure_policy(&mut self, store: &mut Store, policy: &Policy) -> Result<()> {
        if self.policies_seen.contains(&policy.name) {
            return Ok(());
        }
        let name = policy.name.as_str();
        if let Some(answer) = self.look_for("get-policy", &[("policy-name", name)])? {
            if !policy.says_the_same_as(&text(&answer, "policyDocument")?) {
                bail!(
                    "policy {name} exists in the account but was changed there: devices with it may do \
                     other things than intended. Compare it (AWS console, AWS IoT, Security, Policies), \
                     delete it or set its first version as default, and run the same command again"
                );
            }
            (self.say)(&format!("policy {name} exists"));
        } else {
            let document = policy.document.as_str();
            let arguments = [("policy-name", name), ("policy-document", document)];
            match self.change(store, "create-policy", &arguments) {
                Ok(_) => {}
                // Another program made it at the same moment; the name says what is in it.
                Err(error) if is(&error, &Cause::Exists) => {}
                Err(error) => return Err(error),
            }
            store.done(|_| ())?;
            (self.say)(&format!("policy {name} made"));
        }
        self.policies_seen.insert(name.to_owned());
        Ok(())
    }

    /// The certificate of a slot and whether it was made just now.
    fn ensure_certificate(&self, store: &mut Store, slot: Slot) -> Result<(Certificate, bool)> {
        let stem = slot.stem();
        let key_path = store.path(&format!("{stem}.key"));
        let known = slot.of(&mut store.journal).clone();
        if let Some(certificate) = &known
            && keys::load(&key_path)?.is_none()
        {
            bail!(
                "{} is lost, and certificate {} is of no use without it: put the key back from a \
                 backup, or run `make deprovision THING={thing}` and provision again",
                key_path.display(),
                certificate.id,
                thing = store.journal.thing
            );
        }
        let (key, key_is_new) = keys::load_or_make(&key_path)?;
        if let Some(certificate) = known {
            if let Some(pem) = self.certificate_pem(&certificate.id)? {
                self.keep(store, slot, &certificate, &pem, &key)?;
                (self.say)(&format!("certificate {} exists and is active", short(&certificate.id)));
                return Ok((certificate, false));
            }
            (self.say)(&format!("certificate {} is gone from the account", short(&certificate.id)));
            store.done(|journal| *slot.of(journal) = None)?;
        } else if !key_is_new && let Some(certificate) = self.search(store, &key_path, &key)? {
            store.done(|journal| *slot.of(journal) = Some(certificate.clone()))?;
            let pem = self.certificate_pem(&certificate.id)?.context("it is gone again")?;
            self.keep(store, slot, &certificate, &pem, &key)?;
            (self.say)(&format!("certificate {} was made already", short(&certificate.id)));
            return Ok((certificate, false));
        }
        let request = keys::request(&key, &store.journal.thing)?;
        files::write(&store.path(&format!("{stem}.csr")), request.as_bytes(), 0o644)?;
        store.about_to("iot create-certificate-from-csr")?;
        let mut arguments = options(&[("certificate-signing-request", &request)]);
        arguments.push("--set-as-active".to_owned());
        let answer = self.cli.call("iot", "create-certificate-from-csr", &arguments, self.say)?;
        let certificate = Certificate {
            id: text(&answer, "certificateId")?,
            arn: text(&answer, "certificateArn")?,
        };
        store.done(|journal| *slot.of(journal) = Some(certificate.clone()))?;
        self.keep(store, slot, &certificate, &text(&answer, "certificatePem")?, &key)?;
        (self.say)(&format!("certificate {} made and active", short(&certificate.id)));
        Ok((certificate, true))
    }

    /// Writes the certificate after a look at whether it is the key's.
    fn keep(
        &self,
        store: &Store,
        slot: Slot,
        certificate: &Certificate,
        pem: &str,
        key: &KeyPair,
    ) -> Result<()> {
        if !keys::belong_together(pem, key)? {
            bail!(
                "certificate {} does not belong to the private key in {}: a device with these two \
                 could not connect. Put the right key back, or run `make deprovision THING={thing}` and \
                 provision again",
                certificate.id,
                store.path(&format!("{}.key", slot.stem())).display(),
                thing = store.journal.thing
            );
        }
        files::write(&store.path(&format!("{}.pem", slot.stem())), pem.as_bytes(), 0o644)
    }

    /// An active certificate as PEM; `None` when it is gone.
    fn certificate_pem(&self, id: &str) -> Result<Option<String>> {
        let Some(answer) = self.look_for("describe-certificate", &[("certificate-id", id)])? else {
            return Ok(None);
        };
        let description = &answer["certificateDescription"];
        let status = text(description, "status")?;
        if status != "ACTIVE" {
            bail!(
                "certificate {id} is {status}: somebody has switched it off. Activate it (AWS console, \
                 AWS IoT, Security, Certificates), or run `make deprovision` and provision again"
            );
        }
        text(description, "certificatePem").map(Some)
    }

    /// Finds the certificate of `key` among those of the thing and those that the account got
    /// since the key was made.
    fn search(&self, store: &Store, key_path: &Path, key: &KeyPair) -> Result<Option<Certificate>> {
        for arn in self.principals(&store.journal.thing)? {
            if let Some((_, id)) = arn.split_once(":cert/") {
                let certificate = Certificate { id: id.to_owned(), arn: arn.clone() };
                if self.is_of(&certificate, key)? {
                    return Ok(Some(certificate));
                }
            }
        }
        let written = std::fs::metadata(key_path)?.modified()?;
        let written = OffsetDateTime::from(written).unix_timestamp();
        let since = store.journal.doing.as_ref().map_or(written, |doing| doing.since.min(written));
        // The newest first.
        let answer = self.look("list-certificates", &[("max-items", SEARCHED)])?;
        for listed in list(&answer, "certificates") {
            let created = seconds(&listed["creationDate"]);
            if created.is_some_and(|created| created < since - CLOCK_SKEW_S) {
                continue;
            }
            let certificate = Certificate {
                id: text(listed, "certificateId")?,
                arn: text(listed, "certificateArn")?,
            };
            if self.is_of(&certificate, key)? {
                return Ok(Some(certificate));
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

    fn ensure_attached(
        &self,
        store: &mut Store,
        policy: &Policy,
        certificate: &Certificate,
        new: bool,
    ) -> Result<()> {
        let (name, arn) = (policy.name.as_str(), certificate.arn.as_str());
        if new || !self.attached_policies(arn)?.iter().any(|attached| attached == name) {
            self.change(store, "attach-policy", &[("policy-name", name), ("target", arn)])?;
            store.done(|_| ())?;
            (self.say)("policy attached to the certificate");
        }
        let thing = store.journal.thing.clone();
        if new || !self.principals(&thing)?.iter().any(|attached| attached == arn) {
            let arguments = [("thing-name", thing.as_str()), ("principal", arn)];
            self.change(store, "attach-thing-principal", &arguments)?;
            store.done(|_| ())?;
            (self.say)("certificate attached to the thing");
        }
        Ok(())
    }

    /// Takes policies of other topics off the certificate: they would go on allowing those.
    fn drop_old_policies(
        &self,
        store: &mut Store,
        policy: &Policy,
        certificate: &Certificate,
    ) -> Result<()> {
        for name in self.attached_policies(&certificate.arn)? {
            if name.starts_with(policy::PREFIX) && name != policy.name {
                store.journal.old_policies.insert(name.clone());
                let arguments = [("policy-name", name.as_str()), ("target", &certificate.arn)];
                self.change(store, "detach-policy", &arguments)?;
                (self.say)(&format!("policy {name} (other topics) detached"));
            }
        }
        for name in store.journal.old_policies.clone() {
            self.delete_policy_unless_used(&name)?;
            store.done(|journal| {
                journal.old_policies.remove(&name);
            })?;
        }
        Ok(())
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

/// `--name=value`, so that no value can be taken for an option.
fn options(arguments: &[(&str, &str)]) -> Vec<String> {
    arguments.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Whether an error is a [`Failure`] of that cause.
fn is(error: &anyhow::Error, cause: &Cause) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.cause == *cause)
}

fn text(value: &Value, field: &str) -> Result<String> {
    value[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("AWS's answer has no {field}: is this AWS CLI very old?"))
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

    #[test]
    fn values_cannot_be_options() {
        assert_eq!(options(&[("thing-name", "--x")]), ["--thing-name=--x"]);
    }
}
