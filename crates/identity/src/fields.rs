//! The identity's fields as both sides handle them.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddrV4;

use crate::Field;
use crate::error::Error;

/// Port when the identity names none: MQTT over TLS.
pub const DEFAULT_PORT: u16 = 8883;
/// Topic of the status when the identity names none.
pub const DEFAULT_STATUS_TOPIC: &str = "esp8266/status";
/// Topic of commands when the identity names none.
pub const DEFAULT_CONTROL_TOPIC: &str = "esp8266/control";
/// Keep-alive in seconds when the identity names none.
pub const DEFAULT_KEEP_ALIVE_S: u16 = 60;
/// Longest delay in seconds between two attempts to connect when the identity names none.
pub const DEFAULT_BACKOFF_CAP_S: u16 = 60;
/// Seconds within which an update must have connected when the identity names none.
pub const DEFAULT_TRIAL_S: u16 = 300;
/// Time servers when the identity names none.
pub const DEFAULT_NTP_SERVERS: [NtpServer<'static>; 2] = [
    NtpServer { host: "pool.ntp.org", port: NTP_PORT },
    NtpServer { host: "time.aws.com", port: NTP_PORT },
];
/// Port of a time server that is named without one.
pub const NTP_PORT: u16 = 123;
/// Port of a name server that is named without one.
pub const DNS_PORT: u16 = 53;

/// Everything that makes one device this device.
///
/// Borrows texts and DER from where they were read: on the device, from flash. Neither `Debug` nor
/// `Display` shows the private key or a passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Host name of the MQTT server: it is looked up, sent as SNI and must be in its certificate.
    pub endpoint: &'a str,
    /// TCP port of the MQTT server.
    pub port: u16,
    /// MQTT client identifier; `None` lets the application choose.
    pub client_id: Option<&'a str>,
    /// Name of the AWS IoT thing.
    pub thing_name: Option<&'a str>,
    /// Topic to publish the status to.
    pub status_topic: &'a str,
    /// Topic that commands come from.
    pub control_topic: &'a str,
    /// DER: the device's certificate, then the intermediates that it presents with it.
    pub certificates: Vec<&'a [u8]>,
    /// DER of the certificate's key (SEC 1, or PKCS #8).
    pub private_key: &'a [u8],
    /// DER: roots to trust besides those built into the firmware.
    pub roots: Vec<&'a [u8]>,
    /// Wi-Fi networks, the preferred one first.
    pub wifi: Vec<WifiNetwork<'a>>,
    /// Time servers, the preferred one first; when empty, [`Identity::ntp_servers`] has the
    /// defaults.
    pub own_ntp_servers: Vec<NtpServer<'a>>,
    /// Name servers to use instead of those that DHCP offers.
    pub dns_servers: Vec<SocketAddrV4>,
    /// MQTT keep-alive in seconds.
    pub keep_alive_s: u16,
    /// Longest delay between two attempts to connect, in seconds.
    pub backoff_cap_s: u16,
    /// Whether the server forgets the session when the connection ends.
    pub clean_session: bool,
    /// Log levels that differ from the firmware's.
    pub log_levels: Vec<LogLevel<'a>>,
    /// Public keys on P-256, x and y, of which one must have signed an update. Without any, none
    /// is taken.
    pub update_keys: Vec<&'a [u8; 64]>,
    /// Seconds within which an update must have connected, or else the old firmware comes back.
    pub trial_s: u16,
    /// Whether the radio sleeps between the access point's beacons.
    pub modem_sleep: bool,
}

impl<'a> Identity<'a> {
    /// An identity with the defaults for all that has one. Nothing is checked before it is
    /// encoded.
    pub fn new(endpoint: &'a str, certificate: &'a [u8], private_key: &'a [u8]) -> Self {
        Self { certificates: alloc::vec![certificate], private_key, ..Self::defaults(endpoint) }
    }

    /// All defaults, with neither certificate nor key.
    pub(crate) fn defaults(endpoint: &'a str) -> Self {
        Self {
            endpoint,
            port: DEFAULT_PORT,
            client_id: None,
            thing_name: None,
            status_topic: DEFAULT_STATUS_TOPIC,
            control_topic: DEFAULT_CONTROL_TOPIC,
            certificates: Vec::new(),
            private_key: &[],
            roots: Vec::new(),
            wifi: Vec::new(),
            own_ntp_servers: Vec::new(),
            dns_servers: Vec::new(),
            keep_alive_s: DEFAULT_KEEP_ALIVE_S,
            backoff_cap_s: DEFAULT_BACKOFF_CAP_S,
            clean_session: false,
            log_levels: Vec::new(),
            update_keys: Vec::new(),
            trial_s: DEFAULT_TRIAL_S,
            modem_sleep: false,
        }
    }

