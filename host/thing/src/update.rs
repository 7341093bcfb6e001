//! `thing update`, `thing update-status`, `thing update-cancel`: new firmware for devices.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use board::image::Image;
use board_facts::Board;
use cloud::pki::Pki;
use cloud::running::Running;
use cloud::updates::Requests;
use identity::Stored;
use indicatif::{ProgressBar, ProgressStyle};
use process::files::{self, PUBLIC, SECRET};
use process::interrupt::Interrupt;
use process::output;
use provisioning::Failure;
use provisioning::fleet::Fleet;
use releases::{PublicKey, Release, SignedIdentity};
use slots::Version;
use things::device_identity::{DeviceIdentity, Endpoints};
use things::folder::ThingFolder;
use things::identity_region;
use things::settings::Settings;
use things::topics::Topics;
use updates::{
    Account, Aws, Content, End, Goal, Limits, Local, Order, Orders, Place, Standing, Targets,
    Update, Watcher,
};

use crate::context::{Configured, Context};
use crate::control;
use crate::provision::{self, say};
use crate::release::{self, KeyArguments};
use crate::run;
use crate::smoke;
use crate::trust::{self, Device};

/// How long to wait before a job on AWS is looked at again, and one of the local cloud.
const AWS_PAUSE: Duration = Duration::from_secs(5);
const LOCAL_PAUSE: Duration = Duration::from_millis(500);

/// Where the things are
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum CloudName {
    /// On AWS
    Aws,
    /// At the local cloud of `make run`
    Local,
}

/// Which things, and where they are
#[derive(clap::Args)]
pub struct Which {
    /// The thing was named by the person; otherwise the one of `make run` is meant
    #[arg(long)]
    named: bool,
    /// All things of this thing group
    #[arg(long)]
    group: Option<String>,
    /// All things of this list: a CSV file with a header and a column `thing`
    #[arg(long)]
    fleet: Option<PathBuf>,
    /// Where they are; if nobody says, a thing that `make run` runs is there, and others on AWS
    #[arg(long)]
    cloud: Option<CloudName>,
}

/// Where an update goes through, and how long it may take
#[derive(clap::Args)]
pub struct Way {
    /// The store on AWS, if not esp8266-updates-ACCOUNT-REGION
    #[arg(long)]
    bucket: Option<String>,
    /// The role by which AWS IoT reads the store, if not esp8266-updates
    #[arg(long)]
    role: Option<String>,
    /// Minutes that a thing has once it has begun, 60 if nobody says
    #[arg(long)]
    timeout: Option<u32>,
    /// An older version, or identity, may replace a newer one
    #[arg(long)]
    allow_downgrade: bool,
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    account: provision::Account,
    #[command(flatten)]
    image: ImageArguments,
    #[command(flatten)]
    key: KeyArguments,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    rollout: Rollout,
}

/// How fast an update goes, and when it is given up
#[derive(clap::Args)]
pub struct Rollout {
    /// Most things that are told in a minute, 50 if nobody says
    #[arg(long)]
    rate: Option<u32>,
    /// The job calls itself off when so many per cent of the things that were told have failed, 20 if
    /// nobody says …
    #[arg(long)]
    abort: Option<u32>,
    /// … once so many were told, 5 if nobody says
    #[arg(long)]
    abort_after: Option<u32>,
}

impl Rollout {
    /// What it asks for that this order does not have.
    fn others<'a>(&'a self, order: &'a Order) -> impl Iterator<Item = String> + 'a {
        let Limits { per_minute, abort_percent, abort_after, .. } = &order.limits;
        [
            other("RATE", self.rate.as_ref(), per_minute),
            other("ABORT", self.abort.as_ref(), abort_percent),
            other("ABORT_AFTER", self.abort_after.as_ref(), abort_after),
        ]
        .into_iter()
        .flatten()
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            per_minute: self.rate.unwrap_or(usual.per_minute),
            abort_percent: self.abort.unwrap_or(usual.abort_percent),
            abort_after: self.abort_after.unwrap_or(usual.abort_after),
            ..usual
        }
    }
}

