//! Programs on the virtual board: compiled for the LX106, made into images by esptool, booted
//! by the ROM.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use virtual_nodemcu::board::control;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::{End, Machine};
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::pins::{Drive, Pull};
use virtual_nodemcu::board::radio::settings::Settings;
use virtual_nodemcu::board::rom::names;
use virtual_nodemcu::board::serial::{Input, Serial};
use virtual_nodemcu::board::{Board, ResetCause};
use virtual_nodemcu::cpu::{Bus as _, sr};

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
            vec!["blue=2".parse().unwrap()],
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
        self.run_until(text, |this| {
            this.seen.contains(text) || this.console.borrow().contains(text)
        });
    }

    /// Runs until it is so.
    fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no {what:?}\nserial: {}\nconsole: {}",
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

/// Time passes for whoever calls the ROM without an end, so that the board can still be stopped.
#[test]
fn a_function_of_the_rom_that_returns_to_itself_does_not_stop_the_time() {
    const ETS_TIMER_DISARM: u32 = 0x4000_2D40;
    let mut bench = Bench::new(&program::images("led"), None);
    bench.until("done\n");
    let cpu = &mut bench.machine.cpu;
    for register in [0, 2] {
        cpu.set_reg(register, ETS_TIMER_DISARM);
    }
    cpu.set_special(sr::INTENABLE, 0);
    cpu.set_pc(ETS_TIMER_DISARM);
    assert_eq!(bench.machine.run_for(Duration::from_millis(2)), None);
}

#[test]
fn a_crash_shows_on_the_console_whoever_handles_it_and_again_after_each_reset() {
    let mut bench = Bench::new(&program::images("crash"), None);
    bench.until("rst cause:4");
    bench.until("exception 28 LoadProhibited at 0x401");
    bench.until("the ROM waits for the watchdog");
    bench.run_until("second crash", |bench| {
        bench.console.borrow().matches("exception 28 LoadProhibited").count() >= 2
    });
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
    for _ in 0..10 {
        bench.input.send(Input::Data(vec![0x55; 4096])).unwrap();
    }
    bench.until("the program does not take what the host sends; bytes are lost, as on the chip");
    bench.input.send(Input::Rts(true)).unwrap();
    bench.input.send(Input::Rts(false)).unwrap();
    bench.until("reset: EN pin");
}

/// Places in the ROM without a published name that programs come to: where calls return to, and
/// functions that the ROM hands out by address.
const UNNAMED: [u32; 14] = [
    0x1100, 0x10A8, 0x17E0, 0x1878, 0x1DCC, 0x24A8, 0x2E24, 0x2E3C, 0x2F88, 0x39D8, 0x4E34, 0xFF40,
    0xFF44, 0xFF48,
];

/// Where nonsense begins: each time alike, unless `FUZZ_SEED` says otherwise (`make fuzz`).
fn seed(usual: u32) -> u32 {
    let other = std::env::var("FUZZ_SEED").map(|seed| seed.parse().expect("FUZZ_SEED is a number"));
    let seed = other.unwrap_or(usual);
    println!("FUZZ_SEED={seed}");
    seed
}

