//! Rust's own part: allocation, formatting, parsing, sorting, atomics under preemption.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};

use rtos::{CurrentTask, Duration, Mutex, Task, TaskPriority, Waker};

use crate::{Ends, Test, say};

pub const TESTS: &[Test] = &[
    Test::new("rust-collections", collections),
    Test::new("rust-shared-ownership", shared_ownership),
    Test::new("rust-alignment", alignment),
    Test::new("rust-integer-formatting", integer_formatting),
    Test::new("rust-float-formatting", float_formatting),
    Test::new("rust-parsing", parsing),
    Test::new("rust-sorting", sorting),
    Test::new("rust-arithmetic", arithmetic),
    Test::new("rust-wide-arithmetic", wide_arithmetic),
    Test::new("rust-atomics-preempted", atomics_preempted),
    Test::new("rust-mutex-preempted", mutex_preempted),
    Test::new("rust-short-waits", short_waits),
    Test {
        ends: Ends::Shows(&[
            ") test: rrrrrrrr",
            "rrrrrrrr [...]",
            ") test: 00000000",
            "00000000 [...]",
        ]),
        ..Test::new("log-lines-cut", log_lines_cut)
    },
];

/// What is shorter than a tick of 5 ms leaves the CPU to others all the same.
fn short_waits() {
    let waker = Waker::new().unwrap();
    let start = rtos::uptime_ms();
    (0..20).for_each(|_| assert!(!waker.wait(0)));
    assert!(rtos::uptime_ms() - start < 50);
    let start = rtos::uptime_ms();
    for _ in 0..20 {
        assert!(!waker.wait(1));
        CurrentTask::delay(rtos::at_least(4));
    }
    let slept = rtos::uptime_ms() - start;
    assert!((195..400).contains(&slept), "{slept} ms");
    let start = rtos::uptime_ms();
    CurrentTask::delay(rtos::at_least(6));
    assert!(rtos::uptime_ms() - start >= 6);
}

/// Checks that all memory comes back.
fn leaves_no_trace(body: fn()) {
    let before = rtos::heap::free();
    body();
    assert_eq!(rtos::heap::free(), before, "memory was lost");
}

/// Pseudo-random numbers (xorshift32).
struct Numbers(u32);

impl Iterator for Numbers {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Some(self.0)
    }
}

fn collections() {
    leaves_no_trace(|| {
        let mut vector: Vec<u32> = Vec::new();
        (0..1000).for_each(|i| vector.push(i * i));
        assert_eq!(vector.iter().sum::<u32>(), 332_833_500);
        vector.retain(|value| value % 2 == 0);
        vector.shrink_to_fit();
        assert_eq!((vector.len(), vector.capacity()), (500, 500));
        drop(vector);

        let mut map = BTreeMap::new();
        for (index, key) in Numbers(1).take(300).enumerate() {
            assert_eq!(map.insert(key, index), None);
        }
        assert!(map.keys().zip(map.keys().skip(1)).all(|(a, b)| a < b));
        for (index, key) in Numbers(1).take(300).enumerate() {
            assert_eq!(map.remove(&key), Some(index));
        }
        assert!(map.is_empty());

        let mut queue: VecDeque<String> = (0..20).map(|i| "x".repeat(i)).collect();
        queue.rotate_left(7);
        queue.pop_front();
        assert_eq!(queue.iter().map(String::len).sum::<usize>(), 190 - 7);

        let mut text = String::from("gr\u{fc}n");
        text.insert_str(2, "--");
        assert_eq!(text.to_uppercase(), "GR--\u{dc}N");
        assert_eq!(text.char_indices().last(), Some((6, 'n')));
    });
}

/// Counts its drops.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn shared_ownership() {
    leaves_no_trace(|| {
        let drops = AtomicUsize::new(0);
        let first = Arc::new(Counted(&drops));
        let others = [Arc::clone(&first), Arc::clone(&first)];
        let weak = Arc::downgrade(&first);
        drop(first);
        assert!(weak.upgrade().is_some());
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(others);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        assert!(weak.upgrade().is_none());

        let shared = Rc::new(Counted(&drops));
        drop((Rc::clone(&shared), shared));
        assert_eq!(drops.load(Ordering::Relaxed), 2);

        let mut closures: Vec<Box<dyn Fn(u32) -> u32 + '_>> = Vec::new();
        for factor in 1..=5 {
            let counted = Counted(&drops);
            closures.push(Box::new(move |value| {
                let _kept = &counted;
                value * factor
            }));
        }
        assert_eq!(closures.iter().map(|closure| closure(10)).sum::<u32>(), 150);
        drop(closures);
        assert_eq!(drops.load(Ordering::Relaxed), 7);
    });
}

