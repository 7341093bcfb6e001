//! The cryptography of WPA2 (IEEE 802.11-2016, clause 12): CCMP, the pseudo-random function, key
//! wrap, message integrity codes.

use aes::Aes128;
use ccm::aead::consts::{U8, U13};
use ccm::aead::{Aead as _, KeyInit as _, Payload};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use super::frame::{self, Address, Header};

/// Bytes of the CCMP header.
pub const CCMP_HEADER: usize = 8;
/// Bytes of the message integrity code.
pub const CCMP_MIC: usize = 8;

type Ccm = ccm::Ccm<Aes128, U8, U13>;

/// A key of CCMP.
pub type Key = [u8; 16];

/// The CCMP header for packet number `pn` under key `id`.
#[must_use]
pub fn ccmp_header(pn: u64, id: u8) -> [u8; CCMP_HEADER] {
    let p = pn.to_le_bytes();
    [p[0], p[1], 0, 0x20 | id << 6, p[2], p[3], p[4], p[5]]
}

/// The packet number in a CCMP header.
#[must_use]
pub fn ccmp_pn(header: [u8; CCMP_HEADER]) -> u64 {
    let h = header;
    u64::from_le_bytes([h[0], h[1], h[4], h[5], h[6], h[7], 0, 0])
}

/// Nonce and additional data of a frame, as 12.5.3.3.3 and 12.5.3.3.4 build them.
fn ccmp_inputs(head: &Header, header: &[u8], pn: u64) -> ([u8; 13], Vec<u8>) {
    let priority = head.qos_at.map_or(0, |at| header[at] & 0xF);
    let mut nonce = [0; 13];
    nonce[0] = priority;
    nonce[1..7].copy_from_slice(&head.transmitter);
    nonce[7..].copy_from_slice(&pn.to_be_bytes()[2..]);
    // Subtype bits of data, retry, power management, more data and the sequence number may
    // change on the way; the order bit is only kept outside QoS frames.
    let order = if head.qos_at.is_some() { 0x47 } else { 0xC7 };
    let mut aad = vec![header[0] & 0x8F, header[1] & order];
    aad.extend(&header[4..22]);
    aad.extend([header[22] & 0xF, 0]);
    if head.length >= frame::LONG_HEADER {
        aad.extend(&header[frame::SHORT_HEADER..frame::LONG_HEADER]);
    }
    if head.qos_at.is_some() {
        aad.extend([priority, 0]);
    }
    (nonce, aad)
}

/// Encrypts a frame that carries its CCMP header and clear text: the result has the integrity code
/// behind it.
///
/// None: it is too short for its header and a CCMP header, or too long for CCM.
#[must_use]
pub fn ccmp_seal(key: &Key, frame: &[u8]) -> Option<Vec<u8>> {
    let head = Header::parse(frame)?;
    let body = head.length + CCMP_HEADER;
    let pn = ccmp_pn(*frame.get(head.length..)?.first_chunk()?);
    let (nonce, aad) = ccmp_inputs(&head, &frame[..head.length], pn);
    let payload = Payload { msg: &frame[body..], aad: &aad };
    let sealed = Ccm::new(key.into()).encrypt(&nonce.into(), payload).ok()?;
    Some([&frame[..body], &sealed].concat())
}

/// Decrypts a frame: header, CCMP header and clear text. None: its integrity code is wrong.
#[must_use]
pub fn ccmp_open(key: &Key, frame: &[u8]) -> Option<Vec<u8>> {
    let head = Header::parse(frame)?;
    let body = head.length + CCMP_HEADER;
    let pn = ccmp_pn(*frame.get(head.length..)?.first_chunk()?);
    let (nonce, aad) = ccmp_inputs(&head, &frame[..head.length], pn);
    let payload = Payload { msg: &frame[body..], aad: &aad };
    let opened = Ccm::new(key.into()).decrypt(&nonce.into(), payload).ok()?;
    Some([&frame[..body], &opened].concat())
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac =
        <Hmac<Sha1> as hmac::Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The pairwise master key of a passphrase (J.4): PBKDF2, 4096 rounds.
#[must_use]
pub fn pmk(passphrase: &[u8], ssid: &[u8]) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(passphrase, ssid, 4096)
}

/// PRF (12.7.1.2), as many bytes as the result has.
#[must_use]
pub fn prf<const N: usize>(key: &[u8], label: &str, data: &[u8]) -> [u8; N] {
    let mut result = [0; N];
    for (i, chunk) in (0..).zip(result.chunks_mut(20)) {
        let block = hmac_sha1(key, &[label.as_bytes(), &[0], data, &[i]]);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    result
}

/// The pairwise transient key: what protects EAPOL messages, and the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ptk {
    /// Key of the integrity codes of EAPOL messages.
    pub kck: [u8; 16],
    /// Key that wraps group keys.
    pub kek: [u8; 16],
    /// Key of CCMP.
    pub tk: Key,
}

