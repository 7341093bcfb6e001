//! What comes on the control topic is shown on a display of 128 times 64 points with an SSD1306
//! (SDA at D2, SCL at D1). What is shown is published on the status topic.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::sync::Arc;

use chip::pins::Pull;
use chip::{Board, Delay, I2c, Lamp, Speed};
use runtime::rtos::{Duration, Queue};
use runtime::{Thing, made, priority, spawn};
use ssd1306::mode::{TerminalMode, TerminalModeError};
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);
chip::pins!();

/// Stack of the display's task, in words of four bytes.
const DISPLAY_STACK: u16 = 640;
/// Characters that the display has room for: eight lines of sixteen.
const MOST: usize = 8 * 16;

type Display = Ssd1306<I2CInterface<I2c>, DisplaySize128x64, TerminalMode>;

fn start(_light: Lamp, board: Board) {
    let pins = Pins::take().expect("nobody else takes them");
    let (sda, scl) = (pins.d2.into_open_drain(Pull::Up), pins.d1.into_open_drain(Pull::Up));
    let bus = I2c::new(sda, scl, Delay::new(), Speed::Fast);
    let display =
        Ssd1306::new(I2CDisplayInterface::new(bus), DisplaySize128x64, DisplayRotation::Rotate0)
            .into_terminal_mode();
    runtime::start(board, "display", VERSION, |thing, identity, plan| {
        let texts = Arc::new(made(Queue::new(2)));
        let for_display = texts.clone();
        plan.subscribe(identity.control_topic, MOST, move |mut message| {
            let text = message.whole().and_then(|text| core::str::from_utf8(text).ok());
            let Some(text) = text.filter(|text| text.is_ascii()) else {
                return message.ignore(&"a display takes up to 128 characters of ASCII");
            };
            if texts.send(String::from(text), Duration::zero()).is_err() {
                message.ignore(&"the display is busy");
            }
        });
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("display", DISPLAY_STACK, priority::ORDINARY, move || {
            run(display, &for_display, &thing, topic);
        });
    });
}

/// Shows text after text, for ever.
fn run(mut display: Display, texts: &Queue<String>, thing: &Thing, topic: &'static str) {
    loop {
        let Ok(text) = texts.receive(Duration::ms(60_000)) else { continue };
        match show(&mut display, &text) {
            Ok(()) => {
                if let Err(refused) = thing.post(topic, text) {
                    log::warn!(target: "app", "what is shown is not told: {refused}");
                }
            }
            Err(error) => log::warn!(target: "app", "nothing is shown: {error:?}"),
        }
    }
}

fn show(display: &mut Display, text: &str) -> Result<(), TerminalModeError> {
    // Each time anew: a display that was unplugged has forgotten its settings.
    display.init()?;
    display.clear()?;
    // Not by its fmt::Write, which in 0.10.0 shows the last character alone.
    text.chars().try_for_each(|character| display.print_char(character))
}
