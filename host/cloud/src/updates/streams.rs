//! MQTT file streams: files in blocks, by JSON or CBOR. Pure: who owns it reads the files.
//!
//! After "AWS IoT MQTT-based file delivery" of the AWS IoT developer guide.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minicbor::{Decoder, Encoder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Refusal;

/// Bytes that a block may have; also the most that one request brings.
const BLOCK_SIZES: std::ops::RangeInclusive<u64> = 256..=131_072;
/// Highest block, and most blocks that may be asked for: 24 MB in the smallest blocks.
const MOST_BLOCKS: u64 = 98_304;
/// Bytes that a bitmap must stay below.
const BITMAP_LIMIT: usize = 12_288;
/// Most bytes of a client token.
const MOST_TOKEN: usize = 64;

/// A file of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its key in the store.
    pub key: String,
    /// Its bytes.
    pub size: usize,
    /// What its content was when the stream was made.
    pub etag: String,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// In words.
    pub description: String,
    /// Grows with each change.
    pub version: u64,
    /// By their numbers.
    pub files: BTreeMap<u8, File>,
}

/// How a request is written, and its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Cbor,
}

/// An answer: below the stream's topics, and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `data/cbor`, `rejected/json` and so on.
    pub path: String,
    /// The message.
    pub payload: Vec<u8>,
}

#[derive(Debug, Default)]
struct Request {
    token: Option<String>,
    version: Option<u64>,
    file: Option<u64>,
    block_size: Option<u64>,
    first: Option<u64>,
    count: Option<u64>,
    bitmap: Option<Vec<u8>>,
}

struct Block<'b> {
    file: u8,
    number: u64,
    content: &'b [u8],
}

/// Answers a request that came on `$aws/things/<thing>/streams/<stream>/<path>`. `read` gives the
/// content and the etag of a key in the store.
pub fn answer(
    stream: Option<&Stream>,
    path: &str,
    payload: &[u8],
    read: impl Fn(&str) -> Option<(Vec<u8>, String)>,
) -> Vec<Answer> {
    let (operation, form) = match path.rsplit_once('/') {
        Some((operation, "cbor")) => (operation, Form::Cbor),
        Some((operation, "json")) => (operation, Form::Json),
        _ => ("", Form::Json),
    };
    let mut token = None;
    let result = Request::read(payload, form).and_then(|request| {
        if request.token.as_ref().is_some_and(|token| token.len() > MOST_TOKEN) {
            return Err(Refusal::invalid("the client token has more than 64 bytes"));
        }
        token.clone_from(&request.token);
        let stream = stream.ok_or_else(|| Refusal::not_found("there is no such stream"))?;
        match operation {
            "describe" => Ok(vec![description(stream, token.as_deref(), form)]),
            "get" => blocks(stream, &request, form, &read),
            _ => Err(Refusal::new("InvalidTopic", format!("streams know no {path}"))),
        }
    });
    result.unwrap_or_else(|refusal| vec![refusal.answer(token.as_deref(), form)])
}

impl Refusal {
    fn answer(&self, token: Option<&str>, form: Form) -> Answer {
        let (code, message) = (&self.code, &self.message);
        let body = json!({ "code": code, "o": code, "message": message, "m": message });
        form.answer("rejected", body, token)
    }
}

impl Form {
    /// The path of an answer of this kind.
    fn path(self, kind: &str) -> String {
        match self {
            Self::Json => format!("{kind}/json"),
            Self::Cbor => format!("{kind}/cbor"),
        }
    }

