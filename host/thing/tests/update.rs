//! `thing update` with the real AWS CLI against moto: what an account needs, what is made in it, and
//! that all of it is cleared away.
//!
//! moto plays stores, roles and jobs, but no device ever takes one of its jobs, and its jobs are
//! QUEUED as a whole, which AWS's are not. Streams it does not have: the stand-in's proxy plays them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_stand_in::{Bed, Fault, quick_aws};
use certificates::{Authority, KeyKind, LeafRequest, Validity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use releases::{PublicKey, Release, Signer};
use serde_json::Value;
use things::folder::ThingFolder;
use things::topics::Topics;
use update::job::{Execution, Kind};

/// What describe-job says once all is over.
const COMPLETED: &str = r#"{"job": {"jobId": "x", "status": "COMPLETED", "jobProcessDetails": {
    "numberOfSucceededThings": 1, "numberOfFailedThings": 0}}}"#;
const BEING_DELETED: &str = r#"{"job": {"jobId": "x", "status": "DELETION_IN_PROGRESS"}}"#;
const FAILED: &str = r#"{"job": {"jobId": "x", "status": "COMPLETED", "jobProcessDetails": {
    "numberOfSucceededThings": 0, "numberOfFailedThings": 1}}}"#;
const DONE_EXECUTIONS: &str = r#"{"executionSummaries": [{
    "thingArn": "arn:aws:iot:eu-west-3:123456789012:thing/lamp",
    "jobExecutionSummary": {"status": "FAILED"}}]}"#;
const DONE_EXECUTION: &str = r#"{"execution": {"status": "FAILED", "statusDetails": {
    "detailsMap": {"state": "rolled back", "reason": "no connection in 300 s"}}}}"#;

/// An account with a thing `lamp`, and a release.
struct Place {
    bed: Bed,
    region: &'static str,
    bucket: String,
    /// Roles are the account's, not the region's: each test has one of its own.
    role: String,
    release: PathBuf,
}

impl Place {
    fn new(region: &'static str) -> Self {
        // Where another test is at work, an update would be followed for ever.
        static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        let is_free = TAKEN.lock().unwrap().insert(region);
        assert!(is_free, "another test has the region {region}");
        let bed = Bed::new(region);
        let keys = bed.folder.path().join("certs/signing");
        let signer = Signer::with_key(&releases::make_key(&keys).unwrap()).unwrap();
        let image = fleet_tests::image([1, 2, 3], "nodemcu", 20_000);
        let release = bed.folder.path().join("nodemcu-1.2.3.release");
        Release::sign(image, &signer).unwrap().write(&release).unwrap();
        let bucket = format!("esp8266-updates-123456789012-{region}");
        Self { bed, region, bucket, role: format!("updates-{region}"), release }
    }

    /// The account as its administrator has prepared it.
    fn prepared(region: &'static str) -> Self {
        let place = Self::new(region);
        place.prepare(3);
        place
    }

    /// Prepares the account by the commands that the program itself shows, so many.
    fn prepare(&self, count: usize) {
        let said = text(&self.update(&[]));
        let commands: Vec<&str> = said.lines().filter(|line| line.starts_with("  aws ")).collect();
        assert_eq!(commands.len(), count, "{said}");
        for command in commands {
            let command = command.replacen("aws", "aws --endpoint-url \"$AWS_ENDPOINT_URL\"", 1);
            let mut shell = self.bed.thing(Path::new("sh"), &["-c", &command]);
            let done = shell.output().unwrap();
            assert!(done.status.success(), "{command}: {}", text(&done));
        }
        self.bed.tell("POST", "/things/lamp");
        self.bed.seen();
    }

    fn command(&self, verb: &str, more: &[&str]) -> Command {
        self.command_of(&["--named"], verb, more)
    }

    /// A verb about the things that these words name.
    fn command_of(&self, which: &[&str], verb: &str, more: &[&str]) -> Command {
        let release = self.release.display().to_string();
        let mut words = vec![verb];
        if verb == "update" {
            words.extend(["--release", &release]);
        }
        if verb.starts_with("update") && !verb.ends_with("cancel") {
            words.extend(["--role", &self.role]);
        }
        words.extend(which);
        words.extend(more);
        let mut command = self.thing(&words);
        command.env("THING", "lamp");
        command
    }

    fn thing(&self, words: &[&str]) -> Command {
        self.bed.thing(Path::new(env!("CARGO_BIN_EXE_thing")), words)
    }

    /// The one job: its id and its document, and what a device is told of it.
    fn ordered(&self) -> (String, Value, String) {
        let id = self.bed.ask("/jobs")["jobs"][0]["jobId"].as_str().unwrap().to_owned();
        let document = self.bed.ask(&format!("/jobs/{id}/job-document"))["document"].clone();
        let document: Value = serde_json::from_str(document.as_str().unwrap()).unwrap();
        let told = format!(
            r#"{{"execution":{{"jobId":"{id}","status":"QUEUED","versionNumber":1,"jobDocument":{document}}}}}"#
        );
        (id, document, told)
    }

