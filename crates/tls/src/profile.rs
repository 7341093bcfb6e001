//! Who the device is and whom it trusts.

use alloc::boxed::Box;
use core::ptr::NonNull;

use lx106::Kept;
use vendor_sys as sys;

use crate::Error;

/// Amazon Root CA 1 (RSA 2048) and CA 3 (P-256).
static BUILT_IN_ROOTS: [&[u8]; 2] = [
    include_bytes!(concat!(env!("OUT_DIR"), "/amazon-root-ca-1.der")),
    include_bytes!(concat!(env!("OUT_DIR"), "/amazon-root-ca-3.der")),
];

/// ALPN protocol of MQTT on port 443 (AWS IoT developer guide, "Device communication
/// protocols").
const ALPN_MQTT: &core::ffi::CStr = c"x-amzn-mqtt-ca";
/// The port on which AWS IoT tells MQTT from HTTPS by ALPN.
const HTTPS_PORT: u16 = 443;

/// Most bytes of the message in which [`Credentials::certificates`] are sent: 7, and 3 with each.
pub const MAX_CHAIN_MESSAGE: usize = sys::TLS_CHAIN_MESSAGE as usize;

/// Certificates and key, as DER. They are kept by address, hence `'static`.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The device's certificate, then its issuers if the server needs them.
    pub certificates: &'a [&'static [u8]],
    /// The device's private key (SEC1 or PKCS#8).
    pub private_key: &'static [u8],
    /// Roots to trust besides Amazon's.
    pub extra_roots: &'a [&'static [u8]],
    /// The server's port: on 443 the protocol is named by ALPN.
    pub port: u16,
}

/// Checked credentials, shared by all connections.
pub struct Profile {
    raw: NonNull<sys::tls_profile>,
    // The raw profile points to both lists, which therefore never move and are dropped after
    // it was freed.
    _roots: Box<[sys::tls_der]>,
    _chain: Box<[sys::tls_der]>,
}

/// Of certificates that were found good.
#[unsafe(link_section = ".noinit")]
static VERIFIED: Kept<{ sys::TLS_KEPT_WORDS as usize }> = Kept::new();

// SAFETY: the profile is only read after it was made, and one task at a time does handshakes.
unsafe impl Send for Profile {}

impl Profile {
    /// Checks that the device's certificate and key parse and belong together, and that the chain
    /// can be sent. A further root that does not parse is left out: [`Error::last`] then tells of it,
    /// the last of several.
    ///
    /// # Errors
    /// Whether certificate or key is bad, and why.
    pub fn new(credentials: &Credentials) -> Result<Self, Error> {
        let der =
            |bytes: &&'static [u8]| sys::tls_der { data: bytes.as_ptr(), length: bytes.len() as _ };
        let mut roots: Box<[_]> =
            BUILT_IN_ROOTS.iter().chain(credentials.extra_roots).map(der).collect();
        let chain: Box<[_]> = credentials.certificates.iter().map(der).collect();
        let config = sys::tls_profile_config {
            roots: roots.as_mut_ptr(),
            root_count: roots.len() as _,
            chain: chain.as_ptr(),
            chain_count: chain.len() as _,
            key: der(&credentials.private_key),
            alpn: match credentials.port {
                HTTPS_PORT => ALPN_MQTT.as_ptr(),
                _ => core::ptr::null(),
            },
        };
        Error::clear_last();
        // SAFETY: the lists live as long as the profile, and what they point to for ever.
        let raw = unsafe { sys::tls_profile_new(&config) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, _roots: roots, _chain: chain }),
            None => Err(Error::last().unwrap_or_default()),
        }
    }

    /// Keeps over resets and deep sleep which certificates were found good, so that their signatures
    /// need not be verified again ([`Profile::recall_verified`]).
    pub fn keep_verified(&self) {
        let mut words = [0; sys::TLS_KEPT_WORDS as usize];
        // SAFETY: a live profile, and room for the words.
        if unsafe { sys::tls_keep_verified(self.as_ptr(), words.as_mut_ptr()) } {
            VERIFIED.keep(&words);
        } else {
            VERIFIED.forget();
        }
    }

    /// Takes what was kept for the truth, if it has the seal of this profile: its private key and
    /// its roots. Whether it had.
    pub fn recall_verified(&self) -> bool {
        let Some(words) = VERIFIED.get() else { return false };
        // SAFETY: a live profile, and the words.
        unsafe { sys::tls_recall_verified(self.as_ptr(), words.as_ptr()) }
    }

    /// For the MQTT client, which hands it to paho.
    pub fn as_ptr(&self) -> *const sys::tls_profile {
        self.raw.as_ptr()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // SAFETY: made by `tls_profile_new`; whoever used it borrowed or owned this value.
        unsafe { sys::tls_profile_free(self.raw.as_ptr()) };
    }
}
