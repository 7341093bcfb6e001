//! SPI, pulses, the converter, the UARTs and deep sleep. What is wired to the board, and what the
//! host sees at its pins, is `tests/board/src/wiring.rs`.

use core::ffi::{c_char, c_int};
use core::time::Duration as Time;

use chip::adc::Adc;
use chip::pins::{Pin, Pull};
use chip::pwm::{self, Pwm};
use chip::sleep::{self, Wake, WakePin};
use chip::spi::{ClockError, Config, Hspi};
use chip::uart::{BaudError, Overrun, Uart0, Uart1};
use chip::Delay;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::pwm::SetDutyCycle;
use embedded_hal::spi::{MODE_0, MODE_1, MODE_2, MODE_3, Mode, Operation, SpiBus, SpiDevice};
use embedded_hal_bus::spi::ExclusiveDevice;
use embedded_io::{Read, ReadReady, Write};
use lx106::ResetReason;
use rtos::{CurrentTask, Duration};

use crate::{Ends, Test, say};

/// A pin of the test's own.
fn pin<const GPIO: u8>() -> Pin<GPIO> {
    // SAFETY: a test has the board to itself.
    unsafe { Pin::new() }
}

fn bus(hz: u32, mode: Mode) -> Result<Hspi, ClockError> {
    Hspi::new(pin(), pin(), pin(), Config { hz, mode })
}

fn microseconds(run: impl FnOnce()) -> u64 {
    let start = lx106::cycles();
    run();
    (lx106::cycles() - start) / u64::from(lx106::clock_hz() / 1_000_000)
}

/// MOSI is wired to MISO; the host looks at the edges. GPIO5 goes low before each mode.
fn spi_modes() {
    let mut mark = pin::<5>().into_output(true);
    for (number, mode) in [MODE_0, MODE_1, MODE_2, MODE_3].into_iter().enumerate() {
        let mut bus = bus(1_000_000, mode).unwrap();
        mark.set_low().unwrap();
        let mut bytes = [0xA5, 0x3C, number as u8];
        bus.transfer_in_place(&mut bytes).unwrap();
        assert_eq!(bytes, [0xA5, 0x3C, number as u8], "mode {number}");
        mark.set_high().unwrap();
    }
}

fn spi_lengths() {
    let mut bus = bus(8_000_000, MODE_0).unwrap();
    let sent: [u8; 200] = core::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ 0x5A);
    let mut received = [0; 200];
    for length in (0..=10).chain([63, 64, 65, 127, 128, 129, 200]) {
        received.fill(0xEE);
        bus.transfer(&mut received[..length], &sent[..length]).unwrap();
        assert_eq!(received[..length], sent[..length], "{length} bytes");
        assert!(received[length..].iter().all(|byte| *byte == 0xEE), "no more than {length}");
    }
    // More to read than to write, and the other way round.
    bus.transfer(&mut received[..70], &sent[..3]).unwrap();
    assert_eq!(received[..3], sent[..3]);
    assert_eq!(received[3..70], [0; 67]);
    bus.transfer(&mut received[..2], &sent[..70]).unwrap();
    assert_eq!(received[..2], sent[..2]);
    bus.read(&mut received).unwrap();
    assert_eq!(received, [0; 200], "zeros are sent while it reads");
    bus.write(&sent).unwrap();
    bus.flush().unwrap();
}

fn spi_clock() {
    for hz in [0, 152, 40_000_001, u32::MAX] {
        assert_eq!(bus(hz, MODE_0).unwrap_err(), ClockError, "{hz} Hz");
    }
    let mut bytes = [0; 64];
    for (hz, least) in [(40_000_000, 12), (1_000_000, 512), (400_000, 1280), (100_000, 5120)] {
        let mut bus = bus(hz, MODE_0).unwrap();
        let took = microseconds(|| bus.transfer_in_place(&mut bytes).unwrap());
        // What the program adds is some 50 us.
        assert!((least..least + 100 + least / 50).contains(&took), "{hz} Hz: {took} us");
    }
    let mut bus = bus(1_000_000, MODE_0).unwrap();
    let slow = Config { hz: 153, mode: MODE_3 };
    bus.set_config(slow).unwrap();
    let took = microseconds(|| bus.write(&bytes[..1]).unwrap());
    assert!((52_000..54_000).contains(&took), "a byte at 153 Hz took {took} us");
    assert_eq!(bus.set_config(Config { hz: 1, mode: MODE_0 }), Err(ClockError));
}

/// A BME280 is at the bus, selected by GPIO5.
fn spi_device() {
    for mode in [MODE_0, MODE_3] {
        let bus = bus(1_000_000, mode).unwrap();
        let select = pin::<5>().into_output(true);
        let mut device = ExclusiveDevice::new(bus, select, Delay::new()).unwrap();
        let mut id = [0];
        device
            .transaction(&mut [Operation::Write(&[0xD0]), Operation::Read(&mut id)])
            .unwrap();
        assert_eq!(id, [0x60]);
        device.write(&[0x72, 3]).unwrap();
        let mut value = [0; 2];
        device.transfer(&mut value, &[0xF2]).unwrap();
        assert_eq!(value[1], 3, "what was written");
    }
}

/// The host has put 600 to the converter.
fn converter() {
    // SAFETY: a test has the board to itself.
    let mut adc = unsafe { Adc::new() };
    for _ in 0..10 {
        assert_eq!(adc.read(), Ok(600));
    }
}

