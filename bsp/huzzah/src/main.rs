//! The firmware for an Adafruit HUZZAH.

#![no_std]
#![no_main]

use chip::{Facts, Light};

/// The red light on GPIO0 is the application's; the module's blue one on GPIO2 stays dark.
/// Both lie between pin and supply.
const HUZZAH: Facts = Facts {
    led: Light { gpio: 0, active_low: true },
    other_lights: &[Light { gpio: 2, active_low: true }],
};

/// Called by the chip's start-up code.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    chip::start(&HUZZAH)
}
