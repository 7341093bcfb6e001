//! The facts of a board: `bsp/<board>/board.toml`, the one place where they stand. The board's
//! build script makes its Rust table of them ([`build`]); the programs that run, flash and check
//! boards read the same file ([`Board::named`]).
//!
//! ```
//! let board = board_facts::Board::parse(
//!     "lamp",
//!     "title = 'Lamp'\n[led]\nname = 'white'\ngpio = 5\nactive_low = false\n",
//! )
//! .unwrap();
//! assert_eq!(board.led.gpio, 5);
//! assert_eq!(board.virtual_leds(), ["white=5:high"]);
//! ```

pub mod build;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file's name in a board's folder.
pub const FILE: &str = "board.toml";
/// What leaves updates out of a firmware, in the environment of its build: `0`.
pub(crate) const UPDATES: &str = "FIRMWARE_UPDATES";

/// What the board is built around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// The chip: flashed by esptool, played on this machine by the virtual board.
    #[default]
    Esp8266,
    /// QEMU's machine with the chip's CPU, which runs the ELF.
    Qemu,
}

/// A light on a pin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Light {
    /// What one calls it on this board, mostly its colour.
    pub name: String,
    /// Its GPIO.
    pub gpio: u8,
    /// Whether it is lit while the pin is low.
    pub active_low: bool,
}

/// A button of the board's own, to ground.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// What is printed at it.
    pub name: String,
    /// Its GPIO.
    pub gpio: u8,
}

/// What a name on the board stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// A pin.
    Gpio(u8),
    /// The input of the one analogue converter.
    Analog(Converter),
}

/// The analogue converter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Converter {
    /// `"adc"`
    Adc,
}

/// What an application gets of a named place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// A pin for any use.
    Pin(u8),
    /// A strap that a button pulls to ground: an input.
    Button(u8),
    /// GPIO16, which can end a deep sleep.
    Wake,
    /// The analogue converter.
    Adc,
    /// Nothing, for this reason.
    Taken(u8, &'static str),
}

/// One board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// The name of its folder, which `BOARD=` takes.
    pub name: String,
    /// What one calls it: "NodeMCU".
    pub title: String,
    /// What it is built around.
    pub machine: Machine,
    /// The light that the application switches.
    pub led: Light,
    /// Lights that the application does not know; they are kept dark.
    pub other_lights: Vec<Light>,
    /// MiB of flash: 1, 2 or 4. The first holds a firmware, the second the one that replaces it.
    pub flash_mib: u8,
    /// Buttons of its own.
    pub buttons: Vec<Button>,
    /// Straps (GPIO0, 2 and 15) at which nothing disturbs the boot, whatever an application does.
    pub straps: Vec<u8>,
    /// The names that are printed on it; none: all pins, by their numbers.
    pub pins: BTreeMap<String, Place>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    title: String,
    #[serde(default)]
    machine: Machine,
    led: Light,
    #[serde(default)]
    other_lights: Vec<Light>,
    #[serde(default = "usual_flash")]
    flash_mib: u8,
    #[serde(default)]
    buttons: Vec<Button>,
    #[serde(default)]
    straps: Vec<u8>,
    #[serde(default = "numbered")]
    pins: BTreeMap<String, Place>,
}

/// Every pin by its number.
fn numbered() -> BTreeMap<String, Place> {
    let gpios = [0, 2, 4, 5, 12, 13, 14, 15, WAKE];
    let pins = gpios.map(|gpio| (format!("gpio{gpio}"), Place::Gpio(gpio)));
    let adc = ("adc".to_owned(), Place::Analog(Converter::Adc));
    pins.into_iter().chain([adc]).collect()
}

/// The RTC's pin.
const WAKE: u8 = 16;
/// Pins whose levels at reset say from where the chip boots.
const STRAPS: [u8; 3] = [0, 2, 15];

/// What an ESP-12 has.
fn usual_flash() -> u8 {
    4
}

