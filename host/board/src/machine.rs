//! A board that runs on this machine, whichever it is: QEMU's, or a virtual NodeMCU that is
//! flashed through its serial port as a real one is.

use std::path::{Path, PathBuf};

use anyhow::Result;
use board_facts::{Board, Machine as Kind};
use process::files::{self, SECRET};
use process::programs::Owned;
use tempfile::TempDir;

use crate::console::Console;
use crate::esptool::Esptool;
use crate::flash::{self, Line};
use crate::image::Image;
use crate::qemu::{Emulator, EmulatorOptions};
use crate::virtual_board::{VirtualBoard, VirtualOptions};

/// A running board; it ends when dropped.
#[derive(Debug)]
pub struct Machine {
    /// The program that plays it.
    pub process: Owned,
    /// What the device writes to its serial console, and what the board shows.
    pub console: Console,
    /// Files that it needs.
    _folder: Option<TempDir>,
}

impl Machine {
    /// Ends the board and returns all lines of the console.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        self.process.kill();
        self.console.finish()
    }
}

/// What to run, and on which board.
#[derive(Clone, Debug, clap::Args)]
pub struct Firmware {
    /// The firmware
    #[arg(long)]
    pub elf: PathBuf,
    /// The board to run on
    #[arg(long, default_value = "qemu", value_parser = Board::named)]
    pub board: Board,
    /// Folder of the board's flash files, instead of `image/BOARD` in the next one
    #[arg(long)]
    pub image: Option<PathBuf>,
    /// Folder of what was built: images, virtual board, esptool
    #[arg(long, default_value = "target")]
    pub target: PathBuf,
    /// The firmware drives the radio: a virtual board gets a virtual access point, not a cable
    #[arg(long)]
    pub radio: bool,
    /// Write what the radio sends and hears to this file, as Wireshark reads it
    #[arg(long, requires = "radio")]
    pub pcap: Option<PathBuf>,
    /// Further options for the virtual board, separated by blanks
    #[arg(
        long = "virtual",
        value_name = "OPTIONS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub further: String,
}

/// The network of a virtual access point.
#[derive(Clone, Debug)]
pub struct VirtualNetwork {
    /// Its name.
    pub ssid: String,
    /// Its passphrase; empty for an open one.
    pub passphrase: String,
}

impl VirtualNetwork {
    /// The one that is there when a device's settings know none.
    #[must_use]
    pub fn usual() -> Self {
        Self { ssid: "virtual".to_owned(), passphrase: "no secret at all".to_owned() }
    }

    /// What `virtual-nodemcu --ap` takes: by a file, for everybody on this machine may read command
    /// lines.
    fn option(&self, file: &Path) -> Result<String> {
        files::write(file, self.settings().as_bytes(), SECRET)?;
        Ok(format!("@{}", file.display()))
    }

    fn settings(&self) -> String {
        let protected = |text: &str| text.replace('\\', r"\\").replace(',', r"\,");
        let ssid = protected(&self.ssid);
        let key = match &*protected(&self.passphrase) {
            "" => String::new(),
            passphrase => format!(",psk={passphrase}"),
        };
        format!("ssid={ssid}{key},channel=6,rssi=-50")
    }
}

