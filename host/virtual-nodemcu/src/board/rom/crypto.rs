//! Hashes and ciphers. Their contexts lie in the program's memory, which copies them.

use aes::Aes128;
use aes::cipher::{BlockDecrypt as _, KeyInit as _};

use super::functions::Words;
use super::guest::{Done, End, Guest, Refused};
use crate::cpu::Cause;

/// Tables of AES that programs use by their addresses.
const TE0: u32 = 0x3FFF_CCF0;
const RCON: u32 = 0x3FFF_D0F0;
const TD0: u32 = 0x3FFF_D100;
const TD4S: u32 = 0x3FFF_D500;
/// Where aes_decrypt_init puts its schedule.
const DECRYPTION: u32 = 0x3FFF_EA80;
/// Most parts of a message that the functions take.
const MOST_PARTS: u32 = 6;

/// Multiplication by x in AES's field.
const fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 != 0 { 0x1B } else { 0 }
}

const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// FIPS 197, 5.1.1.
const fn sbox() -> [u8; 256] {
    let mut table = [0; 256];
    let mut x = 0;
    while x < 256 {
        let mut inverse = 0u8;
        let mut y = 1;
        while y < 256 {
            if multiply(x as u8, y as u8) == 1 {
                inverse = y as u8;
            }
            y += 1;
        }
        let i = inverse;
        table[x] =
            i ^ i.rotate_left(1) ^ i.rotate_left(2) ^ i.rotate_left(3) ^ i.rotate_left(4) ^ 0x63;
        x += 1;
    }
    table
}

static SBOX: [u8; 256] = sbox();

/// The inverse of SBOX.
fn inverse() -> [u8; 256] {
    let mut table = [0; 256];
    for (x, y) in (0..=255).zip(SBOX) {
        table[usize::from(y)] = x;
    }
    table
}

/// A column of decryption's table: the inverse of MixColumns on one byte.
fn unmix(x: u8) -> u32 {
    u32::from_be_bytes([multiply(x, 14), multiply(x, 9), multiply(x, 13), multiply(x, 11)])
}

/// The tables as they are when a program starts.
pub fn initialise(words: &mut Words) {
    let inverse = inverse();
    for n in 0..256 {
        let s = SBOX[n as usize];
        let column = [double(s), s, s, double(s) ^ s];
        words.set(TE0 + 4 * n, u32::from_be_bytes(column));
        words.set(TD0 + 4 * n, unmix(inverse[n as usize]));
    }
    let mut power = 1;
    for n in 0..10 {
        words.set_byte(RCON + n, power);
        power = double(power);
    }
    for (at, byte) in (TD4S..).zip(inverse) {
        words.set_byte(at, byte);
    }
}

/// A hash whose state lies in the program's memory: words of state, length in bits, a block.
struct Hash {
    words: u32,
    start: &'static [u32],
    /// Where the length's low and high word lie.
    length: (u32, u32),
    big_endian: bool,
    /// Whether each block passes through the context's buffer, where it stays, or only the first of
    /// an update.
    copies: bool,
    compress: fn(&mut [u32], &[u8; 64]),
}

const MD5: Hash = Hash {
    words: 4,
    start: &[0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476],
    length: (16, 20),
    big_endian: false,
    copies: true,
    compress: md5_block,
};
const SHA1: Hash = Hash {
    words: 5,
    start: &[0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0],
    length: (20, 24),
    big_endian: true,
    copies: false,
    compress: sha1_block,
};

