//! From bytes to an identity.

use crate::error::{Damage, Error, Field};
use crate::fields::{Identity, Level, LogLevel, NtpServer, WifiKey, WifiNetwork, parse_dns_server};
use crate::validate::{
    MAX_CERTIFICATES, MAX_DNS_SERVERS, MAX_LOG_LEVELS, MAX_NTP_SERVERS, MAX_ROOTS, MAX_UPDATE_KEYS,
    MAX_WIFI_NETWORKS, at_most,
};
use crate::{
    COPY_SIZE, FORMAT_VERSION, HEADER_LENGTH, MAGIC, MAX_HEADER_LENGTH, REGION_SIZE, crc32,
};

/// Reads the identity that counts in a region.
///
/// # Errors
/// When neither copy is valid, the error of the copy that tells more; [`Error::RegionSize`] when
/// `region` is not [`REGION_SIZE`] bytes long.
pub fn decode(region: &[u8]) -> Result<Identity<'_>, Error> {
    Stored::read(region).map(|stored| stored.identity)
}

/// Reads the identity of one copy, which may be cut off after its body.
///
/// # Errors
/// Any [`Error`] but [`Error::TooLarge`] and [`Error::RegionSize`].
pub fn decode_copy(copy: &[u8]) -> Result<Identity<'_>, Error> {
    Stored::read_copy(copy).map(|stored| stored.identity)
}

/// An identity together with where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The identity that counts.
    pub identity: Identity<'a>,
    /// The copy that it comes from: 0 or 1.
    pub copy: usize,
    /// That copy's sequence number.
    pub sequence: u32,
    /// What is wrong with the other copy. Worth a warning: should this one fail too, the device
    /// has no identity left.
    pub other: Option<Error>,
}

impl<'a> Stored<'a> {
    /// Reads the identity that counts in a region, as [`decode`] does.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn read(region: &'a [u8]) -> Result<Self, Error> {
        let (first, second) = copies(region)?;
        let first = Envelope::open(first).map(|envelope| (0, envelope));
        let second = Envelope::open(second).map(|envelope| (1, envelope));
        let (preferred, other) = match (&first, &second) {
            (Ok((_, a)), Ok((_, b))) if b.is_newer_than(a) => (second, first),
            (Err(_), Ok(_)) => (second, first),
            _ => (first, second),
        };
        match preferred.and_then(Self::parse) {
            Ok(stored) => Ok(Self { other: other.err(), ..stored }),
            Err(error) => match other.and_then(Self::parse) {
                Ok(stored) => Ok(Self { other: Some(error), ..stored }),
                Err(other) if other.rank() > error.rank() => Err(other),
                Err(_) => Err(error),
            },
        }
    }

    /// Reads one copy by itself, as [`decode_copy`] does.
    ///
    /// # Errors
    /// As [`decode_copy`].
    pub fn read_copy(copy: &'a [u8]) -> Result<Self, Error> {
        Self::parse((0, Envelope::open(copy)?))
    }

    /// Whether this is the newer of two identities, by its sequence number and the other's.
    #[must_use]
    pub const fn is_newer_than(&self, sequence: u32) -> bool {
        is_newer(self.sequence, sequence)
    }

    /// Reads the fields of an intact copy.
    fn parse((copy, envelope): (usize, Envelope<'a>)) -> Result<Self, Error> {
        Ok(Self {
            identity: fields(envelope.body)?,
            copy,
            sequence: envelope.sequence,
            other: None,
        })
    }
}

/// Splits a region into its two copies.
pub(crate) fn copies(region: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    if region.len() != REGION_SIZE {
        return Err(Error::RegionSize { length: region.len() });
    }
    Ok(region.split_at(COPY_SIZE))
}

