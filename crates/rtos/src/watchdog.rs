//! Tasks that promise to show life in time.
//!
//! Once a second the watchdog looks at all promises (`bsp/lx106/c/watchdog.c`). A task that
//! breaks its own ends in the crash report, by its name, and the board is reset.

use vendor_sys as sys;

/// The calling task shows life and promises to do so again within `seconds`: longer than any
/// of its waits until then. The first call puts the task under watch: one of 16 at a time, of which
/// the runtime has four. One more is a crash that says so.
pub fn alive(seconds: u16) {
    // SAFETY: callable from any task; keeps no more than the task's handle.
    unsafe { sys::fw_alive(seconds) };
}

/// The calling task shows life again, within what it promised last. Who promised nothing is not put
/// under watch.
pub fn renew() {
    // SAFETY: callable from any task.
    unsafe { sys::fw_renew() };
}

/// The calling task promises nothing any more. Every task that was under watch calls it before
/// it ends.
pub fn leave() {
    alive(0);
}
