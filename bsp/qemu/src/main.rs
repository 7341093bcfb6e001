//! The firmware on QEMU: hands the board's facts to the application and starts the kernel.

#![no_std]
#![no_main]

use board_qemu::{BoardLed, identity_region, network, random};

/// Called by the start-up code, with memory set up and the scheduler not yet running.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    app::start(app::Board {
        led: BoardLed,
        identity_region: identity_region(),
        network: network(),
        random,
        time: app::TimeStore { kept: lx106::kept_time, keep: lx106::keep_time },
        reset_reason: lx106::reset_reason().as_str(),
        crash: lx106::crash_record(),
        forget_crash: lx106::forget_crash,
        give_up: lx106::give_up,
    });
    rtos::run()
}
