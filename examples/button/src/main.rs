//! Each press of the board's button is a message on the status topic. The task sleeps until the
//! pin's interrupt wakes it.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;

use chip::pins::Event;
use chip::{Board, Lamp};
use embedded_hal::digital::InputPin;
use runtime::{priority, spawn};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);
chip::pins!();

/// Stack of the button's task, in words of four bytes.
const BUTTON_STACK: u16 = 384;
/// Milliseconds that the contacts of a button bounce, and more.
const BOUNCE_MS: u32 = 50;

fn start(_light: Lamp, board: Board) {
    let mut button = Pins::take().expect("nobody else takes them").flash.into_input();
    runtime::start(board, "button", VERSION, |thing, identity, _plan| {
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("button", BUTTON_STACK, priority::PROMPT, move || {
            let mut presses = 0u32;
            loop {
                if !button.wait(Event::Falling, 60_000) {
                    continue;
                }
                presses += 1;
                log::info!(target: "app", "pressed");
                // Kept until there is a connection. Eight presses are, not a whole night's.
                if let Err(refused) = thing.post(topic, format!(r#"{{"presses":{presses}}}"#)) {
                    log::warn!(target: "app", "press {presses} is not told: {refused}");
                }
                // Until it has been let go and has come to rest: both bounce.
                while button.wait(Event::Edge, BOUNCE_MS) || button.is_low() == Ok(true) {}
            }
        });
    });
}
