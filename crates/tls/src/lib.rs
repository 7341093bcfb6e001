//! TLS 1.2 with client certificates for safe Rust: credentials and errors.
//!
//! The session runs below paho, which drives it through its own socket seam
//! (`vendor/paho/SSLSocket.c` over `vendor/mbedtls/tls_client.c`): mbedTLS makes the handshake, with
//! ciphers of `crates/gcm`, and `crates/records` has the connection after it. What the owner of a
//! connection has to do with TLS is here: give it a [`Profile`], and read an [`Error`].
//! Chain, host name and dates are always verified; nothing can switch that off.
//!
//! ```ignore
//! let profile = tls::Profile::new(&tls::Credentials {
//!     certificates: &identity.certificates,
//!     private_key: identity.private_key,
//!     extra_roots: &identity.roots,
//!     port: identity.port,
//! })?;
//! // `mqtt::Client::take` wants it. After a failure:
//! if let Some(error) = tls::Error::last() {
//!     log::warn!("{error}"); // what went wrong, and what to do
//! }
//! ```

#![no_std]

extern crate alloc;

mod ciphers;
mod connection;
mod curve;
mod error;
mod profile;
mod rsa;

pub use curve::Sha256;
pub use error::Error;
pub use profile::{Credentials, MAX_CHAIN_MESSAGE, Profile};
