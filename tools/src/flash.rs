//! `thing flash`, `thing erase`: a board's flash through its serial port.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::esptool::{Esptool, Failure};
use crate::image::{BOOT_OFFSET, CODE_OFFSET, IDENTITY_OFFSET, Image};

/// Where a board is connected.
#[derive(Clone, Debug, clap::Args)]
pub struct Port {
    /// Serial port: a device such as /dev/ttyUSB0, or rfc2217://HOST:PORT
    #[arg(long, env = "ESPPORT", default_value = "", hide_default_value = true)]
    pub port: String,
}

impl Port {
    /// The port's name, once it is sure that it can be opened.
    ///
    /// # Errors
    /// When none is named, it does not exist or may not be used; the message says what to do.
    pub fn checked(&self) -> Result<&str> {
        if self.port.is_empty() {
            bail!(
                "which port? Say for example ESPPORT=/dev/ttyUSB0. {}",
                present(&serial_devices(Path::new("/dev")))
            );
        }
        if !self.port.contains("://") {
            check_device(Path::new(&self.port))?;
        }
        Ok(&self.port)
    }
}

/// USB serial adapters that are plugged in.
fn serial_devices(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                ["ttyUSB", "ttyACM", "cu.usb"].iter().any(|kind| name.starts_with(kind))
            })
        })
        .collect();
    found.sort();
    found
}

fn present(devices: &[PathBuf]) -> String {
    if devices.is_empty() {
        return "No USB serial port is there: plug the board in, with a cable that carries data \
                (many only charge)"
            .to_owned();
    }
    let names: Vec<String> = devices.iter().map(|path| path.display().to_string()).collect();
    format!("Plugged in: {}", names.join(", "))
}

fn check_device(device: &Path) -> Result<()> {
    const NO_WAITING: i32 = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(NO_WAITING).open(device);
    let name = device.display();
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{name} does not exist. {}", present(&serial_devices(Path::new("/dev"))))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "you may not use {name}: 'sudo usermod -aG dialout $USER', then log in again \
             (at once, but until the cable is pulled: 'sudo chmod a+rw {name}')"
        ),
        Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
            bail!("{name} is in use: close the other monitor or terminal")
        }
        Err(error) => Err(error).with_context(|| format!("cannot open {name}")),
    }
}

