//! The one analogue converter, A0.
//!
//! ```ignore
//! let level = pins.a0.read()?;
//! ```

use core::fmt;

/// The converter and its pin, TOUT.
#[derive(Debug)]
pub struct Adc(());

/// The converter does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead;

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the analogue converter does not answer")
    }
}

impl Adc {
    /// The converter, for a board that hands it to the application.
    ///
    /// # Safety
    /// Nobody else has it.
    pub const unsafe fn new() -> Self {
        Self(())
    }

    /// What is at the chip's pin, from 0 (0 V) to 1023 (1.0 V): the mean of eight samples, which
    /// takes some 100 us, in which no other task runs. A NodeMCU divides the voltage at A0 by 3.2
    /// before.
    ///
    /// It is what the converter says: chips differ by some percent, and the one of a firmware
    /// without the radio's libraries was never calibrated. (Espressif's SDK multiplies by 12/11.)
    ///
    /// # Errors
    /// [`Dead`].
    pub fn read(&mut self) -> Result<u16, Dead> {
        // SAFETY: the converter is ours, and C shares it with the radio.
        u16::try_from(unsafe { chip_adc_read() }).map_err(|_| Dead)
    }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_adc_read() -> i32;
}
