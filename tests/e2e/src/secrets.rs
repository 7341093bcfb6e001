//! What no console may show.

use data_encoding::BASE64;
use identity::WifiKey;

/// Bytes of a secret that give it away together. Fewer are found by chance.
const PIECE: usize = 8;

/// A device's private key and the keys of its networks, as a console might show them.
#[derive(Debug, Default)]
pub struct Secrets {
    /// In any letters.
    hex: Vec<String>,
    texts: Vec<String>,
}

impl Secrets {
    /// Those of an identity region; of one that is none there are none.
    #[must_use]
    pub fn of(region: &[u8]) -> Self {
        let mut secrets = Self::default();
        let Ok(identity) = identity::decode(region) else { return secrets };
        secrets.add(identity.private_key);
        for network in &identity.wifi {
            match network.key {
                WifiKey::None => {}
                WifiKey::Passphrase(text) => secrets.texts.push(text.to_owned()),
                WifiKey::Pmk(key) => secrets.add(key),
            }
        }
        secrets
    }

    fn add(&mut self, secret: &[u8]) {
        for piece in secret.chunks_exact(PIECE) {
            let hex: Vec<String> = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            self.hex.extend(["", " ", ":", ", "].map(|between| hex.join(between)));
            let decimal: Vec<String> = piece.iter().map(ToString::to_string).collect();
            self.texts.push(decimal.join(", "));
        }
        // As much of base64 as does not depend on what lies around.
        self.texts.extend(secret.chunks_exact(12).map(|piece| BASE64.encode(piece)));
    }

    /// Fails when one of them is in the text.
    ///
    /// # Panics
    /// When one is.
    #[track_caller]
    pub fn assert_hidden(&self, text: &str) {
        let small = text.to_ascii_lowercase();
        let shown = self.hex.iter().any(|piece| small.contains(piece))
            || self.texts.iter().any(|piece| text.contains(piece));
        assert!(!shown, "a piece of a key, or a passphrase, is on the console");
    }
}

#[cfg(test)]
mod tests {
    use identity::{Identity, WifiNetwork};

    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_shown() {
        // DER enough to be taken.
        let key: Vec<u8> = [0x30, 65, 2, 1, 1, 4, 60].into_iter().chain(100..160).collect();
        let certificate = [&[0x30, 127, 0x30, 125][..], &[0; 125]].concat();
        let pmk: [u8; 32] = (200..232).collect::<Vec<u8>>().try_into().unwrap();
        let mut identity = Identity::new("endpoint.iot.test", &certificate, &key);
        identity.wifi = vec![
            WifiNetwork { ssid: b"old", key: WifiKey::Passphrase("correct horse") },
            WifiNetwork { ssid: b"new", key: WifiKey::Pmk(&pmk) },
        ];
        let secrets = Secrets::of(&identity.encode_region().unwrap());
        let is_shown =
            |text: &str| std::panic::catch_unwind(|| secrets.assert_hidden(text)).is_err();
        for text in [
            format!("key {:?}", &key[..20]),
            format!("key {:02X?}", &pmk[3..30]),
            format!("key {}", BASE64.encode(&key)),
            key[20..40].iter().map(|byte| format!("{byte:02X}")).collect(),
            "is it \"correct horse\"?".to_owned(),
        ] {
            assert!(is_shown(&text), "{text}");
        }
        // What says that it hides them does.
        assert!(!is_shown(&format!("{identity:?}")));
    }
}
