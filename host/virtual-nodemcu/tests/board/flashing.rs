//! Stock esptool and the board that it works on.

// Each test program uses its own part.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::Process;

#[path = "esptool.rs"]
mod esptool;

/// How a [`Bench`] is connected.
#[derive(Clone, Copy, PartialEq)]
pub enum Wire {
    /// RFC 2217: with DTR and RTS. pyserial's client of it sleeps 0.1 s each time that esptool
    /// sets a time-out, twice a command, so connecting with the stub takes 20 s.
    Rfc2217,
    /// A pseudo-terminal: quick, but it cannot reset. The board starts in its loader.
    Pty,
}

/// A folder with a flash file in it, and its board.
pub struct Bench {
    folder: tempfile::TempDir,
    wire: Wire,
    pub board: Process,
    port: String,
}

impl Bench {
    /// A board with a blank flash, without a network.
    pub fn new(wire: Wire, options: &[&str]) -> Self {
        Self::with(tempfile::tempdir().unwrap(), wire, options)
    }

    /// A board whose flash file is already in the folder.
    pub fn with(folder: tempfile::TempDir, wire: Wire, options: &[&str]) -> Self {
        let link = folder.path().join("port");
        let mut all = vec!["--net", "none"];
        if wire == Wire::Pty {
            all.extend(["--gpio0-low", "--pty", link.to_str().unwrap()]);
        }
        all.extend(options);
        let mut board = Process::new(&folder.path().join("flash.bin"), &all);
        let port = board.port();
        Self { folder, wire, board, port }
    }

    /// Switches the board off and another one on, with the same flash.
    pub fn again(mut self, options: &[&str]) -> Self {
        let _ = self.board.child.kill();
        let _ = self.board.child.wait();
        Self::with(self.folder, self.wire, options)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file for esptool; its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What is in the flash.
    pub fn flashed(&self, offset: usize, size: usize) -> Vec<u8> {
        std::fs::read(self.path("flash.bin")).unwrap()[offset..offset + size].to_vec()
    }

    /// esptool with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(esptool::program());
        command.args(["--chip", "esp8266", "--port", &self.port]);
        if self.wire == Wire::Pty {
            command.args(["--before", "no-reset", "--after", "no-reset"]);
        }
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs esptool; whether it succeeded, and its output.
    pub fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// Runs esptool, which has to succeed; its output.
    pub fn good(&self, arguments: &[&str]) -> String {
        let (success, text) = self.run(arguments);
        assert!(success, "{arguments:?}: {text}");
        text
    }
}

/// Bytes that hardly compress.
pub fn noise(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Text that compresses as firmware's tables and strings do, and better.
pub fn text(size: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n: u32| format!("{n}: the quick brown fox {}\n", n % 7).into_bytes())
        .take(size)
        .collect()
}

/// Whether this is erased flash.
pub fn erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}
