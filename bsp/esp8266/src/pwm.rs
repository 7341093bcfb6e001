//! Pulses of a chosen width on up to eight outputs, by embedded-hal's `SetDutyCycle`. All have the
//! same period.
//!
//! The chip has no pulse generator: the timer FRC1 interrupts at each edge, which takes some 3 us
//! of the CPU. An edge comes late by what masks interrupts just then: some microseconds, and up to
//! 0.4 s while a sector of flash is erased (the time of day is kept once a day, an update writes).
//!
//! ```ignore
//! let pwm = Pwm::take(50)?;
//! let mut servo = pwm.output(pins.d5.into_output(false))?;
//! servo.set_duty_cycle_fraction(15, 200)?; // 1.5 ms of 20
//! ```

use core::fmt;

use embedded_hal::pwm::{ErrorKind, ErrorType, SetDutyCycle};

use crate::pins::Output;

/// Of the timer's clock, in Hz.
const TICK_HZ: u32 = 5_000_000;

/// Why there are no pulses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Somebody has taken it.
    Taken,
    /// The frequency is not within 25 Hz to 2 kHz.
    Frequency,
    /// There are eight outputs already.
    Full,
    /// A duty of more than everything.
    Duty,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "somebody has taken the pulse timer",
            Self::Frequency => "pulses come 25 to 2000 times a second",
            Self::Full => "eight outputs have pulses already",
            Self::Duty => "the duty is more than everything",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_hal::pwm::Error for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// The timer.
#[derive(Debug)]
pub struct Pwm {
    period: u32,
}

/// An output with pulses.
#[derive(Debug)]
pub struct Pulses {
    channel: u32,
    period: u32,
}

impl Pwm {
    /// Takes the timer, for good. A period begins `hz` times a second.
    ///
    /// # Errors
    /// [`Error::Frequency`], [`Error::Taken`].
    pub fn take(hz: u32) -> Result<Self, Error> {
        if !(25..=2000).contains(&hz) {
            return Err(Error::Frequency);
        }
        let period = TICK_HZ / hz;
        // SAFETY: C takes it once.
        if unsafe { chip_pwm_start(period) } { Ok(Self { period }) } else { Err(Error::Taken) }
    }

    /// Pulses on an output, of no width at first.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub fn output(&self, output: Output) -> Result<Pulses, Error> {
        // SAFETY: the output is ours to move in.
        let channel = unsafe { chip_pwm_add(output.gpio().into()) };
        let channel = u32::try_from(channel).map_err(|_| Error::Full)?;
        Ok(Pulses { channel, period: self.period })
    }
}

impl ErrorType for Pulses {
    type Error = Error;
}

impl SetDutyCycle for Pulses {
    /// Ten thousand: hundredths of a percent.
    fn max_duty_cycle(&self) -> u16 {
        10_000
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Error> {
        if duty > self.max_duty_cycle() {
            return Err(Error::Duty);
        }
        // 25 Hz are 200,000 ticks: it does not overflow.
        let high = self.period * u32::from(duty) / u32::from(self.max_duty_cycle());
        // SAFETY: a channel of ours, and no more than the period.
        unsafe { chip_pwm_set(self.channel, high) };
        Ok(())
    }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_pwm_start(ticks: u32) -> bool;
    fn chip_pwm_add(pin: u32) -> i32;
    fn chip_pwm_set(channel: u32, high: u32);
}
