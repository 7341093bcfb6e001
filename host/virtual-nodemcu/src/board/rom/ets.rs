//! Tasks, timers and interrupts of the ROM's small system, ets. All that it knows lies in RAM, where
//! programs look at it and change it.

use super::guest::{Done, End, Guest};
use super::script::{Frame, Script, Step};
use super::xtos::{self, VPRI};
use super::{WAIT, functions};
use crate::board::ResetCause;

/// The function that runs when there is nothing to do, its argument, and the tasks that have
/// something to do, a bit each.
const IDLE_CALL: u32 = 0x3FFF_DAB0;
const READY: u32 = 0x3FFF_DAB8;
/// 32 tasks, the lowest priority first: function, queue, length, where it is filled and emptied,
/// events in it (a byte each), its bit in [`READY`].
const TASKS: u32 = 0x3FFF_DAC0;
const TASK: u32 = 16;
const TASK_COUNT: u32 = 32;
/// The priority that runs.
const RUNNING: u32 = 0x3FFF_C6FC;
/// Where ets_intr_lock leaves PS.
const LOCKED: u32 = 0x3FFF_DCC0;
/// What ets_set_user_start sets.
const USER_START: u32 = 0x3FFF_DCD0;
/// The first timer of the chain, the one that is running and its function.
const TIMERS: u32 = 0x3FFF_DDB0;
/// The queue of the task that serves timers, and its priority.
const TIMER_QUEUE: u32 = 0x3FFF_DDC0;
const TIMER_PRIORITY: u32 = 31;
/// The ROM's own functions: FRC2's handler, the timers' task, what feeds the watchdog.
const FRC2_HANDLER: u32 = 0x4000_2E24;
const TIMER_TASK: u32 = 0x4000_2E3C;
const WDT_HANDLER: u32 = 0x4000_2F88;
/// The watchdog's mode and two arguments, and the timer that feeds it.
const WDT: u32 = 0x3FFF_C708;
const WDT_TIMER: u32 = 0x3FFF_DDE0;
const WDT_CONTROL: u32 = 0x6000_0900;
const WDT_FEED: (u32, u32) = (0x6000_0914, 0x73);
/// CPU clock in MHz, as ets_delay_us counts it.
pub const CPU_MHZ: u32 = 0x3FFF_C704;
const FRC2_COUNT: u32 = 0x6000_0624;
const FRC2_ALARM: u32 = 0x6000_0630;
/// Edge interrupts' gate.
const EDGES: u32 = 0x3FF0_0004;
/// Nothing follows: the `next` of a timer that is not in the chain.
const NOT_ARMED: u32 = u32::MAX;
/// Longest chain of timers that is followed: a chain that bites its tail ends here.
const MOST_TIMERS: usize = 1000;

/// Fields of a timer.
mod timer {
    pub const NEXT: u32 = 0;
    pub const EXPIRES: u32 = 4;
    pub const PERIOD: u32 = 8;
    pub const CALL: u32 = 12;
    pub const ARGUMENT: u32 = 16;
}

