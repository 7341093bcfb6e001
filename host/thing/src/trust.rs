//! Whether devices would take what a key has signed, as far as this machine knows: by the identities that
//! were made for them here.

use std::path::PathBuf;

use anyhow::{Result, bail};
use identity::Stored;
use releases::PublicKey;

/// A thing, and the identity that its device was given, if it was made here.
pub struct Device {
    pub thing: String,
    pub identity: PathBuf,
    /// How it gets one that names a key.
    pub remedy: String,
}

impl Device {
    /// Why it would take nothing that is signed by one of these keys; `None` if it would, and if nobody
    /// knows here.
    fn flaw(&self, keys: &[PublicKey]) -> Option<&'static str> {
        let region = std::fs::read(&self.identity).ok()?;
        let named = Stored::read(&region).ok()?.identity.update_keys;
        if named.is_empty() {
            return Some("names no key for updates");
        }
        let is_known = named.iter().any(|point| keys.iter().any(|key| key.point() == *point));
        (!is_known).then_some("names other keys for updates than this one's")
    }
}

/// Says which of these devices would not take what one of these keys has signed: without a key they never
/// ask for it, and the person would wait for ever.
///
/// # Errors
/// When none of them would.
pub fn check(devices: &[Device], keys: &[PublicKey], say: &dyn Fn(&str)) -> Result<()> {
    let unlike: Vec<(&Device, &str)> =
        devices.iter().filter_map(|device| Some((device, device.flaw(keys)?))).collect();
    let Some((Device { thing, identity, remedy }, flaw)) = unlike.first() else { return Ok(()) };
    let (file, flaw) = (identity.display(), *flaw);
    if unlike.len() == devices.len() {
        let (others, them) = match devices.len() - 1 {
            0 => (String::new(), "its"),
            others => (format!(" and {others} more"), "their"),
        };
        bail!("{thing}{others} would not take it: {them} identity ({file}) {flaw}: {remedy}");
    }
    for (Device { thing, identity, .. }, flaw) in &unlike {
        say(&format!("{thing} will not take it: its identity ({}) {flaw}", identity.display()));
    }
    say(&format!("for {thing}: {remedy}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use releases::{Signer, make_key};
    use std::cell::RefCell;

    #[test]
    fn who_would_not_take_it_is_told_and_nobody_is_waited_for() {
        let room = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            Signer::with_key(&make_key(&room.path().join(name)).unwrap()).unwrap().keys().remove(0)
        };
        let (own, other) = (key("own"), key("other"));
        let certificate = [&[0x30, 0x82, 2, 0, 0x30][..], &[7; 511]].concat();
        let secret = [&[0x30, 45, 2, 1, 1, 4, 32][..], &[9; 32], &[0xA0, 6], &[1; 6]].concat();
        let device = |thing: &str, keys: &[&PublicKey]| {
            let mut identity = identity::Identity::new("x-ats.iot.test", &certificate, &secret);
            identity.update_keys = keys.iter().map(|key| key.point()).collect();
            let file = room.path().join(thing);
            std::fs::write(&file, identity.encode_region().unwrap()).unwrap();
            Device { thing: thing.to_owned(), identity: file, remedy: "a cable".to_owned() }
        };
        let said = RefCell::new(String::new());
        let check = |devices: &[Device], keys: &[PublicKey]| {
            let say = |line: &str| said.borrow_mut().push_str(&format!("{line}\n"));
            check(devices, keys, &say).map_err(|error| error.to_string())
        };
        let keys = [own.clone()];
        let unknown = Device { identity: room.path().join("none"), ..device("unknown", &[]) };
        let good = [device("good", &[&own]), device("both", &[&other, &own]), unknown];
        check(&good, &keys).unwrap();
        check(&[device("others", &[&other])], &[own.clone(), other.clone()]).unwrap();
        assert_eq!(*said.borrow(), "");

        let bare = device("bare", &[]);
        let error = check(&[bare], &keys).unwrap_err();
        assert!(error.starts_with("bare would not take it: its identity ("), "{error}");
        assert!(error.ends_with("bare) names no key for updates: a cable"), "{error}");
        let error = check(&[device("one", &[&other]), device("two", &[])], &keys).unwrap_err();
        assert!(error.starts_with("one and 1 more would not take it: "), "{error}");
        assert!(error.contains("names other keys for updates than this one's"), "{error}");

        let mixed = [device("good", &[&own]), device("two", &[]), device("three", &[&other])];
        check(&mixed, &keys).unwrap();
        let said = said.borrow();
        assert!(said.starts_with("two will not take it: ") && !said.contains("good"), "{said}");
        assert!(said.contains("\nthree will not take it: "), "{said}");
        assert!(said.ends_with("for two: a cable\n"), "{said}");
    }
}
