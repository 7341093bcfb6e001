//! The board: QEMU's `kc705-nommu` machine with `-cpu lx106`.
//!
//! Facts only: where the LED is. The drivers are C.

#![no_std]

extern crate alloc;

pub mod semihost;

use app::{Led, LedState};

include!(concat!(env!("OUT_DIR"), "/facts.rs"));

/// The LED of `board.toml`. The emulator has no pins; the board's C shows each change on the
/// console.
pub struct BoardLed;

impl Led for BoardLed {
    fn set(&mut self, state: LedState) {
        // SAFETY: a pin of this board; any level is allowed at any time.
        unsafe { board_led_write((state == LedState::On) != LED_ACTIVE_LOW) };
    }
}

unsafe extern "C" {
    fn board_led_write(level: bool);
}