/// Where the task of this priority is described.
fn task(priority: u32) -> u32 {
    TASKS.wrapping_add(priority.wrapping_sub(1).wrapping_mul(TASK))
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, a5, ..] = guest.arguments();
    Ok(Some(match offset {
        // ets_set_idle_cb(function, argument)
        0x0DC0 => {
            guest.store32(IDLE_CALL, a2)?;
            guest.store32(IDLE_CALL + 4, a3)?;
            End::Plain
        }
        // ets_task(function, priority, queue, length)
        0x0DD0 => new_task(guest, a2, a3, a4, a5).map(End::plain)?,
        // ets_post(priority, signal, parameter)
        0x0E24 => End::Value(post(guest, a2, a3, a4)?),
        // ets_intr_lock, ets_intr_unlock
        0x0F74 => {
            let old = guest.set_level(3);
            guest.store32(LOCKED, old)?;
            End::Value(old)
        }
        0x0F80 => End::Value(guest.set_level(0)),
        // ets_isr_attach(number, handler, argument), ets_isr_mask, ets_isr_unmask
        0x0F88 => End::Value(xtos::set_interrupt(guest, a2, a3, a4)?),
        0x0F98 => End::Value(xtos::interrupts_off(guest, a2)?),
        0x0FA8 => End::Value(xtos::interrupts_on(guest, a2)?),
        // ets_set_user_start
        0x0FBC => guest.store32(USER_START, a2).map(End::plain)?,
        // ets_timer_setfn(timer, function, argument)
        0x2C48 => set_timer(guest, a2, a3, a4).map(End::plain)?,
        // timer_insert(when, timer)
        0x2C64 => insert(guest, a2, a3).map(End::plain)?,
        // ets_timer_arm(timer, milliseconds, again), ets_timer_disarm, ets_timer_done
        0x2CC4 => arm(guest, a2, a3, a4 != 0).map(End::plain)?,
        0x2D40 => disarm(guest, a2).map(End::plain)?,
        0x2D80 => set_timer(guest, a2, 0, 0).map(End::plain)?,
        // ets_timer_init
        0x2E68 => {
            guest.store32(TIMERS, 0)?;
            xtos::set_interrupt(guest, 10, FRC2_HANDLER, 0)?;
            guest.modify(EDGES, 0, 4)?;
            xtos::interrupts_on(guest, 1 << 10)?;
            new_task(guest, TIMER_TASK, TIMER_PRIORITY, TIMER_QUEUE, 4)?;
            guest.store32(FRC2_ALARM, 0)?;
            guest.store32(0x6000_0628, 0x88)?;
            guest.store32(0x6000_0620, 0)?;
            End::Plain
        }
        // FRC2's handler
        0x2E24 => post(guest, TIMER_PRIORITY, 0, 0).map(End::plain)?,
        // ets_get_cpu_frequency, ets_update_cpu_frequency
        0x2F0C => End::Value(guest.load32(CPU_MHZ)?),
        0x2F04 => guest.store32(CPU_MHZ, a2).map(End::plain)?,
        // ets_wdt_get_mode, feeding it, its handler
        0x2F34 => End::Value(guest.load32(WDT)?),
        0x2F3C | 0x2F88 => guest.store32(WDT_FEED.0, WDT_FEED.1).map(End::plain)?,
        // ets_wdt_enable(mode, interval, stages), ets_wdt_disable, ets_wdt_restore(mode), ets_wdt_init
        0x2FA0 => wdt_enable(guest, a2, a3, a4).map(End::plain)?,
        0x30F0 => {
            let mode = guest.load32(WDT)?;
            guest.modify(WDT_CONTROL, 1, 0)?;
            guest.store32(WDT_FEED.0, WDT_FEED.1)?;
            guest.store32(WDT, 0)?;
            match mode {
                1 => disarm(guest, WDT_TIMER)?,
                2 => drop(xtos::interrupts_off(guest, 1 << 8)?),
                _ => {}
            }
            End::Value(mode)
        }
        0x3158 => {
            if a2 != 0 {
                let (interval, stages) = (guest.load32(WDT + 4)?, guest.load32(WDT + 8)?);
                wdt_enable(guest, a2, interval, stages)?;
            }
            End::Plain
        }
        0x3170 => {
            guest.modify(WDT_CONTROL, 1, 0)?;
            xtos::set_interrupt(guest, 8, WDT_HANDLER, 0)?;
            guest.modify(EDGES, 0, 1)?;
            End::Plain
        }
        // rtc_get_reset_reason
        0x25E0 => End::Value(reset_reason(guest)?),
        // rtc_set_sleep_mode(control, time, wake)
        0x2668 => {
            let now = guest.load32(0x6000_071C)?;
            guest.store32(0x6000_0704, a3.wrapping_mul(100_000).wrapping_add(now))?;
            guest.store32(0x6000_0718, a4)?;
            guest.modify(0x6000_0708, 0, a2)?;
            End::Plain
        }
        // save_rxbcn_mactime, save_tsf_us
        0x27A4 => guest.store32(0x3FFF_DD7C, a2).map(End::plain)?,
        0x27AC => guest.store32(0x3FFF_DD80, a2).map(End::plain)?,
        _ => return Ok(None),
    }))
}

