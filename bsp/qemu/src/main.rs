//! The firmware on QEMU.

#![no_std]
#![no_main]

/// Called by the start-up code, with memory set up and the scheduler not yet running.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    launch::launch(board_qemu::BoardLed)
}
