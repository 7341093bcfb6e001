//! What the end-to-end tests are made of.
//!
//! A [`Stage`] is a cloud of its own: PKI, broker, name and time server. [`Stage::boot`] starts
//! a [`Device`] on it, the firmware in the emulator. A [`Relay`] between the two makes a bad
//! network, a [`Server`] stands in for a broken or hostile broker.
//!
//! All of it panics with the place in the test that asked, and shows the ends of the device's
//! console and of the broker's log then. Nothing waits for a fixed time where there is an event
//! to wait for; limits are generous, because machines that run tests are slow.
//!
//! ```no_run
//! use board::status::Led;
//! use e2e::Stage;
//!
//! let stage = Stage::new();
//! let mut watcher = stage.watch();
//! let mut device = stage.boot();
//! device.expect_connected();
//! watcher.switch(&mut device, Led::On);
//! device.assert_sound();
//! ```

pub mod cable;
pub mod device;
pub mod lab;
pub mod memory;
pub mod relay;
pub mod secrets;
pub mod server;
pub mod sleeper;
pub mod stage;
pub mod time_server;

use std::path::PathBuf;
use std::time::Duration;

pub use cable::Cable;
pub use device::{Device, Line};
pub use relay::Relay;
pub use secrets::Secrets;
pub use server::Server;
pub use sleeper::Sleeper;
pub use stage::{Stage, THING, Watcher};

/// The client id that the firmware makes of the emulated board's MAC address.
pub const CLIENT_ID: &str = "ESP-525400123456";

/// Limit for what takes the device a moment, a boot with its first handshake included.
pub const SOON: Duration = Duration::from_secs(30);

/// Seconds, for limits.
#[must_use]
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Where everything was built: a test's program is in `target/debug/deps`.
#[must_use]
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

/// What a verb of the Makefile builds for its tests, by its path below [`target`].
///
/// # Panics
/// When it is missing: it says which verb makes it.
#[must_use]
#[track_caller]
pub fn built(path: &str, verb: &str) -> PathBuf {
    let path = target().join(path);
    assert!(path.exists(), "{} is missing: `{verb}` builds it", path.display());
    path
}