impl Way {
    /// What it asks for that this order does not have.
    fn others<'a>(&'a self, order: &'a Order) -> impl Iterator<Item = String> + 'a {
        let downgrade = self.allow_downgrade && !order.limits.allow_downgrade;
        [
            other("BUCKET", self.bucket.as_ref(), &order.bucket),
            other("ROLE", self.role.as_ref(), &order.role),
            other("TIMEOUT", self.timeout.as_ref(), &order.limits.timeout_minutes),
            downgrade.then(|| "DOWNGRADE=1".to_owned()),
        ]
        .into_iter()
        .flatten()
    }
}

/// What was asked for, as a person says it, if an order has something else.
fn other<T: PartialEq + Display>(name: &str, asked: Option<&T>, ordered: &T) -> Option<String> {
    asked.filter(|asked| *asked != ordered).map(|asked| format!("{name}={asked}"))
}

#[derive(clap::Args)]
pub struct IdentityArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    account: provision::Account,
    #[command(flatten)]
    key: KeyArguments,
    /// A command of the shell that signs instead of the folder's signing.key (see `release`)
    #[arg(long)]
    signer: Option<String>,
    /// That command may be given the identity, which has the thing's private key in it
    #[arg(long, requires = "signer")]
    signer_sees_key: bool,
    #[command(flatten)]
    way: Way,
}

/// Which image
#[derive(clap::Args)]
pub struct ImageArguments {
    /// The board
    #[arg(long, default_value = "nodemcu", value_parser = Board::named)]
    board: Board,
    /// The release
    #[arg(long, conflicts_with = "new_version")]
    release: Option<PathBuf>,
    /// The version, of which there is a release
    #[arg(long, value_parser = version)]
    new_version: Option<Version>,
    /// Folder of the board's flash files, as they were made last
    #[arg(long)]
    image: Option<PathBuf>,
    /// Folder of the releases
    #[arg(long, default_value = "target/releases")]
    releases: PathBuf,
    /// What is built here has no radio, and why
    #[arg(long)]
    no_radio: Option<NoRadio>,
}

/// Why a firmware has no radio
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NoRadio {
    /// Nobody has fetched its libraries
    Missing,
    /// The person says so
    Meant,
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "a version is three numbers, as in 1.2.3".to_owned())
}

#[derive(clap::Args)]
pub struct VersionArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    image: ImageArguments,
    #[command(flatten)]
    key: KeyArguments,
}

#[derive(clap::Args)]
pub struct CancelArguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    account: provision::Account,
    /// Also where a thing has begun
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args)]
pub struct PolicyArguments {
    #[command(flatten)]
    account: provision::Account,
    /// See `update`
    #[arg(long)]
    bucket: Option<String>,
    /// See `update`
    #[arg(long)]
    role: Option<String>,
}

/// Which things are meant, and where.
struct Meant {
    targets: Targets,
    cloud: CloudName,
    /// The local cloud, if it runs.
    running: Option<Running>,
}

impl Which {
    fn meant(&self, context: &Context) -> Result<Meant> {
        let said = [
            (self.named, "THING="),
            (self.group.is_some(), "GROUP="),
            (self.fleet.is_some(), "FLEET="),
        ];
        let said: Vec<&str> =
            said.into_iter().filter(|(is_said, _)| *is_said).map(|(_, name)| name).collect();
        ensure!(said.len() < 2, "{} are both there: say only whom you mean", said.join(" and "));
        let running = Running::find(&context.settings.state).ok();
        let targets = if let Some(group) = &self.group {
            Targets::Group(group.clone())
        } else if let Some(list) = &self.fleet {
            let fleet = Fleet::read(list)?;
            let things = fleet.things().map(str::to_owned).collect();
            Targets::Fleet { name: list.to_string_lossy().into_owned(), things }
        } else if self.named {
            Targets::Thing(context.folder()?.thing().to_owned())
        } else {
            let running = running.as_ref().context(
                "update what? Name a thing on AWS by THING=…, a group by GROUP=…, a list by FLEET=…, \
                 behind `make`; or start `make run BOARD=nodemcu` in another terminal, whose board is \
                 meant if nobody is named",
            )?;
            Targets::Thing(running.thing.clone())
        };
        let cloud = self.cloud.unwrap_or_else(|| usual_cloud(&targets, running.as_ref()));
        Ok(Meant { targets, cloud, running })
    }
}

