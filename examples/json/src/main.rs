//! Two topics with JSON: what comes on the control topic sets how the board's light blinks,
//! `{"period_ms":500}` or `{"lit":false}`; what holds is published on the status topic.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::sync::Arc;

use chip::{Board, Lamp};
use embedded_hal::digital::OutputPin;
use runtime::rtos::{Duration, Queue};
use runtime::{Thing, made, priority, spawn};
use serde::{Deserialize, Serialize};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);

/// Stack of the light's task, in words of four bytes.
const LIGHT_STACK: u16 = 512;
/// The longest message that is read, in bytes.
const LONGEST: usize = 64;
/// Milliseconds between two changes of the light that its task can keep.
const PERIODS_MS: core::ops::RangeInclusive<u32> = 20..=60_000;

/// What may be asked for; what is left out stays as it is.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    lit: Option<bool>,
    period_ms: Option<u32>,
}

/// How the light blinks.
#[derive(Clone, Copy, Serialize)]
struct State {
    lit: bool,
    period_ms: u32,
}

impl State {
    /// As it is after a wish.
    fn after(self, wish: Wish) -> Self {
        Self {
            lit: wish.lit.unwrap_or(self.lit),
            period_ms: wish.period_ms.unwrap_or(self.period_ms),
        }
    }

    fn publish(&self, thing: &Thing, topic: &'static str) {
        let mut text = [0; LONGEST];
        let length = serde_json_core::to_slice(self, &mut text).expect("a state has 35 bytes");
        if let Err(refused) = thing.post(topic, &text[..length]) {
            log::warn!(target: "app", "the state is not told: {refused}");
        }
    }
}

fn start(light: Lamp, board: Board) {
    runtime::start(board, "json", VERSION, |thing, identity, plan| {
        let wishes = Arc::new(made(Queue::new(4)));
        let for_light = wishes.clone();
        // A handler runs in the task that keeps the connection: it hands over and does not wait.
        plan.subscribe(identity.control_topic, LONGEST, move |mut message| {
            let Some(text) = message.whole() else {
                return message.ignore(&"it is too long");
            };
            let wish: Wish = match serde_json_core::from_slice(text) {
                Ok((wish, _)) => wish,
                Err(error) => return message.ignore(&error),
            };
            if wish.period_ms.is_some_and(|period| !PERIODS_MS.contains(&period)) {
                return message.ignore(&"period_ms is 20 to 60000");
            }
            if wishes.send(wish, Duration::zero()).is_err() {
                message.ignore(&"too many at once");
            }
        });
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("light", LIGHT_STACK, priority::PROMPT, move || {
            blink(light, &for_light, &thing, topic);
        });
    });
}

/// Blinks for ever.
fn blink(mut light: Lamp, wishes: &Queue<Wish>, thing: &Thing, topic: &'static str) {
    let mut state = State { lit: true, period_ms: 1000 };
    let mut shines = false;
    state.publish(thing, topic);
    loop {
        shines = state.lit && !shines;
        let Ok(()) = light.set_state(shines.into());
        if let Ok(wish) = wishes.receive(Duration::ms(state.period_ms)) {
            state = state.after(wish);
            state.publish(thing, topic);
        }
    }
}
