//! The analogue side: what the ROM has of the radio's driver. Programs get a table of these
//! functions, replace some, and the others call each other through it.

use super::functions::Words;
use super::guest::{Done, End, Guest};
use super::script::{Frame, LOCALS_AT, Script, Step};

/// The pointer to the table, and the table.
const TABLE_AT: u32 = 0x3FFF_C730;
const TABLE: u32 = 0x3FFF_C734;
/// What stands in the table, as offsets in the ROM; 0 is empty.
#[rustfmt::skip]
const FUNCTIONS: [u16; 71] = [
    0x60C0, 0x60D0, 0x60EC, 0x610C, 0x615C, 0, 0x61B8, 0x6238, 0x6260, 0x62DC, 0x6394, 0x63B0, 0x6400, 0x6430,
    0x6484, 0x650C, 0x6550, 0x65A4, 0x6628, 0x6738, 0x678C, 0x67C8, 0x6830, 0, 0, 0x6874, 0x68B4, 0x698C, 0x6A1C,
    0x6A98, 0x6AD4, 0x6B10, 0x6C50, 0x6F84, 0x711C, 0x718C, 0x7268, 0x729C, 0x72D8, 0x730C, 0x737C, 0x7410,
    0x7448, 0x747C, 0x74D8, 0x754C, 0x7610, 0x7648, 0x7688, 0x76CC, 0x76FC, 0x7740, 0x77A0, 0x7804, 0x781C,
    0x7868, 0x78DC, 0x7968, 0x7A28, 0x7BF0, 0x7EB4, 0x804C, 0x8264, 0x8388, 0x8610, 0x88B8, 0x8A70, 0x8B6C,
    0x8C6C, 0x8D34, 0,
];

/// Places in the table, in bytes.
mod slot {
    pub const IQ_DISABLE: u32 = 48;
    pub const IQ_ENABLE: u32 = 52;
    pub const SAR_DOUT: u32 = 36;
    pub const TO_DB: u32 = 56;
    pub const TX_CLOCK: u32 = 60;
    pub const SAR_INIT: u32 = 76;
    pub const MAC_OFF: u32 = 116;
    pub const MAC_ON: u32 = 120;
    pub const READ: u32 = 144;
    pub const WRITE: u32 = 152;
    pub const WRITE_MASK: u32 = 156;
    pub const DEBUG_MODE: u32 = 160;
    pub const FORCE: u32 = 172;
    pub const BUS_READ: u32 = 176;
    pub const WORK_MODE: u32 = 188;
    pub const RX_OFF: u32 = 192;
    pub const RX_ON: u32 = 196;
    pub const TX_OFF: u32 = 200;
    pub const TX_ON_LOW: u32 = 208;
}

/// Registers.
const I2C: u32 = 0x6000_0D00;
const SAR: u32 = 0x6000_0D50;
const BUS: u32 = 0x6000_0594;
const BUS_VALUES: u32 = 0x6000_05A4;
const ESTIMATE: u32 = 0x6000_057C;
const ESTIMATED: u32 = 0x6000_05DC;
const TONES: [u32; 3] = [0x6000_05B8, 0x6000_05BC, 0x6000_05C4];
const ATTENUATION: u32 = 0x6000_0504;
const NOISE: u32 = 0x6000_9B64;
const NOISE_START: u32 = 0x6000_9B60;
const CCA: u32 = 0x6000_9B00;
const RADIO_MODE: u32 = 0x6000_9B08;
const RTC_ANALOG: u32 = 0x6000_0710;
const MAC_STATE: u32 = 0x3FF2_0C70;
const MAC_TX: (u32, u32) = (0x3FF2_0DE0, 0x3FF2_0C94);

/// Sixteenths of a doubling, in 48ths.
const SIXTEENTHS: [u8; 16] =
    [0, 4, 8, 0xC, 0x10, 0x13, 0x16, 0x19, 0x1C, 0x1F, 0x22, 0x24, 0x27, 0x29, 0x2C, 0x2E];
/// Where the fields of each block begin on the bus to the radio's parts.
const BUS_FIELDS: [u32; 8] = [0, 2, 4, 5, 7, 9, 0xB, 0xC];

/// The table as it is when a program starts.
pub fn initialise(words: &mut Words) {
    words.set(TABLE_AT, TABLE);
    for (at, offset) in (TABLE..).step_by(4).zip(FUNCTIONS) {
        words.set(at, if offset == 0 { 0 } else { 0x4000_0000 | u32::from(offset) });
    }
}

