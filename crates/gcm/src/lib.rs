//! AES-GCM (FIPS 197, NIST SP 800-38D) for the ESP8266's CPU: a message in pieces of any size,
//! without allocation.
//!
//! One block of AES and one multiplication of GHASH are assembly on the chip and Rust anywhere
//! else (`kernel`); all else is the same code on both.
//!
//! **Time.** Which entries of a table are read depends on key and data: one of 1 KB for AES, one of
//! 256 bytes, made from the key, for GHASH. On the ESP8266 both lie in RAM, which has no cache in
//! front of it, and no branch and no number of steps depends on either: it takes the same time for
//! all keys and all data. On a host with a data cache it would not, and is for tests only. Who can
//! watch the buses of the chip sees the addresses.
//!
//! ```
//! use gcm::{Direction, Key};
//!
//! let key = Key::new(&[7; 16]).unwrap();
//! let mut text = *b"lights on";
//! let mut message = key.message(Direction::Encrypt, &[1; 12], b"header");
//! message.update(&key, &mut text);
//! let tag = message.tag(&key);
//!
//! let mut message = key.message(Direction::Decrypt, &[1; 12], b"header");
//! message.update(&key, &mut text);
//! assert!(gcm::same(&message.tag(&key), &tag));
//! assert_eq!(&text, b"lights on");
//! ```
#![no_std]
#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod kernel;
mod schedule;

use schedule::{Schedule, wipe};

/// Bytes of a block, and of a tag.
pub const BLOCK: usize = 16;

/// A block as the CPU loads it: byte 0 is the lowest of word 0.
type Words = [u32; 4];

/// AES with one key, for encryption. Wiped when dropped.
#[derive(Clone)]
pub struct Aes(Schedule);

impl Aes {
    /// Takes a key of 16, 24 or 32 bytes, in place. False for another size: then it is not to be
    /// used.
    #[must_use]
    pub fn set(&mut self, key: &[u8]) -> bool {
        self.0.set(key)
    }

    /// The same as a new value; `None` for another size.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut aes = Self(Schedule::EMPTY);
        aes.set(key).then_some(aes)
    }

    /// The cipher text of a block.
    #[must_use]
    pub fn encrypt(&self, block: &[u8; BLOCK]) -> [u8; BLOCK] {
        bytes(&self.block(&words(block)))
    }

    fn block(&self, block: &Words) -> Words {
        kernel::encrypt(&self.0.keys, self.0.rounds, block)
    }
}

/// What all messages under one key share. Wiped when dropped.
#[derive(Clone)]
pub struct Key {
    aes: Aes,
    /// The multiples of the hash key by 0..15 in GCM's order of bits: the upper halves, then the
    /// lower ones; in each, two words, the one with the higher coefficients first.
    table: kernel::Table,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Plain text goes in.
    Encrypt,
    /// Cipher text goes in.
    Decrypt,
}

impl Key {
    /// Without a key: it is not to be used.
    pub const EMPTY: Self = Self { aes: Aes(Schedule::EMPTY), table: [0; 64] };

    /// Takes a key of 16, 24 or 32 bytes, in place: that needs 500 bytes of stack less than
    /// [`Key::new`] does. False for another size: then it is not to be used.
    #[must_use]
    pub fn set(&mut self, key: &[u8]) -> bool {
        if !self.aes.set(key) {
            return false;
        }
        let hash_key = self.aes.block(&[0; 4]).map(u32::swap_bytes);
        self.put_multiple(0, [0; 4]);
        // Bit 3 of a nibble is the lowest power of x.
        let mut power = hash_key;
        for bit in [8, 4, 2, 1] {
            self.put_multiple(bit, power);
            power = times_x(power);
        }
        for nibble in 3..16_usize {
            if !nibble.is_power_of_two() {
                let mut sum = self.multiple(1 << nibble.ilog2());
                add(&mut sum, &self.multiple(nibble - (1 << nibble.ilog2())));
                self.put_multiple(nibble, sum);
            }
        }
        true
    }

    /// A key as a new value; `None` unless it has 16, 24 or 32 bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut new = Self::EMPTY;
        new.set(key).then_some(new)
    }

    fn multiple(&self, nibble: usize) -> Words {
        let at = nibble * 2;
        [self.table[at], self.table[at + 1], self.table[at + 32], self.table[at + 33]]
    }

    fn put_multiple(&mut self, nibble: usize, multiple: Words) {
        let at = nibble * 2;
        for (at, word) in [at, at + 1, at + 32, at + 33].into_iter().zip(multiple) {
            self.table[at] = word;
        }
    }

    /// Begins a message. A nonce must never be used twice under one key; twelve bytes are usual,
    /// others are hashed.
    #[must_use]
    pub fn message(&self, direction: Direction, nonce: &[u8], additional: &[u8]) -> Message {
        let mut counter = [0; 4];
        if nonce.len() == 12 {
            let mut block = [0; BLOCK];
            block[..12].copy_from_slice(nonce);
            block[15] = 1;
            counter = words(&block);
        } else {
            self.hash(&mut counter, nonce);
            counter[3] ^= bit_length(nonce.len());
            self.multiply(&mut counter);
        }
        let mut message = Message {
            direction,
            mask: self.aes.block(&counter),
            counter,
            stream: [0; 4],
            hash: [0; 4],
            additional: 0,
            length: 0,
        };
        message.additional(self, additional);
        message
    }

    /// Adds bytes to a hash, with zeros up to a whole block.
    fn hash(&self, hash: &mut Words, data: &[u8]) {
        for chunk in data.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            add(hash, &words(&block));
            self.multiply(hash);
        }
    }

    fn multiply(&self, hash: &mut Words) {
        kernel::multiply(hash, &self.table);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // `aes` wipes itself.
        wipe(&mut self.table);
    }
}

