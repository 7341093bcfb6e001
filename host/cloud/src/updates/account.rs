//! The account: jobs, streams and the store, and a person's commands, which are those of the AWS CLI
//! with its names, arguments, answers and error codes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use process::files::{self, SECRET};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Outgoing;
use super::jobs::{AbortCriterion, Execution, Job, JobStatus, Jobs, Order, Status};
use super::streams::{self, File, Stream};

/// The account's number.
pub const NUMBER: &str = "000000000000";
/// The region's name.
pub const REGION: &str = "local";

/// A command that is refused: AWS's code, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Such as `ResourceNotFoundException`.
    pub code: String,
    /// In words.
    pub message: String,
}

fn refused(code: &str, message: impl Into<String>) -> Refused {
    Refused { code: code.to_owned(), message: message.into() }
}

fn not_found(what: impl std::fmt::Display) -> Refused {
    refused("ResourceNotFoundException", format!("there is no {what} in the local cloud"))
}

fn invalid(message: impl Into<String>) -> Refused {
    refused("InvalidRequestException", message)
}

/// What is kept of the account.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    jobs: Jobs,
    streams: BTreeMap<String, Stream>,
}

/// The account.
#[derive(Debug)]
pub struct Account {
    folder: PathBuf,
    things: BTreeSet<String>,
    content: Content,
    /// As it was written last.
    written: String,
}

/// A command's arguments, by their names.
pub type Arguments = BTreeMap<String, String>;

impl Account {
    /// Opens the account in `folder`, which has these things.
    ///
    /// # Errors
    /// When the folder cannot be read, or what it holds is damaged.
    pub fn open(folder: &Path, things: impl IntoIterator<Item = String>) -> Result<Self> {
        files::make_folder(&folder.join("objects"))?;
        let file = folder.join("account.json");
        let (content, written) = match std::fs::read_to_string(&file) {
            Err(_) => Default::default(),
            Ok(text) => {
                let content = serde_json::from_str(&text)
                    .with_context(|| format!("{} is damaged: delete it", file.display()))?;
                (content, text)
            }
        };
        let things = things.into_iter().collect();
        Ok(Self { folder: folder.to_owned(), things, content, written })
    }