fn half(value: u32) -> u32 {
    value as u16 as i16 as u32
}

fn byte(value: u32) -> u32 {
    value as u8 as i8 as u32
}

/// Does the function at `offset`, if it is one of these.
#[allow(clippy::too_many_lines)] // One line or two for each function.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, a5, ..] = guest.arguments();
    Ok(Some(match offset {
        // phy_get_romfuncs
        0x6B08 => End::Value(guest.load32(TABLE_AT)?),
        // rom_abs_temp
        0x60C0 => End::Value((a2 as i32).unsigned_abs()),
        // rom_chip_v5_disable_cca, rom_chip_v5_enable_cca
        0x60D0 | 0x60EC => {
            guest.modify(CCA, 1 << 28, if offset == 0x60D0 { 1 << 28 } else { 0 })?;
            End::Plain
        }
        // rom_chip_v5_sense_backoff
        0x610C => {
            let value = a2 as u8 as i8;
            let (long, short) = if value < 0 { (0x1_FC00, 254) } else { (a2 << 10, a2 << 1) };
            guest.modify(0x6000_9C28, 0x1_FC00, long)?;
            guest.modify(0x6000_9D24, 0xFE, short)?;
            End::Plain
        }
        // rom_get_bb_atten
        0x6238 => {
            let value = half((a2.wrapping_add(8) << 2).wrapping_sub(a3)) as i32;
            End::Value(byte(value.clamp(0, 127) as u32))
        }
        // rom_get_fm_sar_dout(out, out)
        0x62DC => {
            guest.modify(SAR, 2, 0)?;
            guest.modify(SAR, 0, 2)?;
            let mut v = [0i32; 8];
            for (at, value) in (0x6000_0D80..).step_by(4).zip(&mut v) {
                *value = 0x800 - (guest.load32(at)? & 0xFFF) as i32;
            }
            let last = 3 * (v[6] + v[7]);
            guest.store16(a2, (2 * (v[1] + v[2] + v[3]) - last) as u16)?;
            guest.store16(a3, (3 * (v[4] + v[5]) - last) as u16)?;
            End::Plain
        }
        // rom_get_noisefloor, rom_set_noise_floor, rom_start_noisefloor
        0x6394 => End::Value(half((guest.load32(NOISE)? >> 23).wrapping_sub(0x200))),
        0x6830 => {
            guest.modify(NOISE, 0x1FF, (a2 << 1).wrapping_add(0x200) & 0x1FF)?;
            guest.modify(NOISE_START, 0x2_8002, 2)?;
            End::Plain
        }
        0x6874 => {
            guest.modify(NOISE, 0xFFF, (a2 & 7) << 9 | 0x1A0)?;
            guest.modify(NOISE_START, 0, 0x2_8002)?;
            End::Plain
        }
        // rom_iq_est_disable, rom_iq_est_enable(which, length)
        0x6400 => guest.modify(ESTIMATE, 0x5_FFFF, 0x1000).map(End::plain)?,
        0x6430 => {
            guest.modify(ESTIMATE, 0, 1)?;
            guest.modify(ESTIMATE, 0x5_FFFE, a2 << 18 | (a3 & 0x7FFF) << 2 | 2)?;
            End::Plain
        }
        // rom_linear_to_db(value, scale)
        0x6484 => {
            let scale = a3 as u8;
            let value = if scale < 3 {
                a2 << (3 - scale)
            } else {
                (a2 as i32 >> (u32::from(scale) - 3).min(31)) as u32
            };
            let doublings = 28 - value.leading_zeros() as i32;
            let part = |at: u32| i32::from(SIXTEENTHS[(at & 15) as usize]);
            End::Value(if doublings < 1 {
                half(part(value) as u32)
            } else {
                half((48 * doublings + part((value as i32 >> (doublings - 1)) as u32)) as u32)
            })
        }
        // rom_mhz2ieee(MHz, flags): the channel
        0x65A4 => {
            let mhz = a2 as i32;
            End::Value(byte(match mhz {
                2484 => 14,
                ..2484 => mhz.wrapping_sub(2407) / 5,
                2485..5000 => (mhz - 2512) / 20 + 15,
                _ => (mhz - 5000) / 5,
            } as u32))
        }
        // rom_tx_mac_disable, rom_tx_mac_enable
        0x6A98 | 0x6AD4 => {
            let off = offset == 0x6A98;
            let state = guest.load32(MAC_TX.0)?;
            let state = state & 0xFC | state >> 1 & 0x7F80_0000 | if off { 3 } else { 0 };
            guest.store32(MAC_TX.0, state)?;
            guest.modify(MAC_TX.1, 1, u32::from(!off))?;
            End::Plain
        }
        // rom_i2c_readReg(block, host, register), rom_i2c_writeReg(block, host, register, value)
        0x7268 => {
            let at = I2C.wrapping_add(a3 << 2);
            guest.store32(at, a2 | a4 << 8)?;
            End::Value(guest.load32(at)? >> 16 & 0xFF)
        }
        0x72D8 => guest
            .store32(I2C.wrapping_add(a3 << 2), a2 | a4 << 8 | a5 << 16 | 1 << 24)
            .map(End::plain)?,
        // rom_pbus_force_test(block, field, value), rom_pbus_rd(block, field)
        0x747C => {
            guest.modify(BUS, 0xFFFE, a3 << 14 | a4 << 5 | a2 << 2 | 2)?;
            guest.modify(BUS, 2, 0)?;
            End::Plain
        }
        0x74D8 => {
            let first = BUS_FIELDS.get(a2 as usize).copied().unwrap_or(0);
            let field =
                (if a3 == 4 { first + 2 } else { first.wrapping_add(a3).wrapping_sub(1) }) & 0xFF;
            let shift = if field == 12 { 0 } else { 18 - 9 * (field % 3) };
            let word = guest.load32(BUS_VALUES + field / 3 * 4)?;
            End::Value(word >> shift & 0x1FF)
        }
        // rom_phy_reset_req
        0x7804 => guest.modify(RTC_ANALOG, 0x3C00_0000, 0).map(End::plain)?,
        _ => return Ok(None),
    }))
}

