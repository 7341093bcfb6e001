//! Streams of records, damaged at random: what is committed is always a beginning of what was
//! sent, record by record, and a failure is final.

mod common;

use common::{Log, Numbers, connection_at, record};
use records::{Content, Progress, alert};

#[test]
fn damaged_streams() {
    let (streams, mut choices) = fuzz::begin(20_000);
    let mut numbers = Numbers(choices.number() | 1);
    let (mut whole, mut broken) = (0_u64, 0_u64);
    for _ in 0..streams {
        let key_size = if numbers.next().is_multiple_of(4) { 32 } else { 16 };
        let (_, mut receiver, mut server) = connection_at(key_size, 1, 1);
        let (mut stream, mut sent, mut ends) = (Vec::new(), Vec::new(), vec![0]);
        for _ in 0..numbers.next() % 6 {
            match numbers.next() % 8 {
                0 => stream.extend(record(&mut server, Content::Handshake, &[0; 4])),
                1 => stream.extend(server.alert(alert::NO_RENEGOTIATION).unwrap()),
                _ => {
                    let size = numbers.next() % 120;
                    let content = numbers.bytes(size);
                    stream.extend(record(&mut server, Content::Data, &content));
                    sent.extend(content);
                    ends.push(sent.len());
                }
            }
        }
        damage(&mut stream, &mut numbers);
        let mut log = Log::default();
        let mut rest = &mut stream[..];
        let mut failed = false;
        while !rest.is_empty() {
            let length = (numbers.next() % 90 + 1).min(rest.len());
            match receiver.take(&mut rest[..length], &mut log) {
                Ok((taken, progress)) => {
                    assert!(!failed && taken > 0 && taken <= length);
                    assert!(taken == length || progress != Progress::More);
                    rest = &mut rest[taken..];
                }
                Err(_) => {
                    failed = true;
                    rest = &mut rest[length..];
                }
            }
            assert!(ends.contains(&log.committed.len()), "whole records");
            assert!(sent.starts_with(&log.committed));
            assert_eq!(log.discards, usize::from(failed));
        }
        failed |= receiver.end(&mut log).is_err();
        assert_eq!(log.discards, usize::from(failed));
        if failed {
            broken += 1;
        } else {
            whole += 1;
        }
    }
    // Both happen, or nothing was tried.
    assert!(whole > streams / 50 && broken > streams / 50, "{whole} whole, {broken} broken");
}

fn damage(stream: &mut Vec<u8>, numbers: &mut Numbers) {
    if stream.is_empty() {
        let length = numbers.next() % 40;
        *stream = numbers.bytes(length);
        return;
    }
    let at = numbers.next() % stream.len();
    match numbers.next() % 8 {
        0 => stream[at] ^= 1 << (numbers.next() % 8),
        1 => stream[at] = numbers.next() as u8,
        2 => stream.truncate(at),
        3 => {
            stream.remove(at);
        }
        4 => stream.insert(at, numbers.next() as u8),
        5 => {
            // A part again: with luck a whole record.
            let part = stream[..at].to_vec();
            stream.extend(part);
        }
        6 => {
            // The header's bytes are worth more.
            let byte = at % stream.len().min(5);
            stream[byte] = numbers.next() as u8;
        }
        _ => {}
    }
}
