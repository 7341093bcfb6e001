//! The board's light, by `on` and `off` on the control topic, and a report every ten seconds on
//! the status topic.

#![no_std]
#![no_main]

use chip::{Board, Lamp};
use embedded_hal::digital::OutputPin;
use runtime::{pause, priority, spawn};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);

/// Stack of the task that reports, in words of four bytes.
const REPORT_STACK: u16 = 384;

fn start(mut light: Lamp, board: Board) {
    runtime::start(board, env!("CARGO_BIN_NAME"), VERSION, |thing, identity, plan| {
        plan.subscribe(identity.control_topic, 8, move |mut message| {
            let lit = match message.whole() {
                Some(b"on") => true,
                Some(b"off") => false,
                _ => return message.ignore(&"it is neither on nor off"),
            };
            let Ok(()) = light.set_state(lit.into());
            log::info!(target: "app", "the light is {}", if lit { "on" } else { "off" });
        });
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("report", REPORT_STACK, priority::ORDINARY, move || {
            loop {
                thing.report(topic, concat!("\"app\":\"", env!("CARGO_BIN_NAME"), "\""));
                pause(10_000);
            }
        });
    });
}