impl Firmware {
    /// Starts the board with this identity region. `folder` takes the board's files, and what
    /// the flash there holds already is not written again. With `echo` the console is printed.
    /// `network` is what the access point is of, when the firmware has a radio.
    ///
    /// # Errors
    /// When something is missing or does not start, or flashing fails.
    pub fn start(
        &self,
        region: &[u8],
        folder: &Path,
        echo: bool,
        network: &VirtualNetwork,
    ) -> Result<Machine> {
        if self.board.machine == Kind::Qemu {
            let mut options = EmulatorOptions::new(&self.elf);
            options.identity = Some(region.to_vec());
            options.echo = echo;
            let Emulator { process, console, folder, .. } = Emulator::start(&options)?;
            return Ok(Machine { process, console, _folder: Some(folder) });
        }
        let usual = || self.target.join("image").join(&self.board.name);
        let image = Image::in_folder(&self.image.clone().unwrap_or_else(usual));
        let esptool = Esptool::set_up(&self.target.join("esptool"))?.brief();
        let mut options = VirtualOptions::new(
            &self.board,
            &self.target.join("debug/virtual-nodemcu"),
            &folder.join(format!("{}-flash.bin", self.board.name)),
            &self.elf,
        );
        options.echo = echo;
        if self.radio {
            let settings = folder.join(format!("{}-access-point", self.board.name));
            options.further.extend(["--ap".into(), network.option(&settings)?.into()]);
            if let Some(file) = &self.pcap {
                options.further.extend(["--pcap".into(), file.into()]);
            }
        }
        options.further.extend(self.further.split_whitespace().map(Into::into));
        let mut board = VirtualBoard::start(&options)?;
        let identity = folder.join(format!("{}-identity.bin", self.board.name));
        files::write(&identity, region, SECRET)?;
        let line = Line { board: self.board.clone(), port: board.port.clone(), baud: BAUD };
        if holds(&options.flash, &image)? {
            flash::flash_identity(&esptool, &line, "this device", &identity)?;
        } else {
            flash::flash(&esptool, &line, &image, "this device", Some(&identity))?;
        }
        board.restart()?;
        let VirtualBoard { process, console, .. } = board;
        Ok(Machine { process, console, _folder: None })
    }
}

/// Bits per second to flash a virtual board by: the fastest of real boards.
const BAUD: u32 = 921_600;

/// Whether a flash file has that image in it.
fn holds(flash: &Path, image: &Image) -> Result<bool> {
    let flash = files::read(flash)?;
    image.verify()?;
    Ok(image
        .contents()?
        .iter()
        .all(|(at, bytes)| flash.get(*at as usize..).is_some_and(|flash| flash.starts_with(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{self, FIRMWARE_OFFSET};

    /// With each character that one may have; and none of them where others can read it.
    #[test]
    fn the_virtual_board_gets_the_network_whole_and_by_a_file() {
        use std::os::unix::fs::PermissionsExt as _;

        use virtual_nodemcu::board::radio::settings::Settings;

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nodemcu-access-point");
        let printable: Vec<u8> = (b' '..=b'~').collect();
        for characters in printable.chunks(16) {
            let passphrase = String::from_utf8(characters.to_vec()).unwrap();
            let network = VirtualNetwork { ssid: format!("a,b=\\{passphrase}"), passphrase };
            let option = network.option(&file).unwrap();
            let settings = Settings::given(&option).unwrap();
            assert_eq!((&settings.ssid, &settings.psk), (&network.ssid, &network.passphrase));
            assert!(!option.contains(&network.passphrase));
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let open = VirtualNetwork { ssid: "cafe".to_owned(), passphrase: String::new() };
        assert!(Settings::given(&open.option(&file).unwrap()).unwrap().psk.is_empty());
    }

    #[test]
    fn a_flash_file_holds_an_image_or_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let image = Image::in_folder(folder.path());
        let boot = image::tests::boot(&[]);
        let firmware = image::tests::firmware();
        std::fs::write(&image.boot, &boot).unwrap();
        std::fs::write(&image.firmware, &firmware).unwrap();
        let mut content = boot;
        content.resize(FIRMWARE_OFFSET as usize, 0xFF);
        content.extend(&firmware);
        content.push(0xFF);
        let flash = folder.path().join("flash.bin");
        std::fs::write(&flash, &content).unwrap();
        assert!(holds(&flash, &image).unwrap());
        content[FIRMWARE_OFFSET as usize + 20] ^= 1;
        std::fs::write(&flash, &content).unwrap();
        assert!(!holds(&flash, &image).unwrap());
        std::fs::write(&flash, &content[..100]).unwrap();
        assert!(!holds(&flash, &image).unwrap());
    }
}
