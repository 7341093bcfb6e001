//! The host side of the firmware: what a person runs on their own machine.
//!
//! [`pki`] makes the certificates, [`cloud`] stands in for AWS IoT, [`qemu`] for the board,
//! [`client`] is an MQTT client to look on with. The verbs of the program `thing` put them
//! together; end-to-end tests do the same with other options.

pub mod bench;
pub mod client;
pub mod cloud;
pub mod console;
pub mod control;
pub mod device;
pub mod esptool;
pub mod flash;
pub mod image;
pub mod interrupt;
pub mod iram;
pub mod lab;
pub mod monitor;
pub mod pki;
pub mod programs;
pub mod qemu;
pub mod run;
pub mod serial;
pub mod settings;
pub mod size;
pub mod smoke;
pub mod status;
pub mod target_test;
