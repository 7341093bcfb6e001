//! Erasing and programming as the ROM does it, for its functions and its serial loader.

use crate::board::Board;
use crate::board::flash::{BLOCK, PAGE, SECTOR};

/// Sectors of an erase block.
const SECTORS_PER_BLOCK: u32 = (BLOCK / SECTOR) as u32;

/// Programs `bytes` at `offset`, page by page. False if that is not all within the chip.
pub fn write_flash(offset: u32, bytes: &[u8], board: &mut Board) -> bool {
    if !within_chip(offset, bytes.len(), board) {
        return false;
    }
    let mut at = offset as usize;
    let mut rest = bytes;
    while !rest.is_empty() && board.flash.powered() {
        let (page, more) = rest.split_at(rest.len().min(PAGE - at % PAGE));
        board.flash.transact(0x06, 0, &[], &mut []);
        board.flash.transact(0x02, at as u32, page, &mut []);
        at += page.len();
        rest = more;
    }
    true
}

/// Erases 4 KiB; false if there is no such sector.
pub fn erase_sector(sector: u32, board: &mut Board) -> bool {
    erase(0x20, sector, SECTOR, board)
}

/// Erases 64 KiB; false if there is no such block.
pub fn erase_block(block: u32, board: &mut Board) -> bool {
    erase(0xD8, block, BLOCK, board)
}

fn erase(code: u8, number: u32, size: usize, board: &mut Board) -> bool {
    let Some(offset) = number.checked_mul(size as u32) else { return false };
    if !within_chip(offset, size, board) {
        return false;
    }
    board.flash.transact(0x06, 0, &[], &mut []);
    board.flash.transact(code, offset, &[], &mut []);
    true
}

fn within_chip(offset: u32, length: usize, board: &Board) -> bool {
    offset as usize + length <= board.flash.size()
}

/// As the ROM's SPIEraseArea does it: the sectors up to the next block are erased first and
/// then, by mistake, not taken off what is still to be erased.
pub fn erase_area(address: u32, size: u32, board: &mut Board) -> bool {
    let sector_size = SECTOR as u32;
    let mut sector = address / sector_size;
    let mut total = size.div_ceil(sector_size);
    let head = (SECTORS_PER_BLOCK - sector % SECTORS_PER_BLOCK).min(total);
    for _ in 0..head {
        if !erase_sector(sector, board) {
            return false;
        }
        sector += 1;
    }
    while total > 0 {
        let whole = total >= SECTORS_PER_BLOCK && sector.is_multiple_of(SECTORS_PER_BLOCK);
        let (count, done) = if whole {
            (SECTORS_PER_BLOCK, erase_block(sector / SECTORS_PER_BLOCK, board))
        } else {
            (1, erase_sector(sector, board))
        };
        // Behind the end of the flash there is nothing to erase, and the mistake leads there.
        if !done && (sector as usize * SECTOR) < board.flash.size() {
            return false;
        }
        sector += count;
        total -= count;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::flash::Flash;

    #[test]
    fn erases_too_much_just_as_the_rom_does() {
        // (sectors asked for, first sector, sectors erased)
        for (asked, first, erased) in [(1, 0, 2), (3, 5, 6), (16, 0, 32), (20, 0, 36), (20, 10, 26)]
        {
            let mut board = Board::new(Flash::blank(0x10_0000), [0; 6], 1);
            board.flash.load(0, &vec![0; 0x10_0000]);
            assert!(erase_area(first * 0x1000, asked * 0x1000, &mut board));
            let count =
                board.flash.data().chunks(SECTOR).filter(|s| s.iter().all(|b| *b == 0xFF)).count();
            assert_eq!(count, erased);
        }
    }
}
