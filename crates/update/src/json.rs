//! JSON (RFC 8259) of a server, read where it lies: the text is checked once, then members are looked
//! up. Nothing is allocated and no depth of nesting takes more than so much stack.

/// Deepest nesting. AWS's job documents have six.
const MOST_NESTED: u8 = 12;

/// One value of a text that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// Checks a text: one value, and nothing but blanks around it.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (value, end) = Json(text).next(0)?;
        (blanks(text, end) == text.len()).then_some(value)
    }

    /// The member of an object with this name (the first, and the name without escapes).
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        let mut at = self.inside(b'{')?;
        loop {
            let (key, next) = self.next(at)?;
            let colon = blanks(self.0, next);
            let (member, next) = self.next(colon + 1)?;
            if key.text() == Some(name) {
                return Some(member);
            }
            at = self.behind_comma(next)?;
        }
    }

    /// The text of the member with this name; empty when there is none.
    #[must_use]
    pub fn text_of(self, name: &str) -> &'a str {
        self.get(name).and_then(Self::text).unwrap_or("")
    }

    /// The element of an array that has only one.
    #[must_use]
    pub fn only(self) -> Option<Self> {
        let (item, next) = self.next(self.inside(b'[')?)?;
        self.behind_comma(next).is_none().then_some(item)
    }

    /// Where the inside of an object or array begins.
    fn inside(self, bracket: u8) -> Option<usize> {
        (self.0.first() == Some(&bracket)).then_some(1)
    }

    /// The value at or behind `at`, and where it ends. None at the end of the object or array.
    fn next(self, at: usize) -> Option<(Self, usize)> {
        let start = blanks(self.0, at);
        let end = value(self.0, start, MOST_NESTED)?;
        Some((Self(self.0.get(start..end)?), end))
    }

    fn behind_comma(self, at: usize) -> Option<usize> {
        let at = blanks(self.0, at);
        (self.0.get(at) == Some(&b',')).then_some(at + 1)
    }

    /// A text that has no escapes.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let inside = self.as_written()?;
        if inside.contains(&b'\\') {
            return None;
        }
        core::str::from_utf8(inside).ok()
    }

    /// The text as it is written, escapes and all.
    #[must_use]
    pub fn as_written(self) -> Option<&'a [u8]> {
        let [b'"', inside @ .., b'"'] = self.0 else { return None };
        Some(inside)
    }

    /// A whole number that is not negative.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        let mut number = 0_u32;
        for byte in self.0 {
            if !byte.is_ascii_digit() || number > (u32::MAX - 9) / 10 {
                return None;
            }
            number = 10 * number + u32::from(byte - b'0');
        }
        Some(number)
    }

    /// Whether it is `null`: nothing else begins so.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.first() == Some(&b'n')
    }

    /// Whether it is `true`.
    #[must_use]
    pub fn is_true(self) -> bool {
        self.0 == b"true"
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
        _ => scalar(text, at),
    }
}

/// A number, `true`, `false` or `null`. Not looked at until somebody asks for it, and then for one
/// of its forms.
fn scalar(text: &[u8], at: usize) -> Option<usize> {
    let is_of_one = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = text.get(at..)?.iter().take_while(is_of_one).count();
    (length > 0).then_some(at + length)
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

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::string::String;

    use super::*;

    #[test]
    fn members_are_found() {
        let json = Json::parse(
            br#" { "a" : {"b":[1, "two" ,{"c":true}], "d":null},"e":"x\ny", "f":-1.5e3,"a":2 } "#,
        )
        .unwrap();
        let list = json.get("a").unwrap().get("b").unwrap();
        assert_eq!(list.only(), None);
        let only = |text: &'static str| Json::parse(text.as_bytes()).unwrap().only();
        assert_eq!(only("[ 1 ]").unwrap().number(), Some(1));
        assert_eq!(only("[\"two\"]").unwrap().text(), Some("two"));
        assert!(only("[{\"c\":true}]").unwrap().get("c").unwrap().is_true());
        assert_eq!(json.get("e").unwrap().text(), None, "escapes are not undone");
        assert_eq!(json.get("f").unwrap().number(), None);
        assert_eq!(json.get("g"), None);
        assert_eq!(list.get("a"), None);
        assert_eq!((json.only(), only("[]"), only("{}"), only("1")), (None, None, None, None));
        assert_eq!(Json::parse(b"{}").unwrap().get(""), None);
        assert_eq!((json.text_of("e"), json.text_of("f"), json.text_of("g")), ("", "", ""));
        assert_eq!(Json::parse(b"\"\xFF\"").unwrap().text(), None, "not UTF-8");
        for text in ["4294967296", "-1", "1.0", "1e3", "+1", "nul", "true"] {
            assert_eq!(Json::parse(text.as_bytes()).unwrap().number(), None, "{text}");
        }
        assert!(!Json::parse(b"tru").unwrap().is_true());
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
            "1,",
            "1_0",
            "1 2",
            "{} {}",
            "\u{feff}{}",
        ] {
            assert_eq!(Json::parse(text.as_bytes()), None, "{text}");
        }
        let nested = |depth: usize| -> String { "[".repeat(depth) + &"]".repeat(depth) };
        assert!(Json::parse(nested(usize::from(MOST_NESTED)).as_bytes()).is_some());
        assert!(Json::parse(nested(usize::from(MOST_NESTED) + 1).as_bytes()).is_none());
        assert!(Json::parse("[".repeat(100_000).as_bytes()).is_none());
    }
}
