//! What the device does: it reports its status to `esp8266/status` and switches its LED when
//! `esp8266/control` says so. Topics come from the identity; these are their defaults.
//!
//! Two tasks, and the runtime's (`crates/runtime`):
//!
//! ```text
//!            control            LED state
//!   link ───────────────► led ────────────► status
//!    ▲                                        │
//!    └────────────────────────────────────────┘
//!                 report (newest only)
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod led;
mod status;

use alloc::sync::Arc;
use core::convert::Infallible;

use app_model::Led as LedState;
use app_model::command::{self, Command};
use embedded_hal::digital::OutputPin;
use rtos::{Duration, Queue};
use runtime::model::report::LAST_WILL;
use runtime::wifi::Wifi;
use runtime::{Identity, Plan, Received, Thing, made, priority, spawn};

/// The firmware's version.
pub const VERSION: &str = runtime::version!();

/// A light that is lit while its output is high. The board hides pin and polarity.
pub trait Led: OutputPin<Error = Infallible> + Send + 'static {}

impl<L: OutputPin<Error = Infallible> + Send + 'static> Led for L {}

/// Stacks of the tasks, in words: what `status=debug` in the log shows as used, and a third more.
const STATUS_STACK: u16 = 352;
const LED_STACK: u16 = 288;

/// Hands the application to the runtime: with this light, on this board. It begins when the
/// scheduler starts.
///
/// # Panics
/// When the heap cannot hold it: the image is wrong for its board.
pub fn start<L: Led, W: Wifi>(led: L, board: runtime::Board<W>) {
    runtime::start(board, "esp8266-aws-iot", VERSION, |thing, identity, plan| {
        prepare(led, thing, identity, plan);
    });
}

fn prepare(led: impl Led, thing: &Thing, identity: &Identity<'static>, plan: &mut Plan) {
    let commands = Arc::new(made(Queue::new(4)));
    let status = status::Reporter::new(thing.clone(), identity.status_topic);
    spawn("led", LED_STACK, priority::PROMPT, {
        let (commands, status) = (commands.clone(), status.clone());
        move || led::run(&commands, &status, led)
    });
    plan.last_will(identity.status_topic, LAST_WILL).report_due(status.due()).subscribe(
        identity.control_topic,
        command::MAX_PAYLOAD,
        move |message| {
            obey(&commands, message);
        },
    );
    spawn("status", STATUS_STACK, priority::ORDINARY, move || status.run());
}

/// Does what a message on the control topic says, or says why not.
fn obey(commands: &Queue<LedState>, mut message: Received<'_>) {
    match message.whole().map_or(Err(command::Reason::TooLong), command::parse) {
        Ok(Command::SetLed(state)) => {
            if commands.send(state, Duration::zero()).is_err() {
                log::warn!("command dropped: the LED task is busy");
            }
        }
        Err(reason) => message.ignore(&reason),
    }
}
