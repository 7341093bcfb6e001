// The tests, included by the root of each board's program.

extern crate alloc;
// Answers mbedTLS's calls for ciphers.
extern crate tls as _;

mod bench;
mod crash;
#[cfg(feature = "chip")]
#[path = "host_chip.rs"]
mod host;
#[cfg(feature = "qemu")]
#[path = "host_qemu.rs"]
mod host;
mod kept;
mod kernel;
mod language;
mod mbedtls;
#[cfg(feature = "chip")]
mod on_chip;
#[cfg(feature = "chip")]
mod peripherals;
#[cfg(feature = "chip")]
mod pins;

use alloc::format;
use alloc::string::String;

use lx106::ResetReason;
use tls as _; // the curve, which mbedTLS's glue asks for
use rtos::{Task, TaskPriority, console};

/// One test.
struct Test {
    name: &'static str,
    /// Before the scheduler, on the boot stack, instead of in a task.
    early: bool,
    run: fn(),
    ends: Ends,
}

/// How a test ends.
enum Ends {
    /// By returning. C's CHECK ends the emulator with status 1; a Rust panic resets, and the
    /// next boot finds that the test did not get here.
    Returns,
    /// The same, at each boot anew: the host compares what they show.
    #[cfg(feature = "chip")]
    ReturnsEachBoot,
    /// The same, and the console must show this, in this order.
    Shows(&'static [&'static str]),
    /// By a reset, whose reason the next boot judges.
    Resets {
        reason: ResetReason,
        /// Counted as so many crashes: a test of several is run again at each boot before the
        /// last.
        crashes: u32,
        /// What the console must show, in this order: the host judges.
        shows: &'static [&'static str],
    },
}

impl Test {
    const fn new(name: &'static str, run: fn()) -> Self {
        Self { name, early: false, run, ends: Ends::Returns }
    }
}

/// Declares tests that are functions in C: a list of `name => function`, and after `early`
/// those that run before the scheduler.
macro_rules! tests_in_c {
    ($($name:literal => $function:ident,)* early $($early:literal => $early_function:ident,)*) => {
        // Each takes nothing and returns when it passed (tests/target/c/check.h).
        unsafe extern "C" {
            $(safe fn $function();)*
            $(safe fn $early_function();)*
        }
        /// The tests of this module.
        pub const TESTS: &[crate::Test] = &[
            $(crate::Test::new($name, || $function()),)*
            $(crate::Test { early: true, ..crate::Test::new($early, || $early_function()) },)*
        ];
    };
}
use tests_in_c;

/// All tests, in the order in which they are listed and run.
const SUITES: &[&[Test]] = &[
    kernel::TESTS,
    language::TESTS,
    crash::TESTS,
    mbedtls::TESTS,
    kept::TESTS,
    #[cfg(feature = "chip")]
    on_chip::TESTS_IN_C,
    #[cfg(feature = "chip")]
    on_chip::TESTS,
    #[cfg(feature = "chip")]
    pins::TESTS,
    #[cfg(feature = "chip")]
    peripherals::TESTS,
    bench::TESTS,
];

/// Of the task that runs a test: as TEST_PRIORITY in c/check.h.
const PRIORITY: TaskPriority = TaskPriority(3);
/// In words: elliptic curves take the most.
const STACK: u16 = 2048;

/// Prints one line.
fn say(text: &str) {
    console::write(&format!("{text}\n"));
}

/// Ends the test.
fn fail(reason: &str) -> ! {
    say(&format!("FAILED: {reason}"));
    host::exit(1);
}

fn list() -> ! {
    for test in SUITES.iter().copied().flatten() {
        say(&format!("test: {}", test.name));
        let shows: &[&str] = match test.ends {
            Ends::Resets { shows, .. } => shows,
            Ends::Shows(shows) => shows,
            _ => &[],
        };
        shows.iter().for_each(|text| say(&format!("shows: {text}")));
    }
    host::exit(0);
}

/// Leaves a crash record in memory that survives a reset, for whatever firmware boots next.
fn leave_crash() -> ! {
    if lx106::crash_record().is_none() {
        panic!("left for the next firmware");
    }
    host::exit(0);
}

fn run(test: &Test) {
    (test.run)();
    if let Ends::Resets { .. } = test.ends {
        fail("no reset");
    }
    host::exit(0);
}

/// The boot after the test.
fn judge(test: &Test) -> ! {
    let (reason, crashes) = (lx106::reset_reason(), lx106::crash_count());
    say(&format!("next boot: reset by {reason}, {crashes} crashes"));
    let record = lx106::crash_record();
    if let Some(record) = &record {
        say(&format!("record: {record}"));
    }
    lx106::forget_crash();
    if lx106::crash_record().is_some() || lx106::crash_count() != crashes {
        fail("what was forgotten is still there");
    }
    match test.ends {
        Ends::Resets { reason: wanted, crashes: count, .. }
            if reason == wanted
                && crashes == count
                && lx106::crashes_in_a_row() == count
                && record.is_some() == (count > 0) =>
        {
            host::exit(0)
        }
        Ends::Resets { reason: wanted, crashes: count, .. } => {
            fail(&format!("wanted {wanted} and {count} crashes"))
        }
        _ => fail("the test crashed"),
    }
}

/// Called by the start-up code, with memory set up and the scheduler not yet running.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let argument: String = host::argument();
    if argument == "list" {
        list();
    }
    if argument == "leave-crash" {
        leave_crash();
    }
    let mut tests = SUITES.iter().copied().flatten();
    let Some(test) = tests.find(|test| test.name == argument) else {
        fail(&format!("there is no test {argument:?}"));
    };
    let again = match test.ends {
        #[cfg(feature = "chip")]
        Ends::ReturnsEachBoot => lx106::crash_count() == 0,
        Ends::Resets { crashes, .. } => lx106::crash_count() < crashes,
        _ => false,
    };
    if lx106::reset_reason() != ResetReason::PowerOn && !again {
        judge(test);
    }
    if test.early {
        run(test);
    }
    let started =
        Task::new().name("test").stack_size(STACK).priority(PRIORITY).start(|_| run(test));
    if started.is_err() {
        fail("no memory for the test's task");
    }
    rtos::run()
}
