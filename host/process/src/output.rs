//! Standard output whose reader may go away, as in `thing run | head`.

use std::fmt;
use std::io::Write;

use anyhow::{Context, Result};

/// Nobody reads standard output any more. No failure: whoever read has seen enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unheard;

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Unheard {}

/// Writes one line, at once.
///
/// # Errors
/// [`Unheard`] when the reader is gone.
pub fn line(text: impl fmt::Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Unheard.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}
