//! Pins and delays of the chip, by embedded-hal's traits. Nothing is wired to the board: a pin
//! shows the level that it drives itself, and rests high, as with a pull-up.

use core::sync::atomic::{AtomicU32, Ordering};

use chip::pins::{Event, Input, Pin, Pull};
use chip::{Delay, I2c, I2cError, Speed};
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin, StatefulOutputPin};
use embedded_hal::i2c::I2c as _;
use rtos::{CurrentTask, Duration, Task, TaskPriority};

use crate::Test;

/// A pin for one owner more, who looks at what the first one does.
fn pin<const GPIO: u8>() -> Pin<GPIO> {
    // SAFETY: a test has the board to itself.
    unsafe { Pin::new() }
}

fn every_pin_is_output_and_open_drain() {
    fn check<const GPIO: u8>() {
        let mut seen = pin::<GPIO>().into_input(Pull::None);
        let mut output = pin::<GPIO>().into_output(false);
        assert!(seen.is_low().unwrap(), "GPIO{GPIO} begins low");
        output.set_high().unwrap();
        assert!(seen.is_high().unwrap() && output.is_set_high().unwrap(), "GPIO{GPIO}");
        output.toggle().unwrap();
        assert!(seen.is_low().unwrap() && output.is_set_low().unwrap(), "GPIO{GPIO}");
        let mut line = pin::<GPIO>().into_open_drain(Pull::Up);
        // GPIO15 rests low on every board: it is a strap.
        assert_eq!(line.is_high().unwrap(), GPIO != 15, "GPIO{GPIO} let go");
        line.set_low().unwrap();
        assert!(line.is_low().unwrap(), "GPIO{GPIO} pulled low");
        line.set_high().unwrap();
        assert_eq!(line.is_high().unwrap(), GPIO != 15, "GPIO{GPIO} let go again");
    }
    check::<0>();
    check::<2>();
    check::<4>();
    check::<5>();
    check::<12>();
    check::<13>();
    check::<14>();
    check::<15>();
}

/// Drives GPIO5 to `high` after 30 ms, from another task.
fn drive_later(high: bool) {
    Task::new()
        .name("drive")
        .stack_size(512)
        .priority(TaskPriority(2))
        .start(move |_| {
            CurrentTask::delay(Duration::ms(30));
            pin::<5>().into_output(high);
        })
        .unwrap();
}

fn an_event_wakes_the_task_that_waits() {
    let mut seen: Input = pin::<5>().into_input(Pull::Up);
    let mut output = pin::<5>().into_output(true);

    drive_later(false);
    let start = rtos::uptime_ms();
    assert!(seen.wait(Event::Falling, 60_000));
    assert!(rtos::uptime_ms() - start < 1000, "woken by the pin, not by time");
    assert!(!seen.wait(Event::Falling, 50), "an edge counts once");
    assert!(!seen.wait(Event::Rising, 50));
    assert!(!seen.wait(Event::High, 50));
    let start = rtos::uptime_ms();
    (0..20).for_each(|_| assert!(!seen.wait(Event::High, 1)));
    assert!(rtos::uptime_ms() - start >= 95, "what is shorter than a tick leaves the CPU to others");
    assert!(seen.wait(Event::Low, 0), "it is low already");
    assert!(seen.wait(Event::Low, u32::MAX), "and a level that lasts keeps nobody from going on");

    drive_later(true);
    assert!(seen.wait(Event::Edge, 60_000));
    output.set_low().unwrap();
    drive_later(true);
    assert!(seen.wait(Event::High, 60_000));
    output.set_low().unwrap();
    output.set_high().unwrap();
    assert!(!seen.wait(Event::Edge, 50), "what was before does not count");
}

fn two_tasks_wait_for_two_pins() {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let mut outputs = [pin::<12>().into_output(false), pin::<13>().into_output(false)];
    for mut seen in [pin::<12>().into_input(Pull::None), pin::<13>().into_input(Pull::None)] {
        Task::new()
            .name("wait")
            .stack_size(512)
            .priority(TaskPriority(5))
            .start(move |_| {
                while seen.wait(Event::Rising, 60_000) {
                    WOKEN.fetch_add(1, Ordering::AcqRel);
                }
            })
            .unwrap();
    }
    outputs[0] = pin::<12>().into_output(false);
    outputs[1] = pin::<13>().into_output(false);
    for round in 1..=100 {
        for output in &mut outputs {
            output.set_high().unwrap();
        }
        for output in &mut outputs {
            output.set_low().unwrap();
        }
        // Both have a higher priority than this task.
        assert_eq!(WOKEN.load(Ordering::Acquire), 2 * round);
    }
}

fn delays_are_no_shorter_than_asked() {
    let mut delay = Delay::new();
    for ns in [0, 1, 100, 1_200, 4_700, 999_999, 1_000_001, 3_000_000] {
        let start = lx106::cycles();
        delay.delay_ns(ns);
        let cycles = lx106::cycles() - start;
        let asked = u64::from(ns) * u64::from(lx106::clock_hz()) / 1_000_000_000;
        assert!(cycles >= asked, "{ns} ns took {cycles} cycles");
        // The call, the clock's reading, and the ticks that fall into it.
        assert!(cycles < asked + asked / 50 + 1000, "{ns} ns took {cycles} cycles");
    }
    // In a longer one others work.
    static WORKED: AtomicU32 = AtomicU32::new(0);
    Task::new()
        .name("below")
        .stack_size(512)
        .priority(TaskPriority(1))
        .start(|_| {
            WORKED.store(1, Ordering::Release);
        })
        .unwrap();
    for ms in [20, 23, 100] {
        let start = lx106::cycles();
        delay.delay_ms(ms);
        let took = (lx106::cycles() - start) / u64::from(lx106::clock_hz() / 1000);
        assert!((u64::from(ms)..u64::from(ms) + 15).contains(&took), "{ms} ms took {took}");
    }
    assert_eq!(WORKED.load(Ordering::Acquire), 1);
}

fn nobody_answers_on_an_empty_bus() {
    let sda = pin::<4>().into_open_drain(Pull::Up);
    let scl = pin::<5>().into_open_drain(Pull::Up);
    let mut bus = I2c::new(sda, scl, Delay::new(), Speed::Fast);
    let start = lx106::cycles();
    assert_eq!(bus.write(0x76, &[0]), Err(I2cError::NoAddress));
    let us = (lx106::cycles() - start) / u64::from(lx106::clock_hz() / 1_000_000);
    // START, nine bits, STOP; the program is not twice as slow as the bus.
    assert!((25..60).contains(&us), "an address took {us} us at 400 kHz");
}

pub const TESTS: &[Test] = &[
    Test::new("pins-levels", every_pin_is_output_and_open_drain),
    Test::new("pins-wait", an_event_wakes_the_task_that_waits),
    Test::new("pins-wait-two", two_tasks_wait_for_two_pins),
    Test::new("delays", delays_are_no_shorter_than_asked),
    Test::new("i2c-nobody", nobody_answers_on_an_empty_bus),
];
