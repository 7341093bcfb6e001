//! Tests that run on the emulated CPU. The host (`thing target-test`) starts one emulator a
//! test and names the test in `argv`; see `host/checks/src/target_test.rs` for the protocol.

#![no_std]
#![no_main]

include!("tests.rs");
