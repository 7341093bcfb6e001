//! Why a TLS connection failed, in words.

use core::fmt;

use sys::{tls_stage, tls_unsupported};
use vendor_sys as sys;

/// The record of a failure that `tls_client.c` keeps: mbedTLS's code, the certificate's
/// faults, the peer's alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Error {
    /// mbedTLS's code (negative), or what the stage says; 0 when only a deadline passed.
    pub code: i32,
    /// `MBEDTLS_X509_BADCERT_*`: what is wrong with the server's certificate.
    pub verify_flags: u32,
    /// errno of the socket call that failed, 0 if none did.
    pub errno: i32,
    /// `enum tls_stage`: what was being done.
    pub stage: u8,
    /// Alert that the server sent (RFC 5246 section 7.2), 0 if none.
    pub alert: u8,
    /// The heap refused an allocation on the way.
    pub out_of_memory: bool,
    /// A deadline of ours passed.
    pub timed_out: bool,
    /// `enum tls_unsupported`: what a certificate of the server's uses that this device cannot.
    pub unsupported: u8,
    /// At stage `PROFILE`: index of the bad certificate, roots first; 255 for the key, 254 for
    /// the random source.
    pub item: u8,
}

/// `TLS_ITEM_KEY` and `TLS_ITEM_RANDOM`.
const ITEM_KEY: u8 = sys::TLS_ITEM_KEY as u8;
const ITEM_RANDOM: u8 = sys::TLS_ITEM_RANDOM as u8;

impl Error {
    /// The last failure since `clear_last`.
    pub fn last() -> Option<Self> {
        let mut raw = sys::tls_error::default();
        // SAFETY: fills the structure that it is given.
        unsafe { sys::tls_last_error(&mut raw) };
        (u32::from(raw.stage) != tls_stage::TLS_STAGE_NONE).then_some(Self {
            code: raw.code,
            verify_flags: raw.verify_flags,
            errno: raw.sys_errno,
            stage: raw.stage,
            alert: raw.alert,
            out_of_memory: raw.out_of_memory,
            timed_out: raw.timed_out,
            unsupported: raw.unsupported,
            item: raw.item,
        })
    }

    /// The endpoint's name could not be looked up, so that TLS was never begun.
    pub fn unresolved() -> Self {
        Self { stage: tls_stage::TLS_STAGE_RESOLVE as u8, ..Self::default() }
    }

    /// Whether the server has reset a connection that was set up.
    pub fn is_reset(&self) -> bool {
        const ECONNRESET: i32 = 104;
        let stage = u32::from(self.stage);
        self.errno == ECONNRESET
            && (stage == tls_stage::TLS_STAGE_READ || stage == tls_stage::TLS_STAGE_WRITE)
    }

    /// Forgets the last failure.
    pub fn clear_last() {
        // SAFETY: writes a record of the C side.
        unsafe { sys::tls_error_clear() };
    }

    /// Whether a certificate of the server has expired or is not valid yet by this device's clock.
    pub fn dates_do_not_fit(&self) -> bool {
        // MBEDTLS_X509_BADCERT_EXPIRED and _FUTURE (mbedtls/x509.h).
        self.verify_flags & 0x201 != 0
    }

    /// Whether the same may succeed another time: memory or the random source was the cause.
    pub fn is_passing(&self) -> bool {
        self.out_of_memory || self.is_random_source()
    }

    fn is_random_source(&self) -> bool {
        u32::from(self.stage) == tls_stage::TLS_STAGE_PROFILE && self.item == ITEM_RANDOM
    }

