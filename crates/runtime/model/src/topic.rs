//! Which subscription a message belongs to (MQTT 3.1.1, 4.7).

/// Whether a topic matches a filter: `+` stands for one level, `#` at the end for all that
/// follow, and for none. Wildcards do not match a topic's first level when it begins with `$`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.as_bytes(), topic.as_bytes());
    if topic.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    loop {
        let (wanted, more_wanted) = level(filter);
        if wanted == b"#" {
            return true;
        }
        let (there, more) = level(topic);
        if wanted != b"+" && wanted != there {
            return false;
        }
        (filter, topic) = match (more_wanted, more) {
            (Some(filter), Some(topic)) => (filter, topic),
            // "sport/#" matches "sport" too.
            (Some(filter), None) => return filter == b"#",
            (None, more) => return more.is_none(),
        };
    }
}

/// The first level, and what follows the slash behind it, if there is one.
fn level(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&text[..slash], Some(&text[slash + 1..])),
        None => (text, None),
    }
}