/// Argument `n` of the function that calls.
const fn argument(n: u32) -> u32 {
    0xFFFF_FF00 + n
}
const A: u32 = argument(0);
const B: u32 = argument(1);
const C: u32 = argument(2);
const D: u32 = argument(3);

type Calls = &'static [(u32, [u32; 6])];

/// A call that writes an analogue register: block, host, register, value.
const fn write(block: u32, host: u32, register: u32, value: u32) -> (u32, [u32; 6]) {
    (slot::WRITE, [block, host, register, value, 0, 0])
}

/// The same for some of its bits: block, host, register, highest bit, lowest bit, value.
const fn bits(register: [u32; 3], high: u32, low: u32, value: u32) -> (u32, [u32; 6]) {
    (slot::WRITE_MASK, [register[0], register[1], register[2], high, low, value])
}

const fn force(block: u32, field: u32, value: u32) -> (u32, [u32; 6]) {
    (slot::FORCE, [block, field, value, 0, 0, 0])
}

const fn plain(slot: u32, argument: u32) -> (u32, [u32; 6]) {
    (slot, [argument, 0, 0, 0, 0, 0])
}

/// Functions that are calls and nothing else.
const CALLS: &[(u32, Calls)] = &[
    // rom_set_txclk_en, rom_set_rxclk_en
    (0x650C, &[bits([119, 0, 28], 6, 6, A), bits([124, 1, 21], 0, 0, A)]),
    (0x6550, &[bits([119, 0, 28], 5, 5, A), bits([124, 1, 21], 1, 1, A)]),
    // rom_set_loopback_gain
    (0x67C8, &[force(2, 1, 0x185), force(7, 1, A), force(2, 1, B), force(3, 1, C), force(3, 2, D)]),
    // rom_chip_v5_rx_init, rom_chip_v5_tx_init
    (
        0x711C,
        &[
            write(97, 1, 8, 17),
            write(97, 1, 6, 21),
            write(97, 1, 7, 81),
            write(100, 0, 4, 121),
            write(100, 0, 7, 123),
        ],
    ),
    (
        0x718C,
        &[
            write(107, 2, 1, 104),
            write(107, 2, 2, 15),
            write(107, 2, 3, 168),
            write(107, 2, 4, 6),
            write(107, 2, 5, 8),
            write(107, 2, 6, 184),
            write(107, 2, 7, 91),
            write(107, 2, 8, 4),
            write(107, 2, 9, 0),
            write(107, 2, 10, 116),
            write(107, 2, 11, 7),
        ],
    ),
    // rom_pbus_enter_debugmode, rom_pbus_exit_debugmode
    (0x7410, &[plain(slot::DEBUG_MODE, 0), plain(slot::RX_OFF, 1), plain(slot::TX_ON_LOW, A)]),
    (0x7448, &[plain(slot::TX_OFF, 0), plain(slot::RX_ON, 0), plain(slot::WORK_MODE, 0)]),
    // rom_pbus_xpd_rx_off, rx_on, tx_off, tx_on, tx_on__low_gain
    (0x7688, &[force(2, 1, A), force(3, 1, 0), force(3, 2, 0)]),
    (0x76CC, &[force(2, 1, 0x184), force(3, 2, 6)]),
    (0x76FC, &[force(6, 1, 0), force(1, 1, 12), force(2, 1, 0)]),
    (
        0x7740,
        &[force(2, 1, 1), force(7, 1, 95), force(0, 1, A), force(1, 1, 127), force(6, 1, 127)],
    ),
    (0x77A0, &[force(2, 1, 1), force(7, 1, 0), force(0, 1, A), force(1, 1, 127), force(6, 1, 127)]),
    // rom_restart_cal, rom_rfpll_reset
    (0x781C, &[write(98, 1, 0, 95), write(98, 1, 0, 127), write(98, 1, 0, 63)]),
    (
        0x7868,
        &[
            write(98, 1, 10, 166),
            write(98, 1, 10, 167),
            write(98, 1, 10, 165),
            write(99, 0, 1, 243),
            write(98, 1, 11, 192),
        ],
    ),
    // rom_sar_init, after a register of the RTC
    (0x6738, &[bits([108, 2, 0], 4, 4, 1), bits([108, 2, 1], 1, 0, 2)]),
];

