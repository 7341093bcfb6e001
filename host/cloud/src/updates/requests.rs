//! A person's commands on their way to the cloud that runs in another terminal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::{Arguments, Refused};
use crate::client::MqttClient;

/// Commands go here; the operator alone may publish to it.
pub(super) const TOPIC: &str = "local-cloud/calls";
/// How long the cloud may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A command.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Call {
    /// Whoever asks, and which of the questions it is.
    pub asker: String,
    pub number: u64,
    pub service: String,
    pub operation: String,
    pub arguments: Arguments,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub number: u64,
    pub result: Result<Value, Refused>,
}

pub(super) fn reply_topic(asker: &str) -> String {
    format!("local-cloud/replies/{asker}")
}

/// The way to the account of a cloud that runs.
#[derive(Debug)]
pub struct Requests {
    operator: MqttClient,
    asker: String,
    asked: u64,
}

impl Requests {
    /// By this connection of the operator.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn new(mut operator: MqttClient) -> Result<Self> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let asker = format!("{}-{}", std::process::id(), since.unwrap_or_default().as_nanos());
        operator.subscribe(&reply_topic(&asker))?;
        Ok(Self { operator, asker, asked: 0 })
    }

    /// The command `aws SERVICE OPERATION ARGUMENTS…`: its answer, or how it was refused.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub fn call(
        &mut self,
        service: &str,
        operation: &str,
        arguments: Arguments,
    ) -> Result<Result<Value, Refused>> {
        self.asked += 1;
        let call = Call {
            asker: self.asker.clone(),
            number: self.asked,
            service: service.to_owned(),
            operation: operation.to_owned(),
            arguments,
        };
        self.operator.publish(TOPIC, &serde_json::to_vec(&call)?, false)?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(message) = self.operator.next(left)? else {
                bail!("the local cloud does not answer: is it still running?");
            };
            let reply: Reply = serde_json::from_slice(&message.payload)
                .context("the local cloud answers in another way: start it anew")?;
            if reply.number == self.asked {
                return Ok(reply.result);
            }
        }
    }
}
