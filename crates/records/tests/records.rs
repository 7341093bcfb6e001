//! What a peer can send, kind and hostile.

mod common;

use common::{Log, Numbers, client, connection, connection_at, feed, key_block, record};
use records::{Content, Error, MAX_CONTENT, OVERHEAD, PREFIX, Progress, alert};

#[test]
fn every_size_arrives() {
    let sizes = (1..300).chain([511, 512, 513, 4095, 8087, 16_383, MAX_CONTENT]);
    let (_, mut receiver, mut server) = connection();
    let (mut log, mut numbers, mut sent) = (Log::default(), Numbers(3), Vec::new());
    for size in sizes {
        let content = numbers.bytes(size);
        let cuts = [numbers.next() % 700 + 1, numbers.next() % 40 + 1];
        let bytes = record(&mut server, Content::Data, &content);
        assert_eq!(bytes.len(), size + OVERHEAD);
        assert_eq!(feed(&mut receiver, &mut log, &bytes, &cuts), Ok(vec![Progress::Data]));
        sent.extend(content);
        assert_eq!(log.committed.len(), sent.len());
    }
    assert!(log.committed == sent);
}

#[test]
fn cut_at_every_byte_and_nothing_before_the_tag() {
    let content: Vec<u8> = (0..40).collect();
    let length = content.len() + OVERHEAD;
    for cut in 1..2 * length {
        let (_, mut receiver, mut server) = connection();
        let mut stream = record(&mut server, Content::Data, &content);
        stream.extend(record(&mut server, Content::Data, &content));
        let mut log = Log::default();
        let came = feed(&mut receiver, &mut log, &stream[..cut], &[cut]).unwrap();
        assert_eq!(came.len(), cut / length, "{cut}");
        assert_eq!(log.committed.len(), cut / length * content.len(), "{cut}");
        let shown = (cut % length).saturating_sub(PREFIX).min(content.len());
        assert_eq!(log.offered, content[..shown], "{cut}");
        let came = feed(&mut receiver, &mut log, &stream[cut..], &[2 * length]).unwrap();
        assert_eq!(came.len(), 2 - cut / length);
        assert_eq!((log.committed.len(), log.commits, log.discards), (80, 2, 0));
    }
}

#[test]
fn who_reads_what_is_wanted_has_nothing_left_over() {
    let (_, mut receiver, mut server) = connection();
    let mut stream = Vec::new();
    for size in [0, 1, 500, 16_384, 0, 7] {
        stream.extend(record(&mut server, Content::Data, &vec![7; size]));
    }
    let (mut log, mut records, mut at) = (Log::default(), 0, 0);
    while at < stream.len() {
        let wanted = receiver.wanted().min(600);
        let mut piece = stream[at..at + wanted].to_vec();
        let (taken, progress) = receiver.take(&mut piece, &mut log).unwrap();
        assert_eq!(taken, wanted);
        records += usize::from(progress != Progress::More);
        at += taken;
    }
    assert_eq!((records, log.commits, log.committed.len()), (6, 4, 1 + 500 + 16_384 + 7));
}