    /// The jobs.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.content.jobs
    }

    /// Writes what has changed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&mut self) -> Result<()> {
        let text = serde_json::to_string(&self.content).context("cannot make JSON")?;
        if text != self.written {
            files::write(&self.folder.join("account.json"), text.as_bytes(), SECRET)?;
            self.written = text;
        }
        Ok(())
    }

    /// What time brings.
    pub fn tick(&mut self, now: u64) -> Vec<Outgoing> {
        self.content.jobs.tick(now)
    }

    /// A message of a thing: what is to be published. None when the topic is none of these services.
    pub fn message(&mut self, topic: &str, payload: &[u8], now: u64) -> Option<Vec<Outgoing>> {
        let (thing, path) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
        if let Some(path) = path.strip_prefix("jobs/") {
            return Some(self.content.jobs.message(thing, path, payload, now));
        }
        let (id, path) = path.strip_prefix("streams/")?.split_once('/')?;
        let stream = self.content.streams.get(id);
        let answers = streams::answer(stream, path, payload, |key| self.read(key));
        let outgoing = |answer: streams::Answer| Outgoing {
            topic: format!("$aws/things/{thing}/streams/{id}/{}", answer.path),
            payload: answer.payload,
        };
        Some(answers.into_iter().map(outgoing).collect())
    }

    /// The command `aws SERVICE OPERATION ARGUMENTS…`: its answer, and what is to be published.
    ///
    /// # Errors
    /// As AWS refuses it.
    pub fn call(
        &mut self,
        service: &str,
        operation: &str,
        arguments: &Arguments,
        now: u64,
    ) -> Result<(Value, Vec<Outgoing>), Refused> {
        let argument = |name: &str| wanted(arguments, operation, name);
        if arguments.get("expected-bucket-owner").is_some_and(|owner| owner != NUMBER) {
            return Err(refused("AccessDenied", "the local cloud's store is another account's"));
        }
        let force = arguments.contains_key("force");
        let mut told = Vec::new();
        let answer = match (service, operation) {
            ("sts", "get-caller-identity") => json!({
                "Account": NUMBER, "UserId": "operator", "Arn": format!("arn:aws:iam::{NUMBER}:user/operator"),
            }),
            ("iam", "get-role") => {
                let name = argument("role-name")?;
                json!({ "Role": { "RoleName": name, "Arn": format!("arn:aws:iam::{NUMBER}:role/{name}") } })
            }
            ("iot", "describe-thing") => {
                let name = argument("thing-name")?;
                if !self.things.contains(name) {
                    return Err(not_found(format!("thing {name}")));
                }
                json!({ "thingName": name, "thingArn": arn("thing", name) })
            }
            ("iot", "describe-thing-group") => {
                return Err(not_found(format!("thing group {}", argument("thing-group-name")?)));
            }
            ("s3api", "head-bucket") => Value::Null,
            ("s3api", "head-object") => {
                let (content, etag) =
                    self.read(argument("key")?).ok_or_else(|| refused("404", "Not Found"))?;
                json!({ "ContentLength": content.len(), "ETag": etag })
            }
            ("s3api", "put-object") => {
                let body = argument("body")?;
                let content = std::fs::read(body)
                    .map_err(|error| invalid(format!("cannot read {body}: {error}")))?;
                // An identity has a private key in it.
                files::write(&self.object(argument("key")?), &content, SECRET)
                    .map_err(|error| refused("InternalError", format!("{error:#}")))?;
                json!({ "ETag": etag(&content) })
            }
            ("s3api", "delete-object") => {
                // As with AWS, nothing is an answer too.
                let _ = std::fs::remove_file(self.object(argument("key")?));
                Value::Null
            }
            ("iot", "create-stream") => {
                self.create_stream(argument("stream-id")?, argument("files")?, arguments)?
            }
            ("iot", "describe-stream") => {
                let id = argument("stream-id")?;
                let stream = self.content.streams.get(id);
                let stream = stream.ok_or_else(|| not_found(format!("stream {id}")))?;
                json!({ "streamInfo": { "streamId": id, "streamVersion": stream.version } })
            }
            ("iot", "delete-stream") => {
                let id = argument("stream-id")?;
                let gone = self.content.streams.remove(id);
                gone.map(|_| Value::Null).ok_or_else(|| not_found(format!("stream {id}")))?
            }
            ("iot", "create-job") => {
                let id = argument("job-id")?;
                self.content.jobs.create(self.order(id, arguments)?, now);
                told = self.content.jobs.tick(now);
                json!({ "jobId": id, "jobArn": arn("job", id) })
            }
            ("iot", "describe-job") => json!({ "job": describe(self.job(argument("job-id")?)?) }),
            ("iot", "list-job-executions-for-job") => {
                let job = self.job(argument("job-id")?)?;
                let summaries: Vec<Value> = job.executions().map(summary).collect();
                json!({ "executionSummaries": summaries })
            }
            ("iot", "describe-job-execution") => {
                let (id, thing) = (argument("job-id")?, argument("thing-name")?);
                let execution = self.execution(id, thing)?;
                json!({ "execution": {
                    "jobId": id, "thingArn": arn("thing", thing), "status": execution.status,
                    "statusDetails": { "detailsMap": execution.details },
                    "executionNumber": execution.number, "versionNumber": execution.version,
                } })
            }
            ("iot", "cancel-job") => {
                let id = argument("job-id")?;
                if self.job(id)?.status != JobStatus::InProgress && !force {
                    return Err(invalid("the job has ended"));
                }
                let why =
                    (arguments.get("reason-code").cloned(), arguments.get("comment").cloned());
                told = self.content.jobs.cancel(id, force, why, now);
                json!({ "jobId": id, "jobArn": arn("job", id) })
            }
            ("iot", "delete-job") => {
                let id = argument("job-id")?;
                let job = self.job(id)?;
                let over = job.executions().all(|(_, execution)| execution.status.is_terminal());
                let over = over && job.status != JobStatus::InProgress;
                if !over && !force {
                    let message = "the job has not ended everywhere";
                    return Err(refused("InvalidStateTransitionException", message));
                }
                told = self.content.jobs.delete(id, now);
                Value::Null
            }
            _ => {
                let message = format!("the local cloud does not play `aws {service} {operation}`");
                return Err(refused("NotPlayedException", message));
            }
        };
        Ok((answer, told))
    }

    fn job(&self, id: &str) -> Result<&Job, Refused> {
        self.content.jobs.job(id).ok_or_else(|| not_found(format!("job {id}")))
    }

    fn execution(&self, id: &str, thing: &str) -> Result<&Execution, Refused> {
        let execution = self.job(id)?.execution(thing);
        execution.ok_or_else(|| not_found(format!("execution of job {id} at {thing}")))
    }

    fn create_stream(
        &mut self,
        id: &str,
        list: &str,
        arguments: &Arguments,
    ) -> Result<Value, Refused> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Listed {
            file_id: u8,
            s3_location: Location,
        }
        #[derive(Deserialize)]
        struct Location {
            key: String,
        }
        check_id(id, 128)?;
        if self.content.streams.contains_key(id) {
            return Err(refused("ResourceAlreadyExistsException", format!("stream {id} exists")));
        }
        let listed: Vec<Listed> = parse("files", list)?;
        let mut files = BTreeMap::new();
        for Listed { file_id, s3_location: Location { key } } in listed {
            let (content, etag) =
                self.read(&key).ok_or_else(|| not_found(format!("object {key}")))?;
            files.insert(file_id, File { key, size: content.len(), etag });
        }
        if files.is_empty() {
            return Err(invalid("a stream has files"));
        }
        let description = arguments.get("description").cloned().unwrap_or_default();
        self.content.streams.insert(id.to_owned(), Stream { description, version: 1, files });
        Ok(json!({ "streamId": id, "streamArn": arn("stream", id), "streamVersion": 1 }))
    }

    /// What create-job orders.
    fn order(&self, id: &str, arguments: &Arguments) -> Result<Order, Refused> {
        check_id(id, 64)?;
        if self.content.jobs.job(id).is_some() {
            return Err(refused("ResourceAlreadyExistsException", format!("job {id} exists")));
        }
        let argument = |name: &str| wanted(arguments, "create-job", name);
        let targets: Vec<String> = parse("targets", argument("targets")?)?;
        let mut things = Vec::new();
        for target in &targets {
            let thing = target.rsplit_once(":thing/").map(|(_, thing)| thing);
            let known = thing.filter(|thing| self.things.contains(*thing));
            let thing = known.ok_or_else(|| not_found(format!("target {target}")))?;
            if !things.iter().any(|other| other == thing) {
                things.push(thing.to_owned());
            }
        }
        if things.is_empty() {
            return Err(invalid("a job has targets"));
        }
        let document = parse("document", argument("document")?)?;
        let option = |name: &str| -> Result<Value, Refused> {
            arguments.get(name).map_or(Ok(Value::Null), |text| parse(name, text))
        };
        let rollout = option("job-executions-rollout-config")?;
        let per_minute = figure(&rollout, "maximumPerMinute", 1..=1000)?;
        let timeout = option("timeout-config")?;
        let timeout_minutes = figure(&timeout, "inProgressTimeoutInMinutes", 1..=10_080)?;
        let abort = abort(&option("abort-config")?)?;
        let description = arguments.get("description").cloned();
        let id = id.to_owned();
        Ok(Order { id, things, document, description, per_minute, abort, timeout_minutes })
    }

    fn object(&self, key: &str) -> PathBuf {
        // A key may have slashes, and must not lead elsewhere.
        self.folder.join("objects").join(format!("{}.object", hex::encode(key)))
    }

    fn read(&self, key: &str) -> Option<(Vec<u8>, String)> {
        let content = std::fs::read(self.object(key)).ok()?;
        let etag = etag(&content);
        Some((content, etag))
    }
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:iot:{REGION}:{NUMBER}:{kind}/{name}")
}

