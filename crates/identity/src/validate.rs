//! What a usable identity is: checked before encoding and after decoding alike.

use core::ops::RangeInclusive;

use crate::error::{Error, Field};
use crate::fields::{Identity, WifiKey, WifiNetwork};

/// Longest host name in bytes (RFC 1035, as text without a trailing dot).
pub const MAX_HOST_NAME: usize = 253;
/// Longest name of a time server in bytes: what lwIP looks up (`net::MAX_TIME_SERVER`).
pub const MAX_TIME_SERVER: usize = 127;
/// Longest MQTT client identifier in bytes (AWS IoT Core).
pub const MAX_CLIENT_ID: usize = 128;
/// Longest topic in bytes (AWS IoT Core).
pub const MAX_TOPIC: usize = 256;
/// Most slashes in a topic (AWS IoT Core).
pub const MAX_TOPIC_SLASHES: usize = 7;
/// Keep-alive in seconds (AWS IoT Core).
pub const KEEP_ALIVE_S: RangeInclusive<u16> = 30..=1200;
/// Longest delay between two attempts to connect, in seconds: room for jitter above the second
/// that every attempt waits, and an hour at most.
pub const BACKOFF_CAP_S: RangeInclusive<u16> = 2..=3600;
/// Time within which an update must have connected, in seconds: two attempts to connect at least.
pub const TRIAL_S: RangeInclusive<u16> = 60..=3600;
/// Longest SSID in bytes (IEEE 802.11).
pub const MAX_SSID: usize = 32;
/// Shortest WPA passphrase in characters (IEEE 802.11).
pub const MIN_PASSPHRASE: usize = 8;
/// Longest WPA passphrase in characters (IEEE 802.11).
pub const MAX_PASSPHRASE: usize = 63;
/// Longest module name of a log level in bytes.
pub const MAX_MODULE: usize = 32;
/// Most certificates: the device's and three intermediates.
pub const MAX_CERTIFICATES: usize = 4;
/// Longest TLS message of these certificates (RFC 5246, 7.4.2) in bytes: 7, and 3 more for each
/// certificate than it has itself. The device sends it as one record and has room for no more.
pub const MAX_CHAIN_MESSAGE: usize = 2048;
/// Most further roots.
pub const MAX_ROOTS: usize = 4;
/// Most Wi-Fi networks.
pub const MAX_WIFI_NETWORKS: usize = 8;
/// Most time servers.
pub const MAX_NTP_SERVERS: usize = 4;
/// Most name servers.
pub const MAX_DNS_SERVERS: usize = 4;
/// Most log levels.
pub const MAX_LOG_LEVELS: usize = 16;
/// Most keys that may sign updates: the one in use, and its successor.
pub const MAX_UPDATE_KEYS: usize = 2;

/// Longest label of a host name in bytes (RFC 1035).
const MAX_LABEL: usize = 63;
/// Longest AWS IoT thing name in bytes.
const MAX_THING_NAME: usize = 128;
/// Plausible sizes of a certificate in bytes: no X.509 certificate with a key and a signature is
/// shorter, and a longer one leaves no room for the rest.
const CERTIFICATE_SIZE: RangeInclusive<usize> = 128..=6144;
/// Plausible sizes of an elliptic-curve key in bytes: from a SEC 1 key of 256 bits without its
/// optional parts to a PKCS #8 key of 521 bits.
const PRIVATE_KEY_SIZE: RangeInclusive<usize> = 39..=512;