/// RFC 1321, 3.4.
fn md5_block(state: &mut [u32], block: &[u8; 64]) {
    const SHIFTS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let word = |n: usize| {
        u32::from_le_bytes([block[4 * n], block[4 * n + 1], block[4 * n + 2], block[4 * n + 3]])
    };
    let [mut a, mut b, mut c, mut d] = [state[0], state[1], state[2], state[3]];
    for n in 0..64 {
        let (mixed, at) = match n / 16 {
            0 => (b & c | !b & d, n),
            1 => (d & b | !d & c, 5 * n + 1),
            2 => (b ^ c ^ d, 3 * n + 5),
            _ => (c ^ (b | !d), 7 * n),
        };
        // 2^32 times the absolute value of the sine of n + 1.
        let constant = (((n + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let sum = a.wrapping_add(mixed).wrapping_add(constant).wrapping_add(word(at % 16));
        let rotated = sum.rotate_left(SHIFTS[n / 16][n % 4]);
        (a, d, c, b) = (d, c, b, b.wrapping_add(rotated));
    }
    for (word, value) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(value);
    }
}

fn sha1_block(state: &mut [u32], block: &[u8; 64]) {
    let mut whole = [state[0], state[1], state[2], state[3], state[4]];
    sha1::compress(&mut whole, &[(*block).into()]);
    state.copy_from_slice(&whole);
}

impl Hash {
    fn begin(&self, context: u32, guest: &mut Guest) -> Done<()> {
        for (at, word) in (context..).step_by(4).zip(self.start) {
            guest.store32(at, *word)?;
        }
        guest.store32(context.wrapping_add(self.length.0), 0)?;
        guest.store32(context.wrapping_add(self.length.1), 0)
    }

    fn buffer(&self, context: u32) -> u32 {
        context.wrapping_add(4 * self.words + 8)
    }

    fn block(&self, context: u32, block: &[u8; 64], guest: &mut Guest) -> Done<()> {
        let mut state = Vec::new();
        for n in 0..self.words {
            state.push(guest.load32(context.wrapping_add(4 * n))?);
        }
        (self.compress)(&mut state, block);
        for (at, word) in (context..).step_by(4).zip(state) {
            guest.store32(at, word)?;
        }
        Ok(())
    }

    fn update(&self, context: u32, bytes: &[u8], guest: &mut Guest) -> Done<()> {
        let (low_at, high_at) =
            (context.wrapping_add(self.length.0), context.wrapping_add(self.length.1));
        let bits = u64::from(guest.load32(high_at)?) << 32 | u64::from(guest.load32(low_at)?);
        let after = bits.wrapping_add(8 * bytes.len() as u64);
        guest.store32(low_at, after as u32)?;
        guest.store32(high_at, (after >> 32) as u32)?;
        let used = (bits >> 3 & 63) as u32;
        let buffer = self.buffer(context);
        let mut data = guest.load_bytes(buffer, used)?;
        data.extend(bytes);
        let mut chunks = data.chunks_exact(64);
        let mut passes = true;
        for chunk in &mut chunks {
            let mut block = [0; 64];
            block.copy_from_slice(chunk);
            if passes {
                guest.store_bytes(buffer, &block, false)?;
            }
            passes = self.copies;
            self.block(context, &block, guest)?;
        }
        guest.store_bytes(buffer, chunks.remainder(), false)
    }

    fn end(&self, context: u32, digest: u32, guest: &mut Guest) -> Done<()> {
        let low = guest.load32(context.wrapping_add(self.length.0))?;
        let high = guest.load32(context.wrapping_add(self.length.1))?;
        let bits = u64::from(high) << 32 | u64::from(low);
        let used = (bits >> 3 & 63) as usize;
        let mut padding = vec![0x80];
        padding.resize(if used < 56 { 56 - used } else { 120 - used }, 0);
        padding.extend(if self.big_endian { bits.to_be_bytes() } else { bits.to_le_bytes() });
        self.update(context, &padding, guest)?;
        // The length stays the message's.
        guest.store32(context.wrapping_add(self.length.0), low)?;
        guest.store32(context.wrapping_add(self.length.1), high)?;
        for n in 0..self.words {
            let word = guest.load32(context.wrapping_add(4 * n))?;
            let bytes = if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
            guest.store_bytes(digest.wrapping_add(4 * n), &bytes, false)?;
        }
        Ok(())
    }

    /// The hash of bytes.
    fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut state = self.start.to_vec();
        let mut data = bytes.to_vec();
        data.push(0x80);
        while data.len() % 64 != 56 {
            data.push(0);
        }
        let bits = 8 * bytes.len() as u64;
        data.extend(if self.big_endian { bits.to_be_bytes() } else { bits.to_le_bytes() });
        for chunk in data.chunks_exact(64) {
            let mut block = [0; 64];
            block.copy_from_slice(chunk);
            (self.compress)(&mut state, &block);
        }
        let order = |w: &u32| if self.big_endian { w.to_be_bytes() } else { w.to_le_bytes() };
        state.iter().flat_map(order).collect()
    }

    /// RFC 2104.
    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = if key.len() > 64 { self.of(key) } else { key.to_vec() };
        block.resize(64, 0);
        let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
        let inner = self.of(&[&pad(0x36), message].concat());
        self.of(&[&pad(0x5C)[..], &inner].concat())
    }
}