    /// An answer of objects, arrays, texts and whole numbers.
    fn answer(self, kind: &str, mut body: Value, token: Option<&str>) -> Answer {
        if let Some(token) = token {
            body["c"] = token.into();
        }
        let payload = match self {
            Self::Json => body.to_string().into_bytes(),
            Self::Cbor => {
                let mut bytes = Vec::new();
                let done = encode(&mut Encoder::new(&mut bytes), &body);
                done.expect("writing to memory does not fail");
                bytes
            }
        };
        Answer { path: self.path(kind), payload }
    }
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// Maps and lists without their lengths, as AWS writes them.
fn encode(cbor: &mut Encoder<&mut Vec<u8>>, value: &Value) -> Written {
    match value {
        Value::Object(members) => {
            cbor.begin_map()?;
            for (name, member) in members {
                cbor.str(name)?;
                encode(cbor, member)?;
            }
            cbor.end()?;
        }
        Value::Array(items) => {
            cbor.begin_array()?;
            for item in items {
                encode(cbor, item)?;
            }
            cbor.end()?;
        }
        Value::String(text) => {
            cbor.str(text)?;
        }
        other => {
            cbor.u64(other.as_u64().unwrap_or_default())?;
        }
    }
    Ok(())
}

fn description(stream: &Stream, token: Option<&str>, form: Form) -> Answer {
    let files: Vec<Value> =
        stream.files.iter().map(|(number, file)| json!({ "f": number, "z": file.size })).collect();
    let body = json!({ "s": stream.version, "d": stream.description, "r": files });
    form.answer("description", body, token)
}

fn blocks(
    stream: &Stream,
    request: &Request,
    form: Form,
    read: impl Fn(&str) -> Option<(Vec<u8>, String)>,
) -> Result<Vec<Answer>, Refusal> {
    if request.version.is_some_and(|version| version != stream.version) {
        let message = format!("the stream's version is {}", stream.version);
        return Err(Refusal::new("VersionMismatch", message));
    }
    let number = request.file.ok_or_else(|| Refusal::invalid("f, the file, is missing"))?;
    let size =
        request.block_size.ok_or_else(|| Refusal::invalid("l, the size of a block, is missing"))?;
    let file = u8::try_from(number).ok().and_then(|number| stream.files.get_key_value(&number));
    let Some((number, file)) = file else {
        return Err(Refusal::not_found(format!("the stream has no file {number}")));
    };
    if !BLOCK_SIZES.contains(&size) {
        return Err(Refusal::new("BlockSizeOutOfBounds", "a block has 256 to 131072 bytes"));
    }
    let first = request.first.unwrap_or(0);
    if first > MOST_BLOCKS {
        return Err(Refusal::new("OffsetOutOfBounds", "o is at most 98304"));
    }
    if request.count.is_some_and(|count| count > MOST_BLOCKS) {
        return Err(Refusal::new("BlockCountLimitExceeded", "n is at most 98304"));
    }
    let bitmap = request.bitmap.as_deref();
    if bitmap.is_some_and(|bitmap| bitmap.len() >= BITMAP_LIMIT) {
        return Err(Refusal::new("BlockBitmapLimitExceeded", "a bitmap has less than 12288 bytes"));
    }
    let Some((content, etag)) = read(&file.key) else {
        return Err(Refusal::not_found(format!("{} is gone from the store", file.key)));
    };
    if etag != file.etag {
        return Err(Refusal::new("ETagMismatch", format!("{} has changed in the store", file.key)));
    }
    // What one request brings is limited, whatever was asked for.
    let most = BLOCK_SIZES.end() / size;
    let most = request.count.unwrap_or(most).min(most);
    let wanted = |offset: u64| match bitmap {
        None => true,
        Some(bitmap) => {
            let byte = usize::try_from(offset / 8).ok().and_then(|index| bitmap.get(index));
            byte.is_some_and(|byte| byte >> (offset % 8) & 1 == 1)
        }
    };
    let answers: Vec<Answer> = content
        .chunks(usize::try_from(size).expect("it is small"))
        .zip(0_u64..)
        .skip(usize::try_from(first).expect("it is small"))
        .filter(|(_, block)| wanted(block - first))
        .take(usize::try_from(most).expect("it is small"))
        .map(|(content, block)| {
            let block = Block { file: *number, number: block, content };
            block.answer(request.token.as_deref(), form)
        })
        .collect();
    if answers.is_empty() {
        return Err(Refusal::not_found("the file has no such blocks"));
    }
    Ok(answers)
}

impl Block<'_> {
    fn answer(&self, token: Option<&str>, form: Form) -> Answer {
        if form == Form::Json {
            let text = STANDARD.encode(self.content);
            let body =
                json!({ "f": self.file, "l": self.content.len(), "i": self.number, "p": text });
            return form.answer("data", body, token);
        }
        let mut payload = Vec::with_capacity(self.content.len() + 96);
        self.encode(token, &mut Encoder::new(&mut payload))
            .expect("writing to memory does not fail");
        Answer { path: form.path("data"), payload }
    }

