//! The ESP8266 as boards use it: pins, flash, network, and the start of the application with
//! a board's facts. The C side is `bsp/esp8266/c`.

#![no_std]

pub mod flash;
mod time;

use app::LedState;
use vendor_sys as sys;

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

/// Hands the board's facts to the application and starts the kernel. Called by a board's
/// `main`, with memory set up and the scheduler not yet running.
pub fn start(facts: &Facts) -> ! {
    for light in facts.other_lights {
        Lamp::new(*light);
    }
    app::start(app::Board {
        led: Lamp::new(facts.led),
        identity_region: identity_region(),
        network: network(),
        random,
        time: app::TimeStore { kept: time::kept, keep: time::keep },
        reset_reason: lx106::reset_reason().as_str(),
        crash: lx106::crash_record(),
        forget_crash: lx106::forget_crash,
        give_up: lx106::give_up,
    });
    rtos::run()
}

/// The identity region: flash at 0xF8000, in the cache's window.
fn identity_region() -> &'static [u8] {
    unsafe extern "C" {
        static _identity_start: [u8; identity::REGION_SIZE];
    }
    // SAFETY: the linker script keeps the firmware below it. Flash delivers words only, but
    // loads of bytes are emulated (bsp/lx106/c/subword.S). Nothing writes to it while the
    // firmware runs.
    unsafe { &_identity_start }
}

/// The network driver.
fn network() -> net::Driver {
    // SAFETY: `board_netif_init` is written to lwIP's `netif_init_fn`.
    unsafe { net::Driver::new(board_netif_init) }
}

/// Unpredictable 32 bits.
///
/// # Panics
/// When the random source failed: nothing secret may be made without it.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: fills the four bytes that it is given.
    let code = unsafe { sys::fw_random(bytes.as_mut_ptr(), bytes.len() as _) };
    assert_eq!(code, 0, "the random source failed");
    u32::from_le_bytes(bytes)
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_gpio_output(pin: u32, level: bool);
    fn chip_gpio_write(pin: u32, level: bool);
    fn board_netif_init(netif: *mut sys::netif) -> sys::err_t;
}
