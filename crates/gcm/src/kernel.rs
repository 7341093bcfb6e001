//! What nearly all of the time is spent on: a block of AES, and a multiplication in GCM's field.

use crate::Words;

/// The multiples of a hash key by all nibbles; see [`crate::Key`].
pub type Table = [u32; 64];

#[cfg(target_arch = "xtensa")]
pub use lx106::{encrypt, multiply};
#[cfg(not(target_arch = "xtensa"))]
pub use portable::{encrypt, multiply};

/// SubBytes and MixColumns of a byte in row 0: 2s, s, s, 3s, the lowest byte first. The other
/// rows are rotations of it.
///
/// On the chip it lies in IRAM, which like DRAM has no cache in front of it, and of which there is
/// more. IRAM is read by words only.
#[cfg_attr(target_arch = "xtensa", unsafe(link_section = ".iram.text.aes_table"))]
static COLUMNS: [u32; 256] = columns();

const fn columns() -> [u32; 256] {
    let mut table = [0; 256];
    // 3 generates all numbers of the field but 0, and 0xF6 is its inverse: `inverse` is that of
    // `power` all the way round.
    let (mut power, mut inverse) = (1_u8, 1_u8);
    let mut i = 0;
    while i < 255 {
        table[power as usize] = column(substituted(inverse));
        power ^= double(power);
        // Divided by 3, which is multiplied by 0xF6.
        inverse ^= inverse << 1;
        inverse ^= inverse << 2;
        inverse ^= inverse << 4;
        if inverse & 0x80 != 0 {
            inverse ^= 0x09;
        }
        i += 1;
    }
    table[0] = column(substituted(0));
    table
}

const fn double(a: u8) -> u8 {
    (a << 1) ^ ((a >> 7) * 0x1B)
}

/// The affine part of SubBytes (FIPS 197, 5.1.1).
const fn substituted(a: u8) -> u8 {
    a ^ a.rotate_left(1) ^ a.rotate_left(2) ^ a.rotate_left(3) ^ a.rotate_left(4) ^ 0x63
}

const fn column(s: u8) -> u32 {
    let twice = double(s);
    u32::from_le_bytes([twice, s, s, twice ^ s])
}

/// SubBytes of each byte of a word.
pub fn substitute(word: u32) -> u32 {
    u32::from_le_bytes(word.to_le_bytes().map(|byte| {
        let entry = &raw const COLUMNS[usize::from(byte)];
        // SAFETY: an entry of the table. Volatile, so that no load of its second byte alone
        // comes of it.
        let column = unsafe { entry.read_volatile() };
        (column >> 8) as u8
    }))
}

/// `bsp/lx106/c/aes.S` and `ghash.S`.
#[cfg(target_arch = "xtensa")]
mod lx106 {
    use super::{COLUMNS, Table, Words};

    unsafe extern "C" {
        fn aes_encrypt(
            out: *mut Words,
            block: *const Words,
            keys: *const u32,
            rounds: u32,
            columns: *const u32,
        );
        fn ghash_multiply(hash: *mut Words, table: *const Table);
    }

    /// Encrypts a block.
    pub fn encrypt(keys: &[u32; 60], rounds: u32, block: &Words) -> Words {
        let mut out = [0; 4];
        // SAFETY: reads a block, 4 * (rounds + 1) <= 60 words of keys and the table; writes a
        // block.
        unsafe { aes_encrypt(&mut out, block, keys.as_ptr(), rounds, COLUMNS.as_ptr()) };
        out
    }

    /// Multiplies by the hash key.
    pub fn multiply(hash: &mut Words, table: &Table) {
        // SAFETY: changes a block, reads the table.
        unsafe { ghash_multiply(hash, table) };
    }
}

/// The same in Rust, step by step.
#[cfg(not(target_arch = "xtensa"))]
mod portable {
    use super::{COLUMNS, Table, Words, substitute};

    pub fn encrypt(keys: &[u32; 60], rounds: u32, block: &Words) -> Words {
        let (round_keys, _) = keys.as_chunks::<4>();
        let mut state: Words = core::array::from_fn(|i| block[i] ^ round_keys[0][i]);
        let last = rounds as usize;
        for keys in &round_keys[1..last] {
            // ShiftRows: row r of a column comes from the column r further on.
            state = core::array::from_fn(|i| {
                (0..4).rev().fold(0_u32, |sum, row| {
                    let byte = state[(i + row) % 4].to_le_bytes()[row];
                    sum.rotate_left(8) ^ COLUMNS[usize::from(byte)]
                }) ^ keys[i]
            });
        }
        core::array::from_fn(|i| {
            let bytes = core::array::from_fn(|row| state[(i + row) % 4].to_le_bytes()[row]);
            substitute(u32::from_le_bytes(bytes)) ^ round_keys[last][i]
        })
    }

    /// What four bits that leave at the low end are worth at the high end.
    const REDUCTION: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let (mut bits, mut bit) = (0, 0);
            while bit < 4 {
                if i >> bit & 1 != 0 {
                    bits ^= 0xE100_0000 >> (3 - bit);
                }
                bit += 1;
            }
            table[i] = bits;
            i += 1;
        }
        table
    };

    pub fn multiply(hash: &mut Words, table: &Table) {
        let mut sum = [0_u32; 4];
        // From the highest power down, which is the last byte's lower half.
        for byte in hash.iter().flat_map(|word| word.to_le_bytes()).rev() {
            for nibble in [byte & 15, byte >> 4] {
                let [a, b, c, d] = sum;
                let out = REDUCTION[(d & 15) as usize];
                sum = [a >> 4 ^ out, a << 28 | b >> 4, b << 28 | c >> 4, c << 28 | d >> 4];
                let at = usize::from(nibble) * 2;
                for (word, at) in sum.iter_mut().zip([at, at + 1, at + 32, at + 33]) {
                    *word ^= table[at];
                }
            }
        }
        *hash = sum.map(u32::swap_bytes);
    }
}
