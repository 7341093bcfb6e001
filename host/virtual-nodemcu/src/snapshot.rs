//! The whole state of a board in a file, from which it goes on.
//!
//! A snapshot is a head ([`MAGIC`], [`FORMAT`], the size of the flash chip), the state, and a SHA-1
//! of all before it. One description of each type (`Keep`) serves both directions. A type lists
//! all of its fields, so that a new one cannot be forgotten: `keep!` does not compile then.
//!
//! What does not belong to the chip is not in it: parts at the pins, access points, whoever is
//! connected, the random source (two boards from one snapshot must not draw the same keys). Whatever
//! a file says is checked before it is believed; none makes the board panic.

use std::collections::{HashMap, VecDeque};
use std::fs::OpenOptions;
use std::hash::Hash;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha1::{Digest as _, Sha1};

/// What each snapshot begins with.
pub const MAGIC: [u8; 8] = *b"VNMCUSNP";
/// Number of the format: it grows with each change of what is kept.
pub const FORMAT: u32 = 2;

const HEAD: usize = MAGIC.len() + 8;
const SUM: usize = 20;
/// Longest file that is read: 16 MiB of flash, and what else there is.
const MOST: u64 = 20 << 20;
/// Most elements of a list.
const MOST_ELEMENTS: usize = 1 << 20;
/// No moment of a board's life is later (ns, and cycles): 146 years.
pub(crate) const LATEST: u64 = 1 << 62;

/// What is wrong with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged(pub String);

impl std::fmt::Display for Damaged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

/// A result that a damaged snapshot may refuse.
pub(crate) type Kept = Result<(), Damaged>;

fn damaged(what: &str) -> Damaged {
    Damaged(format!("the snapshot is damaged: {what}"))
}

/// `good`, or what is wrong with the snapshot.
pub(crate) fn check(good: bool, what: &str) -> Kept {
    if good { Ok(()) } else { Err(damaged(what)) }
}

/// A snapshot that was read and whose sum is right.
#[derive(Clone)]
pub struct Snapshot {
    bytes: Vec<u8>,
    flash_size: usize,
}

impl Snapshot {
    /// The snapshot that `bytes` are.
    ///
    /// # Errors
    /// It is none, of another format, or damaged.
    pub fn new(mut bytes: Vec<u8>) -> Result<Self, Damaged> {
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(Damaged("it is no snapshot of a board".to_owned()));
        }
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        match word(MAGIC.len()) {
            Some(FORMAT) => {}
            Some(format) => {
                return Err(Damaged(format!(
                    "it is of format {format}, and this program reads {FORMAT}: make it again"
                )));
            }
            None => return Err(damaged("it ends early")),
        }
        let size = word(MAGIC.len() + 4).unwrap_or(0) as usize;
        let end = bytes.len().saturating_sub(SUM);
        check(end >= HEAD && bytes[end..] == Sha1::digest(&bytes[..end])[..], "its sum is wrong")?;
        check(
            size.is_power_of_two() && (1 << 16..=1 << 24).contains(&size),
            "no flash has that size",
        )?;
        bytes.truncate(end);
        Ok(Self { bytes, flash_size: size })
    }

    /// The snapshot in the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or what [`new`](Self::new) says.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
        Self::new(bytes).map_err(io::Error::other)
    }

    /// Bytes of the flash chip.
    #[must_use]
    pub fn flash_size(&self) -> usize {
        self.flash_size
    }

    /// Reads `state` from it.
    pub(crate) fn load(&self, state: impl FnOnce(&mut Tape<'_>) -> Kept) -> Kept {
        let mut tape = Tape { end: End::Play(&self.bytes[HEAD..]) };
        state(&mut tape)?;
        match tape.end {
            End::Play([]) => Ok(()),
            _ => Err(damaged("something follows its end")),
        }
    }

    /// The bytes of a snapshot with this state.
    pub(crate) fn save(
        flash_size: usize,
        state: impl FnOnce(&mut Tape<'_>) -> Kept,
    ) -> Result<Vec<u8>, Damaged> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend((flash_size as u32).to_le_bytes());
        let mut tape = Tape { end: End::Record(&mut bytes) };
        state(&mut tape)?;
        let sum = Sha1::digest(&bytes);
        bytes.extend(sum);
        Ok(bytes)
    }
}

