//! The next certificate for a thing that has one.
//!
//! The order keeps the device connected whatever happens: the next certificate is made and
//! allowed beside the present one, then key, certificate and identity change places, and only
//! when the device was seen connected with the new certificate is the old one retired. A device
//! that never gets the new identity goes on with the old certificate.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::state::Slot;
use crate::witness::Witness;
use crate::{Certificate, Journal, Policy, Session, short};
use things::topics::Topics;

/// What a rotation needs besides the account.
pub struct Rotation<'r> {
    /// Writes the identity of the thing from the files under `certs/<thing>/`.
    pub write_identity: &'r dyn Fn(&Journal) -> Result<()>,
    /// Sees the device connect.
    pub witness: &'r mut dyn Witness,
    /// How long to wait for that.
    pub limit: Duration,
}

impl Session<'_> {
    /// Gives a thing its next certificate, or goes on with a rotation that was interrupted.
    ///
    /// # Errors
    /// When a call fails or the device is not seen in time; the old certificate is valid then,
    /// and the same command goes on.
    pub fn rotate(
        &mut self,
        thing: &str,
        topics: &Topics,
        rotation: &mut Rotation<'_>,
    ) -> Result<Journal> {
        self.complete(thing, topics)?;
        let policy = Policy::new(&self.scope, thing, topics)?;
        let mut store = self.store(thing)?;
        if store.journal.retiring.is_some() {
            (self.say)("a rotation is under way: going on with it");
        } else {
            self.make_all(&mut store, &policy, Slot::Next, false)?;
            store.begin_swap()?;
        }
        let current =
            store.journal.certificate.clone().context("the journal has no certificate")?;
        let old = store.journal.retiring.clone().context("the journal has no old certificate")?;
        if store.journal.seen.as_ref() != Some(&current.id) {
            self.await_device(&store.journal, rotation, &current, &old)?;
            // A device that stays connected is not seen a second time.
            store.done(|journal| journal.seen = Some(current.id.clone()))?;
        }
        (self.say)(&format!("{thing} is connected with certificate {}", short(&current.id)));
        let arguments = [("thing-name", thing), ("principal", old.arn.as_str())];
        self.unless_gone(&mut store, "detach-thing-principal", &arguments)?;
        self.retire(&mut store, &old)?;
        store.done(|journal| {
            (journal.retiring, journal.seen) = (None, None);
            // The new certificate has this policy; it is not on its way out.
            journal.old_policies.remove(&policy.name);
        })?;
        store.remove_pair(Slot::Old)?;
        if !store.journal.old_policies.is_empty() || !store.journal.staying.is_empty() {
            // Those of before that the old certificate alone had are nobody's any more. The rotation is
            // over: to be given again, it would be another one.
            let tidied = self.make_all(&mut store, &policy, Slot::Current, false);
            if let Err(error) = tidied {
                (self.say)(&format!(
                    "the rotation is complete, but policies of before are left: `make provision \
                     THING={thing}` takes them away ({error:#})"
                ));
            }
        }
        (self.say)("the old certificate and its key are gone");
        Ok(store.journal.clone())
    }

    /// Lets the device have the identity with the present certificate, and waits until it was seen
    /// with that.
    fn await_device(
        &self,
        journal: &Journal,
        rotation: &mut Rotation<'_>,
        current: &Certificate,
        old: &Certificate,
    ) -> Result<()> {
        let thing = &journal.thing;
        rotation.witness.prepare(thing)?;
        (rotation.write_identity)(journal)?;
        (self.say)(&format!(
            "identity with certificate {} written\n{}\nwaiting up to {} s for it to connect \
             (Ctrl-C is safe: the same command goes on)",
            short(&current.id),
            rotation.witness.advice(thing),
            rotation.limit.as_secs()
        ));
        if !rotation.witness.sees(thing, current, rotation.limit)? {
            bail!(
                "{thing} was not seen connecting with certificate {} within {} s; its old certificate {} \
                 stays valid. Give the device its new identity (one that has it must connect anew, to be \
                 seen), then run the same command again",
                short(&current.id),
                rotation.limit.as_secs(),
                short(&old.id)
            );
        }
        Ok(())
    }
}