/// The functions that call, by offset.
pub fn script(offset: u32) -> Option<Script> {
    Some(match offset {
        // ets_run, and what follows when a program's entry function returns.
        0x0E04 | 0x1100 => run,
        // ets_timer_handler_isr, the timers' task
        0x2DA8 => timers,
        0x2E3C => timer_task,
        _ => return None,
    })
}

fn new_task(guest: &mut Guest, call: u32, priority: u32, queue: u32, length: u32) -> Done<()> {
    let at = task(priority);
    guest.store32(at, call)?;
    guest.store32(at.wrapping_add(4), queue)?;
    // Length; where it is filled, where it is emptied, how many events there are.
    guest.store32(at.wrapping_add(8), length & 0xFF)?;
    guest.store32(at.wrapping_add(12), 1u32.wrapping_shl(priority.wrapping_sub(1)))
}

/// Queues an event; 1 if there is no room for it.
fn post(guest: &mut Guest, priority: u32, signal: u32, parameter: u32) -> Done<u32> {
    let at = task(priority);
    let [length, put, _, count] = guest.load32(at.wrapping_add(8))?.to_le_bytes();
    if count < length {
        let queue = guest.load32(at.wrapping_add(4))?;
        let event = queue.wrapping_add(8 * u32::from(put));
        guest.store32(event.wrapping_add(4), parameter)?;
        guest.store32(event, signal)?;
        let next = put.wrapping_add(1);
        let next = if next == length { 0 } else { next };
        guest.store8(at.wrapping_add(9), next)?;
        guest.store8(at.wrapping_add(11), count + 1)?;
        if count == 0 {
            let bit = guest.load32(at.wrapping_add(12))?;
            guest.modify(READY, 0, bit)?;
        }
    }
    // As there, whatever it was before.
    guest.set_level(0);
    Ok(u32::from(count >= length))
}

/// Takes the oldest event of the highest task that has one: its function and where the event lies.
fn take_event(guest: &mut Guest) -> Done<Option<(u32, u32, u32)>> {
    let ready = guest.load32(READY)?;
    if ready == 0 {
        return Ok(None);
    }
    let priority = TASK_COUNT - ready.leading_zeros();
    let at = task(priority);
    let [length, _, get, count] = guest.load32(at.wrapping_add(8))?.to_le_bytes();
    let event = guest.load32(at.wrapping_add(4))?.wrapping_add(8 * u32::from(get));
    let next = if get.wrapping_add(1) == length { 0 } else { get.wrapping_add(1) };
    guest.store8(at.wrapping_add(10), next)?;
    guest.store8(at.wrapping_add(11), count.wrapping_sub(1))?;
    if count <= 1 {
        let bit = guest.load32(at.wrapping_add(12))?;
        guest.modify(READY, bit, 0)?;
    }
    Ok(Some((guest.load32(at)?, event, priority)))
}

/// Runs tasks, for ever.
fn run(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    // Whether the idle function was called since the last event.
    const CALLED: usize = 0;
    if frame.step == 0 {
        frame.locals[CALLED] = 0;
    }
    frame.step = 0;
    guest.store8(RUNNING, 0)?;
    guest.set_level(3);
    if let Some((function, event, priority)) = take_event(guest)? {
        frame.locals[CALLED] = 0;
        guest.store8(RUNNING, priority as u8)?;
        guest.set_level(0);
        return Ok(Step::Call(function, [event, 0, 0, 0, 0, 0]));
    }
    let (function, argument) = (guest.load32(IDLE_CALL)?, guest.load32(IDLE_CALL + 4)?);
    if function != 0 && frame.locals[CALLED] == 0 {
        frame.locals[CALLED] = 1;
        return Ok(Step::Call(function, [argument, 0, 0, 0, 0, 0]));
    }
    frame.locals[CALLED] = 0;
    Ok(Step::Call(WAIT, [0; 6]))
}

