//! A board's flash through its serial port: written, erased, and what is said when that fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use board_facts::Board;
use process::{files, output, scratch};

use crate::esptool::{Esptool, Failure};
use crate::image::{BOOT_OFFSET, FIRMWARE_OFFSET, IDENTITY_OFFSET, Image};
use crate::port::Port;

/// What is written to a board: offsets in flash and files, in the order of writing, all of them
/// checked. The identity's two copies are files of their own, made in `scratch`: esptool erases what
/// a file takes, writes it and reads it back before it turns to the next, so that a power cut or a
/// cut cable leaves one copy as it was. The same holds for the firmware: the boot records, which may
/// lead to the other slot, are erased once slot A is whole. A board that was flashed before there
/// were slots gets the boot stage last.
fn parts(
    board: &Board,
    image: Option<&Image>,
    identity: Option<&Path>,
    scratch: &Path,
) -> Result<Vec<(u32, PathBuf)>> {
    let mut parts = Vec::new();
    if let Some(image) = image {
        image.verify()?;
        let records = scratch.join("boot-records.bin");
        std::fs::write(&records, [0xFF; RECORDS_SIZE])?;
        parts.extend([
            (FIRMWARE_OFFSET, image.firmware.clone()),
            (slots::RECORDS[0], records),
            (BOOT_OFFSET, image.boot.clone()),
        ]);
    }
    if let Some(path) = identity {
        let bytes = files::read(path)?;
        identity::decode(&bytes).with_context(|| path.display().to_string())?;
        // The firmware of a second slot sees a region of its own.
        let mibs = if board.has_second_slot() { &[0, slots::MIB][..] } else { &[0] };
        for mib in mibs {
            let copies = IDENTITY_COPIES.into_iter().zip(bytes.chunks(identity::COPY_SIZE));
            for (index, (offset, copy)) in copies.enumerate() {
                let file = scratch.join(format!("identity-copy-{index}.bin"));
                files::write(&file, copy, files::SECRET)?;
                parts.push((mib + offset, file));
            }
        }
    }
    Ok(parts)
}

/// Where the identity's copies lie in flash.
const IDENTITY_COPIES: [u32; 2] = [IDENTITY_OFFSET, IDENTITY_OFFSET + identity::COPY_SIZE as u32];

/// Bytes of both boot records' sectors, which lie side by side.
const RECORDS_SIZE: usize = 2 * slots::SECTOR as usize;
const _: () = assert!(slots::RECORDS[1] == slots::RECORDS[0] + slots::SECTOR);

/// A board at its port.
#[derive(Clone, Debug, clap::Args)]
pub struct Line {
    /// The board
    #[arg(long, default_value = "nodemcu", value_parser = Board::named)]
    pub board: Board,
    /// Its port
    #[command(flatten)]
    pub port: Port,
    /// Bits per second of the transfer
    #[arg(long, default_value_t = 460_800)]
    pub baud: u32,
}

/// Writes an image and, if there is one at `identity`, the identity region of `thing`.
///
/// # Errors
/// When something is missing or the transfer fails; the message says in what state the flash
/// is and what to do.
pub fn flash(
    esptool: &Esptool,
    line: &Line,
    image: &Image,
    thing: &str,
    identity: Option<&Path>,
) -> Result<()> {
    let present = identity.filter(|path| path.exists());
    write(esptool, line, Some(image), present)?;
    match (identity, present) {
        (_, Some(path)) => output::line(format!(
            "Firmware and identity ({}) are in the flash, and were read back.",
            path.display()
        )),
        (Some(path), None) => output::line(format!(
            "The firmware is in the flash, and was read back. The identity there was not touched: \
             there is no {} (`make identity THING={thing}` makes it, `make flash-identity THING={thing}` \
             writes it).",
            path.display()
        )),
        (None, None) => output::line("The firmware is in the flash, and was read back."),
    }
}

/// Writes only the identity region.
///
/// # Errors
/// As for [`flash`], and when there is no such file.
pub fn flash_identity(esptool: &Esptool, line: &Line, thing: &str, identity: &Path) -> Result<()> {
    if !identity.exists() {
        bail!("there is no {}: `make identity THING={thing}` makes it", identity.display());
    }
    write(esptool, line, None, Some(identity))?;
    output::line(format!(
        "The identity of {thing} ({}) is in the flash, and was read back; the firmware was not \
         touched.",
        identity.display()
    ))
}

