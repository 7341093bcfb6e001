//! What was ordered, as it is written down: `certs/updates/<what>.json`, and the image beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use process::files::{self, PUBLIC, SECRET};
use provisioning::Failure;
use releases::{Release, SignedIdentity};
use ring::rand::{self, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::Place;
use crate::standing::{ThingStanding, printable};

/// The form of the file.
const FORMAT: u32 = 2;
/// The first one, whose orders are followed to their ends: a stream always had its job's id.
const FIRST_FORMAT: u32 = 1;
/// The file that is locked while an order is changed.
const LOCK: &str = ".lock";
/// Most targets of a job (AWS IoT Device Management's quotas).
const MOST_TARGETS: usize = 100;

/// Which things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// One.
    Thing(String),
    /// Those of a thing group.
    Group(String),
    /// Those of a list.
    Fleet {
        /// The list, as the person named it.
        name: String,
        /// The things.
        things: Vec<String>,
    },
}

impl Targets {
    /// The name of the order's files: another one for other things.
    fn stem(&self) -> String {
        let (kind, name, things): (_, &str, &[String]) = match self {
            Self::Thing(name) => ("thing", name, &[]),
            Self::Group(name) => ("group", name, &[]),
            Self::Fleet { name, things } => ("fleet", Self::file_name(name), things),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let readable: String =
            name.bytes().map(|byte| if plain(byte) { char::from(byte) } else { '-' }).collect();
        if readable == name && things.is_empty() {
            return format!("{kind}-{readable}");
        }
        // Many lists are called things.csv, and one that was edited is another.
        let mut things: Vec<&String> = things.iter().collect();
        things.sort();
        format!("{kind}-{readable}-{}", tag(&format!("{name} {things:?}")))
    }

    /// What a list is known by: the same one may be named from another folder.
    fn file_name(list: &str) -> &str {
        list.rsplit('/').next().unwrap_or(list)
    }

    fn list(&self) -> Option<&str> {
        match self {
            Self::Fleet { name, .. } => Some(Self::file_name(name)),
            Self::Thing(_) | Self::Group(_) => None,
        }
    }

    /// In words.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Thing(name) => name.clone(),
            Self::Group(name) => format!("the group {name}"),
            Self::Fleet { name, things } => format!("the {} things of {name}", things.len()),
        }
    }

    /// How a person names them in a command.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Thing(name) => format!("THING={name}"),
            Self::Group(name) => format!("GROUP={name}"),
            Self::Fleet { name, .. } => format!("FLEET={name}"),
        }
    }

    pub(crate) fn arns(&self, place: &Place) -> Vec<String> {
        match self {
            Self::Thing(name) => vec![place.arn("thing", name)],
            Self::Group(name) => vec![place.arn("thinggroup", name)],
            Self::Fleet { things, .. } => {
                things.iter().map(|thing| place.arn("thing", thing)).collect()
            }
        }
    }
}

/// Eight digits of a text's SHA-256.
fn tag(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hex::encode(&digest.as_ref()[..4])
}

/// An id of a stream that cannot be guessed: 128 random bits.
fn secret_stream(kind: &str, version: &str) -> Result<String> {
    let random: rand::Random<[u8; 16]> = rand::generate(&SystemRandom::new())
        .map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    Ok(format!("{kind}-{version}-{}", hex::encode(random.expose())))
}

/// How fast a job goes, and when it is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Things that are told in a minute.
    pub per_minute: u32,
    /// The job calls itself off when so many per cent of the told things have failed …
    pub abort_percent: u32,
    /// … once so many were told.
    pub abort_after: u32,
    /// Minutes that a thing has once it has begun.
    pub timeout_minutes: u32,
    /// Whether an older version may come.
    pub allow_downgrade: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_minute: 50,
            abort_percent: 20,
            abort_after: 5,
            timeout_minutes: 60,
            allow_downgrade: false,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<()> {
        ensure!((1..=1000).contains(&self.per_minute), "RATE={}: 1 to 1000", self.per_minute);
        ensure!((1..=100).contains(&self.abort_percent), "ABORT={}: 1 to 100", self.abort_percent);
        ensure!(self.abort_after >= 1, "ABORT_AFTER=0: 1 or more");
        let minutes = self.timeout_minutes;
        ensure!((1..=10_080).contains(&minutes), "TIMEOUT={minutes}: 1 to 10080 minutes");
        Ok(())
    }
}

