//! JSON (RFC 8259) of a server, read where it lies: the text is checked once, then members are looked
//! up. Nothing is allocated and no depth of nesting takes more than so much stack.

/// Deepest nesting. AWS's job documents have six.
const MOST_NESTED: u8 = 12;

/// One value of a text that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Checks a text: one value, and nothing but blanks around it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let start = blanks(text.as_bytes(), 0);
        let end = value(text.as_bytes(), start, MOST_NESTED)?;
        (blanks(text.as_bytes(), end) == text.len())
            .then(|| Self(text.get(start..end).unwrap_or("")))
    }

    /// The member of an object with this name (the first, and the name without escapes).
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        self.0.starts_with('{').then_some(())?;
        let mut at = 1;
        loop {
            let (key, next) = self.next(at)?;
            let colon = blanks(self.0.as_bytes(), next);
            let (member, next) = self.next(colon + 1)?;
            if key.text() == Some(name) {
                return Some(member);
            }
            at = self.behind_comma(next)?;
        }
    }

    /// The elements of an array; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let mut at = self.0.starts_with('[').then_some(1);
        core::iter::from_fn(move || {
            let (item, next) = self.next(at?)?;
            at = self.behind_comma(next);
            Some(item)
        })
    }

    /// The value at or behind `at`, and where it ends. None at the end of the object or array.
    fn next(self, at: usize) -> Option<(Self, usize)> {
        let start = blanks(self.0.as_bytes(), at);
        let end = value(self.0.as_bytes(), start, MOST_NESTED)?;
        Some((Self(self.0.get(start..end)?), end))
    }

    fn behind_comma(self, at: usize) -> Option<usize> {
        let at = blanks(self.0.as_bytes(), at);
        (self.0.as_bytes().get(at) == Some(&b',')).then_some(at + 1)
    }

    /// A text that has no escapes.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let inside = self.0.strip_prefix('"')?.strip_suffix('"')?;
        (!inside.contains('\\')).then_some(inside)
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        self.0.bytes().all(|byte| byte.is_ascii_digit()).then(|| self.0.parse().ok())?
    }

    /// Whether it is `true`.
    #[must_use]
    pub fn is_true(self) -> bool {
        self.0 == "true"
    }
}

fn blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`.
fn value(text: &[u8], at: usize, depth: u8) -> Option<usize> {
    match text.get(at)? {
        b'{' => list(text, at, depth, true),
        b'[' => list(text, at, depth, false),
        b'"' => string(text, at),
        b't' => literal(text, at, b"true"),
        b'f' => literal(text, at, b"false"),
        b'n' => literal(text, at, b"null"),
        _ => number(text, at),
    }
}

fn literal(text: &[u8], at: usize, literal: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(literal).then_some(at + literal.len())
}

/// An object or an array.
fn list(text: &[u8], at: usize, depth: u8, object: bool) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let close = if object { b'}' } else { b']' };
    let mut at = blanks(text, at + 1);
    if text.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        if object {
            at = blanks(text, string(text, at)?);
            if text.get(at) != Some(&b':') {
                return None;
            }
            at = blanks(text, at + 1);
        }
        at = blanks(text, value(text, at, depth)?);
        match text.get(at)? {
            b',' => at = blanks(text, at + 1),
            byte if *byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    if !text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                _ => return None,
            },
            0..=0x1F => return None,
            _ => at += 1,
        }
    }
}

fn number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| {
        let rest = text.get(at..).unwrap_or(&[]);
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = at + usize::from(text.get(at) == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || whole > 1 && text.get(at) == Some(&b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let count = digits(at + 1);
        if count == 0 {
            return None;
        }
        at += 1 + count;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at += count;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn members_are_found() {
        let json = Json::parse(
            r#" { "a" : {"b":[1, "two" ,{"c":true}], "d":null},"e":"x\ny", "f":-1.5e3,"a":2 } "#,
        )
        .unwrap();
        let list = json.get("a").unwrap().get("b").unwrap();
        let items: Vec<_> = list.items().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].number(), Some(1));
        assert_eq!(items[1].text(), Some("two"));
        assert!(items[2].get("c").unwrap().is_true());
        assert_eq!(json.get("e").unwrap().text(), None, "escapes are not undone");
        assert_eq!(json.get("f").unwrap().number(), None);
        assert_eq!(json.get("g"), None);
        assert_eq!(list.get("a"), None);
        assert_eq!(json.items().count(), 0);
        assert_eq!(Json::parse("[]").unwrap().items().count(), 0);
        assert_eq!(Json::parse("{}").unwrap().get(""), None);
        assert_eq!(Json::parse("4294967296").unwrap().number(), None);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "01",
            "-",
            "1.",
            "1e",
            ".5",
            "+1",
            "tru",
            "nul",
            "1 2",
            "{} {}",
            "\u{feff}{}",
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        let nested = |depth: usize| -> String { "[".repeat(depth) + &"]".repeat(depth) };
        assert!(Json::parse(&nested(usize::from(MOST_NESTED))).is_some());
        assert!(Json::parse(&nested(usize::from(MOST_NESTED) + 1)).is_none());
        assert!(Json::parse(&"[".repeat(100_000)).is_none());
    }
}
