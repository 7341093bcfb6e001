//! Updates over the air as AWS does them: Jobs, MQTT file streams, and the store that those read.
//!
//! Devices talk to them on AWS's topics. A person's commands come by MQTT too, on a topic that only
//! the operator may use, and are those of the AWS CLI: [`account::Account`]. Everything lies in a
//! folder, so that a cloud that was stopped goes on where it was.

pub mod account;
pub mod jobs;
mod requests;
pub mod service;
pub mod streams;

pub use account::{Account, Refused};
pub use requests::Requests;
pub use service::Service;

use serde_json::Value;

/// What is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The topic.
    pub topic: String,
    /// The message.
    pub payload: Vec<u8>,
}

impl Outgoing {
    fn json(topic: &str, body: &Value) -> Self {
        Self { topic: topic.to_owned(), payload: body.to_string().into_bytes() }
    }
}

/// Why a request of a thing is refused; `code` is AWS's word.
#[derive(Clone, Debug, PartialEq)]
struct Refusal {
    code: &'static str,
    message: String,
    state: Option<Value>,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), state: None }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidRequest", message)
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFound", message)
    }
}
