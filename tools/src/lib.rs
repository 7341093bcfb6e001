//! The host side of the firmware: what a person runs on their own machine.
//!
//! [`pki`] makes the certificates, [`cloud`] stands in for AWS IoT, [`machine`] for the board,
//! [`client`] is an MQTT client to look on with. The verbs of the program `thing` put them
//! together; end-to-end tests do the same with other options.

pub mod bench;
pub mod client;
pub mod cloud;
pub mod config;
pub mod console;
pub mod control;
pub mod device;
pub mod esptool;
pub mod figures;
pub mod flash;
pub mod image;
pub mod interrupt;
pub mod iram;
pub mod lab;
pub mod machine;
pub mod monitor;
pub mod output;
pub mod pem_file;
pub mod pki;
pub mod presence;
pub mod problem;
pub mod programs;
pub mod provision;
pub mod provisioned;
pub mod python;
pub mod qemu;
pub mod region;
pub mod run;
pub mod scratch;
pub mod secrets;
pub mod serial;
pub mod settings;
pub mod size;
pub mod smoke;
pub mod status;
pub mod target_test;
