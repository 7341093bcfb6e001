//! Certificates and keys from PEM files, checked for what the device can use.

use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::objects::{oid_registry, oid2sn};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::problem::{Problem, read_text};
use certificates::Credential;

/// Largest PEM file that is read, in bytes: more than a whole identity region in base64.
const FILE_LIMIT: u64 = 32 * 1024;

const P256_COMMAND: &str = "the device's key must be ECC P-256: \
    `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one, and \
    `make provision` makes key and certificate";

const SPELLED_OUT: &str = "its curve is spelled out (explicit parameters) instead of named";
const NAME_THE_CURVE: &str = "no TLS library takes that (RFC 5480, section 2.1.1): \
    `openssl ec -in KEY -param_enc named_curve -out NEW` mends a key; a certificate must be made anew \
    from it";

/// DER of a public key on P-256 (RFC 5480) up to its point, which follows uncompressed.
const SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The label of a private key of any kind (RFC 5208).
const PKCS_8: &str = "PRIVATE KEY";

/// One block of a PEM file.
struct Block<'f> {
    file: &'f Path,
    label: String,
    /// The line of its BEGIN, from 1.
    line: usize,
    der: Vec<u8>,
}

impl Block<'_> {
    /// A problem of this block.
    fn problem(&self, what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem::of(self.file, what, remedy).at_line(self.line)
    }

    /// The certificate that it is.
    fn certificate(&self) -> Result<X509Certificate<'_>, Problem> {
        match X509Certificate::from_der(&self.der) {
            Ok(([], certificate)) => Ok(certificate),
            _ => Err(self.problem(
                "this certificate is damaged",
                "copy the file again, without changing a character",
            )),
        }
    }
}

/// Reads the blocks of a PEM file.
fn blocks<'f>(file: &'f Path, remedy: &str) -> Result<Vec<Block<'f>>, Problem> {
    const BEGIN: &str = "-----BEGIN ";
    let text = read_text(file, FILE_LIMIT, remedy)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        let Some(label) = line.trim().strip_prefix(BEGIN) else {
            index += 1;
            continue;
        };
        let damaged = || {
            Problem::of(
                file,
                "a PEM block begins here and is cut off or damaged",
                "copy the file again, from BEGIN to END, without changing a character",
            )
            .at_line(index + 1)
        };
        let label = label.strip_suffix("-----").ok_or_else(damaged)?;
        let end = format!("-----END {label}-----");
        let length =
            lines[index..].iter().position(|line| line.trim() == end).ok_or_else(damaged)?;
        let block = &lines[index..=index + length];
        if block.iter().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
            return Err(encrypted(file, index + 1));
        }
        // RFC 7468 lets a reader pass over blank lines; the headers of RFC 1421 end with one.
        let headers = block.iter().any(|line| line.contains(':'));
        let kept = block.iter().filter(|line| headers || !line.trim().is_empty());
        let block = kept.copied().collect::<Vec<_>>().join("\n");
        let der = pem::parse(block).map_err(|_| damaged())?.into_contents();
        blocks.push(Block { file, label: label.to_owned(), line: index + 1, der });
        index += length + 1;
    }
    if blocks.is_empty() {
        return Err(Problem::of(
            file,
            "there is no PEM block (-----BEGIN ...-----) in it",
            "take the file in PEM format; `openssl x509 -inform DER` and \
             `openssl pkey -inform DER` convert from DER",
        ));
    }
    Ok(blocks)
}

/// A private key under a passphrase.
fn encrypted(file: &Path, line: usize) -> Problem {
    Problem::of(
        file,
        "this private key is encrypted",
        "decrypt it: `openssl pkey -in FILE -out FILE.new`, then `chmod 600`",
    )
    .at_line(line)
}

/// What to do with a block of another kind, where that is known.
fn remedy_for(label: &str, otherwise: &str) -> String {
    match label {
        "TRUSTED CERTIFICATE" => {
            "openssl's own form: `openssl x509 -in FILE -out FILE.new` makes a plain certificate"
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            "this is the request; take the certificate that was made of it"
        }
        "PKCS7" | "CMS" => {
            "`openssl pkcs7 -print_certs -in FILE -out FILE.new` takes the certificates out"
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            "this is the public half; take the file of the private key"
        }
        "OPENSSH PRIVATE KEY" => P256_COMMAND,
        _ => otherwise,
    }
    .to_owned()
}

