//! Hostile servers: whatever comes, the machine neither panics nor writes where it must not, and goes
//! on with what is right.

mod common;

use common::{BLOCK, Job, LIMITS, Server, image};
use fuzz::Random;
use update::machine::Machine;
use update::{base64, job, json::Json, stream};

const TOPICS: &[&str] = &[
    "jobs/notify-next",
    "jobs/start-next/accepted",
    "jobs/start-next/rejected",
    "jobs/job-1/update/accepted",
    "jobs/job-1/update/rejected",
    "jobs/job-2/update/accepted",
    "streams/AFR_OTA-1/data/cbor",
    "streams/AFR_OTA-1/rejected/cbor",
    "streams/other/data/cbor",
    "",
];

/// A message as a server could send it, and then not quite.
fn message(random: &mut Random, image: &[u8]) -> Vec<u8> {
    let job = Job::of_aws(image).document;
    let mut bytes = match random.below(6) {
        0 => random.bytes(200),
        1 => format!(
            r#"{{"execution":{{"jobId":"job-1","status":"QUEUED","versionNumber":{},"jobDocument":{job}}}}}"#,
            random.below(5)
        )
        .into_bytes(),
        2 => br#"{"code":"VersionMismatch"}"#.to_vec(),
        3 => br#"{"timestamp":1}"#.to_vec(),
        _ => {
            let number = random.below(8);
            let from = (number * BLOCK).min(image.len());
            let content = &image[from..(from + BLOCK).min(image.len())];
            let mut bytes = Vec::new();
            let mut cbor = minicbor::Encoder::new(&mut bytes);
            let open = random.once_in(2);
            if open { cbor.begin_map() } else { cbor.map(4) }
                .and_then(|cbor| cbor.str("f")?.u32(0)?.str("l")?.u32(BLOCK as u32))
                .and_then(|cbor| cbor.str("i")?.u32(number as u32)?.str("p")?.bytes(content))
                .unwrap();
            if open {
                cbor.end().unwrap();
            }
            bytes
        }
    };
    if random.below(3) > 0 && !bytes.is_empty() {
        for _ in 0..random.below(4) {
            // Where there are names and lengths.
            let at = random.below(bytes.len().min(80));
            bytes[at] = random.byte();
        }
        if random.once_in(5) {
            bytes.truncate(random.below(bytes.len()));
        }
    }
    bytes
}

/// Between an honest server's messages come others'. What is stored lies in the slot.
#[test]
fn a_machine_among_hostile_messages() {
    let (inputs, random) = fuzz::begin(20_000);
    let mut random = random.with_telling(b"{}[]\":,\\0159eE+-\x00\xFF\xA4\xBF\x61\x58\x59");
    let image = image(6 * BLOCK + 17);
    let (mut left, mut blocks) = (inputs, 0);
    while left > 0 {
        let mut server = Server::new(Job::of_aws(&image), &image);
        let mut machine = Machine::new("lamp", LIMITS, None);
        let mut now = 0;
        machine.connected(now);
        for _ in 0..40 {
            left = left.saturating_sub(1);
            now += random.below(6_000) as u64;
            while let Some(action) = machine.poll(now) {
                match action {
                    update::machine::Action::Subscribe(topic) => server.subscribed.push(topic),
                    update::machine::Action::Publish { topic, payload } => {
                        if topic.ends_with("start-next") {
                            server.hear(&topic, &payload);
                        }
                    }
                    update::machine::Action::Begin(fetch) => {
                        machine.begun(Ok(update::progress::Missing::all(fetch)), now);
                    }
                    update::machine::Action::Check => {
                        assert!(machine.work().size <= LIMITS.slot_size);
                        machine.checked(Err("no"), now);
                    }
                    update::machine::Action::Carry { .. } | update::machine::Action::Install => {
                        panic!("nothing was sound")
                    }
                }
            }
            let (topic, payload) = match server.inbox.pop_front() {
                Some(message) if random.once_in(2) => message,
                _ => {
                    // Blocks more often than what ends a job.
                    let topic = if random.once_in(4) {
                        TOPICS[random.below(TOPICS.len())]
                    } else {
                        "streams/AFR_OTA-1/data/cbor"
                    };
                    (format!("$aws/things/lamp/{topic}"), message(&mut random, &image))
                }
            };
            if let Some(store) = machine.message(&topic, &payload, now) {
                let end = store.offset as usize + store.content.len();
                assert!(end <= LIMITS.slot_size as usize && store.content.len() <= BLOCK);
                assert!(store.offset.is_multiple_of(BLOCK as u32));
                assert!(store.erase.is_none_or(|sector| sector == store.offset / 4096 * 4096));
                let (word, value) = store.mark;
                assert!(word >= update::progress::HEADER_WORDS && value != u32::MAX);
                blocks += 1;
                machine.stored(Ok(()), now);
            }
            if random.once_in(20) {
                machine.offline();
                machine.connected(now);
            }
        }
    }
    assert!(blocks > inputs / 50, "only {blocks} blocks were stored");
}

/// Texts and bytes of any kind, read by each reader.
#[test]
fn readers_take_anything() {
    let (inputs, random) = fuzz::begin(50_000);
    let mut random =
        random.with_telling(b"{}[]\":,\\u0159eE+-./ \tnulltrefalsMA=\x00\xFF\xA2\x58\x9F\xBF");
    for _ in 0..inputs {
        let bytes = random.bytes(120);
        let _ = job::Execution::read(&bytes);
        let _ = job::standing(&bytes);
        let _ = stream::Block::read(&bytes);
        let _ = stream::refusal(&bytes);
        let _ = base64::signature(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let mut out = [0; 64];
            let _ = base64::decode(text.as_bytes(), &mut out);
        }
        if let Some(json) = Json::parse(&bytes) {
            let _ = json.get("a").and_then(|json| json.get("b")).map(Json::number);
            let _ = json.only().and_then(Json::text);
        }
    }
}