#[repr(align(16))]
#[derive(Clone, Copy)]
struct Sixteen(u8);

#[repr(align(256))]
struct Page([u8; 256]);

fn alignment() {
    leaves_no_trace(|| {
        let mut kept = Vec::new();
        for size in 1..40_usize {
            // Shifts what follows by all offsets.
            kept.push(alloc::vec![0_u8; size]);
            let page = Box::new(Page([size as u8; 256]));
            let address = &raw const *page as usize;
            assert_eq!(address % 256, 0, "{address:#x}");
            assert!(page.0.iter().all(|byte| usize::from(*byte) == size));
            let sixteen = Box::new(Sixteen(1));
            assert_eq!(&raw const *sixteen as usize % 16, 0);
            let eight = Box::new(1_u64);
            assert_eq!(&raw const *eight as usize % 8, 0);
        }
        // Growing moves over-aligned blocks by another way than realloc.
        let mut grown = Vec::new();
        for i in 0..100 {
            grown.push(Sixteen(i));
            assert_eq!(grown.as_ptr() as usize % 16, 0);
        }
        grown.truncate(10);
        grown.shrink_to_fit();
        assert!(grown.iter().enumerate().all(|(i, value)| usize::from(value.0) == i));
    });
}

#[track_caller]
fn shows(value: core::fmt::Arguments<'_>, wanted: &str) {
    assert_eq!(value.to_string(), wanted);
}

fn integer_formatting() {
    shows(format_args!("{}", u64::MAX), "18446744073709551615");
    shows(format_args!("{}", i64::MIN), "-9223372036854775808");
    shows(format_args!("{}", i128::MIN), "-170141183460469231731687303715884105728");
    shows(
        format_args!("{:#010x} {:X} {:#b} {:o}", 48879, 48879, 5, 64),
        "0x0000beef BEEF 0b101 100",
    );
    shows(
        format_args!("[{:>6}|{:<6}|{:^6}|{:+}|{:06}]", 42, 42, 42, 42, -42),
        "[    42|42    |  42  |+42|-00042]",
    );
    shows(format_args!("{:?}", Some(["a\n", "\u{e9}"])), "Some([\"a\\n\", \"\u{e9}\"])");
    shows(format_args!("{:*^9}{:.2}", "mid", "cut off"), "***mid***cu");
}

fn float_formatting() {
    let third = black_box(1.0_f64) / black_box(3.0);
    shows(format_args!("{third}"), "0.3333333333333333");
    shows(format_args!("{third:.3} {third:8.2} {third:e}"), "0.333     0.33 3.333333333333333e-1");
    shows(format_args!("{}", black_box(0.1_f64) + 0.2), "0.30000000000000004");
    shows(format_args!("{}", black_box(0.1_f32) + 0.2), "0.3");
    shows(format_args!("{}", black_box(16_777_217.0_f32)), "16777216");
    shows(
        format_args!("{:e} {:e}", f64::MAX, f64::MIN_POSITIVE),
        "1.7976931348623157e308 2.2250738585072014e-308",
    );
    shows(format_args!("{:e}", black_box(5e-324_f64)), "5e-324");
    shows(format_args!("{:.1} {:.0} {:.0} {:.0}", 0.25, 0.5, 1.5, 2.5), "0.2 0 2 2");
    shows(format_args!("{:?} {:?} {:?}", 1e21, 1e-7, 1.0), "1e21 1e-7 1.0");
    shows(format_args!("{} {} {:?}", f64::NAN, f64::NEG_INFINITY, -0.0), "NaN -inf -0.0");
    shows(format_args!("{:.20}", 0.1), "0.10000000000000000555");
}