/// Reads the one public key of a file, which signs updates: x and y of its point.
///
/// # Errors
/// When the file has no public key on P-256, or more than one.
pub fn public_key(file: &Path) -> Result<[u8; 64], Problem> {
    let remedy = "name a public key that signs updates under [update]: `make signing-key` makes \
                  one, certs/signing/signing.pub; `openssl pkey -in KEY -pubout` takes it from a key";
    let blocks = blocks(file, remedy)?;
    let [block] = &blocks[..] else {
        return Err(Problem::of(file, "there is more than one PEM block in it", remedy));
    };
    if block.label != "PUBLIC KEY" {
        let what = format!("this is no public key: its label is {}", block.label);
        return Err(block.problem(what, remedy));
    }
    point(&block.der)
        .filter(is_on_curve)
        .ok_or_else(|| block.problem("this is no public key on P-256", remedy))
}

/// Whether a device could take this point for a key: ring looks before it agrees on a secret.
fn is_on_curve(point: &[u8; 64]) -> bool {
    use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
    let key = UnparsedPublicKey::new(&ECDH_P256, uncompressed(point));
    EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())
        .is_ok_and(|own| agree_ephemeral(own, &key, |_| ()).is_ok())
}

/// The point of a public key on P-256 in DER (SubjectPublicKeyInfo), x and y.
#[must_use]
pub fn point(spki: &[u8]) -> Option<[u8; 64]> {
    spki.strip_prefix(&SPKI)?.try_into().ok()
}

/// A point as ring takes it.
#[must_use]
pub fn uncompressed(point: &[u8; 64]) -> [u8; 65] {
    let mut bytes = [4; 65];
    bytes[1..].copy_from_slice(point);
    bytes
}

/// A public key in DER (SubjectPublicKeyInfo), as `openssl pkey -pubin -outform DER` has it.
#[must_use]
pub fn spki(point: &[u8; 64]) -> Vec<u8> {
    [&SPKI[..], point].concat()
}

/// Reads all certificates of a file.
///
/// # Errors
/// When the file has none, or one that is damaged or not valid today.
pub fn certificates(file: &Path, remedy: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    Ok(chain(certificate_blocks(file, remedy)?))
}

/// Reads all certificates of a file of roots, which the device must be able to read.
///
/// # Errors
/// As [`certificates()`], and when a root has a key or a signature of a kind that the device does not
/// know.
pub fn roots(file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    const REMEDY: &str = "leave it out of `roots` in config.toml; the device reads roots with keys on \
                          P-256 or of RSA with 2048 to 4096 bits";
    let blocks = certificate_blocks(file, "correct `roots` in config.toml")?;
    for block in &blocks {
        check_signature(block)?;
        let certificate = block.certificate()?;
        let key = certificate.public_key();
        let unknown = match key.parsed() {
            Ok(PublicKey::RSA(key)) if RSA_BITS.contains(&bits(key.modulus)) => continue,
            Ok(PublicKey::RSA(_)) => "an RSA key of another size than 2048 to 4096 bits",
            Ok(PublicKey::EC(_)) if is_on_p256(key) => continue,
            Ok(PublicKey::EC(_)) => "a key on another elliptic curve than P-256",
            _ => "a key of another kind than RSA and ECC",
        };
        return Err(block.problem(format!("this root has {unknown}"), REMEDY));
    }
    Ok(chain(blocks))
}

/// Keys of RSA that the device takes, in bits: what mbedTLS's default profile and crates/rsa allow.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// The bits of a number, the highest byte first.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    8 * (number.len() - zeros) - first
}

