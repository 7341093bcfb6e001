//! Everything that must end in a crash report and a reset with its reason.

use alloc::vec::Vec;
use core::hint::black_box;

use lx106::ResetReason::{
    self, Assert, Exception, GaveUp, OutOfMemory, Panic, Software, StackOverflow, Watchdog,
};

use crate::host::{NO_LOAD, NO_STORE};
use crate::{Ends, Test};

unsafe extern "C" {
    safe fn victim_load();
    safe fn victim_store();
    safe fn victim_null();
    safe fn victim_illegal();
    safe fn victim_jump();
    safe fn victim_break();
    safe fn victim_wild_stack();
    safe fn victim_assert();
    safe fn victim_task_returns();
    safe fn victim_abort();
    safe fn victim_load_in_interrupt();
    safe fn victim_assert_in_interrupt();
    safe fn victim_overflow();
    safe fn victim_leap();
    safe fn victim_runaway();
    safe fn victim_deadlock();
    safe fn victim_hog();
}

#[inline(never)]
fn victim_panic() {
    panic!("a value of {}", black_box(42));
}

#[inline(never)]
fn victim_bounds() {
    let bytes = [1, 2, 3];
    black_box(bytes[black_box(3)]);
}

#[inline(never)]
fn victim_allocation() {
    black_box(Vec::<u8>::with_capacity(black_box(1_000_000)));
}

/// A test that ends in a crash report.
pub const fn crashes(
    name: &'static str,
    run: fn(),
    reason: ResetReason,
    shows: &'static [&'static str],
) -> Test {
    Test { name, early: false, run, ends: Ends::Resets { reason, crashes: 1, shows } }
}

const fn crashes_early(
    name: &'static str,
    run: fn(),
    reason: ResetReason,
    shows: &'static [&'static str],
) -> Test {
    Test { early: true, ..crashes(name, run, reason, shows) }
}

