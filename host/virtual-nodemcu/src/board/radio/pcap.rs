//! The air written to a file as tcpdump and Wireshark read it: pcap with radiotap headers.

use std::io::{self, Write};

use super::air::with_fcs;
use super::rate::Rate;

/// pcap with nanoseconds.
const MAGIC: u32 = 0xA1B2_3C4D;
/// LINKTYPE_IEEE802_11_RADIOTAP.
const LINK_TYPE: u32 = 127;
/// Noise floor, in dBm.
const NOISE: i8 = -96;

/// Radiotap: which fields there are.
mod present {
    pub const TIME: u32 = 1 << 0;
    pub const FLAGS: u32 = 1 << 1;
    pub const RATE: u32 = 1 << 2;
    pub const CHANNEL: u32 = 1 << 3;
    pub const SIGNAL: u32 = 1 << 5;
    pub const NOISE: u32 = 1 << 6;
    pub const MCS: u32 = 1 << 19;
}

/// The file.
pub struct Pcap {
    out: Box<dyn Write>,
    /// Nanoseconds since 1970 when the air began.
    epoch: u64,
    failed: bool,
}

impl Pcap {
    /// Starts a file. `epoch` is the time of day at the air's time 0, in nanoseconds since 1970.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: Box<dyn Write>, epoch: u64) -> io::Result<Self> {
        let mut header = MAGIC.to_le_bytes().to_vec();
        header.extend([2, 0, 4, 0]);
        header.extend([0; 8]);
        header.extend(65_535u32.to_le_bytes());
        header.extend(LINK_TYPE.to_le_bytes());
        out.write_all(&header)?;
        out.flush()?;
        Ok(Self { out, epoch, failed: false })
    }

    /// A frame (without checksum) that began at `at`.
    pub fn write(&mut self, frame: &[u8], rate: Rate, channel: u8, rssi: i8, at: u64) {
        let packet = [radiotap(rate, channel, rssi, at), with_fcs(frame)].concat();
        let time = self.epoch + at;
        let mut record = ((time / 1_000_000_000) as u32).to_le_bytes().to_vec();
        record.extend(((time % 1_000_000_000) as u32).to_le_bytes());
        record.extend((packet.len() as u32).to_le_bytes());
        record.extend((packet.len() as u32).to_le_bytes());
        record.extend(packet);
        // What is in the file is whole, whenever the program ends or somebody reads along.
        if self.out.write_all(&record).and_then(|()| self.out.flush()).is_err() {
            self.failed = true;
        }
    }

    /// Whether a frame could not be written.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }
}

fn radiotap(rate: Rate, channel: u8, rssi: i8, at: u64) -> Vec<u8> {
    let mhz: u16 = if channel == 14 { 2484 } else { 2407 + 5 * u16::from(channel) };
    // 2.4 GHz, and how it is modulated: CCK, OFDM, both.
    let band: u16 = 0x80
        | match rate {
            Rate::Dsss(..) => 0x20,
            Rate::Ofdm(_) => 0x40,
            Rate::Ht(_) => 0x400,
        };
    let flags = 0x10 | if matches!(rate, Rate::Dsss(_, true)) { 2 } else { 0 };
    let common =
        present::TIME | present::FLAGS | present::CHANNEL | present::SIGNAL | present::NOISE;
    let mut fields = (at / 1000).to_le_bytes().to_vec();
    fields.push(flags);
    let which = match rate {
        Rate::Ht(_) => {
            // The place of the rate, for the alignment of what follows.
            fields.push(0);
            common | present::MCS
        }
        rate => {
            fields.push(rate.units());
            common | present::RATE
        }
    };
    fields.extend(mhz.to_le_bytes());
    fields.extend(band.to_le_bytes());
    fields.extend([rssi as u8, NOISE as u8]);
    if let Rate::Ht(mcs) = rate {
        // Known: bandwidth, MCS, guard interval. 20 MHz, long.
        fields.extend([7, 0, mcs]);
    }
    let mut header = vec![0, 0];
    header.extend(((8 + fields.len()) as u16).to_le_bytes());
    header.extend(which.to_le_bytes());
    header.extend(fields);
    header
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn records_have_the_lengths_that_their_headers_say() {
        let shared = Shared::default();
        let mut pcap = Pcap::new(Box::new(shared.clone()), 1_000_000_000_000).unwrap();
        for rate in [Rate::Dsss(2, false), Rate::Ofdm(108), Rate::Ht(7)] {
            pcap.write(&[0x80; 40], rate, 6, -50, 2_500_000_000);
        }
        let bytes = shared.0.borrow();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(20)), (MAGIC, LINK_TYPE));
        let mut at = 24;
        for _ in 0..3 {
            assert_eq!((word(at), word(at + 4)), (1002, 500_000_000));
            let length = word(at + 8) as usize;
            let header = usize::from(bytes[at + 18]);
            assert_eq!(length, header + 40 + 4);
            at += 16 + length;
        }
        assert_eq!(at, bytes.len());
    }
}