/// The host measures the pulses: 1 kHz on GPIO5 (25 %), GPIO4 (half), 12 (none), 13 (all), 14
/// (0.01 %).
fn pulses() {
    assert_eq!(Pwm::take(24).unwrap_err(), pwm::Error::Frequency);
    assert_eq!(Pwm::take(2001).unwrap_err(), pwm::Error::Frequency);
    let pwm = Pwm::take(1000).unwrap();
    assert_eq!(Pwm::take(1000).unwrap_err(), pwm::Error::Taken);
    let mut quarter = pwm.output(pin::<5>().into_output(false)).unwrap();
    let mut half = pwm.output(pin::<4>().into_output(false)).unwrap();
    let mut none = pwm.output(pin::<12>().into_output(true)).unwrap();
    let mut all = pwm.output(pin::<13>().into_output(false)).unwrap();
    let mut least = pwm.output(pin::<14>().into_output(false)).unwrap();
    quarter.set_duty_cycle_percent(25).unwrap();
    half.set_duty_cycle_fraction(1, 2).unwrap();
    none.set_duty_cycle_fully_off().unwrap();
    all.set_duty_cycle_fully_on().unwrap();
    least.set_duty_cycle(1).unwrap();
    assert_eq!(half.set_duty_cycle(10_001), Err(pwm::Error::Duty));
    let start = rtos::uptime_ms();
    let cycles = microseconds(|| CurrentTask::delay(Duration::ms(200)));
    assert!(cycles < 250_000, "tasks go on: {} ms", rtos::uptime_ms() - start);
    for _ in 0..3 {
        pwm.output(pin::<2>().into_output(false)).unwrap();
    }
    assert_eq!(pwm.output(pin::<2>().into_output(false)).unwrap_err(), pwm::Error::Full);
    // Others see the same levels.
    assert!(pin::<13>().into_input(Pull::None).is_high().unwrap());
}

/// The host answers "send" with a line of 300 bytes, faster than it is read, then with a short one.
fn uart0() {
    let mut uart = Uart0::take().unwrap();
    assert!(Uart0::take().is_none(), "there is one");
    assert_eq!(uart.read_ready(), Ok(false));
    say("send: short");
    let mut line = [0; 32];
    let mut length = 0;
    while !line[..length].ends_with(b"\n") {
        length += uart.read(&mut line[length..]).unwrap();
    }
    assert_eq!(line[..length], *b"hello, chip\n");
    assert_eq!(uart.read_ready(), Ok(false));
    uart.write_all(b"<raw \n line>").unwrap();
    uart.flush().unwrap();
    say("");
    say("send: long");
    CurrentTask::delay(Duration::ms(500));
    assert_eq!(uart.read_ready(), Ok(true));
    assert_eq!(uart.read(&mut line), Err(Overrun), "nobody read for 256 bytes");
    let mut count = 0;
    while uart.read_ready().unwrap() {
        count += uart.read(&mut line).unwrap();
    }
    assert_eq!(count, 256, "those before are kept");
    uart.flush().unwrap();
    uart.silence();
    // An application may have said so before the runtime begins.
    rtos::log::init();
    rtos::log::set_levels(rtos::log::Levels::default());
    log::error!("a line that nobody wants");
    // SAFETY: formats texts that end in NUL; asks C.
    let unsent = unsafe {
        fw_log(1, c"c".as_ptr(), c"nor this one".as_ptr());
        chip_console_unsent()
    };
    assert_eq!(unsent, 0, "bytes that nobody wants");
}

fn uart1() {
    assert_eq!(Uart1::new(pin(), 299).unwrap_err(), BaudError);
    let mut uart = Uart1::new(pin(), 115_200).unwrap();
    let took = microseconds(|| {
        uart.write_all(&[b'x'; 300]).unwrap();
        uart.write_all(b"\n").unwrap();
        uart.flush().unwrap();
    });
    assert!((25_000..60_000).contains(&took), "300 bytes took {took} us");
}

unsafe extern "C" {
    // vendor/include/fw_hooks.h
    fn fw_log(level: c_int, module: *const c_char, format: *const c_char, ...);
    // bsp/esp8266/include/chip.h
    fn chip_console_unsent() -> usize;
}

/// The host has wired GPIO16 to RST.
fn sleeps_and_wakes() {
    // SAFETY: a test has the board to itself.
    let pin = unsafe { WakePin::new() };
    assert_eq!(sleep::deep(Wake::After(Time::ZERO, &pin)), sleep::Error::Duration);
    let long = sleep::LONGEST + Time::from_micros(1);
    assert_eq!(sleep::deep(Wake::After(long, &pin)), sleep::Error::Duration);
    assert_eq!(sleep::deep(Wake::After(Time::MAX, &pin)), sleep::Error::Duration);
    lx106::keep_time(1_800_000_000);
    say("the last words before it sleeps");
    sleep::deep(Wake::After(Time::from_millis(300), &pin));
    panic!("it does not sleep");
}

pub const TESTS: &[Test] = &[
    Test::new("spi-modes", spi_modes),
    Test::new("spi-lengths", spi_lengths),
    Test::new("spi-clock", spi_clock),
    Test::new("spi-device", spi_device),
    Test::new("adc", converter),
    Test::new("pwm", pulses),
    Test { ends: Ends::Shows(&["<raw ", " line>", "send: long"]), ..Test::new("uart0", uart0) },
    Test::new("uart1", uart1),
    Test {
        name: "deep-sleep",
        early: false,
        run: sleeps_and_wakes,
        ends: Ends::Resets {
            reason: ResetReason::DeepSleep,
            crashes: 0,
            shows: &["the last words before it sleeps"],
        },
    },
];
