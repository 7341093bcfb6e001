//! MQTT 3.1.1 over mutual TLS for safe Rust, on paho.mqtt.c.
//!
//! There is one [`Client`], owned by one task, which makes every call of paho: it has no thread
//! and no callbacks, and keeps nothing from one connection to the next. The owner asks for what
//! happened ([`Client::turn`]) when it is woken.
//!
//! ```ignore
//! // In the link task, with the network up:
//! client.connect(&options)?;
//! client.subscribe("esp8266/control", Qos::AtLeastOnce)?;
//! client.publish("esp8266/status", b"{}", Qos::AtLeastOnce)?;
//! while let Some(event) = client.turn()? {
//!     match event {
//!         Event::Message(message) => log::info!("{} bytes on {}", message.length, message.topic),
//!         Event::Published => log::info!("the server has it"),
//!     }
//! }
//! ```

#![no_std]

extern crate alloc;

mod client;
mod error;
mod guard;

pub use client::{Client, Event, Message, Options, Qos, Will};
pub use error::{Error, Step};
