//! MQTT 3.1.1 over mutual TLS for safe Rust, on paho.mqtt.c.
//!
//! There is one [`Client`], owned by one task: paho keeps global state, and its maintainers
//! allow no client call from inside a callback. The callbacks, which run in paho's own task,
//! only copy what arrived into a bounded queue and wake the owner.

#![no_std]

extern crate alloc;

mod client;
mod error;

pub use client::{Client, Message, Options, Qos, Will};
pub use error::Error;
