//! A sensor on a battery: it wakes, measures what is at A0, publishes that on the status topic, and
//! sleeps for ten minutes. D0 has to be wired to RST, or nothing wakes it.
//!
//! ```text
//! {"level":512,"woken_by":"deep-sleep"}
//! ```

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use core::time::Duration;

use chip::sleep::{self, Wake};
use chip::{Board, Lamp};
use runtime::{Thing, Waker, pause, priority, spawn};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::pins!();
chip::board!(start, VERSION);

/// How long it sleeps.
const SLEEP: Duration = Duration::from_secs(600);
/// Milliseconds after which it sleeps again although nobody answers: the battery is worth more than
/// this measurement.
const CONNECT_MS: u32 = 30_000;
const LEAVE_MS: u32 = 10_000;
/// Stack of the task, in words of four bytes.
const STACK: u16 = 384;

fn start(_light: Lamp, board: Board) {
    runtime::start(board, env!("CARGO_BIN_NAME"), VERSION, |thing, identity, plan| {
        let connected = Waker::new().expect("the heap holds it at start");
        plan.sleeps().report_due(connected.clone());
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("battery", STACK, priority::ORDINARY, move || run(&thing, topic, &connected));
    });
}

fn run(thing: &Thing, topic: &'static str, connected: &Waker) {
    let mut pins = Pins::take().expect("nobody else takes them");
    let level = pins.a0.read();
    let connected = connected.wait(CONNECT_MS);
    if connected {
        let woken_by = thing.reset_reason();
        let payload = match level {
            Ok(level) => format!("{{\"level\":{level},\"woken_by\":\"{woken_by}\"}}"),
            Err(dead) => format!("{{\"error\":\"{dead}\",\"woken_by\":\"{woken_by}\"}}"),
        };
        if let Err(error) = thing.post(topic, payload) {
            log::warn!(target: "app", "not published: {error}");
        }
    } else {
        log::warn!(target: "app", "no connection within {} s", CONNECT_MS / 1000);
    }
    // The message goes first. A new firmware on trial is given its time here, connected or not.
    thing.leave(if connected { LEAVE_MS } else { 0 });
    loop {
        let error = sleep::deep(Wake::After(SLEEP, &pins.d0));
        log::error!(target: "app", "it does not sleep: {error}");
        pause(60_000);
    }
}
