//! `thing monitor`: a board's console, with crash addresses turned into functions and lines.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::console::Console;
use crate::flash::Port;
use crate::interrupt::Interrupt;
use crate::serial::{self, Line};

/// Bits per second of the firmware's console.
pub const FIRMWARE_BAUD: u32 = 115_200;
/// Bits per second of the boot ROM with a crystal of 26 MHz.
pub const ROM_BAUD: u32 = 74_880;

/// What to show.
#[derive(Clone, Debug)]
pub struct MonitorOptions {
    /// The firmware, for the names of code addresses.
    pub elf: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// Whether to reset the board first, so that its whole start is seen.
    pub reset: bool,
}

/// Shows the console until Ctrl-C.
///
/// # Errors
/// When the port cannot be opened or goes away.
pub fn monitor(port: &Port, options: &MonitorOptions) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let name = port.checked()?;
    let mut line = serial::open(name, options.baud)?;
    println!(
        "The console at {name}, {} baud; Ctrl-C ends. Lines of the boot ROM begin with {MARK}",
        options.baud
    );
    if options.reset {
        reset(&mut *line).with_context(|| format!("cannot reset the board at {name}"))?;
    }
    let (source, lost) = Lines::new(line);
    show(source, &options.elf, &lost, &interrupt, name)
}

fn show(
    source: Lines,
    elf: &Path,
    lost: &Receiver<io::Error>,
    interrupt: &Interrupt,
    name: &str,
) -> Result<()> {
    let _console = Console::attach(source, elf, true)?;
    loop {
        if interrupt.happened() {
            println!();
            return Ok(());
        }
        match lost.recv_timeout(Duration::from_millis(100)) {
            Ok(error) => bail!(
                "the connection to {name} is gone ({error}): was the cable pulled, or does \
                 another program use the port?"
            ),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the console ended"),
        }
    }
}

/// Pulls the board's reset as esptool does: GPIO0 high, so that it starts the firmware.
fn reset(line: &mut dyn Line) -> io::Result<()> {
    line.set_dtr(false)?;
    line.set_rts(true)?;
    std::thread::sleep(Duration::from_millis(100));
    line.set_rts(false)
}

/// In front of what the boot ROM says.
const MARK: &str = "rom|";

/// Whole lines of a serial line, those of the boot ROM marked. Waits where the line only says
/// that nothing came yet; when the line is gone it tells so and ends.
struct Lines {
    line: Box<dyn Line>,
    lost: Sender<io::Error>,
    /// What came of a line that has not ended yet.
    open: Vec<u8>,
    /// What can be read.
    ready: Vec<u8>,
}

impl Lines {
    fn new(line: Box<dyn Line>) -> (Self, Receiver<io::Error>) {
        let (lost, told) = mpsc::channel();
        (Self { line, lost, open: Vec::new(), ready: Vec::new() }, told)
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.open.push(byte);
                continue;
            }
            self.ready.extend(marked(&self.open).into_bytes());
            self.ready.push(b'\n');
            self.open.clear();
        }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = [0; 512];
        while self.ready.is_empty() {
            match self.line.read(&mut piece) {
                Ok(0) => {
                    let _ = self.lost.send(io::ErrorKind::UnexpectedEof.into());
                    return Ok(0);
                }
                Ok(length) => self.take(&piece[..length]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::TimedOut
                            | io::ErrorKind::WouldBlock
                            | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => {
                    // Nobody listens only when the monitor is ending.
                    let _ = self.lost.send(error);
                    return Ok(0);
                }
            }
        }
        let length = buffer.len().min(self.ready.len());
        buffer[..length].copy_from_slice(&self.ready[..length]);
        self.ready.drain(..length);
        Ok(length)
    }
}

