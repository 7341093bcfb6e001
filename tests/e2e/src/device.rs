//! The firmware in the emulator, seen through its console.

use std::path::PathBuf;
use std::time::Duration;

use board::boards;
use board::qemu::{Emulator, EmulatorOptions};
use board::status::Led;
use board_facts::Board;

use crate::Secrets;

/// Lines of the console's beginning and of its end that are shown with a failure.
const SHOWN: usize = 60;

/// What the firmware prints first: once per boot.
const BANNER: &str = "esp8266-aws-iot ";

/// What the firmware says before it waits for its next attempt to connect.
const DELAY: &str = "next try in ";

/// Reads `next try in 1.5 s`.
fn delay_ms(line: &str) -> Option<u64> {
    let (_, text) = line.split_once(DELAY)?;
    let (whole, tenths) = text.strip_suffix(" s")?.split_once('.')?;
    Some(whole.parse::<u64>().ok()? * 1000 + tenths.parse::<u64>().ok()? * 100)
}

/// A line of the device's log: `I (1234) mqtt: text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `E`, `W`, `I`, `D` or `T`.
    pub level: char,
    /// Milliseconds since the device's boot.
    pub ms: u64,
    /// What follows the time: module and text.
    pub text: String,
}

impl Line {
    /// Reads a line; `None` when it is no log line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (level, rest) = line.split_once(" (")?;
        let (ms, text) = rest.split_once(") ")?;
        let mut level = level.chars();
        Some(Self { level: level.next()?, ms: ms.parse().ok()?, text: text.to_owned() })
            .filter(|_| level.next().is_none())
    }
}

/// A running device. Lines of the console are consumed in order: what one call has found, the
/// next looks behind.
#[derive(Debug)]
pub struct Device {
    /// The emulator, for what a test does to the board.
    pub emulator: Emulator,
    mark: usize,
    secrets: Secrets,
}

impl Device {
    /// The firmware under test, from the environment.
    ///
    /// # Panics
    /// When `FIRMWARE_ELF` does not name it: a test that cannot run must not pass.
    #[must_use]
    pub fn firmware() -> PathBuf {
        let path = std::env::var_os("FIRMWARE_ELF").map(PathBuf::from).expect(
            "FIRMWARE_ELF must be the absolute path of the firmware's ELF: run `make e2e`, \
             which builds it and says where it is",
        );
        assert!(path.is_file(), "FIRMWARE_ELF: there is no file {}", path.display());
        path
    }

    /// Boots the firmware with this identity region (`None`: zeros).
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn boot(region: Option<Vec<u8>>) -> Self {
        Self::boot_with(region, |_| {})
    }

    /// As [`Device::boot`], with other options for the emulator.
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn boot_with(region: Option<Vec<u8>>, change: impl FnOnce(&mut EmulatorOptions)) -> Self {
        let mut options = EmulatorOptions::new(&Self::firmware());
        let secrets = region.as_deref().map(Secrets::of).unwrap_or_default();
        options.identity = region;
        change(&mut options);
        Self { emulator: Emulator::start(&options).expect("the emulator starts"), mark: 0, secrets }
    }

    /// Waits for the next line that contains `wanted`.
    ///
    /// # Panics
    /// When `limit` passes first or the emulator ends.
    #[track_caller]
    pub fn expect(&mut self, limit: Duration, wanted: &str) -> Line {
        self.expect_where(limit, &format!("\"{wanted}\""), |line| line.contains(wanted))
    }