/// Refuses a certificate whose signature is of a kind that the device does not know: it reads
/// nothing of such a certificate, be the signature needed or not.
fn check_signature(block: &Block<'_>) -> Result<(), Problem> {
    let certificate = block.certificate()?;
    let oid = &certificate.signature_algorithm.algorithm;
    if [
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
    ]
    .contains(oid)
    {
        return Ok(());
    }
    let name = oid2sn(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    Err(block.problem(
        format!(
            "this certificate is signed by an algorithm that the device does not know ({name})"
        ),
        "take one that is signed by ECDSA or RSA PKCS#1 v1.5, with SHA-256 or SHA-384",
    ))
}

/// Whether a key is on P-256, which its certificate names.
fn is_on_p256(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    curve == Some(OID_EC_P256)
}

fn chain(blocks: Vec<Block<'_>>) -> Vec<CertificateDer<'static>> {
    blocks.into_iter().map(|block| block.der.into()).collect()
}

fn certificate_blocks<'f>(file: &'f Path, remedy: &str) -> Result<Vec<Block<'f>>, Problem> {
    let blocks = blocks(file, remedy)?;
    for block in &blocks {
        let label = &*block.label;
        // The second and third are the old names of the first (RFC 7468, section 5.1).
        if !["CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE"].contains(&label) {
            return Err(block.problem(
                format!("here is a {label}, where certificates belong"),
                remedy_for(label, "keep certificates and key in files of their own"),
            ));
        }
        check_dates(block)?;
    }
    Ok(blocks)
}

fn check_dates(block: &Block<'_>) -> Result<(), Problem> {
    let certificate = block.certificate()?;
    let now = OffsetDateTime::now_utc();
    let from = certificate.validity().not_before.to_datetime();
    let to = certificate.validity().not_after.to_datetime();
    if to < now {
        return Err(block.problem(
            format!("this certificate expired on {}", to.date()),
            format!(
                "take one that is valid (or set this machine's clock, if today is not {})",
                now.date()
            ),
        ));
    }
    // A day for clocks that disagree.
    if from > now + Duration::DAY {
        return Err(block.problem(
            format!("this certificate is not valid before {}", from.date()),
            format!("set this machine's clock, if today is not {}", now.date()),
        ));
    }
    Ok(())
}

/// Reads the device's certificate, its chain and its private key, and checks that they are
/// ECC P-256, valid today and belong together. Of the chain the device needs nothing but the bytes.
///
/// # Errors
/// With the file and line that is wrong.
pub fn credential(certificate: &Path, key: &Path, remedy: &str) -> Result<Credential, Problem> {
    let blocks = certificate_blocks(certificate, remedy)?;
    let point = p256_point(&blocks[0])?;
    check_signature(&blocks[0])?;
    let (key, scalar) = private_key(key, remedy)?;
    // Rejects a scalar that does not make this point.
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &scalar,
        &point,
        &SystemRandom::new(),
    )
    .map_err(|_| {
        key.problem(
            format!("this key does not belong to the certificate in {}", certificate.display()),
            "take the key that this certificate was made for; in a file of several \
             certificates, the device's own must come first",
        )
    })?;
    let key = match &*key.label {
        PKCS_8 => PrivatePkcs8KeyDer::from(key.der).into(),
        _ => PrivateSec1KeyDer::from(key.der).into(),
    };
    Ok(Credential { chain: chain(blocks), key })
}

/// The public key of a certificate, which must be P-256.
fn p256_point(block: &Block<'_>) -> Result<Vec<u8>, Problem> {
    let refused = |what: &str| Err(block.problem(what, P256_COMMAND));
    let certificate = block.certificate()?;
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(_)) => refused("this certificate has an RSA key"),
        Ok(PublicKey::EC(point)) => {
            let parameters = key.algorithm.parameters.as_ref();
            if parameters.is_some_and(|any| any.tag() == Tag::Sequence) {
                return Err(block.problem(SPELLED_OUT, NAME_THE_CURVE));
            }
            if is_on_p256(key) {
                Ok(point.data().to_vec())
            } else {
                refused("this certificate has an elliptic-curve key of another curve than P-256")
            }
        }
        _ => refused("this certificate has a key of another kind than ECC"),
    }
}

