//! End to end: the firmware on the emulated CPU, against a real broker and against servers that
//! mean it harm. One program, so that the long test runs beside all others; it comes first in
//! the alphabet, so that it also starts first.

mod endurance;
mod faults;
mod happy;
mod hostile_payload;
mod hostile_server;
mod identity_region;
mod session;
mod unanswered;
