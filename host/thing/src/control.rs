//! The verbs of the second terminal: `on`, `off`, `send`, `watch`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use cloud::client::MqttClient;
use cloud::client::operator_options;
use cloud::running::Running;
use process::interrupt::Interrupt;
use process::output;

use crate::context::Context;
use board::status::{Led, Report};
use cloud::pki::Pki;

/// How long the device may take to obey.
const OBEY_LIMIT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Switching {
    /// The firmware is an application of one's own: what it reports, nobody knows here
    #[arg(long)]
    application: bool,
}

/// Publishes any message.
pub fn send(context: &Context, message: &str) -> Result<()> {
    if message.is_empty() {
        bail!("send what? make send MESSAGE='{{\"led\":\"on\"}}'");
    }
    let (running, mut operator) = join_device(&context.settings.state)?;
    operator.publish(&running.topics.control, message.as_bytes(), false)?;
    output::line(format!(
        "sent to {}; what the device makes of it, it says on its console",
        running.topics.control
    ))
}

/// Switches the LED and waits until the device says that it did; to an application of one's own, the
/// command is sent like any message.
pub fn switch(context: &Context, led: Led, arguments: &Switching) -> Result<()> {
    if arguments.application {
        return send(context, led.word());
    }
    let (running, mut operator) = join_device(&context.settings.state)?;
    operator.subscribe(&running.topics.status)?;
    operator.publish(&running.topics.control, led.word().as_bytes(), false)?;
    output::line(format!("sent \"{}\" to {}", led.word(), running.topics.control))?;
    let deadline = Instant::now() + OBEY_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(message) = operator.next(left)? else {
            bail!(
                "the broker took the message, but no device answered within {} s: \
                 look at the console of `make run`",
                OBEY_LIMIT.as_secs()
            );
        };
        // A status sent before the command arrived still shows the old state.
        let status = Report::parse(&message.payload)?.online();
        if status.is_some_and(|status| status.led == led) {
            output::line(format!("the device's LED is {}", led.word()))?;
            return Ok(());
        }
    }
}

/// Prints each status until Ctrl-C or until the cloud stops.
pub fn watch(context: &Context) -> Result<()> {
    let state = &context.settings.state;
    let interrupt = Interrupt::watch()?;
    let (running, mut operator) = join(state)?;
    operator.subscribe(&running.topics.status)?;
    output::line(format!("watching {} (Ctrl-C ends)", running.topics.status))?;
    while !interrupt.happened() {
        match operator.next(Duration::from_millis(200)) {
            Ok(None) => {}
            Ok(Some(message)) => output::line(String::from_utf8_lossy(&message.payload))?,
            Err(_) if Running::find(state).is_err() => {
                output::line("`make run` has ended")?;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As [`join`], for what is said to the device: it must run.
fn join_device(state: &Path) -> Result<(Running, MqttClient)> {
    if !Running::find(state)?.board_runs {
        bail!("the board does not run its firmware yet: try again when its console shows lines");
    }
    join(state)
}

/// Connects to the local cloud as the operator.
pub fn join(state: &Path) -> Result<(Running, MqttClient)> {
    let running = Running::find(state)?;
    let pki = Pki::open(&running.certs, &running.thing, &[])?;
    let operator = MqttClient::connect(&operator_options(&pki, running.operator_port))
        .context("the local cloud does not answer: is `make run` just starting?")?;
    Ok((running, operator))
}