/// What an update brings.
#[derive(Clone, Copy, Debug)]
pub enum Content<'c> {
    /// A signed image.
    Firmware(&'c Release),
    /// A signed identity, for one thing.
    Identity(&'c SignedIdentity),
}

impl<'c> Content<'c> {
    /// The bytes that go to the store.
    fn bytes(self) -> &'c [u8] {
        match self {
            Self::Firmware(release) => release.image(),
            Self::Identity(identity) => identity.file(),
        }
    }

    fn signature(self) -> &'c str {
        match self {
            Self::Firmware(release) => release.signature(),
            Self::Identity(identity) => identity.signature(),
        }
    }
}

/// An order is not there any more: another program has finished it, and maybe begun the next.
#[derive(Debug)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another program has finished this update")
    }
}

impl std::error::Error for Gone {}

/// What AWS calls the type of a file: that of an identity (`crates/update`).
const IDENTITY: u32 = 1;

/// An update that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    format: u32,
    /// The job's id.
    pub id: String,
    /// The stream's id where it is another one: see [`Order::stream`].
    #[serde(default)]
    stream: Option<String>,
    /// Which things.
    pub targets: Targets,
    /// Whether it brings an identity, and no image.
    #[serde(default)]
    pub identity: bool,
    /// The board that the image is for; none is named for an identity.
    pub board: String,
    /// The image's version; an identity's sequence number.
    pub version: String,
    /// Its bytes.
    pub size: usize,
    /// Its signature, as job documents have it.
    pub signature: String,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The store.
    pub bucket: String,
    /// The role by which AWS IoT reads the store.
    pub role: String,
    /// Its ARN, once it was looked for.
    #[serde(default)]
    pub(crate) role_arn: Option<String>,
    /// How fast, and when it is given up.
    pub limits: Limits,
    /// Whether anything was made for it in the account.
    #[serde(default)]
    pub(crate) begun: bool,
    /// Whether its job was made, or found: no other is made then.
    #[serde(default)]
    pub(crate) job_known: bool,
    /// Whether somebody else has deleted the job.
    #[serde(default)]
    pub(crate) deleted: bool,
    /// How it ended: how many things succeeded, failed and so on.
    #[serde(default)]
    pub ended: Option<BTreeMap<String, u64>>,
}

impl Order {
    /// An order for these things.
    ///
    /// # Errors
    /// When a limit is none that AWS takes, there are more targets than a job may have, an identity is
    /// not for them, or the system has no random numbers.
    pub fn new(
        targets: Targets,
        content: Content<'_>,
        place: &Place,
        bucket: Option<String>,
        role: Option<String>,
        limits: Limits,
    ) -> Result<Self> {
        limits.check()?;
        if let Content::Identity(identity) = content {
            let thing = identity.thing();
            ensure!(
                targets == Targets::Thing(thing.to_owned()),
                "this identity is that of {thing}, and {} would refuse it",
                targets.title()
            );
        }
        if let Targets::Fleet { name, things } = &targets
            && things.len() > MOST_TARGETS
        {
            bail!(
                "{name} has {} things, and a job takes {MOST_TARGETS} targets: put them into a thing \
                 group (`aws iot add-thing-to-thing-group`) and name that by GROUP=…",
                things.len()
            );
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let what = format!("{targets:?} {} {}", content.signature(), since.as_nanos());
        let tag = tag(&what);
        let (kind, board, version) = match content {
            Content::Firmware(release) => {
                (release.board(), release.board(), release.version().to_string())
            }
            Content::Identity(identity) => ("identity", "", identity.sequence().to_string()),
        };
        let id = format!("{kind}-{}-{tag}", version.replace('.', "-"));
        let stream = match content {
            Content::Firmware(_) => None,
            Content::Identity(_) => Some(secret_stream(kind, &version)?),
        };
        Ok(Self {
            format: FORMAT,
            id,
            stream,
            targets,
            identity: matches!(content, Content::Identity(_)),
            board: board.to_owned(),
            version,
            size: content.bytes().len(),
            signature: content.signature().to_owned(),
            account: place.account.clone(),
            region: place.region.clone(),
            bucket: bucket.unwrap_or_else(|| place.bucket()),
            role: role.unwrap_or_else(|| "esp8266-updates".to_owned()),
            role_arn: None,
            limits,
            begun: false,
            job_known: false,
            deleted: false,
            ended: None,
        })
    }

    /// The stream's id. Whoever knows it and has any thing's certificate can read the stream: AWS IoT
    /// answers each thing, whosever the stream is. So an identity, which has a private key in it, gets
    /// one that cannot be guessed. Only the job's document has it; what is shown and listed is the job's.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.stream.as_deref().unwrap_or(&self.id)
    }

