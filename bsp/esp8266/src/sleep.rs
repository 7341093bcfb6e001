//! Deep sleep: all but the RTC is without power (20 uA), and its memory is all that is kept. The
//! chip wakes by a reset and boots anew, with the reset reason `deep-sleep`.
//!
//! ```ignore
//! // GPIO16 (D0) is wired to RST:
//! let error = sleep::deep(Wake::After(Duration::from_secs(600), &pins.d0));
//! ```

use core::fmt;
use core::time::Duration;

/// GPIO16: wired to RST it ends a deep sleep.
#[derive(Debug)]
pub struct WakePin(());

impl WakePin {
    /// The pin, for a board that hands it to the application.
    ///
    /// # Safety
    /// Nobody else has it.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

/// What ends a deep sleep.
#[derive(Clone, Copy, Debug)]
pub enum Wake<'a> {
    /// So much time has passed: the pin is wired to RST. The RTC's clock is off by some percent,
    /// more when the temperature changes. A reset ends it before.
    After(Duration, &'a WakePin),
    /// A reset: whatever pulls RST low.
    Reset,
}

/// Why the chip does not sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The RTC's timer counts three hours and some minutes, and not less than a millisecond.
    Duration,
    /// The RTC's clock stands, so that nothing would wake the chip.
    NoClock,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duration => "a deep sleep lasts a millisecond to three hours",
            Self::NoClock => "the RTC's clock stands: nothing would end a deep sleep",
        })
    }
}

impl core::error::Error for Error {}

/// The longest sleep that the timer can always end.
pub const LONGEST: Duration = Duration::from_secs(3 * 60 * 60);

/// Sleeps. Returns only when the chip cannot, with the reason. What the console has to say is said
/// before; everything else ends as with a reset.
pub fn deep(wake: Wake<'_>) -> Error {
    let periods = match wake {
        Wake::Reset => 0,
        Wake::After(time, _) if time < Duration::from_millis(1) || time > LONGEST => {
            return Error::Duration;
        }
        // SAFETY: within the limit that C has.
        Wake::After(time, _) => match unsafe { chip_sleep_periods(time.as_micros() as u64) } {
            0 => return Error::NoClock,
            periods => periods,
        },
    };
    // SAFETY: ends everything.
    unsafe { chip_sleep(periods) }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_sleep_periods(microseconds: u64) -> u32;
    fn chip_sleep(periods: u32) -> !;
}