impl Identity<'_> {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first field that the device could not use.
    pub fn validate(&self) -> Result<(), Error> {
        endpoint(self.endpoint).map_err(|reason| Field::Endpoint.invalid(reason))?;
        if self.port == 0 {
            return Err(Field::Port.invalid("must not be 0"));
        }
        if let Some(id) = self.client_id {
            client_id(id).map_err(|reason| Field::ClientId.invalid(reason))?;
        }
        if let Some(name) = self.thing_name {
            thing_name(name).map_err(|reason| Field::ThingName.invalid(reason))?;
        }
        check_topic(self.status_topic).map_err(|reason| Field::StatusTopic.invalid(reason))?;
        check_topic(self.control_topic).map_err(|reason| Field::ControlTopic.invalid(reason))?;
        if self.status_topic == self.control_topic {
            return Err(Field::ControlTopic.invalid("must differ from the status topic"));
        }
        self.validate_credentials()?;
        self.validate_network()?;
        if !KEEP_ALIVE_S.contains(&self.keep_alive_s) {
            return Err(Field::KeepAlive.invalid("must be 30 to 1200 seconds"));
        }
        if !BACKOFF_CAP_S.contains(&self.backoff_cap_s) {
            return Err(Field::BackoffCap.invalid("must be 2 to 3600 seconds"));
        }
        at_most(MAX_UPDATE_KEYS, self.update_keys.len(), Field::UpdateKey)?;
        if !TRIAL_S.contains(&self.trial_s) {
            return Err(Field::TrialTime.invalid("must be 60 to 3600 seconds"));
        }
        at_most(MAX_LOG_LEVELS, self.log_levels.len(), Field::LogLevel)?;
        for entry in &self.log_levels {
            if !(1..=MAX_MODULE).contains(&entry.module.len())
                || !entry.module.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(Field::LogLevel
                    .invalid("must name a module in 1 to 32 printable ASCII characters"));
            }
        }
        Ok(())
    }

    /// Checks certificates, key and roots.
    fn validate_credentials(&self) -> Result<(), Error> {
        if self.certificates.is_empty() {
            return Err(Field::Certificate.invalid("is missing"));
        }
        at_most(MAX_CERTIFICATES, self.certificates.len(), Field::Certificate)?;
        at_most(MAX_ROOTS, self.roots.len(), Field::Root)?;
        let with_field = (self.certificates.iter().map(|der| (der, Field::Certificate)))
            .chain(self.roots.iter().map(|der| (der, Field::Root)));
        for (der, field) in with_field {
            certificate(der).map_err(|reason| field.invalid(reason))?;
        }
        let message = self.certificates.iter().fold(7, |sum, der| sum + 3 + der.len());
        if message > MAX_CHAIN_MESSAGE {
            return Err(Field::Certificate.invalid(
                "must have at most 2038 bytes, with its issuers and 3 more for each of them",
            ));
        }
        private_key(self.private_key).map_err(|reason| Field::PrivateKey.invalid(reason))
    }

    /// Checks Wi-Fi networks, time servers and name servers.
    fn validate_network(&self) -> Result<(), Error> {
        at_most(MAX_WIFI_NETWORKS, self.wifi.len(), Field::Wifi)?;
        self.wifi.iter().try_for_each(WifiNetwork::validate)?;
        at_most(MAX_NTP_SERVERS, self.own_ntp_servers.len(), Field::NtpServer)?;
        for server in &self.own_ntp_servers {
            host_name(server.host).map_err(|reason| Field::NtpServer.invalid(reason))?;
            if server.host.len() > MAX_TIME_SERVER {
                return Err(Field::NtpServer.invalid(
                    "must have a name of at most 127 characters, which is what the device looks up",
                ));
            }
            if server.port == 0 {
                return Err(Field::NtpServer.invalid("must not have port 0"));
            }
        }
        at_most(MAX_DNS_SERVERS, self.dns_servers.len(), Field::DnsServer)?;
        for server in &self.dns_servers {
            let address = server.ip();
            if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
                return Err(Field::DnsServer.invalid("must be the address of one host"));
            }
            if server.port() == 0 {
                return Err(Field::DnsServer.invalid("must not have port 0"));
            }
        }
        Ok(())
    }
}

impl WifiNetwork<'_> {
    /// Checks name and key.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the device could not use them.
    pub fn validate(&self) -> Result<(), Error> {
        if !(1..=MAX_SSID).contains(&self.ssid.len()) {
            return Err(Field::Wifi.invalid("must have an SSID of 1 to 32 bytes"));
        }
        let fits = match self.key {
            WifiKey::None | WifiKey::Pmk(_) => true,
            WifiKey::Passphrase(phrase) => {
                (MIN_PASSPHRASE..=MAX_PASSPHRASE).contains(&phrase.len())
                    && phrase.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            }
        };
        if !fits {
            return Err(Field::Wifi
                .invalid("must have a passphrase of 8 to 63 printable ASCII characters, or none"));
        }
        Ok(())
    }
}

/// Checks how often a repeatable field occurs. The decoder asks before it stores one more, which
/// bounds its memory.
pub(crate) fn at_most(most: usize, count: usize, field: Field) -> Result<(), Error> {
    if count > most {
        return Err(field.invalid("occurs too often"));
    }
    Ok(())
}

/// Checks the server's name. An address will not do: TLS sends and compares names (RFC 6066).
fn endpoint(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is missing");
    }
    host_name(name)?;
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a host name, not an address");
    }
    Ok(())
}

