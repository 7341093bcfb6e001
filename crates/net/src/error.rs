//! What can go wrong below a connection.

use core::fmt;

use vendor_sys as sys;

/// An error of the network stack. Keeps lwIP's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// No memory for a packet, a connection or a semaphore.
    OutOfMemory,
    /// The interface was started before: there is one.
    AlreadyStarted,
    /// The board's driver refused to start.
    Driver,
    /// Any other code of lwIP's `err_t`.
    Lwip(i8),
}

impl Error {
    pub(crate) fn check(code: sys::err_t) -> Result<(), Self> {
        match code {
            0 => Ok(()),
            -1 => Err(Self::OutOfMemory),
            other => Err(Self::Lwip(other)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => write!(out, "out of memory"),
            Self::AlreadyStarted => write!(out, "the network is already started"),
            Self::Driver => write!(out, "the network driver did not start"),
            Self::Lwip(code) => write!(out, "network error (lwIP {code})"),
        }
    }
}

impl core::error::Error for Error {}