/// The functions that call, by offset.
pub fn script(offset: u32) -> Option<Script> {
    Some(match offset {
        0x6738 => |frame, guest| {
            if frame.step == 0 {
                guest.modify(RTC_ANALOG, 0, 1 << 25)?;
            }
            sequence(frame, guest)
        },
        0x615C => dc_estimate,
        0x61B8 => power_detector,
        0x63B0 => power_db,
        0x678C => tx_scale,
        0x68B4 => start_tone,
        0x698C => stop_tone,
        0x6A1C => tone_power,
        0x6B10 => gating,
        0x729C => read_mask,
        0x730C => write_mask,
        0x737C => debug_mode,
        0x754C => rx_gain,
        0x7610 => |frame, guest| {
            let gain = frame.locals[0];
            let value = (gain & 31) << 4 | (gain >> 5 & 3) << 2 | gain >> 7 & 3;
            once(frame, guest, force(4, 1, value))
        },
        0x7648 => |frame, guest| {
            if frame.step == 0 {
                guest.modify(BUS, 1, 0)?;
                guest.modify(RADIO_MODE, 1 << 27, 0)?;
            }
            once(frame, guest, plain(slot::MAC_ON, 0))
        },
        0x78DC => write_sdm,
        0x7BF0 => dc_offsets,
        0x8264 => |frame, guest| {
            let fields = [([24, 5, 5], [25, 4, 0]), ([24, 3, 3], [25, 4, 0])];
            iq_register(frame, guest, fields, true)
        },
        0x8A70 => |frame, guest| {
            let fields = [([16, 0, 0], [16, 7, 3]), ([15, 6, 6], [17, 5, 0])];
            iq_register(frame, guest, fields, false)
        },
        0x8C6C => attenuation,
        _ if calls(offset).is_some() => sequence,
        _ => return None,
    })
}

fn calls(offset: u32) -> Option<Calls> {
    CALLS.iter().find(|(at, _)| *at == offset).map(|(_, calls)| *calls)
}

/// Calls the table's function at `slot`.
fn through(guest: &mut Guest, (slot, arguments): (u32, [u32; 6])) -> Done<Step> {
    let table = guest.load32(TABLE_AT)?;
    Ok(Step::Call(guest.load32(table.wrapping_add(slot))?, arguments))
}

/// One call and the end.
fn once(frame: &Frame, guest: &mut Guest, call: (u32, [u32; 6])) -> Done<Step> {
    if frame.step == 0 { through(guest, call) } else { Ok(Step::End(End::Plain)) }
}

