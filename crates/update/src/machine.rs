//! What the device does, message by message.
//!
//! The one who owns it carries out what [`Machine::poll`] and [`Machine::message`] hand out, and tells
//! how that went. It knows no network and no flash; the clock is an argument, in milliseconds.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::job::{self, Execution, Kind, Status};
use crate::progress::{Fetch, Missing, crc32};
use crate::stream::{self, Block, Request};

/// Milliseconds after which a question to the jobs service is asked again.
const ANSWER_MS: u64 = 10_000;
/// The same for blocks; it doubles with each silence, up to the second.
const BLOCKS_MS: u64 = 4_000;
const MOST_BLOCKS_MS: u64 = 64_000;
/// Silences in a row after which the stream counts as ended: 9 minutes.
const SILENCES: u32 = 12;
/// How many per cent lie between two reports.
const STEP: u32 = 10;

/// What holds for a device.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that a slot takes.
    pub slot_size: u32,
    /// Bytes that are asked for at once; 1024, 2048 or 4096, so that a sector is whole blocks.
    pub block_size: u32,
    /// Blocks that are asked for at once.
    pub window: u32,
}

/// What became of the update that was installed last: what the newest boot record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The record's number of it ([`Work::what`]).
    pub what: u32,
    /// How it went.
    pub outcome: Outcome,
}

/// How an installed update went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It runs, and has to prove itself.
    Trial,
    /// It has.
    Good,
    /// The old firmware is back, for this reason.
    Failed(String),
}

/// An update that is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The job's id.
    pub job: String,
    /// A number for job, stream and signature: in boot record and progress.
    pub what: u32,
    /// Bytes of the image.
    pub size: u32,
    /// r and s of its signature.
    pub signature: [u8; 64],
    /// Whether an older version may come.
    pub allow_downgrade: bool,
    version: u32,
    stream: String,
    file: u32,
}

/// What is to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Subscribe to a topic.
    Subscribe(String),
    /// Publish at QoS 1.
    Publish {
        /// The topic.
        topic: String,
        /// The message.
        payload: Vec<u8>,
    },
    /// Find what is there of an image ([`Missing::resume`]), or prepare the sector of progress for
    /// all of it; then [`Machine::begun`].
    Begin(Fetch),
    /// Check the image in the other slot against signature, board and version; then
    /// [`Machine::checked`]. Who finds it bad erases the sector of progress, or the next job with
    /// this image would go on with it.
    Check(Work),
    /// Write the boot record with this number and restart.
    Install {
        /// [`Work::what`].
        what: u32,
    },
}

/// A block for the slot; then [`Machine::stored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    /// The sector, by its offset in the slot, that is to be erased first.
    pub erase: Option<u32>,
    /// Offset in the slot.
    pub offset: u32,
    /// The bytes; of the last block any number.
    pub content: &'a [u8],
    /// Which word of the sector of progress is to be written behind it, and its value.
    pub mark: (usize, u32),
}

/// Bytes that are erased at once.
const SECTOR: u32 = 4096;

#[derive(Clone, Debug)]
enum Step {
    Offline,
    /// start-next was published.
    Asking {
        since: u64,
    },
    /// There is no job.
    Idle,
    /// [`Action::Begin`] is being carried out.
    Beginning(Work),
    Fetching(Fetching),
    /// [`Action::Check`] is being carried out.
    Checking(Work),
    /// The image is good; the server is told so, and may still say that the job was cancelled.
    Announcing(Work, Said),
    /// The last word about a job was said.
    Closing {
        job: String,
        said: Said,
    },
    /// The update of this job runs and has to prove itself.
    Proving {
        job: String,
        version: u32,
    },
}

#[derive(Clone, Debug)]
struct Fetching {
    work: Work,
    missing: Missing,
    /// Blocks that were asked for and have not come.
    open: u32,
    since: u64,
    silences: u32,
    /// Per cent that were reported last.
    reported: u32,
    /// A report that has no answer yet.
    unanswered: bool,
}

/// Something that was published and wants an answer.
#[derive(Clone, Debug)]
struct Said {
    payload: String,
    since: u64,
}

/// The device's side of updates.
#[derive(Debug)]
pub struct Machine {
    thing: String,
    limits: Limits,
    installed: Option<Installed>,
    step: Step,
    actions: VecDeque<Action>,
}

impl Machine {
    /// The machine of the thing with this name.
    #[must_use]
    pub fn new(thing: &str, limits: Limits, installed: Option<Installed>) -> Self {
        Self {
            thing: thing.to_string(),
            limits,
            installed,
            step: Step::Offline,
            actions: VecDeque::new(),
        }
    }