#[test]
fn a_changed_bit_anywhere_shows_nothing() {
    for (content, bytes) in [
        (Content::Data, &b"packet"[..]),
        (Content::Data, b""),
        (Content::Alert, &[1, 0]),
        (Content::Alert, &[2, 40]),
        (Content::Handshake, &[0; 4]),
    ] {
        let length = bytes.len() + OVERHEAD;
        for bit in 0..8 * length {
            let (_, mut receiver, mut server) = connection();
            let mut log = Log::default();
            let good = record(&mut server, Content::Data, b"before");
            feed(&mut receiver, &mut log, &good, &[1000]).unwrap();
            let mut stream = record(&mut server, content, bytes);
            stream[bit / 8] ^= 1 << (bit % 8);
            // So that a longer length has bytes to take.
            stream.extend(vec![0; 17_000]);
            let error = feed(&mut receiver, &mut log, &stream, &[33]).unwrap_err();
            let wanted: &[Error] = match bit / 8 {
                0 => &[Error::Unexpected, Error::Tag],
                1 | 2 => &[Error::Version],
                3 | 4 => &[Error::Length, Error::Tag],
                _ => &[Error::Tag],
            };
            assert!(wanted.contains(&error), "bit {bit}: {error:?}");
            assert!(error.alert().is_some());
            assert_eq!((&log.committed[..], log.discards), (&b"before"[..], 1), "bit {bit}");
            assert!(log.offered.is_empty());
            // That was final.
            let next = record(&mut server, Content::Data, b"after");
            assert_eq!(feed(&mut receiver, &mut log, &next, &[9]), Err(Error::Over));
            assert_eq!(Error::Over.alert(), None);
            assert_eq!((&log.committed[..], log.discards), (&b"before"[..], 1));
        }
    }
}

#[test]
fn a_wrong_tag_at_the_end_of_a_large_record() {
    for key_size in [16, 32] {
        let (_, mut receiver, mut server) = connection_at(key_size, 1, 1);
        let mut bytes = record(&mut server, Content::Data, &[9; MAX_CONTENT]);
        *bytes.last_mut().unwrap() ^= 0x80;
        let (mut log, last) = (Log::default(), bytes.len() - 1);
        feed(&mut receiver, &mut log, &bytes[..last], &[512]).unwrap();
        assert_eq!((log.offered.len(), log.commits), (MAX_CONTENT, 0));
        assert_eq!(feed(&mut receiver, &mut log, &bytes[last..], &[1]), Err(Error::Tag));
        assert_eq!((log.offered.len(), log.commits, log.discards), (0, 0, 1));
    }
}

#[test]
fn records_come_once_and_in_order() {
    let records = |count: usize| {
        let (_, receiver, mut server) = connection();
        let bytes: Vec<_> =
            (0..count).map(|i| record(&mut server, Content::Data, &[i as u8; 5])).collect();
        (receiver, bytes)
    };
    for order in [&[0, 0][..], &[1], &[0, 2]] {
        let (mut receiver, bytes) = records(3);
        let mut log = Log::default();
        let (last, first) = order.split_last().unwrap();
        for index in first {
            feed(&mut receiver, &mut log, &bytes[*index], &[64]).unwrap();
        }
        assert_eq!(feed(&mut receiver, &mut log, &bytes[*last], &[64]), Err(Error::Tag));
    }
    // Of the other direction, and of other keys.
    let (mut client, mut receiver, _) = connection();
    let own = record(&mut client, Content::Data, b"echo");
    assert_eq!(feed(&mut receiver, &mut Log::default(), &own, &[64]), Err(Error::Tag));
}

#[test]
fn lengths_at_their_bounds() {
    let header = |length: usize| [23, 3, 3, (length >> 8) as u8, length as u8];
    for length in (0..24).chain([MAX_CONTENT + 25, 0x8000, 0xFFFF]) {
        let (_, mut receiver, _) = connection();
        let mut log = Log::default();
        assert_eq!(feed(&mut receiver, &mut log, &header(length), &[5]), Err(Error::Length));
    }
    for length in [24, 25, MAX_CONTENT + 24] {
        let (_, mut receiver, _) = connection();
        assert_eq!(feed(&mut receiver, &mut Log::default(), &header(length), &[5]), Ok(vec![]));
    }
    let (mut client, _, _) = connection();
    for size in [0, OVERHEAD - 1, OVERHEAD + MAX_CONTENT + 1] {
        let mut buffer = vec![0; size];
        assert_eq!(client.seal(Content::Data, &mut buffer), Err(Error::Length));
    }
}