    fn update(&self, more: &[&str]) -> Output {
        self.command("update", more).output().unwrap()
    }

    /// Begins an update, waits until the job is made, and interrupts it as Ctrl-C does, unless it
    /// fails by itself before.
    fn begin(&self, which: &[&str]) -> Output {
        self.interrupted(self.command_of(which, "update", &[]))
    }

    fn interrupted(&self, mut command: Command) -> Output {
        self.bed.seen();
        let mut child = command.process_group(0).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "no job is made");
            if self.bed.seen().iter().any(|operation| operation == "list-job-executions-for-job") {
                // Its whole group, so that the AWS CLI, if it runs, is interrupted, too.
                let group = -i32::try_from(child.id()).unwrap();
                kill(Pid::from_raw(group), Signal::SIGINT).unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.wait_with_output().unwrap()
    }

    /// That nothing is left in the account or here.
    fn is_clear(&self) -> bool {
        let objects = self.objects();
        let jobs = self.bed.ask("/jobs")["jobs"].as_array().map_or(0, Vec::len);
        let orders = self.bed.folder.path().join("certs/updates");
        let orders = std::fs::read_dir(orders).into_iter().flatten().flatten();
        let orders = orders.filter(|entry| entry.file_name() != ".lock").count();
        (objects, jobs, self.bed.streams().len(), orders) == (0, 0, 0, 0)
    }