fn parsing() {
    assert_eq!("18446744073709551615".parse(), Ok(u64::MAX));
    assert_eq!("-128".parse(), Ok(i8::MIN));
    assert!("128".parse::<i8>().is_err() && "".parse::<u8>().is_err());
    assert_eq!(u32::from_str_radix("deadBEEF", 16), Ok(0xDEAD_BEEF));
    let bits = |text: &str| text.parse::<f64>().map(f64::to_bits);
    assert_eq!(bits("0.1"), Ok(0x3FB9_9999_9999_999A));
    assert_eq!(bits("1.7976931348623157e308"), Ok(0x7FEF_FFFF_FFFF_FFFF));
    assert_eq!(bits("1e309"), Ok(0x7FF0_0000_0000_0000));
    assert_eq!(bits("2.4703282292062328e-324"), Ok(1));
    assert_eq!(bits("9007199254740993"), Ok(0x4340_0000_0000_0000));
    // More digits than 64 bits hold, just above halfway between two numbers.
    assert_eq!(bits("9007199254740993.00000000000000001"), Ok(0x4340_0000_0000_0001));
    assert_eq!(bits("8.5e22"), Ok(0x44B1_FFDB_F6B2_B2EB));
    assert_eq!("3.4028235e38".parse(), Ok(f32::MAX));
    assert!("1.2.3".parse::<f32>().is_err());
    assert_eq!("true".parse(), Ok(true));
    let fields: Vec<_> = " a=1; b = 22;c ".split(';').map(str::trim).collect();
    assert_eq!(fields, ["a=1", "b = 22", "c"]);
}

fn sorting() {
    leaves_no_trace(|| {
        let mut numbers: Vec<u32> = Numbers(7).take(2000).collect();
        let checksum = numbers.iter().fold(0, |sum: u32, value| sum.wrapping_add(*value));
        numbers.sort_unstable();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.iter().fold(0, |sum: u32, value| sum.wrapping_add(*value)), checksum);
        for number in Numbers(7).take(100) {
            assert!(numbers.binary_search(&number).is_ok());
        }
        // Stable: equal keys keep their order.
        let mut pairs: Vec<(u8, usize)> =
            Numbers(9).take(500).enumerate().map(|(i, value)| (value as u8 % 8, i)).collect();
        pairs.sort_by_key(|(key, _)| *key);
        assert!(pairs.is_sorted());
        let mut words = ["pear", "Apple", "fig", "\u{c4}pfel"].map(String::from);
        words.sort_by_key(|word| core::cmp::Reverse(word.len()));
        assert_eq!(words, ["\u{c4}pfel", "Apple", "pear", "fig"]);
    });
}

fn arithmetic() {
    let x = black_box(0x0123_4567_89AB_CDEF_u64);
    assert_eq!(x.wrapping_mul(x), 0xDCA5_E208_90F2_A521);
    assert_eq!(u128::from(x) * u128::from(x), 0x0001_4B66_DC33_F6AC_DCA5_E208_90F2_A521);
    assert_eq!(x.checked_mul(1000), None);
    assert_eq!(black_box(i32::MIN).checked_div(-1), None);
    assert_eq!(black_box(-7_i64).rem_euclid(3), 2);
    assert_eq!((x.leading_zeros(), x.trailing_zeros(), x.count_ones()), (7, 0, 32));
    assert_eq!(x.swap_bytes(), 0xEFCD_AB89_6745_2301);
    assert_eq!(x.rotate_left(20), 0x5678_9ABC_DEF0_1234);
    assert_eq!(black_box(300.7_f64) as u8, 255);
    assert_eq!(black_box(-1.5_f32) as u32, 0);
    assert_eq!(black_box(f64::NAN) as i32, 0);
    assert_eq!(black_box(1e10_f64) as u64, 10_000_000_000);
    assert_eq!(black_box(u64::MAX) as f32, 18_446_744_073_709_551_615.0);
}

/// 128 bits. Division by compiler_builtins alone is wrong here (bsp/lx106/src/int128.rs).
fn wide_arithmetic() {
    let x = black_box(0x0123_4567_89AB_CDEF_u128);
    assert_eq!(black_box(u128::MAX) / x, 0xE1_0000_0000_0000_D3D1);
    assert_eq!(black_box(u128::MAX) % x, 0x0000_0000_0000_E2E0);
    assert_eq!(black_box(i128::MIN) / 10, -17_014_118_346_046_923_173_168_730_371_588_410_572);
    assert_eq!(black_box(i128::MIN) % 10, -8);
    assert_eq!(black_box(i128::MIN).checked_div(black_box(-1)), None);
    // What division must satisfy, for numbers of all lengths and signs.
    let mut numbers = Numbers(3);
    let mut wide = || {
        let words: [u32; 4] = core::array::from_fn(|_| numbers.next().unwrap_or_default());
        let number = words.iter().fold(0, |number, word| number << 32 | u128::from(*word));
        number >> (words[0] % 128)
    };
    for _ in 0..500 {
        let (n, d) = (black_box(wide()), black_box(wide().max(1)));
        let (quotient, remainder) = (n / d, n % d);
        assert!(remainder < d, "{n} {d}");
        assert_eq!(quotient.checked_mul(d).and_then(|p| p.checked_add(remainder)), Some(n));
        let (n, d) = (n.cast_signed(), d.cast_signed().wrapping_neg());
        let (quotient, remainder) = (n.wrapping_div(d), n.wrapping_rem(d));
        assert_eq!(quotient.wrapping_mul(d).wrapping_add(remainder), n);
        assert!(remainder == 0 || (remainder < 0) == (n < 0));
        assert!(remainder.unsigned_abs() < d.unsigned_abs());
        // Shifts by a variable, against multiplication.
        let count = black_box(n.unsigned_abs() as u32 % 64);
        assert_eq!(n << count, n.wrapping_mul(1 << count));
    }
}

