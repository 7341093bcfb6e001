//! What must not wear out.

use e2e::Stage;

/// Bytes by which the free heap may differ between two moments of the same kind: a segment that
/// is not yet acknowledged, a control block in TIME_WAIT.
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
    // The least of a few, because a status may meet a packet on its way.
    let least = |end: usize| free[end - 9..=end].iter().min().copied().unwrap_or_default();
    let (early, late) = (least(SETTLED), least(reconnects));
    println!("free heap: {early} bytes after reconnect {SETTLED}, {late} after {reconnects}");
    assert!(early.abs_diff(late) <= NOISE, "free heap went from {early} to {late} bytes: {free:?}");
}
