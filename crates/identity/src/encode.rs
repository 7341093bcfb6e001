//! From an identity to bytes.

use alloc::format;
use alloc::vec::Vec;

use crate::decode::{Stored, copies};
use crate::error::{Error, Field};
use crate::fields::{DNS_PORT, Identity, WifiKey};
use crate::{COPY_SIZE, FORMAT_VERSION, HEADER_LENGTH, MAGIC, REGION_SIZE, crc32};

impl Identity<'_> {
    /// The bytes of one copy, [`COPY_SIZE`] of them, filled up with 0xFF like erased flash.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first field that the device could not use, and
    /// [`Error::TooLarge`].
    pub fn encode_copy(&self, sequence: u32) -> Result<Vec<u8>, Error> {
        let mut copy = self.encode_file(sequence)?;
        copy.resize(COPY_SIZE, 0xFF);
        Ok(copy)
    }

    /// A copy without what fills it up: what an update brings (`docs/updates.md`).
    ///
    /// # Errors
    /// As [`Identity::encode_copy`].
    pub fn encode_file(&self, sequence: u32) -> Result<Vec<u8>, Error> {
        self.validate()?;
        let body = self.body();
        let needed = HEADER_LENGTH + body.len();
        let body_length = u32::try_from(body.len())
            .ok()
            .filter(|_| needed <= COPY_SIZE)
            .ok_or(Error::TooLarge { needed })?;

        let mut copy = Vec::with_capacity(needed);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy.extend_from_slice(&(HEADER_LENGTH as u16).to_le_bytes());
        copy.extend_from_slice(&sequence.to_le_bytes());
        copy.extend_from_slice(&body_length.to_le_bytes());
        copy.extend_from_slice(&crc32(&[&body]).to_le_bytes());
        let header_crc = crc32(&[&copy]);
        copy.extend_from_slice(&header_crc.to_le_bytes());
        copy.extend_from_slice(&body);
        Ok(copy)
    }

    /// The bytes of a whole new region, [`REGION_SIZE`] of them: the same copy twice, so that
    /// damage to one does no harm.
    ///
    /// # Errors
    /// As [`Identity::encode_copy`].
    pub fn encode_region(&self) -> Result<Vec<u8>, Error> {
        let copy = self.encode_copy(1)?;
        let mut region = Vec::with_capacity(REGION_SIZE);
        region.extend_from_slice(&copy);
        region.extend_from_slice(&copy);
        Ok(region)
    }

    /// All fields, in the order of their tags, Wi-Fi networks of both tags in their own.
    fn body(&self) -> Vec<u8> {
        let mut body = Body(Vec::new());
        body.field(Field::Endpoint, &[self.endpoint.as_bytes()]);
        body.field(Field::Port, &[&self.port.to_le_bytes()]);
        if let Some(id) = self.client_id {
            body.field(Field::ClientId, &[id.as_bytes()]);
        }
        if let Some(name) = self.thing_name {
            body.field(Field::ThingName, &[name.as_bytes()]);
        }
        body.field(Field::StatusTopic, &[self.status_topic.as_bytes()]);
        body.field(Field::ControlTopic, &[self.control_topic.as_bytes()]);
        for der in &self.certificates {
            body.field(Field::Certificate, &[der]);
        }
        body.field(Field::PrivateKey, &[self.private_key]);
        for der in &self.roots {
            body.field(Field::Root, &[der]);
        }
        for network in &self.wifi {
            let length = [network.ssid.len() as u8];
            let passphrase = match network.key {
                WifiKey::Pmk(pmk) => {
                    body.field(Field::WifiKey, &[&length, network.ssid, pmk]);
                    continue;
                }
                WifiKey::Passphrase(passphrase) => passphrase.as_bytes(),
                WifiKey::None => &[],
            };
            body.field(
                Field::Wifi,
                &[&length, network.ssid, &[passphrase.len() as u8], passphrase],
            );
        }
        for server in &self.own_ntp_servers {
            body.field(Field::NtpServer, &[format!("{server}").as_bytes()]);
        }
        for server in &self.dns_servers {
            let text = if server.port() == DNS_PORT {
                format!("{}", server.ip())
            } else {
                format!("{server}")
            };
            body.field(Field::DnsServer, &[text.as_bytes()]);
        }
        body.field(Field::KeepAlive, &[&self.keep_alive_s.to_le_bytes()]);
        body.field(Field::BackoffCap, &[&self.backoff_cap_s.to_le_bytes()]);
        body.field(Field::CleanSession, &[&[u8::from(self.clean_session)]]);
        for entry in &self.log_levels {
            body.field(Field::LogLevel, &[&[entry.level as u8], entry.module.as_bytes()]);
        }
        for key in &self.update_keys {
            body.field(Field::UpdateKey, &[*key]);
        }
        body.field(Field::TrialTime, &[&self.trial_s.to_le_bytes()]);
        body.field(Field::ModemSleep, &[&[u8::from(self.modem_sleep)]]);
        body.0
    }
}

/// A body in the making.
struct Body(Vec<u8>);

impl Body {
    /// Appends a field whose value is made of parts. Called for validated values only, whose
    /// lengths are far below 65536.
    fn field(&mut self, field: Field, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.0.extend_from_slice(&field.tag().to_le_bytes());
        self.0.extend_from_slice(&(length as u16).to_le_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// Where and how to write the next copy into a region that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextWrite {
    /// Offset of the copy to erase and write, in bytes from the start of the region.
    pub offset: usize,
    /// Sequence number for [`Identity::encode_copy`].
    pub sequence: u32,
}

/// Says where the next copy goes: over the one that does not count, so that the one that does
/// stays valid until the new one is.
///
/// # Errors
/// [`Error::RegionSize`]. A region without an identity is no error: its copy 0 is next.
pub fn next_write(region: &[u8]) -> Result<NextWrite, Error> {
    copies(region)?;
    Ok(match Stored::read(region) {
        Ok(stored) => NextWrite {
            offset: if stored.copy == 0 { COPY_SIZE } else { 0 },
            sequence: stored.sequence.wrapping_add(1),
        },
        Err(_) => NextWrite { offset: 0, sequence: 1 },
    })
}
