//! Removing a thing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::state::{Slot, Store};
use crate::{
    Cause, Certificate, Failure, Options, Session, in_short, keys, list, policy, short, texts,
};

/// The first pause before a further attempt at a deletion; each is twice the one before, up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// From this pause on a person is told what is waited for.
const TOLD_FROM: Duration = Duration::from_secs(2);

impl Session<'_> {
    /// Removes the thing, its certificates, its policy when no other certificate has it, and
    /// the files on this machine; says each step. What is gone already is passed over. A
    /// certificate that other things have as well stays, and its files with it.
    ///
    /// What was not made here (a thing that this machine has no files of, a certificate on it
    /// that these files do not know, a key or certificate here that is not of this account) is
    /// removed only when `foreign` says so.
    ///
    /// # Errors
    /// When a call fails; the same command goes on once that is mended. When there is something
    /// foreign; nothing is removed then.
    pub fn deprovision(&mut self, thing: &str, foreign: bool) -> Result<()> {
        let mut store = self.store(thing)?;
        let found = self.look_for("describe-thing", &[("thing-name", thing)])?.is_some();
        if !found && !store.has_files() {
            (self.say)(&format!(
                "there is no {thing} in account {}, region {}, nor in {}: nothing to remove",
                self.account,
                self.region,
                self.certs.display()
            ));
            return store.remove();
        }
        let attached = if found { self.principals(thing)? } else { Vec::new() };
        self.note_certificates(&mut store)?;
        if !foreign {
            self.refuse_what_is_foreign(&store, found, &attached)?;
        }
        self.account.clone_into(&mut store.journal.account);
        self.region.clone_into(&mut store.journal.region);
        // A call under way stays noted: its certificate has to be searched for.
        store.journal.removing = true;
        store.journal.complete = false;
        store.save()?;
        let arns: BTreeSet<String> =
            store.journal.certificate_arns().into_iter().chain(attached).collect();
        for arn in arns {
            self.remove_certificate(&mut store, thing, &arn, found)?;
        }
        let mut policies = store.journal.old_policies.clone();
        policies.extend(store.journal.staying.iter().chain(&store.journal.policy).cloned());
        for name in policies {
            if !self.delete_policy_unless_used(&name, self.cli.patience.let_go)? {
                // The journal stays: it is what leads to the policy.
                bail!(
                    "AWS still holds the policy {name}, though nothing has it any more: run the \
                     same command again in some minutes; all else of {thing} but the thing itself \
                     is removed"
                );
            }
        }
        if found {
            self.delete("delete-thing", &[("thing-name", thing)], self.cli.patience.let_go)?;
            (self.say)(&format!("thing {thing} deleted"));
        }
        let folder = store.folder().display().to_string();
        let stays = !store.journal.certificate_arns().is_empty();
        store.remove()?;
        (self.say)(&if stays {
            format!("key and certificate in {folder} stay with it, all else there is deleted")
        } else {
            format!("keys and certificates in {folder} deleted")
        });
        Ok(())
    }

    /// Fails when something of the thing was not made by the files on this machine, or these
    /// files are not of this account.
    fn refuse_what_is_foreign(
        &self,
        store: &Store,
        found: bool,
        attached: &[String],
    ) -> Result<()> {
        const ANYWAY: &str = "FOREIGN=1 with the same command removes it all the same";
        let thing = &store.journal.thing;
        if !store.has_files() {
            bail!(
                "{thing} is in account {}, region {}, but was not made on this machine: there is \
                 nothing of it in {}. Nothing was removed. {ANYWAY}, with its certificates",
                self.account,
                self.region,
                self.certs.display()
            );
        }
        let others = store.journal.strangers(attached);
        if !others.is_empty() {
            bail!(
                "{thing} has certificates that were not made on this machine: {}. Nothing was \
                 removed. {ANYWAY}",
                in_short(&others)
            );
        }
        // Once a removal was begun, the certificate may be gone already.
        if !store.journal.removing && store.has_strange_files() {
            bail!(
                "{} has a key or a certificate that does not lead to any in account {}, region {}: \
                 it is from elsewhere, or of another account or region (AWS_PROFILE=…, \
                 AWS_REGION=…){}. Nothing was removed. {ANYWAY}, and a key cannot be had back",
                store.folder().display(),
                self.account,
                self.region,
                if found { "" } else { ", and there is no such thing" }
            );
        }
        Ok(())
    }

    /// Notes certificates that the journal does not know, but that a key here leads to: made by a
    /// call whose answer was lost, or of a journal that was moved away.
    fn note_certificates(&self, store: &mut Store) -> Result<()> {
        for slot in [Slot::Current, Slot::Next] {
            let path = store.file(slot, "key");
            // A key that cannot be read cannot be searched for.
            if slot.of(&mut store.journal).is_none()
                && let Ok(Some(key)) = keys::load(&path)
            {
                *slot.of(&mut store.journal) = self.search(store, &path, &key)?;
            }
        }
        Ok(())
    }

    /// Detaches, deactivates and deletes. A certificate that other things have as well is
    /// only detached; what is no certificate, too.
    fn remove_certificate(
        &self,
        store: &mut Store,
        thing: &str,
        arn: &str,
        thing_exists: bool,
    ) -> Result<()> {
        let id = arn.split_once(":cert/").map(|(_, id)| id);
        let name = id.map_or(arn, short);
        let things = self.look_for("list-principal-things", &[("principal", arn)])?;
        let mut others = texts(&things.unwrap_or_default(), "things");
        others.retain(|other| other != thing);
        if thing_exists {
            let arguments = [("thing-name", thing), ("principal", arn)];
            self.unless_gone(store, "detach-thing-principal", &arguments)?;
            (self.say)(&format!("certificate {name} detached from the thing"));
        }
        let Some(id) = id else { return Ok(()) };
        if !others.is_empty() {
            (self.say)(&format!("certificate {name} stays: {} has it, too", others.join(", ")));
            return Ok(());
        }
        self.retire(store, &Certificate { id: id.to_owned(), arn: arn.to_owned() })?;
        store.done(|journal| {
            for slot in Slot::ALL {
                slot.of(journal).take_if(|known| known.id == id);
            }
        })
    }

    /// Takes its policies off a certificate, switches it off and deletes it.
    pub(super) fn retire(&self, store: &mut Store, certificate: &Certificate) -> Result<()> {
        let Certificate { id, arn } = certificate;
        let name = short(id);
        for attached in self.attached_policies(arn)? {
            // Written down before it is detached: afterwards nothing leads to it any more.
            if attached.starts_with(policy::PREFIX) {
                store.journal.old_policies.insert(attached.clone());
            }
            let arguments = [("policy-name", attached.as_str()), ("target", arn.as_str())];
            self.unless_gone(store, "detach-policy", &arguments)?;
            (self.say)(&format!("policy {attached} detached from certificate {name}"));
        }
        let off = [("certificate-id", id.as_str()), ("new-status", "INACTIVE")];
        if !self.unless_gone(store, "update-certificate", &off)? {
            (self.say)(&format!("certificate {name} is gone already"));
            return Ok(());
        }
        (self.say)(&format!("certificate {name} deactivated"));
        store.about_to("iot delete-certificate")?;
        self.delete("delete-certificate", &[("certificate-id", id)], self.cli.patience.let_go)?;
        (self.say)(&format!("certificate {name} deleted"));
        Ok(())
    }

    /// Deletes a policy of ours that no certificate has any more, its further versions first. Says
    /// whether all is done that can be: `false` while AWS still holds it.
    pub(super) fn delete_policy_unless_used(&self, name: &str, limit: Duration) -> Result<bool> {
        // Whether there is one: a fleet's policy has so many that listing them would not end.
        let arguments = [("policy-name", name), ("max-items", "1")];
        let Some(answer) = self.look_for("list-targets-for-policy", &arguments)? else {
            return Ok(true);
        };
        if !list(&answer, "targets").is_empty() {
            (self.say)(&format!("policy {name} stays: other certificates have it"));
            return Ok(true);
        }
        // A person may have edited it: AWS deletes no policy that has other versions than one.
        let versions = self.look_for("list-policy-versions", &[("policy-name", name)])?;
        for version in list(&versions.unwrap_or_default(), "policyVersions") {
            if version["isDefaultVersion"] == true {
                continue;
            }
            let Some(id) = version["versionId"].as_str() else { continue };
            let arguments = [("policy-name", name), ("policy-version-id", id)];
            self.delete("delete-policy-version", &arguments, limit)?;
            (self.say)(&format!("version {id} of policy {name} deleted"));
        }
        match self.delete("delete-policy", &[("policy-name", name)], limit) {
            Err(error) if Failure::is(&error, &Cause::Conflict) => Ok(false),
            Err(error) => Err(error),
            Ok(()) => {
                (self.say)(&format!("policy {name} deleted"));
                Ok(true)
            }
        }
    }

    /// A change that does not matter when what it is about is gone; says whether it was there.
    pub(super) fn unless_gone(
        &self,
        store: &mut Store,
        operation: &str,
        options: &Options<'_>,
    ) -> Result<bool> {
        Ok(Failure::unless_missing(self.change(store, operation, options))?.is_some())
    }

    /// A deletion, patient with attachments that are on their way out.
    fn delete(&self, operation: &str, options: &Options<'_>, limit: Duration) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut waited = Duration::ZERO;
        loop {
            match self.look_for(operation, options) {
                Ok(_) => return Ok(()),
                Err(error) if Failure::is(&error, &Cause::Conflict) && waited < limit => {
                    if pause == TOLD_FROM {
                        (self.say)(
                            "AWS still holds an attachment that was taken off; that may take up to \
                             five minutes",
                        );
                    }
                    std::thread::sleep(pause);
                    waited += pause;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