    /// An error as it may be shown: AWS names the stream in what it refuses.
    pub(crate) fn without_stream(&self, mut error: anyhow::Error) -> anyhow::Error {
        if let (Some(stream), Some(failure)) = (&self.stream, error.downcast_mut::<Failure>()) {
            failure.said = failure.said.replace(stream, "…");
        }
        error
    }

    /// Whether it was ordered in this account and region.
    #[must_use]
    pub fn is_of(&self, place: &Place) -> bool {
        (&self.account, &self.region) == (&place.account, &place.region)
    }

    /// What it brings, in words.
    #[must_use]
    pub fn what(&self) -> String {
        let kind = if self.identity { "identity" } else { "version" };
        format!("{kind} {}", self.version)
    }

    /// The role's ARN, as far as it is known.
    pub(crate) fn role_arn(&self, place: &Place) -> String {
        self.role_arn.clone().unwrap_or_else(|| place.role_arn(&self.role))
    }

    /// The verb that orders such a one, and goes on with it.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.identity { "update-identity" } else { "update" }
    }

    /// What the things are to fetch, in a word.
    pub(crate) fn file_kind(&self) -> &'static str {
        if self.identity { "identity" } else { "image" }
    }

    /// Whether an order without a job has had one, which is then deleted.
    #[must_use]
    pub fn had_job(&self) -> bool {
        self.job_known
    }

    /// Of its files here: of an identity they hold the private key, and how to get at it.
    fn mode(&self) -> u32 {
        if self.identity { SECRET } else { PUBLIC }
    }

    /// The key in the store.
    pub(crate) fn key(&self) -> String {
        format!("updates/{}.image", self.id)
    }

    pub(crate) fn document(&self) -> Value {
        let mut update = json!({
            "stream": self.stream(),
            "file": 0,
            "size": self.size,
            "sig-sha256-ecdsa": self.signature,
        });
        if self.identity {
            update["fileType"] = IDENTITY.into();
        } else {
            update["board"] = self.board.as_str().into();
            update["version"] = self.version.as_str().into();
        }
        if self.limits.allow_downgrade {
            update["allow_downgrade"] = true.into();
        }
        json!({ "update": update })
    }
}

/// The orders that are not over, in a folder. Several programs may be at work on one: who follows an
/// update, and who calls it off in another terminal.
#[derive(Clone, Debug)]
pub struct Orders {
    folder: PathBuf,
}

