//! Folds what a console says again and again, as a device does that crashes at each boot.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The longest block of lines that is found again: a boot with two crash reports.
const LONGEST_BLOCK: usize = 200;

/// A block is folded when it has been shown this often.
const SHOWN: usize = 3;

/// ... and when so many lines in a row were not new.
const LEAST_LINES: usize = 12;

/// Watches lines and says which are worth showing.
#[derive(Debug, Default)]
pub struct Repeats {
    /// What the last lines were, newest first.
    last: VecDeque<u64>,
    /// How many lines in a row were each the one before by so many lines; from one on.
    runs: Vec<usize>,
    folded: Option<Folded>,
}

#[derive(Debug)]
struct Folded {
    /// Lines of the block.
    block: usize,
    /// Lines that were not shown.
    lines: usize,
    /// Times after which it is told next.
    told_at: usize,
}

impl Folded {
    fn told(&self) -> String {
        let times = self.lines / self.block;
        match self.block {
            1 => format!("[... the last line {times} times more]"),
            block => format!("[... the last {block} lines {times} times more]"),
        }
    }
}

impl Repeats {
    /// What to show of the next line: all, nothing, or before it how often the last ones came.
    pub fn next(&mut self, line: &str) -> Vec<String> {
        let print = print_of(line);
        self.runs.resize(LONGEST_BLOCK, 0);
        for (run, earlier) in self.runs.iter_mut().zip(&self.last) {
            *run = if *earlier == print { *run + 1 } else { 0 };
        }
        self.last.push_front(print);
        self.last.truncate(LONGEST_BLOCK);
        let mut shown = Vec::new();
        if let Some(folded) = &mut self.folded {
            if self.runs[folded.block - 1] > 0 {
                folded.lines += 1;
                // Seldom, and the more seldom the longer it goes on.
                if folded.lines == folded.told_at * folded.block {
                    folded.told_at *= 4;
                    shown.push(folded.told());
                }
                return shown;
            }
            shown.push(folded.told());
            self.folded = None;
        }
        let repeated = |block: usize| self.runs[block - 1] > ((SHOWN - 1) * block).max(LEAST_LINES);
        match (1..=LONGEST_BLOCK).find(|block| repeated(*block)) {
            Some(block) => self.folded = Some(Folded { block, lines: 1, told_at: 1 }),
            None => shown.push(line.to_owned()),
        }
        shown
    }
}

/// What makes two lines the same: all but the time of a log line, `I (1234) module: text`.
fn print_of(line: &str) -> u64 {
    let timeless = line
        .split_once(" (")
        .filter(|(level, _)| level.len() == 1)
        .and_then(|(_, rest)| rest.split_once(')'))
        .filter(|(time, _)| time.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or(line, |(_, text)| text);
    let mut hasher = DefaultHasher::new();
    timeless.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut repeats = Repeats::default();
        lines.into_iter().flat_map(|line| repeats.next(&line)).collect()
    }

    fn boot(number: usize) -> Vec<String> {
        let mut lines = vec![format!("I ({number}) app: esp8266-aws-iot 0.1.0, reset: exception")];
        lines.extend((0..9).map(|at| format!("    0x4020{at:04x} victim at victim.c:{at}")));
        lines
    }

    #[test]
    fn a_crash_loop_is_shown_three_times_and_then_counted() {
        let text = shown((0..10_000).flat_map(boot).chain(["it runs".to_owned()]));
        let whole = SHOWN * boot(0).len();
        assert!((whole..whole + 2).contains(&text.iter().filter(|l| !l.starts_with('[')).count()));
        assert!(text.len() < whole + 12, "{text:#?}");
        assert_eq!(text[text.len() - 2], "[... the last 10 lines 9997 times more]");
        assert_eq!(text.last().unwrap(), "it runs");
    }

    #[test]
    fn one_line_for_ever_is_counted() {
        let text = shown(vec!["E (1) net: no".to_owned(); 5000]);
        assert!(text.len() < 30, "{text:#?}");
    }

    #[test]
    fn what_differs_is_shown() {
        let statuses = |at: usize| format!("I ({at}) link: published {{\"uptime_s\":{at}}}");
        let lines: Vec<String> = (0..1000).map(statuses).collect();
        assert_eq!(shown(lines.clone()), lines);
        // A person's own doing is no loop: on, off, on, off.
        let lines: Vec<String> = (0..4)
            .flat_map(|at| ["on", "off"].map(|led| format!("I ({at}) led: LED {led}")))
            .collect();
        assert_eq!(shown(lines.clone()), lines);
    }

    #[test]
    fn only_a_log_lines_time_does_not_count() {
        assert_eq!(print_of("I (1) a: b"), print_of("I (22) a: b"));
        assert_ne!(print_of("I (1) a: b"), print_of("I (1) a: c"));
        assert_ne!(print_of("f (1) a"), print_of("f (x) a"));
    }
}