/// A copy whose checksums match: its body still has to be read.
struct Envelope<'a> {
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks the header and both checksums.
    fn open(copy: &'a [u8]) -> Result<Self, Error> {
        const SHORT: Error = Error::Damaged(Damage::HeaderLength);

        let Some(fixed) = copy.first_chunk::<HEADER_LENGTH>() else {
            return Err(if copy.starts_with(&MAGIC) { SHORT } else { Error::Missing });
        };
        if fixed.iter().all(|byte| *byte == 0xFF) {
            return Err(Error::Erased);
        }
        if !fixed.starts_with(&MAGIC) {
            return Err(Error::Missing);
        }
        let [_, _, _, _, v0, v1, h0, h1, s0, s1, s2, s3, n0, n1, n2, n3, c0, c1, c2, c3, ..] =
            *fixed;

        let header_length = usize::from(u16::from_le_bytes([h0, h1]));
        if !(HEADER_LENGTH..=MAX_HEADER_LENGTH).contains(&header_length)
            || !header_length.is_multiple_of(4)
        {
            return Err(SHORT);
        }
        let (header, rest) = copy.split_at_checked(header_length).ok_or(SHORT)?;
        let (header, header_crc) = header.split_last_chunk().ok_or(SHORT)?;
        if crc32(&[header]) != u32::from_le_bytes(*header_crc) {
            return Err(Error::Damaged(Damage::HeaderChecksum));
        }

        let version = u16::from_le_bytes([v0, v1]);
        if version > FORMAT_VERSION {
            return Err(Error::TooNew { version });
        }

        let body_length = u32::from_le_bytes([n0, n1, n2, n3]);
        let body = usize::try_from(body_length)
            .ok()
            .filter(|length| length.is_multiple_of(4))
            .and_then(|length| rest.get(..length))
            .ok_or(Error::Damaged(Damage::BodyLength))?;
        if crc32(&[body]) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(Error::Damaged(Damage::BodyChecksum));
        }
        Ok(Self { sequence: u32::from_le_bytes([s0, s1, s2, s3]), body })
    }

    fn is_newer_than(&self, other: &Self) -> bool {
        is_newer(self.sequence, other.sequence)
    }
}

/// Serial number arithmetic (RFC 1982), so that sequence numbers may wrap.
const fn is_newer(sequence: u32, other: u32) -> bool {
    sequence.wrapping_sub(other).cast_signed() > 0
}

/// Reads and checks all fields of a body.
fn fields(mut body: &[u8]) -> Result<Identity<'_>, Error> {
    let mut identity = Identity::defaults("");
    // One bit for each tag that was seen: finds a field that must not be repeated and is.
    let mut seen = 0_u32;
    while let Some((field, value, rest)) = next_field(body)? {
        body = rest;
        let Some(field) = field else { continue };
        let bit = 1_u32 << field.tag();
        if seen & bit != 0 && !is_repeatable(field) {
            return Err(field.invalid("occurs more than once"));
        }
        seen |= bit;
        store(&mut identity, field, value)?;
    }
    identity.validate()?;
    Ok(identity)
}

/// A field (`None` when its tag is unknown), its value, and the rest of the body.
type Split<'a> = (Option<Field>, &'a [u8], &'a [u8]);

/// Splits off the first field, if there is one left.
fn next_field(body: &[u8]) -> Result<Option<Split<'_>>, Error> {
    const CUT: Error = Error::Damaged(Damage::FieldLength);

    if body.is_empty() {
        return Ok(None);
    }
    let ([t0, t1, l0, l1], rest) = body.split_first_chunk().ok_or(CUT)?;
    let length = usize::from(u16::from_le_bytes([*l0, *l1]));
    let (padded, rest) = rest.split_at_checked(length.next_multiple_of(4)).ok_or(CUT)?;
    let value = padded.get(..length).ok_or(CUT)?;
    let field = Field::from_tag(u16::from_le_bytes([*t0, *t1]));
    Ok(Some((field, value, rest)))
}

/// Whether a field may occur several times.
fn is_repeatable(field: Field) -> bool {
    matches!(
        field,
        Field::Certificate
            | Field::Root
            | Field::Wifi
            | Field::WifiKey
            | Field::NtpServer
            | Field::DnsServer
            | Field::LogLevel
            | Field::UpdateKey
    )
}