impl Orders {
    /// Those in this folder, which need not exist. Orders for the local cloud have one of their own.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, targets: &Targets) -> PathBuf {
        self.folder.join(format!("{}.json", targets.stem()))
    }

    /// Where the certificate is noted with which the board of `make run` proved itself. It says nothing
    /// of the device that AWS sees.
    #[must_use]
    pub fn proved_locally(&self) -> PathBuf {
        self.folder.join("proved.der")
    }

    /// The image of an order, as it is uploaded.
    pub(crate) fn image(&self, order: &Order) -> PathBuf {
        self.folder.join(format!("{}.image", order.targets.stem()))
    }

    /// Where it stays who did not take an update.
    fn report(&self, targets: &Targets) -> PathBuf {
        self.folder.join(format!("{}.report.csv", targets.stem()))
    }

    /// Writes down which of several things did not take an update, and why, as far as that is known;
    /// where it stands. The next order for the same things takes it away.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn report_failed(
        &self,
        targets: &Targets,
        failed: &[ThingStanding],
    ) -> Result<Option<PathBuf>> {
        // Of one thing all is said.
        if failed.is_empty() || matches!(targets, Targets::Thing(_)) {
            return Ok(None);
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["thing", "outcome", "reason"])?;
        for thing in failed {
            writer.write_record([&*thing.thing, thing.word(), &*printable(&thing.reason)])?;
        }
        let text = writer.into_inner().context("cannot write the report")?;
        let report = self.report(targets);
        files::write(&report, &text, PUBLIC)?;
        Ok(Some(report))
    }

    /// What an order that is not over brings.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn content(&self, order: &Order) -> Result<Vec<u8>> {
        files::read(&self.image(order))
    }

    /// The order for these things that is not over.
    ///
    /// # Errors
    /// When it is damaged, or another's.
    pub fn find(&self, targets: &Targets) -> Result<Option<Order>> {
        let file = self.file(targets);
        if !file.exists() {
            return Ok(None);
        }
        let order = read(&file)?;
        ensure!(
            order.targets.stem() == targets.stem(),
            "{} was ordered for {}, not for {}: who renamed it?",
            file.display(),
            order.targets.title(),
            targets.title()
        );
        Ok(Some(order))
    }

    /// Orders for a list of the same name with other things on it: another list, or the same before
    /// it was edited.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn namesakes(&self, targets: &Targets) -> Result<Vec<Order>> {
        let Some(name) = targets.list() else { return Ok(Vec::new()) };
        let mut all = self.all()?;
        all.retain(|order| {
            order.targets.list() == Some(name) && order.targets.stem() != targets.stem()
        });
        Ok(all)
    }

    /// All of them.
    ///
    /// # Errors
    /// When one is damaged.
    pub fn all(&self) -> Result<Vec<Order>> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Ok(Vec::new()) };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.iter().map(|file| read(file)).collect()
    }

    /// Acts while no other program changes an order.
    fn alone<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let file = self.folder.join(LOCK);
        let take = || -> std::io::Result<File> {
            let lock = File::create(&file)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = take().with_context(|| format!("cannot lock {}", file.display()))?;
        let done = act();
        // Closing alone would not do: a child that is just being started has it open, too.
        lock.unlock()?;
        done
    }

    /// Writes an order down, with its image.
    ///
    /// # Errors
    /// When the folder cannot be written, or these things have an order meanwhile.
    pub fn begin(&self, order: &Order, content: Content<'_>) -> Result<()> {
        self.begin_with(order, content.bytes())
    }

    fn begin_with(&self, order: &Order, bytes: &[u8]) -> Result<()> {
        files::make_folder(&self.folder)?;
        self.alone(|| {
            ensure!(
                self.find(&order.targets)?.is_none(),
                "an update of {} was ordered in another terminal a moment ago: the same command goes \
                 on with it",
                order.targets.title()
            );
            files::remove(&self.report(&order.targets))?;
            // The image first: an order without one could not go on.
            files::write(&self.image(order), bytes, order.mode())?;
            self.write(order)
        })
    }

    pub(crate) fn write(&self, order: &Order) -> Result<()> {
        files::write(&self.file(&order.targets), &serde_json::to_vec_pretty(order)?, order.mode())
    }

    /// The order as it is written down now.
    fn current(&self, order: &Order) -> Result<Option<Order>> {
        Ok(self.find(&order.targets)?.filter(|current| current.id == order.id))
    }

    /// Writes down what came of an order, beside what other programs have written meanwhile.
    ///
    /// # Errors
    /// [`Gone`], or when the folder cannot be written.
    pub(crate) fn note(
        &self,
        order: &mut Order,
        change: impl FnOnce(&mut Order) -> Result<()>,
    ) -> Result<()> {
        self.alone(|| {
            let mut current = self.current(order)?.ok_or(Gone)?;
            change(&mut current)?;
            self.write(&current)?;
            *order = current;
            Ok(())
        })
    }

    /// Forgets an order; it is no error when another program has.
    pub(crate) fn forget(&self, order: &Order) -> Result<()> {
        self.forget_if(order, |_| true)
    }

    /// Forgets an order if nothing was made for it.
    pub(crate) fn forget_unbegun(&self, order: &Order) -> Result<()> {
        self.forget_if(order, |current| !current.begun)
    }

    fn forget_if(&self, order: &Order, is_so: impl FnOnce(&Order) -> bool) -> Result<()> {
        self.alone(|| {
            if !self.current(order)?.is_some_and(|current| is_so(&current)) {
                return Ok(());
            }
            files::remove(&self.file(&order.targets))?;
            files::remove(&self.image(order))
        })
    }
}