/// Where things are if nobody says.
fn usual_cloud(targets: &Targets, running: Option<&Running>) -> CloudName {
    match (targets, running) {
        (Targets::Thing(name), Some(running)) if *name == running.thing => CloudName::Local,
        _ => CloudName::Aws,
    }
}

/// How a person names things, and their cloud where a command would choose the other.
fn words(targets: &Targets, cloud: CloudName, running: Option<&Running>) -> String {
    let mut words = targets.words();
    if cloud != usual_cloud(targets, running) {
        words.push_str(match cloud {
            CloudName::Aws => " CLOUD=aws",
            CloudName::Local => " CLOUD=local",
        });
    }
    words
}

impl Meant {
    /// How a person names them.
    fn words(&self) -> String {
        words(&self.targets, self.cloud, self.running.as_ref())
    }

    /// The things, as far as they have names here.
    fn things(&self) -> Vec<&str> {
        match &self.targets {
            Targets::Thing(name) => vec![name],
            Targets::Fleet { things, .. } => things.iter().map(String::as_str).collect(),
            Targets::Group(_) => Vec::new(),
        }
    }

    /// Their devices.
    fn devices(&self, context: &Context) -> Vec<Device> {
        let device = |thing: &str| {
            let folder = ThingFolder::new(&context.things, thing).ok()?;
            let named = if self.cloud == CloudName::Aws || folder.exists() {
                "name the key under [update] in config.toml, "
            } else {
                ""
            };
            let (identity, remedy) = match (self.cloud, &self.running) {
                (CloudName::Aws, _) => (
                    folder.identity(),
                    format!(
                        "{named}`make identity THING={thing}` makes an identity that has it, `make \
                         flash-identity THING={thing}` writes that by the cable"
                    ),
                ),
                (CloudName::Local, Some(running)) if running.thing == thing => (
                    run::identity_given(&context.settings.state),
                    format!("{named}start `make run` anew"),
                ),
                (CloudName::Local, _) => return None,
            };
            Some(Device { thing: thing.to_owned(), identity, remedy })
        };
        self.things().into_iter().filter_map(device).collect()
    }
}

/// Where updates of this cloud are written down.
pub fn orders(cloud: CloudName, things: &Path, settings: &Settings) -> Orders {
    Orders::new(&match cloud {
        CloudName::Aws => things.join("updates"),
        CloudName::Local => settings.state.join("updates"),
    })
}

/// Where the certificate is noted with which a thing has proved itself there.
pub fn proved(cloud: CloudName, orders: &Orders, folder: &ThingFolder) -> PathBuf {
    match cloud {
        CloudName::Aws => folder.proved(),
        CloudName::Local => orders.proved_locally(),
    }
}

/// An account, what was ordered there, and how to go about it.
struct Opened<'s> {
    account: Box<dyn Account + 's>,
    place: Place,
    orders: Orders,
    pause: Duration,
}

impl Opened<'_> {
    fn open(context: &Context, cloud: CloudName, arguments: provision::Account) -> Result<Self> {
        let (mut account, region, pause): (Box<dyn Account>, _, _) = match cloud {
            CloudName::Aws => {
                let (aws, region) = Aws::new(arguments.cli(&say)?, &say)?;
                (Box::new(aws), region, AWS_PAUSE)
            }
            CloudName::Local => {
                let (_, operator) = control::join(&context.settings.state)?;
                let local = Local(Requests::new(operator)?);
                (Box::new(local), cloud::updates::account::REGION.to_owned(), LOCAL_PAUSE)
            }
        };
        let place = Place::ask(&mut *account, &region, cloud == CloudName::Local)?;
        if place.local {
            say("cloud        the local one of `make run`");
        } else {
            say(&format!(
                "AWS account  {}\nyou are      {}\nregion       {region}",
                place.account, place.who
            ));
        }
        Ok(Self {
            account,
            place,
            orders: orders(cloud, &context.things, &context.settings),
            pause,
        })
    }

    fn update(&mut self) -> Update<'_> {
        let Self { account, place, orders, pause } = self;
        Update { account: &mut **account, place, orders, pause: *pause }
    }

    /// Goes on with an order as far as it goes, and shows that.
    fn run(&mut self, order: &mut Order, goal: Goal, interrupt: Interrupt) -> Result<End> {
        let mut shown = Shown::new(interrupt);
        let end = self.update().run(order, goal, &mut shown);
        shown.bar.finish_and_clear();
        end
    }
}

