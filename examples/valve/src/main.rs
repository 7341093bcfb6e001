//! A valve that opens for as many seconds as the control topic says, tells when it has closed, and is not
//! left open by the restart into a new firmware. The board's light stands for it.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use chip::{Board, Lamp};
use embedded_hal::digital::OutputPin;
use runtime::rtos::{Duration, Queue};
use runtime::{made, pause, priority, spawn};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);

/// Stack of the valve's task, in words of four bytes.
const VALVE_STACK: u16 = 384;
/// Most seconds for which it is open.
const MOST_S: u16 = 600;

fn start(mut valve: Lamp, board: Board) {
    runtime::start(board, "valve", VERSION, |thing, identity, plan| {
        let wishes = Arc::new(made(Queue::<u16>::new(1)));
        // Wishes that are not done.
        let open = Arc::new(AtomicU32::new(0));
        plan.may_restart({
            let open = open.clone();
            move || open.load(Ordering::Acquire) == 0
        });
        plan.subscribe(identity.control_topic, 8, {
            let (wishes, open) = (wishes.clone(), open.clone());
            move |mut message| {
                let seconds = message.whole().and_then(|text| core::str::from_utf8(text).ok());
                let seconds = seconds.and_then(|text| text.parse().ok());
                let Some(seconds) = seconds.filter(|seconds| (1..=MOST_S).contains(seconds)) else {
                    return message.ignore(&"a valve opens for 1 to 600 seconds");
                };
                open.fetch_add(1, Ordering::AcqRel);
                if wishes.send(seconds, Duration::zero()).is_err() {
                    open.fetch_sub(1, Ordering::AcqRel);
                    message.ignore(&"it is open, and one wish waits");
                }
            }
        });
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("valve", VALVE_STACK, priority::PROMPT, move || {
            loop {
                let Ok(seconds) = wishes.receive(Duration::ms(60_000)) else { continue };
                let Ok(()) = valve.set_high();
                pause(1000 * u32::from(seconds));
                let Ok(()) = valve.set_low();
                if let Err(refused) = thing.post(topic, format!(r#"{{"open_for_s":{seconds}}}"#)) {
                    log::warn!(target: "app", "that it has closed is not told: {refused}");
                }
                open.fetch_sub(1, Ordering::AcqRel);
            }
        });
    });
}
