//! The identity region: what makes one device this device.
//!
//! Credentials, endpoint and Wi-Fi settings are not part of the firmware image. They live in
//! their own region of flash, which a host program writes ([`Identity::encode_region`]) and the
//! device reads at boot ([`decode`]). Both sides use this crate, so they agree on the format and
//! on what is valid. Reading never panics and allocates no more than a few small vectors, whatever
//! the bytes are.
//!
//! # Format, byte by byte
//!
//! All numbers are little endian. The region is [`REGION_SIZE`] = 16384 bytes, aligned to 16, and
//! holds two copies of [`COPY_SIZE`] = 8192 bytes (two 4 KiB flash sectors each): copy 0 at offset
//! 0, copy 1 at offset 8192. A copy is a header, a body and then unused bytes up to its end (0xFF
//! when made by this crate, never looked at).
//!
//! ## Header, 24 bytes
//!
//! | Offset | Size | Content |
//! | --- | --- | --- |
//! | 0 | 4 | magic, the ASCII text `EID1` |
//! | 4 | 2 | format version, 1 ([`FORMAT_VERSION`]) |
//! | 6 | 2 | header length *h* in bytes, 24; a multiple of 4, 24 to 256 |
//! | 8 | 4 | sequence number of this copy |
//! | 12 | 4 | body length *n* in bytes, a multiple of 4 |
//! | 16 | 4 | CRC-32 of the *n* bytes of the body |
//! | *h* - 4 | 4 | CRC-32 of the header's first *h* - 4 bytes |
//!
//! The CRC-32 is that of IEEE 802.3 (zlib, gzip, PNG; "CRC-32/ISO-HDLC"). It finds damage, it does
//! not prove origin: whoever can write the flash can write an identity.
//!
//! Two kinds of change are foreseen. Fields and trailing header bytes may be added without a new
//! version: a reader skips what it does not know. Whatever an older reader must not overlook gets
//! a new version, which an older reader refuses. The magic, the version, the header length and the
//! place of the header's CRC stay where they are for ever.
//!
//! ## Body
//!
//! A list of fields, one after the other, each at an offset that is a multiple of 4:
//!
//! | Offset | Size | Content |
//! | --- | --- | --- |
//! | 0 | 2 | tag |
//! | 2 | 2 | length *l* of the value in bytes, without padding |
//! | 4 | *l* | value |
//! | 4 + *l* | 0 to 3 | padding up to a multiple of 4: written as zero, not looked at |
//!
//! | Tag | Field | Value | How often | Default |
//! | --- | --- | --- | --- | --- |
//! | 1 | endpoint | UTF-8 text: host name of the MQTT server | 1 | |
//! | 2 | port | u16, not 0 | 0 or 1 | 8883 |
//! | 3 | client id | UTF-8 text, 1 to 128 bytes | 0 or 1 | the application's |
//! | 4 | thing name | text of `A-Z a-z 0-9 : _ -`, 1 to 128 bytes | 0 or 1 | none |
//! | 5 | status topic | UTF-8 text, 1 to 256 bytes, at most 7 slashes, no wildcard | 0 or 1 | `esp8266/status` |
//! | 6 | control topic | as above, and another than the status topic | 0 or 1 | `esp8266/control` |
//! | 7 | certificate | DER (X.509); the device's own first, then its chain | 1 to 4 | |
//! | 8 | private key | DER: SEC 1 `ECPrivateKey`, or PKCS #8 with an elliptic-curve key | 1 | |
//! | 9 | root | DER (X.509): one more root that may sign the server's chain | 0 to 4 | none |
//! | 10 | Wi-Fi network | u8 length, SSID (1 to 32 bytes), u8 length, passphrase (8 to 63 printable ASCII characters, or none: an open network) | 0 to 8 | none |
//! | 11 | NTP server | text: `host` or `host:port` | 0 to 4 | [`DEFAULT_NTP_SERVERS`] |
//! | 12 | DNS server | text: IPv4 address `a.b.c.d` or `a.b.c.d:port` | 0 to 4 | DHCP's |
//! | 13 | keep-alive | u16, seconds, 30 to 1200 | 0 or 1 | 60 |
//! | 14 | backoff cap | u16, seconds, 2 to 3600 | 0 or 1 | 60 |
//! | 15 | clean session | u8, 0 or 1 | 0 or 1 | 0: persistent session |
//! | 16 | log level | u8 level (0 off, 1 error, 2 warn, 3 info, 4 debug, 5 trace), then the module's name (`*` is every other module), 1 to 32 printable ASCII characters | 0 to 16 | none |
//!
//! Fields of one tag keep their order, tags may be mixed. Tags 0 and 65535 are never assigned.
//! The sizes follow AWS IoT Core's limits for MQTT (client id 128 bytes, topic 256 bytes with 7
//! slashes, keep-alive 30 to 1200 s), RFC 1035 and RFC 1123 (host names) and IEEE 802.11 (SSID,
//! passphrase).
//!
//! ## Which copy counts, and how to replace one
//!
//! A copy is valid when its header, its checksums and every known field are. Of two valid copies
//! the newer counts: the one whose sequence number is ahead of the other's in serial number
//! arithmetic (RFC 1982), and copy 0 when both are equal. A whole new region holds the same copy
//! twice. A later change erases and writes only the copy that does not count, with the next
//! sequence number ([`next_write`]): power that fails at any point leaves the other one valid.

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
    DEFAULT_PORT, DEFAULT_STATUS_TOPIC, DNS_PORT, Identity, Level, LogLevel, NTP_PORT, NtpServer,
    WifiNetwork, parse_dns_server,
};
pub use validate::{
    BACKOFF_CAP_S, KEEP_ALIVE_S, MAX_CERTIFICATES, MAX_CLIENT_ID, MAX_DNS_SERVERS, MAX_HOST_NAME,
    MAX_LOG_LEVELS, MAX_MODULE, MAX_NTP_SERVERS, MAX_PASSPHRASE, MAX_ROOTS, MAX_SSID, MAX_TOPIC,
    MAX_TOPIC_SLASHES, MAX_WIFI_NETWORKS, MIN_PASSPHRASE,
};

/// Size of the identity region in bytes.
pub const REGION_SIZE: usize = 2 * COPY_SIZE;

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

/// CRC-32 of IEEE 802.3. Bit by bit, without a table: the region is read once per boot, which
/// takes a few milliseconds, and a table would take 1 KiB of flash.
fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, crc::NoTable> =
        crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}
