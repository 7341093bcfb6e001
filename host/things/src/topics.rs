//! The topics of a device.

use serde::{Deserialize, Serialize};

/// The device's topics.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Topics {
    /// Where the device publishes its status.
    pub status: String,
    /// Where the device hears commands.
    pub control: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self { status: "esp8266/status".to_owned(), control: "esp8266/control".to_owned() }
    }
}

/// What a device asks of AWS's jobs and streams, below `$aws/things/<thing>/`; `+` stands for an id.
pub const UPDATE_REQUESTS: [&str; 4] =
    ["jobs/start-next", "jobs/$next/get", "jobs/+/update", "streams/+/get/cbor"];

/// Where it hears of jobs, and the answers, below the same.
pub const UPDATE_ANSWERS: [&str; 2] = ["jobs/#", "streams/#"];
