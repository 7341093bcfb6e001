//! Removing a thing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::state::Store;
use crate::{Cause, Certificate, Session, is, keys, list, policy, short, texts};

/// AWS detaches a little later than it says so: a deletion right afterwards may find the
/// attachment still there. Pauses before the further attempts.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

impl Session<'_> {
    /// Removes the thing, its certificates, its policy when no other certificate has it, and
    /// the files on this machine; says each step. What is gone already is passed over.
    ///
    /// # Errors
    /// When a call fails; the same command goes on once that is mended.
    pub fn deprovision(&mut self, thing: &str) -> Result<()> {
        let mut store = self.store(thing)?;
        let found = self.look_for("describe-thing", &[("thing-name", thing)])?.is_some();
        let known = store.path("thing.json").exists() || store.path("device.key").exists();
        if !found && !known {
            (self.say)(&format!(
                "there is no {thing} in account {}, region {}, nor in {}: nothing to remove",
                self.account,
                self.region,
                self.certs.display()
            ));
            return store.remove();
        }
        self.account.clone_into(&mut store.journal.account);
        self.region.clone_into(&mut store.journal.region);
        // A call under way stays noted: its certificate has to be searched for.
        store.journal.removing = true;
        store.journal.complete = false;
        store.save()?;
        let attached = if found { self.principals(thing)? } else { Vec::new() };
        for arn in self.everything_of(&store, &attached)? {
            self.remove_certificate(&mut store, thing, &arn, found)?;
        }
        let mut policies = store.journal.old_policies.clone();
        policies.extend(store.journal.policy.clone());
        for name in policies {
            self.delete_policy_unless_used(&name)?;
        }
        if found {
            self.delete("delete-thing", &[("thing-name", thing)])?;
            (self.say)(&format!("thing {thing} deleted"));
        }
        let folder = store.folder().display().to_string();
        store.remove()?;
        (self.say)(&format!("keys and certificates in {folder} deleted"));
        Ok(())
    }

    /// ARNs of all certificates of the thing: attached, in the journal, or made by a call whose
    /// answer was lost.
    fn everything_of(&self, store: &Store, attached: &[String]) -> Result<BTreeSet<String>> {
        let journal = &store.journal;
        let mut arns: BTreeSet<String> = attached.iter().cloned().collect();
        let known = [&journal.certificate, &journal.next, &journal.retiring];
        arns.extend(known.into_iter().flatten().map(|certificate| certificate.arn.clone()));
        for (stem, known) in [("device", &journal.certificate), ("device.next", &journal.next)] {
            let path = store.path(&format!("{stem}.key"));
            // A key that cannot be read cannot be searched for; it is removed with the rest.
            if known.is_none()
                && let Ok(Some(key)) = keys::load(&path)
                && let Some(certificate) = self.search(store, &path, &key)?
            {
                arns.insert(certificate.arn);
            }
        }
        Ok(arns)
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
        let others: Vec<String> = texts(&things.unwrap_or_default(), "things")
            .into_iter()
            .filter(|other| other != thing)
            .collect();
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
            for slot in [&mut journal.certificate, &mut journal.next, &mut journal.retiring] {
                if slot.as_ref().is_some_and(|known| known.id == id) {
                    *slot = None;
                }
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
        self.delete("delete-certificate", &[("certificate-id", id)])?;
        (self.say)(&format!("certificate {name} deleted"));
        Ok(())
    }

    /// Deletes a policy of ours that no certificate has any more.
    pub(super) fn delete_policy_unless_used(&self, name: &str) -> Result<()> {
        let Some(answer) = self.look_for("list-targets-for-policy", &[("policy-name", name)])?
        else {
            return Ok(());
        };
        let targets = list(&answer, "targets").len();
        if targets > 0 {
            (self.say)(&format!("policy {name} stays: {targets} other certificate(s) have it"));
            return Ok(());
        }
        match self.delete("delete-policy", &[("policy-name", name)]) {
            Err(error) if is(&error, &Cause::Conflict) => {
                (self.say)(&format!("policy {name} stays: AWS says that it is in use"));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => {
                (self.say)(&format!("policy {name} deleted"));
                Ok(())
            }
        }
    }

    /// A change that does not matter when what it is about is gone; says whether it was there.
    pub(super) fn unless_gone(
        &self,
        store: &mut Store,
        operation: &str,
        arguments: &[(&str, &str)],
    ) -> Result<bool> {
        match self.change(store, operation, arguments) {
            Ok(_) => Ok(true),
            Err(error) if is(&error, &Cause::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A deletion, patient with attachments that are on their way out.
    fn delete(&self, operation: &str, arguments: &[(&str, &str)]) -> Result<()> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.look(operation, arguments) {
                Ok(_) => return Ok(()),
                Err(error) if is(&error, &Cause::NotFound) => return Ok(()),
                Err(error) if is(&error, &Cause::Conflict) => match pauses.next() {
                    Some(pause) => std::thread::sleep(*pause),
                    None => bail!(error),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
