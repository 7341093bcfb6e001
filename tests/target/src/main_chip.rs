//! The same tests, and those of the chip's own, on a board with an ESP8266. The host
//! (`tests/board`) starts one virtual NodeMCU a test and writes the test's name where a
//! firmware has its identity; see there for the protocol.

#![no_std]
#![no_main]

include!("tests.rs");
