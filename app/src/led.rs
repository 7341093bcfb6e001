//! The LED task.

use rtos::{Duration, Queue, watchdog};

use crate::status::Reporter;
use crate::{Led, LedState};

/// Milliseconds between two signs of life when nobody asks for anything.
const WAIT_MS: u32 = 10_000;
/// Seconds within which the task shows life: it only ever waits for that long, or for the
/// console.
const LIFE_S: u16 = 30;

/// Switches the light as the control topic asks, for ever.
pub fn run(commands: &Queue<LedState>, status: &Reporter, mut led: impl Led) {
    let Ok(()) = led.set_low();
    loop {
        watchdog::alive(LIFE_S);
        let Ok(state) = commands.receive(Duration::ms(WAIT_MS)) else {
            continue;
        };
        let Ok(()) = led.set_state((state == LedState::On).into());
        log::info!("LED {}", state.as_str());
        status.set_led(state);
    }
}
