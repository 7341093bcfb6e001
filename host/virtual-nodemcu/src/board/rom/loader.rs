//! The serial loader: SLIP frames with commands from the host.
//!
//! The protocol is documented in esptool's "Serial Protocol"; this is the part of the ESP8266's
//! ROM, with its mistake about how much to erase.

use super::flash::{erase_area, write_flash};
use super::image::CHECKSUM;
use crate::board::Board;
use crate::snapshot::{check, keep};

const END: u8 = 0xC0;
const ESCAPE: u8 = 0xDB;
const ESCAPED_END: u8 = 0xDC;
const ESCAPED_ESCAPE: u8 = 0xDD;
/// Longest frame: a block of RAM data with its headers.
const LONGEST: usize = 0x4000;
/// Replies to SYNC.
const SYNC_REPLIES: usize = 8;

/// Commands.
mod op {
    pub const FLASH_BEGIN: u8 = 0x02;
    pub const FLASH_DATA: u8 = 0x03;
    pub const FLASH_END: u8 = 0x04;
    pub const MEM_BEGIN: u8 = 0x05;
    pub const MEM_END: u8 = 0x06;
    pub const MEM_DATA: u8 = 0x07;
    pub const SYNC: u8 = 0x08;
    pub const WRITE_REG: u8 = 0x09;
    pub const READ_REG: u8 = 0x0A;
}

/// Why a command failed: the second status byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Failure {
    /// The command is unknown or its length is wrong.
    Invalid = 0x05,
    /// It could not be carried out.
    Failed = 0x06,
    /// The data's checksum differs.
    Checksum = 0x07,
    /// Writing to flash failed.
    FlashWrite = 0x08,
}

/// What the loader ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the program that was loaded into RAM at this address.
    Run(u32),
    /// Start the program in flash.
    Boot,
}

/// Where blocks of data go.
#[derive(Clone, Copy, Debug, Default)]
struct Transfer {
    address: u32,
    block: u32,
    blocks: u32,
}

/// The loader's state.
#[derive(Debug, Default)]
pub struct Loader {
    frame: Vec<u8>,
    inside: bool,
    escaped: bool,
    synchronised: bool,
    memory: Option<Transfer>,
    flash: Option<Transfer>,
}

keep!(Transfer { address, block, blocks });
keep!(Loader { frame, inside, escaped, synchronised, memory, flash }, |loader: &Loader| check(
    loader.frame.len() <= LONGEST,
    "a frame of the serial loader is too long"
));

impl Loader {
    /// Whether the host has introduced itself: from then on the baud rate is fixed.
    #[must_use]
    pub fn synchronised(&self) -> bool {
        self.synchronised
    }

    /// Takes a byte from the host; answers on UART0.
    pub fn receive(&mut self, byte: u8, board: &mut Board) -> Option<Action> {
        if byte == END {
            let frame = std::mem::take(&mut self.frame);
            self.escaped = false;
            if self.inside && !frame.is_empty() {
                self.inside = false;
                return self.execute(&frame, board);
            }
            self.inside = true;
        } else if self.inside {
            match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, ESCAPED_END) => self.frame.push(END),
                (true, ESCAPED_ESCAPE) => self.frame.push(ESCAPE),
                (_, byte) => self.frame.push(byte),
            }
            if self.frame.len() > LONGEST {
                self.frame.clear();
                self.inside = false;
            }
        }
        None
    }

    fn execute(&mut self, frame: &[u8], board: &mut Board) -> Option<Action> {
        let [0, code, low, high, c0, c1, c2, c3, data @ ..] = frame else {
            return None;
        };
        let expected = usize::from(u16::from_le_bytes([*low, *high]));
        let sum = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        let mut action = None;
        let mut value = 0;
        let mut replies = 1;
        let result = if data.len() != expected {
            Err(Failure::Invalid)
        } else {
            match *code {
                op::SYNC => {
                    self.synchronised = true;
                    replies = SYNC_REPLIES;
                    // Not 0: that is how esptool tells the ROM from its stub.
                    value = 0x2012_0707;
                    Ok(())
                }
                op::READ_REG => read_register(data, board).map(|word| value = word),
                op::WRITE_REG => write_registers(data, board),
                op::MEM_BEGIN => self.memory_begin(data),
                op::MEM_DATA => block(self.memory, data, sum).and_then(|(address, payload)| {
                    board.write_ram(address, payload).then_some(()).ok_or(Failure::Failed)
                }),
                op::MEM_END => words(data).and_then(|[stay, entry]| {
                    action = (stay == 0).then_some(Action::Run(entry));
                    self.memory.take().map(|_| ()).ok_or(Failure::Failed)
                }),
                op::FLASH_BEGIN => self.flash_begin(data, board),
                op::FLASH_DATA => block(self.flash, data, sum).and_then(|(address, payload)| {
                    write_flash(address, payload, board).then_some(()).ok_or(Failure::FlashWrite)
                }),
                op::FLASH_END => words(data).and_then(|[stay]| {
                    action = (stay == 0).then_some(Action::Boot);
                    self.flash.take().map(|_| ()).ok_or(Failure::Failed)
                }),
                _ => Err(Failure::Invalid),
            }
        };
        let status = match result {
            Ok(()) => [0, 0],
            Err(failure) => [1, failure as u8],
        };
        for _ in 0..replies {
            reply(board, *code, value, status);
        }
        action.filter(|_| result.is_ok())
    }

    fn memory_begin(&mut self, data: &[u8]) -> Result<(), Failure> {
        let [_, blocks, block, address] = words(data)?;
        self.memory = Some(Transfer { address, block, blocks });
        Ok(())
    }

    fn flash_begin(&mut self, data: &[u8], board: &mut Board) -> Result<(), Failure> {
        let [size, blocks, block, address] = words(data)?;
        self.flash = None;
        if !erase_area(address, size, board) {
            return Err(Failure::Failed);
        }
        self.flash = Some(Transfer { address, block, blocks });
        Ok(())
    }
}

