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
