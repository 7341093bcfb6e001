//! What an access point is told, on the command line and while it runs: `key=value`.

use super::authenticator::{Message3, Silence};
use super::frame::Address;

/// How a network is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Open,
    /// WPA2-PSK with CCMP.
    Wpa2,
    /// WPA and WPA2; CCMP or TKIP for each station, CCMP for groups.
    Mixed,
    /// Says that it is WPA with TKIP; nobody gets in.
    Wpa,
    /// Says that it is WEP; nobody gets in.
    Wep,
    /// Says that it is WPA3 (SAE) only; nobody gets in.
    Wpa3,
    /// WPA2-PSK and WPA3; a station gets in by WPA2.
    Transition,
    /// Says that it is WPA2 enterprise (802.1X); nobody gets in.
    Enterprise,
}

impl Security {
    /// Whether stations get in by the four-way handshake.
    #[must_use]
    pub fn has_handshake(self) -> bool {
        matches!(self, Self::Wpa2 | Self::Mixed | Self::Transition)
    }

    /// Whether the capability "privacy" is set.
    #[must_use]
    pub fn is_private(self) -> bool {
        self != Self::Open
    }
}

/// What an access point does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mute {
    /// Probe requests.
    pub probe: bool,
    /// Authentication.
    pub authentication: bool,
    /// Association.
    pub association: bool,
    /// Messages of the handshakes.
    pub handshake: Silence,
    /// Data: nothing passes between the air and the network behind it.
    pub data: bool,
}

/// What an access point refuses, with a status code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refuse {
    /// Nothing.
    #[default]
    Nothing,
    /// Authentication, with status 1.
    Authentication,
    /// Association: it has as many stations as it can serve (status 17).
    Full,
}

/// An access point's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, 1 to 32 bytes.
    pub ssid: String,
    /// Passphrase, 8 to 63 characters; empty: open.
    pub psk: String,
    /// 1 to 14.
    pub channel: u8,
    /// How strong it is heard, in dBm.
    pub rssi: i8,
    /// How it is protected.
    pub security: Security,
    /// Whether its beacons tell no name.
    pub hidden: bool,
    /// Its address; none: derived from its number.
    pub bssid: Option<Address>,
    /// Whether its beacons carry the elements of 802.11n, WMM and a country.
    pub ht: bool,
    /// Seconds between group keys; 0: it keeps the first.
    pub rekey: u32,
    /// Per cent of the frames that are lost, each way, acknowledgements included.
    pub loss: u8,
    /// Whether it sends beacons.
    pub beacons: bool,
    /// Whether acknowledgements arrive: its own, and those for it.
    pub acks: bool,
    /// Whether DHCP passes.
    pub dhcp: bool,
    /// What it does not answer.
    pub mute: Mute,
    /// What it refuses.
    pub refuse: Refuse,
    /// What is wrong with message 3.
    pub message3: Message3,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ssid: String::new(),
            psk: String::new(),
            channel: 6,
            rssi: -50,
            security: Security::Open,
            hidden: false,
            bssid: None,
            ht: false,
            rekey: 0,
            loss: 0,
            beacons: true,
            acks: true,
            dhcp: true,
            mute: Mute::default(),
            refuse: Refuse::default(),
            message3: Message3::default(),
        }
    }
}

/// Keys that cannot change while the access point runs: what makes it this one.
const FIXED: [&str; 3] = ["ssid", "security", "bssid"];