    /// What is wrong with the server's certificate, worst first.
    fn certificate_fault(&self) -> Option<&'static str> {
        // mbedtls/x509.h.
        const NOT_TRUSTED: u32 = 0x0000_0008;
        const FAULTS: [(u32, &str); 9] = [
            (0x0000_4000, "a certificate of the server is signed with a hash that is too weak"),
            (
                0x0000_8000,
                "a certificate of the server has a kind of key that this device does not take",
            ),
            (
                0x0001_0000,
                "a certificate of the server has a key that is too short, or an elliptic curve other than P-256",
            ),
            (0x0000_0004, "the server's certificate is for another host name: check the endpoint"),
            (0x0000_0001, "the server's certificate has expired (or this device's clock is wrong)"),
            (
                0x0000_0200,
                "the server's certificate is not valid yet (or this device's clock is wrong)",
            ),
            (
                0x0000_0008,
                "the server's certificate is not signed by a root that this device trusts: wrong endpoint, a root is missing in the identity, or a login page of the network answers",
            ),
            (0x0000_0002, "the server's certificate is revoked"),
            (0xFFFF_FFFF, "the server's certificate is not acceptable"),
        ];
        // What could not be read is missing in the chain.
        if self.verify_flags & NOT_TRUSTED != 0 || self.verify_flags == 0 {
            match u32::from(self.unsupported) {
                tls_unsupported::TLS_UNSUPPORTED_CURVE => {
                    return Some(
                        "a certificate of the server has a key on an elliptic curve other than P-256, which this device does not support",
                    );
                }
                tls_unsupported::TLS_UNSUPPORTED_KEY => {
                    return Some(
                        "a certificate of the server has a key that is neither RSA nor on an elliptic curve, which this device does not support",
                    );
                }
                tls_unsupported::TLS_UNSUPPORTED_SIGNATURE => {
                    return Some(
                        "a certificate of the server is signed by an algorithm that this device does not support (it knows RSA PKCS#1 and ECDSA, with SHA-256 and SHA-384)",
                    );
                }
                _ => {}
            }
        }
        FAULTS.iter().find(|(mask, _)| self.verify_flags & mask != 0).map(|(_, words)| *words)
    }

    /// What the server complained about.
    fn alert_words(&self) -> &'static str {
        match self.alert {
            40 => "no common cipher, TLS version or key type, or it wants another certificate",
            42 | 43 | 46 => {
                "it does not accept this device's certificate: is it registered and active?"
            }
            44 => "this device's certificate is revoked",
            45 => "this device's certificate has expired",
            48 => "it does not know the issuer of this device's certificate: is it registered?",
            49 => "access denied",
            51 => "this device's key does not match its certificate",
            70 => "it does not speak TLS 1.2",
            112 => "it does not know this host name: check the endpoint",
            120 => "it does not speak MQTT by ALPN on this port",
            _ => "see the alert's number in RFC 5246 section 7.2",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = u32::from(self.stage);
        if self.out_of_memory {
            write!(out, "out of memory")?;
        } else if stage == tls_stage::TLS_STAGE_PROFILE {
            match self.item {
                ITEM_RANDOM => {
                    write!(out, "the random source failed: no keys are made without it")?
                }
                ITEM_KEY => write!(
                    out,
                    "the private key in the identity cannot be read or does not match the certificate: make the identity again"
                )?,
                item => write!(
                    out,
                    "certificate {item} (roots first) in the identity cannot be read: make the identity again"
                )?,
            }
        } else if stage == tls_stage::TLS_STAGE_RESOLVE {
            write!(
                out,
                "the endpoint's name cannot be resolved: check the name and the network's DNS server"
            )?;
        } else if stage == tls_stage::TLS_STAGE_CONNECT {
            write!(
                out,
                "no TCP connection: does the endpoint listen on this port, does the network let it through?"
            )?;
        } else if let Some(fault) = self.certificate_fault() {
            write!(out, "{fault}")?;
        } else if self.alert != 0 {
            let what = match stage {
                tls_stage::TLS_STAGE_HANDSHAKE => "handshake",
                _ => "connection",
            };
            write!(
                out,
                "the server ended the {what} with alert {}: {}",
                self.alert,
                self.alert_words()
            )?;
        } else if self.timed_out {
            write!(out, "the server did not answer in time")?;
        } else if stage == tls_stage::TLS_STAGE_PACKET {
            write!(out, "the server sent what is not MQTT 3.1.1 (code 0x{:X})", self.code)?;
        } else if stage == tls_stage::TLS_STAGE_HANDSHAKE {
            write!(out, "handshake failed: {}", words(self.code))?;
        } else {
            write!(out, "connection broken: {}", words(self.code))?;
        }
        if self.code < 0 {
            write!(out, " (mbedTLS -0x{:04X}", self.code.unsigned_abs())?;
            if self.verify_flags != 0 {
                write!(out, ", flags 0x{:X}", self.verify_flags)?;
            }
            write!(out, ")")?;
        }
        if self.errno != 0 {
            write!(out, " (errno {})", self.errno)?;
        }
        Ok(())
    }
}

/// The codes of `mbedtls/ssl.h` that a person meets.
fn words(code: i32) -> &'static str {
    match -code {
        0x6E80 => "the server does not speak TLS 1.2",
        0x7280 => "the server closed the connection in the middle of it",
        0x7200 | 0x7100 => {
            "the server sent a record that is not TLS or too large: is this a TLS port?"
        }
        0x6E00 => "no common cipher suite or key type",
        0x7180 => "a record was changed on the way",
        0x7880 => "the server ended the session",
        0x7700 => "an unexpected message",
        0x004C | 0x004E => "the network gave it up",
        0x2100..=0x2F80 => "see the code in mbedtls/x509.h",
        0x3880..=0x3F80 => "see the code in mbedtls/pk.h",
        0x4B00..=0x4F80 => "see the code in mbedtls/ecp.h",
        0x6000..=0x7F80 => "see the code in mbedtls/ssl.h",
        _ => "see the code in mbedtls/error.h",
    }
}

impl core::error::Error for Error {}
