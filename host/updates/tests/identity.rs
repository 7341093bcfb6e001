//! An identity on its way: the file has a private key in it, and AWS IoT lets each thing of the account
//! read each stream whose id it knows.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use identity::Identity;
use provisioning::{Failure, Options};
use releases::{SignedIdentity, Signer, make_key};
use serde_json::{Value, json};
use updates::{
    Account, Content, End, Goal, Limits, Order, Orders, Place, Standing, Targets, Update, Watcher,
};

/// The local cloud's account, without a broker.
struct Cloud {
    account: cloud::updates::Account,
    /// Whether streams may not be made.
    denies: bool,
}

impl Cloud {
    fn new(folder: &Path) -> Self {
        let things = ["lamp", "bulb"].map(str::to_owned);
        let account = cloud::updates::Account::open(&folder.join("cloud"), things).unwrap();
        Self { account, denies: false }
    }

    fn has_stream(&mut self, id: &str) -> bool {
        self.call("iot", "describe-stream", &[("stream-id", id)]).is_ok()
    }

    /// The document of the job that waits for the lamp.
    fn document(&mut self) -> Value {
        let told = self.account.message("$aws/things/lamp/jobs/start-next", b"{}", 0).unwrap();
        let told: Value = serde_json::from_slice(&told[0].payload).unwrap();
        told["execution"]["jobDocument"].clone()
    }
}

impl Account for Cloud {
    fn call(&mut self, service: &str, operation: &str, options: &Options<'_>) -> Result<Value> {
        let named: cloud::updates::account::Arguments =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (code, message) = if self.denies && operation == "create-stream" {
            // In AWS's words.
            let arn = format!("arn:aws:iot:eu-west-1:1:stream/{}", named["stream-id"]);
            let message =
                format!("x is not authorized to perform: iot:CreateStream on resource: {arn}");
            ("AccessDeniedException".to_owned(), message)
        } else {
            match self.account.call(service, operation, &named, 0) {
                Ok((answer, _)) => return Ok(answer),
                Err(refused) => (refused.code, refused.message),
            }
        };
        let said =
            format!("An error occurred ({code}) when calling the {operation} operation: {message}");
        bail!(Failure::read(&format!("{service} {operation}"), &said))
    }
}

/// Keeps what is said.
#[derive(Default)]
struct Terminal {
    said: String,
    /// Whether it follows the job to its end.
    follows: bool,
}

impl Watcher for Terminal {
    fn say(&mut self, line: &str) {
        self.said += line;
        self.said += "\n";
    }

    fn stands(&mut self, _: &Standing) -> bool {
        self.follows
    }
}

/// An update until its job is there, or a job that is called off until all is cleared away.
fn run(
    cloud: &mut Cloud,
    orders: &Orders,
    order: &mut Order,
    goal: Goal,
    terminal: &mut Terminal,
) -> Result<End> {
    let place = Place::ask(cloud, "local", true).unwrap();
    terminal.follows = goal != Goal::Update;
    let pause = std::time::Duration::ZERO;
    Update { account: cloud, place: &place, orders, pause }.run(order, goal, terminal)
}

/// An identity of the lamp.
fn identity(folder: &Path) -> SignedIdentity {
    let signer = Signer::with_key(&make_key(&folder.join("signing")).unwrap()).unwrap();
    let certificate = [&[0x30, 0x82, 2, 0, 0x30][..], &[7; 511]].concat();
    let key = [&[0x30, 45, 2, 1, 1, 4, 32][..], &[9; 32], &[0xA0, 6], &[1; 6]].concat();
    let mut identity = Identity::new("x-ats.iot.test", &certificate, &key);
    identity.thing_name = Some("lamp");
    identity.update_keys.push(&[7; 64]);
    SignedIdentity::sign(identity.encode_file(5).unwrap(), &signer).unwrap()
}

fn lamp() -> Targets {
    Targets::Thing("lamp".to_owned())
}

fn ordered(cloud: &mut Cloud, identity: &SignedIdentity) -> Order {
    let place = Place::ask(cloud, "local", true).unwrap();
    let content = Content::Identity(identity);
    Order::new(lamp(), content, &place, None, None, Limits::default()).unwrap()
}

