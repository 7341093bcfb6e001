//! What the device does, message by message.
//!
//! The one who owns it carries out what [`Machine::poll`] and [`Machine::message`] hand out, and tells
//! how that went. It knows no network and no flash; the clock is an argument, in milliseconds.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use identity::crc32;

use crate::install::{IN_USE, UNREADABLE};
use crate::job::{self, Document, Execution, Kind, Standing, Status};
use crate::progress::{Fetch, Missing};
use crate::stream::{self, Block, Request};

/// Blocks that the first request of a connection asks for, and how many times as many the next does when
/// all of them came. Where AWS puts them into one TLS record, all but one are lost ([`Machine::look`]).
const FIRST_WINDOW: u32 = 2;
const GROWTH: u32 = 4;

/// Milliseconds after which a question to the jobs service is asked again; for a job twice as long each
/// time, up to the second.
const ANSWER_MS: u32 = 10_000;
const MOST_ANSWER_MS: u32 = 3_600_000;
/// The least time without a job after which one is asked for: that one is next may be told in vain.
const IDLE_MS: u32 = 6 * 3_600_000;
/// What is worth staying awake for.
const SHORT_MS: u32 = 60_000;
/// The same for blocks; it doubles with each silence, up to the second.
const BLOCKS_MS: u32 = 4_000;
const MOST_BLOCKS_MS: u32 = 64_000;
/// Silences in a row after which the stream counts as ended: 9 minutes.
const SILENCES: u32 = 12;
/// Files that are begun one after the other, whichever jobs bring them; then one an hour, the least time
/// in which one more may be. Each erases the sector of progress: the flash takes 100,000 times.
const BEGINS: u32 = 16;
const BEGIN_MS: u32 = 3_600_000;
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
    /// What the file is.
    pub kind: Kind,
    /// Where in the other slot the file lies: an image at its beginning, an identity at its end,
    /// from where it goes to its place once it was found good.
    pub base: u32,
    /// The version of the job that the next report expects.
    version: u32,
    stream: String,
    file: u32,
}

impl Work {
    /// Of a job of which nothing more is known yet.
    const fn of(job: String, version: u32) -> Self {
        let stream = String::new();
        let (what, size, file, base, signature) = (0, 0, 0, 0, [0; 64]);
        let (kind, allow_downgrade) = (Kind::Firmware, false);
        Self { job, what, size, signature, allow_downgrade, kind, base, version, stream, file }
    }
}

/// What is to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Subscribe to a topic, at QoS 0.
    Subscribe(String),
    /// Publish at QoS 0: what has no answer is published again.
    Publish {
        /// The topic.
        topic: String,
        /// The message.
        payload: Vec<u8>,
    },
    /// Find what is there of an image ([`Missing::resume`]), or prepare the sector of progress for
    /// all of it; then [`Machine::begun`].
    Begin(Fetch),
    /// Check the file in the other slot, of [`Machine::work`], against signature, board and version;
    /// then [`Machine::checked`]. Who finds it bad erases the sector of progress, or the next job with
    /// this file would go on with it.
    Check,
    /// Carry this sector of the running image into the other slot, for which there is a new identity;
    /// then [`Machine::carried`].
    Carry {
        /// Counted from the beginning of the slot.
        sector: u32,
    },
    /// Give the other slot its identity, write the boot record, both for [`Machine::work`], and
    /// restart, or else [`Machine::not_installed`]; or [`Machine::not_yet`].
    Install,
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

/// Behind `$aws/things/<thing>/`: what is subscribed to. The same for every job and stream, so a
/// session that the server keeps holds no more of them after many updates than after one.
const FILTERS: [&str; 5] = [
    "jobs/notify-next",
    "jobs/start-next/+",
    // Answers to `jobs/<job>/update` and `jobs/$next/get`.
    "jobs/+/+/+",
    "streams/+/data/cbor",
    "streams/+/rejected/cbor",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Offline,
    /// start-next was published, or `$next/get`.
    Asking,
    /// There is no job.
    Idle,
    /// [`Action::Begin`] is being carried out.
    Beginning,
    Fetching,
    /// [`Action::Check`] is being carried out.
    Checking,
    /// [`Action::Carry`] is, sector by sector.
    Carrying,
    /// The image is good; the server is told so, and may still say that the job was cancelled.
    Announcing,
    /// The last word about a job was said.
    Closing,
    /// The update of this job runs and has to prove itself.
    Proving,
}

