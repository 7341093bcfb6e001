//! Images for a slot: whole ones, damaged ones, hostile ones.

use slots::{CODE_AT, Image, MAX_IMAGE, STAGE_DRAM, STAGE_IRAM, Sums};

const ENTRY: u32 = 0x4010_0004;

/// An image as `make image` makes it.
fn image(code: u32, segments: &[(u32, u32)]) -> Vec<u32> {
    let mut words = vec![0x4002_04EA, ENTRY, 0, code];
    words.extend((0..code / 4).map(|word| word.wrapping_mul(0x9E37_79B9)));
    words.extend([0x4002_00E9 | (segments.len() as u32) << 8, ENTRY]);
    for &(address, bytes) in segments {
        words.extend([address, bytes]);
        words.extend((0..bytes / 4).map(|word| !word));
    }
    words.resize((words.len() / 4 + 1) * 4, 0);
    // esptool's CRC-32, which nobody looks at.
    words.push(0x1234_5678);
    seal(words)
}

fn seal(mut words: Vec<u32>) -> Vec<u32> {
    let mut sums = Sums::default();
    words.iter().for_each(|word| sums.add(*word));
    words.extend(sums.words());
    words
}

/// Checks it, as long as nothing beyond a slot's end is read.
fn check(words: &[u32]) -> Option<Image> {
    Image::check(|at| {
        assert!(at < MAX_IMAGE / 4, "read beyond the slot");
        words.get(at as usize).copied().unwrap_or(u32::MAX)
    })
}

const SEGMENTS: &[(u32, u32)] = &[(0x4010_0000, 400), (0x3FFE_8400, 52)];

#[test]
fn a_whole_one_is_taken_and_its_segments_are_told() {
    let words = image(160, SEGMENTS);
    let image = check(&words).unwrap();
    assert_eq!((image.entry, image.words as usize), (ENTRY, words.len()));
    let mut segments = Vec::new();
    image.for_each_segment(|at| words[at as usize], |segment| segments.push(segment));
    assert_eq!(segments.len(), 2);
    for (segment, (address, bytes)) in segments.iter().zip(SEGMENTS) {
        assert_eq!((segment.address, 4 * segment.words), (*address, *bytes));
        assert_eq!(words[segment.at as usize], !0);
    }
}

#[test]
fn each_flipped_bit_is_found() {
    let good = image(32, SEGMENTS);
    for word in 0..good.len() {
        for bit in 0..32 {
            let mut words = good.clone();
            words[word] ^= 1 << bit;
            assert_eq!(check(&words), None, "word {word}, bit {bit}");
        }
    }
}

#[test]
fn words_that_changed_places_are_found() {
    let good = image(64, SEGMENTS);
    for word in CODE_AT as usize / 4..CODE_AT as usize / 4 + 15 {
        let mut words = good.clone();
        words.swap(word, word + 1);
        assert_eq!(check(&words), None, "word {word}");
    }
}

#[test]
fn what_is_cut_off_or_not_there_is_found() {
    let good = image(64, SEGMENTS);
    for length in 0..good.len() {
        assert_eq!(check(&good[..length]), None, "{length} words");
    }
    for nothing in [0, u32::MAX] {
        assert_eq!(check(&[nothing; 1000]), None);
    }
}

#[test]
fn only_ram_is_loaded_and_not_the_boot_stages() {
    for (address, bytes, fits) in [
        (0x4010_0000, STAGE_IRAM - 0x4010_0000, true),
        (0x4010_0000, STAGE_IRAM - 0x4010_0000 + 4, false),
        (STAGE_IRAM, 4, false),
        (STAGE_IRAM - 4, 4, true),
        (0x400F_FFFC, 4, false),
        (0x3FFE_8000, 16, true),
        (0x3FFE_7FFC, 16, false),
        (STAGE_DRAM - 4, 4, true),
        (STAGE_DRAM - 4, 8, false),
        (0x4020_0000, 4, false),
        (0x6000_0300, 4, false),
        (0x4010_0002, 4, false),
        (0xFFFF_FFFC, 8, false),
        (0, 0, false),
    ] {
        let words = image(16, &[(0x4010_0000, 16), (address, bytes)]);
        assert_eq!(check(&words).is_some(), fits, "{bytes} bytes at {address:#x}");
    }
    let mut words = image(16, SEGMENTS);
    words.truncate(words.len() - 2);
    // The entry point of the second header, which counts: behind code and header.
    let entry = (CODE_AT + 16) as usize / 4 + 1;
    words[entry] = STAGE_IRAM;
    assert_eq!(check(&seal(words)), None);
}

/// Blind damage with sums that fit, as whoever makes an image on purpose could have it.
#[test]
fn hostile_headers_end_in_no_read_beyond_the_slot() {
    let good = image(64, SEGMENTS);
    let header_words = [0, 1, 2, 3, 20, 21, 22, 23, 124, 125];
    let values = [
        0,
        1,
        4,
        15,
        16,
        0xFF,
        0xFFFF_FFFF,
        0xFFFF_FFF0,
        0xFFFF_FFFC,
        0x7FFF_FFFF,
        0x8000_0000,
        MAX_IMAGE,
        MAX_IMAGE - 16,
        MAX_IMAGE - 32,
        MAX_IMAGE + 16,
        0x4010_0000,
        0x4002_FFE9,
    ];
    for first in header_words {
        for second in header_words {
            for value in values {
                for other in values {
                    let mut words = good[..good.len() - 2].to_vec();
                    words[first] = value;
                    words[second] = other;
                    let _ = check(&seal(words));
                }
            }
        }
    }
}

#[test]
fn the_largest_fits() {
    let room = MAX_IMAGE - CODE_AT - 8 - 16 - 16 - 12;
    let code = (room - 16) / 16 * 16;
    let words = image(code, &[(0x4010_0000, 4), (0x3FFE_8400, 4)]);
    assert!(words.len() as u32 * 4 <= MAX_IMAGE);
    assert!(check(&words).is_some());
    let words = image(code + 32, &[(0x4010_0000, 4), (0x3FFE_8400, 4)]);
    assert_eq!(check(&words), None);
}
