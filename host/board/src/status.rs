//! The device's status as it arrives.

use anyhow::{Context, Result};
use serde::Deserialize;

/// The fields of a status that the host looks at; a status may have more.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Status {
    /// Seconds since the device's start.
    pub uptime_s: u64,
    /// Bytes of heap that are free.
    pub heap_free: u64,
    /// The least that ever was free.
    pub heap_min: u64,
    /// Of all tasks, the least stack that one had left, in bytes.
    pub stack_min: u64,
    /// The LED.
    pub led: Led,
    /// Why the device started.
    pub reset: String,
    /// Connections made after the first.
    pub reconnects: u64,
}

/// The state of the LED.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Led {
    /// Lit.
    On,
    /// Dark.
    Off,
}

impl Led {
    /// The word for it, which is also the command.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// A message of the status topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What the device says of itself.
    Online(Status),
    /// The device's last will: the broker has lost it.
    Offline,
}

impl Report {
    /// Reads a message of the status topic.
    ///
    /// # Errors
    /// When it is not the JSON object that the firmware documents.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Presence {
            online: bool,
        }
        let parse = || -> serde_json::Result<Self> {
            let Presence { online } = serde_json::from_slice(payload)?;
            Ok(if online { Self::Online(serde_json::from_slice(payload)?) } else { Self::Offline })
        };
        parse().with_context(|| format!("not a status: {}", String::from_utf8_lossy(payload)))
    }

    /// The status, unless the device is gone.
    #[must_use]
    pub fn online(self) -> Option<Status> {
        match self {
            Self::Online(status) => Some(status),
            Self::Offline => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_fields_are_allowed() {
        let report = Report::parse(
            br#"{"online":true,"uptime_s":12,"heap_free":20000,"heap_min":15000,
                "stack_min":300,"stack_task":"link","led":"on","reset":"power-on",
                "reconnects":0,"version":"0.1.0","more":null}"#,
        );
        let status = report.unwrap().online().unwrap();
        assert_eq!(status.led, Led::On);
        assert_eq!(status.uptime_s, 12);
    }

    #[test]
    fn a_last_will_is_no_status() {
        let report = Report::parse(br#"{"online":false}"#).unwrap();
        assert_eq!(report, Report::Offline);
    }

    #[test]
    fn other_messages_are_refused() {
        assert!(Report::parse(b"{}").is_err());
        assert!(Report::parse(br#"{"online":true}"#).is_err());
        assert!(Report::parse(b"gone").is_err());
    }
}