impl Ptk {
    /// Derives it (12.7.1.3).
    #[must_use]
    pub fn derive(pmk: &[u8; 32], addresses: [Address; 2], nonces: [[u8; 32]; 2]) -> Self {
        let [mut a, mut n] = [addresses.map(|a| a.to_vec()), nonces.map(|n| n.to_vec())];
        a.sort();
        n.sort();
        let data = [a.concat(), n.concat()].concat();
        let key: [u8; 48] = prf(pmk, "Pairwise key expansion", &data);
        let part = |at: usize| std::array::from_fn(|i| key[at + i]);
        Self { kck: part(0), kek: part(16), tk: part(32) }
    }
}

/// The integrity code of an EAPOL message (descriptor version 2) whose field for it is zero.
#[must_use]
pub fn eapol_mic(kck: &[u8; 16], message: &[u8]) -> [u8; 16] {
    let hash = hmac_sha1(kck, &[message]);
    std::array::from_fn(|i| hash[i])
}

/// Wraps key data (RFC 3394); padded as 12.7.2 says.
#[must_use]
pub fn wrap(kek: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    if !data.len().is_multiple_of(8) || data.len() < 16 {
        data.push(0xDD);
        data.resize(data.len().next_multiple_of(8).max(16), 0);
    }
    aes_kw::KekAes128::from(*kek).wrap_vec(&data).expect("whole blocks")
}

/// The checksum at the end of each frame.
#[must_use]
pub fn fcs(bytes: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let mut value = n as u32;
            let mut bit = 0;
            while bit < 8 {
                value = value >> 1 ^ if value & 1 != 0 { 0xEDB8_8320 } else { 0 };
                bit += 1;
            }
            table[n] = value;
            n += 1;
        }
        table
    };
    let crc = bytes.iter().fold(!0u32, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize]);
    (!crc).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
            .collect()
    }

    /// IEEE 802.11-2016, J.4.2.
    #[test]
    fn passphrases_become_the_keys_of_the_standard() {
        let expected = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e";
        assert_eq!(pmk(b"password", b"IEEE")[..], hex(expected));
        let expected = "becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62";
        assert_eq!(pmk(&[b'a'; 32], &[b'Z'; 32])[..], hex(expected));
    }

    /// IEEE 802.11-2016, J.3.2: the first two cases.
    #[test]
    fn the_prf_gives_the_bytes_of_the_standard() {
        let first: [u8; 24] = prf(&[0x0B; 20], "prefix", b"Hi There");
        assert_eq!(first[..], hex("bcd4c650b30b9684951829e0d75f9d54b862175ed9f00606"));
        let second: [u8; 24] = prf(b"Jefe", "prefix", b"what do ya want for nothing?");
        assert_eq!(second[..], hex("51f4de5b33f249adf81aeb713a3c20f4fe631446fabdfa58"));
    }

    /// IEEE 802.11-2016, J.6.4: the test vector of CCMP.
    #[test]
    fn ccmp_gives_the_frame_of_the_standard() {
        let key: Key = hex("c97c1f67ce371185514a8a19f2bdd52f").try_into().unwrap();
        let header = hex("0848c32c0fd2e128a57c5030f1844408abaea5b8fcba8033");
        let ccmp = hex("0ce70020769703b5");
        let text = hex("f8ba1a55d02f85ae967bb62fb6cda8eb7e78a050");
        let sealed = hex("f3d0a2fe9a3dbf2342a643e43246e80c3c04d0197845ce0b16f97623");
        let frame = [header.clone(), ccmp.clone(), text].concat();
        let on_air = ccmp_seal(&key, &frame).unwrap();
        assert_eq!(on_air, [header, ccmp.clone(), sealed].concat());
        let pn = 0xB503_9776_E70C;
        assert_eq!(ccmp_header(pn, 0)[..], ccmp);
        assert_eq!(ccmp_pn(ccmp.try_into().unwrap()), pn);
        assert_eq!(ccmp_open(&key, &on_air).unwrap(), frame);
        for at in 0..on_air.len() {
            let mut damaged = on_air.clone();
            damaged[at] ^= 0x10;
            // Subtype, power management, duration, sequence number and key id are not covered.
            let free = matches!(at, 0..=3 | 22 | 23 | 26 | 27);
            if !free {
                assert_eq!(ccmp_open(&key, &damaged), None, "byte {at}");
            }
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_ethernet() {
        assert_eq!(u32::from_le_bytes(fcs(b"123456789")), 0xCBF4_3926);
    }
}