/// Says which version has to be built and signed before the update: none when a release is named, the
/// version has one, or an update of these things is not over yet.
pub fn next_version(context: &Context, arguments: &VersionArguments) -> Result<()> {
    let VersionArguments { which, image, key } = arguments;
    let meant = which.meant(context)?;
    check_board(&meant, &image.board)?;
    let orders = orders(meant.cloud, &context.things, &context.settings);
    if image.release.is_some() || orders.find(&meant.targets)?.is_some() {
        return Ok(());
    }
    // Standard output is for the version alone.
    if let Some(version) = image.new_version {
        let released = release::file(&image.releases, &image.board, version);
        if released.try_exists()? {
            eprintln!("{} is there: it goes as it is, and nothing is built", released.display());
            return Ok(());
        }
    }
    // It takes minutes until the release is there, which is looked at more closely.
    image.check_radio(&meant, image.no_radio.is_none(), "what would be built here")?;
    let trusted = key.trusted(context, &meant.things())?;
    let keys: Vec<PublicKey> = trusted.into_iter().map(|trusted| trusted.key).collect();
    trust::check(&meant.devices(context), &keys, &|_| ())?;
    output::line(image.new_version.unwrap_or_else(|| image.next()))
}

impl ImageArguments {
    /// Things on AWS are real ones, which nobody hears of again while such a firmware is on trial.
    fn check_radio(&self, meant: &Meant, has_radio: bool, what: &str) -> Result<()> {
        ensure!(
            has_radio || meant.cloud == CloudName::Local || self.no_radio == Some(NoRadio::Meant),
            "{what} has no Wi-Fi, so a real board would be off line with it until it comes back to the \
             old one: `make sdk` fetches the radio's libraries for the next; RADIO=0 behind `make` says \
             that it is meant so"
        );
        Ok(())
    }

    /// The version behind the newest that is known: of the releases, of the image that was made last,
    /// and of a firmware that is built without a version.
    fn next(&self) -> Version {
        let prefix = format!("{}-", self.board.name);
        let released = std::fs::read_dir(&self.releases).into_iter().flatten().flatten();
        let released = released.filter_map(|entry| {
            let name = entry.file_name().to_str()?.to_owned();
            Version::parse(name.strip_prefix(&prefix)?.strip_suffix(".release")?)
        });
        let made = self.image.as_ref().map(|folder| Image::in_folder(folder).firmware);
        let made = made.and_then(|file| releases::describe(&std::fs::read(file).ok()?).ok());
        // The crates of the workspace have one version.
        let plain = Version::parse(env!("CARGO_PKG_VERSION"));
        let newest = released.chain(made.map(|image| image.version())).chain(plain).max();
        newest.map_or(Version { major: 0, minor: 1, patch: 0 }, |newest| Version {
            patch: newest.patch + 1,
            ..newest
        })
    }

    /// Whether another image is named than the one that was ordered, in a person's words.
    fn other(&self, orders: &Orders, order: &Order) -> Result<Option<String>> {
        if let Some(file) = &self.release {
            let same = orders.content(order)? == self.read()?.image();
            return Ok((!same).then(|| format!("RELEASE={}", file.display())));
        }
        let Some(version) = self.new_version else { return Ok(None) };
        if order.board != self.board.name {
            return Ok(Some(format!("VERSION={version} BOARD={}", self.board.name)));
        }
        Ok(other("VERSION", Some(&version.to_string()), &order.version))
    }

    fn read(&self) -> Result<Release> {
        let file = match (&self.release, self.new_version) {
            (Some(file), _) => file.clone(),
            (None, Some(version)) => release::file(&self.releases, &self.board, version),
            (None, None) => {
                bail!("which image? RELEASE=file, as `make release VERSION=1.2.3` makes it")
            }
        };
        let release = Release::read(&file)?;
        ensure!(
            release.board() == self.board.name,
            "{} is for the board {}: name it by BOARD={}",
            file.display(),
            release.board(),
            release.board()
        );
        Ok(release)
    }
}

