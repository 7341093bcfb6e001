//! Changes a variable of the running firmware, through the emulator's debugger port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSymbol};

use crate::SOON;

/// The emulator's command line for a debugger port at this path.
#[must_use]
pub fn debugger_option(socket: &Path) -> [String; 2] {
    ["-gdb".to_owned(), format!("unix:{},server=on,wait=off", socket.display())]
}

/// The address of a variable.
///
/// # Errors
/// When the firmware has no variable of that name.
pub fn address_of(elf: &Path, variable: &str) -> Result<u32> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes)?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(variable))
        .with_context(|| format!("{} has no {variable}", elf.display()))?;
    Ok(u32::try_from(symbol.address())?)
}

/// Halts the CPU, writes a word of its memory, lets it go on.
///
/// # Errors
/// When the emulator does not answer or refuses.
pub fn write_word(socket: &Path, address: u32, value: u32) -> Result<()> {
    let mut stream = UnixStream::connect(socket).context("the debugger's port")?;
    stream.set_read_timeout(Some(SOON))?;
    let bytes: String = value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = ask(&mut stream, &format!("M{address:x},4:{bytes}"))?;
    ensure!(answer == "OK", "the debugger's port answers {answer} to a write");
    let answer = ask(&mut stream, "D")?;
    ensure!(answer == "OK", "the debugger's port answers {answer} to a farewell");
    Ok(())
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
