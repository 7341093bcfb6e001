//! The station's side of WPA2-PSK with CCMP (IEEE 802.11-2020, chapter 12), without a radio.
//!
//! [`Supplicant`] answers the access point's EAPOL-Key frames and hands out the keys to install;
//! [`element`] reads and makes RSN elements; [`key`] derives keys. Nothing here knows a driver,
//! a clock or a heap. The two algorithms that it needs come through [`Sha1`] and [`Aes128`];
//! [`SmallSha1`] and [`SmallAes128`] are the device's.
//!
//! Only what WPA2-PSK with CCMP needs is spoken: key descriptor version 2 (HMAC-SHA1, AES key
//! wrap). Whatever else an access point sends is refused by name, and nothing that is refused
//! changes a key.
//!
//! ```
//! use wpa::element::{self, RSN, Security, cipher};
//!
//! // What this station asks for, as it stands in its association request.
//! let wish = element::own_rsn(cipher::CCMP);
//! let first = element::elements(&wish).next().unwrap().unwrap();
//! assert_eq!((first.id, first.whole.len()), (RSN, wish.len()));
//! // An access point that offers the same is one to join.
//! assert!(matches!(Security::of(true, &wish), Security::Wpa2 { .. }));
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod aes;
pub mod eapol;
pub mod element;
pub mod key;
mod sha1;
mod supplicant;

pub use aes::SmallAes128;
pub use sha1::SmallSha1;
pub use supplicant::{Config, GroupKey, Heard, Install, Progress, Refused, Supplicant};

/// A running SHA-1 (FIPS 180-4).
pub trait Sha1: Clone {
    /// The hash of nothing.
    fn new() -> Self;
    /// Appends bytes.
    fn update(&mut self, bytes: &[u8]);
    /// The hash.
    fn finish(self) -> [u8; 20];
}

/// AES-128 (FIPS 197), which only ever decrypts here: key unwrapping.
pub trait Aes128 {
    /// Takes a key.
    fn new(key: &[u8; 16]) -> Self;
    /// Decrypts one block.
    fn decrypt(&self, block: &mut [u8; 16]);
}

/// An IEEE 802 address.
pub type Mac = [u8; 6];
