//! The image at the start of flash: header, segments for RAM, checksum.

use crate::board::Board;

/// First byte of an image.
const MAGIC: u8 = 0xE9;
/// First bytes of images: the ROM's, and those of Espressif's boot loader.
pub const MAGICS: [u8; 2] = [MAGIC, 0xEA];
/// Start value of the checksum.
pub const CHECKSUM: u8 = 0xEF;
/// The ROM reads flash in pieces of this many bytes.
const UNIT: usize = 16;
const HEADER: usize = 8;

/// Sizes of the flash chip by their number in an image's header, in bytes.
const FLASH_SIZES: [(u8, usize); 7] = [
    (0, 512 << 10),
    (1, 256 << 10),
    (2, 1 << 20),
    (3, 2 << 20),
    (4, 4 << 20),
    (8, 8 << 20),
    (9, 16 << 20),
];

/// The size of the flash chip, in bytes, that the fourth byte of an image's header names.
#[must_use]
pub fn flash_size(byte: u8) -> Option<usize> {
    let number = match byte >> 4 {
        // The same chips, with other halves.
        5 => 3,
        6 => 4,
        number => number,
    };
    FLASH_SIZES.iter().find(|(other, _)| *other == number).map(|(_, bytes)| *bytes)
}

/// Makes the header of an image name a chip of so many bytes, as esptool does when it is told the size.
/// One that maps two halves of such a chip means more than its size and stays, and what is no image.
pub fn set_flash_size(image: &mut [u8], size: usize) {
    let number = FLASH_SIZES.iter().find(|(_, bytes)| *bytes == size);
    if let ([magic, _, _, sizes, ..], Some((number, _))) = (image, number)
        && MAGICS.contains(magic)
        && flash_size(*sizes) != Some(size)
    {
        *sizes = *sizes & 0xF | number << 4;
    }
}

/// An image that was loaded.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// Where it starts.
    pub entry: u32,
}

/// Why an image was not loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not start as one: no image was flashed.
    NoImage,
    /// A segment does not lie in RAM, or ends behind the flash.
    Segment,
    /// The checksum differs: it is damaged.
    Checksum,
}

impl Image {
    /// Loads the image into RAM, with the ROM's messages.
    ///
    /// # Errors
    /// It is not an image that the ROM would start.
    pub fn load(board: &mut Board) -> Result<Self, Error> {
        let flash = board.flash.data();
        if flash[0] != MAGIC {
            return Err(Error::NoImage);
        }
        let segments = flash[1];
        let entry = long(flash, 4);
        let mut at = HEADER;
        let mut sum = CHECKSUM;
        let mut text = String::new();
        let mut result = Ok(Self { entry });
        for _n in 0..segments {
            let flash = board.flash.data();
            if at + HEADER > flash.len() {
                result = Err(Error::Segment);
                break;
            }
            let (address, length) = (long(flash, at), long(flash, at + 4) as usize);
            // What the ROM says about its buffer of 16 bytes: the room left of it for the first
            // bytes of data, and the tail of data in the last one.
            let before = (UNIT - at % UNIT) % UNIT;
            at += HEADER;
            let room = UNIT - at % UNIT;
            if before != 0 && before < HEADER {
                let tail = (at - HEADER) % UNIT;
                text += &format!("ho 0 tail {tail} room {before}\r\n");
            }
            text += &format!("load {address:#010x}, len {length}, room {room} \r\n");
            let Some(data) = at.checked_add(length).and_then(|end| flash.get(at..end)) else {
                result = Err(Error::Segment);
                break;
            };
            let data = data.to_vec();
            sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
            at += length;
            text += &format!("tail {}\r\nchksum {sum:#04x}\r\n", at % UNIT);
            if !board.write_ram(address, &data) && length > 0 {
                result = Err(Error::Segment);
                break;
            }
        }
        if result.is_ok() {
            // Last byte of the unit in which the segments end.
            let stored = board.flash.data().get(at | (UNIT - 1)).copied();
            if let Some(stored) = stored {
                text += &format!("csum {stored:#04x}\r\n");
            }
            if stored != Some(sum) {
                text += "csum err\r\n";
                result = Err(Error::Checksum);
            }
        }
        board.uarts[0].send(text.as_bytes());
        result
    }
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::flash::{BLOCK, Flash};

    /// An image as `esptool elf2image` makes it.
    fn image(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut image = vec![MAGIC, segments.len() as u8, 0, 0x40];
        image.extend(0x4010_0004u32.to_le_bytes());
        let mut sum = CHECKSUM;
        for (address, data) in segments {
            image.extend(address.to_le_bytes());
            image.extend((data.len() as u32).to_le_bytes());
            image.extend(*data);
            sum = data.iter().fold(sum, |sum, byte| sum ^ byte);
        }
        while image.len() % UNIT != UNIT - 1 {
            image.push(0);
        }
        image.push(sum);
        image
    }

    fn load(image: &[u8]) -> (Result<Image, Error>, String, Board) {
        let mut flash = Flash::blank(BLOCK);
        flash.load(0, image);
        let mut board = Board::new(flash, [0; 6], 1);
        let result = Image::load(&mut board);
        let text = String::from_utf8(board.uarts[0].take_sent()).unwrap();
        (result, text, board)
    }

    #[test]
    fn segments_arrive_where_they_belong() {
        let (code, data) = ([0x11; 212], [0x22; 20]);
        let (result, text, board) = load(&image(&[(0x4010_0000, &code), (0x3FFE_8000, &data)]));
        assert_eq!(result, Ok(Image { entry: 0x4010_0004 }));
        assert_eq!(board.read_memory(0x4010_0000, 212).unwrap(), code);
        assert_eq!(board.read_memory(0x3FFE_8000, 20).unwrap(), data);
        // The numbers are those of a real chip's log for the same length.
        assert!(text.starts_with("load 0x40100000, len 212, room 16 \r\ntail 4\r\n"), "{text}");
        assert!(text.contains("load 0x3ffe8000, len 20, room 4 \r\n"), "{text}");
        assert!(text.ends_with("csum 0xef\r\n"), "{text}");
    }

    #[test]
    fn every_flipped_bit_is_refused_or_harmless() {
        let good = image(&[(0x4010_0000, &[0x5A; 64])]);
        for byte in 16..80 {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[byte] ^= 1 << bit;
                let (result, text, _) = load(&bad);
                assert_eq!(result, Err(Error::Checksum));
                assert!(text.ends_with("csum err\r\n"));
            }
        }
    }

    #[test]
    fn no_image_and_hostile_headers() {
        assert_eq!(load(&[]).0, Err(Error::NoImage));
        assert_eq!(load(&image(&[(0x6000_0000, &[1; 4])])).0, Err(Error::Segment));
        assert_eq!(load(&image(&[(0x4010_FFFC, &[1; 8])])).0, Err(Error::Segment));
        let mut long = image(&[(0x4010_0000, &[1; 4])]);
        long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(load(&long).0, Err(Error::Segment));
        long[1] = 255;
        assert_eq!(load(&long).0, Err(Error::Segment));
    }
}
