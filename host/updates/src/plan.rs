//! What comes next in an update, decided from what is known.
//!
//! [`next`] is the whole state machine: it asks nobody and changes nothing. Who takes the step writes
//! down what came of it and asks again. A run that was interrupted anywhere begins with an empty
//! [`Seen`] and ends where the interrupted one would have.

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// That the things are updated.
    Update,
    /// That the job is called off; with `force` also where a thing has begun.
    Cancel {
        /// See [`Goal::Cancel`].
        force: bool,
    },
}

/// The job as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Missing,
    /// Some things have not ended.
    Running,
    /// All have.
    Over,
}

/// What this run has seen so far; `None` where it has not looked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub job: Option<Job>,
    /// Whether its things were looked at since.
    pub things: bool,
    /// Whether this run, or one before, has seen the job or made it.
    pub job_known: bool,
    /// Whether it was written down how the job ended.
    pub ended: bool,
    /// Whether this run has called the job off.
    pub canceled: bool,
    pub bucket: Option<bool>,
    pub role: Option<bool>,
    pub targets: Option<bool>,
    pub object: Option<bool>,
    pub stream: Option<bool>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    LookAtJob,
    /// How its things are: for the person, who is shown it. Nothing is decided by it.
    LookAtThings,
    LookForBucket,
    LookForRole,
    LookForTargets,
    LookForObject,
    Upload,
    LookForStream,
    MakeStream,
    MakeJob,
    Cancel {
        force: bool,
    },
    /// Some time, then look at the job again.
    Wait,
    /// Writes down how it ended.
    Note,
    DeleteStream,
    DeleteObject,
    DeleteJob,
    /// Forgets the order.
    Forget,
}

/// What has to be there before, and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unprepared {
    pub bucket: bool,
    pub role: bool,
}

/// What comes next; `None` when all is done.
pub(crate) fn next(goal: Goal, seen: &Seen) -> Result<Step, Unprepared> {
    let Some(job) = seen.job else { return Ok(Step::LookAtJob) };
    Ok(match (job, goal) {
        // What has ended once has ended, whatever is left of it.
        _ if seen.ended => clear(seen),
        // Somebody else has deleted it, which is a way to stop it: nobody makes it again.
        (Job::Missing, _) if seen.job_known => Step::Note,
        (Job::Missing, Goal::Cancel { .. }) => clear(seen),
        (Job::Missing, Goal::Update) => return begin(seen),
        // Before anything else: each minute that goes by, more things are told.
        (Job::Running, Goal::Cancel { force }) if !seen.canceled => Step::Cancel { force },
        _ if !seen.things => Step::LookAtThings,
        (Job::Running, _) => Step::Wait,
        (Job::Over, _) => Step::Note,
    })
}

fn begin(seen: &Seen) -> Result<Step, Unprepared> {
    let (Some(bucket), Some(role)) = (seen.bucket, seen.role) else {
        // Both before anything is told: a person mends them together.
        return Ok(if seen.bucket.is_none() { Step::LookForBucket } else { Step::LookForRole });
    };
    if !bucket || !role {
        return Err(Unprepared { bucket: !bucket, role: !role });
    }
    Ok(match (seen.targets, seen.object, seen.stream) {
        (None | Some(false), ..) => Step::LookForTargets,
        (_, None, _) => Step::LookForObject,
        (_, Some(false), _) => Step::Upload,
        (_, _, None) => Step::LookForStream,
        (_, _, Some(false)) => Step::MakeStream,
        _ => Step::MakeJob,
    })
}

