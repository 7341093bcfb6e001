//! AWS IoT Jobs: what was ordered, for which things, and how far each is. Pure: the clock is an
//! argument, in milliseconds since 1970, and what is to be published is handed out.
//!
//! After "Jobs device MQTT API", "Jobs" and "Job configurations" of the AWS IoT developer guide.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Outgoing, Refusal};

/// Milliseconds of a minute, in which time-outs are given.
const MINUTE: u64 = 60_000;
/// Longest time-out: seven days.
const MOST_MINUTES: i64 = 10_080;
/// Most pairs of status details, and their lengths.
const MOST_DETAILS: usize = 10;
const MOST_KEY: usize = 128;
const MOST_VALUE: usize = 1024;
/// Most bytes of a client token.
const MOST_TOKEN: usize = 64;

/// How a job is for one thing; shown as AWS's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The thing was told.
    #[default]
    Queued,
    /// The thing has begun.
    InProgress,
    /// Done.
    Succeeded,
    /// Tried in vain.
    Failed,
    /// Refused by the thing.
    Rejected,
    /// It took too long.
    TimedOut,
    /// Called off.
    Canceled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Status {
    /// Whether nothing changes it any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// How a job is as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Not all things have ended.
    #[default]
    InProgress,
    /// All have.
    Completed,
    /// Called off, by a person or by its own criteria.
    Canceled,
}

/// When a job calls itself off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AbortCriterion {
    /// `FAILED`, `REJECTED`, `TIMED_OUT` or `ALL`.
    pub failure_type: String,
    /// `CANCEL`.
    pub action: String,
    /// So many per cent of the things that were told must have failed so.
    pub threshold_percentage: u32,
    /// So many things must have been told.
    pub min_number_of_executed_things: usize,
}

impl AbortCriterion {
    /// Whether an end with this status is a failure of the kind.
    fn counts(&self, status: Status) -> bool {
        match self.failure_type.as_str() {
            "ALL" => matches!(status, Status::Failed | Status::Rejected | Status::TimedOut),
            word => word == status.to_string() && status != Status::Succeeded,
        }
    }
}

/// What is ordered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Order {
    /// The job's id.
    pub id: String,
    /// The things. A job has them among those that were told, or wait for that.
    #[serde(skip)]
    pub things: Vec<String>,
    /// The job document.
    pub document: Value,
    /// In words.
    pub description: Option<String>,
    /// Most things that are told in a minute.
    pub per_minute: Option<u32>,
    /// When the job calls itself off.
    pub abort: Vec<AbortCriterion>,
    /// Minutes that a thing has once it has begun.
    pub timeout_minutes: Option<u32>,
}

/// A job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Job {
    /// What was ordered.
    #[serde(flatten)]
    pub order: Order,
    /// How it is.
    pub status: JobStatus,
    /// Why it was called off, and the code of that.
    pub comment: Option<String>,
    /// See [`Job::comment`].
    pub reason_code: Option<String>,
    /// When it was ordered.
    pub created_at: u64,
    /// When its status changed last.
    pub updated_at: u64,
    /// Things that have not been told yet.
    waiting: VecDeque<String>,
    /// When the next thing may be told.
    next_at: u64,
    /// By thing.
    executions: BTreeMap<String, Execution>,
    /// Jobs are done in the order of their making.
    #[serde(rename = "order")]
    turn: u64,
}

impl Job {
    /// How it goes at each thing that was told.
    pub fn executions(&self) -> impl Iterator<Item = (&str, &Execution)> {
        self.executions.iter().map(|(thing, execution)| (thing.as_str(), execution))
    }

    /// How it goes at this thing.
    #[must_use]
    pub fn execution(&self, thing: &str) -> Option<&Execution> {
        self.executions.get(thing)
    }

    /// How many things are so.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.executions.values().filter(|execution| execution.status == status).count()
    }

    /// Things that were not told yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn settle(&mut self, now: u64) {
        if self.status != JobStatus::InProgress {
            return;
        }
        let told = self.executions.len();
        let criterion = self.order.abort.iter().find(|criterion| {
            let failed =
                self.executions.values().filter(|execution| criterion.counts(execution.status));
            let failed = failed.count();
            failed > 0
                && told >= criterion.min_number_of_executed_things
                && 100 * failed >= criterion.threshold_percentage as usize * told
        });
        if criterion.is_some() {
            self.reason_code = Some("ABORT_CRITERIA_MET".to_owned());
            self.cancel(false, now);
            return;
        }
        let over = self.executions.values().all(|execution| execution.status.is_terminal());
        if over && self.waiting.is_empty() {
            self.status = JobStatus::Completed;
            self.updated_at = now;
        }
    }

    fn cancel(&mut self, force: bool, now: u64) {
        self.status = JobStatus::Canceled;
        self.updated_at = now;
        self.waiting.clear();
        for execution in self.executions.values_mut() {
            if execution.status == Status::Queued || force && execution.status == Status::InProgress
            {
                execution.end(Status::Canceled, now);
            }
        }
    }
}

