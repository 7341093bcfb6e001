//! How a job stands.

use std::collections::BTreeMap;

use serde_json::Value;

/// AWS's counts, and what they are called here, in the order in which they are told.
const COUNTS: [(&str, &str); 8] = [
    ("numberOfSucceededThings", "updated"),
    ("numberOfFailedThings", "failed"),
    ("numberOfRejectedThings", "refused"),
    ("numberOfTimedOutThings", "took too long"),
    ("numberOfCanceledThings", "called off"),
    // Deleted while it waited.
    ("numberOfRemovedThings", "removed"),
    ("numberOfInProgressThings", "under way"),
    ("numberOfQueuedThings", "waiting"),
];

/// A thing of which there is something to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThingStanding {
    /// Its name.
    pub thing: String,
    /// AWS's word for how it is.
    pub status: String,
    /// What the device says of it, such as `40` (per cent) or `restarting`.
    pub state: String,
    /// Why it failed.
    pub reason: String,
}

impl ThingStanding {
    /// Whether it has ended otherwise than well.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.has_reason() || matches!(self.status.as_str(), "CANCELED" | "REMOVED")
    }

    /// Whether there is a reason to ask it for: one that was called off says nothing.
    pub(crate) fn has_reason(&self) -> bool {
        matches!(self.status.as_str(), "FAILED" | "REJECTED" | "TIMED_OUT")
    }

    /// How it is, in a word or two.
    pub(crate) fn word(&self) -> &str {
        match self.status.as_str() {
            "FAILED" => "failed",
            "REJECTED" => "refused",
            "TIMED_OUT" => "took too long",
            "CANCELED" => "called off",
            "REMOVED" => "removed",
            "SUCCEEDED" => "updated",
            "QUEUED" => "waits",
            other => other,
        }
    }

    /// In words.
    #[must_use]
    pub fn line(&self) -> String {
        let state = match self.state.as_str() {
            state if state.bytes().all(|byte| byte.is_ascii_digit()) && !state.is_empty() => {
                format!(" {state} %")
            }
            "" => String::new(),
            state => format!(" {state}"),
        };
        let reason =
            if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        printable(&match &*self.status {
            "IN_PROGRESS" => format!("{}{state}", self.thing),
            // Behind an end, the state says nothing that the reason does not say better.
            _ => format!("{} {}{reason}", self.thing, self.word()),
        })
    }
}

/// What a device says of itself, without what would be an order to a terminal.
pub(crate) fn printable(said: &str) -> String {
    said.chars().map(|char| if char.is_control() { '\u{FFFD}' } else { char }).collect()
}

/// How a job stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many things are so, by the words of [`Standing::line`]; none that are not.
    pub counts: BTreeMap<String, u64>,
    /// AWS's word for the job.
    pub status: String,
    /// Whether AWS is still telling things, or calling things off: 1,000 in a minute at most.
    pub is_concurrent: bool,
    /// Why it was called off.
    pub why: String,
    /// Some of the things that are under way, and those that failed.
    pub things: Vec<ThingStanding>,
}

impl Standing {
    /// Reads what describe-job says.
    pub(crate) fn read(job: &Value) -> Self {
        let details = &job["jobProcessDetails"];
        let counts = COUNTS
            .iter()
            .filter_map(|(name, word)| {
                let count = details[name].as_u64().filter(|count| *count > 0)?;
                Some(((*word).to_owned(), count))
            })
            .collect();
        let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let why = [text("reasonCode"), text("comment")];
        let why: Vec<&str> = why.iter().map(String::as_str).filter(|why| !why.is_empty()).collect();
        Self {
            counts,
            status: text("status"),
            // Not every cloud says it.
            is_concurrent: job["isConcurrent"] == true,
            why: why.join(", "),
            things: Vec::new(),
        }
    }

    /// How many things are so.
    #[must_use]
    pub fn count(&self, word: &str) -> u64 {
        self.counts.get(word).copied().unwrap_or(0)
    }