    /// Waits for the next line that satisfies `wanted`.
    ///
    /// # Panics
    /// When `limit` passes first or the emulator ends.
    #[track_caller]
    pub fn expect_where(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Line {
        match self.emulator.console.wait_for(self.mark, limit, what, wanted) {
            Ok((line, mark)) => {
                self.mark = mark;
                Line::parse(&line).unwrap_or(Line { level: ' ', ms: 0, text: line })
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    /// Waits until the device is connected and subscribed: what is sent to it before that may be
    /// lost.
    ///
    /// # Panics
    /// When that takes longer than [`crate::SOON`].
    #[track_caller]
    pub fn expect_connected(&mut self) -> Line {
        self.expect_connected_within(crate::SOON)
    }

    /// As [`Device::expect_connected`], with another limit.
    ///
    /// # Panics
    /// When that takes longer than `limit`.
    #[track_caller]
    pub fn expect_connected_within(&mut self, limit: Duration) -> Line {
        let line = self.expect(limit, "connected to ");
        self.expect_where(limit, "a subscription or a kept session", |line| {
            line.contains("subscribed to ") || line.contains("kept the session")
        });
        line
    }

    /// Waits until the board's LED has the state.
    ///
    /// # Panics
    /// When it does not get it.
    #[track_caller]
    pub fn expect_led(&mut self, led: Led) {
        // The light as the board shows it, not what the application says of it.
        let board = Board::named("qemu").expect("its facts are in bsp/qemu");
        self.expect(crate::SOON, &boards::led_line(&board, led));
    }

    /// Whether a line that contains `wanted` comes within `limit`. It is consumed then, with all
    /// before it.
    pub fn shows(&mut self, limit: Duration, wanted: &str) -> bool {
        let found =
            self.emulator.console.wait_for(self.mark, limit, wanted, |line| line.contains(wanted));
        if let Ok((_, mark)) = &found {
            self.mark = *mark;
        }
        found.is_ok()
    }

    /// The delay in milliseconds that the device announces before its next attempt to connect.
    ///
    /// # Panics
    /// When it does not within [`crate::SOON`].
    #[track_caller]
    pub fn expect_delay(&mut self) -> u64 {
        let line = self.expect(crate::SOON, DELAY);
        delay_ms(&line.text).unwrap_or_else(|| panic!("no delay in {line:?}"))
    }

    /// All lines of the console so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.emulator.console.lines()
    }

    /// How many lines so far contain `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Fails when the device has been reset, has crashed or has ended, or has shown a secret.
    ///
    /// # Panics
    /// When it has.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        self.assert_boots(1);
    }

    /// As [`Device::assert_sound`], for a test that has reset the device itself.
    ///
    /// # Panics
    /// When the device has booted another number of times, has crashed or has ended, or has shown a
    /// secret.
    #[track_caller]
    pub fn assert_boots(&mut self, boots: usize) {
        let ended = self.emulator.process.exited().expect("the state of the emulator");
        assert!(ended.is_none(), "the emulator ended: {ended:?}");
        assert_eq!(self.count("*** "), 0, "the device crashed");
        assert_eq!(self.count(BANNER), boots, "the device was reset");
        self.secrets.assert_hidden(&self.lines().join("\n"));
    }

    /// All delays in milliseconds that the device announced before attempts to connect.
    #[must_use]
    pub fn delays(&self) -> Vec<u64> {
        self.lines().iter().filter_map(|line| delay_ms(line)).collect()
    }

    /// CPU time that the emulator has used so far.
    ///
    /// # Panics
    /// When the kernel does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.emulator.process.cpu_time().expect("the emulator's CPU time")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines();
            let (head, rest) = lines.split_at(lines.len().min(SHOWN));
            let tail = &rest[rest.len().saturating_sub(SHOWN)..];
            eprintln!("--- the device's console\n{}", head.join("\n"));
            if tail.len() < rest.len() {
                eprintln!("... {} lines ...", rest.len() - tail.len());
            }
            eprintln!("{}\n---", tail.join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_read() {
        let line = Line::parse("W (1234) link: connection lost (errno 5)").unwrap();
        assert_eq!(
            line,
            Line { level: 'W', ms: 1234, text: "link: connection lost (errno 5)".to_owned() }
        );
        assert_eq!(Line::parse("[board] LED blue (GPIO2) off"), None);
        assert_eq!(Line::parse("*** CRASH (1) of 2"), None);
    }

    #[test]
    fn delays_are_read() {
        assert_eq!(delay_ms("I (5) link: next try in 12.3 s"), Some(12_300));
        assert_eq!(delay_ms("I (5) link: connected"), None);
    }
}
