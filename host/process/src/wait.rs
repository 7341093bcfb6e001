//! Waiting for something that nobody tells of.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Looks again and again, after a `pause` each, until there is something; `None` when `limit` passes
/// first.
///
/// # Errors
/// Those of `look`.
pub fn until<T>(
    limit: Duration,
    pause: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look()?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        std::thread::sleep(pause);
    }
}
