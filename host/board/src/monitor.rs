//! `thing monitor`: a board's console, with crash addresses turned into functions and lines.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::console::Console;
use crate::port::Port;
use crate::serial::{self, Line};
use process::interrupt::Interrupt;
use process::output;

/// Bits per second of the firmware's console.
pub const FIRMWARE_BAUD: u32 = 115_200;
/// Bits per second of the boot ROM with a crystal of 26 MHz.
pub const ROM_BAUD: u32 = 74_880;

/// What to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Monitor {
    /// The firmware
    #[arg(long)]
    elf: PathBuf,
    #[command(flatten)]
    port: Port,
    /// Bits per second; 74880 shows what the boot ROM says
    #[arg(long, default_value_t = FIRMWARE_BAUD)]
    baud: u32,
    /// Do not reset the board first
    #[arg(long)]
    no_reset: bool,
}

/// Shows the console until Ctrl-C.
///
/// # Errors
/// When the port cannot be opened or goes away.
pub fn monitor(Monitor { elf, port, baud, no_reset }: &Monitor) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let name = port.checked()?;
    let mut line = serial::open(name, *baud)?;
    output::line(format!(
        "The console at {name}, {baud} baud; Ctrl-C ends. Lines of the boot ROM begin with {MARK}"
    ))?;
    if !no_reset {
        // At the ROM's own rate first: how the board starts is what one has to know when it does
        // not.
        if *baud != ROM_BAUD {
            let start = rom_start(&mut *line)
                .and_then(|start| line.set_baud(*baud).map(|()| start))
                .with_context(|| format!("cannot reset the board at {name}"))?;
            for text in start {
                output::line(text)?;
            }
        }
        reset(&mut *line).with_context(|| format!("cannot reset the board at {name}"))?;
    }
    let (source, lost) = Lines::new(line);
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

/// Opens a board's console at the firmware's rate and resets the board: lines that end when the
/// port goes away.
///
/// # Errors
/// When the port cannot be opened.
pub fn restart(port: &Port) -> Result<impl Read + Send + use<>> {
    let name = port.checked()?;
    let mut line = serial::open(name, FIRMWARE_BAUD)?;
    reset(&mut *line).with_context(|| format!("cannot reset the board at {name}"))?;
    Ok(Lines::new(line).0)
}

/// Resets the board and reads what the boot ROM says: its lines, marked. None when nothing comes
/// that the ROM would say: not every port can reset its board.
fn rom_start(line: &mut dyn Line) -> io::Result<Vec<String>> {
    /// Until the first line.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// From there to the last: the ROM needs 30 ms.
    const WHOLE: Duration = Duration::from_millis(250);
    line.set_baud(ROM_BAUD)?;
    reset(line)?;
    let mut deadline = Instant::now() + PATIENCE;
    let mut begun = false;
    let mut bytes = Vec::new();
    let mut piece = [0; 512];
    while Instant::now() < deadline {
        match line.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
        if !begun && rom_lines(&bytes).next().is_some() {
            begun = true;
            deadline = Instant::now() + WHOLE;
        }
    }
    Ok(rom_lines(&bytes).collect())
}

/// What is the ROM's in `bytes`, marked.
fn rom_lines(bytes: &[u8]) -> impl Iterator<Item = String> + '_ {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
        .filter(|line| std::str::from_utf8(line).is_ok_and(is_rom))
        .map(marked)
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
    ready: VecDeque<u8>,
}

impl Lines {
    fn new(line: Box<dyn Line>) -> (Self, Receiver<io::Error>) {
        let (lost, told) = mpsc::channel();
        (Self { line, lost, open: Vec::new(), ready: VecDeque::new() }, told)
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.open.push(byte);
                continue;
            }
            self.ready.extend(marked(&self.open).into_bytes());
            self.ready.push_back(b'\n');
            self.open.clear();
        }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = [0; 512];
        while self.ready.is_empty() {
            let error = match self.line.read(&mut piece) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(length) => {
                    self.take(&piece[..length]);
                    continue;
                }
                Err(error) if is_pause(&error) => continue,
                Err(error) => error,
            };
            // Nobody listens only when the monitor is ending.
            let _ = self.lost.send(error);
            return Ok(0);
        }
        self.ready.read(buffer)
    }
}

/// Whether it only says that nothing came yet.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
}

/// One line as it is shown. The ROM speaks at another rate than the firmware: read at the
/// firmware's, it is noise, of which only the length is shown.
fn marked(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let noise = line.iter().filter(|&&byte| !(b' '..=b'~').contains(&byte) && byte != b'\t');
    // The firmware's own texts are UTF-8 and have no control characters.
    if noise.count() * 8 > line.len() && std::str::from_utf8(line).is_err() || has_control(line) {
        return format!(
            "{MARK} ({} bytes that the boot ROM sent, which speaks at {ROM_BAUD} baud)",
            line.len()
        );
    }
    let text = String::from_utf8_lossy(line);
    if !is_rom(&text) {
        return text.into_owned();
    }
    let shown = format!("{MARK} {}", text.trim());
    match hint(&text) {
        Some(hint) => format!("{shown}\n{MARK} => {hint}"),
        None => shown,
    }
}

