//! What is wrong with a file that a person wrote or brought, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One problem of one file. Its text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    line: Option<usize>,
    what: String,
    remedy: String,
}

impl Problem {
    /// A problem of the file as a whole.
    #[must_use]
    pub fn of(file: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, what: what.into(), remedy: remedy.into() }
    }

    /// The same problem, found in this line (from 1).
    #[must_use]
    pub fn at_line(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }

    /// The same problem, found at this place of the file's text.
    #[must_use]
    pub fn at(self, text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        self.at_line(before.matches('\n').count() + 1)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}\n  what to do: {}", self.what, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read (`remedy` says what to do then), is larger, or is not text.
pub fn read_text(file: &Path, limit: u64, remedy: &str) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::of(file, format!("the file cannot be read: {error}"), remedy)
    };
    let length = std::fs::metadata(file).map_err(unreadable)?.len();
    if length > limit {
        return Err(Problem::of(
            file,
            format!("the file has {length} bytes, and no more than {limit} make sense here"),
            "check that this is the file you mean",
        ));
    }
    text(file, std::fs::read(file).map_err(unreadable)?)
}

/// The text of a file with this content, which must be UTF-8; a byte order mark is taken off.
///
/// # Errors
/// Says which other encoding it is, as far as that shows, and how to save the file.
pub fn text(file: &Path, bytes: Vec<u8>) -> Result<String, Problem> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Problem::of(
            file,
            "this is text in UTF-16, as PowerShell's `>` writes it",
            "save it as UTF-8: an editor's \"Save with encoding\", or in PowerShell \
             `Get-Content FILE | Out-File -Encoding ascii NEW`",
        ));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let bytes = error.as_bytes();
        let before = &bytes[..error.utf8_error().valid_up_to()];
        let line = lines_before(before) + 1;
        // Text has no control characters but tabs and line ends; DER is full of them.
        let binary = bytes.iter().any(|byte| *byte < b' ' && !b"\t\n\r".contains(byte));
        if binary {
            Problem::of(
                file,
                "this is no text file",
                "certificates and keys must be PEM, not DER: `openssl x509 -inform DER` and \
                 `openssl pkey -inform DER` convert them",
            )
        } else {
            Problem::of(
                file,
                "this is text, but not in UTF-8 (a spreadsheet's or an old editor's encoding)",
                "save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")",
            )
        }
        .at_line(line)
    })?;
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    Ok(text)
}

/// Line ends in a text, as editors count them: LF, CR LF or CR alone.
#[must_use]
pub fn lines_before(text: &[u8]) -> usize {
    let ends = text.iter().filter(|byte| **byte == b'\n').count();
    let alone = text
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == b'\r' && text.get(at + 1) != Some(&b'\n'));
    ends + alone.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_file_line_and_remedy() {
        let problem = Problem::of(Path::new("a.toml"), "is wrong", "mend it");
        assert_eq!(problem.to_string(), "a.toml: is wrong\n  what to do: mend it");
        let problem = problem.at("one\ntwo\nthree", &(8..9));
        assert_eq!(problem.to_string(), "a.toml:3: is wrong\n  what to do: mend it");
    }

    #[test]
    fn files_that_are_missing_large_or_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let error = |limit| read_text(&file, limit, "make it").unwrap_err().to_string();
        assert!(error(9).contains("cannot be read: No such file"), "{}", error(9));
        assert!(error(9).ends_with("what to do: make it"));
        std::fs::write(&file, "0123456789").unwrap();
        assert!(error(9).contains("has 10 bytes, and no more than 9"), "{}", error(9));
        assert_eq!(read_text(&file, 10, "").unwrap(), "0123456789");
        std::fs::write(&file, b"a\nb\xFF").unwrap();
        assert!(error(9).contains("file:2: this is text, but not in UTF-8"), "{}", error(9));
        std::fs::write(&file, b"\x30\x82\x01\xFF").unwrap();
        assert!(error(9).contains("file:1: this is no text file"), "{}", error(9));
        for bytes in [b"\xFF\xFEa\0", b"\xFE\xFF\0a"] {
            std::fs::write(&file, bytes).unwrap();
            assert!(error(9).contains("UTF-16") && error(9).contains("ascii"), "{}", error(9));
        }
        std::fs::write(&file, "\u{FEFF}a").unwrap();
        assert_eq!(read_text(&file, 9, "").unwrap(), "a");
    }

    #[test]
    fn lines_are_counted_as_editors_do() {
        for text in ["a\nb\nc", "a\r\nb\r\nc", "a\rb\rc"] {
            assert_eq!(lines_before(text.as_bytes()), 2, "{text:?}");
        }
    }
}
