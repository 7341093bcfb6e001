//! End to end: the firmware on the emulated CPU, against a real broker and against servers that
//! mean it harm. One program, so that the long test runs beside all others.

mod clock;
mod endurance;
mod faults;
mod happy;
mod hostile_payload;
mod hostile_server;
mod identity_region;
mod low_memory;
mod network;
mod records;
mod remembered;
mod session;
mod settings;
mod unanswered;
