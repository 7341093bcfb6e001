//! Pins, by embedded-hal's traits. A pin has one owner, which chooses what it is. A board's
//! `Pins` (`chip::pins!`) has those that nothing else uses, by the names printed on the board.
//!
//! ```ignore
//! chip::pins!();
//!
//! let pins = Pins::take().expect("nobody else takes them");
//! let mut light = pins.d5.into_output(false);
//! light.set_high()?;
//! let mut button = pins.flash.into_input();
//! if button.wait(Event::Falling, 10_000) { /* pressed within ten seconds */ }
//! let (sda, scl) = (pins.d2.into_open_drain(Pull::Up), pins.d1.into_open_drain(Pull::Up));
//! let mut bus = I2c::new(sda, scl, Delay::new(), Speed::Fast);
//! ```

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin, PinState, StatefulOutputPin};

/// A pin that nobody uses yet. `GPIO` is 0, 2, 4, 5 or 12 to 15: the others belong to the flash,
/// the console and the RTC.
#[derive(Debug)]
pub struct Pin<const GPIO: u8>(());

/// A strap that a button of the board pulls to ground: an input, because the button would meet an
/// output's high level as a short circuit.
#[derive(Debug)]
pub struct Button<const GPIO: u8>(Pin<GPIO>);

/// The resistor at an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// None: something else must hold the level.
    None,
    /// The chip's, to the supply: 30 to 100 kohm.
    Up,
}

/// What a task can wait for at a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// From low to high.
    Rising = 1,
    /// From high to low.
    Falling = 2,
    /// A change.
    Edge = 3,
    /// The pin is low, or becomes it.
    Low = 4,
    /// The pin is high, or becomes it.
    High = 5,
}

impl<const GPIO: u8> Pin<GPIO> {
    /// The pin, for a board that hands it to the application.
    ///
    /// # Safety
    /// Nobody else has it: neither a light of the board nor another `Pin`.
    pub const unsafe fn new() -> Self {
        const {
            assert!(
                matches!(GPIO, 0 | 2 | 4 | 5 | 12..=15),
                "the console, the flash or the RTC has this pin"
            );
        };
        Self(())
    }

    /// An output at this level.
    pub fn into_output(self, high: bool) -> Output {
        Output::new(GPIO, high)
    }

    /// An input.
    pub fn into_input(self, pull: Pull) -> Input {
        // SAFETY: a pin that `new` allows, and ours.
        unsafe { chip_gpio_input(GPIO.into(), pull == Pull::Up) };
        Input { gpio: GPIO }
    }

    /// An open-drain output, let go.
    pub fn into_open_drain(self, pull: Pull) -> OpenDrain {
        // SAFETY: as above.
        unsafe { chip_gpio_open_drain(GPIO.into(), pull == Pull::Up) };
        OpenDrain { gpio: GPIO }
    }
}

impl<const GPIO: u8> Button<GPIO> {
    /// The button, for a board that hands it to the application.
    ///
    /// # Safety
    /// As [`Pin::new`].
    pub const unsafe fn new() -> Self {
        // SAFETY: by the caller's promise.
        Self(unsafe { Pin::new() })
    }

    /// An input with the chip's pull-up: low while the button is pressed.
    pub fn into_input(self) -> Input {
        self.0.into_input(Pull::Up)
    }
}

/// An output that drives both levels.
#[derive(Debug)]
pub struct Output {
    gpio: u8,
    high: bool,
}

/// An input.
#[derive(Debug)]
pub struct Input {
    gpio: u8,
}

/// An output that pulls to ground or lets go, and shows the level that is there.
#[derive(Debug)]
pub struct OpenDrain {
    gpio: u8,
}

fn is_high(gpio: u8) -> bool {
    // SAFETY: reads a register.
    unsafe { chip_gpio_read(gpio.into()) }
}

impl Output {
    /// Makes a pin an output that nobody else has.
    pub(crate) fn new(gpio: u8, high: bool) -> Self {
        // SAFETY: any level is allowed; C refuses what is no free pin.
        unsafe { chip_gpio_output(gpio.into(), high) };
        Self { gpio, high }
    }

    /// Its number, for a driver that moves in.
    pub(crate) fn gpio(&self) -> u8 {
        self.gpio
    }
}

impl Input {
    /// Blocks the calling task until `event` happens at the pin, `milliseconds` at most (in steps of
    /// 5); whether it happened. An edge from before the call does not count.
    pub fn wait(&mut self, event: Event, milliseconds: u32) -> bool {
        // SAFETY: a pin of ours, so that no other task waits for it.
        unsafe { chip_gpio_wait(self.gpio.into(), event as u32, milliseconds) }
    }
}

impl ErrorType for Input {
    type Error = Infallible;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(is_high(self.gpio))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!is_high(self.gpio))
    }
}

impl ErrorType for Output {
    type Error = Infallible;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::Low)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set_state(PinState::High)
    }

    fn set_state(&mut self, state: PinState) -> Result<(), Infallible> {
        self.high = state.into();
        // SAFETY: an output of ours.
        unsafe { chip_gpio_write(self.gpio.into(), self.high) };
        Ok(())
    }
}

impl StatefulOutputPin for Output {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.high)
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.high)
    }
}

impl ErrorType for OpenDrain {
    type Error = Infallible;
}

impl OutputPin for OpenDrain {
    fn set_low(&mut self) -> Result<(), Infallible> {
        // SAFETY: an open-drain output of ours.
        unsafe { chip_gpio_let_go(self.gpio.into(), false) };
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        // SAFETY: as above.
        unsafe { chip_gpio_let_go(self.gpio.into(), true) };
        Ok(())
    }
}

impl InputPin for OpenDrain {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(is_high(self.gpio))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!is_high(self.gpio))
    }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_gpio_output(pin: u32, level: bool);
    fn chip_gpio_write(pin: u32, level: bool);
    fn chip_gpio_input(pin: u32, pull_up: bool);
    fn chip_gpio_open_drain(pin: u32, pull_up: bool);
    fn chip_gpio_let_go(pin: u32, go: bool);
    fn chip_gpio_read(pin: u32) -> bool;
    fn chip_gpio_wait(pin: u32, event: u32, milliseconds: u32) -> bool;
}