fn write(
    esptool: &Esptool,
    line: &Line,
    image: Option<&Image>,
    identity: Option<&Path>,
) -> Result<()> {
    let scratch = scratch::folder()?;
    let files = parts(&line.board, image, identity, scratch.path())?;
    let port = line.port.checked()?;
    let mut arguments = connect(port, line.baud, "write-flash");
    for (at, file) in &files {
        arguments.extend([OsString::from(format!("0x{at:x}")), file.into()]);
    }
    match esptool.show(arguments)? {
        Ok(()) => Ok(()),
        Err(failure) => {
            let files: Vec<u32> = files.into_iter().map(|(at, _)| at).collect();
            bail!("{}\n{}", reason(&failure, port), state(&failure, &files))
        }
    }
}

/// Erases the whole flash, firmware and identity.
///
/// # Errors
/// As for [`flash`].
pub fn erase(esptool: &Esptool, line: &Line) -> Result<()> {
    let port = line.port.checked()?;
    match esptool.show(connect(port, line.baud, "erase-flash"))? {
        Ok(()) => output::line(
            "Erased: the whole flash, with firmware and identity. `make flash` writes them anew.",
        ),
        Err(failure) => {
            let state = if failure.output.contains("Erasing flash") {
                "The flash is PARTLY ERASED: run the same command again, or `make flash`."
            } else {
                "Nothing was erased: the flash is as it was."
            };
            bail!("{}\n{state}", reason(&failure, port))
        }
    }
}

fn connect(port: &str, baud: u32, command: &str) -> Vec<OsString> {
    let baud = baud.to_string();
    ["--chip", "esp8266", "--port", port, "--baud", &baud, command].map(OsString::from).to_vec()
}

/// Why esptool failed, and what to do.
fn reason(failure: &Failure, port: &str) -> String {
    let said = |text: &str| failure.output.contains(text);
    if said("Wrong chip argument") {
        // `This chip is ESP32, not ESP8266. Wrong chip argument?`
        let chip = failure
            .output
            .split_once("This chip is ")
            .and_then(|(_, rest)| rest.split_once(','))
            .map_or("another chip", |(chip, _)| chip);
        return format!(
            "The chip at {port} is not an ESP8266 but says that it is {chip}. Is it the right \
             board and port?"
        );
    }
    if said("Wrong boot mode detected") {
        return format!(
            "The board at {port} runs its firmware and does not go into its boot loader. Hold the \
             button FLASH (GPIO0), press and release RST, let FLASH go, and run the same command \
             again."
        );
    }
    if said("Failed to connect") && !said("Connected to") {
        return format!(
            "No boot loader of an ESP8266 answers at {port}. Is it this board's port? Then hold \
             the button FLASH (GPIO0), press and release RST, let FLASH go, and run the same \
             command again."
        );
    }
    if said("ould not open") {
        return format!(
            "{port} cannot be opened: is it the right port, and nothing else using it?"
        );
    }
    if said("MD5 of file does not match") {
        return "What was read back from the flash differs from what was written: try \
                ESPBAUD=115200 and another cable; if it stays so, the flash chip is worn out."
            .to_owned();
    }
    format!(
        "The connection to {port} broke. Look at cable and power; if it happens again, try a lower \
         rate: ESPBAUD=115200."
    )
}

