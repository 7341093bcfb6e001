//! What comes next in making a thing, decided from what is known.
//!
//! [`next`] is the whole state machine, and nothing else: it asks nobody and changes nothing. It
//! looks at what was [`Seen`] in this run and names one [`Step`]; who takes the step (`make.rs`, by
//! the AWS CLI) writes down what came of it and asks again. A run that was interrupted anywhere
//! begins with an empty [`Seen`] and ends where the interrupted one would have.

use std::collections::{BTreeMap, BTreeSet};

use crate::Certificate;
use crate::policy::PREFIX;
use crate::state::Slot;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    /// Name of the policy.
    pub policy: &'w str,
    /// Thing, policy and the certificate in use, and policies of before go, unless the device may need
    /// them; or only a further certificate of a thing that is complete.
    pub slot: Slot,
    /// Whether policies of other topics go: the device does not need them any more.
    pub end_old_topics: bool,
}

/// What this run has seen so far; `None` where it has not looked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether the thing exists.
    pub thing: Option<bool>,
    pub policy: Option<PolicyState>,
    pub key: Option<Key>,
    /// The certificate that the journal knows, or that was found or made.
    pub certificate: Option<Certificate>,
    /// How it is.
    pub state: Option<CertificateState>,
    /// Whether a certificate of the key was searched for.
    pub searched: bool,
    /// Policies attached to the certificate.
    pub policies: Option<BTreeSet<String>>,
    /// Of other policies of ours that it has: whether the one that is wanted allows as much.
    pub covered: BTreeMap<String, bool>,
    /// Whether the certificate is attached to the thing.
    pub attached: Option<bool>,
    /// Policies that the thing had before.
    pub old_policies: BTreeSet<String>,
}

/// The policy in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyState {
    Missing,
    /// It says what its name stands for.
    Right,
    /// Somebody has changed it.
    Changed,
}

/// The private key on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Missing,
    /// From an earlier run: a certificate may have been made of it.
    Kept,
    /// Made in this run.
    New,
}

/// A certificate in the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateState {
    /// Active, and the key's.
    Active,
    /// Made in this run.
    Made,
    /// Not in the account any more.
    Gone,
    /// Switched off: AWS's word for it.
    Off(String),
    /// Of another key.
    Foreign,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    LookForThing,
    MakeThing,
    LookForPolicy,
    MakePolicy,
    LookForKey,
    MakeKey,
    LookAtCertificate(Certificate),
    /// Among the account's certificates, for one of the key: an answer may have been lost.
    SearchCertificate,
    RequestCertificate,
    LookAtPolicies(Certificate),
    AttachPolicy(Certificate),
    LookAtAttachment(Certificate),
    AttachCertificate(Certificate),
    /// Another policy of ours, that the certificate has: of the same topics?
    LookAtPolicy(String),
    /// It allows what the device does not need.
    DetachPolicy(Certificate, String),
    /// Unless another thing has it.
    DeletePolicy(String),
}

/// Why a person has to look first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The policy was changed in the account.
    PolicyChanged,
    /// The key of this certificate is not there any more.
    KeyLost(Certificate),
    /// This certificate is switched off: AWS's word for it.
    CertificateOff(Certificate, String),
    /// This certificate is of another key.
    CertificateForeign(Certificate),
    /// A certificate has as many policies as AWS lets it have.
    TooManyPolicies,
}

/// How many policies AWS attaches to a certificate (AWS IoT Core quotas).
const MOST_POLICIES: usize = 10;

