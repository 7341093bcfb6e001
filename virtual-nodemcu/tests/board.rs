//! Programs on the virtual board: compiled for the LX106, made into images by esptool, booted
//! by the ROM.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::{Led, Machine};
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::serial::{Input, Serial};

#[path = "board/esptool.rs"]
mod esptool;

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0xA, 0xB, 0xC];
const ROM_BAUD: u32 = 74_880;

/// Compiles the program for `test`; its flash files by offset.
fn images(test: &str) -> Vec<(usize, Vec<u8>)> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/board");
    let folder = tempfile::tempdir().unwrap();
    let elf = folder.path().join("program.elf");
    let status = Command::new("xtensa-lx106-elf-gcc")
        .args(["-Os", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib"])
        .args(["-mlongcalls", "-mtext-section-literals", "-Wl,--no-warn-rwx-segments"])
        .arg(format!("-DTEST_{test}"))
        .arg("-T")
        .arg(source.join("program.ld"))
        .arg(source.join("program.c"))
        .arg("-o")
        .arg(&elf)
        .status()
        .expect("xtensa-lx106-elf-gcc (Debian: gcc-xtensa-lx106)");
    assert!(status.success());
    let prefix = folder.path().join("image-");
    let output = Command::new(esptool::program())
        .args(["--chip", "esp8266", "elf2image", "-o"])
        .arg(&prefix)
        .arg(&elf)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    [0, 0x10000]
        .into_iter()
        .filter_map(|offset| {
            let file = folder.path().join(format!("image-{offset:#07x}.bin"));
            Some((offset, std::fs::read(file).ok()?))
        })
        .collect()
}

struct Bench {
    machine: Machine,
    output: std::sync::mpsc::Receiver<Vec<u8>>,
    console: Rc<RefCell<String>>,
    seen: String,
}

impl Bench {
    fn new(images: &[(usize, Vec<u8>)], net: Option<Net>) -> Self {
        let mut flash = Flash::blank(4 << 20);
        for (offset, image) in images {
            flash.load(*offset, image);
        }
        let (serial, input, output) = Serial::channel();
        input.send(Input::Baud(ROM_BAUD)).unwrap();
        let console = Rc::new(RefCell::new(String::new()));
        let log = Rc::clone(&console);
        let machine = Machine::new(
            Board::new(flash, MAC, 1),
            serial,
            net,
            vec![Led { name: "blue", pin: 2 }],
            Box::new(move |text| {
                let mut log = log.borrow_mut();
                log.push_str(text);
                log.push('\n');
            }),
        );
        Self { machine, output, console, seen: String::new() }
    }

    /// Runs until UART0 or the console has said `text`.
    fn until(&mut self, text: &str) {
        let start = Instant::now();
        while !self.seen.contains(text) && !self.console.borrow().contains(text) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no {text:?}\nserial: {}\nconsole: {}",
                self.seen,
                self.console.borrow()
            );
            self.machine.run(Some(Duration::from_millis(10)));
            for bytes in self.output.try_iter() {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}

/// Boots the program for `test` until it is done; everything it checked was good.
fn good(test: &str, net: Option<Net>) -> Bench {
    let mut bench = Bench::new(&images(test), net);
    bench.until("done\n");
    assert!(bench.seen.contains("ok "), "{}", bench.seen);
    assert!(!bench.seen.contains("BAD"), "{}", bench.seen);
    bench
}

#[test]
fn memory_flash_and_rom_functions() {
    let bench = good("memory", None);
    assert!(bench.seen.contains("printf -5 0000beef text c%\r\n"), "{}", bench.seen);
}

#[test]
fn a_byte_from_iram_is_a_load_store_error() {
    let mut bench = Bench::new(&images("byte_from_iram"), None);
    bench.until("exception 3 at 0x401");
    assert!(bench.console.borrow().contains("address 0x40100000"));
    bench.until("rst cause:4");
    assert!(bench.seen.contains("before") && !bench.seen.contains("not reached"));
}

#[test]
fn flash_is_not_there_while_the_cache_is_off() {
    let mut bench = Bench::new(&images("cache_off"), None);
    bench.until("exception 3 at 0x401");
    assert!(bench.console.borrow().contains("address 0x40210000"));
}

#[test]
fn the_watchdog_bites_and_rtc_memory_survives() {
    let bench = good("watchdog", None);
    let order = ["rst cause:1", "fed for 150 ms", "rst cause:4", "wdt reset", "rst cause:2"];
    let places: Vec<_> = order.iter().map(|text| bench.seen.find(text).unwrap()).collect();
    assert!(places.is_sorted(), "{}", bench.seen);
}

#[test]
fn timer_interrupts_reach_their_handler() {
    good("timer", None);
}

#[test]
fn the_led_shows_on_the_console() {
    let bench = good("led", None);
    let console = bench.console.borrow();
    let leds: Vec<_> = console.lines().filter(|line| line.starts_with("LED")).collect();
    assert_eq!(leds, ["LED blue (GPIO2) on", "LED blue (GPIO2) off", "LED blue (GPIO2) on"]);
}

#[test]
fn the_network_port_reaches_the_host() {
    good("network", Some(Net::new()));
}

#[test]
fn a_damaged_image_is_refused_until_a_good_one_is_there() {
    let mut damaged = images("led");
    damaged[0].1[40] ^= 0x10;
    let mut bench = Bench::new(&damaged, None);
    bench.until("csum err\r\nets_main.c");
    bench.until("rst cause:4, boot mode:(3,6)\r\n\r\nwdt reset");
    assert!(!bench.seen.contains("done"));
    damaged[0].1[40] ^= 0x10;
    bench.machine.board.flash.load(0, &damaged[0].1);
    bench.until("done\n");
}

#[test]
fn an_erased_flash_is_a_reset_loop() {
    let mut bench = Bench::new(&[], None);
    bench.until("ets_main.c");
    bench.until("rst cause:4");
    assert!(!bench.seen.contains("load 0x"));
}
