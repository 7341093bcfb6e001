//! When a device counts as having its new certificate.
//!
//! One that comes over the air is on trial: the device may connect with it and yet return to the old
//! one, which must be valid then. So a connection is not enough as long as such an update is under
//! way; what its job says in the end is, whether somebody has watched for a connection or not.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use process::wait;
use provisioning::{Certificate, Witness};
use things::folder::ThingFolder;
use things::pem_file;
use updates::{Orders, Targets};

/// How often it is looked whether a trial is over.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after an update's end its outcome may be written down.
const GRACE: Duration = Duration::from_secs(5);

/// A witness that lets trials end.
pub struct AfterTrial<'w> {
    /// Sees connections.
    pub connections: Box<dyn Witness>,
    /// Where updates are written down that are not over.
    pub orders: Orders,
    /// Where that cloud's updates note the certificate that has proved itself.
    pub proved: PathBuf,
    /// The thing.
    pub folder: &'w ThingFolder,
}

impl AfterTrial<'_> {
    /// Whether the certificate in the thing's folder is that of an identity that has proved itself.
    fn proved(&self) -> Result<bool> {
        let Ok(proved) = std::fs::read(&self.proved) else { return Ok(false) };
        let current = pem_file::certificates(&self.folder.certificate(), &self.folder.remedy())?;
        Ok(current.first().is_some_and(|current| proved == current.as_ref()))
    }

    fn on_trial(&self, thing: &str) -> Result<bool> {
        let order = self.orders.find(&Targets::Thing(thing.to_owned()))?;
        Ok(order.is_some_and(|order| order.identity))
    }
}

impl Witness for AfterTrial<'_> {
    fn prepare(&mut self, thing: &str) -> Result<()> {
        self.connections.prepare(thing)
    }

    fn advice(&self, thing: &str) -> String {
        self.connections.advice(thing)
    }

    fn sees(&mut self, thing: &str, certificate: &Certificate, limit: Duration) -> Result<bool> {
        let begun = Instant::now();
        if self.proved()? {
            return Ok(true);
        }
        if !self.connections.sees(thing, certificate, limit)? {
            // The last word of its job, which came meanwhile.
            return self.proved();
        }
        if !self.on_trial(thing)? {
            // Given by its cable, or its update ended a moment ago.
            return Ok(true);
        }
        let left = limit.saturating_sub(begun.elapsed());
        let over = wait::until(left, PAUSE, || Ok((!self.on_trial(thing)?).then_some(())))?;
        let proved = || Ok(self.proved()?.then_some(()));
        Ok(over.is_some() && wait::until(GRACE, PAUSE, proved)?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
    use releases::{SignedIdentity, Signer, make_key};
    use std::path::Path;
    use things::device_identity::{DeviceIdentity, Endpoints};
    use things::topics::Topics;
    use updates::{Content, Limits, Order, Place};

    struct Prophet {
        sees: bool,
    }

    impl Witness for Prophet {
        fn advice(&self, _: &str) -> String {
            String::new()
        }

        fn sees(&mut self, _: &str, _: &Certificate, _: Duration) -> Result<bool> {
            Ok(self.sees)
        }
    }

    fn credential(folder: &ThingFolder) -> Credential {
        let root = Authority::root("r", KeyKind::P256, Validity::for_days(2)).unwrap();
        let credential = root.issue(&LeafRequest::client("lamp")).unwrap();
        std::fs::create_dir_all(folder.certificate().parent().unwrap()).unwrap();
        credential.save(folder.certificate().parent().unwrap(), "device").unwrap();
        credential
    }

    /// An update with an identity that is under way; the file that says so.
    fn begin(orders: &Orders, credential: Credential, keys: &Path) {
        let root = credential.chain[0].clone();
        let endpoints = Endpoints {
            host: "a-ats.iot.test".to_owned(),
            port: 8883,
            dns: Vec::new(),
            ntp: Vec::new(),
        };
        let topics = Topics::default();
        let mut identity = DeviceIdentity::new(endpoints, "lamp", topics, credential, root);
        identity.update_keys.push([7; 64]);
        let signer = Signer::with_key(&make_key(keys).unwrap()).unwrap();
        let signed = SignedIdentity::sign(identity.file(2).unwrap(), &signer).unwrap();
        let place = Place {
            account: "1".to_owned(),
            region: "r".to_owned(),
            partition: "aws".to_owned(),
            who: String::new(),
            local: false,
        };
        let group = Targets::Group("lamps".to_owned());
        let (content, limits) = (Content::Identity(&signed), Limits::default());
        let error = Order::new(group, content, &place, None, None, limits.clone()).unwrap_err();
        assert!(error.to_string().contains("would refuse it"), "{error}");
        let lamp = Targets::Thing("lamp".to_owned());
        let order = Order::new(lamp, content, &place, None, None, limits).unwrap();
        orders.begin(&order, content).unwrap();
        assert_eq!(orders.content(&order).unwrap(), signed.file());
    }

    #[test]
    fn a_connection_on_trial_is_not_enough() {
        let room = tempfile::tempdir().unwrap();
        let folder = ThingFolder::new(room.path(), "lamp").unwrap();
        let certificate = Certificate { id: "c".to_owned(), arn: "a".to_owned() };
        let path = room.path().join("updates");
        let credential = credential(&folder);
        let sees = |connected: bool| {
            let connections = Box::new(Prophet { sees: connected });
            let orders = Orders::new(&path);
            let proved = folder.proved();
            let mut witness = AfterTrial { connections, orders, proved, folder: &folder };
            witness.sees("lamp", &certificate, Duration::from_secs(2)).unwrap()
        };
        // By its cable.
        assert!(!sees(false));
        assert!(sees(true));
        // Over the air: as long as that is not over, and when it has failed.
        begin(&Orders::new(&path), credential.clone(), &room.path().join("signing"));
        assert!(!sees(true));
        let over = |proved: bool| {
            let (path, file) = (path.clone(), folder.proved());
            let leaf = credential.chain[0].clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(700));
                std::fs::remove_file(path.join("thing-lamp.json")).unwrap();
                if proved {
                    std::fs::write(file, leaf).unwrap();
                }
            })
        };
        let order = std::fs::read(path.join("thing-lamp.json")).unwrap();
        over(false);
        assert!(!sees(true));
        std::fs::write(path.join("thing-lamp.json"), order).unwrap();
        over(true);
        assert!(sees(true));
        // The job's word is enough, of this certificate.
        assert!(sees(false));
        std::fs::write(folder.proved(), b"another one").unwrap();
        assert!(!sees(false));
    }
}
