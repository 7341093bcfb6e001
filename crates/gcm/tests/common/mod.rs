//! A whole message in one call.

use gcm::{Direction, Key};

/// Cipher text and tag, with the message cut at `cuts` (lengths of the pieces, repeated).
pub fn run(
    key: &[u8],
    nonce: &[u8],
    additional: &[u8],
    data: &[u8],
    direction: Direction,
    cuts: &[usize],
) -> (Vec<u8>, [u8; 16]) {
    let key = Key::new(key).unwrap();
    let mut message = key.message(direction, nonce, additional);
    let mut data = data.to_vec();
    let (mut rest, mut cuts) = (&mut data[..], cuts.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at_mut((*cuts.next().unwrap()).min(rest.len()));
        message.update(&key, now);
        rest = later;
    }
    let tag = message.tag(&key);
    (data, tag)
}
