//! AWS IoT jobs: topics, what the server says of a job, and what the device answers.
//!
//! A job document that is understood is that of AWS's OTA service,
//!
//! ```json
//! {"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-…","files":[{"filepath":"…",
//!  "filesize":305532,"fileid":0,"certfile":"…","sig-sha256-ecdsa":"…"}]}}
//! ```
//!
//! or a plain one that names a stream:
//!
//! ```json
//! {"update":{"stream":"…","file":0,"size":305532,"sig-sha256-ecdsa":"…","allow_downgrade":true}}
//! ```

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::base64;
use crate::json::Json;

/// Most bytes of a job's id and of a stream's (AWS IoT's quotas: 64 and 128).
pub const MAX_JOB_ID: usize = 64;
/// See [`MAX_JOB_ID`].
pub const MAX_STREAM_ID: usize = 128;

/// The topics of a thing's jobs, below `$aws/things/<thing>/jobs/`.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    /// The thing's name.
    pub thing: &'a str,
}

impl Topics<'_> {
    fn jobs(&self, rest: fmt::Arguments<'_>) -> String {
        format!("$aws/things/{}/jobs/{rest}", self.thing)
    }

    /// To subscribe to: another job is next, or none.
    #[must_use]
    pub fn notify_next(&self) -> String {
        self.jobs(format_args!("notify-next"))
    }

    /// To publish to: begin the next job, or go on with the one that was begun.
    #[must_use]
    pub fn start_next(&self) -> String {
        self.jobs(format_args!("start-next"))
    }

    /// To publish to: say how a job goes.
    #[must_use]
    pub fn update(&self, job: &str) -> String {
        self.jobs(format_args!("{job}/update"))
    }

    /// To subscribe to: the answers to [`Self::start_next`].
    #[must_use]
    pub fn start_next_answers(&self) -> String {
        self.jobs(format_args!("start-next/+"))
    }

    /// To subscribe to: the answers to [`Self::update`] of any job.
    #[must_use]
    pub fn update_answers(&self) -> String {
        self.jobs(format_args!("+/update/+"))
    }

    /// What a message on `topic` is, when it is one of jobs.
    #[must_use]
    pub fn kind<'t>(&self, topic: &'t str) -> Option<Kind<'t>> {
        let rest = topic.strip_prefix("$aws/things/")?.strip_prefix(self.thing)?;
        Some(match rest.strip_prefix("/jobs/")? {
            "notify-next" => Kind::Next,
            "start-next/accepted" => Kind::Started,
            "start-next/rejected" => Kind::NotStarted,
            rest => {
                let (job, answer) = rest.split_once("/update/")?;
                match answer {
                    "accepted" => Kind::Updated { job },
                    "rejected" => Kind::NotUpdated { job },
                    _ => return None,
                }
            }
        })
    }
}

/// A message of the jobs service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Another job is next, or none.
    Next,
    /// The answer to start-next: a job, or none.
    Started,
    /// It was refused.
    NotStarted,
    /// The server took what the device said of this job.
    Updated {
        /// The job.
        job: &'a str,
    },
    /// It did not.
    NotUpdated {
        /// The job.
        job: &'a str,
    },
}

/// A job for this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution<'a> {
    /// The job's id.
    pub job: &'a str,
    /// The version that the next update must expect.
    pub version: u32,
    /// Whether it had been begun: after a reset, or a lost connection.
    pub in_progress: bool,
    /// What the device said of it last, under "state".
    pub state: Option<&'a str>,
    /// What is to be done.
    pub document: Result<Document<'a>, Refused>,
}

/// Why a job is not done. Told to the server as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no update.
    OtherKind,
    /// It has more or fewer files than one.
    Files,
    /// A member is missing or has another type.
    Member(&'static str),
    /// The signature is none of ECDSA on P-256 with SHA-256.
    Signature,
    /// It is not offered by MQTT.
    Protocol,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKind => f.write_str("this device knows no such job, only updates"),
            Self::Files => f.write_str("an update of this device is one file"),
            Self::Member(name) => write!(f, "the job document has no proper {name}"),
            Self::Signature => f.write_str("the signature is not one of ECDSA P-256 with SHA-256"),
            Self::Protocol => f.write_str("this device takes updates by MQTT only"),
        }
    }
}

/// An update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The stream that brings it.
    pub stream: &'a str,
    /// The file in the stream.
    pub file: u32,
    /// Its bytes.
    pub size: u32,
    /// r and s of the signature over the whole file.
    pub signature: [u8; 64],
    /// Whether an older version may replace a newer one.
    pub allow_downgrade: bool,
}

