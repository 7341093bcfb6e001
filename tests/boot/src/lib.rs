//! A virtual NodeMCU with the boot stage and small firmwares in its slots, which say their names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use board::esptool::Esptool;
use slots::Slot;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::serial::{Input, Serial};
use virtual_nodemcu::board::{Board, ResetCause};

/// What the boot ROM and the boot stage speak.
const ROM_BAUD: u32 = 74_880;
const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0xA, 0xB, 0xC];
/// For what takes milliseconds on an idle machine.
const LONG: Duration = Duration::from_secs(60);
/// How long the board runs between two looks at what it says.
const LOOK: Duration = Duration::from_millis(1);

/// `target` of the tree, where everything was built. A test is in `target/debug/deps`.
///
/// # Panics
/// When this is no test.
#[must_use]
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(3).expect("target/debug/deps").to_owned()
}

/// The boot stage as `make image` made it.
///
/// # Panics
/// When it was not made.
#[must_use]
pub fn stage() -> Vec<u8> {
    let image = board::image::Image::in_folder(&target().join("image/nodemcu"));
    std::fs::read(image.boot).expect("`make boot-test` makes it")
}

/// An image for a slot whose firmware says `name`.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn probe(name: char) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (elf, image) = (folder.path().join("probe.elf"), folder.path().join("probe.bin"));
    let status = Command::new("xtensa-lx106-elf-gcc")
        .args(["-Os", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib"])
        .args(["-mlongcalls", "-Wl,--no-warn-rwx-segments"])
        .arg(format!("-DNAME={}", u32::from(name)))
        .arg("-T")
        .arg(source.join("probe.ld"))
        .arg(source.join("probe.c"))
        .arg("-o")
        .arg(&elf)
        .status()
        .expect("xtensa-lx106-elf-gcc (`make setup` installs it)");
    assert!(status.success());
    let esptool = Esptool::set_up(&target().join("esptool")).expect("esptool");
    let [elf, file] = [&elf, &image].map(|path| path.to_str().expect("UTF-8"));
    let arguments = ["--chip", "esp8266", "elf2image", "--version", "2", "--output", file, elf];
    esptool.output(arguments).expect("esptool makes an image");
    let mut bytes = std::fs::read(&image).expect("esptool's image");
    bytes.extend([0; 8]);
    assert_eq!(board::image::seal(&mut bytes), Some(bytes.len()));
    bytes
}

/// The board.
pub struct Bench {
    machine: Machine,
    output: Receiver<Vec<u8>>,
    // The board's serial port lives as long as its other end.
    _input: std::sync::mpsc::Sender<Input>,
}

impl Bench {
    /// One with these bytes in its flash, by offset, and power since now.
    ///
    /// # Panics
    /// When the board has no serial port.
    #[must_use]
    pub fn new(content: &[(u32, &[u8])]) -> Self {
        let mut flash = Flash::blank(4 << 20);
        for (offset, bytes) in content {
            flash.load(*offset as usize, bytes);
        }
        let (serial, input, output) = Serial::channel();
        input.send(Input::Baud(ROM_BAUD)).expect("a serial port");
        let board = Board::new(flash, MAC, 1);
        let machine = Machine::new(board, serial, None, Vec::new(), Box::new(|_| ()));
        Self { machine, output, _input: input }
    }

    /// What is in its flash.
    #[must_use]
    pub fn flash(&self) -> &[u8] {
        self.machine.board.flash.data()
    }

    /// Puts bytes into its flash.
    pub fn load(&mut self, offset: u32, bytes: &[u8]) {
        self.machine.board.flash.load(offset as usize, bytes);
    }

    /// Loses its power after so many bytes were written or erased; what was said until then.
    pub fn run_out_of_power(&mut self, bytes: u64) {
        self.machine.board.flash.cut_power_after(bytes);
        self.machine.reset(ResetCause::PowerOn);
        let start = Instant::now();
        while self.machine.board.flash.powered() && start.elapsed() < LONG {
            self.machine.run(Some(LOOK));
        }
        self.machine.board.flash.power_on();
        self.output.try_iter().for_each(drop);
    }

    /// Resets it; what it says until `sign` comes.
    ///
    /// # Panics
    /// When that does not come.
    pub fn boot_until(&mut self, sign: &str) -> String {
        self.output.try_iter().for_each(drop);
        self.machine.reset(ResetCause::External);
        self.until(sign)
    }

    /// What it says from now on until `sign` comes.
    ///
    /// # Panics
    /// When that does not come.
    pub fn until(&mut self, sign: &str) -> String {
        let start = Instant::now();
        let mut said = String::new();
        while !said.contains(sign) {
            assert!(start.elapsed() < LONG, "no {sign:?} but {said:?}");
            self.machine.run(Some(LOOK));
            for bytes in self.output.try_iter() {
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        said
    }

    /// Resets it; name and slot of the firmware that starts.
    ///
    /// # Panics
    /// When none does.
    pub fn boot(&mut self) -> (char, Slot) {
        let said = self.boot_until(">");
        let said = said.rsplit_once('<').expect("a name").1.as_bytes();
        let [in_flash, in_ram, slot, b'>'] = *said else { panic!("{said:?}") };
        assert_eq!(in_flash, in_ram, "RAM is not that of the firmware in the window");
        (in_flash.into(), Slot::from_number((slot - b'0').into()).expect("a slot"))
    }

    /// Instructions executed since power-on.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.machine.cpu.instructions()
    }
}