/// The parts of a message: addresses and lengths in two tables.
fn parts(guest: &mut Guest, count: u32, addresses: u32, lengths: u32) -> Done<Vec<u8>> {
    let mut whole = Vec::new();
    for n in 0..count {
        let at = guest.load32(addresses.wrapping_add(n.wrapping_mul(4)))?;
        let length = guest.load32(lengths.wrapping_add(n.wrapping_mul(4)))?;
        whole.extend(guest.load_bytes(at, length)?);
        if whole.len() > 0x40_0000 {
            return Err(Refused { cause: Cause::LoadProhibited, address: at });
        }
    }
    Ok(whole)
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let [a2, a3, a4, a5, a6, a7] = guest.arguments();
    Ok(Some(match offset {
        // MD5Init(context), MD5Update(context, data, length), MD5Final(digest, context)
        0x9818 | 0xB584 => {
            let hash = if offset == 0x9818 { MD5 } else { SHA1 };
            hash.begin(a2, guest)?;
            End::Plain
        }
        // The same for SHA-1.
        0x9834 | 0xB5A8 => {
            let hash = if offset == 0x9834 { MD5 } else { SHA1 };
            let bytes = guest.load_bytes(a3, a4)?;
            hash.update(a2, &bytes, guest)?;
            End::Plain
        }
        0x9900 | 0xB648 => {
            let hash = if offset == 0x9900 { MD5 } else { SHA1 };
            hash.end(a3, a2, guest)?;
            // Nothing of the message stays; MD5Final takes the context for as large as a pointer.
            guest.fill(a3, 0, if offset == 0x9900 { 4 } else { 92 })?;
            End::Plain
        }
        // SHA1Transform(state, block)
        0xA364 => {
            let mut block = [0; 64];
            block.copy_from_slice(&guest.load_bytes(a3, 64)?);
            SHA1.block(a2, &block, guest)?;
            End::Plain
        }
        // md5_vector, sha1_vector(count, addresses, lengths, digest)
        0x97AC | 0xA2EC => {
            let hash = if offset == 0x97AC { MD5 } else { SHA1 };
            let message = parts(guest, a2, a3, a4)?;
            guest.store_bytes(a5, &hash.of(&message), false)?;
            End::Value(0)
        }
        // hmac_md5_vector, hmac_sha1_vector(key, length, count, addresses, lengths, digest)
        0xA160 | 0xB8B4 => {
            let hash = if offset == 0xA160 { MD5 } else { SHA1 };
            if a4 >= MOST_PARTS {
                return Ok(Some(End::Value(u32::MAX)));
            }
            let key = guest.load_bytes(a2, a3)?;
            let message = parts(guest, a4, a5, a6)?;
            guest.store_bytes(a7, &hash.hmac(&key, &message), false)?;
            End::Value(0)
        }
        // hmac_md5, hmac_sha1(key, length, data, length, digest)
        0xA2CC | 0xBA28 => {
            let hash = if offset == 0xA2CC { MD5 } else { SHA1 };
            let key = guest.load_bytes(a2, a3)?;
            let message = guest.load_bytes(a4, a5)?;
            guest.store_bytes(a6, &hash.hmac(&key, &message), false)?;
            End::Value(0)
        }
        // sha1_prf(key, length, label, data, length, out, length): IEEE 802.11, 12.7.1.2
        0xBA48 => {
            let key = guest.load_bytes(a2, a3)?;
            let mut message = guest.load_string(a4, 0x1000)?;
            message.push(0);
            message.extend(guest.load_bytes(a5, a6)?);
            message.push(0);
            let wanted = guest.argument(6)?.min(0x1000) as usize;
            let mut out = Vec::new();
            while out.len() < wanted {
                out.extend(SHA1.hmac(&key, &message));
                if let Some(counter) = message.last_mut() {
                    *counter = counter.wrapping_add(1);
                }
            }
            guest.store_bytes(a7, &out[..wanted], false)?;
            End::Value(0)
        }
        // pbkdf2_sha1(passphrase, ssid, length, iterations, out, length): RFC 8018, 5.2
        0xB840 => {
            let passphrase = guest.load_string(a2, 0x100)?;
            let salt = guest.load_bytes(a3, a4)?;
            let mut out = vec![0; a7.min(0x100) as usize];
            // More is no passphrase's; a program that asks for billions must not stop the board.
            pbkdf2::pbkdf2_hmac::<sha1::Sha1>(&passphrase, &salt, a5.clamp(1, 0x1_0000), &mut out);
            guest.store_bytes(a6, &out, false)?;
            End::Value(0)
        }
        // rijndaelKeySetupEnc, rijndaelKeySetupDec(schedule, key)
        0x9300 | 0x8DD0 => {
            let key = guest.load_bytes(a3, 16)?;
            let mut schedule = schedule(&key);
            if offset == 0x8DD0 {
                schedule = reversed(&schedule);
            }
            for (at, word) in (a2..).step_by(4).zip(schedule) {
                guest.store32(at, word)?;
            }
            End::Plain
        }
        // aes_decrypt_init(key, length): the schedule, at a place of the ROM's own
        0x8EA4 if a3 == 16 => {
            let key = guest.load_bytes(a2, 16)?;
            for (at, word) in (DECRYPTION..).step_by(4).zip(reversed(&schedule(&key))) {
                guest.store32(at, word)?;
            }
            End::Value(DECRYPTION)
        }
        0x8EA4 => End::Value(0),
        // aes_decrypt(schedule, from, to)
        0x92D4 => {
            let block = guest.load_bytes(a3, 16)?;
            // Backwards, the schedule ends with the key itself.
            let mut key = Vec::new();
            for n in 40..44 {
                key.extend(guest.load32(a2.wrapping_add(4 * n))?.to_be_bytes());
            }
            guest.store_bytes(a4, &decrypt(&key, &block), false)?;
            End::Plain
        }
        // aes_decrypt_deinit(schedule)
        0x92E4 => guest.fill(a2, 0, 4 * 44).map(End::plain)?,
        // aes_unwrap(key, count, wrapped, out): RFC 3394
        0x9410 => {
            let key: [u8; 16] = guest.load_bytes(a2, 16)?.try_into().unwrap_or_default();
            let wrapped = guest.load_bytes(a4, 8 * (a3.min(0x100) + 1))?;
            let mut out = vec![0; wrapped.len() - 8];
            let good = aes_kw::KekAes128::from(key).unwrap(&wrapped, &mut out).is_ok();
            guest.store_bytes(a5, &out, false)?;
            End::Value(if good { 0 } else { u32::MAX })
        }
        // rc4_skip(key, length, skip, data, length)
        0xDD68 => {
            let key = guest.load_bytes(a2, a3.min(256))?;
            let data = guest.load_bytes(a5, a6)?;
            let skip = a4.min(0x1_0000) as usize;
            guest.store_bytes(a5, &rc4(&key, skip, &data), false)?;
            End::Value(0)
        }
        _ => return Ok(None),
    }))
}