/// The calls of a function that is nothing else, one at each step.
fn sequence(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let next = calls(frame.function).and_then(|calls| calls.get(frame.step as usize));
    match next {
        None => Ok(Step::End(End::Plain)),
        Some((slot, arguments)) => {
            let arguments = arguments.map(|value| match value {
                argument @ A..=D => frame.locals[(argument - A) as usize],
                value => value,
            });
            through(guest, (*slot, arguments))
        }
    }
}

/// rom_dc_iq_est(which, length, out)
fn dc_estimate(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [which, length, out, ..] = frame.locals;
    match frame.step {
        0 => through(guest, (slot::IQ_ENABLE, [which, length, 0, 0, 0, 0])),
        1 => {
            for n in [0, 4] {
                let sum = guest.load32(ESTIMATED + n)? as i32 >> 6;
                let mean = sum.checked_div(length.wrapping_add(1) as i32).unwrap_or(0);
                guest.store32(out.wrapping_add(n), mean as u32)?;
            }
            through(guest, plain(slot::IQ_DISABLE, 0))
        }
        _ => Ok(Step::End(End::Plain)),
    }
}

/// rom_en_pwdet(on)
fn power_detector(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 {
        return through(guest, plain(slot::SAR_INIT, 0));
    }
    guest.modify(SAR + 0xC, 1 << 21 | 1 << 23, 0)?;
    match frame.locals[0] {
        0 => guest.modify(SAR, 1, 0)?,
        1 => guest.modify(SAR, 0, 1)?,
        _ => {}
    }
    Ok(Step::End(End::Plain))
}

/// Where a frame has room for what a call gives back.
fn room(frame: &Frame) -> u32 {
    frame.address.wrapping_add(LOCALS_AT + 4 * 9)
}

/// rom_get_power_db(offset)
fn power_db(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let at = room(frame);
    match frame.step {
        0 => through(guest, (slot::SAR_DOUT, [at, at.wrapping_add(2), 0, 0, 0, 0])),
        1 => {
            let value = guest.load16(at)? as i16 as u32;
            through(guest, (slot::TO_DB, [value, 3, 0, 0, 0, 0]))
        }
        2 => {
            frame.locals[1] = frame.result;
            let value = guest.load16(at.wrapping_add(2))? as i16 as u32;
            through(guest, (slot::TO_DB, [value, 3, 0, 0, 0, 0]))
        }
        _ => {
            let ratio = frame.locals[1].wrapping_sub(frame.result);
            Ok(Step::End(End::Value(half(frame.locals[0].wrapping_add(ratio)))))
        }
    }
}

/// rom_set_ana_inf_tx_scale(scale): what of it others have to do.
fn tx_scale(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let scale = frame.locals[0];
    if frame.step == 0 {
        let here = 63u32.saturating_sub(scale) & 0xFF;
        return through(guest, bits([119, 0, 9], 7, 0, here));
    }
    Ok(Step::End(End::Value(scale.max(63))))
}

/// rom_start_tx_tone: three tones, each with its length (0: not this one), step and attenuation.
fn start_tone(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 {
        return through(guest, plain(slot::TX_CLOCK, 1));
    }
    let [on0, step0, low0, on1, step1, low1, ..] = frame.locals;
    // The other three are on the caller's stack, behind the frame.
    let stack = frame.address.wrapping_add(48);
    let on2 = guest.load32(stack)? & 0xFF;
    let step2 = guest.load32(stack.wrapping_add(4))? as i16 as u32;
    let low2 = guest.load32(stack.wrapping_add(8))?;
    let tones = [(on0, step0, low0), (on1, step1, low1), (on2, step2, low2)];
    for (at, (on, step, low)) in TONES.into_iter().zip(tones) {
        if on != 0 {
            let value = on << 18 | step | (256u32.wrapping_sub(low) & 0xFF) << 10;
            guest.modify(at, 0x0FFF_FFFF, value)?;
        }
    }
    Ok(Step::End(End::Plain))
}

/// rom_stop_tx_tone(which)
fn stop_tone(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 {
        let which = frame.locals[0];
        for (n, at) in (1..).zip(TONES) {
            if !(1..=3).contains(&which) || which == n {
                guest.modify(at, 1 << 18, 0)?;
            }
        }
    }
    once(frame, guest, plain(slot::TX_CLOCK, 0))
}

