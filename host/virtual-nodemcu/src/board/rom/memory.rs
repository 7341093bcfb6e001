//! Memory, strings and integer arithmetic.

use super::functions::Words;
use super::guest::{Done, End, Guest, Refused};
use crate::cpu::Cause;

/// The pointer to the C library's reentrancy structure, and that.
const REENT: u32 = 0x3FFF_C6F8;
const REENT_AT: u32 = 0x3FFF_C2F8;

/// Division by zero: an illegal instruction of the ROM, in __udivsi3 (which the functions for 64 bits
/// use), __umodsi3 and __divsi3.
const BY_ZERO: [Refused; 3] = [by_zero(0x4000_E25D), by_zero(0x4000_E296), by_zero(0x4000_DCE5)];

const fn by_zero(address: u32) -> Refused {
    Refused { cause: Cause::IllegalInstruction, address }
}

/// The seed of rand() when a program starts.
pub fn initialise(words: &mut Words) {
    words.set(REENT, REENT_AT);
    words.set(REENT_AT + 168, 1);
}

/// The sign of a comparison as C functions return it.
fn difference(left: &[u8], right: &[u8]) -> u32 {
    let pair = left.iter().zip(right).find(|(a, b)| a != b);
    pair.map_or(0, |(a, b)| (i32::from(*a) - i32::from(*b)) as u32)
}

/// A hexadecimal digit as the ROM reads it: any letter is one; 0xFF is none.
fn hex_digit(character: u32) -> i32 {
    let digit = match character {
        0x30..=0x39 => character.wrapping_sub(0x30),
        0x61..=0x66 => character.wrapping_sub(87),
        0x41..=0x46 => character.wrapping_sub(55),
        _ => return -1,
    };
    digit as i32
}

