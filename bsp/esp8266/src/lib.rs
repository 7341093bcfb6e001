//! The ESP8266 as boards use it: pins, flash, network, and the start of the application with
//! a board's facts. The C side is `bsp/esp8266/c`.

#![no_std]

#[cfg(feature = "radio")]
extern crate alloc;

pub mod flash;
#[cfg(feature = "radio")]
mod radio;
mod time;

use app::LedState;
pub use app::VERSION;
pub use slots::Descriptor;

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
}

/// Makes a crate the firmware of a board: its `main`, with the facts that the build script read
/// from the crate's `board.toml`.
#[macro_export]
macro_rules! board {
    () => {
        /// The facts of `board.toml`.
        const FACTS: $crate::Facts = include!(concat!(env!("OUT_DIR"), "/facts.rs"));

        /// What the image says of itself.
        #[used]
        #[unsafe(link_section = ".descriptor")]
        static DESCRIPTOR: $crate::Descriptor =
            $crate::Descriptor::new($crate::VERSION, FACTS.board);

        /// Called by the chip's start-up code.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> ! {
            $crate::start(&FACTS)
        }
    };
}

/// A light whose pin has been made an output.
struct Lamp(Light);

impl Lamp {
    /// Makes the pin an output, dark.
    fn new(light: Light) -> Self {
        // SAFETY: a pin of this board that drives nothing but its light.
        unsafe { chip_gpio_output(light.gpio.into(), light.active_low) };
        Self(light)
    }
}

impl app::Led for Lamp {
    fn set(&mut self, state: LedState) {
        let level = (state == LedState::On) != self.0.active_low;
        // SAFETY: `new` made the pin an output; any level is allowed at any time.
        unsafe { chip_gpio_write(self.0.gpio.into(), level) };
    }
}

/// Darkens the lights that the application does not know and launches the firmware. Called by a
/// board's `main`, with memory set up and the scheduler not yet running.
pub fn start(facts: &Facts) -> ! {
    for light in facts.other_lights {
        Lamp::new(*light);
    }
    #[cfg(feature = "radio")]
    let radio = Some(radio::Radio::take());
    #[cfg(not(feature = "radio"))]
    let radio = None::<app::wifi::NoRadio>;
    let time = app::TimeStore { kept: time::kept, keep: time::keep };
    launch::launch(Lamp::new(facts.led), time, radio)
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_gpio_output(pin: u32, level: bool);
    fn chip_gpio_write(pin: u32, level: bool);
}