/// rom_txtone_linear_pwr(count, shift)
fn tone_power(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let at = room(frame);
    let [count, shift, ..] = frame.locals;
    if frame.step > 0 {
        let value = u32::from(guest.load16(at)?) as u16 as i16;
        let by = guest.load16(at.wrapping_add(2))? as i16;
        let value = i32::from(value).wrapping_shl(shift);
        let sum =
            frame.locals[2]
                .wrapping_add(value.wrapping_div(i32::from(if by == 0 { 1 } else { by })) as u32);
        frame.locals[2] = half(sum);
    } else {
        frame.locals[2] = 0;
    }
    if frame.step >= count & 0xFF {
        return Ok(Step::End(End::Value(frame.locals[2])));
    }
    through(guest, (slot::SAR_DOUT, [at, at.wrapping_add(2), 0, 0, 0, 0]))
}

/// rom_ana_inf_gating_en(on, first, second)
fn gating(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [on, first, second, ..] = frame.locals;
    let idle = u32::from(on & 1 == 0);
    let calls = [
        bits([119, 0, 0], 7, 0, first >> 12 & 0xFF),
        bits([119, 0, 1], 7, 0, first >> 4 & 0xFF),
        bits([119, 0, 2], 3, 0, first & 0xF),
        bits([119, 0, 4], 7, 0, second & 0xFF),
        bits([119, 0, 3], 7, 0, second >> 8 & 0xFF),
        bits([119, 0, 2], 7, 4, second >> 16 & 0xF),
        bits([119, 0, 15], 3, 3, idle),
        bits([119, 0, 24], 0, 0, idle),
        bits([119, 0, 28], 0, 0, on),
    ];
    if frame.step == 0 && on == 0 {
        frame.step = 6;
    }
    match calls.get(frame.step as usize) {
        Some(call) => through(guest, *call),
        None => Ok(Step::End(End::Plain)),
    }
}

/// rom_i2c_readReg_Mask(block, host, register, highest bit, lowest bit)
fn read_mask(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [block, host, register, high, low, ..] = frame.locals;
    if frame.step == 0 {
        return through(guest, (slot::READ, [block, host, register, 0, 0, 0]));
    }
    let mask = field(high, low);
    Ok(Step::End(End::Value(frame.result >> (low & 31) & mask & 0xFF)))
}

/// As many ones as the field from bit `high` to bit `low` is wide.
fn field(high: u32, low: u32) -> u32 {
    1u32.wrapping_shl(high.wrapping_sub(low).wrapping_add(1)).wrapping_sub(1)
}

/// rom_i2c_writeReg_Mask(block, host, register, highest bit, lowest bit, value)
fn write_mask(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let [block, host, register, high, low, value, ..] = frame.locals;
    match frame.step {
        0 => through(guest, (slot::READ, [block, host, register, 0, 0, 0])),
        1 => {
            let mask = field(high, low).wrapping_shl(low);
            let whole = (frame.result & !mask | value.wrapping_shl(low)) & 0xFF;
            through(guest, write(block, host, register, whole))
        }
        _ => Ok(Step::End(End::Plain)),
    }
}

/// rom_pbus_debugmode: the MAC sends nothing while the radio's parts are set by hand.
fn debug_mode(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 && guest.load32(BUS)? & 1 == 0 && guest.load32(MAC_STATE)? & 2 != 0 {
        // What the chip waits for then, the receiver's state, is not modelled: it is there.
        return through(guest, plain(slot::MAC_OFF, 0));
    }
    guest.modify(RADIO_MODE, 0, 1 << 27)?;
    guest.modify(BUS, 0, 1)?;
    Ok(Step::End(End::Plain))
}

/// rom_pbus_set_rxgain(gain)
fn rx_gain(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    let gain = frame.locals[0];
    let bit = |n: u32, to: u32| (gain >> n & 1) << to;
    match frame.step {
        0 => through(guest, (slot::BUS_READ, [3, 2, 0, 0, 0, 0])),
        1 => {
            frame.locals[1] = frame.result;
            through(guest, (slot::BUS_READ, [2, 1, 0, 0, 0, 0]))
        }
        2 => {
            frame.locals[2] = frame.result;
            let value =
                bit(3, 6) | bit(4, 5) | bit(5, 4) | bit(6, 3) | bit(7, 2) | bit(8, 1) | bit(9, 0);
            through(guest, force(3, 1, value))
        }
        3 => through(guest, force(3, 2, frame.locals[1] & 0x1C7 | (gain & 7) << 3)),
        4 => {
            let value = frame.locals[2] & 0x185 | (gain >> 11 & 15) << 3 | bit(8, 1);
            through(guest, force(2, 1, value))
        }
        _ => Ok(Step::End(End::Plain)),
    }
}