fn reply(board: &mut Board, code: u8, value: u32, status: [u8; 2]) {
    let mut packet = vec![1, code, status.len() as u8, 0];
    packet.extend(value.to_le_bytes());
    packet.extend(status);
    let mut frame = vec![END];
    for byte in packet {
        match byte {
            END => frame.extend([ESCAPE, ESCAPED_END]),
            ESCAPE => frame.extend([ESCAPE, ESCAPED_ESCAPE]),
            byte => frame.push(byte),
        }
    }
    frame.push(END);
    board.uarts[0].send(&frame);
}

/// Exactly so many little-endian words.
fn words<const N: usize>(data: &[u8]) -> Result<[u32; N], Failure> {
    if data.len() != 4 * N {
        return Err(Failure::Invalid);
    }
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(data.chunks_exact(4)) {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    Ok(words)
}

fn read_register(data: &[u8], board: &mut Board) -> Result<u32, Failure> {
    use crate::cpu::Bus as _;
    let [address] = words(data)?;
    if address % 4 != 0 {
        return Err(Failure::Failed);
    }
    board.load32(address, board.loader_cycle()).map_err(|_| Failure::Failed)
}

/// Any number of address, value, mask and delay. The delay is not waited for.
fn write_registers(data: &[u8], board: &mut Board) -> Result<(), Failure> {
    use crate::cpu::Bus as _;
    if data.is_empty() || !data.len().is_multiple_of(16) {
        return Err(Failure::Invalid);
    }
    let now = board.loader_cycle();
    for entry in data.chunks_exact(16) {
        let [address, value, mask, _delay] = words(entry)?;
        if address % 4 != 0 {
            return Err(Failure::Failed);
        }
        let old = if mask == u32::MAX {
            0
        } else {
            board.load32(address, now).map_err(|_| Failure::Failed)?
        };
        board.store32(address, old & !mask | value & mask, now).map_err(|_| Failure::Failed)?;
    }
    Ok(())
}

/// The data of a block and where it goes, if length, number and checksum are right.
fn block(transfer: Option<Transfer>, data: &[u8], sum: u32) -> Result<(u32, &[u8]), Failure> {
    let Some((header, payload)) = data.split_at_checked(16) else {
        return Err(Failure::Invalid);
    };
    let [size, number, _, _] = words(header)?;
    let transfer = transfer.ok_or(Failure::Failed)?;
    if size as usize != payload.len() || size > transfer.block {
        return Err(Failure::Invalid);
    }
    if number >= transfer.blocks {
        return Err(Failure::Failed);
    }
    if u32::from(payload.iter().fold(CHECKSUM, |sum, byte| sum ^ byte)) != sum {
        return Err(Failure::Checksum);
    }
    Ok((transfer.address.wrapping_add(number.wrapping_mul(transfer.block)), payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::flash::Flash;

    fn board() -> Board {
        Board::new(Flash::blank(0x10_0000), [0; 6], 1)
    }

    fn packet(code: u8, data: &[u8], sum: u32) -> Vec<u8> {
        let mut packet = vec![0, code];
        packet.extend((data.len() as u16).to_le_bytes());
        packet.extend(sum.to_le_bytes());
        packet.extend(data);
        packet
    }

    /// Sends one frame; returns the action and the first reply's value and status.
    fn send(loader: &mut Loader, board: &mut Board, packet: &[u8]) -> (Option<Action>, Vec<u8>) {
        let mut action = loader.receive(END, board);
        for byte in packet {
            match *byte {
                END => {
                    loader.receive(ESCAPE, board);
                    loader.receive(ESCAPED_END, board);
                }
                ESCAPE => {
                    loader.receive(ESCAPE, board);
                    loader.receive(ESCAPED_ESCAPE, board);
                }
                byte => {
                    loader.receive(byte, board);
                }
            }
        }
        action = action.or(loader.receive(END, board));
        (action, board.uarts[0].take_sent())
    }

    fn longs(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn sync_is_answered_eight_times() {
        let (mut loader, mut board) = (Loader::default(), board());
        let mut data = vec![0x07, 0x07, 0x12, 0x20];
        data.extend([0x55; 32]);
        let (_, sent) = send(&mut loader, &mut board, &packet(op::SYNC, &data, 0));
        let one = [END, 1, op::SYNC, 2, 0, 7, 7, 0x12, 0x20, 0, 0, END];
        assert_eq!(sent, one.repeat(8));
        assert!(loader.synchronised());
    }

    #[test]
    fn program_into_ram_and_run() {
        let (mut loader, mut board) = (Loader::default(), board());
        let begin = packet(op::MEM_BEGIN, &longs(&[6, 2, 4, 0x4010_0000]), 0);
        assert_eq!(send(&mut loader, &mut board, &begin).1[9..11], [0, 0]);
        for (number, part) in [(0, &[0xC0, 0xDB, 3, 4][..]), (1, &[5, 6])] {
            let mut data = longs(&[part.len() as u32, number, 0, 0]);
            data.extend(part);
            let sum = u32::from(part.iter().fold(CHECKSUM, |s, b| s ^ b));
            let good = packet(op::MEM_DATA, &data, sum);
            let bad = packet(op::MEM_DATA, &data, sum ^ 1);
            assert_eq!(send(&mut loader, &mut board, &bad).1[9..11], [1, 7]);
            assert_eq!(send(&mut loader, &mut board, &good).1[9..11], [0, 0]);
        }
        assert_eq!(board.read_memory(0x4010_0000, 6).unwrap(), [0xC0, 0xDB, 3, 4, 5, 6]);
        let end = packet(op::MEM_END, &longs(&[0, 0x4010_0000]), 0);
        assert_eq!(send(&mut loader, &mut board, &end).0, Some(Action::Run(0x4010_0000)));
    }

    #[test]
    fn hostile_frames_are_refused() {
        let (mut loader, mut board) = (Loader::default(), board());
        for (bad, why) in [
            (packet(0x14, &[], 0), 5),
            (packet(op::READ_REG, &longs(&[0x6000_0001]), 0), 6),
            (packet(op::READ_REG, &longs(&[0x1000_0000]), 0), 6),
            (packet(op::READ_REG, &[1], 0), 5),
            (packet(op::MEM_DATA, &longs(&[0, 0, 0, 0]), 0xEF), 6),
            (packet(op::FLASH_DATA, &longs(&[0, 0, 0, 0]), 0xEF), 6),
            (packet(op::FLASH_BEGIN, &longs(&[0x1000, 4, 0x400, 0x10_0000]), 0), 6),
            (packet(op::MEM_END, &longs(&[0, 0]), 0), 6),
            (packet(op::WRITE_REG, &longs(&[0, 0, 0]), 0), 5),
        ] {
            let (action, sent) = send(&mut loader, &mut board, &bad);
            assert_eq!((action, &sent[9..11]), (None, &[1, why][..]), "{bad:x?}");
        }
        // Too short, too long, and no frame at all: no answer, and no harm to the next one.
        for bad in [vec![0], vec![7; LONGEST * 2]] {
            assert_eq!(send(&mut loader, &mut board, &bad).1, b"");
        }
        loader.receive(END, &mut board);
        let read = packet(op::READ_REG, &longs(&[0x4000_1000]), 0);
        assert_eq!(send(&mut loader, &mut board, &read).1[5..11], [1, 0xC1, 0xF0, 0xFF, 0, 0]);
    }

    #[test]
    fn noise_and_nonsense_are_survived() {
        let (mut loader, mut board) = (Loader::default(), board());
        let mut state = 5u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let codes = [
            op::FLASH_BEGIN,
            op::FLASH_DATA,
            op::FLASH_END,
            op::MEM_BEGIN,
            op::MEM_END,
            op::MEM_DATA,
            op::SYNC,
            op::WRITE_REG,
            op::READ_REG,
        ];
        for _ in 0..20_000 {
            let words: Vec<u32> = (0..random() % 9)
                .map(|_| match random() % 4 {
                    0 => random() % 0x20,
                    1 => 1 << (random() % 32),
                    2 => u32::MAX - random() % 4,
                    _ => {
                        [0x4010_0000, 0x3FFE_8000, 0x6000_0000, 0x3FF0_0000][random() as usize % 4]
                    }
                })
                .collect();
            let mut data = longs(&words);
            data.truncate(data.len().saturating_sub(random() as usize % 2));
            let payload = data.get(16..).unwrap_or(&[]);
            let sum = u32::from(payload.iter().fold(CHECKSUM, |s, b| s ^ b));
            let code = codes[random() as usize % codes.len()];
            send(&mut loader, &mut board, &packet(code, &data, sum));
            for _ in 0..random() % 20 {
                loader.receive(random() as u8, &mut board);
            }
            board.uarts[0].take_sent();
        }
        // Ends whatever the noise began.
        loader.receive(END, &mut board);
        loader.receive(END, &mut board);
        let read = packet(op::READ_REG, &longs(&[0x4000_1000]), 0);
        assert_eq!(send(&mut loader, &mut board, &read).1[5..11], [1, 0xC1, 0xF0, 0xFF, 0, 0]);
    }
}
