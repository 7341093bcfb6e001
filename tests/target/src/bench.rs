//! What basic steps cost. `thing bench` runs them with instructions counted: there CCOUNT
//! advances with each instruction by the same time.

use crate::{Test, say};

use alloc::format;

/// Interrupt number of the tick (LX106_IRQ_TIMER).
const TICK: u32 = 6;

/// Declares a bench for each function of c/bench.h: name, function, repetitions.
macro_rules! benches {
    ($($name:literal => $function:ident * $count:literal,)*) => {
        // They repeat a step `count` times.
        unsafe extern "C" {
            $(safe fn $function(count: u32);)*
        }
        pub const TESTS: &[Test] =
            &[$(Test::new(concat!("bench-", $name), || measure($name, $count, |count| $function(count)))),*];
    };
}

benches! {
    "loop" => bench_loop * 100_000,
    "context-switch" => bench_yield * 1000,
    "notification-round-trip" => bench_notify * 1000,
    "malloc-free" => bench_malloc * 1000,
    "memcpy-1k" => bench_memcpy * 100,
    "memcpy-1k-shifted" => bench_memcpy_shifted * 100,
    "memset-1k" => bench_memset * 100,
    "memcmp-1k" => bench_memcmp * 100,
    "aes128-gcm-1k" => bench_gcm * 10,
    "sha256-1k" => bench_sha256 * 20,
    "p256-product" => bench_p256_product * 1000,
    "p256-square" => bench_p256_square * 1000,
    "ecdh-p256-key-pair" => bench_key_pair * 4,
    "ecdh-p256" => bench_ecdh * 4,
    "ecdsa-p256-sign" => bench_ecdsa_sign * 4,
    "ecdsa-p256-verify" => bench_ecdsa_verify * 4,
    "rsa2048-verify" => bench_rsa_2048 * 4,
    "rsa4096-verify" => bench_rsa_4096 * 2,
}

unsafe extern "C" {
    fn lx106_irq_enable(irq: u32, enable: bool);
}

fn measure(name: &str, count: u32, step: fn(u32)) {
    // Not measured: makes keys, tables and partner tasks.
    step(2);
    // SAFETY: only the tick stands still meanwhile, and nothing waits for time.
    unsafe { lx106_irq_enable(TICK, false) };
    let start = lx106::cycles();
    step(count);
    let cycles = lx106::cycles() - start;
    // SAFETY: as above.
    unsafe { lx106_irq_enable(TICK, true) };
    say(&format!("bench: {name} {count} repetitions {cycles} cycles"));
}
