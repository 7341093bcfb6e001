//! MQTT file streams of AWS IoT, in CBOR (RFC 8949): blocks are asked for by a bitmap and come one
//! message each.
//!
//! Of CBOR this is what such messages are made of: one map whose values are numbers, texts and bytes.
//! AWS writes it without its length, with a break at its end (3.2.2), though its guide does not say so.

use alloc::vec::Vec;

/// A request for blocks: GetStream.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The file in the stream.
    pub file: u32,
    /// Bytes of a block.
    pub block_size: u32,
    /// The block that the bitmap begins with.
    pub first: u32,
    /// Bit by bit, the lowest first, the blocks that are wanted.
    pub bitmap: &'a [u8],
    /// Most blocks that may come.
    pub most: u32,
}

impl Request<'_> {
    /// The request as CBOR.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut cbor = Vec::with_capacity(32 + self.bitmap.len());
        let numbers =
            [(b'f', self.file), (b'l', self.block_size), (b'o', self.first), (b'n', self.most)];
        put(&mut cbor, MAP, numbers.len() as u32 + 1);
        for (name, value) in numbers {
            put_name(&mut cbor, name);
            put(&mut cbor, NUMBER, value);
        }
        put_name(&mut cbor, b'b');
        put(&mut cbor, BYTES, self.bitmap.len() as u32);
        cbor.extend_from_slice(self.bitmap);
        cbor
    }
}

/// A block that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The file in the stream.
    pub file: u32,
    /// Bytes of a block; of the last one, which may be shorter, as asked for.
    pub block_size: u32,
    /// Its number.
    pub number: u32,
    /// Its content.
    pub content: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads one. None when that is no block.
    #[must_use]
    pub fn read(cbor: &'a [u8]) -> Option<Self> {
        let Members { file, block_size, number, content, .. } = Members::read(cbor)?;
        Some(Self { file: file?, block_size: block_size?, number: number?, content: content? })
    }
}

/// Why the server sends no blocks: its word, such as `ResourceNotFound`.
#[must_use]
pub fn refusal(cbor: &[u8]) -> Option<&str> {
    core::str::from_utf8(Members::read(cbor)?.code?).ok()
}

/// Whether a refusal with this word stays one. `InternalError` passes, and `Unauthorized` does where the
/// role that AWS reads the file by was made a moment ago: so may words that are not known here.
#[must_use]
pub fn is_final(code: &str) -> bool {
    matches!(code, "ResourceNotFound" | "VersionMismatch" | "ETagMismatch")
        || code.starts_with("Invalid")
        || code.ends_with("OutOfBounds")
        || code.ends_with("LimitExceeded")
}

// Major types (3.1).
const NUMBER: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;

/// Begins a map without its length.
const OPEN_MAP: u8 = MAP << 5 | 31;
/// Ends it.
const BREAK: u8 = 0xFF;

/// Writes the head of an item, in its shortest form.
fn put(cbor: &mut Vec<u8>, major: u8, value: u32) {
    let size = match value {
        0..24 => return cbor.push(major << 5 | value as u8),
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4_usize,
    };
    cbor.push((major << 5) | (24 + size.trailing_zeros() as u8));
    cbor.extend_from_slice(value.to_be_bytes().get(4 - size..).unwrap_or(&[]));
}

fn put_name(cbor: &mut Vec<u8>, name: u8) {
    cbor.extend_from_slice(&[TEXT << 5 | 1, name]);
}

/// What is known of the members of a map.
#[derive(Default)]
struct Members<'a> {
    file: Option<u32>,
    block_size: Option<u32>,
    number: Option<u32>,
    content: Option<&'a [u8]>,
    code: Option<&'a [u8]>,
}

