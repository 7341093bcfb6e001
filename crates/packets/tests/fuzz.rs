//! The guard survives any bytes, cut anywhere, and hands out the same whatever the cuts.

use fuzz::Random;
use packets::{Fault, Guard, Item, MAX_ASIDE, MAX_PACKET};

const CONNECT: [u8; 14] = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 0];

/// Some bytes of a server: packets as they should be, and then not.
fn stream(random: &mut Random) -> Vec<u8> {
    let mut bytes = if random.below(8) == 0 { Vec::new() } else { vec![0x20, 2, 0, 0] };
    for _ in 0..random.below(12) {
        match random.below(8) {
            0 => bytes.extend([0x90, 3, 0, 1, 1]),
            1 => bytes.extend([0x40, 2, 0, 2]),
            2 => bytes.extend([0xD0, 0]),
            3 => {
                let length = random.below(20);
                bytes.extend((0..length).map(|_| random.byte()));
            }
            _ => {
                let limit = [8, 200, MAX_PACKET + 8, 9000][random.below(4)];
                let qos = u8::from(random.below(2) == 0);
                let length = random.below(limit) + 5;
                bytes.extend([0x30 | qos << 1, (length % 128) as u8 | 0x80]);
                bytes.push((length / 128) as u8);
                bytes.extend([0, 1, b't', 0, 1]);
                bytes.extend((5..length).map(|_| b'x'));
            }
        }
    }
    for _ in 0..random.below(3) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len().min(64));
            bytes[at] = random.byte();
        }
    }
    bytes
}

/// Bytes of the packet that these begin with, or all of them. Who offers no more than that, and takes
/// what is whole before going on, never has a message pushed out.
fn packet_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    for (i, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7F) << (7 * (i - 1));
        if byte & 0x80 == 0 {
            return bytes.len().min(i + 1 + length);
        }
    }
    bytes.len()
}

/// What comes out of a guard that is fed like that.
fn run(
    bytes: &[u8],
    aside: bool,
    mut cut: impl FnMut() -> usize,
    drain: bool,
) -> (Vec<String>, Option<Fault>) {
    let mut guard = Guard::new();
    if aside {
        guard.set_aside(b"t");
    }
    guard.sent(&CONNECT);
    guard.sent(&[0x82, 6, 0, 1, 0, 1, b'c', 1]);
    guard.sent(&[0x32, 6, 0, 1, b's', 0, 2, b'x']);
    guard.sent(&[0xC0, 0]);
    let (mut items, mut rest) = (Vec::new(), bytes);
    let mut take = |guard: &mut Guard| {
        while let Some(item) = guard.take() {
            if let Item::Packet(packet) = item {
                assert!(packet.len() <= MAX_PACKET + 5);
                assert!(matches!(packet[0] >> 4, 2 | 3 | 4 | 9 | 13));
            }
            if let Item::Aside = item {
                let (topic, payload) = guard.aside().expect("just told");
                assert!(topic.starts_with('t') && topic.len() + payload.len() < MAX_ASIDE);
                items.push(format!("aside, {} bytes on {topic}", payload.len()));
                continue;
            }
            items.push(match item {
                Item::Packet(packet) => {
                    let sum = packet.iter().fold(0_u32, |sum, byte| {
                        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
                    });
                    format!("packet of {} bytes, sum {sum:08x}", packet.len())
                }
                other => format!("{other:?}"),
            });
        }
    };
    let (mut fault, mut left) = (None, 0);
    while !rest.is_empty() && fault.is_none() {
        if left == 0 {
            left = if drain { packet_length(rest) } else { rest.len() };
        }
        let (now, later) = rest.split_at(cut().clamp(1, left));
        (rest, left) = (later, left - now.len());
        guard.offer(now);
        if drain {
            fault = guard.commit().err();
            take(&mut guard);
        }
    }
    if !drain {
        fault = guard.commit().err();
        take(&mut guard);
    }
    (items, fault)
}

#[test]
fn any_bytes_are_survived_and_cuts_do_not_matter() {
    let (inputs, mut random) = fuzz::begin(100_000);
    let (mut items, mut faults, mut records) = (0, 0, 0);
    for input in 0..inputs {
        let bytes = stream(&mut random);
        let aside = random.once_in(2);
        let byte_by_byte = run(&bytes, aside, || 1, true);
        let mut cuts = Random::new(random.number());
        let in_pieces = run(&bytes, aside, || cuts.below(300) + 1, true);
        // What is complete before a fault may be lost with it; nothing else may differ.
        assert_eq!(byte_by_byte.1, in_pieces.1, "input {input}");
        let longest = byte_by_byte.0.len().min(in_pieces.0.len());
        assert_eq!(byte_by_byte.0[..longest], in_pieces.0[..longest], "input {input}");
        assert!(byte_by_byte.1.is_some() || byte_by_byte.0 == in_pieces.0, "input {input}");
        // All of it as one record: the same, as long as the store has room.
        let whole = run(&bytes, aside, || bytes.len(), false);
        if byte_by_byte.1.is_none() && !whole.0.iter().any(|item| item.starts_with("PushedOut")) {
            assert_eq!(whole, byte_by_byte, "input {input}");
            records += 1;
        }
        items += byte_by_byte.0.len();
        faults += usize::from(byte_by_byte.1.is_some());
    }
    // Most inputs say something, a good part is wrong, and a good part fits one record.
    println!("{items} items, {faults} faults, {records} records");
    assert!(items > inputs as usize, "{items} items");
    assert!(faults > inputs as usize / 10, "{faults} faults");
    assert!(records > inputs as usize / 10, "{records} records");
}