/// rom_write_rfpll_sdm(three bytes)
fn write_sdm(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    match frame.step {
        0 => through(guest, write(99, 0, 0, 7)),
        step @ 1..=3 => {
            let value = guest.load8(frame.locals[0].wrapping_add(step - 1))?;
            through(guest, write(99, 0, step + 2, value.into()))
        }
        4 => through(guest, write(99, 0, 0, 23)),
        _ => Ok(Step::End(End::Plain)),
    }
}

/// rom_pbus_dco___SA2: looks for the settings that leave no direct current. Here the middle leaves
/// none.
fn dc_offsets(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    const MIDDLE: u32 = 0x100;
    let out = frame.locals[1];
    match frame.step {
        0 => through(guest, force(4, 2, MIDDLE)),
        1 => through(guest, force(5, 2, MIDDLE)),
        step @ 2..=5 => {
            let n = (step - 2) / 2;
            if step % 2 == 0 {
                guest.store32(out.wrapping_add(4 * n), MIDDLE << 16 | MIDDLE)?;
            }
            through(guest, force(4 + step % 2, n + 1, MIDDLE))
        }
        _ => Ok(Step::End(End::Plain)),
    }
}

/// rom_rfcal_rxiq_set_reg(value, out, which, flag) and rom_rfcal_txiq_set_reg(value, which, flag): sign and
/// size go into registers; for each `which` the fields of both, as register, highest and lowest bit.
fn iq_register(
    frame: &mut Frame,
    guest: &mut Guest,
    fields: [([u32; 3], [u32; 3]); 2],
    receive: bool,
) -> Done<Step> {
    let (which, flag) = if receive {
        (frame.locals[2], frame.locals[3])
    } else {
        (frame.locals[1], frame.locals[2])
    };
    let limit = if which == 0 { 31 } else { 15 };
    let given = frame.locals[0] as i32;
    let value =
        if flag == 0 { given.clamp(-limit, limit) } else { given.saturating_abs().min(limit) };
    let negative = u32::from(given < 0);
    let (sign, size) = fields[usize::from(which == 0)];
    let [sign_call, size_call] = [(sign, negative), (size, value as u32)].map(|(at, value)| {
        let value = value & field(at[1], at[2]);
        bits([119, 0, at[0]], at[1], at[2], value)
    });
    // The receiver's other value lies in two registers.
    let split = receive && which == 0;
    match (frame.step, flag) {
        (0, 0) => {
            frame.step = 1;
            first_size(guest, split, value as u32, size_call)
        }
        (0, _) => {
            if receive {
                guest.store8(frame.locals[1], negative as u8)?;
            }
            through(guest, sign_call)
        }
        (1, _) => first_size(guest, split, value as u32, size_call),
        (2, _) if split => through(guest, bits([119, 0, 26], 2, 0, value as u32 & 7)),
        _ => {
            let value = if flag != 0 && negative != 0 { -value } else { value };
            Ok(Step::End(End::Value(byte(value as u32))))
        }
    }
}

fn first_size(guest: &mut Guest, split: bool, value: u32, call: (u32, [u32; 6])) -> Done<Step> {
    through(guest, if split { bits([119, 0, 25], 7, 5, value >> 3 & 7) } else { call })
}

/// rom_set_txbb_atten(table of indices, count, attenuations)
fn attenuation(frame: &mut Frame, guest: &mut Guest) -> Done<Step> {
    if frame.step == 0 {
        return through(guest, bits([119, 0, 9], 7, 0, 0));
    }
    let [indices, _, values, ..] = frame.locals;
    for n in 0..24 {
        let value = if n < 8 {
            guest.load8(values)?.wrapping_add(guest.load8(indices)?)
        } else {
            let index = guest.load8(indices.wrapping_add(n - 7))?;
            guest.load8(values.wrapping_add(index.into()))?
        };
        guest.modify(ATTENUATION + 4 * n, 0xFF, (256 - u32::from(value)) & 0xFF)?;
    }
    Ok(Step::End(End::Plain))
}
