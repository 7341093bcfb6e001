//! Floating point: what the core has no instructions for, by IEEE 754, to the nearest.

use super::guest::{End, Guest};

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Option<End> {
    let [a2, a3, a4, a5, ..] = guest.arguments();
    let single = |a: u32, b: u32| (f32::from_bits(a), f32::from_bits(b));
    let one = f64::from_bits(u64::from(a3) << 32 | u64::from(a2));
    let other = f64::from_bits(u64::from(a5) << 32 | u64::from(a4));
    let narrow = |value: f32| End::Value(value.to_bits());
    let wide = |value: f64| End::Wide(value.to_bits());
    let (x, y) = single(a2, a3);
    Some(match offset {
        // __addsf3, __subsf3, __mulsf3
        0xC180 => narrow(x + y),
        0xC268 => narrow(x - y),
        0xC3DC => narrow(x * y),
        // __adddf3, __subdf3, __muldf3, __divdf3
        0xC538 => wide(one + other),
        0xC688 => wide(one - other),
        0xC8F0 => wide(one * other),
        0xCB94 => wide(one / other),
        // __floatunsisf, __floatsisf, __floatunsidf, __floatsidf
        0xE2A4 => narrow(a2 as f32),
        0xE2AC => narrow(a2 as i32 as f32),
        0xE2E8 => wide(f64::from(a2)),
        0xE2F0 => wide(f64::from(a2 as i32)),
        // __extendsfdf2, __truncdfsf2
        0xCDFC => wide(f64::from(x)),
        0xCD5C => narrow(one as f32),
        // __fixunssfsi, __fixdfsi, __fixunsdfsi
        0xC4C4 => End::Value(to_unsigned(f64::from(x))),
        0xCCB8 => End::Value(to_signed(one) as u32),
        0xCD00 => End::Value(to_unsigned(one)),
        _ => return None,
    })
}

/// Too large for the type is its largest or smallest; no number is its largest, as in the ROM.
fn to_signed(value: f64) -> i32 {
    if value.is_nan() { i32::MAX } else { value as i32 }
}

/// Negative ones wrap, as far as a signed word goes; beyond either end it is the end.
fn to_unsigned(value: f64) -> u32 {
    if value.is_nan() {
        return u32::MAX;
    }
    if value < 0.0 { value as i32 as u32 } else { value as u32 }
}