/// What is to be handed out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// start-next.
    Ask,
    /// `$next/get`.
    Name,
    /// [`Machine::said`], on the job's topic.
    Say,
    /// A request for blocks.
    Request,
    Begin,
    Check,
    Carry {
        sector: u32,
    },
    Install,
}

/// The device's side of updates.
#[derive(Debug)]
pub struct Machine {
    thing: String,
    limits: Limits,
    installed: Option<Installed>,
    step: Step,
    due: Due,
    /// How many of [`FILTERS`] were handed out.
    subscribed: usize,
    /// When the step, the last question or the last block was.
    since: u32,
    /// The job that the step is about.
    work: Work,
    /// The report of it that was said last.
    said: Vec<u8>,
    missing: Missing,
    /// Blocks that were asked for and have not come.
    open: u32,
    /// How many were asked for, how many are asked for next, and at most on this connection.
    asked: u32,
    window: u32,
    most: u32,
    silences: u32,
    /// The word of a refusal that may pass, since the last block.
    refusal: String,
    /// Per cent that were reported last.
    reported: u32,
    /// A report of progress has no answer yet.
    unanswered: bool,
    /// A job was told of since start-next was published, whose answer may not know it.
    told: bool,
    /// `$next/get` has named [`Machine::work`]'s job, whose document start-next brings in vain.
    named: bool,
    /// What may be asked of `$next/get`.
    naming: Naming,
    /// Milliseconds until a job is asked for when none was told of.
    idle: u32,
    done: Done,
}

