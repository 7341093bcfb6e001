//! MQTT file streams of AWS IoT, in CBOR (RFC 8949): blocks are asked for by a bitmap and come one
//! message each.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

/// The topics of one stream, or of all of them, whose name is `+`.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    /// The thing's name.
    pub thing: &'a str,
    /// The stream.
    pub stream: &'a str,
}

impl Topics<'_> {
    fn stream(&self, rest: &str) -> String {
        format!("$aws/things/{}/streams/{}/{rest}", self.thing, self.stream)
    }

    /// To publish requests to.
    #[must_use]
    pub fn get(&self) -> String {
        self.stream("get/cbor")
    }

    /// To subscribe to: blocks.
    #[must_use]
    pub fn data(&self) -> String {
        self.stream("data/cbor")
    }

    /// To subscribe to: why there are none.
    #[must_use]
    pub fn rejected(&self) -> String {
        self.stream("rejected/cbor")
    }
}

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
        // Writing to a Vec cannot fail.
        let _ = self.encode(&mut Encoder::new(Growing(&mut cbor)));
        cbor
    }

    fn encode<W: minicbor::encode::Write>(
        &self,
        cbor: &mut Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        cbor.map(5)?
            .str("f")?
            .u32(self.file)?
            .str("l")?
            .u32(self.block_size)?
            .str("o")?
            .u32(self.first)?
            .str("n")?
            .u32(self.most)?
            .str("b")?
            .bytes(self.bitmap)?;
        Ok(())
    }
}

struct Growing<'a>(&'a mut Vec<u8>);

impl minicbor::encode::Write for Growing<'_> {
    type Error = core::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
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
        let (mut file, mut block_size, mut number, mut content) = (None, None, None, None);
        each_member(cbor, |name, cbor| {
            match name {
                "f" => file = Some(cbor.u32().ok()?),
                "l" => block_size = Some(cbor.u32().ok()?),
                "i" => number = Some(cbor.u32().ok()?),
                "p" => content = Some(cbor.bytes().ok()?),
                _ => cbor.skip().ok()?,
            }
            Some(())
        })?;
        Some(Self { file: file?, block_size: block_size?, number: number?, content: content? })
    }
}

/// Why the server sends no blocks: its word, such as `ResourceNotFound`.
#[must_use]
pub fn refusal(cbor: &[u8]) -> Option<&str> {
    let mut code = None;
    each_member(cbor, |name, cbor| {
        match name {
            "o" if cbor.datatype().ok()? == Type::String => code = Some(cbor.str().ok()?),
            _ => cbor.skip().ok()?,
        }
        Some(())
    })?;
    code
}

/// Calls `with` for each member of the one map that `cbor` is; it takes the value. Maps without a
/// length, which no server sends, are refused.
fn each_member<'a>(
    cbor: &'a [u8],
    mut with: impl FnMut(&'a str, &mut Decoder<'a>) -> Option<()>,
) -> Option<()> {
    let mut cbor = Decoder::new(cbor);
    for _ in 0..cbor.map().ok()?? {
        let name = cbor.str().ok()?;
        with(name, &mut cbor)?;
    }
    (cbor.position() == cbor.input().len()).then_some(())
}
