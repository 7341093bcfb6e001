//! The boot stage: the boot ROM loads it from the start of flash, it chooses a slot by the boot
//! records, checks the image there, puts its parts into RAM, lets the cache show its MiB, and
//! starts it. What it decides is in `crates/slots`.
//!
//! It writes flash only before a firmware on trial is started: one word, the count of attempts.
//! RAM and registers are as the boot ROM left them, at 52 MHz and 74880 baud.

#![no_std]
#![no_main]

use core::ptr::{read_volatile, write_volatile};

use slots::{HANDOVER, Image, Mark, RECORDS, Records, Segment, Slot, WINDOW};

/// Milliseconds that a board without a firmware waits before it looks again: a flash that did not
/// answer as the power came up may answer then.
const PAUSE_MS: u32 = 10_000;
const FEED_MS: u32 = 100;

/// Called by the boot ROM.
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    show(Slot::A);
    let records = Records::read(&RECORDS.map(|at| {
        let mut words = [0; slots::RECORD_WORDS];
        for (index, word) in (0..).zip(&mut words) {
            *word = window(at + 4 * index);
        }
        words
    }));
    for candidate in records.order() {
        let slot = candidate.slot;
        show(slot);
        if let Some(image) = Image::check(word) {
            let noted = candidate.mark.is_none_or(|(sector, mark)| note(sector, mark));
            show(slot);
            // An attempt that cannot be noted would be made for ever.
            if noted {
                image.for_each_segment(word, load);
                // SAFETY: the image was checked, and is in RAM and in the window.
                unsafe { start(image.entry, slot) }
            }
        }
        say(match slot {
            Slot::A => "boot: nothing sound in slot A\r\n",
            Slot::B => "boot: nothing sound in slot B\r\n",
        });
    }
    say("boot: no firmware: `make flash` writes it\r\n");
    for _ in 0..PAUSE_MS / FEED_MS {
        // SAFETY: a ROM function that counts cycles, and the watchdog's register that takes 0x73.
        unsafe {
            ets_delay_us(FEED_MS * 1000);
            write_volatile(WATCHDOG_FEED, 0x73);
        }
    }
    // SAFETY: the chip's reset; nothing here is worth keeping.
    unsafe { write_volatile(RTC_CTL, read_volatile(RTC_CTL) | RTC_CTL_RESET) };
    wait()
}

/// A word of the slot that the cache shows.
fn word(at: u32) -> u32 {
    window(slots::SLOT_START + 4 * at)
}

/// A word of the MiB that the cache shows.
fn window(offset: u32) -> u32 {
    // SAFETY: the cache is on, and `slots` stays within the MiB. Volatile, because a load of less
    // than a word, which the compiler may make of another, is an exception here.
    unsafe { read_volatile((WINDOW + offset) as *const u32) }
}

/// Lets the cache show a slot's MiB.
fn show(slot: Slot) {
    // SAFETY: nothing runs from flash.
    unsafe {
        Cache_Read_Disable();
        Cache_Read_Enable(slot.number(), 0, 1);
    }
}

/// Copies a part of the image to where it belongs.
fn load(segment: Segment) {
    for index in 0..segment.words {
        // SAFETY: `Image::check` let only RAM pass that is neither the stage's nor the ROM's.
        unsafe {
            write_volatile(
                (segment.address as *mut u32).add(index as usize),
                word(segment.at + index),
            )
        };
    }
}

/// Writes a mark into a record; whether it is there then.
fn note(sector: usize, mark: Mark) -> bool {
    let Some(record) = RECORDS.get(sector) else { return false };
    let offset = record + 4 * mark.word;
    // SAFETY: nothing runs from flash, and the word is one of a boot record.
    let written = unsafe {
        Cache_Read_Disable();
        SPIUnlock() == 0 && SPIWrite(offset, &mark.value, 4) == 0
    };
    show(Slot::A);
    written && window(offset) == mark.value
}

/// Starts a firmware, which learns its slot and finds the cache off, as the boot ROM leaves it.
///
/// # Safety
/// At `entry` must be the code of one.
unsafe fn start(entry: u32, slot: Slot) -> ! {
    // SAFETY: the caller's contract; the entry takes its argument in a2, as any function.
    let entry: extern "C" fn(u32) -> ! = unsafe {
        Cache_Read_Disable();
        core::mem::transmute(entry)
    };
    entry(HANDOVER + slot.number())
}

/// Writes to the console, at the boot ROM's 74880 baud.
fn say(text: &str) {
    for byte in text.bytes() {
        // SAFETY: waits for room and sends.
        unsafe { ets_putc(byte.into()) };
    }
}

fn wait() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// What LLVM puts behind a call that does not return.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    wait()
}

/// Nothing here panics; the language wants it.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    wait()
}

// Registers of bsp/esp8266/include/esp8266.h.
const WATCHDOG_FEED: *mut u32 = 0x6000_0914 as *mut u32;
const RTC_CTL: *mut u32 = 0x6000_0700 as *mut u32;
const RTC_CTL_RESET: u32 = 1 << 31;

// The boot ROM's functions (boot.ld).
unsafe extern "C" {
    fn Cache_Read_Enable(half: u32, mib: u32, cache_32k: u32);
    fn Cache_Read_Disable();
    fn SPIUnlock() -> i32;
    fn SPIWrite(offset: u32, from: *const u32, size: u32) -> i32;
    fn ets_putc(character: u32) -> i32;
    fn ets_delay_us(microseconds: u32);
}