/// A job at one thing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Execution {
    /// How it is.
    pub status: Status,
    /// What the thing says of it.
    pub details: BTreeMap<String, String>,
    /// Grows with each update.
    pub version: u64,
    /// Which of the thing's executions it is.
    pub number: u64,
    /// When the thing was told.
    pub queued_at: u64,
    /// When it began.
    pub started_at: Option<u64>,
    /// When something was heard of it last.
    pub updated_at: u64,
    /// When it counts as timed out: by the job's time-out, and by the step's, which the thing sets.
    deadline: Option<u64>,
    step_deadline: Option<u64>,
}

impl Execution {
    fn end(&mut self, status: Status, now: u64) {
        self.status = status;
        self.version += 1;
        self.updated_at = now;
        (self.deadline, self.step_deadline) = (None, None);
    }

    /// Begins, unless it has begun, and counts an update.
    fn go_on(&mut self, timeout_minutes: Option<u32>, now: u64) {
        if self.status == Status::Queued {
            self.status = Status::InProgress;
            self.started_at = Some(now);
            self.deadline = timeout_minutes.map(|minutes| now + MINUTE * u64::from(minutes));
        }
        self.version += 1;
        self.updated_at = now;
    }

    /// The time-out of a step, as [`step_timeout`] reads it.
    fn set_step(&mut self, minutes: Option<i64>, now: u64) {
        if let Some(minutes) = minutes {
            let minutes = u64::try_from(minutes).ok();
            self.step_deadline = minutes.map(|minutes| now + MINUTE * minutes);
        }
    }

    fn state(&self) -> Value {
        json!({
            "status": self.status,
            "statusDetails": self.details,
            "versionNumber": self.version,
        })
    }

    fn summary(&self, job: &str) -> Value {
        let mut summary = json!({
            "jobId": job,
            "queuedAt": self.queued_at / 1000,
            "lastUpdatedAt": self.updated_at / 1000,
            "versionNumber": self.version,
            "executionNumber": self.number,
        });
        if let Some(at) = self.started_at {
            summary["startedAt"] = (at / 1000).into();
        }
        summary
    }
}

/// All jobs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Jobs {
    jobs: BTreeMap<String, Job>,
    /// Of each thing, how many executions it has had.
    numbers: BTreeMap<String, u64>,
    orders: u64,
}

impl Jobs {
    /// A job.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// All jobs.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// Orders a job, whose id must be a new one; its first things are told with the next
    /// [`Jobs::tick`].
    pub fn create(&mut self, mut order: Order, now: u64) {
        self.orders += 1;
        let (turn, waiting) = (self.orders, std::mem::take(&mut order.things).into());
        let (created_at, updated_at, next_at) = (now, now, now);
        let id = order.id.clone();
        let job = Job { order, created_at, updated_at, waiting, next_at, turn, ..Job::default() };
        self.jobs.insert(id, job);
    }

    /// Calls a job off: what was not begun, or with `force` everything.
    pub fn cancel(
        &mut self,
        id: &str,
        force: bool,
        why: (Option<String>, Option<String>),
        now: u64,
    ) -> Vec<Outgoing> {
        self.telling(now, |jobs| {
            if let Some(job) = jobs.jobs.get_mut(id) {
                (job.reason_code, job.comment) = why;
                job.cancel(force, now);
            }
        })
        .1
    }

    /// Forgets a job.
    pub fn delete(&mut self, id: &str, now: u64) -> Vec<Outgoing> {
        self.telling(now, |jobs| jobs.jobs.remove(id)).1
    }

