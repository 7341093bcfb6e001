//! Flash and its cache as the ROM handles them, for its functions and its serial loader.

use super::functions::Words;
use super::guest::{Done, End, Guest};
use crate::board::Board;
use crate::board::flash::{BLOCK, PAGE, SECTOR};

/// Sectors of an erase block.
const SECTORS_PER_BLOCK: u32 = (BLOCK / SECTOR) as u32;

/// The ROM's pointer to what it knows of the flash chip, and where that stands.
const FLASH_CHIP: u32 = 0x3FFF_C714;
const FLASH_CHIP_AT: u32 = 0x3FFF_C718;
/// Offset of the size in it.
const CHIP_SIZE: u32 = 4;
/// Bytes that SPI calls may address until SPIParamCfg says otherwise; an image's header does not.
const DEFAULT_CHIP_SIZE: u32 = 0x40_0000;
/// Most bytes that one call moves.
const MOST: u32 = 0x40_0000;

/// The flash chip as it is described when a program starts.
pub fn initialise(words: &mut Words) {
    words.set(FLASH_CHIP, FLASH_CHIP_AT);
    let chip = [0x0016_40EF, DEFAULT_CHIP_SIZE, BLOCK as u32, SECTOR as u32, PAGE as u32, 0xFFFF];
    for (at, value) in (FLASH_CHIP_AT..).step_by(4).zip(chip) {
        words.set(at, value);
    }
}

/// Does the function at `offset`, if it is one of these.
pub fn call(offset: u32, guest: &mut Guest) -> Done<Option<End>> {
    let arguments @ [a2, a3, a4, ..] = guest.arguments();
    Ok(Some(match offset {
        // Cache_Read_Enable(odd, pair of MiB, 32 KiB of cache), Cache_Read_Disable
        0x4678 => {
            guest.board.cache_enable(a2 != 0, a3, a4 != 0);
            End::Plain
        }
        0x47F0 => {
            guest.board.cache_disable();
            End::Plain
        }
        // SelectSpiFunction, spi_flash_attach, SPIUnlock, SPILock, Wait_SPI_Idle, Enable_QMode,
        // Disable_QMode, SPIReadModeCnfig: nothing is ever busy or locked.
        0x3F58 | 0x4644 => End::Plain,
        0x4878 | 0x48A8 | 0x448C | 0x44C0 | 0x4508 | 0x48EC => End::Value(0),
        // SPI_write_enable
        0x443C => {
            guest.board.flash.transact(0x06, 0, &[], &mut []);
            End::Value(0)
        }
        // SPI_read_status(chip, out), SPI_write_status(chip, value)
        0x43C8 => {
            let status = u32::from(guest.board.flash.status() as u8);
            guest.store32(a3, status)?;
            End::Value(0)
        }
        0x4400 => {
            guest.board.flash.transact(0x06, 0, &[], &mut []);
            guest.board.flash.transact(0x01, 0, &a3.to_le_bytes()[..1], &mut []);
            End::Value(0)
        }
        // SPIRead(offset, destination, size), SPI_read_data(chip, offset, destination, size)
        0x4B1C => {
            let chip = guest.load32(FLASH_CHIP)?;
            read(guest, chip, a2, a3, a4)?
        }
        0x42AC => read(guest, a2, a3, a4, arguments[3])?,
        // SPIWrite(offset, source, size), SPI_page_program(chip, offset, source, size)
        0x4A4C => {
            let chip = guest.load32(FLASH_CHIP)?;
            write(guest, chip, a2, a3, a4)?
        }
        0x4174 => write(guest, a2, a3, a4, arguments[3])?,
        // SPIEraseSector, SPIEraseBlock, SPIEraseChip, SPIEraseArea(offset, size),
        // SPI_sector_erase(chip, offset)
        0x4A00 => status(erase_sector(a2, guest.board)),
        0x49B4 => status(erase_block(a2, guest.board)),
        0x4984 => {
            guest.board.flash.transact(0x06, 0, &[], &mut []);
            guest.board.flash.transact(0xC7, 0, &[], &mut []);
            End::Value(0)
        }
        0x4B44 => status(erase_area(a2, a3, guest.board)),
        0x40C0 => status(
            a3.is_multiple_of(SECTOR as u32) && erase_sector(a3 / SECTOR as u32, guest.board),
        ),
        // SPIParamCfg(id, size, block, sector, page, mask)
        0x4C2C => {
            for (at, value) in (FLASH_CHIP_AT..).step_by(4).zip(arguments) {
                guest.store32(at, value)?;
            }
            End::Value(0)
        }
        _ => return Ok(None),
    }))
}

fn status(good: bool) -> End {
    End::Value(u32::from(!good))
}

fn within_limit(chip: u32, offset: u32, size: u32, guest: &mut Guest) -> Done<bool> {
    let limit = guest.load32(chip.wrapping_add(CHIP_SIZE))?;
    Ok(offset.checked_add(size).is_some_and(|end| end <= limit))
}

/// Whole words, whatever the size: the rest of the last one comes from flash too.
fn read(guest: &mut Guest, chip: u32, offset: u32, to: u32, size: u32) -> Done<End> {
    if !within_limit(chip, offset, size, guest)? {
        return Ok(End::Value(1));
    }
    let mut bytes = vec![0; size.min(MOST).next_multiple_of(4) as usize];
    guest.board.flash.transact(0x03, offset, &[], &mut bytes);
    guest.store_bytes(to, &bytes, true)?;
    Ok(End::Value(0))
}

fn write(guest: &mut Guest, chip: u32, offset: u32, from: u32, size: u32) -> Done<End> {
    let aligned = offset.is_multiple_of(4) && size.is_multiple_of(4);
    if !aligned || !within_limit(chip, offset, size, guest)? {
        return Ok(End::Value(1));
    }
    let bytes = guest.load_bytes(from, size.min(MOST))?;
    Ok(status(write_flash(offset, &bytes, guest.board)))
}

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