#[test]
fn nobody_guesses_the_stream_of_an_identity() {
    let folder = process::scratch::folder().unwrap();
    let (identity, mut cloud) = (identity(folder.path()), Cloud::new(folder.path()));
    let [one, other] = [(); 2].map(|()| ordered(&mut cloud, &identity));
    let chance = |order: &Order| order.stream().strip_prefix("identity-5-").unwrap().to_owned();
    for order in [&one, &other] {
        let chance = hex::decode(chance(order)).unwrap();
        assert_eq!(chance.len(), 16);
        // The job's id is listed and shown: nothing of the stream's is in it.
        let tag = order.id.strip_prefix("identity-5-").unwrap();
        assert!(!order.stream().contains(tag), "{} {}", order.id, order.stream());
    }
    assert_ne!(chance(&one), chance(&other));
}

#[test]
fn the_stream_of_an_identity_stands_in_the_jobs_document_alone() {
    let folder = process::scratch::folder().unwrap();
    let (identity, mut cloud) = (identity(folder.path()), Cloud::new(folder.path()));
    let orders = Orders::new(&folder.path().join("orders"));
    let mut order = ordered(&mut cloud, &identity);
    let stream = order.stream().to_owned();
    orders.begin(&order, Content::Identity(&identity)).unwrap();

    let mut terminal = Terminal::default();
    cloud.denies = true;
    let error = run(&mut cloud, &orders, &mut order, Goal::Update, &mut terminal).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("you lack the permission iot:CreateStream"), "{error}");
    assert!(error.contains(":stream/…") && !error.contains(&stream), "{error}");
    // The same order goes on.
    cloud.denies = false;
    let mut order = orders.find(&lamp()).unwrap().unwrap();
    let end = run(&mut cloud, &orders, &mut order, Goal::Update, &mut terminal).unwrap();
    assert_eq!(end, End::Left);
    assert!(cloud.has_stream(&stream) && !cloud.has_stream(&order.id));
    assert_eq!(cloud.document()["update"]["stream"], stream.as_str());
    let said = &terminal.said;
    assert!(said.contains("stream made") && said.contains(&format!("job {} made", order.id)));
    assert!(!said.contains(&stream), "{said}");
    let files = std::fs::read_dir(folder.path().join("orders")).unwrap().map(Result::unwrap);
    let files: Vec<_> = files.filter(|file| file.file_name() != ".lock").collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
    // Nothing of it stays.
    let end = run(&mut cloud, &orders, &mut order, Goal::Cancel { force: true }, &mut terminal);
    assert!(matches!(end.unwrap(), End::Over(_)));
    assert!(!cloud.has_stream(&stream) && orders.all().unwrap().is_empty());
}

/// Whose stream has the job's id.
#[test]
fn an_order_of_an_older_version_is_followed_to_its_end() {
    let folder = process::scratch::folder().unwrap();
    let (identity, mut cloud) = (identity(folder.path()), Cloud::new(folder.path()));
    let orders = Orders::new(&folder.path().join("orders"));
    let new = ordered(&mut cloud, &identity);
    orders.begin(&new, Content::Identity(&identity)).unwrap();
    let old = json!({
        "format": 1, "id": "identity-5-1a2b3c4d", "targets": { "thing": "lamp" }, "identity": true,
        "board": "", "version": "5", "size": identity.file().len(),
        "signature": identity.signature(), "account": new.account, "region": new.region,
        "bucket": new.bucket, "role": new.role, "role_arn": null, "limits": {
            "per_minute": 50, "abort_percent": 20, "abort_after": 5, "timeout_minutes": 60,
            "allow_downgrade": false,
        },
        "begun": false, "job_known": false, "deleted": false, "ended": null,
    });
    std::fs::write(folder.path().join("orders/thing-lamp.json"), old.to_string()).unwrap();

    let mut order = orders.find(&lamp()).unwrap().unwrap();
    let mut terminal = Terminal::default();
    let end = run(&mut cloud, &orders, &mut order, Goal::Update, &mut terminal).unwrap();
    assert_eq!(end, End::Left);
    assert_eq!(cloud.document()["update"]["stream"], order.id.as_str());
    assert!(cloud.has_stream(&order.id));
    let mut order = orders.find(&lamp()).unwrap().unwrap();
    let end = run(&mut cloud, &orders, &mut order, Goal::Cancel { force: true }, &mut terminal);
    assert!(matches!(end.unwrap(), End::Over(_)));
    assert!(!cloud.has_stream("identity-5-1a2b3c4d"));
    assert!(orders.all().unwrap().is_empty());
}
