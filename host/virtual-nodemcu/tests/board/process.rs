//! A virtual board that runs in a process of its own.

// Each test program uses its own part.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long something may take on a busy machine before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The process; killed when dropped.
pub struct Process {
    pub child: Child,
    lines: Receiver<String>,
    /// The console's lines so far.
    pub seen: Vec<String>,
}

impl Process {
    /// Starts a board with this flash file and these options.
    pub fn new(flash: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_virtual-nodemcu"))
            .arg("--flash")
            .arg(flash)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let console = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        // Read to its end, so that the board never waits for a full pipe.
        std::thread::spawn(move || {
            for line in console.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line of the console that has `text` in it; what follows `text` there.
    pub fn line(&mut self, text: &str) -> String {
        let start = Instant::now();
        let mut at = 0;
        loop {
            for line in &self.seen[at..] {
                if let Some((_, rest)) = line.split_once(text) {
                    return rest.to_owned();
                }
            }
            at = self.seen.len();
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(e) => panic!("no {text:?} on the console ({e}): {:#?}", self.seen),
            }
        }
    }

    /// Waits until `text` was on the console `count` times.
    pub fn times(&mut self, text: &str, count: usize) {
        let start = Instant::now();
        while self.seen.iter().filter(|line| line.contains(text)).count() < count {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(e) => panic!("not {count} times {text:?} ({e}): {:#?}", self.seen),
            }
        }
    }

    /// Where its serial port is.
    pub fn port(&mut self) -> String {
        self.line("serial port: ")
    }

    /// Ctrl-C; the rest of its console is in `seen` then.
    pub fn interrupt(&mut self) -> ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        self.end()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let start = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            self.seen.push(line);
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