/// Why a board's facts are not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// The file is not what it should be.
    Malformed {
        /// The board.
        board: String,
        /// Where, and what.
        reason: String,
    },
    /// A pin that cannot carry a light.
    Pin {
        /// The board.
        board: String,
        /// The pin.
        gpio: u8,
        /// Why not.
        reason: &'static str,
    },
    /// Two lights or buttons on one pin.
    Shared {
        /// The board.
        board: String,
        /// The pin.
        gpio: u8,
    },
    /// There is no such board.
    Unknown {
        /// What was asked for.
        board: String,
        /// The boards that there are.
        known: Vec<String>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Malformed { board, reason } => write!(f, "{FILE} of {board}: {reason}"),
            Self::Pin { board, gpio, reason } => write!(
                f,
                "{FILE} of {board}: GPIO{gpio} cannot carry a light: {reason}; \
                 GPIO0, 2, 4, 5 and 12 to 15 can"
            ),
            Self::Shared { board, gpio } => {
                write!(f, "{FILE} of {board}: two lights or buttons on GPIO{gpio}")
            }
            Self::Unknown { board, known } => write!(
                f,
                "there is no board {board}: BOARD is one of {} (a board is a folder of bsp/ with \
                 a {FILE}; `make new-board NAME={board} LED=5` makes one)",
                known.join(", ")
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Whether it can be the name of a field in Rust, written with `r#` where it is a word of the
/// language. These three cannot be written so.
fn is_field(name: &str) -> bool {
    !["self", "super", "crate"].contains(&name)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Why a pin of the ESP8266 cannot be an output for a light, if so (datasheet, table 2-1).
fn unfit(gpio: u8) -> Option<&'static str> {
    match gpio {
        0 | 2 | 4 | 5 | 12..=15 => None,
        1 | 3 => Some("it is the serial console"),
        6..=11 => Some("the flash is on it"),
        16 => Some("it is the RTC's pin, which the GPIO registers do not drive"),
        _ => Some("the chip has no such pin"),
    }
}

impl Board {
    /// Takes the text of a `board.toml`.
    ///
    /// # Errors
    /// [`Error::Malformed`] with line and column; [`Error::Pin`]; [`Error::Shared`].
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed { board: name.into(), reason };
        let written: Written =
            toml::from_str(text).map_err(|e| malformed(e.to_string().trim_end().to_owned()))?;
        let board = Self {
            name: name.into(),
            title: written.title,
            machine: written.machine,
            led: written.led,
            other_lights: written.other_lights,
            flash_mib: written.flash_mib,
            buttons: written.buttons,
            straps: written.straps,
            pins: written.pins,
        };
        if !matches!(board.flash_mib, 1 | 2 | 4) {
            return Err(malformed("flash_mib is 1, 2 or 4: the MiB of flash".to_owned()));
        }
        let mut seen = Vec::new();
        for light in board.lights() {
            if let Some(reason) = unfit(light.gpio) {
                return Err(Error::Pin { board: name.into(), gpio: light.gpio, reason });
            }
            if seen.contains(&light.gpio) {
                return Err(Error::Shared { board: name.into(), gpio: light.gpio });
            }
            seen.push(light.gpio);
            // It becomes part of a command line and of lines on the console.
            if light.name.is_empty() || !light.name.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(malformed(format!(
                    "the light's name {:?} is not one word of letters and digits",
                    light.name
                )));
            }
        }
        for Button { name, gpio } in &board.buttons {
            if unfit(*gpio).is_some() {
                return Err(malformed(format!(
                    "the button {name:?}: no button can be at GPIO{gpio}"
                )));
            }
            if seen.contains(gpio) {
                return Err(Error::Shared { board: board.name, gpio: *gpio });
            }
            seen.push(*gpio);
            if !is_field(name) || board.pins.contains_key(name) {
                return Err(malformed(format!(
                    "the button's name {name:?} is not one word of small letters and digits, or a pin's, \
                     or one that Rust keeps for itself"
                )));
            }
        }
        if let Some(gpio) = board.straps.iter().find(|gpio| !STRAPS.contains(gpio)) {
            return Err(malformed(format!("straps: GPIO{gpio} is none; GPIO0, 2 and 15 are")));
        }
        let mut places = Vec::new();
        for (name, place) in &board.pins {
            if !is_field(&name.to_ascii_lowercase()) {
                return Err(malformed(format!(
                    "the pin's name {name:?} is not one word of letters and digits, or one that Rust \
                     keeps for itself"
                )));
            }
            let reason = match place {
                Place::Gpio(WAKE) | Place::Analog(_) => None,
                Place::Gpio(gpio) => unfit(*gpio),
            };
            if let Some(reason) = reason {
                return Err(malformed(format!("pins: {name} cannot be used: {reason}")));
            }
            if places.contains(place) {
                return Err(malformed(format!("pins: {name} is there twice, by two names")));
            }
            places.push(*place);
        }
        Ok(board)
    }

    /// What an application gets at each place, by the name of a field: the place's in small
    /// letters, or the button's.
    #[must_use]
    pub fn offers(&self) -> Vec<(String, Offer)> {
        let offer = |place: &Place| match place {
            Place::Analog(Converter::Adc) => Offer::Adc,
            Place::Gpio(WAKE) => Offer::Wake,
            Place::Gpio(gpio) => {
                if self.lights().any(|light| light.gpio == *gpio) {
                    Offer::Taken(*gpio, "the board's light is on it")
                } else if self.buttons.iter().any(|button| button.gpio == *gpio) {
                    Offer::Taken(*gpio, "the board's button is on it, which has its own name")
                } else if STRAPS.contains(gpio) && !self.straps.contains(gpio) {
                    Offer::Taken(
                        *gpio,
                        "a strap: its level at reset says from where the chip boots",
                    )
                } else {
                    Offer::Pin(*gpio)
                }
            }
        };
        let pins = self.pins.iter().map(|(name, place)| (name.to_ascii_lowercase(), offer(place)));
        let buttons = self.buttons.iter().map(|b| (b.name.clone(), Offer::Button(b.gpio)));
        pins.chain(buttons).collect()
    }

    /// Why its firmware takes no updates over the air; `None`: it does.
    #[must_use]
    pub fn no_updates(&self) -> Option<String> {
        self.no_updates_where(std::env::var_os(UPDATES).is_some_and(|value| value == "0"))
    }

    fn no_updates_where(&self, left_out: bool) -> Option<String> {
        if self.machine != Machine::Esp8266 {
            Some("this board has one slot".to_owned())
        } else if !self.has_second_slot() {
            let mib = self.flash_mib;
            Some(format!("this board has {mib} MiB of flash, no room for a second firmware"))
        } else {
            left_out.then(|| "left out by UPDATES=0".to_owned())
        }
    }

    /// Whether its flash has room for a second firmware.
    #[must_use]
    pub fn has_second_slot(&self) -> bool {
        self.machine == Machine::Esp8266 && self.flash_mib >= 2
    }

    /// Reads `folder/board.toml`. Its package names the board, because a folder may have another name
    /// in each clone, and devices take images of their own board only.
    ///
    /// # Errors
    /// As [`Board::parse`]; [`Error::Unreadable`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path)
            .map_err(|e| Error::Unreadable { path, reason: e.to_string() })?;
        let of_folder = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = of_package(folder).or_else(of_folder);
        Self::parse(&name.unwrap_or_default(), &text)
    }

    /// Names of this project's boards, whose files may be right or wrong: a mistake in one is no
    /// trouble for whoever wants another.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for `bsp`.
    pub fn names() -> Result<Vec<String>, Error> {
        let bsp = bsp();
        let unreadable =
            |e: std::io::Error| Error::Unreadable { path: bsp.clone(), reason: e.to_string() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&bsp).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.path().join(FILE).is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The board of that name; or, when it has a slash, that of an application's own folder.
    ///
    /// # Errors
    /// As [`Board::read`]; [`Error::Unknown`], which names those that there are.
    pub fn named(name: &str) -> Result<Self, Error> {
        if name.contains('/') {
            return Self::read(Path::new(name));
        }
        let known = Self::names()?;
        if known.iter().any(|known| known == name) {
            Self::read(&bsp().join(name))
        } else {
            Err(Error::Unknown { board: name.into(), known })
        }
    }

    /// Its lights, the application's first.
    pub fn lights(&self) -> impl Iterator<Item = &Light> {
        std::iter::once(&self.led).chain(&self.other_lights)
    }

    /// Its lights as the virtual board's `--led` takes them.
    #[must_use]
    pub fn virtual_leds(&self) -> Vec<String> {
        self.lights()
            .map(|light| {
                let lit = if light.active_low { "low" } else { "high" };
                format!("{}={}:{lit}", light.name, light.gpio)
            })
            .collect()
    }
}