    fn jobs(&self) -> job::Topics<'_> {
        job::Topics { thing: &self.thing }
    }

    /// The connection is there: whether the session is old or new, everything is asked anew.
    pub fn connected(&mut self, now: u64) {
        self.actions.clear();
        // The same for every job and stream: a session that the server keeps holds no more of them
        // after many updates than after one.
        let (jobs, streams) = (self.jobs(), stream::Topics { thing: &self.thing, stream: "+" });
        let topics = [
            jobs.notify_next(),
            jobs.start_next_answers(),
            jobs.update_answers(),
            streams.data(),
            streams.rejected(),
        ];
        for topic in topics {
            self.actions.push_back(Action::Subscribe(topic));
        }
        self.ask(now);
    }

    /// The connection is lost. What was fetched stays in flash, as after a reset.
    pub fn offline(&mut self) {
        self.actions.clear();
        self.step = Step::Offline;
    }

    fn ask(&mut self, now: u64) {
        let topic = self.jobs().start_next();
        self.publish(topic, "{}");
        self.step = Step::Asking { since: now };
    }

    fn publish(&mut self, topic: String, payload: &str) {
        self.actions.push_back(Action::Publish { topic, payload: payload.into() });
    }

    /// The next thing to do. Called until there is none, after each event and now and then.
    pub fn poll(&mut self, now: u64) -> Option<Action> {
        if self.actions.is_empty() {
            self.look(now);
        }
        self.actions.pop_front()
    }

    /// What time alone asks for.
    fn look(&mut self, now: u64) {
        match &mut self.step {
            Step::Asking { since } if now.saturating_sub(*since) >= ANSWER_MS => self.ask(now),
            Step::Announcing(Work { job, .. }, said) | Step::Closing { job, said }
                if now.saturating_sub(said.since) >= ANSWER_MS =>
            {
                said.since = now;
                let (topic, payload) =
                    (job::Topics { thing: &self.thing }.update(job), said.payload.clone());
                self.publish(topic, &payload);
            }
            Step::Fetching(fetching) => {
                let patience = (BLOCKS_MS << fetching.silences.min(16)).min(MOST_BLOCKS_MS);
                let silent = now.saturating_sub(fetching.since) >= patience;
                if fetching.open > 0 && !silent {
                    return;
                }
                if fetching.open > 0 {
                    fetching.silences += 1;
                    if fetching.silences > SILENCES {
                        let left = fetching.missing.left();
                        return self.close_fetching(
                            Status::Failed,
                            &format!("the stream brings no more blocks; {left} are missing"),
                            now,
                        );
                    }
                }
                fetching.since = now;
                self.request();
            }
            _ => {}
        }
    }

    fn request(&mut self) {
        let Step::Fetching(Fetching { work, missing, open, .. }) = &mut self.step else { return };
        let Some((first, bitmap)) = missing.wanted(self.limits.window) else { return };
        *open = bitmap.iter().map(|byte| byte.count_ones()).sum();
        let request = Request {
            file: work.file,
            block_size: self.limits.block_size,
            first,
            bitmap: &bitmap,
            most: *open,
        };
        let topic = stream::Topics { thing: &self.thing, stream: &work.stream }.get();
        self.actions.push_back(Action::Publish { topic, payload: request.to_cbor() });
    }

    /// A message came. A block of it is to be stored.
    pub fn message<'m>(&mut self, topic: &str, payload: &'m [u8], now: u64) -> Option<Store<'m>> {
        if let Some(kind) = self.jobs().kind(topic) {
            self.jobs_message(kind, payload, now);
            return None;
        }
        let Step::Fetching(fetching) = &mut self.step else { return None };
        let topics = stream::Topics { thing: &self.thing, stream: &fetching.work.stream };
        if topic == topics.data() {
            return Self::block(fetching, Block::read(payload)?, now);
        }
        if topic == topics.rejected() {
            let code: String =
                stream::refusal(payload).unwrap_or("for no reason").chars().take(40).collect();
            self.close_fetching(Status::Failed, &format!("the stream was refused: {code}"), now);
        }
        None
    }

    fn jobs_message(&mut self, kind: Kind<'_>, payload: &[u8], now: u64) {
        match kind {
            Kind::Next => {
                // What is not understood cannot tell of another job.
                let Ok(next) = Execution::read(payload) else { return };
                let next = next.map(|execution| execution.job);
                let current = match &self.step {
                    Step::Offline | Step::Asking { .. } => return,
                    Step::Idle => None,
                    Step::Beginning(work) | Step::Checking(work) | Step::Announcing(work, _) => {
                        Some(&work.job)
                    }
                    Step::Fetching(fetching) => Some(&fetching.work.job),
                    Step::Proving { job, .. } | Step::Closing { job, .. } => Some(job),
                };
                if current.map(String::as_str) != next {
                    self.ask(now);
                }
            }
            Kind::Started => {
                if matches!(self.step, Step::Asking { .. }) {
                    match Execution::read(payload) {
                        Ok(Some(execution)) => self.started(&execution, now),
                        Ok(None) => self.step = Step::Idle,
                        // Asked again when the time is up.
                        Err(job::Malformed) => {}
                    }
                }
            }
            // Too many at once, for example: asked again when the time is up.
            Kind::NotStarted => {}
            Kind::Updated { job } => self.updated(job, now),
            Kind::NotUpdated { job } => self.not_updated(job, payload, now),
        }
    }

    fn started(&mut self, execution: &Execution<'_>, now: u64) {
        let Execution { job, version, .. } = *execution;
        let document = match execution.document {
            Ok(document) => document,
            Err(refused) => {
                return self.close(job, version, Status::Rejected, "refused", &refused, now);
            }
        };
        let what = crc32(job.bytes().chain(document.stream.bytes()).chain(document.signature));
        match self.installed.clone() {
            Some(Installed { what: installed, outcome }) if installed == what => {
                return match outcome {
                    Outcome::Good => self.close(job, version, Status::Succeeded, "100", &"", now),
                    Outcome::Failed(reason) => {
                        self.close(job, version, Status::Failed, "rolled back", &reason, now)
                    }
                    Outcome::Trial => self.step = Step::Proving { job: job.to_string(), version },
                };
            }
            // The slot that it would go to has the firmware that comes back if this one is bad.
            Some(Installed { outcome: Outcome::Trial, .. }) => return self.step = Step::Idle,
            _ => {}
        }
        if document.size == 0 || document.size > self.limits.slot_size {
            let reason = format!(
                "an image of {} bytes does not fit the slot of {}",
                document.size, self.limits.slot_size
            );
            return self.close(job, version, Status::Rejected, "refused", &reason, now);
        }
        let work = Work {
            job: job.to_string(),
            what,
            size: document.size,
            signature: document.signature,
            allow_downgrade: document.allow_downgrade,
            version,
            stream: document.stream.to_string(),
            file: document.file,
        };
        let fetch = Fetch { size: work.size, block_size: self.limits.block_size, what };
        self.step = Step::Beginning(work);
        self.actions.push_back(Action::Begin(fetch));
    }

    /// [`Action::Begin`] was carried out: what is missing.
    ///
    /// # Errors
    /// Takes that of the flash.
    pub fn begun(&mut self, missing: Result<Missing, FlashError>, now: u64) {
        let step = core::mem::replace(&mut self.step, Step::Idle);
        let Step::Beginning(work) = step else {
            self.step = step;
            return;
        };
        match missing {
            Ok(missing) => {
                let reported = missing.percent();
                self.step = Step::Fetching(Fetching {
                    work,
                    missing,
                    open: 0,
                    since: now,
                    silences: 0,
                    reported,
                    unanswered: false,
                });
                self.next_after_block(now);
            }
            Err(FlashError) => {
                self.close(&work.job, work.version, Status::Failed, "flash", &FlashError, now);
            }
        }
    }

    fn block<'m>(fetching: &mut Fetching, block: Block<'m>, now: u64) -> Option<Store<'m>> {
        let fetch = fetching.missing.fetch();
        let Block { file, number, content, .. } = block;
        let fits = file == fetching.work.file
            && number < fetch.blocks()
            && content.len() == fetch.length(number) as usize;
        // Twice, another's, or of another length: as if it had not come.
        if !fits || !fetching.missing.is_missing(number) {
            return None;
        }
        fetching.since = now;
        fetching.silences = 0;
        fetching.open = fetching.open.saturating_sub(1);
        let offset = number * fetch.block_size;
        // As long as no block of a sector is there, nothing is lost by erasing it, and what a
        // power cut left of the last attempt is gone.
        let first = offset / SECTOR * SECTOR / fetch.block_size;
        let last = (first + SECTOR / fetch.block_size).min(fetch.blocks());
        let fresh = (first..last).all(|block| fetching.missing.is_missing(block));
        let mark = fetching.missing.written(number)?;
        Some(Store { erase: fresh.then_some(offset / SECTOR * SECTOR), offset, content, mark })
    }

    /// A block was stored, or the flash failed.
    ///
    /// # Errors
    /// Takes that of the flash.
    pub fn stored(&mut self, result: Result<(), FlashError>, now: u64) {
        match result {
            Ok(()) => self.next_after_block(now),
            Err(FlashError) => self.close_fetching(Status::Failed, &FlashError, now),
        }
    }

    fn next_after_block(&mut self, now: u64) {
        let Step::Fetching(fetching) = &mut self.step else { return };
        let percent = fetching.missing.percent();
        if fetching.missing.left() == 0 {
            let Step::Fetching(fetching) = core::mem::replace(&mut self.step, Step::Idle) else {
                return;
            };
            let mut work = fetching.work;
            // A report that is on its way counts: what follows expects the version after it.
            work.version += u32::from(fetching.unanswered);
            self.step = Step::Checking(work.clone());
            self.actions.push_back(Action::Check(work));
            return;
        }
        if percent / STEP > fetching.reported / STEP && !fetching.unanswered {
            fetching.reported = percent;
            fetching.unanswered = true;
            let Work { job, version, .. } = &fetching.work;
            let state = (percent / STEP * STEP).to_string();
            let payload = job::report(Status::InProgress, *version, &state, None);
            let topic = job::Topics { thing: &self.thing }.update(job);
            self.publish(topic, &payload);
        }
        let Step::Fetching(fetching) = &mut self.step else { return };
        if fetching.open == 0 {
            fetching.since = now;
            self.request();
        }
    }

    /// [`Action::Check`] was carried out: the image is sound and ours, or not, and why.
    pub fn checked(&mut self, result: Result<(), &str>, now: u64) {
        let step = core::mem::replace(&mut self.step, Step::Idle);
        let Step::Checking(work) = step else {
            self.step = step;
            return;
        };
        match result {
            Ok(()) => {
                let payload = job::report(Status::InProgress, work.version, "restarting", None);
                let topic = self.jobs().update(&work.job);
                self.publish(topic, &payload);
                self.step = Step::Announcing(work, Said { payload, since: now });
            }
            Err(reason) => {
                self.close(&work.job, work.version, Status::Failed, "refused", &reason, now);
            }
        }
    }

    fn updated(&mut self, job: &str, now: u64) {
        match &mut self.step {
            Step::Fetching(fetching) if fetching.work.job == job && fetching.unanswered => {
                fetching.unanswered = false;
                fetching.work.version += 1;
            }
            Step::Announcing(work, _) if work.job == job => {
                let what = work.what;
                self.actions.push_back(Action::Install { what });
            }
            Step::Closing { job: closing, .. } if closing == job => self.ask(now),
            _ => {}
        }
    }

    fn not_updated(&mut self, job: &str, payload: &[u8], now: u64) {
        let current = match &mut self.step {
            Step::Fetching(fetching) => {
                fetching.unanswered = false;
                &fetching.work.job
            }
            Step::Announcing(work, _) | Step::Checking(work) => &work.job,
            Step::Closing { job, .. } => job,
            _ => return,
        };
        // Cancelled, timed out, or another version: what the server knows of it is asked anew.
        // What else is wrong (too many at once) may be right when the time is up.
        if current == job && job::is_over(payload) {
            self.ask(now);
        }
    }

    /// The update that is on trial has proved itself, and the boot record says so.
    pub fn proved(&mut self, now: u64) {
        if let Some(installed) = &mut self.installed {
            installed.outcome = Outcome::Good;
        }
        if let Step::Proving { job, version } = core::mem::replace(&mut self.step, Step::Idle) {
            self.close(&job, version, Status::Succeeded, "100", &"", now);
        } else {
            self.ask(now);
        }
    }

    /// Whether an update is being fetched: how many per cent are there.
    #[must_use]
    pub fn percent(&self) -> Option<u32> {
        match &self.step {
            Step::Fetching(fetching) => Some(fetching.missing.percent()),
            _ => None,
        }
    }

    fn close_fetching(&mut self, status: Status, reason: &dyn fmt::Display, now: u64) {
        let step = core::mem::replace(&mut self.step, Step::Idle);
        let Step::Fetching(Fetching { work, unanswered, .. }) = step else {
            self.step = step;
            return;
        };
        let version = work.version + u32::from(unanswered);
        self.close(&work.job, version, status, "stopped", reason, now);
    }

    /// Says the last word about a job.
    fn close(
        &mut self,
        job: &str,
        version: u32,
        status: Status,
        state: &str,
        reason: &dyn fmt::Display,
        now: u64,
    ) {
        let reason = reason.to_string();
        let reason = (!reason.is_empty()).then_some(reason.as_str());
        let payload = job::report(status, version, state, reason);
        let topic = self.jobs().update(job);
        self.publish(topic, &payload);
        self.step = Step::Closing { job: job.to_string(), said: Said { payload, since: now } };
    }
}

/// The flash reported an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashError;

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the flash does not take what is written")
    }
}

impl core::error::Error for FlashError {}