/// What is in the flash after a failure, as far as esptool got. `files` are the offsets of what
/// was to be written.
fn state(failure: &Failure, files: &[u32]) -> String {
    let mut begun: Option<u32> = None;
    let mut whole = Vec::new();
    for line in failure.output.lines() {
        // `Writing 'target/image/nodemcu/firmware-0x04000.bin' at 0x00004000...`
        if line.starts_with("Writing '")
            && let Some((_, at)) = line.rsplit_once(" at 0x")
        {
            begun = u32::from_str_radix(at.trim_end_matches('.'), 16).ok();
        } else if line.contains("Hash of data verified") {
            whole.extend(begun.take());
        }
    }
    let identity_begun = begun.is_some_and(|at| IDENTITY_COPIES.contains(&(at % slots::MIB)));
    if begun.is_none() && whole.is_empty() {
        return "Nothing was written: the flash is as it was.".to_owned();
    }
    if files.iter().all(|file| whole.contains(file)) {
        return "Everything was written and read back before that: press RST to start the board."
            .to_owned();
    }
    let again = "Run the same command again: it begins anew and mends everything.";
    if identity_begun {
        let firmware =
            if files.contains(&FIRMWARE_OFFSET) { "The firmware is whole; the" } else { "The" };
        return format!(
            "{firmware} identity is HALF WRITTEN: one of its two copies; the other is whole, and the \
             board uses that (a board that had none may say so). {again}"
        );
    }
    let place = match begun {
        Some(at) => format!("it stopped in what begins at 0x{at:x}"),
        None => format!("{} of {} files are there", whole.len(), files.len()),
    };
    format!("The firmware is HALF WRITTEN ({place}), and the board may not start. {again}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRMWARE: &[u32] = &[FIRMWARE_OFFSET, slots::RECORDS[0], BOOT_OFFSET];
    const ALL: &[u32] = &[
        FIRMWARE_OFFSET,
        slots::RECORDS[0],
        BOOT_OFFSET,
        IDENTITY_COPIES[0],
        IDENTITY_COPIES[1],
        slots::MIB + IDENTITY_COPIES[0],
        slots::MIB + IDENTITY_COPIES[1],
    ];
    const CONNECTED: &str = "Connecting...\nConnected to ESP8266 on /dev/ttyUSB0:\n";
    const BOOT_WRITTEN: &str = "Writing 'a/firmware-0x00000.bin' at 0x00000000...\n\
        Wrote 1680 bytes (1072 compressed) at 0x00000000 in 0.4 seconds.\nHash of data verified.\n";
    const FIRMWARE_BEGUN: &str = "Writing 'a b/firmware-0x04000.bin' at 0x00004000...\n\
        Writing at 0x00014000 [==>   ] 12.5%\n";
    const FIRMWARE_WRITTEN: &str = "Writing 'a b/firmware-0x04000.bin' at 0x00004000...\n\
        Hash of data verified.\n";
    const RECORDS_WRITTEN: &str = "Writing '/tmp/x/boot-records.bin' at 0x00001000...\n\
        Hash of data verified.\n";
    const IDENTITY_BEGUN: &str = "Writing 'certs/a/identity.bin' at 0x000f8000...\n";

    fn failure(parts: &[&str]) -> Failure {
        Failure { output: parts.concat() }
    }

    fn reason_of(parts: &[&str]) -> String {
        reason(&failure(parts), "/dev/ttyUSB0")
    }

    #[test]
    fn reasons_are_told_apart() {
        let text = reason_of(&["This chip is ESP32, not ESP8266. Wrong chip argument?\n"]);
        assert!(text.contains("is not an ESP8266 but says that it is ESP32."), "{text}");
        let text = reason_of(&["Failed to connect to ESP8266: No serial data received."]);
        assert!(text.contains("No boot loader") && text.contains("FLASH"), "{text}");
        let text = reason_of(&["Failed to connect to ESP8266: Wrong boot mode detected (0x3)!"]);
        assert!(text.contains("runs its firmware"), "{text}");
        let text =
            reason_of(&[CONNECTED, FIRMWARE_BEGUN, "MD5 of file does not match data in flash!"]);
        assert!(text.contains("read back"), "{text}");
        let text = reason_of(&["Could not open /dev/ttyUSB0, the port is busy"]);
        assert!(text.contains("cannot be opened"), "{text}");
        let text = reason_of(&[CONNECTED, FIRMWARE_BEGUN, "A serial exception error"]);
        assert!(text.contains("connection to /dev/ttyUSB0 broke"), "{text}");
    }

    #[test]
    fn what_is_half_written_is_said() {
        let text = state(&failure(&["Connecting......"]), ALL);
        assert!(text.starts_with("Nothing was written"), "{text}");
        let text = state(&failure(&[FIRMWARE_BEGUN]), ALL);
        assert!(text.contains("HALF WRITTEN (it stopped in what begins at 0x4000)"), "{text}");
        let text = state(&failure(&[FIRMWARE_WRITTEN]), FIRMWARE);
        assert!(text.contains("HALF WRITTEN (1 of 3 files are there)"), "{text}");
        let written = [FIRMWARE_WRITTEN, RECORDS_WRITTEN, BOOT_WRITTEN];
        let text = state(&failure(&[&written[..], &[IDENTITY_BEGUN]].concat()), ALL);
        assert!(text.starts_with("The firmware is whole; the identity is HALF WRITTEN"), "{text}");
        for at in ["000f8000", "000fa000", "001f8000", "001fa000"] {
            let begun = &IDENTITY_BEGUN.replace("000f8000", at);
            let text = state(&failure(&[begun]), &IDENTITY_COPIES);
            assert!(text.starts_with("The identity is HALF WRITTEN: one of its two"), "{text}");
        }
        let text = state(&failure(&written), FIRMWARE);
        assert!(text.starts_with("Everything was written"), "{text}");
    }
}