/// What is known of the board at hand.
fn check_board(meant: &Meant, board: &Board) -> Result<()> {
    let Some(running) = meant.running.as_ref().filter(|_| meant.cloud == CloudName::Local) else {
        return Ok(());
    };
    let Ok(own) = Board::named(&running.board) else { return Ok(()) };
    ensure!(
        own.has_second_slot(),
        "what runs is {}, which has no second slot and takes no updates: start \
         `make run BOARD=nodemcu` instead",
        own.title
    );
    ensure!(own.name == board.name, "what runs is {}: `make update BOARD={}`", own.title, own.name);
    Ok(())
}

/// Updates things, and follows that until it is over.
pub fn update(context: &Context, arguments: Arguments) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let meant = arguments.which.meant(context)?;
    check_board(&meant, &arguments.image.board)?;
    let opened = Opened::open(context, meant.cloud, arguments.account)?;
    let order = match find(&opened.orders, &meant, false)? {
        Some(order) => {
            let mut others: Vec<String> =
                arguments.image.other(&opened.orders, &order)?.into_iter().collect();
            others.extend(arguments.way.others(&order));
            others.extend(arguments.rollout.others(&order));
            go_on(order, &meant, &others)?
        }
        None => {
            let release = arguments.image.read()?;
            arguments.image.check_radio(
                &meant,
                releases::has_radio(release.image()),
                "this release",
            )?;
            let trusted = arguments.key.trusted(context, &meant.things())?;
            let signer = release::signed_by(&release, &trusted)?;
            trust::check(&meant.devices(context), std::slice::from_ref(&signer.key), &say)?;
            let (content, limits) = (Content::Firmware(&release), arguments.rollout.limits());
            let order = begin(&opened, &meant, content, arguments.way, limits)?;
            say(&format!("image        {}", release.summary()));
            order
        }
    };
    follow(opened, order, &meant, None, interrupt)
}

/// Gives a thing its identity as it is made now, over the air.
pub fn update_identity(mut context: Context, arguments: IdentityArguments) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let meant = arguments.which.meant(&context)?;
    let Targets::Thing(thing) = &meant.targets else {
        bail!(
            "an identity is one thing's own: `make update-identity THING=…` for each of {}",
            meant.targets.title()
        );
    };
    context.settings.thing.clone_from(thing);
    let folder = context.folder()?;
    let opened = Opened::open(&context, meant.cloud, arguments.account)?;
    let order = match find(&opened.orders, &meant, true)? {
        Some(order) => {
            let others: Vec<String> = arguments.way.others(&order).collect();
            go_on(order, &meant, &others)?
        }
        None => {
            let (key, command) = (&arguments.key, arguments.signer.as_deref());
            let signer = key.signer(&context, &[thing], command, arguments.signer_sees_key)?;
            // The one that it has, before the next takes its place here.
            trust::check(&meant.devices(&context), &signer.keys(), &say)?;
            let file = match meant.cloud {
                CloudName::Aws => written_identity(context)?,
                CloudName::Local => local_identity(context, &meant)?,
            };
            let identity = SignedIdentity::sign(file, &signer)?;
            let (content, limits) = (Content::Identity(&identity), Limits::default());
            let order = begin(&opened, &meant, content, arguments.way, limits)?;
            say(&format!("identity     {}", identity.summary()));
            order
        }
    };
    follow(opened, order, &meant, Some(&folder), interrupt)
}

/// The identity as `make identity` makes it, which it also writes.
fn written_identity(context: Context) -> Result<Vec<u8>> {
    let Configured { settings, config, folder, .. } = context.configure()?;
    let file = folder.identity();
    identity_region::write(&config, &folder, &file, &settings.topics)?;
    let region = std::fs::read(&file)?;
    let stored = Stored::read(&region)?;
    Ok(stored.identity.encode_file(stored.sequence)?)
}