/// Nonsense that a program may do: any access to any device, any function of the ROM with any
/// arguments, code that is noise. The board may reset; it must not end.
#[test]
fn no_program_breaks_the_board() {
    let mut state = u64::from(seed(11));
    let mut random = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut bench = Bench::new(&[], Some(Net::new()));
    // Some of it sleeps lightly, and the board's time goes far.
    bench.machine.pace(false);
    let ap = Settings::parse("ssid=home,psk=correct horse,channel=6").unwrap();
    bench.machine.add_access_point(ap).unwrap();
    // Where something is, and the edges.
    let places = [
        0x3FFE_8000,
        0x3FFF_FFFC,
        0x4010_0000,
        0x4020_0000,
        0x402F_FFFC,
        0x4000_0000,
        0x6000_0000,
        0x6000_0100,
        0x6000_0200,
        0x6000_0300,
        0x6000_0600,
        0x6000_0700,
        0x6000_0900,
        0x6000_0F00,
        0x6000_1100,
        0x6FF0_0000,
        0x6000_9000,
        0x3FF0_0000,
        0x3FF2_0000,
        0x3FF2_0C00,
        0x3FF2_0D18,
        0x3FF2_0D80,
        0x3FF2_1400,
        0,
        u32::MAX,
        0x8000_0000,
    ];
    let mut value = move || match random() % 4 {
        0 => random() % 0x1000,
        1 => random() << 1 ^ random(),
        2 => (random() % 32).checked_shl(random() % 32).unwrap_or(0),
        _ => places[random() as usize % places.len()].wrapping_add((random() % 0x100) & !3),
    };
    let functions: Vec<u32> = names::offsets().chain(UNNAMED).collect();
    for round in 0..20_000 {
        let machine = &mut bench.machine;
        let now = machine.cpu.cycles();
        for _ in 0..10 {
            let (address, word) = (value(), value());
            let _ = machine.board.store32(address & !3, word, now);
            let _ = machine.board.load32(address & !3, now);
            let _ = machine.board.store16(address & !1, word as u16, now);
            let _ = machine.board.load16(address & !1, now);
            let _ = machine.board.store8(address, word as u8, now);
            let _ = machine.board.load8(address, now);
        }
        for n in 0..16 {
            machine.cpu.set_reg(n, value());
        }
        machine.cpu.set_special(sr::PS, value());
        machine.cpu.set_special(sr::INTENABLE, value());
        let pc = if round % 2 == 0 {
            0x4000_0000 + functions[(value() >> 2) as usize % functions.len()]
        } else if round % 64 == 1 {
            0x4000_0000 + (value() & 0xFFFC)
        } else {
            let code: Vec<u8> = (0..16).flat_map(|_| value().to_le_bytes()).collect();
            machine.board.write_ram(0x4010_0000, &code);
            0x4010_0000
        };
        machine.cpu.set_pc(pc);
        for _ in 0..20 {
            assert_eq!(machine.step(), None);
        }
        bench.output.try_iter().for_each(drop);
    }
    // And it still boots.
    for (offset, image) in program::images("led") {
        bench.machine.board.flash.load(offset, &image);
    }
    bench.machine.reset(ResetCause::PowerOn);
    bench.until("done\n");
}

/// Requests that are damaged, nonsense or at the edge: each is answered, and the board boots on.
#[test]
fn no_request_breaks_the_board() {
    let mut bench = Bench::new(&program::images("led"), None);
    let ap = Settings::parse("ssid=home,psk=correct horse,channel=6").unwrap();
    bench.machine.add_access_point(ap).unwrap();
    let requests = [
        r#"{"id":1,"do":"status"}"#,
        r#"{"do":"listen","on":false}"#,
        r#"{"do":"button","pressed":false}"#,
        r#"{"do":"pin","pin":3,"high":true}"#,
        r#"{"do":"ap.add","settings":"ssid=b,channel=3,bssid=02:00:00:00:00:07"}"#,
        r#"{"do":"ap.set","ap":"home","loss":99,"mute":"auth+data","psk":"another one"}"#,
        r#"{"do":"ap.deauth","ap":"home","station":"02:00:00:00:00:01","reason":65535}"#,
        r#"{"do":"ap.rekey","ap":"home"}"#,
        r#"{"do":"ap.off","ap":"home","seconds":86400}"#,
        r#"{"do":"ap.on","ap":"home"}"#,
        r#"{"do":"ap.switch","ap":"home","channel":14,"beacons":255}"#,
        r#"{"do":"ap.replay","ap":"home","what":"data"}"#,
        r#"{"do":"ap.forge","ap":"home","what":"malformed"}"#,
        r#"{"do":"listen","serial":true,"pins":["D1",4,15]}"#,
        r#"{"do":"pin","pin":"GPIO9","level":"open","pull":"none"}"#,
        r#"{"do":"button","name":"RST","pressed":true}"#,
        r#"{"do":"button","name":"RST","pressed":false}"#,
        r#"{"do":"power","on":false}"#,
        r#"{"do":"power","on":true}"#,
        r#"{"do":"adc","value":1023}"#,
        r#"{"do":"serial","text":"abc\r"}"#,
        r#"{"do":"flash"}"#,
        r#"{"do":"recent"}"#,
        r#"{"do":"parts"}"#,
        r#"{"do":"part.add","settings":"dht22:D4,temperature=19"}"#,
        r#"{"do":"part.add","settings":"ssd1306:D2+D1,height=32"}"#,
        r#"{"do":"part.add","settings":"button:D5,bounce_ms=1000"}"#,
        r#"{"do":"part","part":"dht22","temperature":-40,"answers":false}"#,
        r#"{"do":"part","part":"button","pressed":true}"#,
        r#"{"do":"part.remove","part":"ssd1306"}"#,
    ];
    let mut state = seed(3);
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..20_000 {
        let mut line = requests[random(requests.len())].as_bytes().to_vec();
        for _ in 0..random(4) {
            let at = random(line.len());
            match random(4) {
                0 => line[at] = random(256) as u8,
                1 => line.truncate(at.max(1)),
                2 => line[at] = br#"0919{}[]":,-e"#[random(13)],
                _ => drop(line.splice(at..at, *b"99999")),
            }
        }
        let (answer, _) = control::serve(&mut bench.machine, &line);
        let told = answer.get("ok").is_some() != answer.get("error").is_some();
        assert!(told, "{}: {answer}", String::from_utf8_lossy(&line));
        if round % 1000 == 0 {
            bench.machine.run(Some(Duration::from_millis(2)));
        }
    }
    bench.machine.press_reset(false);
    bench.machine.press_button(false);
    for pin in 0..16 {
        bench.machine.board.hold_pin(pin, Drive::Open);
        bench.machine.board.pull_pin(pin, if pin == 15 { Pull::Down } else { Pull::Up });
    }
    bench.machine.set_power(false);
    bench.machine.set_power(true);
    bench.seen.clear();
    bench.until("done\n");
}