/// The stream first: nothing may read an object that is gone. The job last: while it is there, the
/// same command finds how it ended.
fn clear(seen: &Seen) -> Step {
    if seen.stream != Some(false) {
        Step::DeleteStream
    } else if seen.object != Some(false) {
        Step::DeleteObject
    } else if seen.job != Some(Job::Missing) {
        Step::DeleteJob
    } else {
        Step::Forget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than an update takes that nobody interrupts.
    const STEPS: usize = 30;

    /// An account, and what a machine keeps of it.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct World {
        unprepared: bool,
        object: bool,
        stream: bool,
        job: Option<bool>,
        job_known: bool,
        ended: bool,
        /// It was written down that somebody had deleted the job.
        deleted: bool,
        canceled: bool,
        forgotten: bool,
        /// Turns until all things have ended.
        left: u32,
        jobs_made: u32,
    }

    impl World {
        fn new() -> Self {
            Self { left: 3, ..Self::default() }
        }

        /// Takes a step; with `heard` its answer arrives and is written down.
        fn take(&mut self, step: Step, seen: &mut Seen, heard: bool) {
            let mut answer = seen.clone();
            let job = |job: Option<bool>| match job {
                None => Job::Missing,
                Some(false) => Job::Running,
                Some(true) => Job::Over,
            };
            match step {
                Step::LookAtJob => {
                    (answer.job, answer.things) = (Some(job(self.job)), false);
                    answer.job_known |= self.job.is_some();
                }
                Step::LookAtThings => answer.things = true,
                Step::LookForBucket => answer.bucket = Some(!self.unprepared),
                Step::LookForRole => answer.role = Some(!self.unprepared),
                Step::LookForTargets => answer.targets = Some(true),
                Step::LookForObject => answer.object = Some(self.object),
                Step::Upload => (self.object, answer.object) = (true, Some(true)),
                Step::LookForStream => answer.stream = Some(self.stream),
                Step::MakeStream => {
                    assert!(self.object && !self.stream, "a stream of nothing, or twice");
                    (self.stream, answer.stream) = (true, Some(true));
                }
                Step::MakeJob => {
                    assert!(self.stream && self.job.is_none(), "a job of nothing, or twice");
                    self.jobs_made += 1;
                    (self.job, answer.job) = (Some(false), Some(Job::Running));
                    answer.job_known = true;
                }
                Step::Cancel { .. } => {
                    self.canceled = self.job.is_some();
                    self.job = self.job.map(|_| true);
                    (answer.canceled, answer.job) = (true, None);
                }
                Step::Wait => {
                    assert!(self.stream && self.object, "things are still fetching");
                    self.left = self.left.saturating_sub(1);
                    if self.left == 0 {
                        self.job = self.job.map(|_| true);
                    }
                    answer.job = None;
                }
                Step::Note => {
                    answer.ended = true;
                    if heard {
                        (self.ended, self.deleted) = (true, seen.job == Some(Job::Missing));
                    }
                }
                Step::DeleteStream => (self.stream, answer.stream) = (false, Some(false)),
                Step::DeleteObject => (self.object, answer.object) = (false, Some(false)),
                Step::DeleteJob => (self.job, answer.job) = (None, Some(Job::Missing)),
                Step::Forget => self.forgotten = true,
            }
            if heard {
                self.job_known = answer.job_known;
                *seen = answer;
            }
        }

        /// Runs to the end, or until the step `stop`, whose answer is lost or which is not taken.
        fn run(&mut self, goal: Goal, stop: Option<(usize, bool)>) {
            self.run_disturbed(goal, stop, None);
        }

        /// As [`Self::run`]; before the step `deletion` somebody else deletes the job, if there is one.
        fn run_disturbed(
            &mut self,
            goal: Goal,
            stop: Option<(usize, bool)>,
            deletion: Option<usize>,
        ) {
            let known = self.job_known;
            let mut seen = Seen { ended: self.ended, job_known: known, ..Seen::default() };
            for count in 0..60 {
                if self.forgotten {
                    return;
                }
                if deletion == Some(count) {
                    self.job = None;
                }
                let step = next(goal, &seen).unwrap();
                match stop {
                    Some((at, taken)) if at == count => {
                        if taken {
                            self.take(step, &mut seen, false);
                        }
                        return;
                    }
                    _ => self.take(step, &mut seen, true),
                }
            }
            panic!("no end: {seen:?}");
        }

        fn is_clear(&self) -> bool {
            self.forgotten && !self.object && !self.stream && self.job.is_none()
        }
    }

    #[test]
    fn every_interruption_is_mended_and_no_job_is_made_twice() {
        for first in 0..STEPS {
            for second in 0..STEPS {
                for taken in [(false, false), (false, true), (true, false), (true, true)] {
                    let mut world = World::new();
                    world.run(Goal::Update, Some((first, taken.0)));
                    world.run(Goal::Update, Some((second, taken.1)));
                    if !world.forgotten {
                        world.run(Goal::Update, None);
                    }
                    assert!(world.is_clear(), "{first} {second} {taken:?}: {world:?}");
                    assert_eq!(world.jobs_made, 1, "{first} {second} {taken:?}");
                }
            }
        }
    }

    #[test]
    fn an_update_is_called_off_wherever_it_stands() {
        for at in 0..STEPS {
            for taken in [false, true] {
                let mut world = World::new();
                world.run(Goal::Update, Some((at, taken)));
                if world.forgotten {
                    continue;
                }
                let ran = world.job == Some(false);
                world.run(Goal::Cancel { force: false }, None);
                assert!(world.is_clear(), "{at} {taken}: {world:?}");
                assert_eq!(world.canceled, ran, "{at} {taken}");
                assert!(world.jobs_made <= 1);
            }
        }
    }

    /// Of a large fleet, looking at the things takes minutes.
    #[test]
    fn what_is_called_off_is_called_off_first() {
        let mut seen = Seen::default();
        let goal = Goal::Cancel { force: true };
        assert_eq!(next(goal, &seen), Ok(Step::LookAtJob));
        seen.job = Some(Job::Running);
        assert_eq!(next(goal, &seen), Ok(Step::Cancel { force: true }));
        seen.canceled = true;
        assert_eq!(next(goal, &seen), Ok(Step::LookAtThings));
    }

    /// Deleting a job is a way to stop it.
    #[test]
    fn a_job_that_somebody_deletes_is_not_made_again() {
        let goals = [Goal::Update, Goal::Cancel { force: false }];
        for at in 0..STEPS {
            // While it is followed.
            let mut world = World::new();
            world.run_disturbed(Goal::Update, None, Some(at));
            assert!(world.is_clear() && world.jobs_made == 1, "{at}: {world:?}");
            for goal in goals {
                // Between two runs, and in the second.
                for deletion in 0..STEPS {
                    let mut world = World::new();
                    world.run(Goal::Update, Some((at, false)));
                    if world.forgotten {
                        continue;
                    }
                    let (ended, known) = (world.ended, world.job_known);
                    world.run_disturbed(goal, None, Some(deletion));
                    assert!(world.is_clear(), "{at} {deletion} {goal:?}: {world:?}");
                    assert!(world.jobs_made <= 1, "{at} {deletion} {goal:?}: {world:?}");
                    if deletion == 0 {
                        assert_eq!(world.deleted, known && !ended, "{at} {goal:?}: {world:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_told_together_and_nothing_is_made() {
        let mut world = World { unprepared: true, ..World::new() };
        let mut seen = Seen::default();
        let unprepared = loop {
            match next(Goal::Update, &seen) {
                Ok(step) => world.take(step, &mut seen, true),
                Err(unprepared) => break unprepared,
            }
        };
        assert_eq!(unprepared, Unprepared { bucket: true, role: true });
        assert_eq!(world, World { unprepared: true, ..World::new() });
    }
}
