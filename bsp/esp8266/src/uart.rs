//! The UARTs, by embedded-io's traits.
//!
//! UART0 is the console's (GPIO1 and 3, 115200 baud). What an application writes to it comes whole
//! between lines of the log; [`Uart0::silence`] stops those for a machine at the other end. A crash
//! report and the boot ROM's words come all the same. UART1 sends only, on GPIO2, where that pin is
//! free.
//!
//! ```ignore
//! let mut uart = Uart0::take().expect("nobody else takes it");
//! uart.write_all(b"ready\r\n")?;
//! let count = uart.read(&mut buffer)?;
//! ```

use core::convert::Infallible;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use rtos::{CurrentTask, Duration};

use crate::pins::Pin;

/// UART0: what arrives, and the console for what is sent.
#[derive(Debug)]
pub struct Uart0(());

/// Received bytes were lost, because nobody read them for 256. What came after can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("received bytes were lost")
    }
}

impl core::error::Error for Overrun {}

impl embedded_io::Error for Overrun {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl Uart0 {
    /// UART0, the first time; then `None`. It listens from here on.
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        // SAFETY: once.
        unsafe { chip_uart_listen() };
        Some(Self(()))
    }

    /// No line of the log goes to the console any more; called before `runtime::start`, none at all.
    pub fn silence(&mut self) {
        rtos::log::silence();
    }
}

impl ErrorType for Uart0 {
    type Error = Overrun;
}

impl Read for Uart0 {
    /// Waits until there is a byte.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Overrun> {
        // SAFETY: asks C.
        if unsafe { chip_uart_lost() } {
            return Err(Overrun);
        }
        // SAFETY: fills the slice; ours alone is the reader.
        Ok(unsafe { chip_uart_read(buffer.as_mut_ptr(), buffer.len()) })
    }
}

impl ReadReady for Uart0 {
    fn read_ready(&mut self) -> Result<bool, Overrun> {
        // SAFETY: asks C.
        Ok(unsafe { chip_uart_waiting() } > 0)
    }
}

impl Write for Uart0 {
    /// Waits for room in the console's ring: it takes up to 128 bytes at once, in one piece.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Overrun> {
        let piece = &bytes[..bytes.len().min(128)];
        // SAFETY: reads the slice.
        while !unsafe { fw_console_try_raw(piece.as_ptr(), piece.len()) } {
            CurrentTask::delay(Duration::ms(TICK_MS));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> Result<(), Overrun> {
        // SAFETY: asks C.
        while unsafe { chip_console_unsent() } > 0 {
            CurrentTask::delay(Duration::ms(TICK_MS));
        }
        Ok(())
    }
}

/// UART1: it sends.
#[derive(Debug)]
pub struct Uart1(());

/// Of the bus from which the rate is divided, in Hz: `APB_HZ`.
const BUS_HZ: u32 = 80_000_000;
const TICK_MS: u32 = 1000 / vendor_sys::configTICK_RATE_HZ;

/// The rate cannot be made: it is 300 to 1,000,000 baud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaudError;

impl fmt::Display for BaudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UART1 sends with 300 to 1,000,000 baud")
    }
}

impl Uart1 {
    /// UART1 on its pin: 8 bits, no parity, 1 stop bit.
    ///
    /// # Errors
    /// [`BaudError`].
    pub fn new(_pin: Pin<2>, baud: u32) -> Result<Self, BaudError> {
        if !(300..=1_000_000).contains(&baud) {
            return Err(BaudError);
        }
        // SAFETY: the pin is ours.
        unsafe { chip_uart1_start(BUS_HZ / baud) };
        Ok(Self(()))
    }
}

impl ErrorType for Uart1 {
    type Error = Infallible;
}

impl Write for Uart1 {
    /// Waits until the hardware takes a byte.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        loop {
            // SAFETY: reads the slice.
            let count = unsafe { chip_uart1_write(bytes.as_ptr(), bytes.len()) };
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            CurrentTask::delay(Duration::ms(TICK_MS));
        }
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        // SAFETY: asks C.
        while unsafe { chip_uart1_unsent() } > 0 {
            CurrentTask::delay(Duration::ms(TICK_MS));
        }
        Ok(())
    }
}

// bsp/esp8266/include/chip.h, and of bsp/lx106/c/console.c what takes bytes as they are.
unsafe extern "C" {
    fn chip_uart_listen();
    fn chip_uart_waiting() -> usize;
    fn chip_uart_lost() -> bool;
    fn chip_uart_read(to: *mut u8, length: usize) -> usize;
    fn chip_uart1_start(divider: u32);
    fn chip_uart1_write(from: *const u8, length: usize) -> usize;
    fn chip_uart1_unsent() -> usize;
    fn chip_console_unsent() -> usize;
    fn fw_console_try_raw(bytes: *const u8, length: usize) -> bool;
}