/// Whatever is looked at in between: an idle board waits for the wall clock.
#[test]
fn the_boards_time_never_runs_ahead_of_the_wall_clock() {
    let mut bench = Bench::new(&program::images("led"), Some(Net::new()));
    bench.machine.add_access_point(Settings::parse("ssid=cafe").unwrap()).unwrap();
    bench.until("done\n");
    let (start, before) = (Instant::now(), time(&bench));
    bench.machine.run(Some(Duration::from_millis(500)));
    let passed = Duration::from_nanos(time(&bench) - before);
    assert!(passed <= start.elapsed() + Duration::from_millis(5), "{passed:?}");
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

/// Arduino's analogWrite, tone and Servo, and the SDK's PWM, live by it.
#[test]
fn the_timer_interrupts_by_the_nmi_if_a_program_gives_it_that() {
    let bench = good("timer_nmi", None);
    assert_eq!(bench.seen.matches("ok ").count(), 7, "{}", bench.seen);
    let console = bench.console.borrow();
    assert_eq!(console.matches("not modelled").count(), 1, "{console}");
    assert!(
        console.contains("write of 0x0000000b to 0x3ff00000: an NMI from source 5 is not"),
        "{console}"
    );
}

#[test]
fn code_written_by_a_function_of_the_rom_is_executed() {
    good("stale_code", None);
}

#[test]
fn what_every_program_of_the_sdk_needs_is_there() {
    good("chip", None);
}

/// The NMI behind its gate, frames by it and under it, and its return under a flood: no register
/// is lost, although the next one strikes before it has returned.
#[test]
fn a_program_takes_the_radios_interrupt_as_nmi() {
    let mut bench = Bench::new(&program::images("radio"), None);
    bench.machine.add_access_point(Settings::parse("ssid=cafe,channel=11").unwrap()).unwrap();
    bench.until("ready\n");
    let mut frame = [&MAC[..], &[2, 0, 0, 0, 0, 1, 0x12, 0x34]].concat();
    frame.resize(80, 0);
    bench.run_until("done", |bench| {
        (0..100).for_each(|_| bench.machine.board.radio.air.aps[0].deliver(&frame));
        bench.seen.contains("done\n")
    });
    assert!(!bench.seen.contains("BAD"), "{}", bench.seen);
    for line in ["ok beacons by NMI", "ok association", "ok the NMI struck at its own exit"] {
        assert!(bench.seen.contains(line), "{}", bench.seen);
    }
    assert!(bench.console.borrow().contains("joined"), "{}", bench.console.borrow());
}

/// Before the exception that the program makes of it.
#[test]
fn a_missing_function_of_the_rom_is_named_first() {
    let mut bench = Bench::new(&program::images("missing"), None);
    bench.until("the ROM waits for the watchdog");
    let console = bench.console.borrow();
    let told = |line: &&str| !line.starts_with("reset:") && !line.starts_with("the image's header");
    let lines: Vec<_> = console.lines().filter(told).collect();
    assert!(lines[0].starts_with("call from 0x401"), "{console}");
    assert!(lines[0].ends_with("of the ROM at 0x4000f000: no function is modelled there"));
}

/// Their registers keep what is written, so that nothing else shows what a program waits for.
#[test]
fn what_is_started_and_not_modelled_is_named() {
    let mut bench = Bench::new(&program::images("absent"), None);
    bench.until("stopped\n");
    assert!(!bench.console.borrow().contains("is not modelled"), "{}", bench.console.borrow());
    bench.until("done\n");
    let console = bench.console.borrow();
    for what in
        ["I2S", "the DMA of I2S and SDIO", "sigma-delta at pins", "UART0 at GPIO13 and GPIO15"]
    {
        let line = format!(": {what} is not modelled\n");
        assert_eq!(console.matches(&line).count(), 1, "{what}: {console}");
    }
}

/// A program that has lost its way touches registers that are none, again and again.
#[test]
fn what_is_not_modelled_is_named_once_and_not_without_end() {
    let mut bench = Bench::new(&program::images("strays"), None);
    bench.until("done\n");
    let console = bench.console.borrow();
    // With the image's header, which is for another flash.
    assert_eq!(console.matches(": no such register here").count(), 255);
    assert_eq!(console.matches("not modelled at 256 addresses; no more").count(), 1, "{console}");
}

#[test]
fn a_program_that_resets_itself_again_and_again_is_counted() {
    let mut bench = Bench::new(&program::images("restarts"), None);
    bench.machine.pace(false);
    assert_eq!(bench.machine.run_for(Duration::from_secs(3)), None);
    let console = bench.console.borrow();
    let said = console.lines().filter(|line| line.starts_with("reset: asked")).count();
    assert!(bench.machine.resets() > 300, "{}", bench.machine.resets());
    assert!((20..60).contains(&said), "{console}");
    assert!(console.contains("boot from: flash; so "), "{console}");
}

/// A light sleep: its time passes, the chip's clocks stand still, and the timer or a pin ends it. The
/// RTC's pin is one like the others.
#[test]
fn light_sleep_and_gpio16() {
    let mut bench = Bench::new(&program::images("doze"), None);
    bench.until("press\n");
    let start = Instant::now();
    while !bench.machine.board.dozes() {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", bench.seen);
        bench.machine.run(Some(Duration::from_millis(1)));
    }
    let before = (bench.machine.cpu.cycles(), time(&bench));
    assert_eq!(bench.machine.run_for(Duration::from_millis(20)), None);
    assert_eq!(bench.machine.cpu.cycles(), before.0);
    assert!(bench.machine.board.dozes() && time(&bench) >= before.1 + 20_000_000);
    bench.machine.board.drive_pin(16, false);
    bench.machine.board.drive_pin(5, false);
    bench.until("done\n");
    assert!(!bench.seen.contains("BAD"), "{}", bench.seen);
    assert_eq!(bench.seen.matches("ok ").count(), 10, "{}", bench.seen);
    let console = bench.console.borrow();
    assert!(console.contains("GPIO16 low\nGPIO16 high\n"), "{console}");
    assert!(!console.contains("watchdog"), "{console}");
}

/// A text comes in pieces, and a character's bytes in different ones.
#[test]
fn the_harness_finds_what_is_not_ascii() {
    let mut board = program::board("echo").build().unwrap();
    board.wait_for("echo> ", Duration::from_secs(60)).unwrap();
    let text = b"21.5 \xC2\xB0C, 3 \xE2\x82\xAC, \xF0\x9F\x8C\xA1 \xC2\xFF\xE2\x82.";
    for byte in text {
        board.machine.type_in(&[*byte]);
        board.run(Duration::from_millis(3));
    }
    let said =
        board.wait_for("\u{20AC}, \u{1F321} \u{FFFD}\u{FFFD}\u{FFFD}.", Duration::from_secs(60));
    assert_eq!(&said.unwrap()[..9], "21.5 \u{B0}C,");
}

/// A deep sleep by the board's time: nothing runs, the wire ends it, and so does a reset.
#[test]
fn a_deep_sleep_is_one_however_the_board_is_run() {
    let asleep = |paced: bool, wired: bool| {
        let mut bench = Bench::new(&program::images("deep_sleep"), None);
        bench.machine.wake_wire = wired;
        bench.until("deep sleep for 10.000 s");
        bench.machine.pace(paced);
        let cycles = bench.machine.cpu.cycles();
        (bench, cycles)
    };
    type Run = fn(&mut Machine, Duration) -> Option<End>;
    for run in [Machine::run_for as Run, Machine::run_board_time] {
        let (mut bench, cycles) = asleep(false, true);
        let start = time(&bench);
        run(&mut bench.machine, Duration::from_millis(9900));
        assert_eq!((bench.machine.cpu.cycles(), bench.machine.resets()), (cycles, 1));
        run(&mut bench.machine, Duration::from_millis(200));
        assert_eq!(bench.machine.resets(), 2, "{}", bench.console.borrow());
        assert!(time(&bench) - start < 10_200_000_000);
        bench.until("done\n");
        assert!(!bench.seen.contains("BAD"), "{}", bench.seen);
        assert!(bench.console.borrow().contains("reset: end of deep sleep"));
    }
    // Without the wire it sleeps on, until somebody resets it.
    let (mut bench, cycles) = asleep(false, false);
    bench.machine.run_for(Duration::from_secs(60));
    assert_eq!((bench.machine.cpu.cycles(), bench.machine.resets()), (cycles, 1));
    // Its pins can be held meanwhile, and what is wired to them goes on.
    bench.machine.board.add_part_like(&"button:D5".parse().unwrap()).unwrap();
    let press = [("pressed".to_owned(), "on".to_owned())];
    bench.machine.board.set_part("button", &press).unwrap();
    bench.machine.run_for(Duration::from_millis(5));
    assert_eq!(bench.machine.board.gpio.levels() >> 14 & 1, 0, "it has bounced");
    bench.machine.reset(ResetCause::External);
    assert_eq!(bench.machine.resets(), 2);
    // Nothing wakes who has no power, or is held in reset.
    let (mut bench, _) = asleep(false, true);
    bench.machine.set_power(false);
    bench.machine.run_for(Duration::from_secs(60));
    bench.machine.run(Some(Duration::from_millis(20)));
    assert_eq!(bench.machine.resets(), 1, "{}", bench.console.borrow());
    // A sleep keeps to the wall clock where the board does.
    let (mut bench, cycles) = asleep(true, true);
    let (start, before) = (Instant::now(), time(&bench));
    bench.machine.run_for(Duration::from_millis(100));
    assert!(start.elapsed() >= Duration::from_millis(90));
    bench.machine.run(Some(Duration::from_millis(100)));
    assert!(time(&bench) - before >= 190_000_000);
    assert_eq!((bench.machine.cpu.cycles(), bench.machine.resets()), (cycles, 1));
}

fn time(bench: &Bench) -> u64 {
    bench.machine.board.clock.nanoseconds(bench.machine.cpu.cycles())
}

#[test]
fn the_led_shows_on_the_console() {
    let bench = good("led", None);
    let console = bench.console.borrow();
    let leds: Vec<_> = console.lines().filter(|line| line.starts_with("LED")).collect();
    // The compiler's image is for 1 MiB, and the flash has 4.
    assert_eq!(
        console.matches("the image's header says 1024 KiB of flash, the chip has 4096").count(),
        1
    );
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