pub const TESTS: &[Test] = &[
    crashes(
        "crash-load",
        || victim_load(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_LOAD,
            "address 0x00000010",
            "Context: task test, stack left",
            "Heap: free",
            "Registers: pc  0x402",
            "Backtrace: 0x402",
            " victim_load at ",
            "victims.c:",
            "*** reset",
            "next boot: reset by exception, 1 crashes",
            "record: exception: ",
            "address 0x00000010, task test, pc 0x402",
        ],
    ),
    crashes(
        "crash-store",
        || victim_store(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_STORE,
            "address 0x00000010",
            " victim_store at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-null",
        || victim_null(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_STORE,
            "address 0x00000000",
            " victim_null at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-illegal-instruction",
        || victim_illegal(),
        Exception,
        &["*** CRASH exception: IllegalInstruction (0)", " victim_illegal at ", "*** reset"],
    ),
    crashes(
        "crash-jump",
        || victim_jump(),
        Exception,
        &[
            "*** CRASH exception: Inst",
            "address 0x30000000",
            "Backtrace: 0x30000000",
            " victim_jump at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-break",
        || victim_break(),
        Exception,
        &["*** CRASH exception: Debug", " victim_break at ", "*** reset"],
    ),
    crashes(
        "crash-wild-stack",
        || victim_wild_stack(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_STORE,
            "while entering an interrupt",
            "Context: task test",
            " victim_wild_stack",
            "*** reset",
        ],
    ),
    crashes(
        "crash-assert",
        || victim_assert(),
        Assert,
        &["*** CRASH assert: sink == 12345 (victims.c:", " victim_assert at ", "*** reset"],
    ),
    crashes(
        "crash-task-returns",
        || victim_task_returns(),
        Assert,
        &[
            "*** CRASH assert: a task function must not return",
            "Context: task returning",
            "*** reset",
        ],
    ),
    crashes(
        "crash-abort",
        || victim_abort(),
        Assert,
        &["*** CRASH assert: abort()", " victim_abort at ", "*** reset"],
    ),
    crashes(
        "crash-panic",
        victim_panic,
        Panic,
        &[
            "*** CRASH panic: ",
            "crash.rs:",
            ": a value of 42",
            "Context: task test",
            "victim_panic at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-bounds",
        victim_bounds,
        Panic,
        &[
            "*** CRASH panic: ",
            "index out of bounds: the len is 3 but the index is 3",
            "victim_bounds at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-out-of-memory",
        victim_allocation,
        OutOfMemory,
        &["*** CRASH out-of-memory: 1000000 bytes wanted", "victim_allocation at ", "*** reset"],
    ),
    crashes(
        "crash-stack-overflow",
        || victim_overflow(),
        StackOverflow,
        &[
            "*** CRASH stack-overflow: task overflowing",
            "Context: task overflowing",
            "(OVERFLOWED)",
            " use_stack at ",
            " small_overflow at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-stack-leap",
        || victim_leap(),
        StackOverflow,
        &[
            "*** CRASH stack-overflow: task leaping",
            "stack left 0 bytes",
            "(OVERFLOWED)",
            " leap at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-stack-runaway",
        || victim_runaway(),
        Exception,
        // The rest of the report may have been written over before it was read.
        &["*** CRASH exception: ", NO_STORE],
    ),
    crashes(
        "crash-load-in-interrupt",
        || victim_load_in_interrupt(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_LOAD,
            "Context: interrupt, over task test",
            " victim_load at ",
            "Interrupted: Backtrace:",
            " victim_interrupted at ",
            "*** reset",
        ],
    ),
    crashes(
        "crash-assert-in-interrupt",
        || victim_assert_in_interrupt(),
        Assert,
        &[
            "*** CRASH assert: sink == 12345",
            "Context: interrupt, over task test",
            " victim_assert at ",
            "Interrupted: Backtrace:",
            " victim_interrupted at ",
            "*** reset",
        ],
    ),
    crashes(
        "watchdog-deadlock",
        || victim_deadlock(),
        Watchdog,
        &[
            "*** CRASH watchdog: task entangled showed no life for 3 s",
            "Context: task entangled",
            " wait_for_ever at ",
            "*** reset",
            "record: watchdog: task entangled showed no life for 3 s, task entangled, pc 0x402",
        ],
    ),
    crashes(
        "watchdog-hog",
        || victim_hog(),
        Watchdog,
        &[
            "*** CRASH watchdog: task greedy let no other run for 2 s",
            "Context: task greedy",
            "Backtrace: 0x402",
            " hog at ",
            "*** reset",
            "record: watchdog: task greedy let no other run for 2 s",
        ],
    ),
    crashes_early(
        "crash-early-load",
        || victim_load(),
        Exception,
        &[
            "*** CRASH exception: ",
            NO_LOAD,
            "Context: before the scheduler",
            " victim_load at ",
            "*** reset",
        ],
    ),
    crashes_early(
        "crash-early-assert",
        || victim_assert(),
        Assert,
        &[
            "*** CRASH assert: sink == 12345",
            "Context: before the scheduler",
            " victim_assert at ",
            "*** reset",
        ],
    ),
    crashes_early(
        "crash-early-panic",
        victim_panic,
        Panic,
        &["*** CRASH panic: ", "Context: before the scheduler", "victim_panic at ", "*** reset"],
    ),
    crashes_early(
        "crash-early-out-of-memory",
        victim_allocation,
        OutOfMemory,
        &[
            "*** CRASH out-of-memory: 1000000",
            "Context: before the scheduler",
            "victim_allocation at ",
            "*** reset",
        ],
    ),
    Test {
        name: "crash-loop-waits",
        early: false,
        run: || victim_load(),
        ends: Ends::Resets {
            reason: Exception,
            crashes: 3,
            shows: &[
                "*** CRASH exception: ",
                "*** CRASH exception: ",
                "*** CRASH exception: ",
                "*** 3 crashes in a row: waiting 30 s before the next start",
                "next boot: reset by exception, 3 crashes",
            ],
        },
    },
    crashes(
        "give-up",
        || lx106::give_up("gave up: a reason of its own"),
        GaveUp,
        &[
            "*** gave up: a reason of its own",
            "*** reset",
            "next boot: reset by gave-up, 1 crashes",
            "record: gave up: a reason of its own",
        ],
    ),
    Test {
        name: "restart",
        early: false,
        run: || lx106::restart(),
        ends: Ends::Resets { reason: Software, crashes: 0, shows: &[] },
    },
];