fn set_timer(guest: &mut Guest, at: u32, function: u32, argument: u32) -> Done<()> {
    guest.store32(at.wrapping_add(timer::CALL), function)?;
    guest.store32(at.wrapping_add(timer::ARGUMENT), argument)?;
    guest.store32(at.wrapping_add(timer::EXPIRES), 0)?;
    guest.store32(at.wrapping_add(timer::PERIOD), 0)?;
    guest.store32(at.wrapping_add(timer::NEXT), NOT_ARMED)
}

/// Puts a timer into the chain, which is ordered by time.
fn insert(guest: &mut Guest, when: u32, at: u32) -> Done<()> {
    let mut before = 0;
    let mut next = guest.load32(TIMERS)?;
    for _ in 0..MOST_TIMERS {
        if next == 0 {
            break;
        }
        let expires = guest.load32(next.wrapping_add(timer::EXPIRES))?;
        if (when.wrapping_sub(expires) as i32) < 1 {
            break;
        }
        before = next;
        next = guest.load32(next)?;
    }
    guest.store32(at.wrapping_add(timer::NEXT), next)?;
    guest.store32(at.wrapping_add(timer::EXPIRES), when)?;
    if before == 0 {
        guest.store32(TIMERS, at)?;
        set_alarm(guest, when)
    } else {
        guest.store32(before, at)
    }
}

/// The alarm at `when`, or a little later if that is over or close.
fn set_alarm(guest: &mut Guest, when: u32) -> Done<()> {
    let now = guest.load32(FRC2_COUNT)?;
    let left = when.wrapping_sub(now) as i32;
    let alarm = match left {
        41.. => when,
        1..=40 => when.wrapping_add(44),
        _ => now.wrapping_add(40),
    };
    guest.store32(FRC2_ALARM, alarm)
}

fn arm(guest: &mut Guest, at: u32, milliseconds: u32, again: bool) -> Done<()> {
    if guest.load32(at)? != NOT_ARMED {
        let from = guest.cpu.reg(0);
        guest.board.unmodelled(from, || {
            format!("ets_timer.c 185: the timer at {at:#010x} is armed already; the ROM hangs here")
        });
    }
    // FRC2 counts 312.5 a millisecond.
    let ticks = match milliseconds {
        0 => 0,
        1..=0x30CE => (milliseconds >> 2) * 0x4E2 + (milliseconds & 3) * 0x139,
        _ => milliseconds.wrapping_mul(0x4_C4B4) / 1000 + 1,
    };
    if again {
        guest.store32(at.wrapping_add(timer::PERIOD), ticks)?;
    }
    let now = guest.load32(FRC2_COUNT)?;
    insert(guest, now.wrapping_add(ticks), at)
}

fn disarm(guest: &mut Guest, at: u32) -> Done<()> {
    let mut before = TIMERS;
    let mut next = guest.load32(TIMERS)?;
    for _ in 0..MOST_TIMERS {
        if next == 0 || next == at {
            break;
        }
        before = next;
        next = guest.load32(next)?;
    }
    if next == at && at != 0 {
        let after = guest.load32(at)?;
        guest.store32(before, after)?;
    }
    guest.store32(at.wrapping_add(timer::NEXT), NOT_ARMED)?;
    guest.store32(at.wrapping_add(timer::PERIOD), 0)
}

