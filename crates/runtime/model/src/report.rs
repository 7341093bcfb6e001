//! What a device tells of itself: the runtime's facts as JSON, with the application's among them.

use alloc::string::String;
use core::fmt::{self, Write};

use crate::wifi::AccessPoint;

/// What the server publishes in the device's name when it is gone (MQTT's last
/// will). A report of a device that is there has `"online":true`.
pub const LAST_WILL: &str = r#"{"online":false}"#;

/// Most bytes of a text field; what is longer is cut.
pub const MAX_TEXT: usize = 32;

/// Most bytes of the crash record; what is longer is cut.
pub const MAX_CRASH: usize = 96;

/// Length in bytes that no report exceeds, the application's members left out, whatever its fields
/// hold: the key names and punctuation, eight numbers, four texts all of whose bytes must be escaped
/// (`\u0000`) and an SSID, which is ASCII already. A usual one has about 200, with Wi-Fi 300.
pub const MAX_LENGTH: usize = {
    const FIXED: &str = concat!(
        r#"{"online":true,"uptime_s":,"heap_free":,"heap_min":,"stack_min":,"stack_task":"","#,
        r#""reset":"","reconnects":,"version":"","wifi":{"ssid":"","#,
        r#""bssid":"00:00:00:00:00:00","channel":,"rssi":,"reconnects":},"#,
        r#""slot":"A","update":"failed","crash":""}"#
    );
    FIXED.len()
        + 6 * "4294967295".len()
        + "255".len()
        + "-128".len()
        + (3 * MAX_TEXT + MAX_CRASH) * r"\u0000".len()
        + MAX_TEXT * r"\\".len()
};

/// State of the radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wifi<'a> {
    /// The access point; none while there is no connection, when nothing can be published.
    pub access_point: Option<&'a AccessPoint>,
    /// How often a network was joined again since boot.
    pub reconnects: u32,
}

/// State of firmware and updates, on a board with two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// The slot that runs: A or B.
    pub slot: &'a str,
    /// What became of the last update: trial, good or failed; empty when there was none.
    pub outcome: &'a str,
}

/// State of the device at one moment.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// Seconds since boot.
    pub uptime_s: u32,
    /// Free heap in bytes.
    pub heap_free: u32,
    /// Least free heap since boot in bytes.
    pub heap_min: u32,
    /// Of all tasks, the least stack that one had left since boot, in bytes.
    pub stack_min: u32,
    /// The task that had it.
    pub stack_task: &'a str,
    /// The application's members of the object, as JSON without braces: `"led":"on"`. May be empty.
    pub own: &'a str,
    /// Why the device was last reset, as the board words it.
    pub reset: &'a str,
    /// How often the connection to the server was made again since boot.
    pub reconnects: u32,
    /// The firmware's version.
    pub version: &'a str,
    /// The radio, on a board that has one.
    pub wifi: Option<Wifi<'a>>,
    /// Slot and last update, on a board with two slots.
    pub update: Option<Update<'a>>,
    /// Record of a crash that no report has told of yet.
    pub crash: Option<&'a str>,
}

impl Report<'_> {
    /// The report as JSON (RFC 8259), at most [`MAX_LENGTH`] bytes, and the application's members.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Room for a usual report, so that it takes one allocation.
        let mut json = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = self.write_json(&mut json);
        json
    }

    /// Writes the report as JSON (RFC 8259), at most [`MAX_LENGTH`] bytes, and the application's members.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_json(&self, out: &mut impl Write) -> fmt::Result {
        write!(
            out,
            concat!(
                r#"{{"online":true,"uptime_s":{},"heap_free":{},"heap_min":{},"#,
                r#""stack_min":{},"stack_task":"{}",{}{}"reset":"{}","#,
                r#""reconnects":{},"version":"{}""#
            ),
            self.uptime_s,
            self.heap_free,
            self.heap_min,
            self.stack_min,
            Text(self.stack_task, MAX_TEXT),
            self.own,
            if self.own.is_empty() { "" } else { "," },
            Text(self.reset, MAX_TEXT),
            self.reconnects,
            Text(self.version, MAX_TEXT),
        )?;
        if let Some(Wifi { access_point: Some(access_point), reconnects }) = self.wifi {
            let AccessPoint { ssid, bssid: [a, b, c, d, e, f], channel, rssi, .. } = access_point;
            // An SSID may be any bytes; what is not ASCII shows as an escape.
            let mut name = String::with_capacity(MAX_TEXT);
            write!(name, "{ssid}")?;
            write!(
                out,
                concat!(
                    r#","wifi":{{"ssid":"{}","bssid":"{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}","#,
                    r#""channel":{},"rssi":{},"reconnects":{}}}"#
                ),
                Text(&name, MAX_TEXT),
                a,
                b,
                c,
                d,
                e,
                f,
                channel,
                rssi,
                reconnects
            )?;
        }
        if let Some(Update { slot, outcome }) = self.update {
            write!(out, r#","slot":"{slot}""#)?;
            if !outcome.is_empty() {
                write!(out, r#","update":"{outcome}""#)?;
            }
        }
        if let Some(crash) = self.crash {
            write!(out, r#","crash":"{}""#, Text(crash, MAX_CRASH))?;
        }
        out.write_char('}')
    }
}

/// Shows a text as the inside of a JSON string, cut after so many of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub &'a str, pub usize);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not a slice of the text: what core says of a bad one costs 6 KB of flash.
        let fits = |(at, character): &(usize, char)| at + character.len_utf8() <= self.1;
        for (_, character) in self.0.char_indices().take_while(fits) {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\0'..' ' => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}
