//! Where a board is connected, and why it cannot be used.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};

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
    /// When none is named, it does not exist, may not be used or is in use; the message says
    /// what to do.
    pub fn checked(&self) -> Result<&str> {
        if self.port.is_empty() {
            bail!(
                "which port? Say for example ESPPORT=/dev/ttyUSB0. {}",
                present(&serial_devices(Path::new("/dev")))
            );
        }
        match self.port.split_once("://") {
            None => check_device(Path::new(&self.port))?,
            Some((_, rest)) => check_address(rest)?,
        }
        Ok(&self.port)
    }
}

/// Adapters that are plugged in: USB serial ports.
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
    let opened =
        OpenOptions::new().read(true).write(true).custom_flags(NO_WAITING).open(device).and_then(
            |port| {
                if !port.is_terminal() {
                    return Ok(false);
                }
                // esptool and programs like it hold this lock as long as they use the port. Released at
                // once: it is one of them or the monitor that will use it.
                let lock = Flock::lock(port, FlockArg::LockExclusiveNonblock);
                lock.map(|_| true).map_err(|(_, error)| error.into())
            },
        );
    match opened {
        Ok(true) => Ok(()),
        Ok(false) => bail!(no_serial_port(device)),
        Err(error) => {
            let what = refusal(device, &error);
            Err(error).context(what)
        }
    }
}

/// Why a device cannot be used, and what to do.
fn refusal(device: &Path, error: &std::io::Error) -> String {
    let name = device.display();
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => {
            format!("{name} does not exist. {}", present(&serial_devices(Path::new("/dev"))))
        }
        (ErrorKind::PermissionDenied, _) => format!(
            "you may not use {name}: 'sudo usermod -aG dialout $USER', then log in again \
             (at once, but until the cable is pulled: 'sudo chmod a+rw {name}')"
        ),
        (ErrorKind::WouldBlock | ErrorKind::ResourceBusy, _) => format!(
            "{name} is in use: end the other monitor or terminal program ('fuser {name}' tells \
             which)"
        ),
        (_, Some(nix::libc::EIO | nix::libc::ENXIO | nix::libc::ENODEV)) => {
            format!("{name} does not answer: pull the cable and plug it in again")
        }
        (ErrorKind::IsADirectory, _) => format!("{name} is a folder, not a serial port"),
        _ => format!("{name} cannot be opened"),
    }
}

/// What a path is that is no serial port, and which ports there are.
fn no_serial_port(path: &Path) -> String {
    let kind = std::fs::metadata(path).map(|found| found.file_type());
    let what = match kind {
        Ok(kind) if kind.is_file() => "a file",
        Ok(kind) if kind.is_char_device() => "a device, but not of a serial port",
        _ => "no device",
    };
    format!("{} is {what}. {}", path.display(), present(&serial_devices(Path::new("/dev"))))
}

/// Whether somebody listens there: `HOST:PORT`, options may follow.
fn check_address(rest: &str) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(5);
    let address = rest.split(['?', '/']).next().unwrap_or(rest);
    let found = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next())
        .with_context(|| format!("{address}: no such host, or no port behind its name"))?;
    TcpStream::connect_timeout(&found, LIMIT).map(drop).with_context(|| {
        format!("nothing listens at {address}: is the board, or what stands for it, running?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

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
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for address in [format!("rfc2217://{free}"), format!("socket://{free}?logging=debug")] {
            let error = Port { port: address }.checked().unwrap_err().to_string();
            assert!(error.contains("nothing listens at 127.0.0.1:"), "{error}");
        }
        let error = Port { port: "rfc2217://localhost".to_owned() }.checked().unwrap_err();
        assert!(error.to_string().contains("no port behind"), "{error}");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refused = |error: io::Error| refusal(Path::new("/dev/ttyUSB0"), &error);
        let of = |kind: ErrorKind| refused(kind.into());
        assert!(of(ErrorKind::PermissionDenied).contains("usermod -aG dialout"));
        assert!(refused(io::Error::from_raw_os_error(nix::libc::EBUSY)).contains("is in use"));
        assert!(refused(io::Error::from_raw_os_error(nix::libc::EIO)).contains("plug it in again"));
    }

    #[test]
    fn a_port_that_another_program_has_locked_is_in_use() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let port = nix::unistd::ttyname(&pair.slave).unwrap();
        check_device(&port).unwrap();
        let file = std::fs::File::open(&port).unwrap();
        let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        let error = check_device(&port).unwrap_err().to_string();
        assert!(error.contains("is in use: end the other monitor"), "{error}");
        drop(held);
        check_device(&port).unwrap();
    }

    #[test]
    fn what_is_no_serial_port_is_called_what_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (path, what) in [
            (Path::new("/dev/null"), "is a device, but not of a serial port"),
            (file.path(), "is a file"),
            (folder.path(), "is a folder"),
        ] {
            let error = format!("{:#}", check_device(path).unwrap_err());
            assert!(error.contains(what) && !error.contains("ioctl"), "{error}");
        }
    }
}