/// The same for the board that `make run` runs, whose cloud has places of its own. Its successor is
/// counted from what that board was given first: each has a number of its own.
fn local_identity(context: Context, meant: &Meant) -> Result<Vec<u8>> {
    let Configured { settings, config, folder, things } = context.configure()?;
    let running = meant.running.as_ref().context("nothing is running: start `make run` first")?;
    let given = run::identity_given(&settings.state);
    let region = std::fs::read(&given).with_context(|| {
        format!("cannot read {}: start `make run` anew, which writes it", given.display())
    })?;
    let stored = Stored::read(&region)?;
    let endpoints = Endpoints {
        host: stored.identity.endpoint.to_owned(),
        port: stored.identity.port,
        dns: stored.identity.dns_servers.iter().map(ToString::to_string).collect(),
        ntp: stored.identity.own_ntp_servers.iter().map(ToString::to_string).collect(),
    };
    let pki = Pki::open(&running.certs, &running.thing, &[])?;
    let root = pki.root.certificate().clone();
    let mut identity = if folder.exists() {
        let mut identity = identity_region::of_thing(&config, &folder, &settings.topics)?;
        identity.roots = vec![root];
        identity
    } else {
        let (places, device) = (endpoints.clone(), pki.device.clone());
        let mut identity =
            DeviceIdentity::new(places, &running.thing, settings.topics, device, root);
        config.apply(&mut identity)?;
        run::trust_own(&things, &mut identity)?;
        identity
    };
    identity.endpoints = endpoints;
    let (identity, _) = smoke::with_network(identity, !stored.identity.wifi.is_empty());
    let next = stored.sequence.wrapping_add(1);
    let copy = identity.copy(next)?;
    files::write(&given, &[&*copy, &copy].concat(), SECRET)?;
    Ok(identity.file(next)?)
}

/// What is under way for a list of the same name: a line each.
fn namesakes(orders: &Orders, meant: &Meant) -> Result<Vec<String>> {
    let line = |order: Order| {
        let Targets::Fleet { name, things } = &order.targets else { return String::new() };
        let (what, things) = (order.what(), things.join(", "));
        format!(
            "another list  called {name}: {what} is under way for {things}; with these things on the list, the same command goes on with it"
        )
    };
    Ok(orders.namesakes(&meant.targets)?.into_iter().map(line).collect())
}

/// The order for these things that is not over, if there is one.
fn find(orders: &Orders, meant: &Meant, identity: bool) -> Result<Option<Order>> {
    let Some(order) = orders.find(&meant.targets)? else {
        for line in namesakes(orders, meant)? {
            say(&line);
        }
        return Ok(None);
    };
    let title = meant.targets.title();
    let words = meant.words();
    ensure!(
        order.identity == identity,
        "{} for {title} was ordered before and is not over: `make {} {words}` goes on with it",
        order.what(),
        order.verb()
    );
    Ok(Some(order))
}

/// Goes on with an order that is not over, unless the person asks for something else than it has.
fn go_on(order: Order, meant: &Meant, others: &[String]) -> Result<Order> {
    let (what, title, words) = (order.what(), meant.targets.title(), meant.words());
    ensure!(
        others.is_empty(),
        "{what} for {title} was ordered before, without {}, and is not {}. Without that, `make {} \
         {words}` goes on with it; `make update-cancel {words}` ends it, and then the next may have it",
        others.join(" "),
        if order.ended.is_some() { "cleared away" } else { "over" },
        order.verb()
    );
    say(&format!("going on     with {what} for {title}, which was ordered before"));
    Ok(order)
}

/// Writes an order down.
fn begin(
    Opened { orders, place, .. }: &Opened<'_>,
    meant: &Meant,
    content: Content<'_>,
    way: Way,
    limits: Limits,
) -> Result<Order> {
    let Way { bucket, role, timeout, allow_downgrade } = way;
    let timeout_minutes = timeout.unwrap_or(limits.timeout_minutes);
    let limits = Limits { timeout_minutes, allow_downgrade, ..limits };
    let order = Order::new(meant.targets.clone(), content, place, bucket, role, limits)?;
    orders.begin(&order, content)?;
    Ok(order)
}