    /// What time brings: further things are told, and what took too long has failed.
    pub fn tick(&mut self, now: u64) -> Vec<Outgoing> {
        let due = self.jobs.values().any(|job| {
            !job.waiting.is_empty() && job.next_at <= now
                || job.executions.values().any(|execution| is_late(execution, now))
        });
        if !due {
            return Vec::new();
        }
        self.telling(now, |jobs| {
            let Jobs { jobs, numbers, .. } = jobs;
            for job in jobs.values_mut() {
                while job.next_at <= now
                    && let Some(thing) = job.waiting.pop_front()
                {
                    let number = numbers.entry(thing.clone()).or_default();
                    *number += 1;
                    let execution = Execution {
                        version: 1,
                        number: *number,
                        queued_at: now,
                        updated_at: now,
                        ..Execution::default()
                    };
                    job.executions.insert(thing, execution);
                    if let Some(per_minute) = job.order.per_minute {
                        job.next_at = now + MINUTE / u64::from(per_minute.max(1));
                    }
                }
                for execution in job.executions.values_mut() {
                    if is_late(execution, now) {
                        execution.end(Status::TimedOut, now);
                    }
                }
                job.settle(now);
            }
        })
        .1
    }

    /// A request of a thing came, on the topic `$aws/things/<thing>/jobs/<path>`: the answer, and
    /// what else is told.
    pub fn message(&mut self, thing: &str, path: &str, payload: &[u8], now: u64) -> Vec<Outgoing> {
        let mut token = None;
        let (result, told) = match read(payload) {
            Err(refusal) => (Err(refusal), Vec::new()),
            Ok(request) => {
                token = request.get("clientToken").cloned();
                self.telling(now, |jobs| jobs.operation(thing, path, &request, now))
            }
        };
        let (answer, mut body) = match result {
            Ok(body) => ("accepted", body),
            Err(Refusal { code, message, state }) => {
                let mut body = json!({ "code": code, "message": message });
                if let Some(state) = state {
                    body["executionState"] = state;
                }
                ("rejected", body)
            }
        };
        body["timestamp"] = (now / 1000).into();
        if let Some(token) = token {
            body["clientToken"] = token;
        }
        let answer = Outgoing::json(&format!("$aws/things/{thing}/jobs/{path}/{answer}"), &body);
        std::iter::once(answer).chain(told).collect()
    }

