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
}

impl Default for Topics {
    fn default() -> Self {
        Self { status: STATUS.to_owned(), control: CONTROL.to_owned() }
    }
}

/// What a device asks of AWS's jobs and streams, below `$aws/things/<thing>/`; `+` stands for an id.
pub const UPDATE_REQUESTS: [&str; 4] =
    ["jobs/start-next", "jobs/$next/get", "jobs/+/update", "streams/+/get/cbor"];

/// Where it hears of jobs, and the answers, below the same.
pub const UPDATE_ANSWERS: [&str; 2] = ["jobs/#", "streams/#"];