    /// The time servers to ask, the preferred one first: the identity's own, or the defaults.
    pub fn ntp_servers(&self) -> &[NtpServer<'a>] {
        if self.own_ntp_servers.is_empty() { &DEFAULT_NTP_SERVERS } else { &self.own_ntp_servers }
    }
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("endpoint", &self.endpoint)
            .field("port", &self.port)
            .field("client_id", &self.client_id)
            .field("thing_name", &self.thing_name)
            .field("status_topic", &self.status_topic)
            .field("control_topic", &self.control_topic)
            .field("certificates", &Sizes(&self.certificates))
            .field("private_key", &format_args!("hidden"))
            .field("roots", &Sizes(&self.roots))
            .field("wifi", &self.wifi)
            .field("own_ntp_servers", &self.own_ntp_servers)
            .field("dns_servers", &self.dns_servers)
            .field("keep_alive_s", &self.keep_alive_s)
            .field("backoff_cap_s", &self.backoff_cap_s)
            .field("clean_session", &self.clean_session)
            .field("log_levels", &self.log_levels)
            .field("update_keys", &self.update_keys.len())
            .field("trial_s", &self.trial_s)
            .field("modem_sleep", &self.modem_sleep)
            .finish()
    }
}

/// One line for the log: where the device connects to and as what.
impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {}:{}", self.endpoint, self.port)?;
        if let Some(thing) = self.thing_name {
            write!(f, ", thing {thing}")?;
        }
        if let Some(id) = self.client_id {
            write!(f, ", client id {id}")?;
        }
        write!(
            f,
            ", {} certificate(s), {} own root(s), {} Wi-Fi network(s)",
            self.certificates.len(),
            self.roots.len(),
            self.wifi.len()
        )
    }
}

/// Shows DER values by their sizes.
struct Sizes<'a>(&'a [&'a [u8]]);

impl fmt::Debug for Sizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|der| SizeOf(der.len()))).finish()
    }
}

/// Shows one size.
struct SizeOf(usize);

impl fmt::Debug for SizeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A Wi-Fi network and how to get in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WifiNetwork<'a> {
    /// The network's name: 1 to 32 bytes of any kind.
    pub ssid: &'a [u8],
    /// How to get in.
    pub key: WifiKey<'a>,
}

/// The key of a Wi-Fi network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum WifiKey<'a> {
    /// An open network.
    None,
    /// WPA passphrase: 8 to 63 printable ASCII characters. Of identities made before the key was
    /// computed on the host.
    Passphrase(&'a str),
    /// The pairwise master key that follows from passphrase and SSID (IEEE 802.11-2020, J.4).
    Pmk(&'a [u8; 32]),
}

impl fmt::Debug for WifiKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Passphrase(_) => "passphrase, hidden",
            Self::Pmk(_) => "key, hidden",
        })
    }
}

impl fmt::Debug for WifiNetwork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WifiNetwork")
            .field("ssid", &format_args!("{}", self.ssid.escape_ascii()))
            .field("key", &self.key)
            .finish()
    }
}

/// A time server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtpServer<'a> {
    /// Host name or IPv4 address.
    pub host: &'a str,
    /// UDP port.
    pub port: u16,
}

impl<'a> NtpServer<'a> {
    /// Reads `host` or `host:port`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the port is not a number. The host is checked when the identity is.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        match text.split_once(':') {
            None => Ok(Self { host: text, port: NTP_PORT }),
            Some((host, port)) => Ok(Self { host, port: parse_port(port, Field::NtpServer)? }),
        }
    }
}

impl fmt::Display for NtpServer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == NTP_PORT {
            f.write_str(self.host)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads `a.b.c.d` or `a.b.c.d:port` for [`Identity::dns_servers`].
///
/// # Errors
/// [`Error::Invalid`] when it is neither.
pub fn parse_dns_server(text: &str) -> Result<SocketAddrV4, Error> {
    let (address, port) = match text.split_once(':') {
        None => (text, DNS_PORT),
        Some((address, port)) => (address, parse_port(port, Field::DnsServer)?),
    };
    let address = address
        .parse()
        .map_err(|_| Field::DnsServer.invalid("must be an IPv4 address, with or without :port"))?;
    Ok(SocketAddrV4::new(address, port))
}

/// Reads a port written in decimal digits only (`u16::from_str` would take a plus sign).
fn parse_port(text: &str, field: Field) -> Result<u16, Error> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| all_digits)
        .ok_or(field.invalid("must have a number from 1 to 65535 after the colon"))
}

/// The log level of one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel<'a> {
    /// The module's short name, or `*` for every module that is not named.
    pub module: &'a str,
    /// The least important level to show.
    pub level: Level,
}

/// A log level; the values are those of the format and of the `log` crate's `LevelFilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing.
    Off = 0,
    /// What stops something from working.
    Error = 1,
    /// What is wrong but handled.
    Warn = 2,
    /// What a person wants to see.
    Info = 3,
    /// What a developer wants to see.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

impl Level {
    /// The level of a number of the format.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| *level as u8 == number)
    }
}
