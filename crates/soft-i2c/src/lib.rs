//! An I2C controller on two open-drain lines, for chips that have none: the bits are made by the
//! program. Drivers see it through embedded-hal's [`I2c`](embedded_hal::i2c::I2c).
//!
//! Rules and times are those of the I2C-bus specification (NXP UM10204, revision 7). One
//! controller on the bus; targets may stretch the clock; a target that holds the data line
//! because a transfer was cut off (the controller was reset in the middle of one) is clocked until
//! it lets go (section 3.1.16).
//!
//! A line is an open-drain pin: low pulls it to ground, high lets it go, and what is read is the
//! level that is there.
//!
//! ```
//! use embedded_hal::i2c::I2c as _;
//! use soft_i2c::{I2c, Speed};
//!
//! # use core::convert::Infallible;
//! # struct Pin;
//! # impl embedded_hal::digital::ErrorType for Pin { type Error = Infallible; }
//! # impl embedded_hal::digital::OutputPin for Pin {
//! #     fn set_low(&mut self) -> Result<(), Infallible> { Ok(()) }
//! #     fn set_high(&mut self) -> Result<(), Infallible> { Ok(()) }
//! # }
//! # impl embedded_hal::digital::InputPin for Pin {
//! #     fn is_high(&mut self) -> Result<bool, Infallible> { Ok(true) }
//! #     fn is_low(&mut self) -> Result<bool, Infallible> { Ok(false) }
//! # }
//! # struct Delay;
//! # impl embedded_hal::delay::DelayNs for Delay { fn delay_ns(&mut self, _: u32) {} }
//! # let (sda, scl, delay) = (Pin, Pin, Delay);
//! let mut bus = I2c::new(sda, scl, delay, Speed::Fast);
//! let mut id = [0];
//! // Nobody is on this bus.
//! let error = bus.write_read(0x76, &[0xD0], &mut id).unwrap_err();
//! assert_eq!(error, soft_i2c::Error::NoAddress);
//! ```

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::{self, ErrorKind, NoAcknowledgeSource, Operation};

/// How fast a bus is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 100 kHz at most.
    Standard,
    /// 400 kHz at most.
    Fast,
}

impl Speed {
    /// Least nanoseconds that the clock is low, which are also those between STOP and START
    /// (UM10204, table 11: tLOW, tBUF).
    const fn low_ns(self) -> u32 {
        match self {
            Self::Standard => 4_700,
            Self::Fast => 1_300,
        }
    }

    /// Least nanoseconds that the clock is high, and that START and STOP want around them: the
    /// longest of tHIGH, tHD;STA, tSU;STA and tSU;STO in table 11, and what is missing to the
    /// frequency's period.
    const fn high_ns(self) -> u32 {
        match self {
            Self::Standard => 5_300,
            Self::Fast => 1_200,
        }
    }
}

/// Why a transfer failed. The bus is free again unless the error says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No target answers at this address.
    NoAddress,
    /// The target refused a byte.
    NoData,
    /// The clock is held low by a target for longer than it may stretch it, or by a short circuit.
    ClockHeld,
    /// The data line is held low, and nine clocks did not free it.
    DataHeld,
    /// Somebody else pulled the data line while a one was sent.
    Disturbed,
    /// A pin failed.
    Pin,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAddress => "nobody answers at this address of the I2C bus",
            Self::NoData => "the I2C target refused a byte",
            Self::ClockHeld => "the I2C clock (SCL) is held low: a pull-up resistor is missing, or a target hangs",
            Self::DataHeld => "the I2C data line (SDA) is held low: a pull-up resistor is missing, or a target hangs",
            Self::Disturbed => "somebody else drives the I2C data line (SDA)",
            Self::Pin => "a pin of the I2C bus failed",
        })
    }
}

impl core::error::Error for Error {}

impl i2c::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAddress => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Self::NoData => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Self::ClockHeld | Self::DataHeld => ErrorKind::Bus,
            Self::Disturbed => ErrorKind::ArbitrationLoss,
            Self::Pin => ErrorKind::Other,
        }
    }
}

/// Microseconds for which a target may hold the clock, unless [`I2c::set_stretch_limit`] says
/// otherwise: SMBus 3.2 allows as much in a whole transfer (table 1, tLOW:SEXT).
pub const STRETCH_US: u32 = 25_000;

/// Clocks after which a target that was left in the middle of a byte has let the data line go.
const RECOVERY_CLOCKS: u32 = 9;

/// A bus and its controller.
#[derive(Debug)]
pub struct I2c<SDA, SCL, D> {
    sda: SDA,
    scl: SCL,
    delay: D,
    speed: Speed,
    stretch_us: u32,
}

