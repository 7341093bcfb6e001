//! A virtual NodeMCU: the ESP8266's CPU and, around it, the board.
//!
//! [`cpu`] is the LX106 core alone. It knows no memory map: whoever runs it brings a
//! [`cpu::Bus`]. [`board`] is that memory map with all devices, flash, boot ROM and serial line.
//! [`parts`] is what one wires to its pins. [`debug`] is for those who look into a program: trace,
//! profile, GDB; [`web`] shows the board on a page. [`harness`] is for tests of firmware. [`compare`]
//! holds the functions of the boot ROM against a dump of it.
//!
//! ```
//! use virtual_nodemcu::cpu::Cpu;
//!
//! let mut cpu = Cpu::new();
//! cpu.set_pc(0x4010_0000);
//! cpu.set_reg(1, 0x3FFF_FFF0);
//! assert_eq!((cpu.pc(), cpu.reg(1)), (0x4010_0000, 0x3FFF_FFF0));
//! ```

pub mod board;
pub mod compare;
pub mod cpu;
pub mod debug;
pub mod harness;
pub mod parts;
pub mod snapshot;
pub mod survey;
pub mod web;