fn follow(
    mut opened: Opened<'_>,
    mut order: Order,
    meant: &Meant,
    folder: Option<&ThingFolder>,
    interrupt: Interrupt,
) -> Result<()> {
    say(&format!("things       {}", meant.targets.title()));
    // Gone once it is over.
    let brought = if order.identity { opened.orders.content(&order)? } else { Vec::new() };
    let standing = match opened.run(&mut order, Goal::Update, interrupt)? {
        End::Left | End::NotCanceled => {
            let (verb, words) = (order.verb(), meant.words());
            return output::line(format!(
                "\nthe update goes on without you: `make {verb} {words}` follows it again, `make \
                 update-status` shows it, `make update-cancel {words}` calls it off"
            ));
        }
        End::Deleted => bail!(
            "somebody else has deleted the job, which stops the update: it is not made again, and what \
             was uploaded for it is cleared away. To order {} anew, give the command once more",
            order.what()
        ),
        End::Elsewhere => bail!(
            "the update of {} to {} is over: another terminal has followed it to its end, and told \
             there how it ended",
            meant.targets.title(),
            order.what()
        ),
        End::Over(counts) => Standing { counts, ..Standing::default() },
    };
    ensure!(standing.is_success(), "not all things took {}: {}", order.what(), standing.line());
    if let Ok(identity) = identity::decode_copy(&brought)
        && let (Some(certificate), Some(folder)) = (identity.certificates.first(), folder)
        && folder.exists()
    {
        files::write(&proved(meant.cloud, &opened.orders, folder), certificate, PUBLIC)?;
        if meant.cloud == CloudName::Aws {
            note_topics(folder, &identity)?;
        }
    }
    output::line(format!("done         {} on {}", standing.line(), order.what()))
}

/// Writes down which topics the device has now, if they are those of its policy; says whether that allows
/// others as well.
fn note_topics(folder: &ThingFolder, identity: &identity::Identity<'_>) -> Result<()> {
    let Some(notes) = folder.notes()? else { return Ok(()) };
    let present = [notes.status_topic, notes.control_topic];
    let topics = Topics::new(identity.status_topic, identity.control_topic);
    if present != [Some(topics.status.clone()), Some(topics.control.clone())] {
        say(
            "topics       that identity was ordered with those of before: the same command once more \
             brings the present ones",
        );
        return Ok(());
    }
    folder.note_proved(&topics)?;
    if !notes.staying.is_empty() {
        let thing = folder.thing();
        say(&format!(
            "topics       those of before are still allowed: `make provision THING={thing}` ends that"
        ));
    }
    Ok(())
}

/// Shows the updates that are not over.
pub fn status(context: &Context, account: provision::Account) -> Result<()> {
    let mut any = false;
    let running = Running::find(&context.settings.state).ok();
    for cloud in [CloudName::Local, CloudName::Aws] {
        let all = orders(cloud, &context.things, &context.settings).all()?;
        if all.is_empty() {
            continue;
        }
        any = true;
        if cloud == CloudName::Local && running.is_none() {
            for order in all {
                let title = order.targets.title();
                say(&format!("{title}: {}, goes on with the next `make run`", order.what()));
            }
            continue;
        }
        let mut opened = Opened::open(context, cloud, account.clone())?;
        for order in all {
            let (title, what, verb) = (order.targets.title(), order.what(), order.verb());
            if !order.is_of(&opened.place) {
                let (account, region) = (&order.account, &order.region);
                say(&format!(
                    "{title}: {what}, ordered in account {account}, region {region}: AWS_PROFILE=… and \
                     AWS_REGION=… choose it"
                ));
                continue;
            }
            let words = words(&order.targets, cloud, running.as_ref());
            match opened.update().standing(&order, &say)? {
                None if order.had_job() && order.ended.is_none() => say(&format!(
                    "{title}: {what}, somebody else has deleted its job: `make {verb} {words}` clears \
                     the rest away"
                )),
                None => say(&format!(
                    "{title}: {what}, not begun or not cleared away: `make {verb} {words}` goes on"
                )),
                Some(standing) => {
                    say(&format!("{title}: {what}, {}", standing.line()));
                    for thing in &standing.things {
                        say(&format!("  {}", thing.line()));
                    }
                }
            }
        }
    }
    if !any {
        say("no update is under way that was ordered here");
    }
    Ok(())
}