    fn encode(&self, token: Option<&str>, cbor: &mut Encoder<&mut Vec<u8>>) -> Written {
        cbor.begin_map()?;
        if let Some(token) = token {
            cbor.str("c")?.str(token)?;
        }
        cbor.str("f")?.u8(self.file)?;
        cbor.str("i")?.u64(self.number)?;
        cbor.str("l")?.u64(self.content.len() as u64)?;
        cbor.str("p")?.bytes(self.content)?.end()?;
        Ok(())
    }
}

impl Request {
    fn read(payload: &[u8], form: Form) -> Result<Self, Refusal> {
        if form == Form::Json { Self::read_json(payload) } else { Self::read_cbor(payload) }
    }

    fn read_json(payload: &[u8]) -> Result<Self, Refusal> {
        let Ok(Value::Object(members)) = serde_json::from_slice(payload) else {
            return Err(Refusal::new("InvalidJson", "the request is no JSON object"));
        };
        let mut request = Self::default();
        for (name, value) in members {
            let flaw = || Refusal::invalid(format!("{name} cannot be {value}"));
            if let Some(field) = request.number(&name) {
                *field = Some(value.as_u64().ok_or_else(flaw)?);
                continue;
            }
            match name.as_str() {
                "c" => request.token = Some(value.as_str().ok_or_else(flaw)?.to_owned()),
                "b" => request.bitmap = Some(value.as_str().and_then(bitmap).ok_or_else(flaw)?),
                _ => {}
            }
        }
        Ok(request)
    }

    fn read_cbor(payload: &[u8]) -> Result<Self, Refusal> {
        let malformed = |_| Refusal::new("InvalidCbor", "the request is no CBOR");
        let mut cbor = Decoder::new(payload);
        let count = cbor.map().map_err(malformed)?;
        let count =
            count.ok_or_else(|| Refusal::new("InvalidCbor", "the request's map has no length"))?;
        let mut request = Self::default();
        for _ in 0..count {
            let name = cbor.str().map_err(malformed)?;
            if let Some(field) = request.number(name) {
                *field = Some(cbor.u64().map_err(malformed)?);
                continue;
            }
            match name {
                "c" => request.token = Some(cbor.str().map_err(malformed)?.to_owned()),
                "b" => request.bitmap = Some(cbor.bytes().map_err(malformed)?.to_vec()),
                _ => cbor.skip().map_err(malformed)?,
            }
        }
        if cbor.position() != payload.len() {
            return Err(Refusal::new("InvalidCbor", "something follows the request"));
        }
        Ok(request)
    }

    /// The place of a number.
    fn number(&mut self, name: &str) -> Option<&mut Option<u64>> {
        Some(match name {
            "s" => &mut self.version,
            "f" => &mut self.file,
            "l" => &mut self.block_size,
            "o" => &mut self.first,
            "n" => &mut self.count,
            _ => return None,
        })
    }
}