/// What a line of the boot ROM means to one who waits for the firmware.
fn hint(text: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 4] = [
        (
            "ets_main.c",
            "the firmware in flash is missing or damaged, and the board tries again and again: \
             `make flash` writes it",
        ),
        (
            "boot mode:(1,",
            "GPIO0 is low, so the board waits in its boot loader: let the button FLASH go, press RST",
        ),
        (
            "waiting for host",
            "GPIO15 is high, so the board does not boot from its flash: pull it to ground by 10 k",
        ),
        ("wdt reset", "the watchdog has reset the board"),
    ];
    HINTS.into_iter().find(|(sign, _)| text.contains(sign)).map(|(_, hint)| hint)
}

fn has_control(line: &[u8]) -> bool {
    line.iter().any(|byte| byte.is_ascii_control() && !b"\t\r\x1B".contains(byte))
}

/// Whether the boot ROM, or the boot stage at the same rate, says such lines.
fn is_rom(text: &str) -> bool {
    const BEGINNINGS: [&str; 12] = [
        "boot: no",
        "ets Jan  8 2013",
        "ets_main.c",
        "load 0x",
        "tail ",
        "chksum 0x",
        "csum 0x",
        "csum err",
        "ho 0 tail",
        "wdt reset",
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
        fn set_baud(&mut self, baud: u32) -> io::Result<()> {
            self.signals.lock().unwrap().push(("baud", baud == ROM_BAUD));
            Ok(())
        }

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
                "rom| ets Jan  8 2013,rst cause:2, boot mode:(3,6)",
                "",
                "rom| load 0x40100000, len 1408, room 16",
                "rom| tail 0",
                "I (0) app: esp8266-aws-iot 0.1.0",
            ]
        );
    }

    #[test]
    fn noise_is_counted_and_not_shown() {
        let lines = shown(b"\x1B\x00r\xFE\x8C\x12\x9E|\xE0\r\nI (5) app: K\xC3\xBCche\r\n");
        assert_eq!(
            lines,
            [
                "rom| (9 bytes that the boot ROM sent, which speaks at 74880 baud)",
                "I (5) app: K\u{fc}che"
            ]
        );
    }

    #[test]
    fn what_the_rom_means_is_explained() {
        for (line, means) in [
            ("ets_main.c 181 ", "`make flash` writes it"),
            (" ets Jan  8 2013,rst cause:2, boot mode:(1,6)", "let the button FLASH go"),
            ("wdt reset", "the watchdog"),
            ("waiting for host", "GPIO15"),
        ] {
            let shown = marked(line.as_bytes());
            let (text, hint) = shown.split_once("\nrom| => ").unwrap();
            assert_eq!(text, format!("rom| {}", line.trim()));
            assert!(hint.contains(means), "{shown}");
        }
        assert!(!marked(b" ets Jan  8 2013,rst cause:2, boot mode:(3,6)").contains('\n'));
        assert_eq!(marked(b"I (5) app: ets_main.c"), "I (5) app: ets_main.c");
    }

    #[test]
    fn the_start_is_read_at_the_roms_rate() {
        let mut line = played(vec![
            Ok(b"\x80\xFE\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\n".to_vec()),
            Err(io::ErrorKind::TimedOut.into()),
            Ok(b"load 0x40100000, len 1408, room 16 \r\ntail 0\r\nchksum 0xc6\r\ncs".to_vec()),
            Ok(b"um 0xc6\r\nI\x80\xFF\xE0\r\nI (0) app: esp8266".to_vec()),
        ]);
        // The line ends there.
        assert_eq!(rom_start(&mut line).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let signals = line.signals.lock().unwrap().clone();
        assert_eq!(signals[0], ("baud", true));
        let text = b"\x80\xFE\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\ntail 0\r\n\
                     I\x80\xFF\xE0\r\ncsum 0xc6\r\nI (0) app: esp8266\r\ncsum 0x";
        assert_eq!(
            rom_lines(text).collect::<Vec<_>>(),
            ["rom| ets Jan  8 2013,rst cause:2, boot mode:(3,6)", "rom| tail 0", "rom| csum 0xc6"]
        );
    }

    #[test]
    fn a_board_that_says_nothing_has_no_start() {
        struct Silent;
        impl Read for Silent {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::TimedOut.into())
            }
        }
        impl Line for Silent {
            fn set_baud(&mut self, _: u32) -> io::Result<()> {
                Ok(())
            }
            fn set_dtr(&mut self, _: bool) -> io::Result<()> {
                Ok(())
            }
            fn set_rts(&mut self, _: bool) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(rom_start(&mut Silent).unwrap().is_empty());
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