fn etag(content: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    hex::encode(&digest.as_ref()[..16])
}

/// AWS's characters of ids, which become parts of topics.
fn check_id(id: &str, most: usize) -> Result<(), Refused> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=most).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    Err(invalid(format!("{id:?} is no id: 1 to {most} letters, digits, underscores and hyphens")))
}

fn wanted<'a>(arguments: &'a Arguments, operation: &str, name: &str) -> Result<&'a str, Refused> {
    let value = arguments.get(name).map(String::as_str);
    value.ok_or_else(|| invalid(format!("{operation} wants --{name}")))
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, Refused> {
    serde_json::from_str(text).map_err(|error| invalid(format!("--{name}: {error}")))
}

fn figure(
    config: &Value,
    name: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, Refused> {
    let value = &config[name];
    if value.is_null() {
        return Ok(None);
    }
    let figure = value.as_u64().and_then(|figure| u32::try_from(figure).ok());
    figure.filter(|figure| range.contains(figure)).map(Some).ok_or_else(|| {
        invalid(format!("{name} is {value}, not {} to {}", range.start(), range.end()))
    })
}

fn abort(config: &Value) -> Result<Vec<AbortCriterion>, Refused> {
    if config.is_null() {
        return Ok(Vec::new());
    }
    let list: Vec<AbortCriterion> = serde_json::from_value(config["criteriaList"].clone())
        .map_err(|error| invalid(format!("--abort-config: {error}")))?;
    for criterion in &list {
        let kinds = ["FAILED", "REJECTED", "TIMED_OUT", "ALL"];
        if !kinds.contains(&criterion.failure_type.as_str())
            || criterion.action != "CANCEL"
            || !(1..=100).contains(&criterion.threshold_percentage)
            || criterion.min_number_of_executed_things == 0
        {
            return Err(invalid(format!("--abort-config: {criterion:?} cannot be")));
        }
    }
    Ok(list)
}

fn describe(job: &Job) -> Value {
    let count = |status: Status| job.count(status);
    let mut value = json!({
        "jobArn": arn("job", &job.order.id),
        "jobId": job.order.id,
        "targetSelection": "SNAPSHOT",
        "status": job.status,
        "createdAt": job.created_at / 1000,
        "lastUpdatedAt": job.updated_at / 1000,
        "jobProcessDetails": {
            "numberOfCanceledThings": count(Status::Canceled),
            "numberOfSucceededThings": count(Status::Succeeded),
            "numberOfFailedThings": count(Status::Failed),
            "numberOfRejectedThings": count(Status::Rejected),
            "numberOfQueuedThings": count(Status::Queued) + job.waiting(),
            "numberOfInProgressThings": count(Status::InProgress),
            "numberOfRemovedThings": 0,
            "numberOfTimedOutThings": count(Status::TimedOut),
        },
    });
    for (name, text) in [
        ("description", &job.order.description),
        ("comment", &job.comment),
        ("reasonCode", &job.reason_code),
    ] {
        if let Some(text) = text {
            value[name] = text.as_str().into();
        }
    }
    value
}

fn summary((thing, execution): (&str, &Execution)) -> Value {
    let mut summary = json!({
        "status": execution.status,
        "queuedAt": execution.queued_at / 1000,
        "lastUpdatedAt": execution.updated_at / 1000,
        "executionNumber": execution.number,
    });
    if let Some(at) = execution.started_at {
        summary["startedAt"] = (at / 1000).into();
    }
    json!({ "thingArn": arn("thing", thing), "jobExecutionSummary": summary })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_store_is_no_other_accounts() {
        let folder = process::scratch::folder().unwrap();
        let mut account = Account::open(folder.path(), []).unwrap();
        let mut look = |owner: &str| {
            let arguments = [("bucket", "b"), ("expected-bucket-owner", owner)];
            let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned()));
            account.call("s3api", "head-bucket", &arguments.into(), 0).map(drop)
        };
        assert_eq!(look(NUMBER), Ok(()));
        assert_eq!(look("999999999999").unwrap_err().code, "AccessDenied");
    }

    /// A stream `s` of a file `b"key"`, made for the lamp.
    fn with_stream(folder: &Path) -> Account {
        let mut account = Account::open(folder, ["lamp", "bulb"].map(str::to_owned)).unwrap();
        let body = folder.join("body");
        std::fs::write(&body, "key").unwrap();
        let files = r#"[{"fileId": 0, "s3Location": {"bucket": "b", "key": "updates/x.image"}}]"#;
        for (service, operation, arguments) in [
            ("s3api", "put-object", [("key", "updates/x.image"), ("body", body.to_str().unwrap())]),
            ("iot", "create-stream", [("stream-id", "s"), ("files", files)]),
        ] {
            let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned()));
            account.call(service, operation, &arguments.into(), 0).unwrap();
        }
        account
    }

    /// What a store holds may be an identity, and whoever knows a stream can read it.
    #[test]
    fn nobody_else_on_the_machine_reads_what_is_kept() {
        let folder = process::scratch::folder().unwrap();
        let mut account = with_stream(folder.path());
        account.keep().unwrap();
        let object = account.object("updates/x.image");
        for file in [object, folder.path().join("account.json")] {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.display());
        }
    }

    /// As on AWS, where a stream is no thing's own. So that of an identity has an id that nobody
    /// guesses (`updates::Order::stream`).
    #[test]
    fn any_thing_reads_any_stream_by_its_id() {
        let folder = process::scratch::folder().unwrap();
        let mut account = with_stream(folder.path());
        for thing in ["lamp", "bulb"] {
            let below = format!("$aws/things/{thing}/streams/s");
            let asked = br#"{"f": 0, "l": 256, "o": 0, "n": 1}"#;
            let told = account.message(&format!("{below}/get/json"), asked, 0).unwrap();
            assert_eq!(told[0].topic, format!("{below}/data/json"));
            let block: Value = serde_json::from_slice(&told[0].payload).unwrap();
            assert_eq!(block["p"], "a2V5");
        }
    }
}
