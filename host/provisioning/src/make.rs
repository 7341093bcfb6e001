//! Takes the steps that [`plan`] names, by the AWS CLI.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use process::files::{self, PUBLIC};
use rcgen::KeyPair;

use crate::plan::{self, CertificateState, Key, PolicyState, Refusal, Seen, Step, Wanted};
use crate::state::{Slot, Store};
use crate::{
    Cause, Certificate, Failure, OPERATOR, Policy, SHORTLY, Session, certificate, in_short, keys,
    short, text,
};

/// A thing in the making.
struct Making<'m> {
    store: &'m mut Store,
    policy: &'m Policy,
    slot: Slot,
    seen: Seen,
    key: Option<KeyPair>,
}

impl Session<'_> {
    /// Makes what is missing of a thing, with its certificate in this slot: for the next one, nothing
    /// else.
    pub(super) fn make_all(
        &mut self,
        store: &mut Store,
        policy: &Policy,
        slot: Slot,
        end_old_topics: bool,
    ) -> Result<()> {
        let mut seen = Seen {
            certificate: slot.of(&mut store.journal).clone(),
            old_policies: store.journal.old_policies.clone(),
            ..Seen::default()
        };
        if self.policies_seen.contains(&policy.name) {
            seen.policy = Some(PolicyState::Right);
        }
        let mut making = Making { store, policy, slot, seen, key: None };
        let wanted = Wanted { policy: &policy.name, slot, end_old_topics };
        loop {
            match plan::next(wanted, &making.seen) {
                Ok(Some(step)) => self.take(step, &mut making)?,
                Ok(None) => return Ok(()),
                Err(refusal) => bail!(making.explain(&refusal)),
            }
        }
    }

    fn take(&mut self, step: Step, making: &mut Making<'_>) -> Result<()> {
        let thing = making.store.journal.thing.clone();
        let policy = making.policy.name.as_str();
        match step {
            Step::LookForThing => {
                let found = self.look_for("describe-thing", &[("thing-name", &thing)])?;
                making.seen.thing = Some(found.is_some());
                if let Some(answer) = found {
                    (self.say)(&format!("thing {thing} exists"));
                    self.refuse_somebody_elses(making)?;
                    let arn = text(&answer, "thingArn")?;
                    making.store.done(|journal| journal.thing_arn = Some(arn))?;
                }
            }
            Step::MakeThing => {
                if thing.contains(':') {
                    (self.say)(&format!(
                        "AWS advises against the colon in {thing}: other services of AWS IoT may misread it"
                    ));
                }
                let arguments = [("thing-name", thing.as_str())];
                let answer = self.change(making.store, "create-thing", &arguments)?;
                let arn = text(&answer, "thingArn")?;
                making.store.done(|journal| journal.thing_arn = Some(arn))?;
                making.seen.thing = Some(true);
                (self.say)(&format!("thing {thing} made"));
            }
            Step::LookForPolicy => {
                making.seen.policy = Some(match self.policy_document(policy)? {
                    None => PolicyState::Missing,
                    Some(document) if making.policy.says_the_same_as(&document) => {
                        (self.say)(&format!("policy {policy} exists"));
                        self.policies_seen.insert(policy.to_owned());
                        PolicyState::Right
                    }
                    Some(_) => PolicyState::Changed,
                });
            }
            Step::MakePolicy => {
                let arguments =
                    [("policy-name", policy), ("policy-document", &making.policy.document)];
                let made = self.change(making.store, "create-policy", &arguments);
                // If another program made it at the same moment, the name says what is in it.
                if let Err(error) = made
                    && !Failure::is(&error, &Cause::Exists)
                {
                    return Err(error);
                }
                making.store.done(|_| ())?;
                making.seen.policy = Some(PolicyState::Right);
                self.policies_seen.insert(policy.to_owned());
                (self.say)(&format!("policy {policy} made"));
            }
            Step::LookForKey => {
                making.key = keys::load(&making.path("key"))?;
                let found = making.key.is_some();
                making.seen.key = Some(if found { Key::Kept } else { Key::Missing });
            }
            Step::MakeKey => {
                making.key = Some(keys::make(&making.path("key"))?);
                making.seen.key = Some(Key::New);
            }
            Step::LookAtCertificate(certificate) => {
                self.look_at_certificate(making, &certificate)?;
            }
            Step::SearchCertificate => {
                making.seen.searched = true;
                let found = self.search(making.store, &making.path("key"), making.key()?)?;
                if let Some(certificate) = found {
                    making.remember(Some(certificate))?;
                }
            }
            Step::RequestCertificate => self.request_certificate(making)?,
            Step::LookAtPolicies(certificate) => {
                let attached = self.attached_policies(&certificate.arn)?;
                let attached = attached.into_iter().collect();
                if making.slot == Slot::Current {
                    making.note_what_stays(&attached)?;
                }
                making.seen.policies = Some(attached);
            }
            Step::LookAtPolicy(name) => self.look_at_policy(making, name)?,
            Step::AttachPolicy(certificate) => {
                let arguments = [("policy-name", policy), ("target", &certificate.arn)];
                self.change(making.store, "attach-policy", &arguments)?;
                making.store.done(|_| ())?;
                making.seen.policies.get_or_insert_default().insert(policy.to_owned());
                (self.say)("policy attached to the certificate");
            }
            Step::LookAtAttachment(certificate) => {
                making.seen.attached = Some(self.principals(&thing)?.contains(&certificate.arn));
            }
            Step::AttachCertificate(certificate) => {
                let arguments = [("thing-name", &*thing), ("principal", &certificate.arn)];
                self.change(making.store, "attach-thing-principal", &arguments)?;
                making.store.done(|_| ())?;
                making.seen.attached = Some(true);
                (self.say)("certificate attached to the thing");
                self.tell_of_a_race(making)?;
            }
            Step::DetachPolicy(certificate, name) => {
                // Written down before it is detached: afterwards nothing leads to it any more.
                making.store.journal.old_policies.insert(name.clone());
                let arguments = [("policy-name", name.as_str()), ("target", &certificate.arn)];
                self.unless_gone(making.store, "detach-policy", &arguments)?;
                making.store.done(|journal| {
                    journal.staying.remove(&name);
                })?;
                (self.say)(&format!("policy {name} of before detached"));
                making.seen.policies.get_or_insert_default().remove(&name);
                making.seen.old_policies.insert(name);
            }
            Step::DeletePolicy(name) => {
                making.seen.old_policies.remove(&name);
                if let Some(later) = &mut self.policies_later {
                    later.insert(name);
                } else if self.delete_old_policy(&name)? {
                    making.store.done(|journal| {
                        journal.old_policies.remove(&name);
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What a policy says, if there is one of that name.
    fn policy_document(&self, name: &str) -> Result<Option<String>> {
        let found = self.look_for("get-policy", &[("policy-name", name)])?;
        found.map(|answer| text(&answer, "policyDocument")).transpose()
    }

    /// Looks whether another policy of ours allows what the one that is wanted does not. If so it stays,
    /// and that is written down.
    fn look_at_policy(&mut self, making: &mut Making<'_>, name: String) -> Result<()> {
        let pair = (name, making.policy.name.clone());
        let covered = match self.policies_compared.get(&pair) {
            Some(covered) => *covered,
            None => {
                // One that is gone allows nothing.
                let document = self.policy_document(&pair.0)?;
                let covered = document.is_none_or(|it| making.policy.allows_all_of(&it));
                self.policies_compared.insert(pair.clone(), covered);
                covered
            }
        };
        let (name, _) = pair;
        if !covered {
            making.seen.old_policies.remove(&name);
            making.store.done(|journal| {
                journal.old_policies.remove(&name);
                journal.staying.insert(name.clone());
            })?;
        }
        making.seen.covered.insert(name, covered);
        Ok(())
    }

    /// Deletes a policy of before unless something has it; says whether that is settled. What is not
    /// stays in the journal, and the next run deletes it.
    pub(super) fn delete_old_policy(&self, name: &str) -> Result<bool> {
        let settled = self.delete_policy_unless_used(name, SHORTLY)?;
        if !settled {
            (self.say)(&format!("policy {name} stays for now: AWS still holds it"));
        }
        Ok(settled)
    }

    /// Takes policies that were dealt with out of a thing's journal.
    pub(super) fn forget_policies(&self, thing: &str, settled: &BTreeSet<String>) -> Result<()> {
        let mut store = self.store(thing)?;
        store.journal.old_policies.retain(|name| !settled.contains(name));
        store.save()
    }

    /// Fails when a thing that this machine does not know was made elsewhere: it has certificates,
    /// and none of them is of a key here. One that has none is taken, whoever made it.
    fn refuse_somebody_elses(&self, making: &Making<'_>) -> Result<()> {
        let journal = &making.store.journal;
        let thing = journal.thing.as_str();
        // The operator is the same one for all who rotate in an account.
        if journal.thing_arn.is_some() || self.join_foreign_things || thing == OPERATOR {
            return Ok(());
        }
        let principals = self.principals(thing)?;
        let key = keys::load(&making.path("key"))?;
        let known = key.map(|key| self.search_among(&principals, &key)).transpose()?.flatten();
        if principals.is_empty() || known.is_some() {
            return Ok(());
        }
        bail!(
            "{thing} was made elsewhere: it has certificates ({}) of which there is no key in {}. Two \
             devices of one name push each other out for ever: choose another name, or bring its \
             folder from where it was made. FOREIGN=1 with the same command adds a certificate to it \
             all the same",
            in_short(&principals),
            making.store.folder().display()
        );
    }

    /// Fails when a thing has got a certificate from elsewhere while this one was made.
    fn tell_of_a_race(&self, making: &Making<'_>) -> Result<()> {
        let journal = &making.store.journal;
        let thing = journal.thing.as_str();
        if making.slot != Slot::Current || self.join_foreign_things || thing == OPERATOR {
            return Ok(());
        }
        let others = journal.strangers(&self.principals(thing)?);
        if others.is_empty() {
            return Ok(());
        }
        bail!(
            "somebody else has made {thing} at the same time, with {}: two devices of one name push \
             each other out for ever. If both certificates are meant, run the same command again; if \
             not, `make deprovision THING={thing} FOREIGN=1` removes them both",
            in_short(&others)
        );
    }

    /// Looks how a certificate is; one that is as it should be is written down.
    fn look_at_certificate(
        &self,
        making: &mut Making<'_>,
        certificate: &Certificate,
    ) -> Result<()> {
        let id = short(&certificate.id);
        let arguments = [("certificate-id", certificate.id.as_str())];
        let Some(answer) = self.look_for("describe-certificate", &arguments)? else {
            if making.seen.searched {
                bail!("certificate {id} was there a moment ago and is gone: run the command again");
            }
            (self.say)(&format!("certificate {id} is gone from the account"));
            making.seen.state = Some(CertificateState::Gone);
            return making.remember(None);
        };
        let description = &answer["certificateDescription"];
        let status = text(description, "status")?;
        making.seen.state = Some(if status == "ACTIVE" {
            making.keep(&text(description, "certificatePem")?)?
        } else {
            CertificateState::Off(status)
        });
        if making.seen.state == Some(CertificateState::Active) {
            let how =
                if making.seen.searched { "was made already" } else { "exists and is active" };
            (self.say)(&format!("certificate {id} {how}"));
        }
        Ok(())
    }

    fn request_certificate(&self, making: &mut Making<'_>) -> Result<()> {
        let request = keys::request(making.key()?, &making.store.journal.thing)?;
        files::write(&making.path("csr"), request.as_bytes(), PUBLIC)?;
        let arguments = [("certificate-signing-request", &*request), ("set-as-active", "")];
        let answer = self.change(making.store, "create-certificate-from-csr", &arguments)?;
        let certificate = certificate(&answer)?;
        making.remember(Some(certificate.clone()))?;
        let kept = making.keep(&text(&answer, "certificatePem")?)?;
        let made = kept == CertificateState::Active;
        making.seen.state = Some(if made { CertificateState::Made } else { kept });
        // Nothing can be attached to it yet.
        making.seen.policies = Some(Default::default());
        making.seen.attached = Some(false);
        if made {
            (self.say)(&format!("certificate {} made and active", short(&certificate.id)));
        }
        Ok(())
    }
}

impl Making<'_> {
    /// The slot's file with this extension.
    fn path(&self, extension: &str) -> std::path::PathBuf {
        self.store.file(self.slot, extension)
    }

    /// Of the policies that stay for the device's sake, one that was taken off otherwise is to be
    /// deleted. While a rotation is under way the old certificate has them.
    fn note_what_stays(&mut self, attached: &BTreeSet<String>) -> Result<()> {
        let journal = &mut self.store.journal;
        if journal.retiring.is_some() || journal.staying.is_subset(attached) {
            return Ok(());
        }
        let gone: Vec<String> = journal.staying.difference(attached).cloned().collect();
        journal.staying.retain(|name| attached.contains(name));
        journal.old_policies.extend(gone);
        self.seen.old_policies.clone_from(&journal.old_policies);
        self.store.save()
    }

    fn key(&self) -> Result<&KeyPair> {
        self.key.as_ref().context("no key was looked for")
    }

    /// Puts the slot's certificate into the journal.
    fn remember(&mut self, certificate: Option<Certificate>) -> Result<()> {
        self.seen.certificate.clone_from(&certificate);
        let slot = self.slot;
        self.store.done(|journal| *slot.of(journal) = certificate)
    }

    /// Writes an active certificate, unless it is another key's.
    fn keep(&self, pem: &str) -> Result<CertificateState> {
        if !keys::belong_together(pem, self.key()?)? {
            return Ok(CertificateState::Foreign);
        }
        files::write(&self.path("pem"), pem.as_bytes(), PUBLIC)?;
        Ok(CertificateState::Active)
    }

    fn explain(&self, refusal: &Refusal) -> String {
        let thing = &self.store.journal.thing;
        let key = self.path("key");
        match refusal {
            Refusal::PolicyChanged => format!(
                "policy {} exists in the account but was changed there: devices with it may do \
                 other things than intended. Compare it (AWS console, AWS IoT, Security, Policies), \
                 delete it or set its first version as default, and run the same command again",
                self.policy.name
            ),
            Refusal::KeyLost(certificate) => format!(
                "{} is lost, and certificate {} is of no use without it: put the key back from a \
                 backup, or run `make deprovision THING={thing}` and provision again",
                key.display(),
                certificate.id,
            ),
            Refusal::CertificateOff(certificate, word) => format!(
                "certificate {} is {word}: somebody has switched it off. Activate it (AWS console, \
                 AWS IoT, Security, Certificates), or run `make deprovision` and provision again",
                certificate.id
            ),
            Refusal::CertificateForeign(certificate) => format!(
                "certificate {} does not belong to the private key in {}: a device with these two \
                 could not connect. Put the right key back, or run `make deprovision THING={thing}` \
                 and provision again",
                certificate.id,
                key.display(),
            ),
            Refusal::TooManyPolicies => format!(
                "the certificate has as many policies as AWS lets it have, of topics that were changed \
                 again and again: give the device its present identity, then run `make provision \
                 THING={thing} RETIRE=1` with the topics of that, and only then change them"
            ),
        }
    }
}