/// Puts one value into its place.
fn store<'a>(identity: &mut Identity<'a>, field: Field, value: &'a [u8]) -> Result<(), Error> {
    let text = || core::str::from_utf8(value).map_err(|_| field.invalid("is not UTF-8 text"));
    match field {
        Field::Endpoint => identity.endpoint = text()?,
        Field::Port => identity.port = number(field, value)?,
        Field::ClientId => identity.client_id = Some(text()?),
        Field::ThingName => identity.thing_name = Some(text()?),
        Field::StatusTopic => identity.status_topic = text()?,
        Field::ControlTopic => identity.control_topic = text()?,
        Field::Certificate => {
            at_most(MAX_CERTIFICATES, identity.certificates.len() + 1, field)?;
            identity.certificates.push(value);
        }
        Field::PrivateKey => identity.private_key = value,
        Field::Root => {
            at_most(MAX_ROOTS, identity.roots.len() + 1, field)?;
            identity.roots.push(value);
        }
        Field::Wifi => {
            at_most(MAX_WIFI_NETWORKS, identity.wifi.len() + 1, field)?;
            let network = wifi(value).ok_or(field.invalid("is not an SSID and a passphrase"))?;
            identity.wifi.push(network);
        }
        Field::WifiKey => {
            at_most(MAX_WIFI_NETWORKS, identity.wifi.len() + 1, field)?;
            let network = wifi_key(value).ok_or(field.invalid("is not an SSID and a key"))?;
            identity.wifi.push(network);
        }
        Field::NtpServer => {
            at_most(MAX_NTP_SERVERS, identity.own_ntp_servers.len() + 1, field)?;
            identity.own_ntp_servers.push(NtpServer::parse(text()?)?);
        }
        Field::DnsServer => {
            at_most(MAX_DNS_SERVERS, identity.dns_servers.len() + 1, field)?;
            identity.dns_servers.push(parse_dns_server(text()?)?);
        }
        Field::KeepAlive => identity.keep_alive_s = number(field, value)?,
        Field::BackoffCap => identity.backoff_cap_s = number(field, value)?,
        Field::CleanSession | Field::ModemSleep => {
            let flag = match value {
                [0] => false,
                [1] => true,
                _ => return Err(field.invalid("must be 0 or 1")),
            };
            if field == Field::ModemSleep {
                identity.modem_sleep = flag;
            } else {
                identity.clean_session = flag;
            }
        }
        Field::LogLevel => {
            at_most(MAX_LOG_LEVELS, identity.log_levels.len() + 1, field)?;
            identity.log_levels.push(log_level(value)?);
        }
        Field::UpdateKey => {
            at_most(MAX_UPDATE_KEYS, identity.update_keys.len() + 1, field)?;
            let key = value.try_into();
            identity.update_keys.push(key.map_err(|_| field.invalid("is not x and y of a point"))?);
        }
        Field::TrialTime => identity.trial_s = number(field, value)?,
    }
    Ok(())
}

/// Reads a 16-bit number.
fn number(field: Field, value: &[u8]) -> Result<u16, Error> {
    value
        .try_into()
        .map(u16::from_le_bytes)
        .map_err(|_| field.invalid("must be a number of 16 bits"))
}

/// Reads an SSID and a passphrase.
fn wifi(value: &[u8]) -> Option<WifiNetwork<'_>> {
    let (ssid, rest) = counted(value)?;
    let (passphrase, rest) = counted(rest)?;
    let passphrase = core::str::from_utf8(passphrase).ok()?;
    let key = if passphrase.is_empty() { WifiKey::None } else { WifiKey::Passphrase(passphrase) };
    rest.is_empty().then_some(WifiNetwork { ssid, key })
}

/// Reads an SSID and a pairwise master key.
fn wifi_key(value: &[u8]) -> Option<WifiNetwork<'_>> {
    let (ssid, key) = counted(value)?;
    Some(WifiNetwork { ssid, key: WifiKey::Pmk(key.try_into().ok()?) })
}

/// Splits off bytes that follow their count.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*count))
}

/// Reads a level and the module it is for.
fn log_level(value: &[u8]) -> Result<LogLevel<'_>, Error> {
    let field = Field::LogLevel;
    let (number, module) = value.split_first().ok_or(field.invalid("is empty"))?;
    Ok(LogLevel {
        module: core::str::from_utf8(module).map_err(|_| field.invalid("is not UTF-8 text"))?,
        level: Level::from_number(*number).ok_or(field.invalid("must be 0 (off) to 5 (trace)"))?,
    })
}
