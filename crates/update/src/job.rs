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
//!
//! In both, `"fileType":1` beside the signature says that the file is an identity. AWS's service
//! hands that number on from `create-ota-update`; 0, or none, is firmware.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::base64;
use crate::json::Json;

/// Most bytes of a job's id and of a stream's (AWS IoT's quotas: 64 and 128).
pub const MAX_JOB_ID: usize = 64;
/// See [`MAX_JOB_ID`].
pub const MAX_STREAM_ID: usize = 128;

/// A job for this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution<'a> {
    /// The job's id.
    pub job: &'a str,
    /// The version that the next update must expect.
    pub version: u32,
    /// What is to be done.
    pub document: Result<Document<'a>, Refused>,
}

/// Why a job is not done, in words: told to the server as the reason.
pub type Refused = &'static str;

const OTHER_KIND: Refused = "this device knows no such job, only updates";
const FILES: Refused = "an update of this device is one file";
const SIGNATURE: Refused = "the signature is not one of ECDSA P-256 with SHA-256";
const STREAM: Refused =
    "the job document names no stream of MQTT, by which this device takes updates";
const NUMBERS: Refused = "the job document has no proper file number and size";
const FILE_TYPE: Refused = "file type 0 is firmware, 1 an identity";

/// What an update brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image for the other slot.
    Firmware,
    /// An identity: one copy of its region, for the running firmware in the other slot.
    Identity,
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
    /// What it is.
    pub kind: Kind,
}

impl<'a> Execution<'a> {
    /// Reads the job in an answer to start-next or in a notify-next: `Ok(None)` says that
    /// there is none.
    ///
    /// # Errors
    /// When it is no message of the jobs service.
    pub fn read(payload: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let json = Json::parse(payload).ok_or(Malformed)?;
        let Some(execution) = json.get("execution") else { return Ok(None) };
        let Some(job) = execution.get("jobId") else { return Ok(None) };
        let job = job.text().filter(|id| is_id(id, MAX_JOB_ID)).ok_or(Malformed)?;
        let version = execution.get("versionNumber").and_then(Json::number).ok_or(Malformed)?;
        let document = match execution.get("jobDocument") {
            Some(document) => Document::read(document),
            None => Err(OTHER_KIND),
        };
        Ok(Some(Self { job, version, document }))
    }
}

/// It is no message of the jobs service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// AWS's characters of the id of a job or stream; it becomes part of topics.
fn is_id(id: &str, most: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=most).contains(&id.len()) && id.bytes().all(allowed)
}

impl<'a> Document<'a> {
    fn read(document: Json<'a>) -> Result<Self, Refused> {
        let (stream, file, number, size) = if let Some(ota) = document.get("afr_ota") {
            let file = ota.get("files").and_then(Json::only).ok_or(FILES)?;
            (ota.text_of("streamname"), file, "fileid", "filesize")
        } else {
            let update = document.get("update").ok_or(OTHER_KIND)?;
            (update.text_of("stream"), update, "file", "size")
        };
        let figure = |name| file.get(name).and_then(Json::number).ok_or(NUMBERS);
        let mut der = [0; 72];
        let signature = file
            .get("sig-sha256-ecdsa")
            .and_then(Json::as_written)
            .and_then(|text| base64::decode(text, &mut der))
            .and_then(base64::signature)
            .ok_or(SIGNATURE)?;
        if !is_id(stream, MAX_STREAM_ID) {
            return Err(STREAM);
        }
        // AWS writes null for what was not given.
        let kind = match file.get("fileType").filter(|kind| !kind.is_null()).map(Json::number) {
            None | Some(Some(0)) => Kind::Firmware,
            Some(Some(1)) => Kind::Identity,
            Some(_) => return Err(FILE_TYPE),
        };
        Ok(Self {
            kind,
            stream,
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

/// What is said of a job, for its topic `update`. `state` is one word or per cent. The reason may hold
/// anything; it has two parts, and both are empty for none.
#[must_use]
pub fn report(status: Status, version: u32, state: &str, reason: [&str; 2]) -> Vec<u8> {
    let mut json = Vec::with_capacity(128);
    let mut write = |text: &str| json.extend_from_slice(text.as_bytes());
    write(r#"{"status":""#);
    write(status.as_str());
    write(r#"","expectedVersion":""#);
    write(&version.to_string());
    write(r#"","statusDetails":{"state":""#);
    write(state);
    if reason != ["", ""] {
        write(r#"","reason":""#);
        // AWS takes up to 1,024 characters of a detail, and no control characters.
        for byte in reason.iter().flat_map(|part| part.bytes()).take(MAX_REASON) {
            json.push(match byte {
                b'"' | b'\\' => b'\'',
                b' '..=b'~' => byte,
                _ => b' ',
            });
        }
    }
    json.extend_from_slice(br#""}}"#);
    json
}

/// Most bytes of a reason.
pub const MAX_REASON: usize = 160;

/// What the refusal of a report says of its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: the report may be taken later.
    Same,
    /// It has changed since (`VersionMismatch`).
    Changed,
    /// It is over or gone: nothing more can be said of it.
    Over,
}

/// Reads the refusal of a report.
#[must_use]
pub fn standing(payload: &[u8]) -> Standing {
    match Json::parse(payload).map(|json| json.text_of("code")) {
        Some("VersionMismatch") => Standing::Changed,
        Some("InvalidStateTransition" | "ResourceNotFound" | "TerminalStateReached") => {
            Standing::Over
        }
        _ => Standing::Same,
    }
}
