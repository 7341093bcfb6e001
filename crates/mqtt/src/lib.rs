//! MQTT 3.1.1 over mutual TLS for safe Rust, on paho.mqtt.c.
//!
//! There is one [`Client`], owned by one task, which makes every call of paho: it has no thread
//! and no callbacks, and keeps nothing from one connection to the next. The owner asks for what
//! happened ([`Client::turn`]) when it is woken.

#![no_std]

extern crate alloc;

mod client;
mod error;
mod guard;

pub use client::{Client, Event, Message, Options, Qos, Will};
pub use error::{Error, Step};