/// Writes a snapshot's bytes to a file, whole or not at all. It is its owner's alone: flash may hold
/// a private key.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let written = options
        .mode(0o600)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&part)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // What is left of it, if anything.
        let _ = std::fs::remove_file(&part);
    }
    written
}

enum End<'a> {
    Record(&'a mut Vec<u8>),
    Play(&'a [u8]),
}

/// State on its way into a snapshot, or out of one.
pub struct Tape<'a> {
    end: End<'a>,
}

impl Tape<'_> {
    /// Records `bytes`, or replaces them by what was recorded.
    pub(crate) fn bytes(&mut self, bytes: &mut [u8]) -> Kept {
        match &mut self.end {
            End::Record(record) => record.extend_from_slice(bytes),
            End::Play(rest) => {
                let Some((mine, others)) = rest.split_at_checked(bytes.len()) else {
                    return Err(damaged("it ends early"));
                };
                bytes.copy_from_slice(mine);
                *rest = others;
            }
        }
        Ok(())
    }

    /// Whether state comes out of a snapshot.
    pub(crate) fn plays(&self) -> bool {
        matches!(self.end, End::Play(_))
    }

    /// The length of a list of at most `most` elements.
    fn length(&mut self, length: usize, most: usize) -> Result<usize, Damaged> {
        let mut length = length as u64;
        length.keep(self)?;
        check(length <= most as u64, "a list is too long")?;
        Ok(length as usize)
    }
}

/// State that a snapshot keeps.
pub(crate) trait Keep {
    /// Records it, or makes it what was recorded.
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept;
}

/// Keeps all fields of a struct but those behind `but`, then checks that they go together.
macro_rules! keep {
    ($type:ty { $($field:ident),* $(,)? } $(but { $($not:ident),* $(,)? })? $(, $check:expr)?) => {
        impl $crate::snapshot::Keep for $type {
            fn keep(
                &mut self,
                tape: &mut $crate::snapshot::Tape<'_>,
            ) -> $crate::snapshot::Kept {
                let Self { $($field,)* $($($not: _,)*)? } = self;
                $($crate::snapshot::Keep::keep($field, tape)?;)*
                $($check(&*self)?;)?
                Ok(())
            }
        }
    };
}
pub(crate) use keep;

/// Keeps an enum without data by its number.
macro_rules! keep_enum {
    ($type:ident { $($variant:ident),* $(,)? }) => {
        impl $crate::snapshot::Keep for $type {
            fn keep(
                &mut self,
                tape: &mut $crate::snapshot::Tape<'_>,
            ) -> $crate::snapshot::Kept {
                const ALL: &[$type] = &[$($type::$variant),*];
                // One that is not in the list does not compile.
                let mut number = match *self { $($type::$variant => $type::$variant as u8),* };
                $crate::snapshot::Keep::keep(&mut number, tape)?;
                let found = ALL.iter().find(|one| **one as u8 == number);
                $crate::snapshot::check(found.is_some(), "a choice is none")?;
                if let Some(found) = found {
                    *self = *found;
                }
                Ok(())
            }
        }
    };
}
pub(crate) use keep_enum;

macro_rules! keep_number {
    ($($type:ty),*) => {$(
        impl Keep for $type {
            fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
                let mut bytes = self.to_le_bytes();
                tape.bytes(&mut bytes)?;
                *self = Self::from_le_bytes(bytes);
                Ok(())
            }
        }
    )*};
}
keep_number!(u8, u16, u32, u64);

impl Keep for usize {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut wide = *self as u64;
        wide.keep(tape)?;
        *self = wide as Self;
        Ok(())
    }
}

impl Keep for bool {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut byte = u8::from(*self);
        byte.keep(tape)?;
        check(byte < 2, "a choice is none")?;
        *self = byte == 1;
        Ok(())
    }
}

impl<A: Keep, B: Keep> Keep for (A, B) {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.0.keep(tape)?;
        self.1.keep(tape)
    }
}

impl<T: Keep, const N: usize> Keep for [T; N] {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        self.iter_mut().try_for_each(|one| one.keep(tape))
    }
}