    /// How many things it is about.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether all things took it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let updated = self.count("updated");
        updated > 0 && updated == self.all()
    }

    /// Whether nothing changes any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.status.as_str() {
            "COMPLETED" => true,
            // Things that had begun go on, and those that wait are told one after another.
            "CANCELED" => self.count("under way") == 0 && !self.is_concurrent,
            _ => false,
        }
    }

    /// Whether it still tells things.
    pub(crate) fn goes_on(&self) -> bool {
        !matches!(self.status.as_str(), "COMPLETED" | "CANCELED" | "DELETION_IN_PROGRESS")
    }

    /// Whether the job was deleted, and AWS is still at it.
    pub(crate) fn is_being_deleted(&self) -> bool {
        self.status == "DELETION_IN_PROGRESS"
    }

    /// In words: `3 updated, 2 under way, 3 waiting`.
    #[must_use]
    pub fn line(&self) -> String {
        let part = |(_, word): &(_, &str)| Some(format!("{} {word}", self.counts.get(*word)?));
        let parts: Vec<String> = COUNTS.iter().filter_map(part).collect();
        if parts.is_empty() { "nothing told yet".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_told_in_words() {
        let job = json!({
            "status": "IN_PROGRESS",
            "jobProcessDetails": {
                "processingTargets": ["arn"], "numberOfQueuedThings": 3,
                "numberOfInProgressThings": 2, "numberOfSucceededThings": 3,
                "numberOfFailedThings": 0,
            },
        });
        let standing = Standing::read(&job);
        assert_eq!(standing.line(), "3 updated, 2 under way, 3 waiting");
        assert_eq!(standing.all(), 8);
        assert!(!standing.is_over());
        let canceled = |under_way: u64| {
            let details = json!({ "numberOfInProgressThings": under_way });
            Standing::read(&json!({
                "status": "CANCELED", "reasonCode": "ABORT_CRITERIA_MET", "jobProcessDetails": details,
            }))
        };
        assert!(!canceled(1).is_over());
        assert!(canceled(0).is_over());
        let being_canceled = |is_concurrent: bool| {
            let details = json!({ "numberOfCanceledThings": 1, "numberOfQueuedThings": 5 });
            Standing::read(&json!({
                "status": "CANCELED", "isConcurrent": is_concurrent, "jobProcessDetails": details,
            }))
        };
        assert!(!being_canceled(true).is_over());
        assert!(being_canceled(false).is_over());
        assert_eq!(canceled(0).why, "ABORT_CRITERIA_MET");
        assert_eq!(Standing::default().line(), "nothing told yet");
    }

    /// Each of AWS's counts, so that none of the things is forgotten.
    #[test]
    fn a_thing_that_was_deleted_counts() {
        let details = json!({ "numberOfSucceededThings": 2, "numberOfRemovedThings": 1 });
        let standing =
            Standing::read(&json!({ "status": "COMPLETED", "jobProcessDetails": details }));
        assert_eq!((standing.line().as_str(), standing.all()), ("2 updated, 1 removed", 3));
        for (name, word) in COUNTS {
            let job = json!({ "status": "COMPLETED", "jobProcessDetails": { name: 1 } });
            assert_eq!(Standing::read(&job).line(), format!("1 {word}"));
        }
    }

    #[test]
    fn a_thing_is_told_in_words() {
        let thing = |status: &str, state: &str, reason: &str| {
            let [thing, status, state, reason] = ["lamp", status, state, reason].map(str::to_owned);
            ThingStanding { thing, status, state, reason }.line()
        };
        assert_eq!(thing("IN_PROGRESS", "40", ""), "lamp 40 %");
        assert_eq!(thing("IN_PROGRESS", "restarting", ""), "lamp restarting");
        assert_eq!(thing("FAILED", "rolled back", "it crashed"), "lamp failed: it crashed");
        assert_eq!(thing("SUCCEEDED", "100", ""), "lamp updated");
        // Who has a thing's certificate may say anything.
        assert_eq!(
            thing("FAILED", "", "\x1b[2Jall is well"),
            "lamp failed: \u{FFFD}[2Jall is well"
        );
        assert_eq!(thing("IN_PROGRESS", "\x1b[2J", ""), "lamp \u{FFFD}[2J");
    }
}