/// Starts `count` tasks of one priority that run `body` at once; returns when all ended.
fn in_tasks(count: usize, body: impl Fn(usize) + Clone + Send + 'static) {
    let ended = Arc::new(AtomicUsize::new(0));
    for index in 0..count {
        let (body, ended) = (body.clone(), Arc::clone(&ended));
        Task::new()
            .name("worker")
            .stack_size(512)
            .priority(TaskPriority(2))
            .start(move |_| {
                body(index);
                ended.fetch_add(1, Ordering::Release);
            })
            .expect("memory for a task");
    }
    while ended.load(Ordering::Acquire) < count {
        CurrentTask::delay(Duration::ticks(1));
    }
}

/// Counters that several tasks change by every read-modify-write there is.
#[derive(Default)]
struct Counters {
    byte: AtomicU8,
    half: AtomicU16,
    word: AtomicU32,
    exchanged: AtomicU32,
    locked: AtomicBool,
    guarded: AtomicU32,
}

fn atomics_preempted() {
    const ROUNDS: u32 = 30_000;
    const TASKS: u32 = 3;
    let counters = Arc::new(Counters::default());
    let shared = Arc::clone(&counters);
    in_tasks(TASKS as usize, move |index| {
        let c = &*shared;
        for _ in 0..ROUNDS {
            c.byte.fetch_add(1, Ordering::Relaxed);
            c.half.fetch_sub(1, Ordering::Relaxed);
            c.word.fetch_add(index as u32 + 1, Ordering::Relaxed);
            // A compare-and-swap loop loses no round either.
            let mut old = c.exchanged.load(Ordering::Relaxed);
            while let Err(now) = c.exchanged.compare_exchange_weak(
                old,
                old.wrapping_add(3),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                old = now;
            }
            // A spin lock around a change that is none by itself.
            while c.locked.swap(true, Ordering::Acquire) {
                CurrentTask::delay(Duration::ticks(1));
            }
            let value = c.guarded.load(Ordering::Relaxed);
            c.guarded.store(value + 1, Ordering::Relaxed);
            c.locked.store(false, Ordering::Release);
        }
    });
    assert_eq!(counters.byte.load(Ordering::Relaxed), (ROUNDS * TASKS) as u8);
    assert_eq!(counters.half.load(Ordering::Relaxed), (ROUNDS * TASKS).wrapping_neg() as u16);
    assert_eq!(counters.word.load(Ordering::Relaxed), ROUNDS * (1 + 2 + 3));
    assert_eq!(counters.exchanged.load(Ordering::Relaxed), 3 * ROUNDS * TASKS);
    assert_eq!(counters.guarded.load(Ordering::Relaxed), ROUNDS * TASKS);
}

fn mutex_preempted() {
    const ROUNDS: u32 = 5000;
    let map = Arc::new(Mutex::new(BTreeMap::<u32, u32>::new()).expect("memory for a mutex"));
    let shared = Arc::clone(&map);
    in_tasks(3, move |index| {
        for number in Numbers(index as u32 + 1).take(ROUNDS as usize) {
            let mut map = shared.lock(Duration::infinite()).expect("waits for ever");
            *map.entry(number % 64).or_default() += 1;
        }
    });
    let map = map.lock(Duration::zero()).expect("nobody holds it");
    assert_eq!(map.len(), 64);
    assert_eq!(map.values().sum::<u32>(), 3 * ROUNDS);
    say(&format!("{} entries", map.len()));
}

/// A line that is too long ends with a sign, whoever logs it.
fn log_lines_cut() {
    unsafe extern "C" {
        // c/check.c: takes nothing and logs 200 zeros.
        safe fn log_long_line();
    }
    rtos::log::init();
    log::info!(target: "test", "{}", "r".repeat(400));
    log_long_line();
}