#[test]
fn types_that_must_not_come() {
    for content in [0, 20, 24, 255] {
        let (_, mut receiver, _) = connection();
        let header = [content, 3, 3, 0, 25];
        let mut log = Log::default();
        assert_eq!(feed(&mut receiver, &mut log, &header, &[1]), Err(Error::Unexpected));
    }
    for version in [[3, 1], [3, 4], [2, 3]] {
        let (_, mut receiver, _) = connection();
        let header = [23, version[0], version[1], 0, 25];
        let mut log = Log::default();
        assert_eq!(feed(&mut receiver, &mut log, &header, &[5]), Err(Error::Version));
    }
}

#[test]
fn alerts() {
    let came = |bytes: &[u8]| {
        let (_, mut receiver, mut server) = connection();
        let alert = record(&mut server, Content::Alert, bytes);
        let mut log = Log::default();
        let result = feed(&mut receiver, &mut log, &alert, &[4]);
        assert!(log.committed.is_empty() && log.offered.is_empty());
        result
    };
    assert_eq!(came(&[1, 0]), Ok(vec![Progress::Closed]));
    assert_eq!(came(&[2, 0]), Ok(vec![Progress::Closed]));
    assert_eq!(came(&[1, 90]), Ok(vec![Progress::Nothing]));
    for number in [10, 20, 40, 80, 255] {
        assert_eq!(came(&[2, number]), Err(Error::Alert(number)));
        assert_eq!(Error::Alert(number).alert(), None);
    }
    // A level that there is not counts as fatal.
    assert_eq!(came(&[0, 80]), Err(Error::Alert(80)));
    for bytes in [&[][..], &[1], &[1, 0, 1], &[1, 90, 1, 90]] {
        assert_eq!(came(bytes), Err(Error::Malformed));
    }
}

#[test]
fn nothing_is_read_after_close_notify() {
    let (_, mut receiver, mut server) = connection();
    let mut stream = record(&mut server, Content::Data, b"last");
    stream.extend(server.alert(alert::CLOSE_NOTIFY).unwrap());
    stream.extend(record(&mut server, Content::Data, b"too late"));
    stream.extend([0xFF; 50]);
    let mut log = Log::default();
    let came = feed(&mut receiver, &mut log, &stream, &[7]).unwrap();
    assert_eq!(came[..2], [Progress::Data, Progress::Closed]);
    assert!(came[2..].iter().all(|progress| *progress == Progress::Closed));
    assert_eq!((&log.committed[..], log.discards), (&b"last"[..], 0));
    assert_eq!(receiver.end(&mut log), Ok(()));
}

#[test]
fn a_new_handshake_is_refused() {
    let (mut client, mut receiver, mut server) = connection();
    let mut log = Log::default();
    let request = record(&mut server, Content::Handshake, &[0; 4]);
    assert_eq!(feed(&mut receiver, &mut log, &request, &[3]), Ok(vec![Progress::Refuse]));
    let refusal = client.alert(alert::NO_RENEGOTIATION).unwrap();
    assert_eq!(refusal[0], 21);
    // Life goes on.
    let data = record(&mut server, Content::Data, b"data");
    assert_eq!(feed(&mut receiver, &mut log, &data, &[3]), Ok(vec![Progress::Data]));
    // Nothing else of a handshake is taken: ServerHello, NewSessionTicket, parts.
    for message in [&[2, 0, 0, 1, 0][..], &[4, 0, 0, 0], &[0, 0, 0, 1], &[0; 3], &[0; 5], &[]] {
        let (_, mut receiver, mut server) = connection();
        let bytes = record(&mut server, Content::Handshake, message);
        let mut log = Log::default();
        assert_eq!(feed(&mut receiver, &mut log, &bytes, &[3]), Err(Error::Unexpected));
    }
}

