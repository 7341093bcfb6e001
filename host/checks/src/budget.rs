//! Figures and the most that each may be: one table and one verdict for everything measured.

use std::fmt::Write as _;

use anyhow::{Result, bail};

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Of what.
    pub name: String,
    /// How much.
    pub value: u64,
    /// `bytes` or `instructions`.
    pub unit: &'static str,
    /// The most that it may be, if there is a limit.
    pub most: Option<u64>,
}

impl Figure {
    /// A figure in bytes.
    #[must_use]
    pub fn bytes(name: &str, value: u64, most: Option<u64>) -> Self {
        Self { name: name.to_owned(), value, unit: "bytes", most }
    }

    /// A figure in executed instructions.
    #[must_use]
    pub fn instructions(name: &str, value: u64, most: Option<u64>) -> Self {
        Self { name: name.to_owned(), value, unit: "instructions", most }
    }

    fn exceeded(&self) -> Option<String> {
        let most = self.most.filter(|most| self.value > *most)?;
        Some(format!("{} is {} of {most} {}", self.name, self.value, self.unit))
    }
}

/// A line for each figure below a head.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!("{:<32} {:>12} {:>12}", "figure", "value", "at most");
    for figure in figures {
        let most = figure.most.map_or_else(String::new, |most| most.to_string());
        let over = if figure.exceeded().is_some() { "  OVER" } else { "" };
        // Writing to a String cannot fail.
        let Figure { name, value, unit, .. } = figure;
        let _ = write!(text, "\n{name:<32} {value:>12} {most:>12} {unit}{over}");
    }
    text
}

/// Fails when a figure is over its limit; `place` is where the limits stand.
///
/// # Errors
/// With each figure that is over, and what to do.
pub fn check(figures: &[Figure], place: &str) -> Result<()> {
    let over: Vec<String> = figures.iter().filter_map(Figure::exceeded).collect();
    if over.is_empty() {
        return Ok(());
    }
    bail!(
        "over budget: {}\n  what to do: find what grew (`git stash` and the same command again show \
         how it was); what is worth its price raises the limit in {place}",
        over.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_limits() {
        let figures =
            |value| [Figure::bytes("flash", value, Some(10)), Figure::bytes("heap", 99, None)];
        assert!(check(&figures(10), "Makefile").is_ok());
        assert!(!table(&figures(10)).contains("OVER"));
        let error = check(&figures(11), "Makefile").unwrap_err().to_string();
        assert!(error.starts_with("over budget: flash is 11 of 10 bytes\n"), "{error}");
        assert!(error.ends_with("raises the limit in Makefile"), "{error}");
        assert!(table(&figures(11)).contains("10 bytes  OVER\n"), "{}", table(&figures(11)));
    }
}