    fn operation(
        &mut self,
        thing: &str,
        path: &str,
        request: &Value,
        now: u64,
    ) -> Result<Value, Refusal> {
        if let Some(token) = request.get("clientToken")
            && !token.as_str().is_some_and(|token| (1..=MOST_TOKEN).contains(&token.len()))
        {
            return Err(Refusal::invalid("clientToken must be 1 to 64 bytes of text"));
        }
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["get"] => Ok(self.summaries(thing)),
            ["start-next"] => self.start_next(thing, request, now),
            [id, "get"] => self.describe(thing, id, request),
            [id, "update"] => self.update(thing, id, request, now),
            _ => Err(Refusal::new("InvalidTopic", format!("jobs/{path} is no operation"))),
        }
    }

    /// Of a thing, the jobs that have not ended: begun ones first, each in the order of making.
    fn pending<'j>(&'j self, thing: &str) -> Vec<(&'j Job, &'j Execution)> {
        let mut pending: Vec<_> = self
            .jobs
            .values()
            .filter_map(|job| Some((job, job.executions.get(thing)?)))
            .filter(|(_, execution)| !execution.status.is_terminal())
            .collect();
        pending.sort_by_key(|(job, execution)| (execution.status == Status::Queued, job.turn));
        pending
    }

    fn summaries(&self, thing: &str) -> Value {
        let all = self.pending(thing);
        let of = |status: Status| -> Vec<Value> {
            all.iter()
                .filter(|(_, execution)| execution.status == status)
                .map(|(job, execution)| execution.summary(&job.order.id))
                .collect()
        };
        json!({ "inProgressJobs": of(Status::InProgress), "queuedJobs": of(Status::Queued) })
    }

    fn describe(&self, thing: &str, id: &str, request: &Value) -> Result<Value, Refusal> {
        let with_document = !matches!(request.get("includeJobDocument"), Some(Value::Bool(false)));
        let found = match id {
            "$next" => self.pending(thing).first().copied(),
            _ => Some(self.find(thing, id, request)?),
        };
        let Some((job, execution)) = found else { return Ok(json!({ "execution": {} })) };
        if execution.status.is_terminal() {
            return Err(Refusal::new("TerminalStateReached", "the execution has ended"));
        }
        Ok(json!({ "execution": full(job, thing, execution, with_document) }))
    }

    fn find<'j>(
        &'j self,
        thing: &str,
        id: &str,
        request: &Value,
    ) -> Result<(&'j Job, &'j Execution), Refusal> {
        let number = request.get("executionNumber").map(number).transpose()?;
        self.jobs
            .get(id)
            .and_then(|job| Some((job, job.executions.get(thing)?)))
            .filter(|(_, execution)| number.is_none_or(|number| number == execution.number))
            .ok_or_else(|| Refusal::not_found(format!("{thing} has no execution of job {id}")))
    }

    fn start_next(&mut self, thing: &str, request: &Value, now: u64) -> Result<Value, Refusal> {
        let details = details(request)?;
        let step = step_timeout(request)?;
        let Some(id) = self.pending(thing).first().map(|(job, _)| job.order.id.clone()) else {
            return Ok(json!({}));
        };
        let job = self.jobs.get_mut(&id).expect("it is pending");
        let execution = job.executions.get_mut(thing).expect("it is pending");
        if execution.status == Status::Queued {
            execution.go_on(job.order.timeout_minutes, now);
            if let Some(details) = details {
                execution.details = details;
            }
        }
        execution.set_step(step, now);
        let job = &self.jobs[&id];
        Ok(json!({ "execution": full(job, thing, &job.executions[thing], true) }))
    }

    fn update(
        &mut self,
        thing: &str,
        id: &str,
        request: &Value,
        now: u64,
    ) -> Result<Value, Refusal> {
        use Status::{Failed, InProgress, Rejected, Succeeded};
        let Ok(status @ (InProgress | Succeeded | Failed | Rejected)) =
            Status::deserialize(&request["status"])
        else {
            let allowed = "status must be IN_PROGRESS, SUCCEEDED, FAILED or REJECTED";
            return Err(Refusal::invalid(allowed));
        };
        let details = details(request)?;
        let step = step_timeout(request)?;
        let expected = request.get("expectedVersion").map(number).transpose()?;
        let with = |name: &str| request.get(name) == Some(&Value::Bool(true));
        let (_, execution) = self.find(thing, id, request)?;
        let refused = |code, message| {
            Err(Refusal { state: Some(execution.state()), ..Refusal::new(code, message) })
        };
        if execution.status.is_terminal() {
            let message = format!("a job that is {} stays so", execution.status);
            return refused("InvalidStateTransition", message);
        }
        if let Some(expected) = expected
            && expected != execution.version
        {
            let message = format!("the version is {}, not {expected}", execution.version);
            return refused("VersionMismatch", message);
        }
        let job = self.jobs.get_mut(id).expect("it was found");
        let execution = job.executions.get_mut(thing).expect("it was found");
        if let Some(details) = details {
            execution.details = details;
        }
        if status == InProgress {
            execution.go_on(job.order.timeout_minutes, now);
            execution.set_step(step, now);
        } else {
            execution.end(status, now);
        }
        let mut body = json!({});
        if with("includeJobExecutionState") {
            body["executionState"] = execution.state();
        }
        if with("includeJobDocument") {
            body["jobDocument"] = job.order.document.clone();
        }
        job.settle(now);
        Ok(body)
    }

    /// Changes something, and finds what is to be told to whom: that another job is next, that a
    /// thing has more jobs or fewer.
    fn telling<T>(&mut self, now: u64, change: impl FnOnce(&mut Self) -> T) -> (T, Vec<Outgoing>) {
        let before = self.lists();
        let result = change(self);
        let mut told = Vec::new();
        let after = self.lists();
        let nobody = Vec::new();
        let things: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for thing in things {
            let [before, after] =
                [&before, &after].map(|lists| lists.get(thing).unwrap_or(&nobody));
            let timestamp = now / 1000;
            if BTreeSet::from_iter(before) != BTreeSet::from_iter(after) {
                let summaries = self.summaries(thing);
                let mut jobs = json!({});
                for (status, list) in [("IN_PROGRESS", "inProgressJobs"), ("QUEUED", "queuedJobs")]
                {
                    if summaries[list].as_array().is_some_and(|list| !list.is_empty()) {
                        jobs[status] = summaries[list].clone();
                    }
                }
                let body = json!({ "timestamp": timestamp, "jobs": jobs });
                told.push(Outgoing::json(&format!("$aws/things/{thing}/jobs/notify"), &body));
            }
            if before.first() != after.first() {
                let next = self.pending(thing);
                let next = next.first().map(|(job, execution)| full(job, thing, execution, true));
                let body = json!({
                    "timestamp": timestamp,
                    "execution": next.unwrap_or_else(|| json!({})),
                });
                told.push(Outgoing::json(&format!("$aws/things/{thing}/jobs/notify-next"), &body));
            }
        }
        (result, told)
    }

    /// Of each thing with jobs that have not ended, their ids, the next first.
    fn lists(&self) -> BTreeMap<String, Vec<String>> {
        let things = self.jobs.values().flat_map(|job| job.executions.keys());
        things
            .map(|thing| {
                let ids = self.pending(thing).iter().map(|(job, _)| job.order.id.clone()).collect();
                (thing.clone(), ids)
            })
            .collect()
    }
}

