//! An application decides when the device restarts for an update, and what it has posted goes out first.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Field, UPDATE, slot_image, state, version};

const IMAGE: &str = "apps/valve/image";
const OPEN: &str = "[board] LED blue (GPIO2) on";

/// A board with a valve, which is open for so many seconds, and an update that is there.
#[track_caller]
fn with_an_update(seconds: &str) -> (Field, String) {
    let mut field = Field::of(IMAGE, &[], |_| ());
    let console = &field.board.console;
    let subscribed = |line: &str| line.contains("subscribed to");
    console.wait_for(0, UPDATE, "a subscription", subscribed).unwrap();
    field.watcher.send(seconds.as_bytes());
    field.board.console.wait_for(0, UPDATE, OPEN, |line| line == OPEN).unwrap();
    let job = field.update(&version(&slot_image(IMAGE), [0, 2, 0]));
    until(&mut field, &job, "restarting");
    (field, job)
}

/// Waits until the job is said to have come so far.
#[track_caller]
fn until(field: &mut Field, job: &str, wanted: &str) {
    let start = Instant::now();
    loop {
        let execution = field.execution(job);
        if state(&execution) == wanted {
            return;
        }
        assert!(start.elapsed() < UPDATE, "{execution}\n{}", field.board.console.tail(80));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn closed(payload: &[u8]) -> bool {
    serde_json::from_slice::<Value>(payload).is_ok_and(|told| told == json!({"open_for_s": 40}))
}

#[test]
fn a_restart_waits_for_the_application_and_its_last_message() {
    let (mut field, job) = with_an_update("40");
    // It closes by itself, says so, and only then is the device another one.
    assert!(closed(&field.watcher.payload(UPDATE)), "{}", field.board.console.tail(80));
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let lines = field.board.console.lines();
    let at = |wanted: &str| lines.iter().position(|line| line.contains(wanted)).expect(wanted);
    // It was told after the last moment in which a message could still wait for its turn.
    let order = ["\"restarting\"", "restarting into slot B", "published to", "valve 0.2.0"].map(at);
    assert!(order.is_sorted(), "{order:?}\n{}", lines.join("\n"));
}

#[test]
fn a_job_that_is_called_off_while_the_application_keeps_it_waiting_is_not_installed() {
    let (mut field, job) = with_an_update("600");
    field.aws("iot", "cancel-job", &[("job-id", &job), ("force", "true")]);
    // The next one is taken, which shows that the first one is left.
    let other = field.order(b"nothing", "MAYCAQECAQI=", |_| ());
    assert_eq!(field.ended(&other).0, "REJECTED", "{}", field.board.console.tail(80));
    let text = field.board.console.tail(500);
    assert!(!text.contains("restarting into"), "{text}");
}
