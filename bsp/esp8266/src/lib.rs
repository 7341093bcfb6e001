//! The ESP8266 as boards use it: pins, flash, network, and the start of the application with
//! a board's facts. The C side is `bsp/esp8266/c`.
//!
//! ```ignore
//! // What a board's `main` does, with the facts of its board.toml:
//! let led = Light { gpio: 2, active_low: true };
//! chip::start(&Facts { board: "lamp", led, other_lights: &[], updates: true }, app::start)
//! ```

#![no_std]

#[cfg(feature = "radio")]
extern crate alloc;

pub mod adc;
mod delay;
pub mod flash;
pub mod pins;
pub mod pwm;
#[cfg(feature = "radio")]
mod radio;
pub mod sleep;
mod slots;
pub mod spi;
mod time;
pub mod uart;

pub use ::slots::Descriptor;
pub use delay::Delay;
pub use soft_i2c::{Error as I2cError, Speed};

use core::convert::Infallible;

use crate::slots::Slots;

use embedded_hal::digital::{ErrorType, OutputPin, PinState};

/// An I2C bus on two pins.
pub type I2c = soft_i2c::I2c<pins::OpenDrain, pins::OpenDrain, Delay>;

/// A light on a pin.
#[derive(Clone, Copy, Debug)]
pub struct Light {
    /// Its GPIO: 0, 2, 4, 5 or 12 to 15.
    pub gpio: u8,
    /// Whether it is lit while the pin is low.
    pub active_low: bool,
}

/// What tells one board from another.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its name.
    pub board: &'static str,
    /// The light that the application switches.
    pub led: Light,
    /// Lights that it does not know; they are kept dark.
    pub other_lights: &'static [Light],
    /// Whether it takes updates over the air: its flash has room for a second firmware, and whoever
    /// built it did not leave them out.
    pub updates: bool,
}

/// Makes a crate the firmware of a board: its `main`, with the facts that the build script read
/// from a `board.toml`. Takes the application's start, called with its [`Lamp`] and the runtime's
/// facts of the board, and its version.
///
/// ```ignore
/// chip::board!(app::start, app::VERSION);
/// ```
#[macro_export]
macro_rules! board {
    ($start:expr, $version:expr) => {
        /// The facts of `board.toml`.
        const FACTS: $crate::Facts = include!(concat!(env!("OUT_DIR"), "/facts.rs"));

        /// What the image says of itself.
        #[used]
        #[unsafe(link_section = ".descriptor")]
        static DESCRIPTOR: $crate::Descriptor = $crate::Descriptor::new($version, FACTS.board);

        /// Called by the chip's start-up code.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ! {
            $crate::start(&FACTS, $start)
        }
    };
}

/// The board's radio, or that there is none in this build.
#[cfg(feature = "radio")]
pub type Radio = radio::Radio;
/// The board's radio, or that there is none in this build.
#[cfg(not(feature = "radio"))]
pub type Radio = runtime::wifi::NoRadio;

/// What the runtime needs of the board.
pub type Board = runtime::Board<Radio>;

/// Declares `Pins`: what the board of the crate leaves to an application, as the build script made
/// it from `board.toml`. `Pins::take` hands them out once.
#[macro_export]
macro_rules! pins {
    () => {
        include!(concat!(env!("OUT_DIR"), "/pins.rs"));
    };
}

/// A light: lit while this output is high, whatever its pin is.
pub struct Lamp {
    pin: pins::Output,
    active_low: bool,
}

impl Lamp {
    /// Makes the pin an output, dark.
    fn new(Light { gpio, active_low }: Light) -> Self {
        Self { pin: pins::Output::new(gpio, active_low), active_low }
    }
}

impl ErrorType for Lamp {
    type Error = Infallible;
}

impl OutputPin for Lamp {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::Low)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::High)
    }

    fn set_state(&mut self, lit: PinState) -> Result<(), Infallible> {
        self.pin.set_state((bool::from(lit) != self.active_low).into())
    }
}

/// Darkens the lights that the application does not know and launches it. Called by a board's
/// `main`, with memory set up and the scheduler not yet running.
pub fn start(facts: &Facts, application: impl FnOnce(Lamp, Board)) -> ! {
    for light in facts.other_lights {
        Lamp::new(*light);
    }
    #[cfg(feature = "radio")]
    let radio = Some(Radio::take());
    #[cfg(not(feature = "radio"))]
    let radio = None;
    let time = runtime::TimeStore { kept: time::kept, keep: time::keep };
    let lamp = Lamp::new(facts.led);
    let slots = facts
        .updates
        .then(|| runtime::update::Slots::new(Slots::running(), &Slots, lx106::restart));
    launch::launch(time, radio, slots, |board| application(lamp, board))
}
