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
    let bytes = std::fs::read(file).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::of(
            file,
            "this is not text (UTF-8)",
            "certificates and keys must be PEM, not DER: `openssl x509 -inform DER` and \
             `openssl pkey -inform DER` convert them",
        )
        .at_line(line)
    })
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
        assert!(error(9).contains("file:2: this is not text"), "{}", error(9));
    }
}