/// One block of AES-128.
fn decrypt(key: &[u8], block: &[u8]) -> [u8; 16] {
    let key: [u8; 16] = key.try_into().unwrap_or_default();
    let mut block: [u8; 16] = block.try_into().unwrap_or_default();
    Aes128::new(&key.into()).decrypt_block((&mut block).into());
    block
}

/// The words of AES-128's round keys.
fn schedule(key: &[u8]) -> Vec<u32> {
    let mut words: Vec<u32> =
        key.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect();
    let mut constant = 1;
    for n in 4..44 {
        let mut word = words[n - 1];
        if n % 4 == 0 {
            let bytes = word.rotate_left(8).to_be_bytes().map(|byte| SBOX[usize::from(byte)]);
            word = u32::from_be_bytes(bytes) ^ u32::from(constant) << 24;
            constant = double(constant);
        }
        words.push(words[n - 4] ^ word);
    }
    words
}

/// The round keys for decryption: the other way round, all but the outer two unmixed.
fn reversed(schedule: &[u32]) -> Vec<u32> {
    let mut out = Vec::new();
    for round in (0..11).rev() {
        for word in &schedule[4 * round..4 * round + 4] {
            let mixed = word
                .to_be_bytes()
                .into_iter()
                .enumerate()
                .fold(0, |sum, (n, byte)| sum ^ unmix(byte).rotate_right(8 * n as u32));
            out.push(if (1..10).contains(&round) { mixed } else { *word });
        }
    }
    out
}

