//! What can be wrong with an identity, in words.

use core::fmt;

/// Why there is no identity to be had from a region, or none to be made of the given fields.
///
/// The texts are for a person who reads the device's console or the host program's output: they
/// say what is wrong and what to do next, and never contain a value of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The flash there is erased (0xFF): the device was never given an identity.
    Erased,
    /// There is something else than an identity, such as zeros.
    Missing,
    /// There was an identity, but what is there now is not what was written.
    Damaged(Damage),
    /// The identity was made for a later firmware.
    TooNew {
        /// The identity's format version, above [`FORMAT_VERSION`](crate::FORMAT_VERSION).
        version: u16,
    },
    /// A field is missing or its value is not one that the device can use.
    Invalid {
        /// The field.
        field: Field,
        /// What is wrong with it; completes "the identity's port ...".
        reason: &'static str,
    },
    /// The fields need more room than a copy has.
    TooLarge {
        /// Bytes that the identity needs, header included.
        needed: usize,
    },
    /// The slice given is not as long as a region.
    RegionSize {
        /// Its length in bytes, instead of [`REGION_SIZE`](crate::REGION_SIZE).
        length: usize,
    },
}

impl Error {
    /// How much the error tells: of the errors of two copies, the one that ranks higher is
    /// reported.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Erased => 0,
            Self::Missing => 1,
            Self::Damaged(_) => 2,
            Self::Invalid { .. } => 3,
            Self::TooNew { .. } => 4,
            Self::TooLarge { .. } | Self::RegionSize { .. } => 5,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erased => f.write_str(
                "the identity region is erased: this device was not given an identity yet; \
                 make one by `make identity` and write it (README, \"Identity\")",
            ),
            Self::Missing => f.write_str(
                "there is no identity in the identity region; \
                 make one by `make identity` and write it (README, \"Identity\")",
            ),
            Self::Damaged(damage) => write!(
                f,
                "the identity region is damaged ({damage}); \
                 make it by `make identity` and write it (README, \"Identity\")"
            ),
            Self::TooNew { version } => write!(
                f,
                "the identity has format version {version} and this firmware reads up to {}; \
                 update the firmware, or make the identity again by this firmware's \
                 `make identity` and write it",
                crate::FORMAT_VERSION
            ),
            Self::Invalid { field, reason } => write!(
                f,
                "the identity's {field} {reason}; \
                 correct it, make it again by `make identity` and write it"
            ),
            Self::TooLarge { needed } => write!(
                f,
                "the identity takes {needed} bytes and there is room for {}; \
                 leave out certificates or roots and run `make identity` again",
                crate::COPY_SIZE
            ),
            Self::RegionSize { length } => write!(
                f,
                "an identity region is {} bytes long and this one is {length}; \
                 run `make identity` again",
                crate::REGION_SIZE
            ),
        }
    }
}

impl core::error::Error for Error {}

/// What shows that a copy is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The header's length cannot be, or the copy ends before the header does.
    HeaderLength,
    /// The header's checksum does not match.
    HeaderChecksum,
    /// The body's length cannot be, or the copy ends before the body does.
    BodyLength,
    /// The body's checksum does not match.
    BodyChecksum,
    /// A field reaches over the end of the body.
    FieldLength,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderLength => "impossible header length",
            Self::HeaderChecksum => "header checksum does not match",
            Self::BodyLength => "impossible body length",
            Self::BodyChecksum => "body checksum does not match",
            Self::FieldLength => "a field ends after the body",
        })
    }
}

/// The fields of an identity. The values are the tags of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Field {
    /// Host name of the MQTT server.
    Endpoint = 1,
    /// TCP port of the MQTT server.
    Port = 2,
    /// MQTT client identifier.
    ClientId = 3,
    /// Name of the AWS IoT thing.
    ThingName = 4,
    /// Topic to publish the status to.
    StatusTopic = 5,
    /// Topic that commands come from.
    ControlTopic = 6,
    /// The device's certificate and its chain.
    Certificate = 7,
    /// Key of the device's certificate.
    PrivateKey = 8,
    /// Further trusted root.
    Root = 9,
    /// SSID and passphrase.
    Wifi = 10,
    /// Time server.
    NtpServer = 11,
    /// Name server.
    DnsServer = 12,
    /// MQTT keep-alive.
    KeepAlive = 13,
    /// Longest delay between two attempts to connect.
    BackoffCap = 14,
    /// MQTT clean session flag.
    CleanSession = 15,
    /// Log level of a module.
    LogLevel = 16,
    /// SSID and pairwise master key.
    WifiKey = 17,
    /// Public key that signs updates.
    UpdateKey = 18,
    /// Time within which an update must have connected.
    TrialTime = 19,
    /// Modem sleep flag.
    ModemSleep = 20,
}

impl Field {
    /// Every field, in the order of the tags.
    const ALL: [Self; 20] = [
        Self::Endpoint,
        Self::Port,
        Self::ClientId,
        Self::ThingName,
        Self::StatusTopic,
        Self::ControlTopic,
        Self::Certificate,
        Self::PrivateKey,
        Self::Root,
        Self::Wifi,
        Self::NtpServer,
        Self::DnsServer,
        Self::KeepAlive,
        Self::BackoffCap,
        Self::CleanSession,
        Self::LogLevel,
        Self::WifiKey,
        Self::UpdateKey,
        Self::TrialTime,
        Self::ModemSleep,
    ];

    /// The field's tag in the format.
    pub(crate) fn tag(self) -> u16 {
        self as u16
    }

    /// The field of a tag, if this crate knows it.
    pub(crate) fn from_tag(tag: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.tag() == tag)
    }

    /// An error that blames this field.
    // Never inlined, because LLVM cannot select code for a constant pointer that it has split
    // into halves, as it does where an error and a small value share a register ("Cannot
    // select TargetConstantPool", Xtensa back end of LLVM 22).
    #[cold]
    #[inline(never)]
    pub(crate) fn invalid(self, reason: &'static str) -> Error {
        Error::Invalid { field: self, reason }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Endpoint => "endpoint",
            Self::Port => "port",
            Self::ClientId => "client id",
            Self::ThingName => "thing name",
            Self::StatusTopic => "status topic",
            Self::ControlTopic => "control topic",
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
            Self::Root => "root certificate",
            Self::Wifi => "Wi-Fi network",
            Self::NtpServer => "NTP server",
            Self::DnsServer => "DNS server",
            Self::KeepAlive => "keep-alive",
            Self::BackoffCap => "backoff cap",
            Self::CleanSession => "clean session flag",
            Self::LogLevel => "log level",
            Self::WifiKey => "Wi-Fi network",
            Self::UpdateKey => "update key",
            Self::TrialTime => "trial time",
            Self::ModemSleep => "modem sleep flag",
        })
    }
}
