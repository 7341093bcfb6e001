//! What every board does alike: it hands its facts to an application and starts the kernel.
//!
//! A board brings its radio if it has one, where it keeps the time, `board_netif_init` (vendor/lwip/board_netif.h), `fw_random`
//! (fw_hooks.h) and, in its linker script, `_identity_start`:
//!
//! ```ignore
//! #[unsafe(no_mangle)]
//! extern "C" fn main() -> ! {
//!     launch::launch(TIME_STORE, None::<runtime::wifi::NoRadio>, None, |board| app::start(BoardLed, board))
//! }
//! ```

#![no_std]

use vendor_sys as sys;

/// Hands the board's facts to the application, by its `start`, and starts the kernel. Called by a
/// board's `main`, with memory set up and the scheduler not yet running.
pub fn launch<W: runtime::wifi::Wifi>(
    time: runtime::TimeStore,
    radio: Option<W>,
    slots: Option<runtime::update::Slots>,
    start: impl FnOnce(runtime::Board<W>),
) -> ! {
    start(runtime::Board {
        identity_region: identity_region(),
        network: network(),
        wifi: radio,
        random,
        time,
        reset_reason: lx106::reset_reason().as_str(),
        crash: lx106::crash_record(),
        forget_crash: lx106::forget_crash,
        crashes: lx106::crashes_in_a_row(),
        give_up: lx106::give_up,
        slots,
    });
    rtos::run()
}

/// The identity region of the flash (`identity::REGION_OFFSET`).
fn identity_region() -> &'static [u8] {
    unsafe extern "C" {
        static _identity_start: [u8; identity::REGION_SIZE];
    }
    // SAFETY: the linker script keeps the firmware below it. Where flash delivers words only, loads
    // of bytes are emulated (bsp/lx106/c/subword.S). Nothing writes to it while the firmware runs.
    unsafe { &_identity_start }
}

/// The network driver.
fn network() -> net::Driver {
    // SAFETY: `board_netif_init` is written to lwIP's `netif_init_fn`.
    unsafe { net::Driver::new(board_netif_init) }
}

/// Unpredictable 32 bits.
///
/// # Panics
/// When the random source failed: nothing secret may be made without it.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // SAFETY: fills the four bytes that it is given.
    let code = unsafe { sys::fw_random(bytes.as_mut_ptr(), bytes.len() as _) };
    assert_eq!(code, 0, "the random source failed");
    u32::from_le_bytes(bytes)
}

unsafe extern "C" {
    fn board_netif_init(netif: *mut sys::netif) -> sys::err_t;
}
