//! The topics of a device.

use serde::{Deserialize, Serialize};

const STATUS: &str = "esp8266/status";
const CONTROL: &str = "esp8266/control";

/// The device's topics.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq, clap::Args)]
pub struct Topics {
    /// Topic on which the device publishes its status
    #[arg(id = "STATUS_TOPIC", long = "status-topic", global = true, default_value = STATUS)]
    pub status: String,
    /// Topic on which the device hears commands
    #[arg(id = "CONTROL_TOPIC", long = "control-topic", global = true, default_value = CONTROL)]
    pub control: String,
    /// What its application publishes to besides. No part of the identity.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Topic filters that its application subscribes to besides. No part of the identity.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(STATUS, CONTROL)
    }
}

impl Topics {
    /// No others than these two.
    #[must_use]
    pub fn new(status: &str, control: &str) -> Self {
        let (status, control) = (status.to_owned(), control.to_owned());
        Self { status, control, publish: Vec::new(), subscribe: Vec::new() }
    }

    /// Whether a device with these has the same in its identity.
    #[must_use]
    pub fn are_those_of(&self, other: &Self) -> bool {
        (&self.status, &self.control) == (&other.status, &other.control)
    }
}

/// Checks a topic that `thing` may be allowed to publish to.
///
/// # Errors
/// What is wrong with it.
pub fn check_published(topic: &str, thing: &str) -> Result<(), &'static str> {
    identity::check_topic(topic)?;
    check_reach(topic, thing)
}

/// Checks a topic filter that `thing` may be allowed to subscribe to.
///
/// # Errors
/// What is wrong with it.
pub fn check_subscribed(filter: &str, thing: &str) -> Result<(), &'static str> {
    check_filter(filter)?;
    check_reach(filter, thing)
}

/// Checks a topic filter, as [`identity::check_topic`] checks a topic.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), &'static str> {
    let levels: Vec<&str> = filter.split('/').collect();
    let whole = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at + 1 == levels.len(),
        level => !level.contains(['+', '#']),
    };
    if !levels.iter().enumerate().all(whole) {
        return Err("may have + and # only as a whole level, and # only as the last one");
    }
    identity::check_topic(&filter.replace(['+', '#'], "x"))
}

/// Checks that a policy with this topic or filter of `thing` reaches no further than it says.
fn check_reach(topic: &str, thing: &str) -> Result<(), &'static str> {
    let aws = topic.strip_prefix("$aws/");
    let rest = match aws {
        Some(below) => below
            .strip_prefix("rules/")
            .or_else(|| below.strip_prefix("things/")?.strip_prefix(thing)?.strip_prefix('/'))
            .ok_or("must be below $aws/rules/ or the thing's own $aws/things/{thing}/")?,
        None => topic,
    };
    if rest.contains(['*', '?']) || rest.contains("${") {
        return Err("must not have *, ? or ${ in it, which have meanings of their own in a policy");
    }
    Ok(())
}

/// What a device asks of AWS's jobs and streams, below `$aws/things/<thing>/`; `+` stands for an id.
pub const UPDATE_REQUESTS: [&str; 4] =
    ["jobs/start-next", "jobs/$next/get", "jobs/+/update", "streams/+/get/cbor"];

/// Where it hears of jobs, and the answers, below the same.
pub const UPDATE_ANSWERS: [&str; 2] = ["jobs/#", "streams/#"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_aws_keeps_for_itself_is_reached_only_as_the_own_thing_or_a_rule() {
        for good in ["a/b", "$aws/things/lamp/shadow/update", "$aws/rules/store/lamp", "a/#"] {
            assert_eq!(check_reach(good, "lamp"), Ok(()), "{good}");
        }
        for bad in [
            "$aws/things/lamp2/shadow/update",
            "$aws/things/+/shadow/update",
            "$aws/things/lamp",
            "$aws/events/#",
            "a/*",
            "a?",
            "${iot:ClientId}/a",
            "$aws/rules/*",
        ] {
            assert!(check_reach(bad, "lamp").is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_are_topics_with_whole_levels_of_wildcards() {
        for good in ["#", "+", "a/+/b", "a/#", "$aws/things/a/shadow/#", "a/b/c/d/e/f/g/#"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "a+", "a/#/b", "a#", "$SYS/#", "a/b/c/d/e/f/g/h/#", "a\n"] {
            assert!(check_filter(bad).is_err(), "{bad:?}");
        }
    }
}
