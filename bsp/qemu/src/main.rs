//! The firmware on QEMU.

#![no_std]
#![no_main]

/// Called by the start-up code, with memory set up and the scheduler not yet running.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let time = app::TimeStore { kept: lx106::kept_time, keep: lx106::keep_time };
    launch::launch(board_qemu::BoardLed, time, None::<app::wifi::NoRadio>)
}
