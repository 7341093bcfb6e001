//! A server that joins blocks of an update, and commands among them, into records of up to 16 KB, as
//! AWS IoT does.

use std::sync::atomic::Ordering;

use e2e::server::Server;

use super::{Field, shipped, state, version};

const SWITCHED: &str = "[board] LED blue (GPIO2) o";

/// Bytes on the wire for 100 of the image: a request for each block.
const MOST_WIRE: u64 = 114;

/// The device keeps one block of a record, and each command, and asks for one block at a time.
#[test]
fn an_update_comes_from_a_server_that_joins_blocks() {
    let mut front = None;
    let mut field = Field::with(|stage| {
        let relay = stage.relay();
        let (server, longest) = Server::joining(stage);
        relay.set_target(server.port());
        front = Some((relay, server, longest));
    });
    let (relay, _server, longest) = front.unwrap();
    field.watcher.online();
    let image = version(&shipped(), [0, 2, 0]);
    let before = relay.carried();
    let job = field.update(&image);
    // Each command switches.
    let (mut commands, mut answers) = (0, 0);
    let mut last = String::new();
    loop {
        let execution = field.execution(&job);
        let state = state(&execution);
        if ["restarting", "100"].contains(&state) {
            break;
        }
        // At each tenth.
        if state != last {
            field.watcher.send(if commands % 2 == 0 { b"on" } else { b"off" });
            (commands, last) = (commands + 1, state.to_owned());
        }
    }
    let carried = relay.carried() - before;
    while let Some(report) = field.watcher.poll() {
        answers += u64::from(report.online().is_some());
    }
    let (verdict, reason) = field.ended(&job);
    let tail = field.board.console.tail(80);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{tail}");
    let lines = field.board.console.lines();
    let switched = lines.iter().filter(|line| line.starts_with(SWITCHED)).count();
    println!(
        "{} bytes of image, {carried} on the wire; {switched} of {commands} commands; a record of {} bytes",
        image.len(),
        longest.load(Ordering::Acquire),
    );
    // Else nothing was shown: two blocks were asked for, and came in one record.
    assert!(longest.load(Ordering::Acquire) > 2 * 2048, "{longest:?}");
    assert!(switched >= commands, "{switched} of {commands} commands\n{tail}");
    assert!(commands > 5, "{commands} commands");
    // A command takes less than 100 bytes, a status and its acknowledgement less than 400.
    let wire = carried - 100 * commands as u64 - 400 * answers;
    println!("{wire} bytes without commands and statuses");
    assert!(100 * wire <= MOST_WIRE * image.len() as u64, "{wire} bytes on the wire");
}
