//! lwIP for safe Rust: the one network interface, host names, and the clock.
//!
//! The only connection is MQTT's, and `mqtt` owns it.
//!
//! ```ignore
//! let interface = Interface::start(driver, "esp8266", waker)?;
//! interface.request_address()?;
//! // Later, when `interface.address()` is there:
//! let addresses = net::resolve("abc-ats.iot.eu-west-1.amazonaws.com", 10_000)?;
//! ```

#![no_std]

extern crate alloc;

pub mod clock;
mod error;
mod interface;
mod resolve;

pub use dns::Addresses;
pub use error::Error;
pub use interface::{
    Driver, Interface, NotReady, address, is_address_confirmed, is_address_kept, keep_address,
};
pub use resolve::{Unresolved, resolve};

use vendor_sys as sys;

/// Longest name of a time server in bytes.
pub const MAX_TIME_SERVER: usize = sys::DNS_MAX_NAME_LENGTH as usize - 1;

/// lwIP's one lock, held until dropped: its core functions may be called meanwhile.
struct Core;

impl Core {
    fn lock() -> Self {
        // SAFETY: only tasks call this crate, none holds the lock already (a `Core` never
        // leaves the function that took it), and `tcpip_init` has made the lock.
        unsafe { sys::net_core_lock() };
        Self
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: taken in `lock`.
        unsafe { sys::net_core_unlock() };
    }
}