/// What comes next; `None` when all is made.
pub(super) fn next(wanted: Wanted<'_>, seen: &Seen) -> Result<Option<Step>, Refusal> {
    if wanted.slot == Slot::Current {
        match seen.thing {
            None => return Ok(Some(Step::LookForThing)),
            Some(false) => return Ok(Some(Step::MakeThing)),
            Some(true) => {}
        }
        match seen.policy {
            None => return Ok(Some(Step::LookForPolicy)),
            Some(PolicyState::Missing) => return Ok(Some(Step::MakePolicy)),
            Some(PolicyState::Changed) => return Err(Refusal::PolicyChanged),
            Some(PolicyState::Right) => {}
        }
    }
    let Some(key) = seen.key else { return Ok(Some(Step::LookForKey)) };
    let Some(certificate) = seen.certificate.clone() else {
        // A certificate that is gone cannot be the one that a lost answer was about.
        let lost_answer = key == Key::Kept && !seen.searched && seen.state.is_none();
        return Ok(Some(match key {
            Key::Missing => Step::MakeKey,
            _ if lost_answer => Step::SearchCertificate,
            _ => Step::RequestCertificate,
        }));
    };
    if key == Key::Missing {
        return Err(Refusal::KeyLost(certificate));
    }
    match &seen.state {
        None | Some(CertificateState::Gone) => {
            return Ok(Some(Step::LookAtCertificate(certificate)));
        }
        Some(CertificateState::Off(word)) => {
            return Err(Refusal::CertificateOff(certificate, word.clone()));
        }
        Some(CertificateState::Foreign) => return Err(Refusal::CertificateForeign(certificate)),
        Some(CertificateState::Active | CertificateState::Made) => {}
    }
    let Some(policies) = &seen.policies else {
        return Ok(Some(Step::LookAtPolicies(certificate)));
    };
    if !policies.contains(wanted.policy) {
        if policies.len() >= MOST_POLICIES {
            return Err(Refusal::TooManyPolicies);
        }
        return Ok(Some(Step::AttachPolicy(certificate)));
    }
    match seen.attached {
        None => return Ok(Some(Step::LookAtAttachment(certificate))),
        Some(false) => return Ok(Some(Step::AttachCertificate(certificate))),
        Some(true) => {}
    }
    if wanted.slot == Slot::Current && seen.state == Some(CertificateState::Active) {
        let others = policies.iter().filter(|name| name.starts_with(PREFIX));
        for name in others.filter(|name| *name != wanted.policy) {
            let goes = match (wanted.end_old_topics, seen.covered.get(name)) {
                (true, _) => true,
                (false, Some(covered)) => *covered,
                (false, None) => return Ok(Some(Step::LookAtPolicy(name.clone()))),
            };
            if goes {
                return Ok(Some(Step::DetachPolicy(certificate, name.clone())));
            }
        }
        if let Some(name) = seen.old_policies.iter().find(|name| !policies.contains(*name)) {
            return Ok(Some(Step::DeletePolicy(name.clone())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "esp8266-thing-now";
    const BEFORE: &str = "esp8266-thing-before";

    /// An account, and what a machine keeps of it from run to run.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct World {
        thing: bool,
        policy: bool,
        key: bool,
        /// Of the key.
        certificates: Vec<Certificate>,
        /// Of the only certificate.
        policies: BTreeSet<String>,
        /// Those that allow no more than the one that is wanted.
        covered: BTreeSet<String>,
        attached: bool,
        /// In the journal.
        known: Option<Certificate>,
        old_policies: BTreeSet<String>,
    }

    fn whole() -> Wanted<'static> {
        Wanted { policy: POLICY, slot: Slot::Current, end_old_topics: false }
    }

    impl World {
        fn begin(&self) -> Seen {
            Seen {
                certificate: self.known.clone(),
                old_policies: self.old_policies.clone(),
                ..Seen::default()
            }
        }

        /// Takes a step; with `heard` its answer arrives and is written down.
        fn take(&mut self, step: Step, seen: &mut Seen, heard: bool) {
            let mut answer = seen.clone();
            match step {
                Step::LookForThing => answer.thing = Some(self.thing),
                Step::MakeThing => {
                    assert!(!self.thing, "made twice");
                    (self.thing, answer.thing) = (true, Some(true));
                }
                Step::LookForPolicy => {
                    answer.policy =
                        Some(if self.policy { PolicyState::Right } else { PolicyState::Missing });
                }
                Step::MakePolicy => {
                    (self.policy, answer.policy) = (true, Some(PolicyState::Right));
                }
                Step::LookForKey => {
                    answer.key = Some(if self.key { Key::Kept } else { Key::Missing });
                }
                Step::MakeKey => (self.key, answer.key) = (true, Some(Key::New)),
                Step::LookAtCertificate(certificate) => {
                    if self.certificates.contains(&certificate) {
                        answer.state = Some(CertificateState::Active);
                    } else {
                        (answer.state, answer.certificate) = (Some(CertificateState::Gone), None);
                        if heard {
                            self.known = None;
                        }
                    }
                }
                Step::SearchCertificate => {
                    answer.searched = true;
                    answer.certificate = self.certificates.first().cloned();
                    if heard {
                        self.known.clone_from(&answer.certificate);
                    }
                }
                Step::RequestCertificate => {
                    let id = self.certificates.len().to_string();
                    let made = Certificate { arn: format!("arn:{id}"), id };
                    self.certificates.push(made.clone());
                    if heard {
                        self.known = Some(made.clone());
                    }
                    answer.certificate = Some(made);
                    answer.state = Some(CertificateState::Made);
                    (answer.policies, answer.attached) = (Some(BTreeSet::new()), Some(false));
                }
                Step::LookAtPolicies(_) => answer.policies = Some(self.policies.clone()),
                Step::AttachPolicy(_) => {
                    self.policies.insert(POLICY.to_owned());
                    answer.policies.get_or_insert_default().insert(POLICY.to_owned());
                }
                Step::LookAtAttachment(_) => answer.attached = Some(self.attached),
                Step::AttachCertificate(_) => {
                    (self.attached, answer.attached) = (true, Some(true));
                }
                Step::LookAtPolicy(name) => {
                    answer.covered.insert(name.clone(), self.covered.contains(&name));
                }
                Step::DetachPolicy(_, name) => {
                    // Written down first, as the real one does.
                    self.old_policies.insert(name.clone());
                    self.policies.remove(&name);
                    answer.old_policies.insert(name.clone());
                    answer.policies.get_or_insert_default().remove(&name);
                }
                Step::DeletePolicy(name) => {
                    assert!(!self.policies.contains(&name), "the device's");
                    answer.old_policies.remove(&name);
                    if heard {
                        self.old_policies.remove(&name);
                    }
                }
            }
            if heard {
                *seen = answer;
            }
        }

        /// Runs to the end, or until the step `stop`, whose answer is lost or which is not even
        /// taken; says how many steps were taken.
        fn run(&mut self, stop: Option<(usize, bool)>) -> usize {
            self.run_to(whole(), stop)
        }

        fn run_to(&mut self, wanted: Wanted<'_>, stop: Option<(usize, bool)>) -> usize {
            let mut seen = self.begin();
            for count in 0..50 {
                let Some(step) = next(wanted, &seen).unwrap() else { return count };
                match stop {
                    Some((at, taken)) if at == count => {
                        if taken {
                            self.take(step, &mut seen, false);
                        }
                        return count;
                    }
                    _ => self.take(step, &mut seen, true),
                }
            }
            panic!("no end: {seen:?}");
        }
    }

    fn done(world: &World) -> bool {
        world.thing
            && world.policy
            && world.attached
            && world.certificates.len() == 1
            && world.known.as_ref() == world.certificates.first()
            && world.policies == BTreeSet::from([POLICY.to_owned()])
            && world.old_policies.is_empty()
    }

    #[test]
    fn a_thing_is_made_in_order_and_then_only_looked_at() {
        let mut world = World::default();
        let mut seen = world.begin();
        let mut steps = Vec::new();
        while let Some(step) = next(whole(), &seen).unwrap() {
            steps.push(format!("{step:?}").split('(').next().unwrap().to_owned());
            world.take(step, &mut seen, true);
        }
        assert_eq!(
            steps,
            [
                "LookForThing",
                "MakeThing",
                "LookForPolicy",
                "MakePolicy",
                "LookForKey",
                "MakeKey",
                "RequestCertificate",
                "AttachPolicy",
                "AttachCertificate"
            ]
        );
        assert!(done(&world));
        let before = world.clone();
        // Thing, policy, key, certificate, policies, attachment.
        assert_eq!(world.run(None), 6);
        assert_eq!(world, before);
    }

    #[test]
    fn every_interruption_is_mended_and_nothing_is_made_twice() {
        // Once anywhere, then once more anywhere: before a step, or behind it with its answer lost.
        for first in 0..20 {
            for second in 0..20 {
                for taken in [(false, false), (false, true), (true, false), (true, true)] {
                    let mut world = World::default();
                    world.run(Some((first, taken.0)));
                    world.run(Some((second, taken.1)));
                    world.run(None);
                    assert!(done(&world), "{first} {second} {taken:?}: {world:?}");
                }
            }
        }
    }

    /// A thing whose certificate has a policy of before as well, and one of a person's own.
    fn with_a_policy_of_before() -> World {
        let mut world = World::default();
        world.run(None);
        world.policies = BTreeSet::from([BEFORE.to_owned(), "mine".to_owned()]);
        world.old_policies = BTreeSet::from([BEFORE.to_owned()]);
        world
    }

    #[test]
    fn a_policy_of_the_same_topics_goes_at_once() {
        let mut world = with_a_policy_of_before();
        world.covered = BTreeSet::from([BEFORE.to_owned()]);
        for stop in 0..12 {
            let mut world = world.clone();
            world.run(Some((stop, true)));
            world.run(None);
            assert_eq!(world.policies, BTreeSet::from([POLICY.to_owned(), "mine".to_owned()]));
            assert!(world.old_policies.is_empty());
        }
        // A further certificate says nothing of them.
        let seen = Seen {
            key: Some(Key::Kept),
            certificate: world.known.clone(),
            state: Some(CertificateState::Active),
            policies: Some(BTreeSet::from([POLICY.to_owned(), BEFORE.to_owned()])),
            attached: Some(true),
            ..Seen::default()
        };
        let wanted = Wanted { slot: Slot::Next, ..whole() };
        assert_eq!(next(wanted, &seen), Ok(None));
    }

    /// A device with the old topics is cut off without their policy, and with it from the job that
    /// would bring it the new ones.
    #[test]
    fn a_policy_of_other_topics_stays_until_the_device_has_the_new_ones() {
        let end = Wanted { end_old_topics: true, ..whole() };
        let both = [POLICY, BEFORE, "mine"].map(str::to_owned);
        for (first, second) in (0..12).flat_map(|first| (0..12).map(move |second| (first, second)))
        {
            let mut world = with_a_policy_of_before();
            world.run(Some((first, true)));
            assert!(world.policies.contains(BEFORE), "{first}");
            world.run(None);
            assert_eq!(world.policies, BTreeSet::from(both.clone()));
            assert!(world.old_policies.contains(BEFORE), "forgotten");
            world.run_to(end, Some((second, true)));
            assert!(world.policies.contains(POLICY), "{second}");
            world.run_to(end, None);
            assert_eq!(world.policies, BTreeSet::from([POLICY.to_owned(), "mine".to_owned()]));
            assert!(world.old_policies.is_empty());
        }
        // AWS has no room for them without end.
        let mut world = with_a_policy_of_before();
        world.policies.extend((0..8).map(|index| format!("{PREFIX}{index}")));
        let mut seen = world.begin();
        let refusal = loop {
            match next(whole(), &seen) {
                Ok(step) => world.take(step.unwrap(), &mut seen, true),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal, Refusal::TooManyPolicies);
    }

    #[test]
    fn a_certificate_that_is_gone_is_made_anew() {
        let mut world = World::default();
        world.run(None);
        world.certificates.clear();
        (world.policies, world.attached) = (BTreeSet::new(), false);
        world.run(None);
        assert!(done(&world), "{world:?}");
    }

    #[test]
    fn what_a_person_must_see_to_is_refused() {
        let certificate = Certificate { id: "c".to_owned(), arn: "arn:c".to_owned() };
        let seen = Seen {
            thing: Some(true),
            policy: Some(PolicyState::Right),
            key: Some(Key::Kept),
            certificate: Some(certificate.clone()),
            ..Seen::default()
        };
        let refused = |seen: Seen| next(whole(), &seen).unwrap_err();
        let changed = Seen { policy: Some(PolicyState::Changed), ..seen.clone() };
        assert_eq!(refused(changed), Refusal::PolicyChanged);
        let lost = Seen { key: Some(Key::Missing), ..seen.clone() };
        assert_eq!(refused(lost), Refusal::KeyLost(certificate.clone()));
        let off = CertificateState::Off("REVOKED".to_owned());
        assert_eq!(
            refused(Seen { state: Some(off), ..seen.clone() }),
            Refusal::CertificateOff(certificate.clone(), "REVOKED".to_owned())
        );
        let foreign = Seen { state: Some(CertificateState::Foreign), ..seen };
        assert_eq!(refused(foreign), Refusal::CertificateForeign(certificate));
    }
}
