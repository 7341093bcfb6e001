//! Changes the running firmware, variables and code, through the emulator's
//! debugger port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::SOON;

/// The emulator's command line for a debugger port at this path.
#[must_use]
pub fn debugger_option(socket: &Path) -> [String; 2] {
    ["-gdb".to_owned(), format!("unix:{},server=on,wait=off", socket.display())]
}

/// Halts the CPU, reads its memory, lets it go on.
///
/// # Errors
/// When the emulator does not answer or refuses.
pub fn read(socket: &Path, address: u32, length: usize) -> Result<Vec<u8>> {
    halted(socket, |stream| read_halted(stream, address, length))
}

/// As [`read`], a word.
///
/// # Errors
/// When the emulator does not answer or refuses.
pub fn read_word(socket: &Path, address: u32) -> Result<u32> {
    let bytes = read(socket, address, 4)?;
    Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes were asked for")))
}

/// Halts the CPU, writes to its memory, lets it go on. Returns what was there before.
///
/// # Errors
/// When the emulator does not answer or refuses.
pub fn write(socket: &Path, address: u32, bytes: &[u8]) -> Result<Vec<u8>> {
    halted(socket, |stream| {
        let before = read_halted(stream, address, bytes.len())?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = ask(stream, &format!("M{address:x},{:x}:{digits}", bytes.len()))?;
        ensure!(answer == "OK", "the debugger's port answers {answer} to a write");
        Ok(before)
    })
}

/// Does something while the CPU is halted, as it is while a debugger is connected.
fn halted<T>(socket: &Path, act: impl FnOnce(&mut UnixStream) -> Result<T>) -> Result<T> {
    // An emulator that has just been started has none yet.
    let deadline = Instant::now() + SOON;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            result => break result.context("the debugger's port")?,
        }
    };
    stream.set_read_timeout(Some(SOON))?;
    let result = act(&mut stream)?;
    let answer = ask(&mut stream, "D")?;
    ensure!(answer == "OK", "the debugger's port answers {answer} to a farewell");
    Ok(result)
}

fn read_halted(stream: &mut UnixStream, address: u32, length: usize) -> Result<Vec<u8>> {
    let answer = ask(stream, &format!("m{address:x},{length:x}"))?;
    (0..length)
        .map(|at| u8::from_str_radix(answer.get(2 * at..2 * at + 2)?, 16).ok())
        .collect::<Option<Vec<u8>>>()
        .with_context(|| format!("the debugger's port answers {answer} to a read"))
}

/// One request of GDB's remote protocol: `$request#sum`, answered in the same way. Each side
/// acknowledges with `+`; the halt at the beginning is reported in between (`T02...`).
fn ask(stream: &mut UnixStream, request: &str) -> Result<String> {
    let sum = request.bytes().fold(0u8, u8::wrapping_add);
    stream.write_all(format!("${request}#{sum:02x}").as_bytes())?;
    loop {
        let answer = receive(stream)?;
        stream.write_all(b"+")?;
        if !answer.starts_with('T') {
            return Ok(answer);
        }
    }
}

fn receive(stream: &mut UnixStream) -> Result<String> {
    let mut next = || -> Result<char> {
        let mut byte = [0];
        stream.read_exact(&mut byte).context("the debugger's port")?;
        Ok(char::from(byte[0]))
    };
    while next()? != '$' {}
    let mut packet = String::new();
    loop {
        match next()? {
            '#' => break,
            character => packet.push(character),
        }
    }
    // The sum, two digits: nothing gets lost between two processes.
    next()?;
    next()?;
    Ok(packet)
}
