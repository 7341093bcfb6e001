//! The LED task.

use rtos::Duration;

use crate::{Led, LedState, Shared};

/// Switches the light as the control topic asks, for ever.
pub fn run(shared: &Shared, mut led: impl Led) {
    led.set(LedState::Off);
    loop {
        let Ok(state) = shared.commands.receive(Duration::infinite()) else {
            continue;
        };
        led.set(state);
        log::info!("LED {}", state.as_str());
        shared.facts.set_led(state);
        shared.status.wake();
    }
}