impl<T: Keep, const N: usize> Keep for Box<[T; N]> {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        (**self).keep(tape)
    }
}

impl<T: Keep + Default> Keep for Option<T> {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut there = self.is_some();
        there.keep(tape)?;
        if !there {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().keep(tape)
    }
}

impl<T: Keep + Default> Keep for Vec<T> {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let length = tape.length(self.len(), MOST_ELEMENTS)?;
        if !tape.plays() {
            return self.iter_mut().try_for_each(|one| one.keep(tape));
        }
        // One by one: a length that the file makes up takes no memory.
        self.clear();
        for _ in 0..length {
            let mut one = T::default();
            one.keep(tape)?;
            self.push(one);
        }
        Ok(())
    }
}

impl<T: Keep + Default> Keep for VecDeque<T> {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut list = Vec::from(std::mem::take(self));
        list.keep(tape)?;
        *self = list.into();
        Ok(())
    }
}

impl<K, V> Keep for HashMap<K, V>
where
    K: Keep + Default + Copy + Ord + Hash,
    V: Keep + Default + Copy + Ord,
{
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut list: Vec<(K, V)> = self.iter().map(|(key, value)| (*key, *value)).collect();
        // One state, one file.
        list.sort_unstable();
        list.keep(tape)?;
        *self = list.into_iter().collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct State {
        number: u32,
        list: VecDeque<u8>,
        map: HashMap<(u8, u8), u8>,
        perhaps: Option<(u8, u64)>,
        on: bool,
        cache: u8,
    }

    keep!(State { number, list, map, perhaps, on } but { cache }, |state: &State| check(
        state.number < 100,
        "the number is too large"
    ));

    fn state() -> State {
        State {
            number: 7,
            list: [1, 2, 3].into(),
            map: [((1, 2), 3), ((0, 9), 4)].into(),
            perhaps: Some((1, 1 << 40)),
            on: true,
            cache: 0,
        }
    }

    fn saved() -> Vec<u8> {
        Snapshot::save(1 << 16, |tape| state().keep(tape)).unwrap()
    }

    fn why(bytes: Vec<u8>) -> String {
        let loaded = Snapshot::new(bytes).and_then(|snapshot| {
            let mut state = State::default();
            snapshot.load(|tape| state.keep(tape))
        });
        loaded.unwrap_err().to_string()
    }

    /// With a sum that is right.
    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() - SUM);
        let sum = Sha1::digest(&bytes);
        bytes.extend(sum);
        bytes
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let snapshot = Snapshot::new(saved()).unwrap();
        assert_eq!(snapshot.flash_size(), 1 << 16);
        let mut loaded = State { list: [9; 9].into(), perhaps: None, ..State::default() };
        snapshot.load(|tape| loaded.keep(tape)).unwrap();
        assert_eq!(loaded, state());
        assert_eq!(saved(), saved(), "one state, one file");
    }

    #[test]
    fn a_file_that_is_wrong_says_how() {
        assert_eq!(why(b"GIF89a".to_vec()), "it is no snapshot of a board");
        let mut newer = saved();
        newer[8] = 9;
        assert_eq!(why(newer), "it is of format 9, and this program reads 2: make it again");
        for length in 8..saved().len() {
            let text = why(saved()[..length].to_vec());
            assert!(text.starts_with("the snapshot is damaged"), "{length}: {text}");
        }
        for bit in 8 * 12..8 * saved().len() {
            let mut bytes = saved();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(why(bytes).ends_with("its sum is wrong"), "bit {bit}");
        }
        let mut large = saved();
        large[HEAD] = 100;
        assert!(why(summed(large)).ends_with("the number is too large"));
        let mut long = saved();
        long[HEAD + 4 + 6] = 0xFF;
        assert!(why(summed(long)).ends_with("a list is too long"));
        let mut size = saved();
        size[12] = 1;
        assert!(why(summed(size)).ends_with("no flash has that size"));
        let mut more = saved();
        more.splice(HEAD..HEAD, [0; 3]);
        assert!(why(summed(more)).starts_with("the snapshot is damaged"));
    }
}