impl<SDA, SCL, D> I2c<SDA, SCL, D>
where
    SDA: InputPin + OutputPin,
    SCL: InputPin + OutputPin,
    D: DelayNs,
{
    /// A bus on these lines, each with a resistor to the supply: that of a pin is too weak for
    /// more than a hand's breadth of wire.
    pub fn new(sda: SDA, scl: SCL, delay: D, speed: Speed) -> Self {
        Self { sda, scl, delay, speed, stretch_us: STRETCH_US }
    }

    /// Lets targets hold the clock for so many microseconds at a bit.
    pub fn set_stretch_limit(&mut self, microseconds: u32) {
        self.stretch_us = microseconds;
    }

    /// Gives the lines back.
    pub fn release(self) -> (SDA, SCL, D) {
        (self.sda, self.scl, self.delay)
    }

    fn data(&mut self, high: bool) -> Result<(), Error> {
        self.sda.set_state(high.into()).map_err(|_| Error::Pin)
    }

    fn data_is_high(&mut self) -> Result<bool, Error> {
        self.sda.is_high().map_err(|_| Error::Pin)
    }

    fn clock_low(&mut self) -> Result<(), Error> {
        self.scl.set_low().map_err(|_| Error::Pin)
    }

    /// After the clock's low time lets it rise, waits for a target that stretches it, and for the
    /// clock's high time.
    fn clock_high(&mut self) -> Result<(), Error> {
        self.delay.delay_ns(self.speed.low_ns());
        self.scl.set_high().map_err(|_| Error::Pin)?;
        let mut left = self.stretch_us;
        while self.scl.is_low().map_err(|_| Error::Pin)? {
            if left == 0 {
                return Err(Error::ClockHeld);
            }
            left -= 1;
            self.delay.delay_us(1);
        }
        self.delay.delay_ns(self.speed.high_ns());
        Ok(())
    }

    fn write_bit(&mut self, one: bool) -> Result<(), Error> {
        self.data(one)?;
        self.clock_high()?;
        if one && !self.data_is_high()? {
            return Err(Error::Disturbed);
        }
        self.clock_low()
    }

    fn read_bit(&mut self) -> Result<bool, Error> {
        self.data(true)?;
        self.clock_high()?;
        let one = self.data_is_high()?;
        self.clock_low()?;
        Ok(one)
    }

    /// Sends a byte; whether it was acknowledged.
    fn write_byte(&mut self, byte: u8) -> Result<bool, Error> {
        for bit in (0..8).rev() {
            self.write_bit(byte >> bit & 1 != 0)?;
        }
        Ok(!self.read_bit()?)
    }

    /// Receives a byte, and asks for another one or not.
    fn read_byte(&mut self, more: bool) -> Result<u8, Error> {
        let mut byte = 0;
        for _ in 0..8 {
            byte = byte << 1 | u8::from(self.read_bit()?);
        }
        self.write_bit(!more)?;
        Ok(byte)
    }

    /// START on a free bus, which is freed first if it is not.
    fn start(&mut self) -> Result<(), Error> {
        self.data(true)?;
        self.clock_high()?;
        if !self.data_is_high()? {
            self.free()?;
        }
        self.data(false)?;
        self.delay.delay_ns(self.speed.high_ns());
        self.clock_low()
    }

    /// START within a transfer.
    fn start_again(&mut self) -> Result<(), Error> {
        self.data(true)?;
        self.clock_high()?;
        if !self.data_is_high()? {
            return Err(Error::Disturbed);
        }
        self.data(false)?;
        self.delay.delay_ns(self.speed.high_ns());
        self.clock_low()
    }

    /// STOP, with the clock low.
    fn stop(&mut self) -> Result<(), Error> {
        self.data(false)?;
        self.clock_high()?;
        self.data(true)?;
        self.delay.delay_ns(self.speed.low_ns());
        if self.data_is_high()? { Ok(()) } else { Err(Error::DataHeld) }
    }

    /// Clocks a target that holds the data line out of its byte (UM10204, 3.1.16).
    fn free(&mut self) -> Result<(), Error> {
        for _ in 0..RECOVERY_CLOCKS {
            self.clock_low()?;
            self.clock_high()?;
            if self.data_is_high()? {
                self.clock_low()?;
                return self.stop();
            }
        }
        Err(Error::DataHeld)
    }

    /// Address and direction, after START.
    fn address(&mut self, address: u8, read: bool) -> Result<(), Error> {
        if self.write_byte(address << 1 | u8::from(read))? { Ok(()) } else { Err(Error::NoAddress) }
    }

    fn operations(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        // Neighbours of one direction are one transfer.
        let mut begun = false;
        for run in operations.chunk_by_mut(|a, b| is_read(a) == is_read(b)) {
            if core::mem::replace(&mut begun, true) {
                self.start_again()?
            } else {
                self.start()?
            }
            let read = run.first().is_some_and(is_read);
            self.address(address, read)?;
            let mut left: usize = run.iter().map(length).sum();
            if read && left == 0 {
                // A target that was addressed to be read drives the first bit at once: it must be
                // told that there is no need.
                self.read_byte(false)?;
            }
            for operation in run {
                match operation {
                    Operation::Write(bytes) => {
                        for byte in *bytes {
                            if !self.write_byte(*byte)? {
                                return Err(Error::NoData);
                            }
                        }
                    }
                    Operation::Read(buffer) => {
                        for byte in buffer.iter_mut() {
                            left -= 1;
                            *byte = self.read_byte(left > 0)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_read(operation: &Operation<'_>) -> bool {
    matches!(operation, Operation::Read(_))
}

fn length(operation: &Operation<'_>) -> usize {
    match operation {
        Operation::Read(buffer) => buffer.len(),
        Operation::Write(bytes) => bytes.len(),
    }
}

impl<SDA, SCL, D> i2c::ErrorType for I2c<SDA, SCL, D> {
    type Error = Error;
}

impl<SDA, SCL, D> i2c::I2c for I2c<SDA, SCL, D>
where
    SDA: InputPin + OutputPin,
    SCL: InputPin + OutputPin,
    D: DelayNs,
{
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        if operations.is_empty() {
            return Ok(());
        }
        match self.operations(address, operations) {
            Ok(()) => self.stop(),
            Err(error) => {
                match error {
                    // The target is still on the bus, with the clock low.
                    Error::NoAddress | Error::NoData => self.stop()?,
                    // There is nobody whom a STOP would reach: the lines are let go, and the next
                    // transfer frees the bus.
                    _ => {
                        self.data(true)?;
                        self.scl.set_high().map_err(|_| Error::Pin)?;
                    }
                }
                Err(error)
            }
        }
    }
}