fn is_late(execution: &Execution, now: u64) -> bool {
    let late = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
    execution.status == Status::InProgress
        && (late(execution.deadline) || late(execution.step_deadline))
}

/// AWS's JobExecution.
fn full(job: &Job, thing: &str, execution: &Execution, with_document: bool) -> Value {
    let mut value = execution.summary(&job.order.id);
    value["thingName"] = thing.into();
    value["status"] = json!(execution.status);
    if !execution.details.is_empty() {
        value["statusDetails"] = json!(execution.details);
    }
    if with_document {
        value["jobDocument"] = job.order.document.clone();
    }
    value
}

fn read(payload: &[u8]) -> Result<Value, Refusal> {
    match serde_json::from_slice(payload) {
        Ok(request @ Value::Object(_)) => Ok(request),
        _ => Err(Refusal::new("InvalidJson", "the request is no JSON object")),
    }
}

/// AWS takes numbers as text too: its own example of an update has `"expectedVersion": "number"`.
fn number(value: &Value) -> Result<u64, Refusal> {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .ok_or_else(|| Refusal::invalid(format!("{value} is no number")))
}

fn step_timeout(request: &Value) -> Result<Option<i64>, Refusal> {
    let Some(value) = request.get("stepTimeoutInMinutes") else { return Ok(None) };
    match value.as_i64() {
        Some(minutes) if minutes == -1 || (1..=MOST_MINUTES).contains(&minutes) => {
            Ok(Some(minutes))
        }
        _ => Err(Refusal::invalid("stepTimeoutInMinutes must be 1 to 10080, or -1 for none")),
    }
}

