//! The firmware for a NodeMCU.

#![no_std]
#![no_main]

use chip::{Facts, Light};

/// The one light that is the module's: on GPIO2, between pin and supply.
const NODEMCU: Facts = Facts { led: Light { gpio: 2, active_low: true }, other_lights: &[] };

/// Called by the chip's start-up code.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    chip::start(&NODEMCU)
}
