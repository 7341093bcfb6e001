//! The board: QEMU's `kc705-nommu` machine with `-cpu lx106`.
//!
//! Facts only: where the LED is, where the identity lies, which driver drives the network.

#![no_std]

extern crate alloc;

pub mod semihost;

use app::{Led, LedState};
use vendor_sys as sys;

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

/// The identity region of the flash.
pub fn identity_region() -> &'static [u8] {
    unsafe extern "C" {
        static _identity_start: [u8; identity::REGION_SIZE];
    }
    // SAFETY: the linker script reserves this part of the flash window; the emulator lets it
    // be read by the byte, and nothing writes to it while the firmware runs.
    unsafe { &_identity_start }
}

/// The network driver: OpenCores Ethernet.
pub fn network() -> net::Driver {
    // SAFETY: `board_netif_init` is written to lwIP's `netif_init_fn`.
    unsafe { net::Driver::new(board_netif_init) }
}

/// Unpredictable 32 bits.
///
/// # Panics
/// When the random source failed: nothing secret may be made without it.
pub fn random() -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: fills the four bytes that it is given.
    let code = unsafe { sys::fw_random(bytes.as_mut_ptr(), bytes.len() as _) };
    assert_eq!(code, 0, "the random source failed");
    u32::from_le_bytes(bytes)
}

unsafe extern "C" {
    fn board_led_write(level: bool);
    fn board_netif_init(netif: *mut sys::netif) -> sys::err_t;
}