impl Settings {
    /// Reads `ssid=home,psk=passphrase,channel=6,rssi=-50`. A comma or backslash in a value is
    /// written behind a backslash; a key without a value is switched on.
    ///
    /// # Errors
    /// What is wrong, in words for who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        let mut security = None;
        for part in split(text) {
            let (key, value) = part.split_once('=').unwrap_or((&part, "on"));
            if key == "security" {
                security = Some(value.to_owned());
            } else {
                settings.put(key, value)?;
            }
        }
        if settings.ssid.is_empty() {
            return Err("it needs a name: ssid=…".to_owned());
        }
        settings.security = match security.as_deref() {
            None if settings.psk.is_empty() => Security::Open,
            None => Security::Wpa2,
            Some("open") => Security::Open,
            Some("wpa2") => Security::Wpa2,
            Some("mixed") => Security::Mixed,
            Some("wpa") => Security::Wpa,
            Some("wep") => Security::Wep,
            Some("wpa3") => Security::Wpa3,
            Some("transition") => Security::Transition,
            Some("enterprise") => Security::Enterprise,
            Some(other) => {
                return Err(format!(
                    "security={other}: one of open, wpa2, mixed, transition, wpa, wep, wpa3, \
                     enterprise"
                ));
            }
        };
        if settings.security.has_handshake() && settings.psk.is_empty() {
            return Err("WPA2 needs a passphrase: psk=…".to_owned());
        }
        if settings.security == Security::Open && !settings.psk.is_empty() {
            return Err("an open network has no passphrase: leave psk or security=open out".into());
        }
        Ok(settings)
    }

    /// Reads what stands on a command line: the settings, or `@FILE` for those that a file has.
    ///
    /// # Errors
    /// As [`Self::parse`], or when the file cannot be read.
    pub fn given(text: &str) -> Result<Self, String> {
        let Some(file) = text.strip_prefix('@') else { return Self::parse(text) };
        let content = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        Self::parse(content.trim_end_matches(['\n', '\r']))
    }

    /// Changes one setting while the access point runs.
    ///
    /// # Errors
    /// What is wrong with key or value; nothing has changed then.
    pub fn change(&mut self, key: &str, value: &str) -> Result<(), String> {
        if FIXED.contains(&key) {
            return Err(format!("{key} cannot change while the access point runs"));
        }
        let mut changed = self.clone();
        changed.put(key, value)?;
        if changed.security.has_handshake() && changed.psk.is_empty() {
            return Err("WPA2 needs a passphrase".to_owned());
        }
        *self = changed;
        Ok(())
    }

    fn put(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "ssid" => {
                if !(1..=32).contains(&value.len()) {
                    return Err(format!("ssid={value}: a name has 1 to 32 bytes"));
                }
                self.ssid = value.to_owned();
            }
            "psk" => {
                let good = (8..=63).contains(&value.len())
                    && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                if !good {
                    return Err("psk: a passphrase has 8 to 63 printable ASCII characters".into());
                }
                self.psk = value.to_owned();
            }
            "channel" => self.channel = number(key, value, 1, 14)? as u8,
            "rssi" => self.rssi = number(key, value, -110, 0)? as i8,
            "loss" => self.loss = number(key, value, 0, 100)? as u8,
            "rekey" => self.rekey = number(key, value, 0, 86_400)? as u32,
            "hidden" => self.hidden = switch(key, value)?,
            "ht" => self.ht = switch(key, value)?,
            "beacons" => self.beacons = switch(key, value)?,
            "acks" => self.acks = switch(key, value)?,
            "dhcp" => self.dhcp = switch(key, value)?,
            "bssid" => {
                let address = address(value).filter(|a| a[0] & 1 == 0);
                self.bssid = Some(address.ok_or_else(|| {
                    format!("bssid={value}: six bytes in hexadecimal, as in 02:00:00:00:00:01")
                })?);
            }
            "mute" => self.mute = mute(value)?,
            "refuse" => {
                self.refuse = match value {
                    "nothing" | "off" => Refuse::Nothing,
                    "auth" => Refuse::Authentication,
                    "full" => Refuse::Full,
                    _ => return Err(format!("refuse={value}: one of nothing, auth, full")),
                };
            }
            "message3" => {
                self.message3 = match value {
                    "good" => Message3::Good,
                    "wrong-mic" => Message3::WrongMic,
                    "other-element" => Message3::OtherElement,
                    "wrong-key-data" => Message3::WrongKeyData,
                    "no-group-key" => Message3::NoGroupKey,
                    "other-nonce" => Message3::OtherNonce,
                    _ => {
                        return Err(format!(
                            "message3={value}: one of good, wrong-mic, other-element, \
                             wrong-key-data, no-group-key, other-nonce"
                        ));
                    }
                };
            }
            _ => {
                return Err(format!(
                    "{key}: no such setting; there are ssid, psk, channel, rssi, security, hidden, \
                     bssid, ht, rekey, loss, beacons, acks, dhcp, mute, refuse, message3"
                ));
            }
        }
        Ok(())
    }
}