/// Calls an update off, and clears away what was made for it.
pub fn cancel(context: &Context, arguments: CancelArguments) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let meant = arguments.which.meant(context)?;
    let orders = orders(meant.cloud, &context.things, &context.settings);
    let title = meant.targets.title();
    let Some(mut order) = orders.find(&meant.targets)? else {
        let others = namesakes(&orders, &meant)?.join("\n");
        bail!("no update of {title} is under way that was ordered here\n{others}");
    };
    let mut opened = Opened::open(context, meant.cloud, arguments.account)?;
    let goal = Goal::Cancel { force: arguments.force };
    match opened.run(&mut order, goal, interrupt)? {
        End::Left => output::line(
            "things that had begun are still at it: the same command waits for them again, FORCE=1 \
             does not wait",
        ),
        End::NotCanceled => bail!(
            "interrupted before anything was called off: the update of {title} goes on. The same command \
             calls it off"
        ),
        End::Elsewhere => output::line(format!(
            "the update of {title} is over: another terminal has cleared it away"
        )),
        End::Deleted => output::line("called off   somebody else has deleted the job"),
        End::Over(counts) => {
            let standing = Standing { counts, ..Standing::default() };
            output::line(format!("called off   {}", standing.line()))
        }
    }
}

/// Prints the policy of whoever orders updates.
pub fn policy(context: &Context, arguments: PolicyArguments) -> Result<()> {
    let mut opened = Opened::open(context, CloudName::Aws, arguments.account)?;
    let bucket = arguments.bucket.unwrap_or_else(|| opened.place.bucket());
    let role = arguments.role.unwrap_or_else(|| "esp8266-updates".to_owned());
    let found = match updates::find_role(&mut *opened.account, &role) {
        // Whoever asks for the policy may lack this as well.
        Err(error) if Failure::is_denial(&error) => {
            say(&format!("role         {role} could not be looked at: below it has no path"));
            None
        }
        found => found?,
    };
    let role = found.unwrap_or_else(|| opened.place.role_arn(&role));
    output::line(updates::operator_policy(&opened.place, &bucket, &role))
}

/// Shows on a terminal how an update goes, by a bar; elsewhere by a line for each change.
struct Shown {
    interrupt: Interrupt,
    bar: ProgressBar,
    last: String,
}

impl Shown {
    fn new(interrupt: Interrupt) -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        Self { interrupt, bar, last: String::new() }
    }
}

impl Watcher for Shown {
    fn say(&mut self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    fn stands(&mut self, standing: &Standing) -> bool {
        let mut under_way = Vec::new();
        for thing in &standing.things {
            // A failure is told of once.
            if thing.is_failure() {
                self.bar.suspend(|| say(&thing.line()));
            } else {
                under_way.push(thing.line());
            }
        }
        let mut line = standing.line();
        if !under_way.is_empty() {
            line = format!("{line} ({})", under_way.join(", "));
        }
        if !standing.why.is_empty() {
            line = format!("{line}; called off: {}", standing.why);
        }
        if !self.bar.is_hidden() {
            self.bar.set_length(standing.all());
            self.bar.set_position(
                standing.all() - standing.count("waiting") - standing.count("under way"),
            );
            self.bar.set_message(line);
        } else if line != self.last {
            say(&line);
            self.last = line;
        }
        !self.interrupt.happened()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update that somebody left, and that ends after the topics were changed, proves the old ones.
    /// Or a rotation on AWS would retire the certificate of the device that is there.
    #[test]
    fn what_the_board_of_make_run_proves_says_nothing_of_aws() {
        let room = tempfile::tempdir().unwrap();
        let folder = ThingFolder::new(room.path(), "lamp").unwrap();
        let settings = Settings::below(room.path(), "lamp");
        let [aws, local] = [CloudName::Aws, CloudName::Local]
            .map(|cloud| proved(cloud, &orders(cloud, room.path(), &settings), &folder));
        assert_eq!(aws, folder.proved());
        assert_ne!(aws, local);
    }

    #[test]
    fn only_the_topics_of_the_policy_are_proved() {
        let room = tempfile::tempdir().unwrap();
        let folder = ThingFolder::new(room.path(), "lamp").unwrap();
        std::fs::create_dir_all(room.path().join("lamp")).unwrap();
        let identity = identity::Identity::new("a1b2c3-ats.iot.eu-west-1.amazonaws.com", b"", b"");
        for (status, proved) in [("lamp/other", false), (identity::DEFAULT_STATUS_TOPIC, true)] {
            let control = identity::DEFAULT_CONTROL_TOPIC;
            let notes = format!(r#"{{"status_topic": "{status}", "control_topic": "{control}"}}"#);
            std::fs::write(folder.notes_file(), notes).unwrap();
            note_topics(&folder, &identity).unwrap();
            assert_eq!(folder.has_proved(&Topics::default()), proved);
        }
    }
}
