//! The firmware on QEMU.

#![no_std]
#![no_main]

/// Called by the start-up code, with memory set up and the scheduler not yet running.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let time = runtime::TimeStore { kept: lx106::kept_time, keep: lx106::keep_time };
    launch::launch(time, None::<runtime::wifi::NoRadio>, None, |board| {
        app::start(board_qemu::BoardLed, board)
    })
}
