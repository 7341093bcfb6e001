//! What was said lately, for who comes late; and what is not worth saying each time.

use std::collections::{HashMap, VecDeque};

/// Bytes of the serial port that are kept.
const SERIAL: usize = 1 << 16;
/// Lines of the console that are kept.
const LINES: usize = 300;
/// Changes of one pin that the console names in a second of the board's time.
const CHANGES: u32 = 20;
/// How often the console says the same in a second of the board's time.
const REPEATS: u32 = 10;
const SECOND: u64 = 1_000_000_000;

/// The last of serial port and console.
#[derive(Debug, Default)]
pub struct Recent {
    serial: VecDeque<u8>,
    lines: VecDeque<String>,
}

impl Recent {
    /// UART0 sent this.
    pub fn serial(&mut self, bytes: &[u8]) {
        self.serial.extend(bytes);
        let over = self.serial.len().saturating_sub(SERIAL);
        self.serial.drain(..over);
    }

    /// The console said this.
    pub fn console(&mut self, text: &str) {
        self.lines.push_back(text.to_owned());
        let over = self.lines.len().saturating_sub(LINES);
        self.lines.drain(..over);
    }

    /// What UART0 sent.
    #[must_use]
    pub fn sent(&self) -> Vec<u8> {
        self.serial.iter().copied().collect()
    }

    /// What the console said.
    #[must_use]
    pub fn lines(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).collect()
    }
}

/// Keeps a pin that changes all the time (pulses, a bus) from filling the console.
#[derive(Debug, Default)]
pub struct Quiet {
    pins: [Pin; 17],
}

#[derive(Clone, Copy, Debug, Default)]
struct Pin {
    second: u64,
    changes: u32,
    unsaid: u64,
}

impl Quiet {
    /// Whether the change of `pin` at `time` (nanoseconds) is to be named.
    pub fn speaks(&mut self, pin: u32, time: u64) -> bool {
        let Some(pin) = self.pins.get_mut(pin as usize) else { return true };
        if pin.second != time / SECOND {
            (pin.second, pin.changes) = (time / SECOND, 0);
        }
        pin.changes += 1;
        let speaks = pin.changes <= CHANGES;
        pin.unsaid += u64::from(!speaks);
        speaks
    }

    /// Pins with changes that were not named, and how many, once their second is over.
    pub fn take(&mut self, now: u64) -> Vec<(u32, u64)> {
        let mut all = Vec::new();
        for (number, pin) in (0..).zip(&mut self.pins) {
            if pin.unsaid > 0 && pin.second != now / SECOND {
                all.push((number, std::mem::take(&mut pin.unsaid)));
            }
        }
        all
    }
}

/// Keeps who does the same again and again (a program that resets itself, or crashes at once) from
/// filling the console.
#[derive(Debug, Default)]
pub struct Repeats {
    second: u64,
    said: HashMap<String, u32>,
    over: Vec<(String, u32)>,
}

impl Repeats {
    /// Whether `text` is to be said at `time` (nanoseconds).
    pub fn speaks(&mut self, text: &str, time: u64) -> bool {
        self.turn(time);
        let times = self.said.entry(text.to_owned()).or_default();
        *times += 1;
        *times <= REPEATS
    }

    /// What was not said, and how often, once its second is over.
    pub fn take(&mut self, now: u64) -> Vec<(String, u32)> {
        self.turn(now);
        std::mem::take(&mut self.over)
    }

    fn turn(&mut self, time: u64) {
        if time / SECOND != self.second {
            self.second = time / SECOND;
            let over = self.said.drain().filter(|(_, times)| *times > REPEATS);
            self.over.extend(over.map(|(text, times)| (text, times - REPEATS)));
            self.over.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_kept_and_not_more() {
        let mut recent = Recent::default();
        recent.serial(&vec![b'a'; SERIAL]);
        recent.serial(b"end");
        assert_eq!(recent.sent().len(), SERIAL);
        assert!(recent.sent().ends_with(b"aend"));
        (0..LINES + 5).for_each(|n| recent.console(&n.to_string()));
        assert_eq!((recent.lines().len(), recent.lines()[0]), (LINES, "5"));
    }

    #[test]
    fn what_is_said_again_and_again_is_counted() {
        let mut repeats = Repeats::default();
        let mut said = |text: &str, second: u64| {
            (0..100).filter(|n| repeats.speaks(text, second * SECOND + n)).count()
        };
        assert_eq!((said("a", 0), said("b", 0), said("a", 1)), (10, 10, 10));
        assert!(repeats.speaks("c", SECOND));
        let over = [("a".to_owned(), 90), ("b".to_owned(), 90)];
        assert_eq!(repeats.take(SECOND + 5), over);
        assert!(repeats.take(SECOND + 6).is_empty());
        assert_eq!(repeats.take(2 * SECOND), [("a".to_owned(), 90)], "and c is forgotten");
        assert!(repeats.speaks("a", 2 * SECOND));
    }

    #[test]
    fn a_pin_that_pulses_is_counted() {
        let mut quiet = Quiet::default();
        let said = (0..1000).filter(|n| quiet.speaks(4, n * 1000)).count();
        assert_eq!(said, CHANGES as usize);
        assert!(quiet.take(5).is_empty(), "the second is not over");
        assert_eq!(quiet.take(SECOND), [(4, 980)]);
        assert!(quiet.take(2 * SECOND).is_empty());
        assert!(quiet.speaks(4, SECOND + 1));
    }
}