fn long(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, a5, ..] = guest.arguments();
    Ok(Some(match offset {
        // memcpy, ets_memcpy, xthal_memcpy, memmove, ets_memmove
        0xDF48 | 0x18B4 | 0x06C4 | 0xE04C | 0x18C4 => {
            let words = a2.is_multiple_of(4);
            let bytes = guest.load_bytes(a3, a4)?;
            guest.store_bytes(a2, &bytes, words)?;
            End::Value(a2)
        }
        // xthal_bcopy(from, to, count)
        0x0688 => {
            let words = a3.is_multiple_of(4);
            let bytes = guest.load_bytes(a2, a4)?;
            guest.store_bytes(a3, &bytes, words)?;
            End::Plain
        }
        // memset, ets_memset, bzero, ets_bzero
        0xE190 | 0x18A4 => {
            guest.fill(a2, a3 as u8, a4)?;
            End::Value(a2)
        }
        0xDE84 | 0x2AE8 => guest.fill(a2, 0, a3).map(End::plain)?,
        // memcmp, ets_memcmp
        0xDEA8 | 0x18D4 => {
            let left = guest.load_bytes(a2, a4)?;
            let right = guest.load_bytes(a3, a4)?;
            End::Value(difference(&left, &right))
        }
        // strlen, ets_strlen
        0xBF4C | 0x2AC8 => End::Value(guest.load_string(a2, u32::MAX)?.len() as u32),
        // strcpy, ets_strcpy
        0xBEC8 | 0x2A88 => {
            let mut text = guest.load_string(a3, u32::MAX)?;
            text.push(0);
            guest.store_bytes(a2, &text, false)?;
            End::Value(a2)
        }
        // strncpy, ets_strncpy
        0xC0A0 | 0x2A98 => {
            let text = guest.load_string(a3, a4)?;
            guest.store_bytes(a2, &text, false)?;
            let written = text.len() as u32;
            let rest = vec![0; a4.saturating_sub(written).min(0x40_0000) as usize];
            guest.store_bytes(a2.wrapping_add(written), &rest, false)?;
            End::Value(a2)
        }
        // strcmp, ets_strcmp, strncmp, ets_strncmp
        0xBDC8 | 0x2AA8 | 0xBFA8 | 0x2AB8 => {
            let limit = if matches!(offset, 0xBFA8 | 0x2AB8) { a4 } else { u32::MAX };
            let mut left = guest.load_string(a2, limit)?;
            let mut right = guest.load_string(a3, limit)?;
            left.push(0);
            right.push(0);
            End::Value(difference(&left, &right))
        }
        // strstr, ets_strstr
        0xE1E0 | 0x2AD8 => {
            let text = guest.load_string(a2, u32::MAX)?;
            let sought = guest.load_string(a3, u32::MAX)?;
            let at = if sought.is_empty() {
                Some(0)
            } else {
                text.windows(sought.len()).position(|part| part == sought)
            };
            End::Value(at.map_or(0, |at| a2.wrapping_add(at as u32)))
        }
        // ets_char2xdigit(character), ets_str2macaddr(out, text)
        0x2B74 => End::Value(hex_digit(a2) as u32),
        0x2AF8 => {
            let mut at = a3;
            while matches!(guest.load8(at)?, b' ' | b'\t') {
                at = at.wrapping_add(1);
            }
            let mut good = true;
            for n in 0..6 {
                let high = hex_digit(guest.load8(at)?.into());
                let low = hex_digit(guest.load8(at.wrapping_add(1))?.into());
                if high < 0 || low < 0 {
                    good = false;
                    break;
                }
                guest.store8(a2.wrapping_add(n), (high << 4 | low) as u8)?;
                at = at.wrapping_add(3);
            }
            End::Value(if good { a2 } else { 0 })
        }
        // roundup2(value, power of two), multofup(value, unit)
        0x31B4 => End::Value(a2.wrapping_add(a3).wrapping_sub(1) & a3.wrapping_neg()),
        0x31C0 => {
            let sum = a2.wrapping_add(a3).wrapping_sub(1);
            End::Value(sum.checked_div(a3).ok_or(BY_ZERO[0])?)
        }
        // srand, rand: the state lies in the C library's reentrancy structure.
        0x05F0 => {
            let at = guest.load32(REENT)?;
            guest.store32(at.wrapping_add(168), a2)?;
            guest.store32(at.wrapping_add(172), 0)?;
            End::Plain
        }
        0x0600 => {
            let at = guest.load32(REENT)?;
            let (low, high) =
                (guest.load32(at.wrapping_add(168))?, guest.load32(at.wrapping_add(172))?);
            let next = long(low, high).wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            guest.store32(at.wrapping_add(168), next as u32)?;
            guest.store32(at.wrapping_add(172), (next >> 32) as u32)?;
            End::Value((next >> 32) as u32 & 0x7FFF_FFFF)
        }
        // __udivsi3, __umodsi3, __divsi3, __umulsidi3, __muldi3, __udivdi3, __umoddi3, __divdi3
        0xE21C => End::Value(a2.checked_div(a3).ok_or(BY_ZERO[0])?),
        0xE268 => End::Value(a2.checked_rem(a3).ok_or(BY_ZERO[1])?),
        0xDC88 if a3 == 0 => return Err(BY_ZERO[2]),
        0xDC88 => End::Value((a2 as i32).wrapping_div(a3 as i32) as u32),
        0xDCF0 => End::Wide(u64::from(a2) * u64::from(a3)),
        0x0650 => End::Wide(long(a2, a3).wrapping_mul(long(a4, a5))),
        0xD310 => End::Wide(long(a2, a3).checked_div(long(a4, a5)).ok_or(BY_ZERO[0])?),
        0xD770 => End::Wide(long(a2, a3).checked_rem(long(a4, a5)).ok_or(BY_ZERO[0])?),
        0xCE60 if long(a4, a5) == 0 => return Err(BY_ZERO[0]),
        0xCE60 => {
            let (left, right) = (long(a2, a3) as i64, long(a4, a5) as i64);
            End::Wide(left.wrapping_div(right) as u64)
        }
        _ => return Ok(None),
    }))
}