fn mute(value: &str) -> Result<Mute, String> {
    let mut mute = Mute::default();
    for part in value.split('+') {
        match part {
            "nothing" | "off" => {}
            "probe" => mute.probe = true,
            "auth" => mute.authentication = true,
            "assoc" => mute.association = true,
            "message1" => mute.handshake.message1 = true,
            "message3" => mute.handshake.message3 = true,
            "group" => mute.handshake.group = true,
            "data" => mute.data = true,
            _ => {
                return Err(format!(
                    "mute={part}: nothing, or some of probe, auth, assoc, message1, message3, \
                     group, data with + between"
                ));
            }
        }
    }
    Ok(mute)
}

fn number(key: &str, value: &str, least: i64, most: i64) -> Result<i64, String> {
    let number = value.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("{key}={value}: a number from {least} to {most}"))
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("{key}={value}: on or off")),
    }
}

/// Six bytes in hexadecimal with colons between.
#[must_use]
pub fn address(text: &str) -> Option<Address> {
    let parts: Option<Vec<u8>> =
        text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    parts?.try_into().ok()
}

/// The parts between commas, without the backslashes that protect a comma or a backslash.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let last = parts.last_mut().expect("never empty");
        match letter {
            ',' => parts.push(String::new()),
            '\\' => last.extend(letters.next()),
            letter => last.push(letter),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let text = r"ssid=a\,b,psk=pass\\word=1,channel=11,rssi=-70,hidden,mute=auth+data,loss=5";
        let settings = Settings::parse(text).unwrap();
        assert_eq!((settings.ssid.as_str(), settings.psk.as_str()), ("a,b", r"pass\word=1"));
        assert_eq!((settings.channel, settings.rssi, settings.loss), (11, -70, 5));
        assert!(settings.hidden && settings.mute.authentication && settings.mute.data);
        assert!(!settings.mute.association);
        assert_eq!(settings.security, Security::Wpa2);
        assert_eq!(Settings::parse("ssid=x").unwrap().security, Security::Open);
    }

    #[test]
    fn a_file_may_have_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("home");
        std::fs::write(&file, "ssid=home,psk=kept from all eyes\n").unwrap();
        let given = Settings::given(&format!("@{}", file.display())).unwrap();
        assert_eq!(given, Settings::parse("ssid=home,psk=kept from all eyes").unwrap());
        assert!(Settings::given("@/is/not/there").unwrap_err().contains("/is/not/there: "));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, says) in [
            ("", "needs a name"),
            ("ssid=x,psk=short", "8 to 63"),
            ("ssid=x,channel=15", "from 1 to 14"),
            ("ssid=x,security=wpa2", "needs a passphrase"),
            ("ssid=x,psk=longenough,security=open", "has no passphrase"),
            ("ssid=x,colour=red", "no such setting"),
            ("ssid=x,hidden=maybe", "on or off"),
            ("ssid=x,mute=everything", "some of probe"),
            ("ssid=x,bssid=01:00:00:00:00:00", "six bytes"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        let mut settings = Settings::parse("ssid=x").unwrap();
        assert!(settings.change("ssid", "y").is_err());
        assert!(settings.change("loss", "101").is_err());
        settings.change("loss", "100").unwrap();
        assert_eq!(settings.loss, 100);
    }
}
