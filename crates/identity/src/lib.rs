//! The identity region: what makes one device this device.
//!
//! Credentials, endpoint and Wi-Fi settings are not part of the firmware image. They live in
//! their own region of flash, which a host program writes ([`Identity::encode_region`]) and the
//! device reads at boot ([`decode`]). Both sides use this crate, so they agree on the format and
//! on what is valid. Reading never panics and allocates no more than a few small vectors, whatever
//! the bytes are.
//!
//! `docs/identity.md` describes the format, byte by byte, which copy counts, and how to replace
//! one; the tests hold the code to it. Whoever changes the format changes that page.
//!
//! ```
//! use identity::{Error, REGION_SIZE, decode};
//!
//! // What a device finds that was never given an identity, or is too short for a region.
//! assert_eq!(decode(&[0xFF; REGION_SIZE]), Err(Error::Erased));
//! assert_eq!(decode(&[0xFF; 100]), Err(Error::RegionSize { length: 100 }));
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod decode;
mod encode;
mod error;
mod fields;
mod validate;

pub use decode::{Stored, decode, decode_copy};
pub use encode::{NextWrite, next_write};
pub use error::{Damage, Error, Field};
pub use fields::{
    DEFAULT_BACKOFF_CAP_S, DEFAULT_CONTROL_TOPIC, DEFAULT_KEEP_ALIVE_S, DEFAULT_NTP_SERVERS,
    DEFAULT_PORT, DEFAULT_STATUS_TOPIC, DEFAULT_TRIAL_S, DNS_PORT, Identity, Level, LogLevel,
    NTP_PORT, NtpServer, WifiKey, WifiNetwork, parse_dns_server,
};
pub use validate::{
    BACKOFF_CAP_S, KEEP_ALIVE_S, MAX_CERTIFICATES, MAX_CHAIN_MESSAGE, MAX_CLIENT_ID,
    MAX_DNS_SERVERS, MAX_HOST_NAME, MAX_LOG_LEVELS, MAX_MODULE, MAX_NTP_SERVERS, MAX_PASSPHRASE,
    MAX_ROOTS, MAX_SSID, MAX_TIME_SERVER, MAX_TOPIC, MAX_TOPIC_SLASHES, MAX_UPDATE_KEYS,
    MAX_WIFI_NETWORKS, MIN_PASSPHRASE, TRIAL_S, check_topic,
};

/// Size of the identity region in bytes.
pub const REGION_SIZE: usize = 2 * COPY_SIZE;

/// Where the region begins in a board's flash, in bytes. Linker scripts are told it by the boards'
/// build scripts, host programs take it from here.
pub const REGION_OFFSET: u32 = 0xF_8000;

/// Size of one of the region's two copies in bytes: two flash sectors.
pub const COPY_SIZE: usize = 8192;

/// The format version that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// First bytes of every copy.
const MAGIC: [u8; 4] = *b"EID1";

/// Length of the header that this crate writes, and the least that it reads.
const HEADER_LENGTH: usize = 24;

/// Length of the longest header that this crate reads.
const MAX_HEADER_LENGTH: usize = 256;

/// CRC-32 of IEEE 802.3 over these parts. Bit by bit, without a table: the region is read once per
/// boot, which takes a few milliseconds, and a table would take 1 KiB of flash.
#[must_use]
pub fn crc32(parts: &[&[u8]]) -> u32 {
    const CRC: crc::Crc<u32, crc::NoTable> =
        crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}
