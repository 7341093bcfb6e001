//! The wall clock: set by SNTP, never earlier than the firmware's build.

use alloc::boxed::Box;
use alloc::ffi::CString;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use vendor_sys as sys;

use crate::Core;

/// Seconds since 1970 at which this firmware was built.
pub const BUILD_TIME: u32 = parse(env!("FW_BUILD_EPOCH"));

/// Seconds since 1970 at which the device booted, as far as is known: in 32 bits, which
/// lasts until 2106, because the core has no 64-bit atomics.
static BOOT_TIME: AtomicU32 = AtomicU32::new(BUILD_TIME);
static SYNCHRONISED: AtomicBool = AtomicBool::new(false);

/// Servers that lwIP's SNTP client asks in turn.
const MOST_SERVERS: usize = sys::SNTP_MAX_SERVERS as usize;

const fn parse(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut value, mut index) = (0u32, 0);
    while index < bytes.len() {
        value = value * 10 + (bytes[index] - b'0') as u32;
        index += 1;
    }
    value
}

/// Starts asking `servers` (host and port) for the time, at once and then every hour. lwIP
/// knows one port for all of them: the first server's. Called once, after the interface was
/// started.
pub fn start<'a>(servers: impl Iterator<Item = (&'a str, u16)>) {
    let mut names = alloc::vec::Vec::new();
    let mut port = None;
    for (host, own_port) in servers.take(MOST_SERVERS) {
        port.get_or_insert(own_port);
        if let Ok(name) = CString::new(host) {
            // lwIP keeps the name by address for ever.
            names.push(Box::leak(name.into_boxed_c_str()).as_ptr());
        }
    }
    let port = port.unwrap_or(123);
    let _core = Core::lock();
    // SAFETY: the core is locked, which alone reads the port and the names; the names live
    // for ever.
    unsafe {
        sys::net_sntp_port = port;
        sys::sntp_setoperatingmode(sys::SNTP_OPMODE_POLL as u8);
        for (index, name) in names.iter().enumerate() {
            sys::sntp_setservername(index as u8, *name);
        }
        sys::sntp_init();
    }
}

/// Whether a server has answered since boot.
pub fn is_synchronised() -> bool {
    SYNCHRONISED.load(Ordering::Acquire)
}

/// Seconds since 1970-01-01 UTC; before a server has answered, the build's date plus uptime.
pub fn now() -> u32 {
    BOOT_TIME.load(Ordering::Acquire).saturating_add(uptime_s())
}

fn uptime_s() -> u32 {
    (rtos::uptime_ms() / 1000) as u32
}

/// lwIP's SNTP client has an answer.
#[unsafe(no_mangle)]
extern "C" fn net_sntp_set_time(seconds: u32, _microseconds: u32) {
    // A clock before the build is a broken or a hostile server: with it, expired
    // certificates would be valid again.
    if seconds < BUILD_TIME {
        log::warn!(
            "a time server says {seconds} s since 1970, before this firmware was built: ignored"
        );
        return;
    }
    BOOT_TIME.store(seconds.saturating_sub(uptime_s()), Ordering::Release);
    if !SYNCHRONISED.swap(true, Ordering::AcqRel) {
        log::info!("clock set by SNTP: {}", Utc(seconds));
    }
}

/// The time for mbedTLS's check of certificate dates.
#[unsafe(no_mangle)]
extern "C" fn fw_unix_time() -> i64 {
    i64::from(now())
}

/// Shows seconds since 1970 as `2026-01-31 12:00:00 UTC`.
pub struct Utc(pub u32);

impl core::fmt::Display for Utc {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Days to a civil date by counting from 1 March of year 0, so that the leap day is
        // the last of a year (proleptic Gregorian calendar, 146097 days in 400 years).
        let (days, rest) = (self.0 / 86400 + 719_468, self.0 % 86400);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + u32::from(month <= 2);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(out, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}