/// A bitmap in JSON: hexadecimal, with or without `0x` in front.
fn bitmap(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "1bb8aaa1-5c18-4d21-80c2-0b44fee10380";

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 256 + at % 251) as u8).collect()
    }

    /// The guide's stream: two files.
    fn stream() -> Stream {
        let file = |key: &str, size| File { key: key.to_owned(), size, etag: "e".to_owned() };
        Stream {
            description: "This is the description of stream ABC.".to_owned(),
            version: 1,
            files: BTreeMap::from([(0, file("0", 131_072)), (1, file("1", 51_200))]),
        }
    }

    fn read(key: &str) -> Option<(Vec<u8>, String)> {
        let length = if key == "0" { 131_072 } else { 51_200 };
        Some((content(length), "e".to_owned()))
    }

    fn by_json(path: &str, request: &Value) -> Vec<(String, Value)> {
        answer(Some(&stream()), path, request.to_string().as_bytes(), read)
            .into_iter()
            .map(|answer| (answer.path, serde_json::from_slice(&answer.payload).unwrap()))
            .collect()
    }

    #[test]
    fn a_stream_is_described_as_the_guide_has_it() {
        let token = "ec944cfb-1e3c-49ac-97de-9dc4aaad0039";
        let answers = by_json("describe/json", &json!({ "c": token }));
        let expected = json!({
            "c": token, "s": 1, "d": "This is the description of stream ABC.",
            "r": [{ "f": 0, "z": 131_072 }, { "f": 1, "z": 51_200 }],
        });
        assert_eq!(answers, [("description/json".to_owned(), expected)]);
        // In CBOR the same.
        let answers = answer(Some(&stream()), "describe/cbor", &[0xA0], read);
        assert_eq!(answers[0].path, "description/cbor");
        assert_eq!(Decoder::new(&answers[0].payload).map().unwrap(), None);
    }

    #[test]
    fn the_guides_bitmap_brings_its_blocks() {
        let request =
            json!({ "c": "1", "s": 1, "l": 256, "f": 1, "o": 20, "n": 32, "b": "0x130080" });
        let answers = by_json("get/json", &request);
        let numbers: Vec<_> = answers.iter().map(|(_, body)| body["i"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [20, 21, 24, 43]);
        for (path, body) in &answers {
            assert_eq!(path, "data/json");
            assert_eq!((&body["c"], &body["f"], &body["l"]), (&"1".into(), &1.into(), &256.into()));
            let at = 256 * body["i"].as_u64().unwrap() as usize;
            let expected = &content(51_200)[at..at + 256];
            assert_eq!(STANDARD.decode(body["p"].as_str().unwrap()).unwrap(), expected);
        }
        let fewer = json!({ "l": 256, "f": 1, "o": 20, "n": 2, "b": "130080" });
        assert_eq!(by_json("get/json", &fewer).len(), 2);
    }

    #[test]
    fn what_a_device_of_ours_asks_for_in_cbor_it_understands() {
        let request = update::stream::Request {
            file: 1,
            block_size: 4096,
            first: 11,
            bitmap: &[0b11],
            most: 2,
        };
        let answers = answer(Some(&stream()), "get/cbor", &request.to_cbor(), read);
        let blocks: Vec<_> = answers
            .iter()
            .map(|answer| {
                assert_eq!(answer.path, "data/cbor");
                update::stream::Block::read(&answer.payload).unwrap()
            })
            .collect();
        assert_eq!(blocks[0].number, 11);
        assert_eq!(blocks[0].content, &content(51_200)[11 * 4096..12 * 4096]);
        // The last one is what is left.
        assert_eq!((blocks[1].number, blocks[1].content.len()), (12, 51_200 - 12 * 4096));
        assert_eq!(blocks[1].block_size, 2048);
        let gone = answer(None, "get/cbor", &request.to_cbor(), read);
        assert_eq!(gone[0].path, "rejected/cbor");
        assert_eq!(update::stream::refusal(&gone[0].payload), Some("ResourceNotFound"));
    }

    #[test]
    fn a_request_brings_128_kb_at_most() {
        assert_eq!(by_json("get/json", &json!({ "f": 0, "l": 4096 })).len(), 32);
        assert_eq!(by_json("get/json", &json!({ "f": 0, "l": 256, "n": 98_304 })).len(), 512);
        assert_eq!(by_json("get/json", &json!({ "f": 0, "l": 131_072 })).len(), 1);
        let all = "ff".repeat(64);
        assert_eq!(by_json("get/json", &json!({ "f": 0, "l": 1024, "b": all })).len(), 128);
    }

    #[test]
    fn requests_that_cannot_be_are_refused_with_awss_words() {
        let get = |more: &Value| {
            let mut request = json!({ "c": TOKEN, "f": 0, "l": 4096 });
            for (name, value) in more.as_object().unwrap() {
                request[name] = value.clone();
            }
            request
        };
        for (more, code) in [
            (json!({ "l": 255 }), "BlockSizeOutOfBounds"),
            (json!({ "l": 131_073 }), "BlockSizeOutOfBounds"),
            (json!({ "o": 98_305 }), "OffsetOutOfBounds"),
            (json!({ "n": 98_305 }), "BlockCountLimitExceeded"),
            (json!({ "b": "00".repeat(12_288) }), "BlockBitmapLimitExceeded"),
            (json!({ "s": 2 }), "VersionMismatch"),
            (json!({ "f": 2 }), "ResourceNotFound"),
            (json!({ "f": 256 }), "ResourceNotFound"),
            (json!({ "o": 32 }), "ResourceNotFound"),
            (json!({ "b": "00" }), "ResourceNotFound"),
            (json!({ "b": "0" }), "InvalidRequest"),
            (json!({ "b": "xy" }), "InvalidRequest"),
            (json!({ "l": "4096" }), "InvalidRequest"),
            (json!({ "f": -1 }), "InvalidRequest"),
        ] {
            let answers = by_json("get/json", &get(&more));
            assert_eq!(answers.len(), 1, "{more}");
            assert_eq!(
                (answers[0].0.as_str(), &answers[0].1["o"]),
                ("rejected/json", &code.into()),
                "{more}"
            );
            assert!(answers[0].1["m"].is_string());
        }
        let refused = by_json("get/json", &get(&json!({ "l": 1 })));
        assert_eq!(refused[0].1["c"], TOKEN);
        let refused = by_json("get/json", &json!({ "c": "x".repeat(65), "f": 0, "l": 256 }));
        assert_eq!((&refused[0].1["o"], refused[0].1.get("c")), (&"InvalidRequest".into(), None));
        for path in ["put/json", "get/xml", "get"] {
            assert_eq!(by_json(path, &get(&json!({})))[0].1["o"], "InvalidTopic", "{path}");
        }
        let code = |path: &str, payload: &[u8]| {
            let answers = answer(Some(&stream()), path, payload, read);
            assert_eq!(answers.len(), 1);
            answers[0].clone()
        };
        assert!(String::from_utf8(code("get/json", b"{").payload).unwrap().contains("InvalidJson"));
        for payload in [&[][..], &[0xA1], &[0xBF, 0xFF], &[0xA1, 0x61], &[0xA0, 0], b"{}"] {
            let answer = code("get/cbor", payload);
            assert_eq!(
                update::stream::refusal(&answer.payload),
                Some("InvalidCbor"),
                "{payload:?}"
            );
        }
    }

    #[test]
    fn a_file_that_was_changed_or_lost_is_told() {
        let request = json!({ "f": 0, "l": 4096 }).to_string();
        let with = |found: Option<(Vec<u8>, String)>| {
            let read = |_: &str| found.clone();
            let answers = answer(Some(&stream()), "get/json", request.as_bytes(), read);
            String::from_utf8(answers[0].payload.clone()).unwrap()
        };
        assert!(with(Some((content(10), "f".to_owned()))).contains("ETagMismatch"));
        assert!(with(None).contains("ResourceNotFound"));
    }
}