fn details(request: &Value) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let Some(value) = request.get("statusDetails") else { return Ok(None) };
    let flaw = |what: &str| Refusal::invalid(format!("statusDetails: {what}"));
    let map = value.as_object().ok_or_else(|| flaw("no object"))?;
    if map.len() > MOST_DETAILS {
        return Err(flaw("more than 10 pairs"));
    }
    let mut details = BTreeMap::new();
    for (key, value) in map {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
        if !(1..=MOST_KEY).contains(&key.len()) || !key.bytes().all(allowed) {
            return Err(flaw(
                "a key is not 1 to 128 letters, digits, colons, underscores, hyphens",
            ));
        }
        let text = value.as_str().ok_or_else(|| flaw("a value is no text"))?;
        let length = text.chars().count();
        if !(1..=MOST_VALUE).contains(&length) || text.chars().any(char::is_control) {
            return Err(flaw("a value is not 1 to 1024 characters without control characters"));
        }
        details.insert(key.clone(), text.to_owned());
    }
    Ok(Some(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some time, in milliseconds since 1970.
    const NOW: u64 = 1_489_088_524_284;

    fn order(id: &str, things: &[&str]) -> Order {
        Order {
            id: id.to_owned(),
            things: things.iter().map(|thing| (*thing).to_owned()).collect(),
            document: json!({ "update": { "stream": "s" } }),
            ..Order::default()
        }
    }

    fn bodies(outgoing: &[Outgoing]) -> Vec<(&str, Value)> {
        outgoing
            .iter()
            .map(|message| {
                let topic = message.topic.strip_prefix("$aws/things/").unwrap();
                (topic, serde_json::from_slice(&message.payload).unwrap())
            })
            .collect()
    }

    /// Says something as a thing; the answer must come on this topic.
    fn say(jobs: &mut Jobs, path: &str, request: &Value, answer: &str) -> Value {
        let outgoing = jobs.message("MyThing", path, request.to_string().as_bytes(), NOW);
        let (topic, body) = bodies(&outgoing).swap_remove(0);
        assert_eq!(topic, format!("MyThing/jobs/{path}/{answer}"), "{body}");
        assert_eq!(body["timestamp"], NOW / 1000);
        body
    }

    #[test]
    fn a_job_is_told_begun_and_done_as_the_guide_has_it() {
        let mut jobs = Jobs::default();
        jobs.create(order("022", &["MyThing"]), NOW);
        let told = jobs.tick(NOW);
        let told = bodies(&told);
        assert_eq!(told[0].0, "MyThing/jobs/notify");
        assert_eq!(told[0].1["jobs"]["QUEUED"][0]["jobId"], "022");
        assert_eq!(told[1].0, "MyThing/jobs/notify-next");
        let next = &told[1].1["execution"];
        assert_eq!((&next["jobId"], &next["status"]), (&"022".into(), &"QUEUED".into()));
        assert_eq!(next["jobDocument"]["update"]["stream"], "s");
        assert!(jobs.tick(NOW).is_empty(), "told once");

        let token = json!({ "clientToken": "client-1" });
        let pending = say(&mut jobs, "get", &token, "accepted");
        assert_eq!(pending["clientToken"], "client-1");
        assert_eq!(pending["queuedJobs"][0]["jobId"], "022");
        assert_eq!(pending["inProgressJobs"], json!([]));

        let details = json!({ "statusDetails": { "state": "begun" }, "clientToken": "client-1" });
        let started = say(&mut jobs, "start-next", &details, "accepted");
        assert_eq!(started["clientToken"], "client-1");
        let execution = &started["execution"];
        assert_eq!(execution["thingName"], "MyThing");
        assert_eq!(execution["status"], "IN_PROGRESS");
        assert_eq!(execution["statusDetails"]["state"], "begun");
        assert_eq!(
            (&execution["versionNumber"], &execution["executionNumber"]),
            (&2.into(), &1.into())
        );
        // Again, as after a reset: nothing changes.
        let details = json!({ "statusDetails": { "state": "anew" } });
        let again = say(&mut jobs, "start-next", &details, "accepted");
        assert_eq!(again["execution"], *execution);

        let update = json!({
            "status": "IN_PROGRESS", "expectedVersion": "2", "statusDetails": { "state": "10" },
            "includeJobExecutionState": true, "includeJobDocument": true,
        });
        let updated = say(&mut jobs, "022/update", &update, "accepted");
        assert_eq!(
            updated["executionState"],
            json!({ "status": "IN_PROGRESS", "statusDetails": { "state": "10" }, "versionNumber": 3 })
        );
        assert_eq!(updated["jobDocument"]["update"]["stream"], "s");
        let described = say(&mut jobs, "$next/get", &json!({}), "accepted");
        assert_eq!(described["execution"]["versionNumber"], 3);
        let without = json!({ "includeJobDocument": false, "executionNumber": 1 });
        let described = say(&mut jobs, "022/get", &without, "accepted");
        assert_eq!(described["execution"].get("jobDocument"), None);

        let done = json!({ "status": "SUCCEEDED", "expectedVersion": 3 });
        let outgoing = jobs.message("MyThing", "022/update", done.to_string().as_bytes(), NOW);
        let told = bodies(&outgoing);
        assert_eq!(told[0].0, "MyThing/jobs/022/update/accepted");
        assert_eq!(told[0].1, json!({ "timestamp": NOW / 1000 }));
        assert_eq!(told[1].1["jobs"], json!({}));
        assert_eq!((told[2].0, &told[2].1["execution"]), ("MyThing/jobs/notify-next", &json!({})));
        assert_eq!(jobs.job("022").unwrap().status, JobStatus::Completed);
        let none = say(&mut jobs, "start-next", &json!({}), "accepted");
        assert_eq!(none.get("execution"), None);
        let refused = say(&mut jobs, "022/get", &json!({}), "rejected");
        assert_eq!(refused["code"], "TerminalStateReached");
    }

    #[test]
    fn requests_that_cannot_be_are_refused_with_awss_words() {
        let mut jobs = Jobs::default();
        jobs.create(order("j", &["MyThing"]), NOW);
        jobs.tick(NOW);
        let update = |more: Value| {
            let mut request = json!({ "status": "IN_PROGRESS" });
            for (name, value) in more.as_object().unwrap() {
                request[name] = value.clone();
            }
            request
        };
        for (path, request, code) in [
            ("start-last", json!({}), "InvalidTopic"),
            ("a/b/update", json!({}), "InvalidTopic"),
            ("j/update", json!([]), "InvalidJson"),
            ("j/update", json!({}), "InvalidRequest"),
            ("j/update", json!({ "status": "QUEUED" }), "InvalidRequest"),
            ("j/update", json!({ "status": "DONE" }), "InvalidRequest"),
            ("j/update", update(json!({ "expectedVersion": "x" })), "InvalidRequest"),
            ("j/update", update(json!({ "statusDetails": 1 })), "InvalidRequest"),
            ("j/update", update(json!({ "statusDetails": { "a": 1 } })), "InvalidRequest"),
            ("j/update", update(json!({ "statusDetails": { "a b": "c" } })), "InvalidRequest"),
            ("j/update", update(json!({ "statusDetails": { "a": "" } })), "InvalidRequest"),
            ("j/update", update(json!({ "statusDetails": { "a": "\u{1}" } })), "InvalidRequest"),
            (
                "j/update",
                update(json!({ "statusDetails": { "a": "x".repeat(1025) } })),
                "InvalidRequest",
            ),
            ("j/update", update(json!({ "stepTimeoutInMinutes": 0 })), "InvalidRequest"),
            ("j/update", update(json!({ "stepTimeoutInMinutes": 10_081 })), "InvalidRequest"),
            ("j/update", update(json!({ "clientToken": "x".repeat(65) })), "InvalidRequest"),
            ("j/update", update(json!({ "executionNumber": 2 })), "ResourceNotFound"),
            ("k/update", update(json!({})), "ResourceNotFound"),
            ("k/get", json!({}), "ResourceNotFound"),
        ] {
            let refused = say(&mut jobs, path, &request, "rejected");
            assert_eq!(refused["code"], code, "{path} {request}");
            assert!(refused["message"].as_str().is_some_and(|text| !text.is_empty()));
        }
        for payload in ["", "{", "\u{feff}{}"] {
            let outgoing = jobs.message("MyThing", "start-next", payload.as_bytes(), NOW);
            assert_eq!(bodies(&outgoing)[0].1["code"], "InvalidJson");
        }
        // Another thing's job is nobody else's.
        let outgoing = jobs.message("Other", "j/update", br#"{"status":"FAILED"}"#, NOW);
        assert_eq!(bodies(&outgoing)[0].1["code"], "ResourceNotFound");
        // None of that has changed anything.
        let refused =
            say(&mut jobs, "j/update", &update(json!({ "expectedVersion": 2 })), "rejected");
        assert_eq!(refused["code"], "VersionMismatch");
        let state = json!({ "status": "QUEUED", "statusDetails": {}, "versionNumber": 1 });
        assert_eq!(refused["executionState"], state);
        say(&mut jobs, "j/update", &json!({ "status": "REJECTED" }), "accepted");
        let refused = say(&mut jobs, "j/update", &update(json!({})), "rejected");
        assert_eq!(refused["code"], "InvalidStateTransition");
        assert_eq!(refused["executionState"]["status"], "REJECTED");
    }

    #[test]
    fn one_job_after_the_other_and_what_was_begun_first() {
        let mut jobs = Jobs::default();
        jobs.create(order("b", &["MyThing"]), NOW);
        jobs.create(order("a", &["MyThing"]), NOW);
        let told = jobs.tick(NOW);
        assert_eq!(bodies(&told)[1].1["execution"]["jobId"], "b");
        // The second is begun by its name: now that is the next.
        let begun = br#"{"status":"IN_PROGRESS"}"#;
        let told = jobs.message("MyThing", "a/update", begun, NOW);
        let told = bodies(&told);
        assert_eq!(told.len(), 2, "none more, none less: no notify");
        assert_eq!(told[1].0, "MyThing/jobs/notify-next");
        assert_eq!(told[1].1["execution"]["jobId"], "a");
        let told = jobs.cancel("a", true, (None, Some("no more".to_owned())), NOW);
        assert_eq!(bodies(&told)[1].1["execution"]["jobId"], "b");
        let refused = say(&mut jobs, "a/update", &json!({ "status": "SUCCEEDED" }), "rejected");
        assert_eq!(refused["executionState"]["status"], "CANCELED");
        assert_eq!(jobs.job("a").unwrap().comment.as_deref(), Some("no more"));
        let told = jobs.delete("b", NOW);
        assert_eq!(bodies(&told)[1].1["execution"], json!({}));
    }

    #[test]
    fn things_are_told_at_the_rate() {
        let mut jobs = Jobs::default();
        let things: Vec<String> = (0..8).map(|number| format!("thing-{number}")).collect();
        let mut order = order("j", &[]);
        (order.things, order.per_minute) = (things, Some(4));
        jobs.create(order, NOW);
        let mut told = 0;
        for second in 0..=105 {
            told += bodies(&jobs.tick(NOW + 1000 * second))
                .iter()
                .filter(|(topic, _)| topic.ends_with("notify-next"))
                .count();
            assert_eq!(told as u64, (second / 15 + 1).min(8), "after {second} s");
        }
        assert_eq!(jobs.job("j").unwrap().waiting(), 0);
    }

    #[test]
    fn too_many_failures_call_a_job_off() {
        let mut jobs = Jobs::default();
        let mut order = order("j", &["a", "b", "c", "d", "e", "f"]);
        order.per_minute = Some(60);
        order.abort = vec![AbortCriterion {
            failure_type: "FAILED".to_owned(),
            action: "CANCEL".to_owned(),
            threshold_percentage: 50,
            min_number_of_executed_things: 3,
        }];
        jobs.create(order, NOW);
        for second in 0..3 {
            jobs.tick(NOW + 1000 * second);
        }
        let mut end = |thing: &str, status: &str| {
            let body = json!({ "status": status }).to_string();
            jobs.message(thing, "j/update", body.as_bytes(), NOW + 2000);
            let job = jobs.job("j").unwrap();
            (job.status, job.waiting())
        };
        // Another kind of failure does not count, and a third of those told is not a half.
        assert_eq!(end("a", "REJECTED"), (JobStatus::InProgress, 3));
        assert_eq!(end("b", "FAILED"), (JobStatus::InProgress, 3));
        assert_eq!(end("c", "FAILED"), (JobStatus::Canceled, 0));
        let job = jobs.job("j").unwrap();
        assert_eq!(job.reason_code.as_deref(), Some("ABORT_CRITERIA_MET"));
        assert!(jobs.tick(NOW + 100_000).is_empty());
    }

    #[test]
    fn what_takes_too_long_has_failed() {
        let mut jobs = Jobs::default();
        let mut slow = order("slow", &["MyThing"]);
        slow.timeout_minutes = Some(2);
        jobs.create(slow, NOW);
        jobs.tick(NOW);
        // Nobody begins it: that is no failure.
        assert!(jobs.tick(NOW + 10 * MINUTE).is_empty());
        let start = json!({ "stepTimeoutInMinutes": 1 });
        say(&mut jobs, "start-next", &start, "accepted");
        // A step that is renewed in time, and the job's own time-out, which nothing renews.
        assert!(jobs.tick(NOW + MINUTE - 1).is_empty());
        let step = json!({ "status": "IN_PROGRESS", "stepTimeoutInMinutes": 60 });
        say(&mut jobs, "slow/update", &step, "accepted");
        assert!(jobs.tick(NOW + MINUTE).is_empty());
        let told = jobs.tick(NOW + 2 * MINUTE);
        assert_eq!(bodies(&told)[1].1["execution"], json!({}));
        let job = jobs.job("slow").unwrap();
        assert_eq!(job.count(Status::TimedOut), 1);
        assert_eq!(job.status, JobStatus::Completed);

        jobs.create(order("step", &["MyThing"]), NOW);
        jobs.tick(NOW);
        say(&mut jobs, "start-next", &start, "accepted");
        let none = json!({ "status": "IN_PROGRESS", "stepTimeoutInMinutes": -1 });
        say(&mut jobs, "step/update", &none, "accepted");
        assert!(jobs.tick(NOW + 2 * MINUTE).is_empty());
        let step = json!({ "status": "IN_PROGRESS", "stepTimeoutInMinutes": 1 });
        say(&mut jobs, "step/update", &step, "accepted");
        assert!(!jobs.tick(NOW + MINUTE).is_empty());
        assert_eq!(jobs.job("step").unwrap().count(Status::TimedOut), 1);
    }

    #[test]
    fn what_is_kept_goes_on() {
        let mut jobs = Jobs::default();
        jobs.create(order("j", &["MyThing"]), NOW);
        jobs.tick(NOW);
        say(&mut jobs, "start-next", &json!({}), "accepted");
        let kept = serde_json::to_string(&jobs).unwrap();
        let mut jobs: Jobs = serde_json::from_str(&kept).unwrap();
        let started = say(&mut jobs, "start-next", &json!({}), "accepted");
        assert_eq!(started["execution"]["versionNumber"], 2);
        jobs.create(order("k", &["MyThing"]), NOW);
        jobs.tick(NOW);
        say(&mut jobs, "j/update", &json!({ "status": "SUCCEEDED" }), "accepted");
        let started = say(&mut jobs, "start-next", &json!({}), "accepted");
        assert_eq!(started["execution"]["executionNumber"], 2);
    }
}