impl<'a> Execution<'a> {
    /// Reads the job in a message of kind [`Kind::Next`] or [`Kind::Started`]: `Ok(None)` says that
    /// there is none.
    ///
    /// # Errors
    /// When it is no message of the jobs service.
    pub fn read(payload: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let text = core::str::from_utf8(payload).map_err(|_| Malformed)?;
        let json = Json::parse(text).ok_or(Malformed)?;
        let Some(execution) = json.get("execution") else { return Ok(None) };
        let Some(job) = execution.get("jobId") else { return Ok(None) };
        let job = job.text().filter(|id| is_job_id(id)).ok_or(Malformed)?;
        let version = execution.get("versionNumber").and_then(Json::number).ok_or(Malformed)?;
        let status = execution.get("status").and_then(Json::text).ok_or(Malformed)?;
        let state = execution.get("statusDetails").and_then(|details| details.get("state"));
        let document = match execution.get("jobDocument") {
            Some(document) => Document::read(document),
            None => Err(Refused::OtherKind),
        };
        Ok(Some(Self {
            job,
            version,
            in_progress: status == "IN_PROGRESS",
            state: state.and_then(Json::text),
            document,
        }))
    }
}

/// It is no message of the jobs service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// AWS's characters of a job's id; it becomes part of topics.
fn is_job_id(id: &str) -> bool {
    (1..=MAX_JOB_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn is_stream_id(id: &str) -> bool {
    (1..=MAX_STREAM_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl<'a> Document<'a> {
    fn read(document: Json<'a>) -> Result<Self, Refused> {
        if let Some(ota) = document.get("afr_ota") {
            let by_mqtt = |protocols: Json<'a>| protocols.items().any(|p| p.text() == Some("MQTT"));
            if ota.get("protocols").is_some_and(|protocols| !by_mqtt(protocols)) {
                return Err(Refused::Protocol);
            }
            let mut files = ota.get("files").ok_or(Refused::Member("files"))?.items();
            let (Some(file), None) = (files.next(), files.next()) else {
                return Err(Refused::Files);
            };
            return Self::fields(ota, "streamname", file, "fileid", "filesize");
        }
        let update = document.get("update").ok_or(Refused::OtherKind)?;
        Self::fields(update, "stream", update, "file", "size")
    }

    fn fields(
        of: Json<'a>,
        stream: &'static str,
        file: Json<'a>,
        number: &'static str,
        size: &'static str,
    ) -> Result<Self, Refused> {
        let figure =
            |name: &'static str| file.get(name).and_then(Json::number).ok_or(Refused::Member(name));
        let text = file.get("sig-sha256-ecdsa").and_then(Json::text).ok_or(Refused::Signature)?;
        let mut der = [0; 72];
        let signature =
            base64::decode(text, &mut der).and_then(base64::signature).ok_or(Refused::Signature)?;
        Ok(Self {
            stream: of
                .get(stream)
                .and_then(Json::text)
                .filter(|id| is_stream_id(id))
                .ok_or(Refused::Member(stream))?,
            file: figure(number)?,
            size: figure(size)?,
            signature,
            allow_downgrade: file.get("allow_downgrade").is_some_and(Json::is_true),
        })
    }
}

/// Status of a job, as the jobs service spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being done.
    InProgress,
    /// Done.
    Succeeded,
    /// Tried in vain.
    Failed,
    /// Not to be tried.
    Rejected,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
        }
    }
}

/// What is said of a job, for its topic `update`. `state` is one word or per cent; a reason may
/// hold anything.
#[must_use]
pub fn report(status: Status, version: u32, state: &str, reason: Option<&str>) -> String {
    let mut json = format!(
        r#"{{"status":"{}","expectedVersion":"{version}","statusDetails":{{"state":"{state}""#,
        status.as_str()
    );
    if let Some(reason) = reason {
        json.push_str(r#","reason":""#);
        // AWS takes up to 1,024 characters of a detail, and no control characters.
        for character in reason.chars().take(MAX_REASON) {
            match character {
                '"' | '\\' => json.push('\''),
                '\0'..=' ' | '\x7F' => json.push(' '),
                _ => json.push(character),
            }
        }
        json.push('"');
    }
    json.push_str("}}");
    json
}

/// Most characters of a reason.
pub const MAX_REASON: usize = 160;

/// Whether an update was refused because the job has changed since (`VersionMismatch`), or is over
/// or gone: nothing more can be said of it then.
#[must_use]
pub fn is_over(payload: &[u8]) -> bool {
    let code = core::str::from_utf8(payload)
        .ok()
        .and_then(Json::parse)
        .and_then(|json| json.get("code"))
        .and_then(Json::text);
    matches!(
        code,
        Some(
            "VersionMismatch"
                | "InvalidStateTransition"
                | "ResourceNotFound"
                | "TerminalStateReached"
        )
    )
}
