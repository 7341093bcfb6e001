//! An update over the air as the device sees it, apart from the network, the flash and the clock:
//! what the server's messages mean, what is still missing, and what comes next.
//!
//! AWS IoT's jobs say what is to be done (JSON, "AWS IoT Jobs developer guide"), its MQTT file
//! streams bring the image block by block (CBOR, "MQTT-based file delivery"). The job document is
//! that of AWS's own OTA service (`create-ota-update`), or a plain one ([`job`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod base64;
pub mod install;
pub mod job;
pub mod json;
pub mod machine;
pub mod progress;
pub mod stream;
