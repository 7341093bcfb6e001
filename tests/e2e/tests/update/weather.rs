//! Updates over bad connections, to a slow flash, and again and again in one boot.

use std::time::Instant;

use serde_json::Value;

use super::{Field, Slot, UPDATE, shipped, state, version};

/// Bytes that the loss of a connection costs at most: 32 blocks that are on their way, handshake and
/// subscriptions. What was there, half of the image on average, is more.
const LOSS: u64 = 32 * 2_200 + 10_000;

fn percent(field: &mut Field, job: &str) -> u32 {
    let execution = field.execution(job);
    assert_eq!(execution["status"], "IN_PROGRESS", "{}", field.board.console.tail(80));
    state(&execution).parse().unwrap_or(0)
}

/// Waits until so much of the image is said to be there.
#[track_caller]
fn reaches(field: &mut Field, job: &str, wanted: u32) {
    let start = Instant::now();
    while percent(field, job) < wanted {
        assert!(start.elapsed() < UPDATE, "{wanted} %\n{}", field.board.console.tail(80));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn lost_connections_and_a_reset_cost_what_was_on_its_way() {
    let (mut field, relay) = Field::with_relay();
    field.watcher.online();
    let image = version(&shipped(), [0, 2, 0]);
    let before = relay.carried();
    let job = field.update(&image);
    for wanted in [20, 50] {
        reaches(&mut field, &job, wanted);
        relay.reset();
    }
    reaches(&mut field, &job, 80);
    field.power_cycle(&[]);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let carried = relay.carried() - before;
    let most = 108 * image.len() as u64 / 100 + 3 * LOSS + 10_000;
    println!("{carried} bytes for an image of {}, over five connections", image.len());
    assert!(carried <= most, "{carried} of {most}\n{}", field.board.console.tail(80));
}

/// Each sector takes 0.4 s to erase, each page 3 ms to write, with interrupts masked: nobody loses the
/// connection, or is found without a sign of life.
#[test]
fn a_flash_as_slow_as_may_be_starves_nobody() {
    let mut field = Field::of("image/nodemcu", &["--flash-speed", "worst"], |_| ());
    let first = field.watcher.online();
    let job = field.update(&version(&shipped(), [0, 2, 0]));
    let mut before = first["uptime_s"].as_u64().unwrap();
    let mut switched = 0;
    // Until the new firmware is there: a command each time that the last one is reported.
    loop {
        let wanted = if switched % 2 == 0 { "on" } else { "off" };
        field.watcher.send(wanted.as_bytes());
        let status = field.status(|status| status["led"] == wanted || status["slot"] == "B");
        if status["slot"] == "B" {
            break;
        }
        let uptime = status["uptime_s"].as_u64().unwrap();
        assert!(uptime - before < 15, "{before}, then {status}\n{}", field.board.console.tail(80));
        (before, switched) = (uptime, switched + 1);
    }
    assert!(switched > 5, "{switched} commands\n{}", field.board.console.tail(80));
    assert_eq!(field.ended(&job).0, "SUCCEEDED", "{}", field.board.console.tail(80));
    // The whole image goes from one slot to the other.
    let job = field.update_identity(&field.stage.identity.clone(), 2);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let (flash, length) = (field.flash(), shipped().len());
    let [a, b] = [Slot::A, Slot::B].map(|slot| &flash[slot.offset() as usize..][..length]);
    assert!(a == b, "the slots differ");
    let text = field.board.console.tail(5000);
    for sign in ["*** CRASH", "[board] fault", "[board] reset: watchdog", "connection lost"] {
        assert!(!text.contains(sign), "{sign}\n{text}");
    }
}

/// What an update takes it gives back, however it ends: without the restart that hides what it does not.
#[test]
fn updates_that_bring_nothing_leave_the_heap_level() {
    let (mut field, relay) = Field::with_relay();
    let image = version(&shipped(), [0, 2, 0]);
    let signature = field.signer.signature(&image).unwrap();
    let heap = |status: &Value| status["heap_free"].as_u64().unwrap();
    let mut free = Vec::new();
    for round in 0..6 {
        // Refused when it is there.
        let unfit = field.order(&image[..16_384], &signature, |_| ());
        assert_eq!(field.ended(&unfit).0, "REJECTED", "round {round}");
        // Called off on its way, over a connection that is not the one that it began on.
        let job = field.order(&image, &signature, |_| ());
        reaches(&mut field, &job, 10);
        relay.reset();
        reaches(&mut field, &job, 30);
        field.aws("iot", "cancel-job", &[("job-id", &job), ("force", "true")]);
        // When nothing is on its way any more.
        field.watcher.forget();
        field.watcher.online();
        free.push(heap(&field.watcher.online()));
    }
    println!("heap after each round: {free:?}");
    let last = free[free.len() - 1];
    assert!(free[1].abs_diff(last) <= 256, "{free:?}\n{}", field.board.console.tail(80));
}
