//! What a device in the emulator is given: its identity region.

use std::fmt;
use std::num::NonZeroU32;

use anyhow::Result;
use identity::{
    Error, Identity, Level, LogLevel, NtpServer, WifiKey, WifiNetwork, parse_dns_server,
};
use rustls::pki_types::CertificateDer;

use crate::topics::Topics;
use certificates::Credential;

/// Where a device finds its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The broker's host name.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// Name servers, `address` or `address:port`; none to take DHCP's.
    pub dns: Vec<String>,
    /// Time servers, `name` or `name:port`; none for the format's defaults.
    pub ntp: Vec<String>,
}

/// An identity that owns its fields; a test changes what it is about.
#[derive(Clone, Debug)]
pub struct DeviceIdentity {
    /// Where the cloud is.
    pub endpoints: Endpoints,
    /// Name of the thing.
    pub thing: String,
    /// MQTT client id; `None` is the device's own choice.
    pub client_id: Option<String>,
    /// Status and control topic.
    pub topics: Topics,
    /// Certificate and key.
    pub credential: Credential,
    /// Roots to trust besides the built-in ones.
    pub roots: Vec<CertificateDer<'static>>,
    /// MQTT keep-alive in seconds.
    pub keep_alive_s: u16,
    /// Longest delay between two attempts to connect, in seconds.
    pub backoff_cap_s: u16,
    /// Whether the server forgets the session when the connection ends.
    pub clean_session: bool,
    /// Wi-Fi networks, the preferred one first.
    pub wifi: Vec<Wifi>,
    /// Log levels by module.
    pub log_levels: Vec<(String, Level)>,
    /// Public keys that may sign updates, x and y.
    pub update_keys: Vec<[u8; 64]>,
    /// Seconds within which an update must have connected.
    pub trial_s: u16,
    /// Whether the radio sleeps between the access point's beacons.
    pub modem_sleep: bool,
}

/// A Wi-Fi network and how to get in.
#[derive(Clone)]
pub struct Wifi {
    ssid: String,
    passphrase: String,
    /// What follows from both. Takes milliseconds here and seconds on the device.
    pmk: [u8; 32],
}

impl Wifi {
    /// The name, and the passphrase, which is empty for an open network.
    #[must_use]
    pub fn new(ssid: String, passphrase: String) -> Self {
        /// IEEE 802.11-2020, J.4.
        const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
        let mut pmk = [0; 32];
        ring::pbkdf2::derive(
            ring::pbkdf2::PBKDF2_HMAC_SHA1,
            ROUNDS,
            ssid.as_bytes(),
            passphrase.as_bytes(),
            &mut pmk,
        );
        Self { ssid, passphrase, pmk }
    }

    /// The network's name.
    #[must_use]
    pub fn ssid(&self) -> &str {
        &self.ssid
    }

    /// The passphrase; empty for an open network.
    #[must_use]
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }

    fn network(&self) -> WifiNetwork<'_> {
        let network = |key| WifiNetwork { ssid: self.ssid.as_bytes(), key };
        let by_passphrase = network(WifiKey::Passphrase(&self.passphrase));
        match self.passphrase.as_str() {
            "" => network(WifiKey::None),
            // What is no passphrase must be refused as such.
            _ if by_passphrase.validate().is_err() => by_passphrase,
            _ => network(WifiKey::Pmk(&self.pmk)),
        }
    }
}

impl fmt::Debug for Wifi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wifi").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}

impl DeviceIdentity {
    /// An identity with the format's defaults.
    #[must_use]
    pub fn new(
        endpoints: Endpoints,
        thing: &str,
        topics: Topics,
        credential: Credential,
        root: CertificateDer<'static>,
    ) -> Self {
        Self {
            endpoints,
            thing: thing.to_owned(),
            client_id: None,
            topics,
            credential,
            roots: vec![root],
            keep_alive_s: identity::DEFAULT_KEEP_ALIVE_S,
            backoff_cap_s: identity::DEFAULT_BACKOFF_CAP_S,
            clean_session: false,
            wifi: Vec::new(),
            log_levels: Vec::new(),
            update_keys: Vec::new(),
            trial_s: identity::DEFAULT_TRIAL_S,
            modem_sleep: false,
        }
    }

    /// The identity region, both copies.
    ///
    /// # Errors
    /// When a field is not one that the device can use.
    pub fn region(&self) -> Result<Vec<u8>> {
        Ok(self.with_fields(|fields| fields.encode_region())?)
    }

