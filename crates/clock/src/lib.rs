//! What the wall clock decides: whose word it takes, when it asks again, what it keeps over a
//! reset.
//!
//! Nothing here knows a network, a chip or a timer: packets are bytes, and time since boot and
//! random numbers are arguments. That makes all of it testable on the host. Times of day are
//! seconds since 1970 in 32 bits, which lasts until 2106.
//!
//! The packets are read here and not by a crate: `sntpc` ties them to its own socket traits,
//! judges less (leap indicator, delay) and `ntp-parser` brings a parser generator for what are
//! 48 bytes at fixed places.
//!
//! ```
//! use clock::{Clock, Trust, Verdict};
//!
//! const BUILD: u32 = 1_795_000_000; // when the firmware was made
//! let mut clock = Clock::new(BUILD);
//! // A server that says what was before the build is not believed.
//! assert_eq!(clock.hear(BUILD - 1, 5), Verdict::BeforeBuild);
//! assert_eq!(clock.hear(BUILD + 3_600, 5), Verdict::Set);
//! assert_eq!((clock.now(15), clock.trust()), (BUILD + 3_610, Trust::Server));
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod date;
mod judge;
pub mod packet;
mod record;
mod schedule;

pub use date::Date;
pub use judge::{Clock, FARTHEST, STEP, Trust, Verdict};
pub use record::{Log, RECORD_WORDS, Record};
pub use schedule::{ANSWER_S, FLOOR_S, LONGEST_S, MOST_SERVERS, PERIOD_S, SECOND_LOOK_S, Schedule};
