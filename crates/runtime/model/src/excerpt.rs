//! A payload as a line of the log shows it.

use core::fmt;

/// Shows a payload's size and first bytes in printable ASCII, whatever they are, for example
/// `4 bytes: "once"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt<'a> {
    /// The payload, or what was kept of it.
    pub start: &'a [u8],
    /// Bytes of the whole.
    pub length: usize,
}

impl Excerpt<'_> {
    /// How many bytes are shown.
    const SHOWN: usize = 32;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was not kept cannot be shown.
        let shown = self.start.get(..Self::SHOWN).unwrap_or(self.start);
        let rest = if shown.len() < self.length { "..." } else { "" };
        write!(f, "{} bytes: \"{}\"{rest}", self.length, shown.escape_ascii())
    }
}