    fn objects(&self) -> usize {
        let listed = Command::new(quick_aws())
            .args(["s3api", "list-objects-v2", "--bucket", &self.bucket, "--output", "json"])
            .args(["--endpoint-url", self.bed.url(), "--region", self.region])
            .envs(self.bed.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(listed.status.success(), "{}", text(&listed));
        String::from_utf8_lossy(&listed.stdout).matches("\"Key\"").count()
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

#[track_caller]
fn says(output: &Output, wanted: &str) {
    assert!(text(output).contains(wanted), "{wanted}: {}", text(output));
}

#[test]
fn what_an_account_needs_is_told_and_an_update_begun_followed_and_cleared_away() {
    let place = Place::prepared("eu-west-1");
    let begun = place.begin(&["--named"]);
    let said = text(&begun);
    assert!(begun.status.success(), "{said}");
    for line in [
        "AWS account  123456789012",
        "image        nodemcu 1.2.3, ",
        "things       lamp",
        "image uploaded, ",
        "the update goes on without you: `make update THING=lamp` follows it again",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!((place.objects(), place.bed.streams().len()), (1, 1));
    let (id, document, told) = place.ordered();
    assert!(id.starts_with("nodemcu-1-2-3-"), "{id}");
    let job = place.bed.ask(&format!("/jobs/{id}"))["job"].clone();
    assert_eq!(job["targets"][0], "arn:aws:iot:eu-west-1:123456789012:thing/lamp");
    assert_eq!(job["timeoutConfig"]["inProgressTimeoutInMinutes"], 60);
    assert_eq!(document["update"]["stream"], id.as_str());
    assert_eq!(document["update"]["version"], "1.2.3");
    // As a device reads it.
    let execution = Execution::read(told.as_bytes()).unwrap().unwrap();
    assert_eq!(execution.document.unwrap().stream, id);

    let status = place.thing(&["update-status"]).output().unwrap();
    says(&status, "lamp: version 1.2.3, 1 waiting");

    // The same command goes on, and makes nothing twice.
    place.bed.seen();
    place.bed.fault("describe-job", Fault::Answer(COMPLETED), 1);
    let done = place.update(&[]);
    let said = text(&done);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("going on     with version 1.2.3 for lamp"), "{said}");
    assert!(said.contains("done         1 updated on version 1.2.3"), "{said}");
    let seen = place.bed.seen();
    assert!(!seen.iter().any(|operation| operation.starts_with("create-")), "{seen:?}");
    assert!(place.is_clear());
}

#[test]
fn an_answer_that_is_lost_at_any_call_is_no_trouble() {
    let place = Place::prepared("eu-west-2");
    for operation in ["create-stream", "create-job", "delete-stream"] {
        place.bed.fault(operation, Fault::AnswerLost, 1);
        let follows =
            (0..3).any(|_| text(&place.begin(&["--named"])).contains("goes on without you"));
        assert!(follows, "{operation}");
        let done = (0..3).any(|_| {
            place.bed.fault("describe-job", Fault::Answer(COMPLETED), 1);
            text(&place.update(&[])).contains("done  ")
        });
        assert!(done && place.is_clear(), "{operation}");
    }
}

#[test]
fn a_failure_is_told_with_its_reason_and_the_command_fails() {
    let place = Place::prepared("eu-west-3");
    place.begin(&["--named"]);
    place.bed.fault("describe-job", Fault::Answer(FAILED), 1);
    place.bed.fault("list-job-executions-for-job", Fault::Answer(DONE_EXECUTIONS), 1);
    place.bed.fault("describe-job-execution", Fault::Answer(DONE_EXECUTION), 1);
    let done = place.update(&[]);
    let said = text(&done);
    assert!(!done.status.success(), "{said}");
    assert!(said.contains("lamp failed: no connection in 300 s"), "{said}");
    assert!(said.contains("not all things took version 1.2.3: 1 failed"), "{said}");
    assert!(place.is_clear());
}

#[test]
fn an_update_is_called_off_and_cleared_away() {
    let place = Place::prepared("eu-central-1");
    let nothing = place.command("update-cancel", &[]).output().unwrap();
    says(&nothing, "no update of lamp is under way");
    place.begin(&["--named"]);
    let done = place.command("update-cancel", &[]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    says(&done, "the job is called off");
    assert!(place.is_clear());
}

#[test]
fn groups_and_lists_are_one_job_each() {
    let place = Place::prepared("us-east-2");
    let region = place.region;
    let _ = place.bed.tell("POST", "/thing-groups/lamps");
    let folder = place.bed.folder.path();
    std::fs::create_dir(folder.join("site-b")).unwrap();
    let list = "site-b/things.csv";
    std::fs::write(folder.join(list), "thing,place\nlamp,hall\ndoor,yard\n").unwrap();
    let fleet = ["--fleet", list];
    let refused = place.begin(&fleet);
    says(&refused, "there is no thing door in this account");
    let _ = place.bed.tell("POST", "/things/door");
    let arn = |name: &str| format!("arn:aws:iot:{region}:123456789012:{name}");
    for (which, targets, words) in [
        (&["--group", "lamps"][..], vec![arn("thinggroup/lamps")], "GROUP=lamps"),
        (&fleet[..], vec![arn("thing/lamp"), arn("thing/door")], "FLEET=site-b/things.csv"),
    ] {
        let begun = text(&place.begin(which));
        assert!(begun.contains(&format!("`make update-cancel {words}` calls it off")), "{begun}");
        let (id, ..) = place.ordered();
        let job = place.bed.ask(&format!("/jobs/{id}"))["job"].clone();
        assert_eq!(job["targets"], serde_json::json!(targets));
        if words.starts_with("FLEET") {
            // The same list from elsewhere is the same order.
            let whole = folder.join(list).display().to_string();
            let elsewhere = text(&place.begin(&["--fleet", &whole]));
            assert!(elsewhere.contains("going on     with version 1.2.3"), "{elsewhere}");
            assert!(elsewhere.contains(&format!("update-cancel FLEET={whole}`")), "{elsewhere}");
        }
        let done = place.command_of(which, "update-cancel", &[]).output().unwrap();
        assert!(done.status.success() && place.is_clear(), "{}", text(&done));
    }
}

/// Made as `make identity` makes it, for its own thing only, and nothing of its key is left behind.
#[test]
fn an_identity_goes_to_its_thing_and_is_cleared_away() {
    let place = Place::prepared("ap-south-1");
    let folder = place.bed.folder.path();
    let root = Authority::root("r", KeyKind::P256, Validity::for_days(30)).unwrap();
    let credential = root.issue(&LeafRequest::client("lamp")).unwrap();
    std::fs::create_dir_all(folder.join("certs/lamp")).unwrap();
    credential.save(&folder.join("certs/lamp"), "device").unwrap();
    let config = |trust: &str| {
        let endpoint = "a1b2c3-ats.iot.ap-south-1.amazonaws.com";
        let text = format!("[connection]\nendpoint = \"{endpoint}\"\n{trust}");
        std::fs::write(folder.join("config.toml"), text).unwrap();
    };
    config("");
    let keyless = place.command("update-identity", &[]).output().unwrap();
    says(&keyless, "name one under [update] in config.toml");
    config("[update]\nkeys = [\"certs/signing/signing.pub\"]\n");
    // A device that takes no updates takes no identity either: its first one with a key comes by cable.
    let refused = place.interrupted(place.command("update-identity", &[]));
    says(&refused, "lamp would not take it: its identity (certs/lamp/identity.bin) names no key");
    assert!(place.thing(&["identity"]).env("THING", "lamp").output().unwrap().status.success());
    let group = place.command_of(&["--group", "lamps"], "update-identity", &[]).output().unwrap();
    says(&group, "an identity is one thing's own");
    assert!(place.is_clear());

    let begun = text(&place.interrupted(place.command("update-identity", &[])));
    for line in [
        "identity     of lamp, number 3, ",
        "identity uploaded, ",
        "update-identity THING=lamp` follows",
    ] {
        assert!(begun.contains(line), "{line}: {begun}");
    }
    for kept in ["thing-lamp.image", "thing-lamp.json"] {
        let kept = std::fs::metadata(folder.join("certs/updates").join(kept)).unwrap();
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    }
    let (id, document, told) = place.ordered();
    // Whoever knows the stream can read it.
    let stream = document["update"]["stream"].as_str().unwrap();
    assert_eq!(place.bed.streams(), [stream]);
    assert!(stream != id && !begun.contains(stream), "{begun}");
    let execution = Execution::read(told.as_bytes()).unwrap().unwrap();
    assert_eq!(execution.document.unwrap().kind, Kind::Identity);

    // An update of the firmware has to wait.
    let firmware = text(&place.update(&[]));
    assert!(firmware.contains("`make update-identity THING=lamp` goes on with it"), "{firmware}");
    // What the device has proved itself with is known afterwards.
    let lamp = ThingFolder::new(&folder.join("certs"), "lamp").unwrap();
    let notes = |topics: &Topics| {
        let Topics { status, control, .. } = topics;
        let notes = serde_json::json!({
            "status_topic": status, "control_topic": control, "staying": ["esp8266-thing-before"],
        });
        std::fs::write(lamp.notes_file(), notes.to_string()).unwrap();
    };
    notes(&Topics::default());
    assert!(!lamp.has_proved(&Topics::default()));
    place.bed.fault("describe-job", Fault::Answer(COMPLETED), 1);
    let done = place.command("update-identity", &[]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    says(&done, "done         1 updated on identity 3");
    says(&done, "`make provision THING=lamp` ends that");
    assert!(lamp.has_proved(&Topics::default()));
    assert_eq!(std::fs::read(lamp.proved()).unwrap(), credential.chain[0].as_ref());
    assert!(place.is_clear());
}

#[test]
fn a_missing_permission_is_named_with_the_policy_that_has_it() {
    let place = Place::prepared("eu-north-1");
    for (operation, action) in [
        ("head-bucket", "s3:ListBucket"),
        ("put-object", "s3:PutObject"),
        ("create-stream", "iot:CreateStream"),
        ("create-job", "iot:CreateJob"),
    ] {
        place.bed.fault(operation, Fault::Error(403, "AccessDenied", "no"), 1);
        let said = text(&place.update(&[]));
        assert!(said.contains(&format!("you lack the permission {action}")), "{operation}: {said}");
        let policy = said.split_once("needs this policy:\n").unwrap().1;
        assert!(policy.contains(&format!("\"{action}\"")), "{said}");
    }
    let said = text(&{ place.command("update-cancel", &[]) }.output().unwrap());
    assert!(place.is_clear(), "{said}");
    let policy = place.thing(&["update-policy"]).output().unwrap();
    says(&policy, &format!("arn:aws:s3:::{}/updates/*", place.bucket));
}

/// As the console makes them for a service, and many companies all of theirs.
#[test]
fn a_role_may_have_a_path() {
    let mut place = Place::prepared("ap-northeast-1");
    place.role = "updates-of-a-team".to_owned();
    let role = ["--path", "/team/", "--role-name", &place.role];
    let made = Command::new(quick_aws())
        .args(["iam", "create-role", "--assume-role-policy-document", "{}"])
        .args(role)
        .args(["--endpoint-url", place.bed.url(), "--region", place.region])
        .envs(place.bed.environment())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let arn = "arn:aws:iam::123456789012:role/team/updates-of-a-team";
    let policy = place.thing(&["update-policy", "--role", &place.role]).output().unwrap();
    says(&policy, arn);
    place.begin(&["--named"]);
    let (id, ..) = place.ordered();
    assert_eq!(place.bed.stream(&id)["roleArn"], arn);
    // Of one that cannot be looked at, or is not there yet, the name is all that is known.
    for (code, status) in [("AccessDenied", 403), ("NoSuchEntity", 404)] {
        place.bed.fault("get-role", Fault::Error(status, code, "no"), 1);
        let policy = place.thing(&["update-policy", "--role", &place.role]).output().unwrap();
        says(&policy, "arn:aws:iam::123456789012:role/updates-of-a-team");
    }
}

/// One that cannot be looked at from here hides no other.
#[test]
fn updates_of_other_regions_and_accounts_are_named() {
    let place = Place::prepared("ap-northeast-3");
    place.begin(&["--named"]);
    let orders = place.bed.folder.path().join("certs/updates");
    let order = std::fs::read_to_string(orders.join("thing-lamp.json")).unwrap();
    for (thing, own, others) in
        [("attic", place.region, "eu-west-1"), ("barn", "\"123456789012\"", "\"210987654321\"")]
    {
        let order = order.replace("lamp", thing).replace(own, others);
        std::fs::write(orders.join(format!("thing-{thing}.json")), order).unwrap();
    }
    let status = place.thing(&["update-status"]).output().unwrap();
    assert!(status.status.success(), "{}", text(&status));
    for line in [
        "attic: version 1.2.3, ordered in account 123456789012, region eu-west-1: AWS_PROFILE=",
        "barn: version 1.2.3, ordered in account 210987654321, region ap-northeast-3: ",
        "lamp: version 1.2.3, 1 waiting",
    ] {
        says(&status, line);
    }
}

/// A release is for whoever trusts its key, which is known here of things that have their identity from
/// here. Nobody is waited for who would not take it.
#[test]
fn while_the_key_is_changed_a_release_of_either_goes_to_those_that_trust_it() {
    let place = Place::prepared("af-south-1");
    let folder = place.bed.folder.path();
    std::fs::rename(folder.join("certs/signing"), folder.join("before")).unwrap();
    releases::make_key(&folder.join("certs/signing")).unwrap();
    let key = |file: &str| *PublicKey::read(&folder.join(file)).unwrap().point();
    let [old, new] = ["before/signing.pub", "certs/signing/signing.pub"].map(key);
    std::fs::create_dir_all(folder.join("certs/lamp")).unwrap();
    let given = |keys: &[&[u8; 64]]| {
        let certificate = [&[0x30, 0x82, 2, 0, 0x30][..], &[7; 511]].concat();
        let secret = [&[0x30, 45, 2, 1, 1, 4, 32][..], &[9; 32], &[0xA0, 6], &[1; 6]].concat();
        let mut identity = identity::Identity::new("x-ats.iot.test", &certificate, &secret);
        identity.update_keys = keys.to_vec();
        let region = identity.encode_region().unwrap();
        std::fs::write(folder.join("certs/lamp/identity.bin"), region).unwrap();
    };
    let version = || {
        let words = ["update-version", "--named", "--new-version", "1.2.4"];
        place.thing(&words).env("THING", "lamp").output().unwrap()
    };
    let refused = |wanted: &str| {
        let refused = place.begin(&["--named"]);
        assert!(!refused.status.success(), "{}", text(&refused));
        says(&refused, wanted);
        assert!(place.is_clear());
    };
    refused("devices that trust certs/signing/signing.pub would refuse this release");
    let both = "[update]\nkeys = [\"before/signing.pub\", \"certs/signing/signing.pub\"]\n";
    std::fs::write(folder.join("config.toml"), both).unwrap();
    // Told before minutes of building, too, where none of the keys would do.
    given(&[]);
    refused("lamp would not take it: its identity (certs/lamp/identity.bin) names no key");
    says(
        &version(),
        "names no key for updates: name the key under [update] in config.toml, `make ",
    );
    given(&[&new]);
    refused("names other keys for updates");
    assert_eq!(version().stdout, b"1.2.4\n");
    given(&[&old, &new]);
    let info = place.thing(&["release-info", &place.release.display().to_string()]);
    says(&{ info }.output().unwrap(), "signed by the key of before/signing.pub");
    let begun = place.begin(&["--named"]);
    says(&begun, "the update goes on without you");
    let done = place.command("update-cancel", &[]).output().unwrap();
    assert!(done.status.success() && place.is_clear(), "{}", text(&done));
}

/// What `make run` runs is at the local cloud, unless somebody says where it is.
#[test]
fn what_is_said_to_do_next_is_about_the_same_cloud() {
    let place = Place::prepared("ap-northeast-2");
    let state = place.bed.folder.path().join("target/thing");
    std::fs::create_dir_all(&state).unwrap();
    let running = serde_json::json!({
        "process": std::process::id(), "operator_port": 1, "certs": "certs/local", "thing": "lamp",
        "topics": Topics::default(), "board": "nodemcu", "board_runs": true,
    });
    std::fs::write(state.join("cloud.json"), running.to_string()).unwrap();
    let begun = place.begin(&["--named", "--cloud", "aws"]);
    says(&begun, "`make update THING=lamp CLOUD=aws` follows it again");
    says(&begun, "`make update-cancel THING=lamp CLOUD=aws` calls it off");
    place.bed.fault("describe-job", Fault::Error(404, "ResourceNotFoundException", "no"), 1);
    let status = place.thing(&["update-status"]).output().unwrap();
    says(&status, "`make update THING=lamp CLOUD=aws` clears the rest away");
    let done = place.command("update-cancel", &["--cloud", "aws"]).output().unwrap();
    assert!(done.status.success() && place.is_clear(), "{}", text(&done));
}

/// Which AWS does over some time: its own answers first, then none.
#[test]
fn a_job_that_somebody_deleted_is_not_made_again() {
    let place = Place::prepared("ca-central-1");
    for (verb, is_through) in [("update", false), ("update-cancel", true)] {
        place.begin(&["--named"]);
        let (id, ..) = place.ordered();
        if !is_through {
            place.bed.fault("describe-job", Fault::Answer(BEING_DELETED), 1);
        }
        place.bed.tell("DELETE", &format!("/jobs/{id}?force=true"));
        if is_through {
            let status = place.thing(&["update-status"]).output().unwrap();
            says(&status, "lamp: version 1.2.3, somebody else has deleted its job");
        }
        let done = place.interrupted(place.command(verb, &[]));
        assert_eq!(done.status.success(), verb == "update-cancel", "{}", text(&done));
        says(&done, "somebody else has deleted the job");
        assert!(place.is_clear(), "{}", text(&done));
    }
}

/// The commands of docs/fleet.md, with either version of the AWS CLI.
#[test]
fn a_job_by_awss_own_tool_has_the_releases_signature() {
    let place = Place::prepared("eu-south-1");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fleet.md");
    let page = std::fs::read_to_string(page).unwrap();
    let behind = page.split_once("**By AWS's own tool**").unwrap().1.lines();
    let shown = behind.skip_while(|line| !line.starts_with("    "));
    let shown: Vec<&str> =
        shown.take_while(|line| !line.is_empty()).map(|line| &line[4..]).collect();
    let endpoint = "aws --endpoint-url \"$AWS_ENDPOINT_URL\"";
    let commands = ["s3api", "iot"].iter().fold(shown.join("\n"), |all, service| {
        all.replace(&format!("aws {service} "), &format!("{endpoint} {service} "))
    });
    let mut shell = place.bed.thing(Path::new("sh"), &["-e", "-c", &commands]);
    shell.env("RELEASE", &place.release).env("BUCKET", &place.bucket);
    shell.env("TARGET", "arn:aws:iot:eu-south-1:123456789012:thing/lamp");
    let done = shell.env("ROLE", "arn:aws:iam::123456789012:role/ota").output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    let document = place.bed.ota_document("nodemcu-1-2-3");
    let release = Release::read(&place.release).unwrap();
    let file = &document["afr_ota"]["files"][0];
    assert_eq!(file["sig-sha256-ecdsa"], release.signature());
    assert_eq!(file["filesize"], release.image().len());
    // As a device reads it.
    let told = serde_json::json!({ "execution": {
        "jobId": "AFR_OTA-nodemcu-1-2-3", "versionNumber": 1, "jobDocument": document,
    } });
    let told = told.to_string();
    let read = Execution::read(told.as_bytes()).unwrap().unwrap().document.unwrap();
    assert_eq!((read.kind, read.size as usize), (Kind::Firmware, release.image().len()));
}

/// Names of stores are one space for all accounts, and the usual one can be guessed.
#[test]
fn nothing_goes_into_a_strangers_store() {
    let mut place = Place::prepared("me-south-1");
    place.bucket = "esp8266-updates-of-a-stranger".to_owned();
    place.bed.make_strangers_store(&place.bucket);
    let update = || place.command("update", &["--bucket", &place.bucket]);
    let refused = place.interrupted(update());
    assert!(!refused.status.success());
    says(&refused, "esp8266-updates-of-a-stranger is another account's");
    says(&refused, "name one of your own by BUCKET=");
    assert!(!place.bed.seen().contains(&"put-object".to_owned()));
    assert!(place.is_clear());
    // One that became a stranger's a moment ago.
    let refused = |operation: &str, faults: &[(&str, Fault)], command: Command| {
        for (operation, fault) in faults {
            place.bed.fault(operation, fault.clone(), 1);
        }
        let refused = place.interrupted(command);
        says(&refused, &format!("`aws s3api {operation}` failed: "));
        says(&refused, "name one of your own by BUCKET=");
    };
    let found = ("head-bucket", Fault::Answer(""));
    let no_object = ("head-object", Fault::Error(404, "404", "Not Found"));
    refused("head-object", std::slice::from_ref(&found), update());
    refused("put-object", &[found.clone(), no_object.clone()], update());
    // Nothing was made for it, so that another store may be named.
    assert!(place.is_clear());
    let put = ("put-object", Fault::Answer(""));
    let stops = ("create-stream", Fault::Error(403, "AccessDenied", "no"));
    for (operation, fault) in [found, no_object, put, stops] {
        place.bed.fault(operation, fault, 1);
    }
    place.interrupted(update());
    refused("delete-object", &[], place.command("update-cancel", &[]));
    assert_eq!(place.objects(), 0);
}

/// An order that is not over is what it is: whoever asks for something else is told so, and is not
/// led to take the one for the other.
#[test]
fn an_order_that_is_not_over_is_not_another_one() {
    let place = Place::prepared("us-west-1");
    place.begin(&["--named"]);
    let folder = place.bed.folder.path();
    let signer = Signer::with_key(&folder.join("certs/signing/signing.key")).unwrap();
    let sign = |version, name: &str| {
        let image = fleet_tests::image(version, "nodemcu", 20_000);
        Release::sign(image, &signer).unwrap().write(&folder.join(name)).unwrap();
    };
    sign([1, 2, 4], "other.release");
    // Signed once more, which is another signature of the same image.
    sign([1, 2, 3], "again.release");
    let update = |more: &[&str]| {
        let words = [&["update", "--named"], more].concat();
        let mut command = place.thing(&words);
        command.env("THING", "lamp");
        command
    };
    let refused = |more: &[&str], asked: &str, state: &str| {
        let refused = place.interrupted(update(more));
        assert!(!refused.status.success(), "{asked}: {}", text(&refused));
        says(&refused, &format!("was ordered before, without {asked}, and is not {state}"));
        says(&refused, "`make update-cancel THING=lamp` ends it");
    };
    for (more, asked) in [
        (&["--new-version", "1.2.4"][..], "VERSION=1.2.4"),
        (&["--new-version", "1.2.3", "--board", "huzzah"], "VERSION=1.2.3 BOARD=huzzah"),
        (&["--release", "other.release"], "RELEASE=other.release"),
        (&["--bucket", "mine", "--role", "mine"], "BUCKET=mine ROLE=mine"),
        (&["--rate", "1", "--timeout", "5"], "TIMEOUT=5 RATE=1"),
        (&["--abort", "1", "--abort-after", "1"], "ABORT=1 ABORT_AFTER=1"),
        (&["--allow-downgrade"], "DOWNGRADE=1"),
    ] {
        refused(more, asked, "over");
    }
    // What it has may be said again.
    let bucket = ["--bucket", place.bucket.as_str(), "--role", &place.role, "--rate", "50"];
    let limits = ["--timeout", "60", "--abort", "20", "--abort-after", "5"];
    for more in [&["--new-version", "1.2.3"][..], &["--release", "again.release"], &bucket, &limits]
    {
        let goes_on = place.interrupted(update(more));
        says(&goes_on, "going on     with version 1.2.3 for lamp");
    }
    // The job has ended well, and something of it is left.
    place.bed.fault("describe-job", Fault::Answer(COMPLETED), 1);
    place.bed.fault("delete-job", Fault::Error(403, "AccessDenied", "no"), 1);
    assert!(!update(&[]).output().unwrap().status.success());
    refused(&["--new-version", "1.2.4"], "VERSION=1.2.4", "cleared away");
    let done = update(&[]).output().unwrap();
    says(&done, "done         1 updated on version 1.2.3");
    assert!(place.is_clear());
}

#[test]
fn what_cannot_be_is_told_before_anything_is_made() {
    let place = Place::prepared("ap-southeast-1");
    for (more, wanted) in [
        (&["--board", "huzzah"][..], "is for the board nodemcu: name it by BOARD=nodemcu"),
        (&["--rate", "0"], "RATE=0: 1 to 1000"),
        (&["--abort", "101"], "ABORT=101: 1 to 100"),
        (&["--timeout", "10081"], "TIMEOUT=10081: 1 to 10080"),
        (&["--keys", "elsewhere"], "cannot read elsewhere/signing.pub"),
    ] {
        let refused = place.update(more);
        assert!(!refused.status.success());
        says(&refused, wanted);
    }
    // A thing of a group, or the whole group: the wider one may be the last that was meant.
    for (which, wanted) in [
        (&["--named", "--group", "lamps"][..], "THING= and GROUP= are both there"),
        (&["--named", "--fleet", "things.csv"], "THING= and FLEET= are both there"),
        (&["--group", "lamps", "--fleet", "things.csv"], "GROUP= and FLEET= are both there"),
    ] {
        for verb in ["update-version", "update", "update-identity", "update-cancel"] {
            let refused = place.thing(&[&[verb][..], which].concat()).output().unwrap();
            assert!(!refused.status.success(), "{verb}");
            says(&refused, wanted);
        }
    }
    let mut nobody = place.command("update", &[]);
    let refused = nobody.env("THING", "nobody").output().unwrap();
    says(&refused, "there is no thing nobody in this account");
    assert_eq!((place.objects(), place.bed.streams().len()), (0, 0));
}

/// A real board has no network without it, and things on AWS are real ones.
#[test]
fn a_firmware_without_the_radio_goes_to_aws_only_if_that_is_meant() {
    let mut place = Place::prepared("ap-east-1");
    let folder = place.bed.folder.path();
    let signer = Signer::with_key(&folder.join("certs/signing/signing.key")).unwrap();
    let mut image = fleet_tests::image([1, 2, 3], "nodemcu", 20_000);
    image[1000..][..releases::WITHOUT_RADIO.len()]
        .copy_from_slice(releases::WITHOUT_RADIO.as_bytes());
    board::image::seal(&mut image).unwrap();
    place.release = folder.join("target/releases/nodemcu-1.2.3.release");
    std::fs::create_dir_all(folder.join("target/releases")).unwrap();
    Release::sign(image, &signer).unwrap().write(&place.release).unwrap();
    let version = |version: &str, more: &[&str]| {
        let words = [&["update-version", "--named", "--new-version", version], more].concat();
        place.thing(&words).env("THING", "lamp").output().unwrap()
    };
    let [missing, meant] = [["--no-radio", "missing"], ["--no-radio", "meant"]];
    // What would be built here, of which nobody is to wait for the end.
    says(&version("1.2.4", &missing), "what would be built here has no Wi-Fi");
    assert_eq!(version("1.2.4", &[]).stdout, b"1.2.4\n");
    assert_eq!(version("1.2.4", &meant).stdout, b"1.2.4\n");
    // What is there, whatever would be built here.
    for more in [&[][..], &missing] {
        assert!(version("1.2.3", more).status.success());
        let refused = place.interrupted(place.command("update", more));
        assert!(!refused.status.success(), "{}", text(&refused));
        says(&refused, "this release has no Wi-Fi");
        assert!(place.is_clear());
    }
    let begun = place.interrupted(place.command("update", &meant));
    says(&begun, "the update goes on without you");
    let done = place.command("update-cancel", &[]).output().unwrap();
    assert!(done.status.success() && place.is_clear(), "{}", text(&done));
}

/// What a fleet runs is there once, as its release: who goes back needs it as it was.
#[test]
fn a_release_is_not_written_over_and_its_version_brings_it() {
    let place = Place::prepared("sa-east-1");
    let folder = place.bed.folder.path();
    std::fs::create_dir(folder.join("image")).unwrap();
    let mut stage = vec![0xE9, 1, 2, 0x40, 4, 0, 0x10, 0x40];
    stage.extend([0, 0, 0x10, 0x40, 4, 0, 0, 0, 1, 2, 3, 4]);
    stage.resize(31, 0);
    stage.push(0xEF ^ 1 ^ 2 ^ 3 ^ 4);
    std::fs::write(folder.join("image/firmware-0x00000.bin"), stage).unwrap();
    let release = |image: &[u8]| {
        std::fs::write(folder.join("image/firmware-0x04000.bin"), image).unwrap();
        place.thing(&["release", "--board", "nodemcu", "--image", "image"]).output().unwrap()
    };
    let good = fleet_tests::image([1, 0, 0], "nodemcu", 20_000);
    says(&release(&good), "target/releases/nodemcu-1.0.0.release: nodemcu 1.0.0, ");
    let again = release(&good);
    assert!(again.status.success(), "{}", text(&again));
    let refused = release(&fleet_tests::image([1, 0, 0], "nodemcu", 21_000));
    assert!(!refused.status.success());
    says(&refused, "nodemcu-1.0.0.release is there and holds another image: ");
    let kept = Release::read(&folder.join("target/releases/nodemcu-1.0.0.release")).unwrap();
    assert!(kept.image() == good);

    let version = |version: &str| {
        let words = ["update-version", "--named", "--new-version", version];
        let told = place.thing(&words).output().unwrap();
        assert!(told.status.success(), "{}", text(&told));
        String::from_utf8(told.stdout).unwrap()
    };
    // Nothing is built for a release, and for another number it is.
    assert_eq!((&*version("1.0.0"), &*version("1.0.1")), ("", "1.0.1\n"));
    let words = ["update", "--named", "--role", &place.role, "--new-version", "1.0.0"];
    let mut update = place.thing(&words);
    update.env("THING", "lamp");
    let begun = place.interrupted(update);
    says(&begun, &format!("image        {}", kept.summary()));
    assert!(std::fs::read(folder.join("certs/updates/thing-lamp.image")).unwrap() == good);
}

#[test]
fn who_interrupts_a_calling_off_is_told_that_nothing_was_called_off() {
    let place = Place::prepared("ap-southeast-2");
    place.begin(&["--named"]);
    let bin = place.bed.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // The AWS CLI ends so after Ctrl-C.
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' describe-job '*) exit 130 ;; esac\nexec '{}' \"$@\"\n",
        quick_aws().display()
    );
    process::files::write_program(&bin.join("aws"), &script).unwrap();
    let mut command = place.command("update-cancel", &[]);
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    place.bed.seen();
    let interrupted = command.output().unwrap();
    assert!(!interrupted.status.success(), "{}", text(&interrupted));
    says(&interrupted, "before anything was called off: the update of lamp goes on");
    assert!(!place.bed.seen().contains(&"cancel-job".to_owned()));
    let done = place.command("update-cancel", &[]).output().unwrap();
    assert!(done.status.success() && place.is_clear(), "{}", text(&done));
}

/// The role of the first region is found in the second, whose store it has to read as well.
#[test]
fn a_second_region_has_a_store_that_the_same_role_reads() {
    let first = Place::prepared("ap-southeast-3");
    let mut second = Place::new("us-west-2");
    second.role.clone_from(&first.role);
    second.prepare(2);
    let listed = Command::new(quick_aws())
        .args(["iam", "list-role-policies", "--role-name", &second.role, "--output", "json"])
        .args(["--endpoint-url", second.bed.url(), "--region", second.region])
        .envs(second.bed.environment())
        .output()
        .unwrap();
    for place in [&first, &second] {
        says(&listed, &format!("\"read-{}\"", place.bucket));
    }
    let denied = Fault::Error(403, "UnauthorizedException", "no");
    second.bed.fault("create-stream", denied, 1);
    let refused = second.update(&[]);
    says(&refused, &format!("may not read the store {}", second.bucket));
    assert!(second.command("update-cancel", &[]).output().unwrap().status.success());
    assert!(second.is_clear());
}