impl<'a> Members<'a> {
    /// Reads the one map that `cbor` is. Members that are not known are passed over. What no server
    /// sends is refused: lists, maps in it, other items without a length.
    fn read(cbor: &'a [u8]) -> Option<Self> {
        let mut rest = cbor;
        let (open, count) = if let [OPEN_MAP, inner @ ..] = rest {
            rest = inner;
            (true, u32::MAX)
        } else {
            let (MAP, count, _) = item(&mut rest)? else { return None };
            (false, count)
        };
        let mut members = Self::default();
        for _ in 0..count {
            if open && let [BREAK, behind @ ..] = rest {
                rest = behind;
                break;
            }
            let (TEXT, _, name) = item(&mut rest)? else { return None };
            let (major, value, content) = item(&mut rest)?;
            match (name, major) {
                (b"f", NUMBER) => members.file = Some(value),
                (b"l", NUMBER) => members.block_size = Some(value),
                (b"i", NUMBER) => members.number = Some(value),
                (b"p", BYTES) => members.content = Some(content),
                // The guide has both names for it.
                (b"o" | b"code", TEXT) => members.code = Some(content),
                (_, NUMBER | NEGATIVE | BYTES | TEXT | SIMPLE) => {}
                _ => return None,
            }
        }
        rest.is_empty().then_some(members)
    }
}

/// Takes the next item off, a map's members not with it: its major type, its number or length, and
/// the content that a length is of.
fn item<'a>(cbor: &mut &'a [u8]) -> Option<(u8, u32, &'a [u8])> {
    let (first, rest) = cbor.split_first()?;
    let (major, info) = (first >> 5, first & 0x1F);
    let size = match info {
        0..24 => 0,
        24..28 => 1 << (info - 24),
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(size)?;
    let mut value = u32::from(info);
    if let [high @ .., _, _, _, _] = number
        && high.iter().any(|byte| *byte != 0)
    {
        return None;
    }
    if size > 0 {
        value = number.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
    }
    let length = if matches!(major, BYTES | TEXT) { value as usize } else { 0 };
    let (content, rest) = rest.split_at_checked(length)?;
    *cbor = rest;
    Some((major, value, content))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// A block as AWS sent it to others (rustot's tests have it): f 0, i 0, l 1024, p.
    fn block_of_aws() -> Vec<u8> {
        let mut cbor = vec![191, 97, 102, 0, 97, 105, 0, 97, 108, 25, 4, 0, 97, 112, 89, 4, 0];
        cbor.extend((0..1024).map(|at| at as u8));
        cbor.push(255);
        cbor
    }

    /// A refusal as AWS sent it (issue 3 of aws-samples/aws-iot-mqtt-download-agent).
    const REFUSAL_OF_AWS: &[u8] =
        b"\xBFdcodekInvalidCboraokInvalidCborgmessagetInvalid CBOR messageamtInvalid CBOR message\xFF";

    #[test]
    fn what_aws_sends_is_read() {
        let cbor = block_of_aws();
        let block = Block::read(&cbor).unwrap();
        assert_eq!((block.file, block.number, block.block_size), (0, 0, 1024));
        assert_eq!(block.content, &cbor[17..1041]);
        assert_eq!(refusal(REFUSAL_OF_AWS), Some("InvalidCbor"));
    }

    #[test]
    fn a_map_without_its_length_is_read_whole_or_not_at_all() {
        let block = block_of_aws();
        for cbor in [&block[..], REFUSAL_OF_AWS] {
            for end in 0..cbor.len() {
                assert!(Members::read(&cbor[..end]).is_none(), "{end} bytes");
            }
            assert!(Members::read(&[cbor, b"\0"].concat()).is_none(), "something follows");
        }
        // A break is no name, no value, and ends no map that has a length.
        for nonsense in
            [&b"\xBFaf\xFF"[..], b"\xA1af\xFF", b"\xA2af\0\xFF", b"\xFF", b"\xBF\xBF\xFF\xFF"]
        {
            assert!(Members::read(nonsense).is_none(), "{nonsense:x?}");
        }
        // With its length, as other brokers write it: the same.
        let mut known = block.clone();
        known[0] = 0xA4;
        known.pop();
        assert_eq!(Block::read(&known), Block::read(&block));
    }
}