/// Checks a host name (RFC 1123) or an IPv4 address, which has the same syntax.
fn host_name(name: &str) -> Result<(), &'static str> {
    if !(1..=MAX_HOST_NAME).contains(&name.len()) {
        return Err("must be a host name of 1 to 253 characters");
    }
    for label in name.split('.') {
        if !(1..=MAX_LABEL).contains(&label.len()) {
            return Err("must have 1 to 63 characters between the dots of its host name");
        }
        let allowed = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !allowed || label.starts_with('-') || label.ends_with('-') {
            return Err("must be a host name of letters, digits, dots and inner hyphens only");
        }
    }
    Ok(())
}

/// Checks an MQTT client identifier.
fn client_id(id: &str) -> Result<(), &'static str> {
    if !(1..=MAX_CLIENT_ID).contains(&id.len()) {
        return Err("must have 1 to 128 bytes");
    }
    if id.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}

/// Checks an AWS IoT thing name.
fn thing_name(name: &str) -> Result<(), &'static str> {
    if !(1..=MAX_THING_NAME).contains(&name.len()) {
        return Err("must have 1 to 128 characters");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    if !name.bytes().all(allowed) {
        return Err("must consist of letters, digits, colons, underscores and hyphens");
    }
    Ok(())
}

/// Checks a topic to publish to, or to subscribe to without wildcards: over any other AWS IoT Core
/// ends the connection. Of topics with `$` in front there are its own only.
///
/// # Errors
/// What is wrong with it.
pub fn check_topic(topic: &str) -> Result<(), &'static str> {
    if !(1..=MAX_TOPIC).contains(&topic.len()) {
        return Err("must have 1 to 256 bytes");
    }
    if topic.starts_with('$') && !topic.starts_with("$aws/") {
        return Err("must not begin with $, but for $aws/");
    }
    // AWS does not count the first three of $aws/rules/NAME/...
    let uncounted = if topic.starts_with("$aws/rules/") { 3 } else { 0 };
    let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
    if slashes > MAX_TOPIC_SLASHES + uncounted {
        return Err("must not have more than 7 slashes");
    }
    if topic.contains(['+', '#']) {
        return Err("must not contain the wildcards + and #");
    }
    if topic.contains(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}

/// Checks that this looks like a DER certificate. mbedTLS judges the rest.
fn certificate(der: &[u8]) -> Result<(), &'static str> {
    let plausible = CERTIFICATE_SIZE.contains(&der.len())
        // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, ... }
        && der_only(DER_SEQUENCE, der).is_some_and(|inner| inner.first() == Some(&DER_SEQUENCE));
    if plausible { Ok(()) } else { Err("must be one certificate in DER (not PEM)") }
}

/// Checks that this looks like an elliptic-curve key in DER: SEC 1, or PKCS #8 around it.
fn private_key(der: &[u8]) -> Result<(), &'static str> {
    const ID_EC_PUBLIC_KEY: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

    if der.is_empty() {
        return Err("is missing");
    }
    let sound = || {
        if !PRIVATE_KEY_SIZE.contains(&der.len()) {
            return None;
        }
        let inner = der_only(DER_SEQUENCE, der)?;
        let (version, inner) = der_value(DER_INTEGER, inner)?;
        match version {
            // ECPrivateKey ::= SEQUENCE { version 1, privateKey OCTET STRING, ... }
            [1] => der_value(DER_OCTET_STRING, inner).map(drop),
            // PrivateKeyInfo ::= SEQUENCE { version 0, algorithm SEQUENCE { OID, ... }, ... }
            [0] => {
                let (algorithm, _) = der_value(DER_SEQUENCE, inner)?;
                let (oid, _) = der_value(DER_OID, algorithm)?;
                (oid == ID_EC_PUBLIC_KEY).then_some(())
            }
            _ => None,
        }
    };
    sound().ok_or("must be an elliptic-curve key in DER (SEC 1 or unencrypted PKCS #8)")
}

const DER_INTEGER: u8 = 0x02;
const DER_OCTET_STRING: u8 = 0x04;
const DER_OID: u8 = 0x06;
const DER_SEQUENCE: u8 = 0x30;

/// The content of the one DER value of that tag that fills all the bytes.
fn der_only(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (content, rest) = der_value(tag, bytes)?;
    rest.is_empty().then_some(content)
}

/// Splits off one DER value of that tag: its content and what follows. Lengths up to 65535, in
/// their shortest form, as DER demands.
fn der_value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(&[tag])?;
    let (length, rest) = match rest {
        [length @ 0..=0x7F, rest @ ..] => (usize::from(*length), rest),
        [0x81, length @ 0x80..=0xFF, rest @ ..] => (usize::from(*length), rest),
        [0x82, high @ 1..=0xFF, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
