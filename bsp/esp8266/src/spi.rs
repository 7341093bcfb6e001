//! HSPI, the chip's free SPI controller, by embedded-hal's `SpiBus`: MISO is GPIO12, MOSI GPIO13,
//! the clock GPIO14 (D6, D7 and D5 of a NodeMCU). Chip select is any output; `embedded-hal-bus`
//! makes devices of both.
//!
//! ```ignore
//! let bus = Hspi::new(pins.d5, pins.d7, pins.d6, Config { hz: 1_000_000, mode: MODE_0 })?;
//! let mut device = ExclusiveDevice::new(bus, pins.d1.into_output(true), Delay::new())?;
//! device.transfer(&mut id, &[0xD0])?;
//! ```

use core::convert::Infallible;
use core::fmt;
use core::ptr;

use embedded_hal::spi::{ErrorType, Mode, Phase, Polarity, SpiBus};

use crate::pins::Pin;

/// Of the bus from which the clock is divided, in Hz: `APB_HZ`.
const BUS_HZ: u32 = 80_000_000;
/// The clock's limits in Hz: the second divider takes 2 to 64, the first 1 to 8192.
const FASTEST: u32 = BUS_HZ / 2;
const SLOWEST: u32 = BUS_HZ / (64 * 8192) + 1;

/// Speed and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The clock at most, in Hz: the next one below that is a whole part of 80 MHz; 153 Hz to 40 MHz.
    pub hz: u32,
    /// `embedded_hal::spi::MODE_0` to `MODE_3`.
    pub mode: Mode,
}

/// The clock cannot be made: it has 153 Hz to 40 MHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockError;

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HSPI's clock has 153 Hz to 40 MHz")
    }
}

/// The controller, with its pins: there is no second one.
#[derive(Debug)]
pub struct Hspi(());

impl Hspi {
    /// The bus on its three pins; the most significant bit goes first.
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn new(
        _clock: Pin<14>,
        _mosi: Pin<13>,
        _miso: Pin<12>,
        config: Config,
    ) -> Result<Self, ClockError> {
        let bus = Self(());
        bus.start(config)?;
        Ok(bus)
    }

    /// Goes on with another speed or mode. Between devices, while none is selected.
    ///
    /// # Errors
    /// [`ClockError`]; then it stays as it was.
    pub fn set_config(&mut self, config: Config) -> Result<(), ClockError> {
        self.start(config)
    }

    fn start(&self, Config { hz, mode }: Config) -> Result<(), ClockError> {
        let clock = clock_register(hz)?;
        let mode = u32::from(mode.polarity == Polarity::IdleHigh) << 1
            | u32::from(mode.phase == Phase::CaptureOnSecondTransition);
        // SAFETY: the pins are ours, and a register's value for the clock.
        unsafe { chip_spi_start(clock, mode) };
        Ok(())
    }
}

/// The value of the register "SPI_CLOCK" (ESP8266 Technical Reference, 4): the bus divided by
/// `pre + 1` and by `n + 1`, of which the line is high for half.
const fn clock_register(hz: u32) -> Result<u32, ClockError> {
    if hz < SLOWEST || hz > FASTEST {
        return Err(ClockError);
    }
    let divisor = BUS_HZ.div_ceil(hz);
    let pre = divisor.div_ceil(64) - 1;
    let n = divisor.div_ceil(pre + 1) - 1;
    Ok(pre << 18 | n << 12 | (n.div_ceil(2) - 1) << 6 | n)
}

// The examples of the reference: 40 MHz, 1 MHz, and the slowest.
const _: () = {
    assert!(matches!(clock_register(40_000_000), Ok(0x0000_1001)));
    // By 2 and by 40.
    assert!(matches!(clock_register(1_000_000), Ok(0x0006_74E7)));
    assert!(clock_register(SLOWEST - 1).is_err() && clock_register(SLOWEST).is_ok());
    assert!(clock_register(FASTEST + 1).is_err());
};

impl ErrorType for Hspi {
    type Error = Infallible;
}

impl SpiBus for Hspi {
    fn read(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        // SAFETY: fills the slice, and sends zeros.
        unsafe { chip_spi_exchange(ptr::null(), words.as_mut_ptr(), words.len()) };
        Ok(())
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Infallible> {
        // SAFETY: reads the slice.
        unsafe { chip_spi_exchange(words.as_ptr(), ptr::null_mut(), words.len()) };
        Ok(())
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Infallible> {
        let both = read.len().min(write.len());
        let (received, more) = read.split_at_mut(both);
        // SAFETY: the slices have that length.
        unsafe { chip_spi_exchange(write.as_ptr(), received.as_mut_ptr(), both) };
        self.read(more)?;
        self.write(&write[both..])
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Infallible> {
        let both = words.as_mut_ptr();
        // SAFETY: reads and fills the slice; what is received replaces what was sent before.
        unsafe { chip_spi_exchange(both, both, words.len()) };
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        // Nothing is under way when a call returns.
        Ok(())
    }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_spi_start(clock: u32, mode: u32);
    fn chip_spi_exchange(out: *const u8, into: *mut u8, length: usize);
}
