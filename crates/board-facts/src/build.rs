//! For build scripts of boards.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::{Board, FILE, Light, Offer, UPDATES};

/// Ends the build script with the fault in words, which cargo shows as an error of its own.
fn read() -> (Board, PathBuf) {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={FILE}");
    println!("cargo::rerun-if-changed=build.rs");
    let board = Board::read(&folder).unwrap_or_else(|error| {
        // An error of several lines (TOML's, with the place) would end at the first.
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1)
    });
    (board, PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")))
}

/// Links the package's programs by this linker script, which is told where the identity lies.
pub fn link_by(script: &str) {
    println!("cargo::rustc-link-arg-bins=-Wl,--defsym=IDENTITY_OFFSET={}", identity::REGION_OFFSET);
    println!("cargo::rustc-link-arg-bins=-T{script}");
}

/// Writes `facts.rs` and `board_facts.h` for the board on QEMU, whose light is a line on the
/// console.
///
/// # Panics
/// When cargo's folder cannot be written.
pub fn qemu_board() {
    let (board, out) = read();
    let Light { name, gpio, active_low } = &board.led;
    let rust = format!(
        "/// Whether the LED is lit while its pin is low.\nconst LED_ACTIVE_LOW: bool = {active_low};\n"
    );
    let c = format!(
        "#define BOARD_LED \"[board] LED {name} (GPIO{gpio})\"\n\
         #define BOARD_LED_ACTIVE_LOW {active_low}\n"
    );
    fs::write(out.join("facts.rs"), rust).expect("cargo's folder can be written");
    fs::write(out.join("board_facts.h"), c).expect("cargo's folder can be written");
}

/// The whole build script of a board with the ESP8266: makes `facts.rs` and `pins.rs`, which
/// `chip::board!` and `chip::pins!` take in, and names the chip's linker script.
///
/// # Panics
/// When cargo's folder cannot be written, or the package does not depend on `esp8266-chip`.
pub fn chip_board() {
    let (board, out) = read();
    println!("cargo::rerun-if-env-changed={UPDATES}");
    fs::write(out.join("facts.rs"), table(&board)).expect("cargo's folder can be written");
    fs::write(out.join("pins.rs"), pins(&board)).expect("cargo's folder can be written");

    let script = env::var("DEP_CHIP_LINK_SCRIPT").expect("esp8266-chip tells it");
    link_by(&script);
}

/// The facts as an expression of type `chip::Facts`.
fn table(board: &Board) -> String {
    let light = |light: &Light| {
        format!("::chip::Light {{ gpio: {}, active_low: {} }}", light.gpio, light.active_low)
    };
    let mut others = String::new();
    for other in &board.other_lights {
        write!(others, "{}, ", light(other)).expect("a String takes all");
    }
    format!(
        "::chip::Facts {{ board: {:?}, led: {}, other_lights: &[{others}], updates: {} }}\n",
        board.name,
        light(&board.led),
        board.no_updates().is_none()
    )
}

/// The type `Pins` with what the board leaves to an application. It names `::chip`.
#[must_use]
pub fn pins(board: &Board) -> String {
    let (mut fields, mut values, mut taken) = (String::new(), String::new(), String::new());
    for (name, offer) in board.offers() {
        // `r#`: a name may be a word of Rust, as IN and DO are.
        let (kind, of, words) = match offer {
            Offer::Pin(gpio) => ("pins::Pin", format!("::<{gpio}>"), format!("GPIO{gpio}.")),
            Offer::Button(gpio) => {
                ("pins::Button", format!("::<{gpio}>"), format!("The button at GPIO{gpio}."))
            }
            Offer::Wake => ("sleep::WakePin", String::new(), "GPIO16.".to_owned()),
            Offer::Adc => ("adc::Adc", String::new(), "The analogue input.".to_owned()),
            Offer::Taken(gpio, why) => {
                writeln!(taken, "/// - `{name}` (GPIO{gpio}): {why}").expect("a String takes all");
                continue;
            }
        };
        writeln!(
            fields,
            "    /// {words}\n    pub r#{name}: ::chip::{kind}{},",
            of.trim_start_matches("::")
        )
        .expect("a String takes all");
        writeln!(values, "                r#{name}: ::chip::{kind}{of}::new(),")
            .expect("a String takes all");
    }
    let missing = if taken.is_empty() {
        String::new()
    } else {
        format!("///\n/// Not among them, because something else needs it:\n{taken}")
    };
    format!(
        "/// The pins of the board ({title}) by their names on it. Each has one owner.\n\
         {missing}\
         #[derive(Debug)]\n\
         pub struct Pins {{\n{fields}}}\n\
         \n\
         impl Pins {{\n\
         \x20   /// The pins, the first time; then `None`.\n\
         \x20   pub fn take() -> Option<Self> {{\n\
         \x20       use ::core::sync::atomic::{{AtomicBool, Ordering}};\n\
         \x20       static TAKEN: AtomicBool = AtomicBool::new(false);\n\
         \x20       if TAKEN.swap(true, Ordering::Relaxed) {{\n\
         \x20           return None;\n\
         \x20       }}\n\
         \x20       // SAFETY: once, and only what board.toml gives to nobody else.\n\
         \x20       unsafe {{\n\
         \x20           Some(Self {{\n{values}            }})\n\
         \x20       }}\n\
         \x20   }}\n\
         }}\n",
        title = board.title,
    )
}
