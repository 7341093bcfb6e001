//! What must not wear out.

use std::time::{Duration, Instant};

use board::image::address_of;
use board::status::{Led, Report};
use e2e::memory::{debugger_option, write};
use e2e::{Device, Stage};

/// Bytes by which the free heap may differ between two moments of the same kind: a control
/// block in TIME_WAIT, a name that the DNS cache holds.
const NOISE: u64 = 256;

/// Reconnects after which everything that is kept for good has been allocated.
const SETTLED: usize = 20;

#[test]
fn heap_is_level_over_200_reconnects() {
    heap_is_level(200);
}

#[test]
#[ignore = "takes half an hour: make soak"]
fn heap_is_level_over_4000_reconnects() {
    heap_is_level(4000);
}

/// The server ends the connection each time it has a status, in order and by a reset in turns.
fn heap_is_level(reconnects: usize) {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let mut watcher = stage.watch();
    let mut device = stage.boot_skipping_sleep();
    let mut free = Vec::new();
    while free.len() <= reconnects {
        let count = free.len();
        let status = watcher.status(&format!("status after reconnect {count}"), |status| {
            status.reconnects >= count as u64
        });
        free.push(status.heap_free);
        if count.is_multiple_of(2) {
            relay.reset();
        } else {
            relay.close();
        }
    }
    assert!(device.delays().iter().all(|delay| (1_000..=2_000).contains(delay)));
    device.assert_sound();
    // The middle one of some, because a status may meet a packet on its way.
    let middle = |end: usize| {
        let mut some = free[end - 10..=end].to_vec();
        some.sort_unstable();
        some[5]
    };
    let (early, late) = (middle(SETTLED), middle(reconnects));
    println!("free heap: {early} bytes after reconnect {SETTLED}, {late} after {reconnects}");
    assert!(early.abs_diff(late) <= NOISE, "free heap went from {early} to {late} bytes: {free:?}");
}

/// A hundred messages a second cost commands, if anything: statuses come on, so does the keep-alive,
/// and nothing resets the device.
fn outlives_a_flood(lasts_s: u64) {
    const EACH: Duration = Duration::from_millis(10);
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = stage.boot();
    device.expect_connected();
    let first = watcher.status("status", |_| true).uptime_s;
    let start = Instant::now();
    let (mut sent, mut statuses, mut uptime) = (0, 0, first);
    // By the device's own clock.
    while uptime < first + lasts_s {
        std::thread::sleep(EACH);
        // However late this thread is woken, so many are sent.
        while EACH * sent < start.elapsed() {
            // Commands, and what is none.
            watcher.throw([b"on".as_slice(), b"off", b"neither", b"on", b"off"][sent as usize % 5]);
            sent += 1;
        }
        while let Some(Report::Online(status)) = watcher.poll() {
            assert!(status.uptime_s >= uptime, "{status:?}");
            // Each 10 s at least.
            assert!(status.uptime_s <= uptime + 15, "{status:?} after {uptime} s");
            uptime = status.uptime_s;
            statuses += 1;
        }
    }
    println!("{sent} messages in {lasts_s} s, {statuses} statuses");
    // Twice a second at most.
    assert!(statuses <= 2 * (lasts_s + 5), "{statuses} statuses in {lasts_s} s");
    assert_eq!(device.count("connected to "), 1);
    watcher.switch(&mut device, Led::On);
    watcher.switch(&mut device, Led::Off);
    device.assert_sound();
}

#[test]
fn a_flood_on_the_control_topic() {
    outlives_a_flood(60);
}

#[test]
#[ignore = "takes minutes: make soak"]
fn a_flood_of_minutes_on_the_control_topic() {
    outlives_a_flood(300);
}

/// Ticks of the kernel in a second.
const TICKS_PER_S: u32 = 200;

/// The tick count, in which the kernel and all time-outs count, overflows after 248 days.
#[test]
fn outlives_the_overflow_of_the_tick_count() {
    outlives(u64::from(u32::MAX) + 1);
}

/// Milliseconds in 32 bits, in which lwIP and TLS count, overflow after 49 days.
#[test]
fn outlives_the_overflow_of_milliseconds() {
    outlives((u64::from(u32::MAX) + 1) * u64::from(TICKS_PER_S) / 1000);
}

/// Sets the clock to some moments before it counts `ticks`, and looks on as it does.
fn outlives(ticks: u64) {
    let mut stage = Stage::new();
    let relay = stage.relay();
    let mut watcher = stage.watch();
    let folder = tempfile::tempdir().unwrap();
    let debugger = folder.path().join("debugger");
    let mut device = stage.boot_skipping_sleep_with(|options| {
        options.further.extend(debugger_option(&debugger).map(Into::into));
    });
    watcher.status("a status", |_| true);

    let overflow_s = ticks / u64::from(TICKS_PER_S);
    let early = ticks - u64::from(120 * TICKS_PER_S);
    let tick_count = address_of(&Device::firmware(), "xTickCount").unwrap();
    // In steps under 2^31 ms: more looks to lwIP as if time went back.
    let mut now = 0;
    while now < early {
        now = early.min(now + 400_000_000);
        write(&debugger, tick_count, &u32::try_from(now).unwrap().to_le_bytes()).unwrap();
        // To the device it seems that the server was silent for all that time.
        watcher.status("a status from after the step", |status| {
            status.uptime_s >= now / u64::from(TICKS_PER_S)
        });
    }
    let before = watcher.status("a status from before the overflow", |status| {
        status.uptime_s >= overflow_s - 90 && status.uptime_s < overflow_s - 30
    });
    let after = watcher
        .status("a status from after the overflow", |status| status.uptime_s >= overflow_s + 30);
    assert_eq!(after.reconnects, before.reconnects, "the connection did not outlive it");
    watcher.switch(&mut device, Led::On);
    relay.reset();
    watcher.status("a status after a reconnect", |status| status.reconnects > after.reconnects);
    watcher.switch(&mut device, Led::Off);
    assert!(device.delays().iter().all(|delay| (1_000..=2_000).contains(delay)));
    device.assert_sound();
}