#[test]
fn records_without_data_are_bounded() {
    for (content, bytes) in
        [(Content::Data, &[][..]), (Content::Alert, &[1, 90]), (Content::Handshake, &[0; 4])]
    {
        let (_, mut receiver, mut server) = connection();
        let mut log = Log::default();
        for _ in 0..3 {
            for _ in 0..32 {
                let empty = record(&mut server, content, bytes);
                assert_eq!(feed(&mut receiver, &mut log, &empty, &[64]).unwrap().len(), 1);
            }
            let data = record(&mut server, Content::Data, b"x");
            assert_eq!(feed(&mut receiver, &mut log, &data, &[64]), Ok(vec![Progress::Data]));
        }
        for _ in 0..32 {
            let empty = record(&mut server, content, bytes);
            feed(&mut receiver, &mut log, &empty, &[64]).unwrap();
        }
        let empty = record(&mut server, content, bytes);
        assert_eq!(feed(&mut receiver, &mut log, &empty, &[64]), Err(Error::Unexpected));
    }
}

#[test]
fn sequence_numbers_end() {
    // The last one is for the alert that closes.
    let (mut client, mut receiver, mut server) = connection_at(16, u64::MAX - 1, u64::MAX - 1);
    let mut log = Log::default();
    let last = record(&mut server, Content::Data, b"last");
    assert_eq!(feed(&mut receiver, &mut log, &last, &[64]), Ok(vec![Progress::Data]));
    let mut buffer = [0; OVERHEAD + 1];
    assert_eq!(client.seal(Content::Data, &mut buffer), Ok(()));
    assert_eq!(client.seal(Content::Data, &mut buffer), Err(Error::Exhausted));
    assert!(client.alert(alert::CLOSE_NOTIFY).is_ok());
    assert_eq!(client.alert(alert::CLOSE_NOTIFY), Err(Error::Exhausted));
    assert_eq!(client.seal(Content::Data, &mut buffer), Err(Error::Exhausted));

    let warning = server.alert(alert::NO_RENEGOTIATION).unwrap();
    assert_eq!(feed(&mut receiver, &mut log, &warning, &[64]), Ok(vec![Progress::Nothing]));
    // No number is left, and none begins again: neither at 0 nor with the last.
    let (_, _, mut again) = connection_at(16, 0, 0);
    let wrapped = record(&mut again, Content::Data, b"wrapped");
    assert_eq!(feed(&mut receiver, &mut log, &wrapped, &[64]), Err(Error::Exhausted));
    assert_eq!((&log.committed[..], log.discards), (&b"last"[..], 1));
}

#[test]
fn truncation_is_told() {
    let content = b"message";
    for length in 0..=content.len() + OVERHEAD {
        let (_, mut receiver, mut server) = connection();
        let mut log = Log::default();
        let first = record(&mut server, Content::Data, b"first");
        feed(&mut receiver, &mut log, &first, &[64]).unwrap();
        let bytes = record(&mut server, Content::Data, content);
        feed(&mut receiver, &mut log, &bytes[..length], &[64]).unwrap();
        let whole = length == 0 || length == bytes.len();
        assert_eq!(receiver.end(&mut log), if whole { Ok(()) } else { Err(Error::Truncated) });
        assert_eq!(log.discards, usize::from(!whole));
        assert!(log.offered.is_empty());
        assert_eq!(log.commits, if length == bytes.len() { 2 } else { 1 });
    }
}

#[test]
fn key_blocks_of_other_sizes_are_refused() {
    for (length, key_size) in
        [(0, 16), (39, 16), (41, 16), (40, 32), (72, 16), (8, 0), (38, 15), (56, 31)]
    {
        assert!(client(&vec![0; length], key_size, 1, 1).is_none(), "{length} {key_size}");
    }
    for key_size in [16, 32] {
        assert!(client(&key_block(key_size), key_size, 1, 1).is_some());
    }
}

#[test]
fn no_nonce_is_used_twice() {
    let (mut client, _, _) = connection();
    let mut seen = std::collections::HashSet::new();
    for i in 0..500 {
        let nonce: Vec<u8> = if i % 7 == 0 {
            client.alert(alert::NO_RENEGOTIATION).unwrap()[5..13].to_vec()
        } else {
            record(&mut client, Content::Data, b"same")[5..13].to_vec()
        };
        assert!(seen.insert(nonce));
    }
}
