//! Each packet that a server may send, each that it must not, and what does not fit.

use packets::{Fault, Guard, Item, MAX_ASIDE, MAX_PACKET};

const CONNECT: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 30, 0, 0];
const CONNECT_CLEAN: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 0];
const ACCEPTED: [u8; 4] = [0x20, 2, 0, 0];
const SUBSCRIBE: [u8; 8] = [0x82, 6, 0x12, 0x34, 0, 1, b'c', 1];

/// A PUBLISH; `id` only at QoS 1.
fn publish(qos: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(payload);
    let mut packet = vec![0x30 | qos << 1];
    let mut length = body.len();
    loop {
        let more = length > 127;
        packet.push((length % 128) as u8 | if more { 0x80 } else { 0 });
        length /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// A guard behind CONNACK.
fn connected() -> Guard {
    let mut guard = Guard::new();
    guard.sent(&CONNECT);
    feed(&mut guard, &ACCEPTED).unwrap();
    assert_eq!(packets(&mut guard), [ACCEPTED]);
    guard
}

fn feed(guard: &mut Guard, bytes: &[u8]) -> Result<(), Fault> {
    guard.offer(bytes);
    guard.commit()
}

/// All that is waiting, which must be packets.
fn packets(guard: &mut Guard) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(item) = guard.take() {
        match item {
            Item::Packet(packet) => all.push(packet.to_vec()),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn what_was_asked_for_passes() {
    let mut guard = connected();
    guard.sent(&SUBSCRIBE);
    guard.sent(&publish(1, 7, "s", b"{}"));
    guard.sent(&[0xC0, 0]);
    let answers: [&[u8]; 5] = [
        &[0x90, 3, 0x12, 0x34, 1],
        &[0x40, 2, 0, 7],
        &[0xD0, 0],
        &publish(0, 0, "c", b"on"),
        &publish(1, 1, "c", b"off"),
    ];
    // In one piece, and one byte at a time.
    for size in [1, 2, 3, 100] {
        let mut guard = connected();
        guard.sent(&SUBSCRIBE);
        guard.sent(&publish(1, 7, "s", b"{}"));
        guard.sent(&[0xC0, 0]);
        let mut seen = Vec::new();
        for piece in answers.concat().chunks(size) {
            feed(&mut guard, piece).unwrap();
            seen.extend(packets(&mut guard));
        }
        assert_eq!(seen, answers, "in pieces of {size}");
    }
    // All at once, taken afterwards.
    feed(&mut guard, &answers.concat()).unwrap();
    assert_eq!(packets(&mut guard), answers);
    assert!(guard.is_empty());
}

#[test]
fn answers_to_nothing_are_swallowed_or_refused() {
    let mut guard = connected();
    guard.sent(&publish(1, 7, "s", b"{}"));
    // PUBACKs for another packet id and for the same twice, PINGRESP without PINGREQ.
    feed(&mut guard, &[0x40, 2, 0, 8, 0x40, 2, 0, 7, 0x40, 2, 0, 7, 0xD0, 0]).unwrap();
    assert_eq!(packets(&mut guard), [[0x40, 2, 0, 7]]);
    // A SUBSCRIBE that was sent twice is answered twice.
    guard.sent(&SUBSCRIBE);
    guard.sent(&SUBSCRIBE);
    feed(&mut guard, &[0x90, 3, 0x12, 0x34, 1, 0x90, 3, 0x12, 0x34, 1]).unwrap();
    assert_eq!(packets(&mut guard), [[0x90, 3, 0x12, 0x34, 1]]);
    assert_eq!(feed(&mut guard, &[0x90, 3, 0x12, 0x35, 1]), Err(Fault::Malformed(9)));
    assert_eq!(feed(&mut connected(), &[0x90, 3, 0, 1, 1]), Err(Fault::Unexpected(9)));
}

#[test]
fn what_a_server_must_not_send_is_refused() {
    let subscribed = |bytes: &[u8]| {
        let mut guard = connected();
        guard.sent(&SUBSCRIBE);
        feed(&mut guard, bytes).unwrap_err()
    };
    let cases: &[(&[u8], Fault)] = &[
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], Fault::BadLength),
        (&[0x00, 0], Fault::Unexpected(0)),
        (&[0x10, 0], Fault::Unexpected(1)),
        (&ACCEPTED, Fault::Unexpected(2)),
        (&[0x50, 2, 0, 1], Fault::Unexpected(5)),
        (&[0x62, 2, 0, 1], Fault::Unexpected(6)),
        (&[0x70, 2, 0, 1], Fault::Unexpected(7)),
        (&SUBSCRIBE, Fault::Unexpected(8)),
        (&[0xB0, 2, 0, 1], Fault::Unexpected(11)),
        (&[0xC0, 0], Fault::Unexpected(12)),
        (&[0xE0, 0], Fault::Unexpected(14)),
        (&[0xF0, 0], Fault::Unexpected(15)),
        // Flags and lengths.
        (&[0x41, 2, 0, 1], Fault::Malformed(4)),
        (&[0x40, 0], Fault::Malformed(4)),
        (&[0x40, 3, 0, 1, 0], Fault::Malformed(4)),
        (&[0x92, 3, 0x12, 0x34, 1], Fault::Malformed(9)),
        // SUBACK: nothing at all, no return code, two of them, one that is none.
        (&[0x90, 0], Fault::Malformed(9)),
        (&[0x90, 2, 0x12, 0x34], Fault::Malformed(9)),
        (&[0x90, 4, 0x12, 0x34, 1, 1], Fault::Malformed(9)),
        (&[0x90, 3, 0x12, 0x34, 2], Fault::Malformed(9)),
        (&[0x90, 3, 0x12, 0x34, 3], Fault::Malformed(9)),
        (&[0x90, 3, 0x12, 0x33, 1], Fault::Malformed(9)),
        (&[0x90, 0xFF, 0x7F], Fault::Oversized(9)),
        (&[0xD1, 0], Fault::Malformed(13)),
        (&[0xD0, 1, 0], Fault::Malformed(13)),
        // PUBLISH: QoS 2 and 3, empty, half a topic length, no topic, a topic longer than the
        // packet, no packet id, packet id 0, NUL, no UTF-8, a wildcard.
        (&[0x34, 7, 0, 1, b'a', 0, 9, b'o', b'n'], Fault::Unexpected(3)),
        (&[0x36, 7, 0, 1, b'a', 0, 9, b'o', b'n'], Fault::Unexpected(3)),
        (&[0x30, 0], Fault::Malformed(3)),
        (&[0x30, 1, 0], Fault::Malformed(3)),
        (&[0x30, 3, 0, 0, b'x'], Fault::Malformed(3)),
        (&[0x30, 5, 0xFF, 0xFF, b'a', b'b', b'c'], Fault::Malformed(3)),
        (&[0x32, 5, 0, 3, b'a', b'b', b'c'], Fault::Malformed(3)),
        (&[0x32, 5, 0, 1, b'a', 0, 0], Fault::Malformed(3)),
        (&[0x30, 5, 0, 3, b'a', 0, b'c'], Fault::Malformed(3)),
        (&[0x30, 5, 0, 3, 0xC3, 0x28, 0xFF], Fault::Malformed(3)),
        (&[0x30, 5, 0, 3, b'a', b'/', b'#'], Fault::Malformed(3)),
    ];
    for (bytes, fault) in cases {
        assert_eq!(subscribed(bytes), *fault, "{bytes:02X?}");
    }
}

#[test]
fn connack_is_checked() {
    let answer = |connect: &[u8], bytes: &[u8]| {
        let mut guard = Guard::new();
        guard.sent(connect);
        feed(&mut guard, bytes).map(|()| packets(&mut guard).len())
    };
    assert_eq!(answer(&CONNECT, &[0x20, 2, 1, 0]), Ok(1));
    assert_eq!(answer(&CONNECT, &[0x20, 2, 0, 5]), Ok(1));
    assert_eq!(answer(&CONNECT_CLEAN, &ACCEPTED), Ok(1));
    assert_eq!(answer(&CONNECT_CLEAN, &[0x20, 2, 1, 0]), Err(Fault::SessionPresent));
    for bytes in [
        &[0x21, 2, 0, 0][..],
        &[0x20, 1, 0],
        &[0x20, 3, 0, 0, 0],
        &[0x20, 2, 2, 0],
        &[0x20, 2, 1, 5],
    ] {
        assert_eq!(answer(&CONNECT, bytes), Err(Fault::Malformed(2)), "{bytes:02X?}");
    }
    // Before it comes nothing, after a refusal neither.
    assert_eq!(answer(&CONNECT, &[0xD0, 0]), Err(Fault::Unexpected(13)));
    assert_eq!(answer(&CONNECT, &publish(0, 0, "a", b"")), Err(Fault::Unexpected(3)));
    assert_eq!(answer(&CONNECT, &[0x20, 2, 0, 5, 0x40, 2, 0, 1]), Err(Fault::Unexpected(4)));
    assert_eq!(answer(&[], &ACCEPTED), Err(Fault::Unexpected(2)));
}

#[test]
fn a_message_that_is_too_large_leaves_its_acknowledgement() {
    let topic = "t".repeat(200);
    for (qos, id) in [(0, None), (1, Some(0x1234))] {
        // The largest that is kept, one byte more, and a record's worth.
        let room = MAX_PACKET - 2 - topic.len() - usize::from(qos) * 2;
        for payload in [room, room + 1, 16_000] {
            let packet = publish(qos, 0x1234, &topic, &vec![b'x'; payload]);
            for size in [1, 7, 1460, 20_000] {
                let mut guard = connected();
                for piece in packet.chunks(size) {
                    feed(&mut guard, piece).unwrap();
                }
                let item = guard.take().expect("an item");
                if payload == room {
                    assert_eq!(item, Item::Packet(&packet));
                } else {
                    let shown = &topic.as_bytes()[..64];
                    assert_eq!(item, Item::Oversized { id, payload, topic: shown });
                }
                assert_eq!(guard.take(), None);
            }
        }
    }
    // One whose topic does not fit it.
    let broken = [&[0x30, 0x80, 0x20, 0xFF, 0xFF][..], &[b'x'; 4096]].concat();
    assert_eq!(feed(&mut connected(), &broken), Err(Fault::Malformed(3)));
}

#[test]
fn nothing_is_visible_before_commit() {
    let mut guard = connected();
    guard.sent(&publish(1, 7, "s", b"{}"));
    guard.offer(&[0x40, 2, 0, 7]);
    assert!(guard.is_empty());
    assert_eq!(guard.take(), None);
    guard.commit().unwrap();
    guard.offer(&publish(0, 0, "c", b"on"));
    assert_eq!(guard.take(), Some(Item::Packet(&[0x40, 2, 0, 7])));
    assert_eq!(guard.take(), None);
    guard.commit().unwrap();
    assert_eq!(packets(&mut guard).len(), 1);
    // A packet of which a part is committed waits for the rest.
    let packet = publish(1, 2, "c", b"off");
    feed(&mut guard, &packet[..5]).unwrap();
    guard.offer(&packet[5..]);
    assert_eq!(guard.take(), None);
    guard.commit().unwrap();
    assert_eq!(packets(&mut guard), [packet]);
}

#[test]
fn what_is_discarded_was_never_there() {
    let mut guard = connected();
    let good = publish(0, 0, "c", b"on");
    guard.offer(&good);
    guard.commit().unwrap();
    // A fault, an oversized message, a good one: none of it shows.
    for forged in [&[0xF0, 0][..], &publish(1, 1, "c", &[b'x'; 5000]), &publish(1, 1, "c", b"off")]
    {
        let mut guard = connected();
        guard.offer(&good);
        guard.commit().unwrap();
        guard.offer(forged);
        guard.discard();
        assert_eq!(packets(&mut guard), std::slice::from_ref(&good));
        // And nothing follows.
        guard.offer(&good);
        guard.commit().unwrap();
        assert_eq!(guard.take(), None);
    }
}

/// A record of 16 KB may hold hundreds of messages: the newest are kept.
#[test]
fn a_record_full_of_messages_costs_the_oldest() {
    let mut guard = connected();
    let count = 300;
    for id in 1..=count {
        guard.offer(&publish(1, id, "control", format!("command {id}").as_bytes()));
    }
    guard.commit().unwrap();
    let (mut kept, mut pushed_out) = (Vec::new(), Vec::new());
    while let Some(item) = guard.take() {
        match item {
            Item::Packet(packet) => kept.push(packet.to_vec()),
            Item::PushedOut { id } => pushed_out.push(id.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    assert!(kept.len() > 40, "{} kept", kept.len());
    assert_eq!(kept.len() + pushed_out.len(), usize::from(count));
    // Each is acknowledged, in the order of its coming.
    assert_eq!(pushed_out, (1..=count - u16::try_from(kept.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(kept.last(), Some(&publish(1, count, "control", b"command 300")));
}

/// AWS joins blocks of an update into one record, and a command with them.
#[test]
fn blocks_do_not_push_out_a_command() {
    let block = |number: u8| publish(0, 0, "a/data", &[number; 2_100]);
    let command = publish(1, 7, "control", b"on");
    for place in 0..=7 {
        let mut guard = connected();
        guard.set_aside(b"a/");
        for number in 0..8 {
            let packet = if number == place { command.clone() } else { block(number) };
            guard.offer(&packet);
        }
        guard.commit().unwrap();
        let (mut blocks, mut rest) = (Vec::new(), Vec::new());
        loop {
            if let Some((_, payload)) = guard.aside() {
                blocks.push(payload[0]);
                continue;
            }
            match guard.take() {
                None => break,
                Some(Item::Packet(packet)) => rest.push(packet.to_vec()),
                Some(Item::PushedOut { id: None } | Item::Aside) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rest, std::slice::from_ref(&command), "{place}");
        assert_eq!(blocks, [if place == 7 { 6 } else { 7 }], "{place}");
    }
}

/// What a forged record holds must not push out what came before it.
#[test]
fn only_messages_of_the_same_record_are_pushed_out() {
    let mut guard = connected();
    let first = publish(1, 1, "c", b"first");
    feed(&mut guard, &first).unwrap();
    for id in 2..500 {
        guard.offer(&publish(1, id, "c", &[b'x'; 100]));
    }
    guard.discard();
    assert_eq!(packets(&mut guard), [first]);
}

#[test]
fn more_acknowledgements_than_fit_end_the_connection() {
    let mut guard = connected();
    for id in 1..5_000 {
        guard.offer(&publish(1, id, "c", b""));
    }
    assert_eq!(guard.commit(), Err(Fault::Flood));
}

#[test]
fn what_is_set_aside_passes_the_client() {
    let big = |topic: &str, body: usize| publish(0, 0, topic, &vec![b'x'; body - 2 - topic.len()]);
    for size in [1, 7, 10_000] {
        let mut guard = connected();
        guard.set_aside(b"a/");
        let sent = [
            publish(0, 0, "c", b"on"),
            big("a/data", MAX_ASIDE),
            publish(1, 5, "a/data", b"acknowledged"),
            big("c", MAX_PACKET + 1),
            big("a/data", MAX_ASIDE + 1),
            publish(0, 0, "a/", b""),
            publish(0, 0, "b", b"off"),
        ];
        let mut seen = Vec::new();
        for piece in sent.iter().flat_map(|packet| packet.chunks(size)) {
            feed(&mut guard, piece).unwrap();
            loop {
                if let Some((topic, payload)) = guard.aside() {
                    seen.push(format!("aside {topic} {}", payload.len()));
                    continue;
                }
                match guard.take() {
                    None => break,
                    Some(Item::Packet(packet)) => seen.push(format!("packet {}", packet.len())),
                    Some(other) => seen.push(format!("{other:?}")),
                }
            }
            assert!(guard.is_empty());
        }
        let dropped = |topic: &str, payload| {
            let topic = topic.as_bytes();
            format!("{:?}", Item::Oversized { id: None, payload, topic })
        };
        assert_eq!(
            seen,
            [
                "packet 7".to_owned(),
                format!("aside a/data {}", MAX_ASIDE - 8),
                "packet 24".to_owned(),
                dropped("c", MAX_PACKET - 2),
                dropped("a/data", MAX_ASIDE - 7),
                "aside a/ 0".to_owned(),
                "packet 8".to_owned(),
            ],
            "{size} bytes at a time"
        );
    }
    // It holds up what comes behind it, until its owner has read it.
    let mut guard = connected();
    guard.set_aside(b"a/");
    feed(&mut guard, &[publish(0, 0, "a/", b"1"), publish(0, 0, "c", b"2")].concat()).unwrap();
    for _ in 0..2 {
        assert_eq!(guard.take(), Some(Item::Aside));
    }
    assert_eq!(guard.aside(), Some(("a/", &b"1"[..])));
    assert_eq!(guard.aside(), None);
    assert_eq!(guard.take(), Some(Item::Packet(&publish(0, 0, "c", b"2"))));
    // One whose record is forged was never there.
    guard.offer(&publish(0, 0, "a/", b"1"));
    guard.discard();
    assert_eq!(guard.aside(), None);
    assert_eq!(guard.take(), None);
    // What is no topic ends the connection, set aside or not.
    let mut guard = connected();
    guard.set_aside(b"a/");
    assert!(feed(&mut guard, &publish(0, 0, "a/+", b"1")).is_err());
}