/// Calls the functions of the timers that are due.
fn timers(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step > 0 {
        // The one that was called, if it wants to be called again and did not see to it itself.
        let at = frame.locals[0];
        let period = guest.load32(at.wrapping_add(timer::PERIOD))?;
        if guest.load32(at)? == NOT_ARMED && period != 0 {
            let expired = guest.load32(at.wrapping_add(timer::EXPIRES))?;
            insert(guest, expired.wrapping_add(period), at)?;
        }
    }
    let now = guest.load32(FRC2_COUNT)?;
    let at = guest.load32(TIMERS)?;
    if at == 0 {
        return Ok(Step::End(End::Plain));
    }
    let expires = guest.load32(at.wrapping_add(timer::EXPIRES))?;
    if expires.wrapping_sub(now) as i32 >= 1 {
        set_alarm(guest, expires)?;
        return Ok(Step::End(End::Plain));
    }
    let function = guest.load32(at.wrapping_add(timer::CALL))?;
    let argument = guest.load32(at.wrapping_add(timer::ARGUMENT))?;
    guest.store32(TIMERS + 4, at)?;
    guest.store32(TIMERS + 8, function)?;
    let after = guest.load32(at)?;
    guest.store32(TIMERS, after)?;
    guest.store32(at, NOT_ARMED)?;
    frame.locals[0] = at;
    frame.step = 0;
    Ok(Step::Call(function, [argument, 0, 0, 0, 0, 0]))
}

/// The task that the timers' interrupt wakes; its argument is the event.
fn timer_task(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 && guest.load32(frame.locals[0])? != 0 {
        return Ok(Step::End(End::Plain));
    }
    timers(frame, guest)
}

/// The watchdog: mode 1 feeds it by a timer, 2 by its interrupt, 3 and 4 not at all.
fn wdt_enable(guest: &mut Guest, mode: u32, interval: u32, stages: u32) -> Done<()> {
    if guest.load32(WDT)? == 2 {
        xtos::interrupts_off(guest, 1 << 8)?;
    }
    guest.store32(WDT + 4, interval)?;
    guest.store32(WDT + 8, stages)?;
    guest.modify(WDT_CONTROL, 1, 0)?;
    let exponent = |seconds: u32| match seconds {
        3 => 11,
        6 => 12,
        12 => 13,
        _ => 0,
    };
    match mode {
        1 => {
            set_timer(guest, WDT_TIMER, WDT_HANDLER, 0)?;
            arm(guest, WDT_TIMER, interval >> 10, true)?;
            guest.store32(WDT_CONTROL, 0x3C)?;
            guest.store32(WDT_CONTROL + 4, exponent(stages))?;
        }
        2 | 4 => {
            guest.store32(WDT_CONTROL, 0x38)?;
            guest.store32(WDT_CONTROL + 4, exponent(interval))?;
            guest.store32(WDT_CONTROL + 8, exponent(interval))?;
            if mode == 2 {
                xtos::interrupts_on(guest, 1 << 8)?;
            }
        }
        3 => {
            guest.store32(WDT_CONTROL, 0x3C)?;
            guest.store32(WDT_CONTROL + 4, exponent(interval))?;
        }
        _ => {}
    }
    guest.modify(WDT_CONTROL, 0, 1)?;
    guest.store32(WDT, mode)
}

/// Why the chip was reset; a sleep is over then.
fn reset_reason(guest: &mut Guest) -> Done<u32> {
    let cause = guest.load32(0x6000_0714)? & 0xF;
    if cause != ResetCause::DeepSleep as u32 {
        return Ok(cause);
    }
    let wake = guest.load32(0x6000_0718)? >> 8 & 0x3F;
    guest.modify(0x6000_0708, 1 << 21, 0)?;
    Ok(match wake {
        1 => 6,
        8 => cause,
        _ => 0,
    })
}

/// What the ROM's variables of tasks, timers and interrupts are when a program starts.
pub fn initialise(words: &mut functions::Words) {
    words.set(RUNNING, 0xFF);
    words.set(CPU_MHZ - 4, 0x7073);
    words.set(CPU_MHZ, 80);
    words.set(WDT, u32::MAX);
    words.set(WDT + 4, 6);
    words.set(WDT + 8, 12);
    words.set(VPRI, u32::MAX);
}
