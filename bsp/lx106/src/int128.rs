//! 128-bit division.
//!
//! LLVM's calls of these functions pass the operands word by word, as Xtensa's ABI would:
//! six words in a2-a7, two on the stack. The same LLVM compiles a function that takes two
//! `u128` so that it looks for the whole second one on the stack. compiler_builtins' own
//! functions of these names therefore divide by garbage; these take words.

/// Quotient and remainder by long division, bit by bit. No `/` or `%` here: they call the
/// functions below.
fn divide(dividend: u128, divisor: u128) -> (u128, u128) {
    if dividend < divisor {
        return (0, dividend);
    }
    // Rust has excluded a divisor of zero.
    let shift = divisor.leading_zeros() - dividend.leading_zeros();
    let (mut rest, mut part, mut quotient) = (dividend, divisor << shift, 0);
    for _ in 0..=shift {
        quotient <<= 1;
        if rest >= part {
            rest -= part;
            quotient |= 1;
        }
        part >>= 1;
    }
    (quotient, rest)
}

fn join(words: [u32; 4]) -> u128 {
    words.iter().rev().fold(0, |number, word| number << 32 | u128::from(*word))
}

/// Defines a function that LLVM calls: two operands of four words, least significant first.
macro_rules! call {
    ($name:ident, $result:ty, |$dividend:ident, $divisor:ident| $body:expr) => {
        #[unsafe(no_mangle)]
        #[allow(clippy::too_many_arguments)]
        extern "C" fn $name(
            n0: u32,
            n1: u32,
            n2: u32,
            n3: u32,
            d0: u32,
            d1: u32,
            d2: u32,
            d3: u32,
        ) -> $result {
            let ($dividend, $divisor) = (join([n0, n1, n2, n3]), join([d0, d1, d2, d3]));
            $body
        }
    };
}

call!(__udivti3, u128, |n, d| divide(n, d).0);
call!(__umodti3, u128, |n, d| divide(n, d).1);

call!(__divti3, i128, |n, d| {
    let (n, d) = (n.cast_signed(), d.cast_signed());
    let quotient = divide(n.unsigned_abs(), d.unsigned_abs()).0.cast_signed();
    if (n < 0) == (d < 0) { quotient } else { quotient.wrapping_neg() }
});

// The remainder has the dividend's sign.
call!(__modti3, i128, |n, d| {
    let (n, d) = (n.cast_signed(), d.cast_signed());
    let remainder = divide(n.unsigned_abs(), d.unsigned_abs()).1.cast_signed();
    if n < 0 { remainder.wrapping_neg() } else { remainder }
});