/// What was done lately: kept over connections ([`Machine::done`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// CRC-32 of the id of the job that was ended last.
    job: u32,
    /// How often in a row.
    rounds: u32,
    since: u32,
    /// The file that is under way ([`Work::what`]), or 0.
    begun: u32,
    /// Files that were begun, less one for each hour since.
    begins: u32,
    begins_since: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Allowed,
    /// It was asked, and has not answered.
    Asked,
    Forbidden,
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
            due: Due::Nothing,
            subscribed: FILTERS.len(),
            since: 0,
            work: Work::of(String::new(), 0),
            said: Vec::new(),
            missing: Missing::default(),
            open: 0,
            asked: 0,
            window: limits.window.min(FIRST_WINDOW),
            most: limits.window,
            silences: 0,
            refusal: String::new(),
            reported: 0,
            unanswered: false,
            told: false,
            named: false,
            naming: Naming::Allowed,
            idle: 0,
            done: Done::default(),
        }
    }

    /// Comes after another machine, which was done with this.
    pub fn comes_after(&mut self, done: Done) {
        self.done = done;
    }

    /// What it was done with last.
    #[must_use]
    pub fn done(&self) -> Done {
        self.done
    }

    /// The connection is there: whether the session is old or new, everything is asked anew.
    pub fn connected(&mut self, now: u64) {
        self.subscribed = 0;
        self.ask(now as u32);
    }

    /// The connection is lost. What was fetched stays in flash, as after a reset.
    pub fn offline(&mut self) {
        self.step = Step::Offline;
        self.due = Due::Nothing;
        self.subscribed = FILTERS.len();
    }

    /// `$next/get` is not asked: the server may have closed a connection because of it.
    pub fn forbid_naming(&mut self) {
        self.naming = Naming::Forbidden;
    }

    /// Whether `$next/get` was asked and has not answered, or is not asked.
    #[must_use]
    pub fn is_naming_in_vain(&self) -> bool {
        self.naming != Naming::Allowed
    }

    /// A message was too large for the device, or means nothing to it: perhaps the job that was asked
    /// for, or that there is one.
    pub fn missed(&mut self, now: u64) {
        match self.step {
            Step::Idle => self.ask(now as u32),
            Step::Asking if self.naming == Naming::Allowed => {
                self.since = now as u32;
                self.due = Due::Name;
            }
            _ => {}
        }
    }

    /// Whether the jobs service knows of an update that did not prove itself.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.installed.is_none()
    }

    /// The update that is being done.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    fn ask(&mut self, now: u32) {
        self.step = Step::Asking;
        self.due = Due::Ask;
        self.since = now;
        self.told = false;
        self.silences = 0;
        self.named = false;
    }

    /// `$aws/things/<thing>/` and these parts.
    fn topic(&self, parts: [&str; 3]) -> String {
        let mut topic = String::with_capacity(128);
        for part in ["$aws/things/", &self.thing, "/"].into_iter().chain(parts) {
            topic.push_str(part);
        }
        topic
    }

    /// The next thing to do. Called until there is none, after each event and now and then.
    #[inline(never)]
    pub fn poll(&mut self, now: u64) -> Option<Action> {
        if let Some(filter) = self.next_filter() {
            return Some(Action::Subscribe(filter));
        }
        if self.due == Due::Nothing {
            self.look(now as u32);
        }
        let due = core::mem::replace(&mut self.due, Due::Nothing);
        let payload = match due {
            Due::Nothing => return None,
            Due::Begin => return Some(Action::Begin(self.fetch())),
            Due::Check => return Some(Action::Check),
            Due::Carry { sector } => return Some(Action::Carry { sector }),
            Due::Install => return Some(Action::Install),
            Due::Ask => b"{}".to_vec(),
            Due::Name => {
                self.naming = Naming::Asked;
                br#"{"includeJobDocument":false}"#.to_vec()
            }
            Due::Say => {
                self.unanswered |= self.step == Step::Fetching;
                self.said.clone()
            }
            Due::Request => self.request(now as u32)?,
        };
        let topic = self.topic(match due {
            Due::Say => ["jobs/", &self.work.job, "/update"],
            Due::Request => ["streams/", &self.work.stream, "/get/cbor"],
            Due::Name => ["jobs/$next/get", "", ""],
            _ => ["jobs/start-next", "", ""],
        });
        Some(Action::Publish { topic, payload })
    }

    /// The next of the filters to subscribe to, which [`Machine::poll`] hands out before anything
    /// else: for whoever subscribes to all of them first.
    pub fn next_filter(&mut self) -> Option<String> {
        let filter = FILTERS.get(self.subscribed)?;
        self.subscribed += 1;
        Some(self.topic([filter, "", ""]))
    }

    /// How the topics of all streams begin.
    #[must_use]
    pub fn streams(&self) -> String {
        self.topic(["streams/", "", ""])
    }

    fn fetch(&self) -> Fetch {
        let Work { size, what, .. } = self.work;
        Fetch { size, block_size: self.limits.block_size, what }
    }

    /// What time alone asks for.
    fn look(&mut self, now: u32) {
        let passed = now.wrapping_sub(self.since);
        match self.step {
            Step::Idle if passed >= self.idle => self.ask(now),
            Step::Asking if passed >= (ANSWER_MS << self.silences.min(9)).min(MOST_ANSWER_MS) => {
                self.since = now;
                self.silences += 1;
                self.due = Due::Ask;
                // The connection is there: it was an answer that was lost.
                if self.naming == Naming::Asked {
                    self.naming = Naming::Allowed;
                }
            }
            Step::Announcing | Step::Closing if passed >= ANSWER_MS => {
                self.since = now;
                self.due = Due::Say;
            }
            Step::Fetching => {
                let patience = (BLOCKS_MS << self.silences).min(MOST_BLOCKS_MS);
                if self.open > 0 {
                    if passed < patience {
                        return;
                    }
                    // Some have come and others not: AWS puts several into one TLS record, and those that
                    // memory has no room for are lost.
                    if self.open < self.asked {
                        self.most = self.asked - self.open;
                        self.window = self.most;
                    }
                    self.silences += 1;
                    if self.silences > SILENCES {
                        let refusal = core::mem::take(&mut self.refusal);
                        let reason = match &*refusal {
                            "" => ["the stream brings no more blocks", ""],
                            code => [REFUSED, code],
                        };
                        return self.close(Status::Failed, "stopped", reason, now);
                    }
                } else if self.asked > 0 {
                    self.window = (GROWTH * self.window).min(self.most);
                }
                self.due = Due::Request;
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn request(&mut self, now: u32) -> Option<Vec<u8>> {
        let (first, bitmap) = self.missing.wanted(self.window)?;
        self.open = bitmap.count_ones();
        self.asked = self.open;
        self.since = now;
        let request = Request {
            file: self.work.file,
            block_size: self.limits.block_size,
            first,
            bitmap: &bitmap.to_le_bytes(),
            most: self.open,
        };
        Some(request.to_cbor())
    }

    /// Whether messages on this topic are for updates: those about the thing's jobs and streams. What
    /// else is below its `$aws/things/…`, such as its shadow, is the application's.
    #[must_use]
    pub fn is_for_updates(&self, topic: &str) -> bool {
        self.below_thing(topic)
            .is_some_and(|path| path.starts_with("/jobs/") || path.starts_with("/streams/"))
    }

    /// What of a topic comes behind `$aws/things/<thing>`.
    fn below_thing<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix("$aws/things/")?.strip_prefix(&*self.thing)
    }

    /// A message came. A block of it is to be stored.
    #[inline(never)]
    pub fn message<'m>(&mut self, topic: &str, payload: &'m [u8], now: u64) -> Option<Store<'m>> {
        let now = now as u32;
        let topic = self.below_thing(topic)?;
        if let Some(topic) = topic.strip_prefix("/streams/") {
            if self.step == Step::Fetching {
                match topic.strip_prefix(&*self.work.stream)? {
                    "/data/cbor" => return self.block(Block::read(payload)?, now),
                    "/rejected/cbor" => self.refused(payload, now),
                    _ => {}
                }
            }
            return None;
        }
        match topic.strip_prefix("/jobs/")? {
            "notify-next" => self.next(payload, now),
            "start-next/accepted" if self.step == Step::Asking => self.started(payload, now),
            "$next/get/accepted" => {
                self.naming = Naming::Allowed;
                if self.step == Step::Asking {
                    self.named(payload, now);
                }
            }
            topic => match topic.strip_prefix(&*self.work.job)? {
                "/update/accepted" => self.updated(now),
                "/update/rejected" => self.not_updated(payload, now),
                _ => {}
            },
        }
        None
    }

    fn refused(&mut self, payload: &[u8], now: u32) {
        let code = stream::refusal(payload).unwrap_or("for no reason");
        if stream::is_final(code) {
            return self.close(Status::Failed, "stopped", [REFUSED, code], now);
        }
        // As if nothing had come: it is asked again, a few times.
        self.refusal = code.to_string();
    }

    /// Another job is next, or none.
    fn next(&mut self, payload: &[u8], now: u32) {
        let Ok(next) = Execution::read(payload) else { return self.missed(now.into()) };
        let current = match self.step {
            Step::Offline => return,
            // Whoever was silent speaks again.
            Step::Asking if self.silences > 0 => None,
            Step::Asking => return self.told |= next.is_some(),
            // It may come before the answer to the last word, after which a job is asked for.
            Step::Closing => return,
            Step::Idle => None,
            _ => Some(&*self.work.job),
        };
        if next.map(|next| next.job) != current {
            self.ask(now);
        }
    }

    /// The answer to start-next: a job, or none.
    fn started(&mut self, payload: &[u8], now: u32) {
        let Ok(execution) = Execution::read(payload) else { return self.missed(now.into()) };
        let Some(Execution { job, version, document }) = execution else {
            return self.no_job(now);
        };
        if self.waits(job, now) {
            return;
        }
        self.work = Work::of(job.to_string(), version);
        self.unanswered = false;
        let document = match document {
            Ok(document) => document,
            Err(reason) => return self.close(Status::Rejected, "refused", [reason, ""], now),
        };
        let Document { stream, signature, .. } = document;
        let what = crc32(&[job.as_bytes(), stream.as_bytes(), &signature]);
        self.work.what = what;
        match self.installed.take() {
            Some(Installed { what: installed, outcome }) => {
                match &outcome {
                    Outcome::Trial if installed == what => self.step = Step::Proving,
                    // The slot that it would go to has the firmware that comes back if this one is
                    // bad.
                    Outcome::Trial => self.rest(now),
                    _ if installed != what => self.begin(&document, now),
                    Outcome::Good => self.close(Status::Succeeded, "100", ["", ""], now),
                    Outcome::Failed(reason) => {
                        self.close(Status::Failed, "rolled back", [reason, ""], now);
                    }
                }
                self.installed = Some(Installed { what: installed, outcome });
            }
            None => self.begin(&document, now),
        }
    }

    fn no_job(&mut self, now: u32) {
        if self.told {
            return self.ask(now);
        }
        self.done.rounds = 0;
        self.rest(now);
    }

    /// Nothing is to be done. The things of a fleet do not ask all at once.
    fn rest(&mut self, now: u32) {
        self.idle(IDLE_MS + crc32(&[self.thing.as_bytes()]) % IDLE_MS, now);
    }

    fn idle(&mut self, ms: u32, now: u32) {
        self.since = now;
        self.idle = ms;
        self.step = Step::Idle;
    }

    /// Done with the job, one way or the other.
    #[inline(never)]
    fn end(&mut self, now: u32) {
        let job = crc32(&[self.work.job.as_bytes()]);
        let rounds = if self.done.job == job { self.done.rounds + 1 } else { 1 };
        self.done = Done { job, rounds, since: now, begun: 0, ..self.done };
    }

    /// How long a file that is not under way has to wait; none is counted then.
    fn wait_for_begin(&mut self, now: u32) -> Option<u32> {
        let Done { begun, begins, begins_since, .. } = &mut self.done;
        if *begun == self.work.what {
            return None;
        }
        let passed = now.wrapping_sub(*begins_since);
        let hours = passed / BEGIN_MS;
        *begins = begins.saturating_sub(hours);
        *begins_since = begins_since.wrapping_add(hours * BEGIN_MS);
        if *begins == 0 {
            *begins_since = now;
        } else if *begins >= BEGINS {
            return Some(BEGIN_MS - passed % BEGIN_MS);
        }
        *begins += 1;
        *begun = self.work.what;
        None
    }

    /// Whether this job, of which the server told once more, has to wait, each time longer: what an
    /// attempt erases does not last for ever.
    #[inline(never)]
    fn waits(&mut self, job: &str, now: u32) -> bool {
        let Done { job: done, rounds, since, .. } = self.done;
        if rounds == 0 || done != crc32(&[job.as_bytes()]) {
            return false;
        }
        let pause = (ANSWER_MS << (rounds - 1).min(9)).min(MOST_ANSWER_MS);
        let passed = now.wrapping_sub(since);
        if passed < pause {
            self.idle(pause - passed, now);
        }
        passed < pause
    }

    /// The answer to `$next/get`: which job is next, without its document. When start-next brings that
    /// in vain once more, the device cannot take it in.
    fn named(&mut self, payload: &[u8], now: u32) {
        let Ok(execution) = Execution::read(payload) else { return };
        let Some(Execution { job, version, .. }) = execution else { return self.no_job(now) };
        if self.waits(job, now) {
            return;
        }
        let again = self.named && job == self.work.job;
        self.work = Work::of(job.to_string(), version);
        self.unanswered = false;
        if again {
            const REASON: &str = "its document is too large for this device, or cannot be read";
            return self.close(Status::Rejected, "refused", [REASON, ""], now);
        }
        self.ask(now);
        self.named = true;
    }

    fn begin(&mut self, document: &Document<'_>, now: u32) {
        let Document { stream, file, size, signature, allow_downgrade, kind } = *document;
        let slot = self.limits.slot_size;
        let (base, most, reason) = match kind {
            Kind::Firmware => (0, slot, "the image does not fit the slot"),
            Kind::Identity => {
                const MOST: u32 = identity::COPY_SIZE as u32;
                ((slot - MOST) / SECTOR * SECTOR, MOST, "the identity is larger than its place")
            }
        };
        if size == 0 || size > most {
            return self.close(Status::Rejected, "refused", [reason, ""], now);
        }
        if let Some(pause) = self.wait_for_begin(now) {
            return self.idle(pause, now);
        }
        self.work.stream = stream.to_string();
        self.work.file = file;
        self.work.size = size;
        self.work.signature = signature;
        self.work.allow_downgrade = allow_downgrade;
        self.work.kind = kind;
        self.work.base = base;
        self.step = Step::Beginning;
        self.due = Due::Begin;
    }

    /// [`Action::Begin`] was carried out: what is missing.
    ///
    /// # Errors
    /// Takes that of the flash.
    pub fn begun(&mut self, missing: Result<Missing, FlashError>, now: u64) {
        if self.step != Step::Beginning {
            return;
        }
        match missing {
            Ok(missing) => {
                self.step = Step::Fetching;
                self.reported = missing.percent();
                self.missing = missing;
                (self.open, self.asked) = (0, 0);
                self.silences = 0;
                self.refusal.clear();
                self.next_after_block();
            }
            Err(error) => self.flash_failed(error, now),
        }
    }

    fn block<'m>(&mut self, block: Block<'m>, now: u32) -> Option<Store<'m>> {
        let fetch = self.missing.fetch();
        let Block { file, number, content, .. } = block;
        let fits = file == self.work.file
            && number < fetch.blocks()
            && content.len() == fetch.length(number) as usize;
        // Twice, another's, or of another length: as if it had not come.
        if !fits || !self.missing.is_missing(number) {
            return None;
        }
        self.since = now;
        self.silences = 0;
        self.refusal.clear();
        self.open = self.open.saturating_sub(1);
        let offset = number * fetch.block_size;
        // As long as no block of a sector is there, nothing is lost by erasing it, and what a
        // power cut left of the last attempt is gone.
        let first = offset / SECTOR * SECTOR / fetch.block_size;
        let last = (first + SECTOR / fetch.block_size).min(fetch.blocks());
        let fresh = (first..last).all(|block| self.missing.is_missing(block));
        let mark = self.missing.written(number)?;
        let offset = self.work.base + offset;
        Some(Store { erase: fresh.then_some(offset / SECTOR * SECTOR), offset, content, mark })
    }

    /// A block was stored, or the flash failed.
    ///
    /// # Errors
    /// Takes that of the flash.
    pub fn stored(&mut self, result: Result<(), FlashError>, now: u64) {
        match result {
            Ok(()) if self.step == Step::Fetching => self.next_after_block(),
            Ok(()) => {}
            Err(error) => self.flash_failed(error, now),
        }
    }

    fn next_after_block(&mut self) {
        let percent = self.missing.percent();
        if self.missing.left() == 0 {
            self.step = Step::Checking;
            self.due = Due::Check;
        } else if percent / STEP > self.reported / STEP && !self.unanswered {
            self.reported = percent;
            let state = (percent / STEP * STEP).to_string();
            self.said = job::report(Status::InProgress, self.work.version, &state, ["", ""]);
            self.due = Due::Say;
        }
    }

    /// [`Action::Check`] was carried out: the file is to be installed, or not, and why.
    pub fn checked(&mut self, result: Result<(), &str>, now: u64) {
        if self.step != Step::Checking {
            return;
        }
        match result {
            Ok(()) if self.work.kind == Kind::Identity => {
                self.step = Step::Carrying;
                self.due = Due::Carry { sector: 0 };
            }
            Ok(()) => self.announce(now as u32),
            Err(reason) => {
                let (status, state) = match reason {
                    IN_USE => (Status::Succeeded, "100"),
                    // What has FAILED, AWS tries again if the job says so.
                    UNREADABLE => (Status::Failed, "refused"),
                    _ => (Status::Rejected, "refused"),
                };
                self.close(status, state, [reason, ""], now as u32);
            }
        }
    }

    /// [`Action::Carry`] was carried out: the sector that is next, if there is one.
    ///
    /// # Errors
    /// Takes that of the flash.
    pub fn carried(&mut self, next: Result<Option<u32>, FlashError>, now: u64) {
        if self.step != Step::Carrying {
            return;
        }
        match next {
            Ok(Some(sector)) => self.due = Due::Carry { sector },
            Ok(None) => self.announce(now as u32),
            Err(error) => self.flash_failed(error, now),
        }
    }

    fn announce(&mut self, now: u32) {
        self.say(Status::InProgress, "restarting", ["", ""], now);
        self.step = Step::Announcing;
    }

    fn updated(&mut self, now: u32) {
        // Answers come in the order of what they answer.
        if core::mem::take(&mut self.unanswered) {
            self.work.version += 1;
            return;
        }
        match self.step {
            Step::Announcing => self.due = Due::Install,
            Step::Closing => self.told_the_end(now),
            _ => {}
        }
    }

    /// The server knows how the job ended. Should the same one come once more, it is to be done.
    fn told_the_end(&mut self, now: u32) {
        self.installed.take_if(|last| {
            last.what == self.work.what && matches!(last.outcome, Outcome::Failed(_))
        });
        self.ask(now);
    }

    fn not_updated(&mut self, payload: &[u8], now: u32) {
        self.unanswered = false;
        let about = matches!(
            self.step,
            Step::Fetching | Step::Checking | Step::Carrying | Step::Announcing | Step::Closing
        );
        // Cancelled, timed out, or another version: what the server knows of it is asked anew.
        // What else is wrong (too many at once) may be right when the time is up.
        match job::standing(payload) {
            Standing::Same => {}
            _ if !about => {}
            // Said before, and it was the answer that was lost; or somebody else has ended the job.
            Standing::Over if self.step == Step::Closing => self.told_the_end(now),
            _ => {
                if self.step != Step::Closing {
                    self.end(now);
                }
                self.ask(now);
            }
        }
    }

    /// The update that is on trial has proved itself, and the boot record says so.
    pub fn proved(&mut self, now: u64) {
        if let Some(installed) = &mut self.installed {
            installed.outcome = Outcome::Good;
        }
        if self.step == Step::Proving {
            self.close(Status::Succeeded, "100", ["", ""], now as u32);
        } else {
            self.ask(now as u32);
        }
    }

    /// The report that was handed out last was not published.
    pub fn not_said(&mut self) {
        // The next block says it; what else is said has no answer, and is said again.
        if self.step == Step::Fetching {
            self.unanswered = false;
            self.reported = 0;
        }
    }

    /// [`Action::Install`] has to wait: it is handed out again, unless the job is over meanwhile.
    pub fn not_yet(&mut self) {
        if self.step == Step::Announcing {
            self.due = Due::Install;
        }
    }

    /// [`Action::Install`] was tried in vain: the boot record is not there.
    pub fn not_installed(&mut self, now: u64) {
        // The announcement was taken.
        self.work.version += 1;
        self.flash_failed(FlashError, now);
    }

    /// Whether the jobs service has answered on this connection.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !matches!(self.step, Step::Offline | Step::Asking)
    }

    /// Whether there is a job, or an answer that may bring one: who sleeps stays awake for it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self.step {
            Step::Offline => false,
            // For a job that was done in vain and is there again: asleep nobody remembers it.
            Step::Idle => self.idle <= SHORT_MS,
            _ => true,
        }
    }

    /// Whether an update is being fetched: how many per cent are there.
    #[must_use]
    pub fn percent(&self) -> Option<u32> {
        (self.step == Step::Fetching).then(|| self.missing.percent())
    }

    fn flash_failed(&mut self, FlashError: FlashError, now: u64) {
        self.close(Status::Failed, "stopped", [FLASH_ERROR, ""], now as u32);
    }

    /// Says the last word about the job.
    fn close(&mut self, status: Status, state: &str, reason: [&str; 2], now: u32) {
        self.end(now);
        self.say(status, state, reason, now);
        self.step = Step::Closing;
    }

    /// Says what wants an answer.
    fn say(&mut self, status: Status, state: &str, reason: [&str; 2], now: u32) {
        // A report that is on its way counts: what follows expects the version after it.
        let version = self.work.version + u32::from(self.unanswered);
        self.said = job::report(status, version, state, reason);
        self.since = now;
        self.due = Due::Say;
    }
}

const REFUSED: &str = "the stream was refused: ";
const FLASH_ERROR: &str = "the flash does not take what is written";

/// The flash reported an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashError;

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FLASH_ERROR)
    }
}

impl core::error::Error for FlashError {}