/// One line as it is shown. The ROM speaks at another rate than the firmware: read at the
/// firmware's, it is noise, of which only the length is shown.
fn marked(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let noise = line.iter().filter(|&&byte| !(b' '..=b'~').contains(&byte) && byte != b'\t');
    // The firmware's own texts are UTF-8 and have no control characters.
    if noise.count() * 8 > line.len() && std::str::from_utf8(line).is_err() || has_control(line) {
        return format!("{MARK} ({} bytes at {ROM_BAUD} baud)", line.len());
    }
    let text = String::from_utf8_lossy(line);
    if is_rom(&text) { format!("{MARK} {text}") } else { text.into_owned() }
}

fn has_control(line: &[u8]) -> bool {
    line.iter().any(|byte| byte.is_ascii_control() && !b"\t\r\x1B".contains(byte))
}

/// Whether the boot ROM says such lines.
fn is_rom(text: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "ets Jan  8 2013",
        "ets_main.c",
        "load 0x",
        "tail ",
        "chksum 0x",
        "csum 0x",
        "csum err",
        "waiting for host",
        "Fatal exception",
    ];
    BEGINNINGS.iter().any(|beginning| text.trim_start().starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    /// A line that answers each read with the next of these, then is gone.
    struct Played {
        answers: VecDeque<io::Result<Vec<u8>>>,
        signals: Arc<Mutex<Vec<(&'static str, bool)>>>,
    }

    impl Read for Played {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self.answers.pop_front().unwrap_or(Ok(Vec::new()))?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    impl Line for Played {
        fn set_dtr(&mut self, asserted: bool) -> io::Result<()> {
            self.signals.lock().unwrap().push(("DTR", asserted));
            Ok(())
        }

        fn set_rts(&mut self, asserted: bool) -> io::Result<()> {
            self.signals.lock().unwrap().push(("RTS", asserted));
            Ok(())
        }
    }

    fn played(answers: Vec<io::Result<Vec<u8>>>) -> Played {
        Played { answers: answers.into(), signals: Arc::default() }
    }

    fn shown(bytes: &[u8]) -> Vec<String> {
        let pieces = bytes.chunks(3).map(|piece| Ok(piece.to_vec())).collect();
        let (mut lines, _lost) = Lines::new(Box::new(played(pieces)));
        let mut text = String::new();
        lines.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_rom_is_set_apart() {
        assert_eq!(
            shown(
                b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\nload 0x40100000, \
                  len 1408, room 16 \r\ntail 0\r\nI (0) app: esp8266-aws-iot 0.1.0\r\n"
            ),
            [
                "",
                "rom|  ets Jan  8 2013,rst cause:2, boot mode:(3,6)",
                "",
                "rom| load 0x40100000, len 1408, room 16 ",
                "rom| tail 0",
                "I (0) app: esp8266-aws-iot 0.1.0",
            ]
        );
    }

    #[test]
    fn noise_is_counted_and_not_shown() {
        let lines = shown(b"\x1B\x00r\xFE\x8C\x12\x9E|\xE0\r\nI (5) app: K\xC3\xBCche\r\n");
        assert_eq!(lines, ["rom| (9 bytes at 74880 baud)", "I (5) app: K\u{fc}che"]);
    }

    #[test]
    fn waiting_is_not_the_end_and_the_end_is_told() {
        let answers = vec![
            Ok(b"I (1) a".to_vec()),
            Err(io::ErrorKind::TimedOut.into()),
            Ok(b": b\n".to_vec()),
            Err(io::Error::other("unplugged")),
        ];
        let (mut lines, lost) = Lines::new(Box::new(played(answers)));
        let mut text = String::new();
        lines.read_to_string(&mut text).unwrap();
        assert_eq!(text, "I (1) a: b\n");
        assert_eq!(lost.recv().unwrap().to_string(), "unplugged");
    }

    #[test]
    fn the_reset_leaves_gpio0_alone() {
        let mut line = played(Vec::new());
        let signals = line.signals.clone();
        reset(&mut line).unwrap();
        assert_eq!(*signals.lock().unwrap(), [("DTR", false), ("RTS", true), ("RTS", false)]);
    }
}
