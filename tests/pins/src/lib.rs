//! A board's pins, compiled for this machine: what an application may do with them, and what the
//! compiler refuses. Each example that must not compile names the error for which it does not.
//!
//! Pins that nothing else needs, by their names on a NodeMCU:
//!
//! ```no_run
//! use chip::pins::Pull;
//! use pin_tests as chip;
//! use pin_tests::nodemcu::Pins;
//!
//! let Pins { a0, d0, d1, d2, d5, d6, d7, flash, .. } = Pins::take().unwrap();
//! let outputs = [d1.into_output(false), d2.into_output(true)];
//! let inputs = [d5.into_input(Pull::Up), flash.into_input()];
//! let lines = [d6.into_open_drain(Pull::None), d7.into_open_drain(Pull::Up)];
//! # let _ = (a0, d0, outputs, inputs, lines);
//! ```
//!
//! and on a HUZZAH, whose names are numbers:
//!
//! ```no_run
//! let pins = pin_tests::huzzah::Pins::take().unwrap();
//! let output = pins.gpio13.into_output(false);
//! # let _ = output;
//! ```
//!
//! A name may be a word of Rust:
//!
//! ```no_run
//! let pins = pin_tests::words::Pins::take().unwrap();
//! let output = pins.r#do.into_output(false);
//! # let _ = (output, pins.r#in, pins.r#if, pins.r#gen);
//! ```
//!
//! The light's pin is the light's (D4 of a NodeMCU, GPIO0 and 2 of a HUZZAH):
//!
//! ```compile_fail,E0609
//! let light = pin_tests::nodemcu::Pins::take().unwrap().d4;
//! ```
//! ```compile_fail,E0609
//! let light = pin_tests::huzzah::Pins::take().unwrap().gpio0;
//! ```
//! ```compile_fail,E0609
//! let light = pin_tests::huzzah::Pins::take().unwrap().gpio2;
//! ```
//!
//! The button's is the button's, and an input:
//!
//! ```compile_fail,E0609
//! let button = pin_tests::nodemcu::Pins::take().unwrap().d3;
//! ```
//! ```compile_fail,E0599
//! let button = pin_tests::nodemcu::Pins::take().unwrap().flash.into_output(true);
//! ```
//!
//! A strap is nobody's:
//!
//! ```compile_fail,E0609
//! let strap = pin_tests::nodemcu::Pins::take().unwrap().d8;
//! ```
//! ```compile_fail,E0609
//! let strap = pin_tests::huzzah::Pins::take().unwrap().gpio15;
//! ```
//!
//! Console and flash have no name, and no `Pin` is made of them even where one may be made:
//!
//! ```compile_fail,E0080
//! let console = unsafe { pin_tests::pins::Pin::<1>::new() };
//! ```
//! ```compile_fail,E0080
//! let flash = unsafe { pin_tests::pins::Pin::<6>::new() };
//! ```
//!
//! A pin has one owner, and one use:
//!
//! ```compile_fail,E0382
//! let pins = pin_tests::nodemcu::Pins::take().unwrap();
//! let output = pins.d1.into_output(false);
//! let another = pins.d1.into_output(false);
//! ```
//! ```compile_fail,E0277
//! fn output(_: impl embedded_hal::digital::OutputPin) {}
//! let pins = pin_tests::nodemcu::Pins::take().unwrap();
//! output(pins.d1.into_input(pin_tests::pins::Pull::Up));
//! ```
//!
//! Nobody makes one by himself:
//!
//! ```compile_fail,E0133
//! let pin = pin_tests::pins::Pin::<5>::new();
//! ```
//! ```compile_fail,E0603
//! let pin = pin_tests::pins::Pin::<5>(());
//! ```
//! ```compile_fail,E0599
//! let pins = pin_tests::nodemcu::Pins::take().unwrap();
//! let copy = pins.d1.clone();
//! ```

// What the boards' pins call it.
extern crate self as chip;

#[path = "../../../bsp/esp8266/src/adc.rs"]
pub mod adc;
#[path = "../../../bsp/esp8266/src/pins.rs"]
pub mod pins;
#[path = "../../../bsp/esp8266/src/pwm.rs"]
pub mod pwm;
#[path = "../../../bsp/esp8266/src/sleep.rs"]
pub mod sleep;

/// A NodeMCU's.
pub mod nodemcu {
    include!(concat!(env!("OUT_DIR"), "/nodemcu.rs"));
}

/// A HUZZAH's.
pub mod huzzah {
    include!(concat!(env!("OUT_DIR"), "/huzzah.rs"));
}

/// Those of a board whose names are words of Rust.
pub mod words {
    include!(concat!(env!("OUT_DIR"), "/words.rs"));
}