fn rc4(key: &[u8], skip: usize, data: &[u8]) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=255).collect();
    let mut j = 0u8;
    for i in 0..256 {
        let byte = if key.is_empty() { 0 } else { key[i % key.len()] };
        j = j.wrapping_add(state[i]).wrapping_add(byte);
        state.swap(i, j.into());
    }
    let (mut i, mut j) = (0u8, 0u8);
    let mut next = || {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(i.into(), j.into());
        state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
    };
    for _ in 0..skip {
        next();
    }
    data.iter().map(|byte| byte ^ next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hashes_of_the_rfcs() {
        assert_eq!(hex(&MD5.of(b"message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(hex(&MD5.of(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(&SHA1.of(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let long = vec![0xAA; 80];
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(&SHA1.hmac(&long, text)), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
        assert_eq!(hex(&MD5.hmac(&long, text)), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    /// FIPS 197, A.1 and the tables by two of their entries.
    #[test]
    fn aes_keys() {
        let key = 0x2B7E_1516_28AE_D2A6_ABF7_1588_09CF_4F3C_u128.to_be_bytes();
        let words = schedule(&key);
        assert_eq!((words[4], words[43]), (0xA0FA_FE17, 0xB663_0CA6));
        assert_eq!(reversed(&words)[..4], words[40..44]);
        // FIPS 197, B: the key with which the block was encrypted.
        let cipher = 0x3925_841D_02DC_09FB_DC11_8597_196A_0B32_u128.to_be_bytes();
        let plain = 0x3243_F6A8_885A_308D_3131_98A2_E037_0734_u128.to_be_bytes();
        let last: Vec<u8> = reversed(&words)[40..].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(last, key, "the schedule backwards ends with the key");
        assert_eq!(decrypt(&last, &cipher), plain);
        assert_eq!((SBOX[0], SBOX[0x53], inverse()[0xED]), (0x63, 0xED, 0x53));
        assert_eq!(unmix(inverse()[0]), 0x51F4_A750);
    }

    #[test]
    fn rc4_known_stream() {
        assert_eq!(hex(&rc4(b"Key", 0, b"Plaintext")), "bbf316e8d940af0ad3");
        assert_eq!(rc4(b"Key", 3, b"intext"), rc4(b"Key", 0, b"Plaintext")[3..].to_vec());
    }
}
