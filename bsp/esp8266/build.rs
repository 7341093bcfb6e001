//! Compiles the chip's C and tells the boards its linker script. With the feature `radio` also
//! the driver of the radio, linked with Espressif's libraries from the user's SDK.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

use sha2::{Digest, Sha256};

include!("../own_c.rs");

/// The chip's C and assembly, lowest first.
const SOURCES: &[&str] = &[
    "c/start.S",
    "c/chip.c",
    "c/gpio.c",
    "c/flash.c",
    "c/health.c",
    "c/random.c",
    "c/watchdog.c",
    "c/adc.c",
    "c/pwm.c",
    "c/sleep.c",
    "c/spi.c",
    "c/uart.c",
];

/// The network of a board without the radio's libraries.
const PORT_SOURCES: &[&str] = &["c/net_port.c"];

/// The radio's driver.
const RADIO_SOURCES: &[&str] = &["radio/nmi.S", "radio/adapter.c", "radio/radio.c"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let fast = env::var_os("CARGO_FEATURE_CPU_160MHZ").is_some();
    let radio = env::var_os("CARGO_FEATURE_RADIO").is_some();

    let mut build = own_c();
    build.define("CHIP_CPU_MHZ", if fast { "160" } else { "80" });
    build.define("CHIP_RADIO", if radio { "1" } else { "0" });
    build.include("include").include("c").files(SOURCES);
    if radio {
        let sdk = Sdk::find();
        let phy = out.join("phy_init_data.c");
        fs::write(&phy, sdk.phy_init_data()).expect("OUT_DIR is writable");
        build.files(RADIO_SOURCES).file(phy).include("radio");
        // port_frame.h
        build.include("../lx106/c");
        sdk.link(&out);
    } else {
        build.files(PORT_SOURCES);
    }
    link_own_c(&build, "chip");

    let memory = here.join("link").join(if radio { "radio" } else { "plain" });
    println!("cargo::rustc-link-search=native={}", memory.display());
    println!("cargo::metadata=LINK_SCRIPT={}", here.join("link/esp8266.ld").display());
    // For test firmware, which looks inside.
    println!("cargo::metadata=INCLUDE={}", here.join("include").display());
    println!("cargo::metadata=SOURCES={}", here.join("c").display());
    for input in [
        "c",
        "radio",
        "include",
        "link",
        "build.rs",
        "../own_c.rs",
        "../lx106/c/port_frame.h",
        "../lx106/include/registers.h",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    println!("cargo::rerun-if-env-changed=ESP8266_SDK");
}

/// Stops the build with one line that says what to do.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}

/// Espressif's libraries for the radio and the SHA-256 of each in the SDK that this driver was
/// written for (ESP8266_RTOS_SDK, commit d412ac601befc4dd024d2d2adcfaa319c7463e36).
const ARCHIVES: [(&str, &str); 6] = [
    ("phy", "806da2ef0f8f5fa5f9a265dfe0bb8dd54a578cd1e75bf1f3aa0415586fc6e178"),
    ("pp", "430c0b2893dfa6aa29ae965ce390135a698a04f4a039e8a78ffd29022e167821"),
    ("net80211", "8bfae78356d82db98f6f0fceafb9b10a6788e4f94887f4b0ce47f06daf3d78e3"),
    ("core", "526c23b9079361dcccb6ce3b7807602e899a719728ab347cab7409dbf6db18b7"),
    ("rtc", "347d020d5d520dd7c93f254447c0f61dd3cb160147986ef2ca01ffeed541a355"),
    ("hal", "c3f5baf07cb52a00ef405a2ffc76eccca88cfb4f5deac37bef46a5677d07fc8f"),
];

/// The user's ESP8266_RTOS_SDK: archives and one header are read, nothing of it is compiled.
struct Sdk(PathBuf);

impl Sdk {
    fn find() -> Self {
        let Some(folder) = env::var_os("ESP8266_SDK") else {
            fail(
                "the feature `radio` needs Espressif's libraries: `make sdk` fetches them, or \
                 name an ESP8266_RTOS_SDK in ESP8266_SDK",
            );
        };
        Self(PathBuf::from(folder).join("components/esp8266"))
    }

    fn read(&self, file: &str) -> Vec<u8> {
        let path = self.0.join(file);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read(&path).unwrap_or_else(|error| {
            fail(&format!(
                "{}: {error}. Is ESP8266_SDK an ESP8266_RTOS_SDK? `make sdk` fetches the right one",
                path.display()
            ))
        })
    }

    /// Has the archives linked. Others than the known ones may work or not: a warning.
    fn link(&self, out: &Path) {
        // A folder with these alone: the SDK's has a libgcc too, which is not to be found.
        let folder = out.join("sdk");
        fs::create_dir_all(&folder).expect("OUT_DIR is writable");
        for (name, known) in ARCHIVES {
            let archive = self.read(&format!("lib/lib{name}.a"));
            fs::write(folder.join(format!("lib{name}.a")), &archive).expect("OUT_DIR is writable");
            let digest = Sha256::digest(archive);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if digest != known {
                println!(
                    "cargo::warning=lib{name}.a of this SDK is not the one that the driver was \
                     written for (SHA-256 {digest}): `make sdk` fetches that"
                );
            }
            println!("cargo::rustc-link-lib=static:-bundle={name}");
        }
        println!("cargo::rustc-link-search=native={}", folder.display());
    }

    /// The table that the PHY starts from, as C: the values in the header's initialiser, with the
    /// SDK's default settings.
    fn phy_init_data(&self) -> String {
        /// Most transmit power in dBm, and the crystal of every module there is: 26 MHz.
        const MOST_DBM: u32 = 20;
        const CRYSTAL_26_MHZ: u8 = 1;
        const VDD33: u8 = 33;

        let header = self.read("include/esp_private/phy_init_data.h");
        let header = String::from_utf8_lossy(&header).into_owned();
        let body = header
            .split_once("phy_init_data= { {")
            .and_then(|(_, rest)| rest.split_once("} }"))
            .map(|(body, _)| body);
        let values: Option<Vec<u8>> = body.and_then(|body| {
            let mut lines = body.lines().map(str::trim);
            let mut values = Vec::new();
            while let Some(line) = lines.next() {
                let value = line.trim_end_matches(',');
                let hex =
                    |text: &str| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16);
                if value.is_empty() || value == "#endif" {
                    continue;
                } else if value.starts_with("#ifdef") {
                    // The supply's voltage: a setting, or nothing.
                    lines.by_ref().find(|line| line.starts_with("#else"))?;
                    lines.next()?;
                    values.push(VDD33);
                } else if value == "ESP8266_XTAL_FLAG" {
                    values.push(CRYSTAL_26_MHZ);
                } else if let Some(limits) = value.strip_prefix("LIMIT(") {
                    let most = hex(limits.strip_suffix(')')?.rsplit(',').next()?).ok()?;
                    values.push(u8::try_from(most.min(4 * MOST_DBM)).ok()?);
                } else {
                    values.push(u8::try_from(hex(value).ok()?).ok()?);
                }
            }
            (values.len() == 128).then_some(values)
        });
        let Some(values) = values else {
            fail(
                "phy_init_data.h of this SDK does not look as expected: `make sdk` fetches the \
                 SDK that this driver was written for",
            );
        };
        format!("const unsigned char radio_phy_init_data[128] = {values:?};\n")
            .replace('[', "{")
            .replace(']', "}")
            .replacen("{128}", "[128]", 1)
    }
}