    /// One copy of the region.
    ///
    /// # Errors
    /// As [`DeviceIdentity::region`].
    pub fn copy(&self, sequence: u32) -> Result<Vec<u8>, Error> {
        self.with_fields(|fields| fields.encode_copy(sequence))
    }

    /// What an update over the air brings: one copy, without what fills it up.
    ///
    /// # Errors
    /// As [`DeviceIdentity::region`].
    pub fn file(&self, sequence: u32) -> Result<Vec<u8>, Error> {
        self.with_fields(|fields| fields.encode_file(sequence))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// With the first field that the device could not use.
    pub fn validate(&self) -> Result<(), Error> {
        self.with_fields(|fields| fields.validate())
    }

    /// Hands the fields to `use_them` as the format has them.
    fn with_fields<T>(
        &self,
        use_them: impl FnOnce(&Identity<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let key = self.credential.key.secret_der();
        let ntp = self.endpoints.ntp.iter().map(|text| NtpServer::parse(text));
        let dns = self.endpoints.dns.iter().map(|text| parse_dns_server(text));
        let levels = self.log_levels.iter();
        let mut fields = Identity::new(&self.endpoints.host, &[], key);
        fields.port = self.endpoints.port;
        fields.client_id = self.client_id.as_deref();
        fields.thing_name = Some(&self.thing);
        fields.status_topic = &self.topics.status;
        fields.control_topic = &self.topics.control;
        fields.certificates = self.credential.chain.iter().map(AsRef::as_ref).collect();
        fields.roots = self.roots.iter().map(AsRef::as_ref).collect();
        fields.wifi = self.wifi.iter().map(Wifi::network).collect();
        fields.own_ntp_servers = ntp.collect::<Result<_, _>>()?;
        fields.dns_servers = dns.collect::<Result<_, _>>()?;
        fields.keep_alive_s = self.keep_alive_s;
        fields.backoff_cap_s = self.backoff_cap_s;
        fields.clean_session = self.clean_session;
        fields.log_levels =
            levels.map(|(module, level)| LogLevel { module, level: *level }).collect();
        fields.update_keys = self.update_keys.iter().collect();
        fields.trial_s = self.trial_s;
        fields.modem_sleep = self.modem_sleep;
        use_them(&fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificates::{Authority, KeyKind, LeafRequest, Validity};

    #[test]
    fn the_device_reads_what_was_written() {
        let root = Authority::root("r", KeyKind::P256, Validity::for_days(1)).unwrap();
        let credential = root.issue(&LeafRequest::client("a")).unwrap();
        let endpoints = Endpoints {
            host: "local-ats.iot.test".to_owned(),
            port: 12345,
            dns: vec!["10.0.2.2:5300".to_owned()],
            ntp: vec!["time.iot.test:5301".to_owned()],
        };
        let mut device = DeviceIdentity::new(
            endpoints,
            "a",
            Topics::default(),
            credential.clone(),
            root.certificate().clone(),
        );
        device.log_levels = vec![("tls".to_owned(), Level::Debug)];
        device.wifi = vec![
            Wifi::new("IEEE".to_owned(), "password".to_owned()),
            Wifi::new("home".to_owned(), "correct horse".to_owned()),
        ];
        assert!(!format!("{device:?}").contains("horse"));
        let region = device.region().unwrap();
        assert_eq!(region.len(), identity::REGION_SIZE);
        let stored = identity::decode(&region).unwrap();
        assert_eq!(stored.port, 12345);
        assert_eq!(stored.thing_name, Some("a"));
        assert_eq!(stored.dns_servers[0].to_string(), "10.0.2.2:5300");
        assert_eq!(stored.certificates, [credential.chain[0].as_ref()]);
        assert_eq!(stored.roots.len(), 1);
        // The vector of IEEE 802.11-2020, J.4.2.
        let pmk = *b"\xf4\x2c\x6f\xc5\x2d\xf0\xeb\xef\x9e\xbb\x4b\x90\xb3\x8a\x5f\x90\
                    \x2e\x83\xfe\x1b\x13\x5a\x70\xe2\x3a\xed\x76\x2e\x97\x10\xa1\x2e";
        assert_eq!(stored.wifi[0], WifiNetwork { ssid: b"IEEE", key: WifiKey::Pmk(&pmk) });
        assert_eq!(stored.wifi[1].ssid, b"home");
        assert!(!region.windows(5).any(|part| part == b"horse"), "no passphrase on the device");
        assert_eq!(stored.log_levels[0].module, "tls");
    }
}
