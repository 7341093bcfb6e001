//! Programs on the virtual board: compiled for the LX106, made into images by esptool, booted
//! by the ROM.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::{Led, Machine};
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::serial::{Input, Serial};

#[path = "board/program.rs"]
mod program;

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0xA, 0xB, 0xC];
const ROM_BAUD: u32 = 74_880;

struct Bench {
    machine: Machine,
    input: std::sync::mpsc::Sender<Input>,
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
        Self { machine, input, output, console, seen: String::new() }
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
    let mut bench = Bench::new(&program::images(test), net);
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
    let mut bench = Bench::new(&program::images("byte_from_iram"), None);
    bench.until("exception 3 at 0x401");
    assert!(bench.console.borrow().contains("address 0x40100000"));
    bench.until("rst cause:4");
    assert!(bench.seen.contains("before") && !bench.seen.contains("not reached"));
}

#[test]
fn a_crash_shows_on_the_console_whoever_handles_it_and_again_after_each_reset() {
    let mut bench = Bench::new(&program::images("crash"), None);
    bench.until("rst cause:4");
    bench.until("exception 28 LoadProhibited at 0x401");
    bench.until("the ROM waits for the watchdog");
    let crashes =
        |bench: &Bench| bench.console.borrow().matches("exception 28 LoadProhibited").count();
    let start = Instant::now();
    while crashes(&bench) < 2 {
        assert!(start.elapsed() < Duration::from_secs(60));
        bench.machine.run(Some(Duration::from_millis(10)));
    }
    let console = bench.console.borrow();
    assert!(console.contains("reset: watchdog; boot from: flash"), "{console}");
}

#[test]
fn a_reset_by_the_program_is_told_from_one_by_the_pin() {
    let bench = good("watchdog", None);
    let console = bench.console.borrow();
    let resets: Vec<_> = console.lines().filter(|line| line.starts_with("reset:")).collect();
    let why = ["reset: power on", "reset: watchdog", "reset: asked for by the program"];
    assert_eq!(resets.len(), why.len(), "{resets:#?}");
    assert!(resets.iter().zip(why).all(|(line, why)| line.starts_with(why)), "{resets:#?}");
}

#[test]
fn a_host_that_floods_the_port_stops_nothing() {
    let mut bench = Bench::new(&program::images("led"), None);
    bench.until("done");
    for _ in 0..1000 {
        bench.input.send(Input::Data(vec![0x55; 4096])).unwrap();
    }
    bench.until("nobody reads what the host sends");
    bench.input.send(Input::Rts(true)).unwrap();
    bench.input.send(Input::Rts(false)).unwrap();
    bench.until("reset: EN pin");
}

#[test]
fn flash_is_not_there_while_the_cache_is_off() {
    let mut bench = Bench::new(&program::images("cache_off"), None);
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
    let mut damaged = program::images("led");
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