/// Writes an image and, if there is one, an identity region.
///
/// # Errors
/// When something is missing or the transfer fails; the message says in what state the flash
/// is and what to do.
pub fn flash(
    esptool: &Esptool,
    port: &Port,
    baud: u32,
    image: &Image,
    identity: Option<&Path>,
) -> Result<()> {
    let port = port.checked()?;
    let identity = identity.filter(|path| path.exists());
    if let Some(path) = identity {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        identity::decode(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    }
    let offset = |offset: u32| OsString::from(format!("0x{offset:x}"));
    let mut arguments: Vec<OsString> = connect(port, baud);
    arguments.push("write-flash".into());
    for (at, file) in [(BOOT_OFFSET, &image.boot), (CODE_OFFSET, &image.code)] {
        if !file.exists() {
            bail!("{} is missing: run `make image`", file.display());
        }
        arguments.extend([offset(at), file.into()]);
    }
    if let Some(path) = identity {
        arguments.extend([offset(IDENTITY_OFFSET), path.into()]);
    }
    match esptool.show(arguments)? {
        Ok(()) => {
            println!(
                "{}",
                if identity.is_some() {
                    "Firmware and identity are in the flash. `make monitor` shows what it says."
                } else {
                    "The firmware is in the flash; an identity was not given and not touched. \
                     `make monitor` shows what it says."
                }
            );
            Ok(())
        }
        Err(failure) => bail!("{}", explain(&failure, port)),
    }
}

/// Erases the whole flash, firmware and identity.
///
/// # Errors
/// As for [`flash`].
pub fn erase(esptool: &Esptool, port: &Port, baud: u32) -> Result<()> {
    let port = port.checked()?;
    let mut arguments = connect(port, baud);
    arguments.push("erase-flash".into());
    match esptool.show(arguments)? {
        Ok(()) => {
            println!("The flash is empty: firmware and identity are gone.");
            Ok(())
        }
        Err(failure) => bail!("{}", explain(&failure, port)),
    }
}

fn connect(port: &str, baud: u32) -> Vec<OsString> {
    let baud = baud.to_string();
    ["--chip", "esp8266", "--port", port, "--baud", &baud].map(OsString::from).to_vec()
}

/// What a failure means, in what state it leaves the flash, and what to do.
fn explain(failure: &Failure, port: &str) -> String {
    let said = failure.output.as_str();
    let touched = ["Writing at", "Wrote ", "will be erased", "Erasing flash", "Flash will be"]
        .iter()
        .any(|sign| said.contains(sign));
    let state = if touched {
        "The flash is HALF WRITTEN and the board will not start. Run the same command again: it \
         starts from the beginning and mends everything."
    } else {
        "Nothing was written: the flash is as it was."
    };
    let reason = if said.contains("Wrong chip argument")
        || said.contains("Wrong --chip argument")
        || said.contains("not ESP8266")
    {
        format!("The board at {port} is not an ESP8266. Is it the right port?")
    } else if said.contains("No serial data received")
        || said.contains("Failed to connect")
        || said.contains("Invalid head of packet")
    {
        format!(
            "No ESP8266 boot loader answers at {port}. Is this the board's port? A board without \
             automatic reset wants GPIO0 (FLASH) held low while reset is pressed."
        )
    } else if said.contains("Could not open") || said.contains("could not open port") {
        format!("{port} cannot be opened: is it the right port, and is nothing else using it?")
    } else if said.contains("MD5 of file does not match") {
        "What was read back differs from what was written: try ESPBAUD=115200 and another cable; \
         if it stays so, the flash chip is worn out."
            .to_owned()
    } else {
        format!(
            "The connection to {port} broke. Look at cable and power, and try a lower rate: \
             ESPBAUD=115200."
        )
    };
    format!("{reason}\n{state}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(output: &str) -> String {
        explain(&Failure { output: output.to_owned() }, "/dev/ttyUSB0")
    }

    #[test]
    fn no_port_names_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(present(&serial_devices(folder.path())).contains("plug the board in"));
        for name in ["ttyUSB1", "ttyACM0", "ttyS0", "null"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = present(&serial_devices(folder.path()));
        assert!(text.contains("ttyACM0") && text.contains("ttyUSB1"), "{text}");
        assert!(!text.contains("ttyS0") && !text.contains("null"), "{text}");
        let error = Port { port: String::new() }.checked().unwrap_err().to_string();
        assert!(error.contains("ESPPORT=/dev/ttyUSB0"), "{error}");
    }

    #[test]
    fn a_port_that_is_not_there_says_so() {
        let error = check_device(Path::new("/dev/no-such-port")).unwrap_err().to_string();
        assert!(error.starts_with("/dev/no-such-port does not exist"), "{error}");
        let url = Port { port: "rfc2217://127.0.0.1:1".to_owned() };
        assert_eq!(url.checked().unwrap(), "rfc2217://127.0.0.1:1");
    }

    #[test]
    fn a_wrong_chip_leaves_the_flash_alone() {
        let text = explained(
            "Connecting...\nA fatal error occurred: This chip is ESP32, not ESP8266. Wrong chip \
             argument?\n",
        );
        assert!(text.contains("is not an ESP8266"), "{text}");
        assert!(text.contains("Nothing was written"), "{text}");
    }

    #[test]
    fn a_cable_cut_while_writing_leaves_half_of_it() {
        let text = explained("Writing at 0x00014000 [==>   ] 12.5%\nA serial exception error");
        assert!(text.contains("connection to /dev/ttyUSB0 broke"), "{text}");
        assert!(text.contains("HALF WRITTEN"), "{text}");
        let text = explained("Connecting......\nFailed to connect to ESP8266: No serial data");
        assert!(text.contains("No ESP8266 boot loader answers"), "{text}");
        assert!(text.contains("Nothing was written"), "{text}");
    }
}