/// The name of the board whose package lies there: that of an application, or what follows
/// `firmware-` of a board in `bsp`, and `example-` of an example.
fn of_package(folder: &Path) -> Option<String> {
    let manifest: Manifest =
        toml::from_str(&fs::read_to_string(folder.join("Cargo.toml")).ok()?).ok()?;
    let name = manifest.package.name;
    let own = ["firmware-", "example-"].iter().find_map(|prefix| name.strip_prefix(prefix));
    Some(own.unwrap_or(&name).to_owned())
}

/// Of `Cargo.toml` what is asked of it.
#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// `bsp` of the tree that this crate was compiled in.
fn bsp() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bsp")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_pin(gpio: u8) -> Result<Board, Error> {
        let text = format!("title = 'X'\n[led]\nname = 'red'\ngpio = {gpio}\nactive_low = true\n");
        Board::parse("x", &text)
    }

    #[test]
    fn the_boards_of_this_tree_are_right() {
        let names = Board::names().unwrap();
        assert!(names.contains(&"nodemcu".to_owned()));
        for name in names {
            assert_eq!(Board::named(&name).unwrap().name, name);
            assert!(bsp().join(&name).join("Cargo.toml").is_file(), "{name}");
        }
    }

    #[test]
    fn an_application_is_the_same_board_in_each_clone() {
        let room = tempfile::tempdir().unwrap();
        for clone in ["lamp", "lamp-firmware"] {
            let folder = room.path().join(clone);
            fs::create_dir(&folder).unwrap();
            fs::copy(bsp().join("nodemcu").join(FILE), folder.join(FILE)).unwrap();
            assert_eq!(Board::read(&folder).unwrap().name, clone);
            fs::write(folder.join("Cargo.toml"), "[package]\nname = \"lamp\"\n").unwrap();
            assert_eq!(Board::read(&folder).unwrap().name, "lamp");
        }
    }

    #[test]
    fn a_pin_that_cannot_be_an_output_is_named() {
        for gpio in [0, 2, 4, 5, 12, 13, 14, 15] {
            assert_eq!(with_pin(gpio).unwrap().led.gpio, gpio);
        }
        for (gpio, word) in
            [(1, "console"), (6, "flash"), (11, "flash"), (16, "RTC"), (17, "no such")]
        {
            let error = with_pin(gpio).unwrap_err().to_string();
            assert!(error.contains(&format!("GPIO{gpio} ")) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_second_slot_takes_two_mib() {
        let with = |fact: &str| {
            let text =
                format!("title = 'X'\n{fact}\n[led]\nname = 'red'\ngpio = 4\nactive_low = true");
            Board::parse("x", &text).unwrap()
        };
        assert!(with("").has_second_slot() && with("flash_mib = 2").has_second_slot());
        assert!(!with("flash_mib = 1").has_second_slot());
        assert!(!with("machine = 'qemu'").has_second_slot());

        assert_eq!(with("").no_updates_where(false), None);
        for (board, left_out, reason) in [
            (with(""), true, "UPDATES=0"),
            (with("flash_mib = 1"), false, "1 MiB"),
            (with("machine = 'qemu'"), false, "one slot"),
        ] {
            let said = board.no_updates_where(left_out).unwrap();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn what_is_not_a_fact_is_refused() {
        let led = "[led]\nname = 'red'\ngpio = 4\nactive_low = true\n";
        for (text, word) in [
            (String::new(), "title"),
            ("title = 'X'\n".into(), "led"),
            (format!("title = 'X'\nledd = 1\n{led}"), "ledd"),
            (format!("title = 'X'\nmachine = 'esp32'\n{led}"), "esp32"),
            (format!("title = 'X'\n{}", led.replace("red", "dark red")), "one word"),
            (format!("title = 'X'\nflash_mib = 3\n{led}"), "1, 2 or 4"),
        ] {
            let error = Board::parse("x", &text).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("board.toml of x"), "{error}");
        }
        for (more, word) in [
            ("straps = [4]", "GPIO4 is none"),
            ("pins = { D1 = 1 }", "console"),
            ("pins = { D1 = 6 }", "flash"),
            ("pins = { D1 = 5, SCL = 5 }", "twice"),
            ("pins = { 'D 1' = 5 }", "one word"),
            ("pins = { SELF = 5 }", "Rust keeps"),
            ("buttons = [{ name = 'super', gpio = 0 }]", "Rust keeps"),
            ("pins = { A0 = 'dac' }", "pins"),
            ("buttons = [{ name = 'flash', gpio = 1 }]", "GPIO1"),
            ("buttons = [{ name = 'Flash', gpio = 0 }]", "small letters"),
            ("buttons = [{ name = 'gpio5', gpio = 0 }]", "or a pin's"),
        ] {
            let error = Board::parse("x", &format!("title = 'X'\n{more}\n{led}")).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(word) && error.contains("board.toml of x"), "{error}");
        }
        let button = format!("title = 'X'\nbuttons = [{{ name = 'flash', gpio = 4 }}]\n{led}");
        assert_eq!(Board::parse("x", &button), Err(Error::Shared { board: "x".into(), gpio: 4 }));
        let twice = format!("title = 'X'\n{led}[[other_lights]]{}", &led[5..]);
        assert_eq!(Board::parse("x", &twice), Err(Error::Shared { board: "x".into(), gpio: 4 }));
    }

    #[test]
    fn a_nodemcu_offers_what_nobody_else_uses() {
        let offers: BTreeMap<_, _> =
            Board::named("nodemcu").unwrap().offers().into_iter().collect();
        for (name, gpio) in [("d1", 5), ("d2", 4), ("d5", 14), ("d6", 12), ("d7", 13)] {
            assert_eq!(offers[name], Offer::Pin(gpio), "{name}");
        }
        for (name, gpio, why) in [("d3", 0, "button"), ("d4", 2, "light"), ("d8", 15, "strap")] {
            let Offer::Taken(taken, reason) = offers[name] else { panic!("{name} is to be had") };
            assert!(taken == gpio && reason.contains(why), "{name}: {reason}");
        }
        assert_eq!(offers["d0"], Offer::Wake);
        assert_eq!(offers["a0"], Offer::Adc);
        assert_eq!(offers["flash"], Offer::Button(0));
    }

    #[test]
    fn a_strap_that_the_board_lets_go_is_a_pin() {
        let text = "title = 'X'\nstraps = [15]\n[led]\nname = 'red'\ngpio = 4\nactive_low = true\n";
        let offers: BTreeMap<_, _> =
            Board::parse("x", text).unwrap().offers().into_iter().collect();
        assert_eq!(offers["gpio15"], Offer::Pin(15));
        assert!(matches!(offers["gpio0"], Offer::Taken(0, _)));
    }

    #[test]
    fn what_the_boards_readme_shows_is_a_board() {
        let readme = fs::read_to_string(bsp().join("README.md")).unwrap();
        let shown = readme.lines().skip_while(|line| *line != "    # bsp/lamp/board.toml");
        let shown = shown.take_while(|line| line.is_empty() || line.starts_with("    "));
        let text: String = shown.map(|line| format!("{}\n", line.trim_start())).collect();
        let board = Board::parse("lamp", &text).unwrap();
        assert_eq!((board.title.as_str(), board.led.gpio), ("lamp", 5));
        assert_eq!(board.straps, [15]);
        assert_eq!(board.buttons.len(), 1);
        assert_eq!(board.pins["A0"], Place::Analog(Converter::Adc));
    }

    #[test]
    fn an_unknown_board_is_answered_with_those_that_there_are() {
        let error = Board::named("esp32").unwrap_err().to_string();
        assert!(error.contains("huzzah, nodemcu, qemu"), "{error}");
    }
}