/// A message on its way through the cipher. Wiped when dropped.
pub struct Message {
    direction: Direction,
    /// The first counter block, encrypted: hides the tag.
    mask: Words,
    counter: Words,
    /// What the block that is under way is added to.
    stream: Words,
    hash: Words,
    /// Bits of additional data, as the last block has them.
    additional: u32,
    /// Bytes so far; GCM allows 2^36, a message here less than 2^29.
    length: usize,
}

impl Message {
    /// Takes the additional data, when [`Key::message`] was given none: all of it at once, before
    /// the first update.
    pub fn additional(&mut self, key: &Key, data: &[u8]) {
        self.additional = bit_length(data.len());
        key.hash(&mut self.hash, data);
    }

    /// Encrypts or decrypts the next bytes in place. What is decrypted must not be used before
    /// [`Message::tag`] was compared.
    pub fn update(&mut self, key: &Key, data: &mut [u8]) {
        let mut rest = data;
        let begun = self.length % BLOCK;
        if begun != 0 {
            let (now, later) = rest.split_at_mut(rest.len().min(BLOCK - begun));
            self.part(key, now);
            rest = later;
        }
        let (blocks, part) = rest.as_chunks_mut::<BLOCK>();
        for block in blocks {
            self.next_stream(key);
            let before = words(block);
            let mut after = before;
            add(&mut after, &self.stream);
            *block = bytes(&after);
            add(
                &mut self.hash,
                if self.direction == Direction::Encrypt { &after } else { &before },
            );
            key.multiply(&mut self.hash);
            self.length += BLOCK;
        }
        if !part.is_empty() {
            self.next_stream(key);
            self.part(key, part);
        }
    }

    /// The message's tag: to be sent, or to be compared by [`same`].
    #[must_use]
    pub fn tag(mut self, key: &Key) -> [u8; BLOCK] {
        if !self.length.is_multiple_of(BLOCK) {
            key.multiply(&mut self.hash);
        }
        add(&mut self.hash, &[0, self.additional, 0, bit_length(self.length)]);
        key.multiply(&mut self.hash);
        add(&mut self.hash, &self.mask);
        bytes(&self.hash)
    }

    /// Bytes within one block.
    fn part(&mut self, key: &Key, data: &mut [u8]) {
        for byte in data {
            let (word, shift) = (self.length / 4 % 4, self.length % 4 * 8);
            let before = *byte;
            *byte ^= (self.stream[word] >> shift) as u8;
            let cipher = if self.direction == Direction::Encrypt { *byte } else { before };
            self.hash[word] ^= u32::from(cipher) << shift;
            self.length += 1;
        }
        if self.length.is_multiple_of(BLOCK) {
            key.multiply(&mut self.hash);
        }
    }

    fn next_stream(&mut self, key: &Key) {
        // Only the last four bytes count.
        self.counter[3] = self.counter[3].swap_bytes().wrapping_add(1).swap_bytes();
        self.stream = key.aes.block(&self.counter);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        wipe(&mut self.mask);
        wipe(&mut self.stream);
        wipe(&mut self.hash);
    }
}

/// Whether two tags are the same, in the same time whether they are or not.
#[must_use]
pub fn same(one: &[u8; BLOCK], other: &[u8; BLOCK]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b));
    core::hint::black_box(differs) == 0
}

/// Multiplied by x in GCM's field, whose lowest power is the highest bit.
fn times_x([a, b, c, d]: Words) -> Words {
    let reduction = if d & 1 == 0 { 0 } else { 0xE100_0000 };
    [a >> 1 ^ reduction, a << 31 | b >> 1, b << 31 | c >> 1, c << 31 | d >> 1]
}

fn add(to: &mut Words, words: &Words) {
    for (to, word) in to.iter_mut().zip(words) {
        *to ^= word;
    }
}

/// A length in bytes as a block of lengths has it: bits, highest byte first.
fn bit_length(bytes: usize) -> u32 {
    (bytes as u32).wrapping_mul(8).swap_bytes()
}

fn words(block: &[u8; BLOCK]) -> Words {
    let (words, _) = block.as_chunks::<4>();
    core::array::from_fn(|i| u32::from_le_bytes(words[i]))
}

fn bytes(words: &Words) -> [u8; BLOCK] {
    let mut bytes = [0; BLOCK];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}
