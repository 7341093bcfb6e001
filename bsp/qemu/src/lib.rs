//! The board: QEMU's `kc705-nommu` machine with `-cpu lx106`.
//!
//! Facts only: where the LED is. The drivers are C.
//!
//! ```ignore
//! BoardLed.set_high()?; // the console shows "[board] LED blue (GPIO2) on"
//! ```

#![no_std]

extern crate alloc;

pub mod semihost;

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, OutputPin, PinState};

include!(concat!(env!("OUT_DIR"), "/facts.rs"));

/// Where another board declares its `Pins`.
#[macro_export]
macro_rules! pins {
    () => {
        compile_error!(
            "QEMU's board has a light, but no pins, buses, pulses, converter or deep sleep: build for a board \
             with the chip, such as BOARD=nodemcu, which runs on a virtual one"
        );
    };
}

/// The LED of `board.toml`, lit while the output is high. The emulator has no pins; the board's C shows each change on the
/// console.
pub struct BoardLed;

impl ErrorType for BoardLed {
    type Error = Infallible;
}

impl OutputPin for BoardLed {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::Low)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::High)
    }

    fn set_state(&mut self, lit: PinState) -> Result<(), Infallible> {
        // SAFETY: a pin of this board; any level is allowed at any time.
        unsafe { board_led_write(bool::from(lit) != LED_ACTIVE_LOW) };
        Ok(())
    }
}

unsafe extern "C" {
    fn board_led_write(level: bool);
}