fn read(file: &Path) -> Result<Order> {
    let text = files::read(file)?;
    let order: Order = serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} is damaged: what it had ordered can be seen by `aws iot list-jobs`",
            file.display()
        )
    })?;
    ensure!(
        (FIRST_FORMAT..=FORMAT).contains(&order.format),
        "{} is of another version of this program, which must finish it",
        file.display()
    );
    Ok(order)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn fleet(name: &str, things: &[&str]) -> Targets {
        let things = things.iter().map(|thing| (*thing).to_owned()).collect();
        Targets::Fleet { name: name.to_owned(), things }
    }

    fn thing(name: &str) -> Targets {
        Targets::Thing(name.to_owned())
    }

    pub(crate) fn order(targets: Targets) -> Order {
        let text = |text: &str| text.to_owned();
        Order {
            format: FORMAT,
            id: targets.stem(),
            stream: None,
            targets,
            identity: false,
            board: text("nodemcu"),
            version: text("1.0.0"),
            size: 1,
            signature: text("MAYCAQECAQI="),
            account: text("1"),
            region: text("r"),
            bucket: text("b"),
            role: text("x"),
            role_arn: None,
            limits: Limits::default(),
            begun: false,
            job_known: false,
            deleted: false,
            ended: None,
        }
    }

    /// A person in another folder, or with two lists of one file name, needs the whole of it.
    #[test]
    fn a_list_is_named_as_the_person_did_and_known_by_its_file_name() {
        let list = fleet("site-b/things.csv", &["lamp"]);
        assert_eq!(list.words(), "FLEET=site-b/things.csv");
        assert_eq!(list.title(), "the 1 things of site-b/things.csv");
        assert_eq!(list.stem(), fleet("things.csv", &["lamp"]).stem());
        let folder = process::scratch::folder().unwrap();
        let orders = Orders::new(folder.path());
        orders.write(&order(list)).unwrap();
        let other = fleet("site-a/things.csv", &["fan"]);
        assert_eq!(orders.namesakes(&other).unwrap().len(), 1);
    }

    /// It would be taken for the next one's.
    #[test]
    fn a_report_goes_when_the_next_update_begins() {
        let folder = process::scratch::folder().unwrap();
        let orders = Orders::new(folder.path());
        let targets = Targets::Group("lamps".to_owned());
        let failed = |name: &str| ThingStanding {
            thing: name.to_owned(),
            status: "FAILED".to_owned(),
            ..ThingStanding::default()
        };
        assert_eq!(orders.report_failed(&thing("lamp"), &[failed("lamp")]).unwrap(), None);
        assert_eq!(orders.report_failed(&targets, &[]).unwrap(), None);
        let report = orders.report_failed(&targets, &[failed("lamp")]).unwrap().unwrap();
        assert!(report.exists());
        let next = order(targets);
        orders.begin_with(&next, b"image").unwrap();
        assert!(!report.exists());
        assert_eq!(orders.content(&next).unwrap(), b"image");
        // In another terminal, which looked a moment before.
        let error = orders.begin_with(&next, b"other").unwrap_err().to_string();
        assert!(error.contains("the same command goes on with it"), "{error}");
        assert_eq!(orders.content(&next).unwrap(), b"image");
    }

    /// Two programs at work on one order.
    #[test]
    fn what_another_program_writes_stays() {
        let folder = process::scratch::folder().unwrap();
        let orders = Orders::new(folder.path());
        let mut first = order(thing("lamp"));
        orders.write(&first).unwrap();
        let mut second = first.clone();
        let known = |order: &mut Order| {
            order.job_known = true;
            Ok(())
        };
        orders
            .note(&mut first, |order| {
                order.begun = true;
                Ok(())
            })
            .unwrap();
        orders.note(&mut second, known).unwrap();
        assert!(second.begun && second.job_known);
        // It does not know that it has begun.
        orders.forget_unbegun(&Order { begun: false, ..second.clone() }).unwrap();
        assert_eq!(orders.all().unwrap(), [second.clone()]);
        // The first one is finished, and another is in its place.
        orders.forget(&first).unwrap();
        assert!(orders.note(&mut second, known).unwrap_err().is::<Gone>());
        let next = Order { id: "next".to_owned(), ..order(thing("lamp")) };
        orders.write(&next).unwrap();
        assert!(orders.note(&mut second, known).unwrap_err().is::<Gone>());
        orders.forget(&second).unwrap();
        assert_eq!(orders.all().unwrap(), [next]);
    }

    /// Lists of one file name, a list before and after it was edited, names that differ in what no
    /// file name should have.
    #[test]
    fn each_things_have_an_order_of_their_own() {
        let folder = process::scratch::folder().unwrap();
        let orders = Orders::new(folder.path());
        let site_a = fleet("things.csv", &["lamp-1", "lamp-2"]);
        let all = [
            thing("lamp:1"),
            thing("lamp-1"),
            Targets::Group("lamp-1".to_owned()),
            site_a.clone(),
            fleet("things.csv", &["fan-1", "fan-2"]),
            fleet("things.csv", &["lamp-1", "lamp-2", "lamp-3"]),
            fleet("a.b.csv", &["lamp-1", "lamp-2"]),
            fleet("a-b.csv", &["lamp-1", "lamp-2"]),
        ];
        for (at, targets) in all.iter().enumerate() {
            assert_eq!(orders.find(targets).unwrap(), None, "{targets:?} takes another's");
            orders.write(&order(targets.clone())).unwrap();
            assert_eq!(orders.all().unwrap().len(), at + 1);
        }
        for targets in &all {
            assert_eq!(orders.find(targets).unwrap(), Some(order(targets.clone())));
        }
        // The same list in another order.
        let turned = fleet("things.csv", &["lamp-2", "lamp-1"]);
        assert_eq!(orders.find(&turned).unwrap(), Some(order(site_a.clone())));
        let others = orders.namesakes(&site_a).unwrap();
        let mut others: Vec<_> = others.into_iter().map(|order| order.targets).collect();
        others.sort_by_key(|targets| targets.stem());
        let mut wanted = [all[4].clone(), all[5].clone()];
        wanted.sort_by_key(Targets::stem);
        assert_eq!(others, wanted);
        // One that is called off takes no other with it.
        orders.forget(&order(all[0].clone())).unwrap();
        assert_eq!(orders.find(&all[0]).unwrap(), None);
        assert_eq!(orders.all().unwrap().len(), all.len() - 1);
        // A file that was copied to another's name.
        std::fs::copy(orders.file(&all[1]), orders.file(&all[0])).unwrap();
        let error = orders.find(&all[0]).unwrap_err().to_string();
        assert!(error.contains("was ordered for lamp-1, not for lamp:1"), "{error}");
    }
}
