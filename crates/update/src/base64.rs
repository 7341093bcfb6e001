//! Base64 (RFC 4648, section 4), as job documents carry signatures, and the DER of an ECDSA
//! signature (RFC 3279, 2.2.3).

/// Decodes into `out`; the bytes that were decoded. None when the text is not base64, is not padded,
/// or does not fit. A slash may have a backslash before it, as JSON allows.
pub fn decode<'a>(text: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let (mut bits, mut count, mut length, mut padding) = (0_u32, 0, 0, 0);
    let (mut digits, mut escaped) = (0_usize, false);
    for digit in text.iter().copied() {
        if digit == b'\\' {
            escaped = true;
            continue;
        }
        if core::mem::take(&mut escaped) && digit != b'/' {
            return None;
        }
        digits += 1;
        if digit == b'=' {
            padding += 1;
            continue;
        }
        bits = bits << 6 | value(digit).filter(|_| padding == 0)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            *out.get_mut(length)? = (bits >> count) as u8;
            length += 1;
        }
    }
    // What padding cuts off is zero, or two texts would mean the same.
    let whole = digits.is_multiple_of(4) && 2 * padding == count;
    (whole && bits & ((1 << count) - 1) == 0).then(|| out.get(..length))?
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// The numbers r and s of a DER signature on P-256, 32 bytes each.
#[must_use]
pub fn signature(der: &[u8]) -> Option<[u8; 64]> {
    let [0x30, length, rest @ ..] = der else { return None };
    if usize::from(*length) != rest.len() || *length >= 0x80 {
        return None;
    }
    let mut both = [0; 64];
    let rest = number(rest, &mut both[..32])?;
    let rest = number(rest, &mut both[32..])?;
    rest.is_empty().then_some(both)
}

/// Takes one positive INTEGER off; the rest.
fn number<'a>(der: &'a [u8], out: &mut [u8]) -> Option<&'a [u8]> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (mut digits, rest) = rest.split_at_checked(usize::from(*length))?;
    match digits {
        // In its shortest form: a zero only where the next byte would make it negative.
        [0, next @ 0x80..=0xFF, ..] => {
            let _ = next;
            digits = &digits[1..];
        }
        [0x01..=0x7F, ..] => {}
        _ => return None,
    }
    let start = out.len().checked_sub(digits.len())?;
    out[start..].copy_from_slice(digits);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_rfc() {
        let mut out = [0; 16];
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("Zm9vYmE=", b"fooba"),
            ("Zm9vYmFy", b"foobar"),
        ] {
            assert_eq!(decode(text.as_bytes(), &mut out), Some(bytes));
        }
        for text in ["Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zm 9", "Zm9v\n"]
        {
            assert_eq!(decode(text.as_bytes(), &mut out), None, "{text}");
        }
        assert_eq!(decode(b"Zm9vYmFy", &mut [0; 5]), None);
    }

    #[test]
    fn signatures_are_two_numbers() {
        let mut der = [0; 71];
        der[..5].copy_from_slice(&[0x30, 69, 0x02, 0x21, 0]);
        der[5..37].fill(0x80);
        der[37..39].copy_from_slice(&[0x02, 32]);
        der[39..].fill(0x7F);
        let both = signature(&der).unwrap();
        assert!(both[..32].iter().all(|byte| *byte == 0x80));
        assert!(both[32..].iter().all(|byte| *byte == 0x7F));
        // Short numbers are filled up.
        let both = signature(&[0x30, 6, 2, 1, 5, 2, 1, 6]).unwrap();
        assert_eq!((both[31], both[63]), (5, 6));
        assert!(both[..31].iter().chain(&both[32..63]).all(|byte| *byte == 0));
        for der in [
            &[][..],
            &[0x30, 0],
            &[0x30, 6, 2, 1, 5, 2, 1],
            &[0x30, 7, 2, 1, 5, 2, 1, 6, 0],
            &[0x30, 6, 2, 1, 0, 2, 1, 6],
            &[0x30, 6, 2, 1, 0x85, 2, 1, 6],
            &[0x30, 7, 2, 2, 0, 5, 2, 1, 6],
            &[0x31, 6, 2, 1, 5, 2, 1, 6],
        ] {
            assert_eq!(signature(der), None, "{der:x?}");
        }
        for length in 0..der.len() {
            assert_eq!(signature(&der[..length]), None);
        }
    }
}
