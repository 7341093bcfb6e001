//! The LED task.

use rtos::{Duration, watchdog};

use crate::{Led, LedState, Shared};

/// Milliseconds between two signs of life when nobody asks for anything.
const WAIT_MS: u32 = 10_000;
/// Seconds within which the task shows life: it only ever waits for that long, or for the
/// console.
const LIFE_S: u16 = 30;

/// Switches the light as the control topic asks, for ever.
pub fn run(shared: &Shared, mut led: impl Led) {
    let Ok(()) = led.set_low();
    loop {
        watchdog::alive(LIFE_S);
        let Ok(state) = shared.commands.receive(Duration::ms(WAIT_MS)) else {
            continue;
        };
        let Ok(()) = led.set_state((state == LedState::On).into());
        log::info!("LED {}", state.as_str());
        shared.facts.set_led(state);
        shared.status.wake();
    }
}