/// Reads a P-256 key: its block and its secret number.
fn private_key<'f>(file: &'f Path, remedy: &str) -> Result<(Block<'f>, Vec<u8>), Problem> {
    let all = blocks(file, remedy)?;
    let mode = std::fs::metadata(file).map_or(0, |data| data.permissions().mode());
    if mode & 0o077 != 0 {
        return Err(Problem::of(
            file,
            format!("others may read or write this private key (mode {:04o})", mode & 0o7777),
            format!("chmod 600 {}", file.display()),
        ));
    }
    // `openssl ecparam -genkey` writes the curve's name as a block of its own.
    let mut blocks = all.into_iter().filter(|block| block.label != "EC PARAMETERS");
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err(Problem::of(
            file,
            "there must be one private key in it, and nothing else",
            "keep certificates and key in files of their own",
        ));
    };
    let shape = match &*block.label {
        PKCS_8 => pkcs8(&block.der),
        "EC PRIVATE KEY" => sec1(&block.der, None),
        "RSA PRIVATE KEY" => Shape::Rsa,
        "ENCRYPTED PRIVATE KEY" => return Err(encrypted(file, block.line)),
        other => {
            let what = format!("here is a {other}, where the private key belongs");
            return Err(block.problem(what, remedy_for(other, remedy)));
        }
    };
    let (what, remedy) = match shape {
        Shape::P256(scalar) => return Ok((block, scalar)),
        Shape::Rsa => ("this is an RSA key", P256_COMMAND),
        Shape::SpelledOut => (SPELLED_OUT, NAME_THE_CURVE),
        Shape::OtherCurve => ("this key is of another curve than P-256", P256_COMMAND),
        Shape::Unknown => (
            "this key is damaged or of an unknown kind",
            "copy the file again, without changing a character; it must be an ECC P-256 key",
        ),
    };
    Err(block.problem(what, remedy))
}

/// What kind of key a DER value is.
enum Shape {
    P256(Vec<u8>),
    OtherCurve,
    /// The curve's numbers stand there instead of its name.
    SpelledOut,
    Rsa,
    Unknown,
}

/// Whether bytes are a private key in DER.
#[must_use]
pub fn is_der_key(der: &[u8]) -> bool {
    !matches!((pkcs8(der), sec1(der, None)), (Shape::Unknown, Shape::Unknown))
}

/// `PrivateKeyInfo` (RFC 5208): version, algorithm, key.
fn pkcs8(der: &[u8]) -> Shape {
    let read = || {
        let (outer, _) = value(Tag::Sequence, der)?;
        let (_, rest) = value(Tag::Integer, outer)?;
        let (algorithm, rest) = value(Tag::Sequence, rest)?;
        let (key, _) = value(Tag::OctetString, rest)?;
        let (kind, parameters) = value(Tag::Oid, algorithm)?;
        if kind == OID_PKCS1_RSAENCRYPTION.as_bytes() {
            return Some(Shape::Rsa);
        }
        if kind != OID_KEY_TYPE_EC_PUBLIC_KEY.as_bytes() {
            return None;
        }
        if value(Tag::Sequence, parameters).is_some() {
            return Some(Shape::SpelledOut);
        }
        Some(sec1(key, Some(value(Tag::Oid, parameters)?.0)))
    };
    read().unwrap_or(Shape::Unknown)
}

/// `ECPrivateKey` (RFC 5915): version, secret number, curve unless it is known from outside.
fn sec1(der: &[u8], curve: Option<&[u8]>) -> Shape {
    let read = || {
        let (outer, _) = value(Tag::Sequence, der)?;
        let (_, rest) = value(Tag::Integer, outer)?;
        let (scalar, rest) = value(Tag::OctetString, rest)?;
        let curve = match curve {
            Some(curve) => curve,
            None => {
                // Of the class "context-specific".
                let (parameters, _) = value(Tag(0), rest)?;
                if value(Tag::Sequence, parameters).is_some() {
                    return Some(Shape::SpelledOut);
                }
                value(Tag::Oid, parameters)?.0
            }
        };
        Some(match (curve == OID_EC_P256.as_bytes(), scalar.len()) {
            (true, 32) => Shape::P256(scalar.to_vec()),
            (true, _) => Shape::Unknown,
            (false, _) => Shape::OtherCurve,
        })
    };
    read().unwrap_or(Shape::Unknown)
}

/// Splits off one DER value of that tag: its content and what follows it.
fn value(tag: Tag, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, value) = Any::from_der(bytes).ok()?;
    (value.tag() == tag).then_some((value.data, rest))
}
