//! Provisioning with the real AWS CLI against moto, with faults at every call.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_stand_in::{Account, Bed, Fault, quick_aws};
use cloud::client::{ClientOptions, MqttClient, operator_options};
use cloud::local::LocalCloud;
use process::files;
use process::programs::Owned;
use provisioning::fleet::{Fleet, Outcome};
use provisioning::{Certificate, Cli, Journal, OPERATOR, PresenceEvents, Rotation, Witness};
use tempfile::TempDir;
use things::folder::ThingFolder;
use things::settings::Settings;
use things::topics::Topics;

/// The operations that change an account.
const CHANGING: [&str; 5] = [
    "create-thing",
    "create-policy",
    "create-certificate-from-csr",
    "attach-policy",
    "attach-thing-principal",
];

fn changes(seen: &[String]) -> Vec<&str> {
    seen.iter()
        .map(String::as_str)
        .filter(|operation| !["get", "list", "desc"].iter().any(|look| operation.starts_with(look)))
        .collect()
}

#[test]
fn a_thing_is_made_once_and_then_confirmed() {
    let bed = Bed::new("eu-west-1");
    let journal = bed.provision("demo", &Topics::default()).unwrap();
    assert_eq!(changes(&bed.seen()), CHANGING);
    let said = bed.said();
    // Whose account, before anything is made.
    let shown =
        said.find("AWS account  123456789012\nyou are      arn:aws:sts::123456789012:").unwrap();
    assert!(shown < said.find("thing demo made").unwrap(), "{said}");
    assert!(said.contains("region       eu-west-1\n"), "{said}");
    assert!(
        said.contains("thing        arn:aws:iot:eu-west-1:123456789012:thing/demo\n"),
        "{said}"
    );

    let key = std::fs::read_to_string(bed.file("demo", "device.key")).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let mode = |name: &str| {
        std::fs::metadata(bed.file("demo", name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("device.key"), 0o600);
    assert_eq!(mode(""), 0o700);
    let secret = key.lines().nth(1).unwrap();
    let notes = std::fs::read_to_string(bed.file("demo", "thing.json")).unwrap();
    assert!(!said.contains(secret) && !notes.contains(secret));
    assert!(journal.endpoint.unwrap().ends_with("-ats.iot.eu-west-1.amazonaws.com"));

    let account = bed.account();
    assert_eq!(account.things, ["demo"]);
    assert_eq!(account.certificates, [journal.certificate.unwrap().id]);
    assert_eq!(account.policies, [journal.policy.unwrap()]);

    let again = bed.provision("demo", &Topics::default()).unwrap();
    assert_eq!(changes(&bed.seen()), [""; 0]);
    assert!(again.complete);
    assert_eq!(bed.account(), account);
    assert_eq!(std::fs::read_to_string(bed.file("demo", "device.key")).unwrap(), key);

    bed.deprovision("demo").unwrap();
    let said = bed.said();
    for step in ["detached from the thing", "deactivated", "deleted", "thing demo deleted"] {
        assert!(said.contains(step), "{step}: {said}");
    }
    assert_eq!(bed.account(), Account::default());
    assert!(!bed.certs().join("demo").exists());
    bed.deprovision("demo").unwrap();
    assert!(bed.said().contains("nothing to remove"));
}

/// Provisioning `demo` must fail with these words.
#[track_caller]
fn refused(bed: &Bed, words: &[&str]) {
    let error = bed.provision("demo", &Topics::default()).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// A call that does not come through, and one whose answer does not.
fn losses() -> [(&'static str, Fault); 2] {
    [("lost", Fault::Lost), ("answer-lost", Fault::AnswerLost)]
}

/// Topics of a thing's own, so that its policy is, too.
fn own_topics(thing: &str) -> Topics {
    Topics::new(&format!("{thing}-status/x"), &format!("{thing}-control/x"))
}

/// With a fault at one operation the command fails, says that it can be given again, and then
/// goes on without making anything twice.
fn interrupted_at(bed: &Bed, operations: &[&str], faults: &[(&str, Fault)]) {
    for operation in operations {
        for (name, fault) in faults {
            let thing = format!("{operation}-{name}");
            let topics = own_topics(&thing);
            bed.fault(operation, fault.clone(), 1);
            let error = format!("{:#}", bed.provision(&thing, &topics).unwrap_err());
            assert!(error.contains(operation) && error.contains("same command again"), "{error}");
            assert!(bed.journal(&thing).is_none_or(|journal| !journal.complete));
            let journal = bed.provision(&thing, &topics).unwrap();
            assert!(journal.complete && journal.doing.is_none());
            let account = bed.account();
            assert_eq!(account.things, [thing.as_str()]);
            assert_eq!(account.certificates, [journal.certificate.unwrap().id]);
            assert_eq!(account.policies, [journal.policy.unwrap()]);
            bed.deprovision(&thing).unwrap();
            assert_eq!(bed.account(), Account::default(), "{thing}");
        }
    }
}

#[test]
fn provisioning_goes_on_after_a_fault_at_any_change() {
    interrupted_at(&Bed::new("eu-west-2"), &CHANGING, &losses());
}

#[test]
fn provisioning_goes_on_after_a_fault_at_any_look() {
    // Whether a look or its answer was lost is the same to all.
    interrupted_at(
        &Bed::new("eu-west-3"),
        &["get-caller-identity", "describe-endpoint", "describe-thing", "get-policy"],
        &[("lost", Fault::Lost)],
    );
}

/// Whatever the half-made state, it can be removed, and nothing stays behind.
#[test]
fn half_made_things_can_be_removed() {
    let bed = Bed::new("eu-north-1");
    for operation in CHANGING {
        for (name, fault) in losses() {
            let thing = format!("{operation}-{name}");
            bed.fault(operation, fault, 1);
            bed.provision(&thing, &own_topics(&thing)).unwrap_err();
            bed.deprovision(&thing).unwrap();
            assert_eq!(bed.account(), Account::default(), "{thing}");
            assert!(!bed.certs().join(&thing).exists());
        }
    }
}

#[test]
fn removing_goes_on_after_a_fault_at_any_change() {
    let bed = Bed::new("eu-central-1");
    for operation in [
        "detach-thing-principal",
        "detach-policy",
        "update-certificate",
        "delete-certificate",
        "delete-policy",
        "delete-thing",
    ] {
        for (name, fault) in losses() {
            let thing = format!("{operation}-{name}");
            bed.provision(&thing, &own_topics(&thing)).unwrap();
            bed.fault(operation, fault, 1);
            let error = format!("{:#}", bed.deprovision(&thing).unwrap_err());
            assert!(error.contains(operation), "{error}");
            let error = bed.provision(&thing, &own_topics(&thing)).unwrap_err().to_string();
            assert!(error.contains("half removed"), "{error}");
            bed.deprovision(&thing).unwrap();
            assert_eq!(bed.account(), Account::default(), "{thing}");
            assert!(!bed.certs().join(&thing).exists());
        }
    }
}

#[test]
fn without_its_folder_a_thing_is_removed_by_what_the_account_knows() {
    let bed = Bed::new("me-south-1");
    bed.provision("demo", &Topics::default()).unwrap();
    std::fs::remove_dir_all(bed.certs().join("demo")).unwrap();
    bed.session(|session| session.deprovision("demo", true)).unwrap();
    assert_eq!(bed.account(), Account::default());
}

#[test]
fn without_its_journal_a_thing_is_found_by_its_key() {
    let bed = Bed::new("us-east-1");
    let before = bed.provision("demo", &Topics::default()).unwrap();
    std::fs::remove_file(bed.file("demo", "thing.json")).unwrap();
    std::fs::remove_file(bed.file("demo", "device.pem")).unwrap();
    bed.seen();
    let found = bed.provision("demo", &Topics::default()).unwrap();
    assert_eq!((found.certificate, found.policy), (before.certificate, before.policy));
    assert_eq!(changes(&bed.seen()), [""; 0]);
    assert!(bed.file("demo", "device.pem").exists());
}

/// A person's own `aws iot …`.
#[track_caller]
fn by_hand(bed: &Bed, words: &[&str]) -> serde_json::Value {
    let output = Command::new(quick_aws())
        .env_clear()
        .envs(bed.environment())
        // Not every version knows AWS_ENDPOINT_URL.
        .args(["--endpoint-url", bed.url(), "--output", "json", "iot"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Names of the policies of a thing's certificate.
fn attached(bed: &Bed, thing: &str) -> BTreeSet<String> {
    let arn = bed.journal(thing).unwrap().certificate.unwrap().arn;
    let answer = by_hand(bed, &["list-attached-policies", "--target", &arn]);
    let policies = answer["policies"].as_array().unwrap();
    policies.iter().map(|policy| policy["policyName"].as_str().unwrap().to_owned()).collect()
}

/// Makes things that are complete those of a time before there were updates: what their policy
/// allows was less. Returns its name.
fn as_before_updates(bed: &Bed, things: &[&str]) -> &'static str {
    const BEFORE: &str = "esp8266-thing-000000000000";
    let now = bed.journal(things[0]).unwrap().policy.unwrap();
    let document = bed.ask(&format!("/policies/{now}"))["policyDocument"].clone();
    let mut document: serde_json::Value = serde_json::from_str(document.as_str().unwrap()).unwrap();
    for statement in document["Statement"].as_array_mut().unwrap() {
        statement["Resource"].as_array_mut().unwrap().truncate(1);
    }
    let document = document.to_string();
    by_hand(bed, &["create-policy", "--policy-name", BEFORE, "--policy-document", &document]);
    for thing in things {
        let arn = bed.journal(thing).unwrap().certificate.unwrap().arn;
        for (operation, policy) in [("attach-policy", BEFORE), ("detach-policy", &now)] {
            by_hand(bed, &[operation, "--policy-name", policy, "--target", &arn]);
        }
        let notes = std::fs::read_to_string(bed.file(thing, "thing.json")).unwrap();
        std::fs::write(bed.file(thing, "thing.json"), notes.replace(&now, BEFORE)).unwrap();
    }
    BEFORE
}

#[test]
fn a_policy_that_a_person_edited_goes_with_its_versions() {
    let bed = Bed::new("ap-southeast-5");
    let policy = bed.provision("demo", &Topics::default()).unwrap().policy.unwrap();
    let by_hand = |words: &[&str]| by_hand(&bed, words);
    let document = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let version =
        ["create-policy-version", "--policy-name", &policy, "--policy-document", document];
    by_hand(&[&version[..], &["--set-as-default"]].concat());
    by_hand(&["set-default-policy-version", "--policy-name", &policy, "--policy-version-id", "1"]);
    bed.deprovision("demo").unwrap();
    assert!(bed.said().contains(&format!("version 2 of policy {policy} deleted")));
    assert_eq!(bed.account(), Account::default());
    assert!(bed.journal("demo").is_none());
}

/// AWS takes minutes to let go of a policy: what leads to it is kept until it is gone.
#[test]
fn a_policy_that_aws_still_holds_is_not_forgotten() {
    let bed = Bed::new("eu-south-1");
    bed.provision("demo", &Topics::default()).unwrap();
    let held = Fault::Error(409, "DeleteConflictException", "The policy is still attached.");
    bed.fault("delete-policy", held.clone(), 1000);
    let error = bed.deprovision("demo").unwrap_err().to_string();
    assert!(error.contains("run the same command again in some minutes"), "{error}");
    assert!(bed.journal("demo").is_some());
    let bed = Bed::new("eu-south-2");
    bed.provision("demo", &Topics::default()).unwrap();
    bed.fault("delete-policy", held, 2);
    bed.deprovision("demo").unwrap();
    assert_eq!(bed.account(), Account::default());
}

#[test]
fn what_was_not_made_here_is_removed_only_when_asked() {
    let bed = Bed::new("il-central-1");
    bed.provision("demo", &Topics::default()).unwrap();
    std::fs::rename(bed.file("demo", ""), bed.certs().join("elsewhere")).unwrap();
    bed.seen();
    let error = bed.deprovision("demo").unwrap_err().to_string();
    assert!(
        error.contains("was not made on this machine") && error.contains("FOREIGN=1"),
        "{error}"
    );
    assert_eq!(changes(&bed.seen()), Vec::<&str>::new());
    bed.session(|session| session.deprovision("demo", true)).unwrap();
    assert_eq!(bed.account(), Account::default());
}

/// A thing's folder but for the lock: names and bytes.
fn folder(bed: &Bed, thing: &str) -> BTreeMap<String, Vec<u8>> {
    let listed = std::fs::read_dir(bed.file(thing, "")).into_iter().flatten().flatten();
    let files = listed.filter(|entry| entry.file_name() != ".lock").map(|entry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn a_key_whose_certificate_is_elsewhere_goes_only_when_asked() {
    let right = Bed::new("eu-test-1");
    let certificate = right.provision("demo", &Topics::default()).unwrap().certificate.unwrap().id;
    std::fs::remove_file(right.file("demo", "thing.json")).unwrap();
    let bed = Bed::new("eu-test-2");
    let keep = |names: &[&str]| {
        let _ = std::fs::remove_dir_all(bed.file("demo", ""));
        std::fs::create_dir_all(bed.file("demo", "")).unwrap();
        for name in names {
            // Whatever is in an identity.
            let from = right.file("demo", &name.replace("identity.bin", "device.key"));
            std::fs::copy(from, bed.file("demo", name)).unwrap();
        }
    };
    let pair = ["device.key", "device.pem"];
    let refused = || {
        let before = folder(&bed, "demo");
        bed.seen();
        let error = bed.deprovision("demo").unwrap_err().to_string();
        assert!(error.contains("FOREIGN=1") && error.contains("Nothing was removed"), "{error}");
        assert_eq!(folder(&bed, "demo"), before);
        assert_eq!(changes(&bed.seen()), [""; 0]);
    };
    for names in [&pair[..], &["device.key"], &["device.pem"], &["identity.bin"]] {
        keep(names);
        refused();
    }
    // A thing of that name is there, and a journal: provisioning was refused, as the key is none
    // that it knows.
    keep(&pair);
    std::fs::write(bed.file("demo", "device.key"), "-----BEGIN EC PRIVATE KEY-----").unwrap();
    bed.provision("demo", &Topics::default()).unwrap_err();
    refused();
    bed.session(|session| session.deprovision("demo", true)).unwrap();
    assert_eq!(folder(&bed, "demo"), BTreeMap::new());
    assert_eq!(bed.account(), Account::default());
    // Nor does one beside the certificate of another.
    let own = bed.provision("demo", &Topics::default()).unwrap().certificate.unwrap().id;
    for key in [&std::fs::read(right.file("demo", "device.key")).unwrap()[..], b""] {
        std::fs::write(bed.file("demo", "device.key"), key).unwrap();
        refused();
        assert!(bed.is_active(&own));
    }
    bed.session(|session| session.deprovision("demo", true)).unwrap();
    assert_eq!(bed.account(), Account::default());
    // In its own account it is found by the key.
    assert!(right.is_active(&certificate));
    right.deprovision("demo").unwrap();
    assert_eq!(right.account(), Account::default());
    assert!(!right.certs().join("demo").exists());
}

#[test]
fn a_certificate_that_stays_keeps_its_key() {
    let bed = Bed::new("eu-test-3");
    let certificate = bed.provision("demo", &Topics::default()).unwrap().certificate.unwrap();
    bed.provision("other", &Topics::default()).unwrap();
    let attach = ["attach-thing-principal", "--thing-name", "other", "--principal"];
    by_hand(&bed, &[&attach[..], &[&certificate.arn]].concat());
    let key = std::fs::read(bed.file("demo", "device.key")).unwrap();
    for _ in 0..2 {
        bed.deprovision("demo").unwrap();
        assert!(bed.said().contains("stays: other has it, too"));
        assert!(bed.is_active(&certificate.id));
        let left = folder(&bed, "demo");
        assert_eq!(left.keys().collect::<Vec<_>>(), ["device.csr", "device.key", "device.pem"]);
        assert_eq!(left["device.key"], key);
    }
    assert_eq!(bed.account().things, ["other"]);
}

#[test]
fn a_name_that_is_taken_is_joined_only_when_asked() {
    let bed = Bed::new("eu-test-4");
    let first = bed.provision("demo", &Topics::default()).unwrap().certificate.unwrap();
    std::fs::rename(bed.file("demo", ""), bed.certs().join("elsewhere")).unwrap();
    let before = bed.account();
    bed.seen();
    refused(&bed, &["demo was made elsewhere", &first.id[..12], "FOREIGN=1"]);
    // Another key changes nothing.
    std::fs::create_dir_all(bed.file("demo", "")).unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(bed.file("demo", "device.key"), other).unwrap();
    bed.seen();
    refused(&bed, &["demo was made elsewhere"]);
    assert_eq!(changes(&bed.seen()), [""; 0]);
    assert_eq!(bed.account(), before);
    assert!(bed.journal("demo").is_none());
    let joined = bed.session(|session| {
        session.join_foreign_things = true;
        session.provision("demo", &Topics::default())
    });
    let second = joined.unwrap().certificate.unwrap();
    assert!(bed.is_active(&first.id) && bed.is_active(&second.id));
    // From now on it is known here.
    bed.provision("demo", &Topics::default()).unwrap();
    // One without certificates is nobody's.
    bed.tell("POST", "/things/by-hand");
    bed.provision("by-hand", &Topics::default()).unwrap();
    // Somebody else is as quick.
    let both = r#"{"principals":["arn:aws:iot:eu-west-1:123456789012:cert/stranger"]}"#;
    bed.fault("list-thing-principals", Fault::Answer(both), 1);
    let error = bed.provision("quick", &Topics::default()).unwrap_err().to_string();
    assert!(error.contains("at the same time, with stranger"), "{error}");
    bed.provision("quick", &Topics::default()).unwrap();
}

#[test]
fn what_others_use_stays() {
    let bed = Bed::new("us-east-2");
    let first = bed.provision("first", &Topics::default()).unwrap();
    let second = bed.provision("second", &Topics::default()).unwrap();
    assert_eq!(first.policy, second.policy);
    bed.deprovision("first").unwrap();
    assert!(bed.said().contains("stays: other certificates have it"));
    let account = bed.account();
    assert_eq!(account.things, ["second"]);
    assert_eq!(account.policies, [second.policy.clone().unwrap()]);
    assert_eq!(account.certificates, [second.certificate.unwrap().id]);
    // A fleet's policy has as many targets as the fleet has things: they are not listed.
    let page = r#"{"targets":["arn:aws:iot:us-east-2:123456789012:cert/x"],"nextMarker":"x"}"#;
    bed.fault("list-targets-for-policy", Fault::Answer(page), 1);
    bed.provision("third", &Topics::default()).unwrap();
    bed.seen();
    bed.deprovision("third").unwrap();
    let seen = bed.seen();
    assert_eq!(seen.iter().filter(|call| *call == "list-targets-for-policy").count(), 1);
    bed.deprovision("second").unwrap();
    assert_eq!(bed.account(), Account::default());
}

/// A device that has the old topics needs their policy, also to hear of the job that brings the new.
#[test]
fn earlier_topics_stay_allowed_until_the_device_has_the_new_ones() {
    let bed = Bed::new("us-west-1");
    let (one, two) = (Topics::default(), own_topics("demo"));
    let provision = |topics: &Topics, retire: bool| {
        bed.session(|session| {
            session.end_old_topics = retire;
            session.provision("demo", topics)
        })
    };
    let policy = |journal: &Journal| journal.policy.clone().unwrap();
    let first = provision(&one, false).unwrap();
    let error = provision(&two, true).unwrap_err().to_string();
    assert!(error.contains("without RETIRE=1") && attached(&bed, "demo").len() == 1, "{error}");
    // Nor after a run that got as far as the new policy only: no identity with it can have been made.
    bed.fault("attach-policy", Fault::AnswerLost, 1);
    provision(&two, false).unwrap_err();
    let error = provision(&two, true).unwrap_err().to_string();
    assert!(error.contains("without RETIRE=1"), "{error}");
    assert!(attached(&bed, "demo").contains(first.policy.as_ref().unwrap()));

    let second = provision(&two, false).unwrap();
    assert_eq!(first.certificate, second.certificate);
    assert_eq!(second.status_topic, "demo-status/x");
    let both = BTreeSet::from([policy(&first), policy(&second)]);
    assert_eq!((both.len(), attached(&bed, "demo")), (2, both.clone()));
    assert!(bed.said().contains("make update-identity THING=demo"));
    bed.seen();
    provision(&two, false).unwrap();
    assert_eq!(changes(&bed.seen()), [""; 0]);
    let last = provision(&two, true).unwrap();
    assert_eq!(attached(&bed, "demo"), BTreeSet::from([policy(&second)]));
    assert_eq!(bed.account().policies, [policy(&second)]);
    assert!(last.staying.is_empty() && last.old_policies.is_empty());

    // A device that has proved itself with the new ones; and that says nothing of later ones.
    provision(&one, false).unwrap();
    let folder = ThingFolder::new(&bed.certs(), "demo").unwrap();
    folder.note_proved(&one).unwrap();
    provision(&one, false).unwrap();
    assert_eq!(bed.account().policies, [policy(&first)]);
    for topics in [&two, &one] {
        provision(topics, false).unwrap();
        assert_eq!(attached(&bed, "demo"), both);
    }

    // The next certificate has the new ones only, and the old ones go with the old certificate.
    let mut prophet = Prophet { sees: false, asked: Vec::new() };
    rotate(&bed, &mut prophet).0.unwrap_err();
    assert_eq!(attached(&bed, "demo"), BTreeSet::from([policy(&first)]));
    assert_eq!(bed.account().policies.len(), 2);
    prophet.sees = true;
    let journal = rotate(&bed, &mut prophet).0.unwrap();
    assert_eq!(bed.account().policies, [policy(&first)]);
    assert!(journal.staying.is_empty() && journal.old_policies.is_empty());

    // Where only the tidying fails, the rotation is over, and is not begun again.
    provision(&two, false).unwrap();
    provision(&one, false).unwrap();
    bed.fault("list-targets-for-policy", Fault::AnswerLost, 1);
    rotate(&bed, &mut prophet).0.unwrap();
    assert!(bed.said().contains("policies of before are left"));
    provision(&one, false).unwrap();
    assert_eq!(bed.account().policies, [policy(&first)]);

    // One that allows no more than the present one is of no use to the device.
    let before = as_before_updates(&bed, &["demo"]);
    assert_eq!(attached(&bed, "demo"), BTreeSet::from([before.to_owned()]));
    provision(&one, false).unwrap();
    assert_eq!(attached(&bed, "demo"), BTreeSet::from([policy(&first)]));
    assert_eq!(bed.account().policies, [policy(&first)]);
    provision(&two, false).unwrap();
    bed.deprovision("demo").unwrap();
    assert_eq!(bed.account(), Account::default());
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let bed = Bed::new("us-west-2");
    bed.leave_certificates_as_moto_makes_them();
    for _ in 0..2 {
        refused(&bed, &["does not belong to the private key"]);
        assert!(!bed.file("demo", "device.pem").exists());
    }
    assert_eq!(bed.account().certificates.len(), 1);
    bed.deprovision("demo").unwrap();
    assert_eq!(bed.account(), Account::default());
}

#[test]
fn somebody_elses_changes_are_noticed() {
    let bed = Bed::new("ca-central-1");
    let journal = bed.provision("demo", &Topics::default()).unwrap();
    let id = journal.certificate.unwrap().id;
    bed.tell("PUT", &format!("/certificates/{id}?newStatus=INACTIVE"));
    refused(&bed, &["INACTIVE", "Activate it"]);
    bed.tell("PUT", &format!("/certificates/{id}?newStatus=ACTIVE"));

    bed.fault("get-policy", Fault::Answer(r#"{"policyName":"p","policyDocument":"{}"}"#), 1);
    refused(&bed, &["was changed there"]);

    let key = std::fs::read(bed.file("demo", "device.key")).unwrap();
    std::fs::remove_file(bed.file("demo", "device.key")).unwrap();
    refused(&bed, &["device.key is lost"]);
    assert!(!bed.file("demo", "device.key").exists());
    std::fs::write(bed.file("demo", "device.key"), key).unwrap();
    bed.provision("demo", &Topics::default()).unwrap();

    let elsewhere = Cli { region: Some("sa-east-1".to_owned()), ..bed.cli() };
    let error = bed
        .session_with(elsewhere, |session| session.provision("demo", &Topics::default()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("region ca-central-1") && error.contains("AWS_REGION"), "{error}");
}

#[test]
fn each_error_says_what_to_do() {
    let bed = Bed::new("ap-south-1");
    let denied = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: \
                  iot:CreatePolicy on resource: arn:aws:iot:ap-south-1:123456789012:policy/p";
    for (operation, code, message, wanted) in [
        ("get-caller-identity", "ExpiredToken", "The token has expired", "aws sso login"),
        ("get-caller-identity", "InvalidClientTokenId", "invalid", "does not accept"),
        ("get-caller-identity", "AccessDenied", "no", "permission sts:GetCallerIdentity"),
        ("create-thing", "LimitExceededException", "too many things", "Service Quotas"),
        ("create-policy", "AccessDeniedException", denied, "permission iot:CreatePolicy"),
        ("create-certificate-from-csr", "InternalFailureException", "x", "makes nothing twice"),
        ("attach-policy", "SomethingElseException", "odd words", "odd words"),
    ] {
        bed.fault(operation, Fault::Error(403, code, message), 1);
        let error = format!("{:#}", bed.provision("demo", &Topics::default()).unwrap_err());
        assert!(error.contains(wanted) && error.contains(operation), "{code}: {error}");
    }
    bed.fault("describe-endpoint", Fault::Answer(r#"{"endpointAddress":""}"#), 1);
    refused(&bed, &["no endpoint", "AWS_REGION"]);
}

#[test]
fn throttled_calls_are_tried_again_and_then_told() {
    let bed = Bed::new("ap-northeast-1");
    let slow_down = || Fault::Error(429, "ThrottlingException", "Rate exceeded");
    bed.fault("create-thing", slow_down(), 2);
    bed.provision("demo", &Topics::default()).unwrap();
    assert!(bed.said().contains("create-thing again in"));
    bed.fault("describe-thing", slow_down(), 99);
    bed.seen();
    refused(&bed, &["wait some minutes"]);
    assert_eq!(bed.seen().iter().filter(|operation| *operation == "describe-thing").count(), 3);
}

#[test]
fn the_clis_own_errors_say_what_to_do() {
    let bed = Bed::new("ap-northeast-2");
    let error = |cli: Cli| {
        let outcome = bed.session_with(cli, |session| session.deprovision("demo", false));
        outcome.unwrap_err().to_string()
    };
    let with = |variables: &[[&str; 2]]| {
        let mut cli = bed.cli();
        cli.environment.extend(
            variables.iter().map(|[name, value]| ((*name).to_owned(), (*value).to_owned())),
        );
        cli
    };
    let text = error(with(&[["AWS_ACCESS_KEY_ID", ""], ["AWS_SECRET_ACCESS_KEY", ""]]));
    assert!(text.contains("aws configure"), "{text}");
    let text = error(Cli { profile: Some("nobody".to_owned()), ..bed.cli() });
    assert!(text.contains("list-profiles"), "{text}");
    // Port 9 of this machine: nothing listens there.
    let text = error(with(&[["AWS_ENDPOINT_URL", "http://127.0.0.1:9"]]));
    assert!(text.contains("nothing answers at http://127.0.0.1:9\n"), "{text}");
    assert!(text.contains("offline") && text.contains("AWS_REGION"), "{text}");
    assert!(!bed.certs().exists());
}

#[test]
fn without_a_region_nothing_is_asked() {
    let bed = Bed::new("eu-west-1");
    let mut environment = bed.environment();
    environment.push(("AWS_DEFAULT_REGION".to_owned(), String::new()));
    let nowhere = Cli { environment, ..Cli::new(quick_aws().to_owned()) };
    let error = bed.session_with(nowhere, |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("AWS_REGION=eu-west-1"), "{error}");
    assert_eq!(bed.seen(), [""; 0]);
}

#[test]
fn names_that_are_none_are_refused() {
    let bed = Bed::new("eu-west-1");
    for name in ["local", "../x", "", OPERATOR] {
        assert!(bed.provision(name, &Topics::default()).is_err(), "{name:?}");
    }
    assert!(bed.seen().iter().all(|operation| operation == "get-caller-identity"));
}

fn fleet(bed: &Bed, list: &str) -> Fleet {
    let file = bed.folder.path().join("things.csv");
    std::fs::write(&file, list).unwrap();
    Fleet::read(&file).unwrap()
}

#[test]
fn a_name_that_other_services_misread_is_warned_of() {
    let bed = Bed::new("af-south-1");
    bed.provision("hall:lamp", &Topics::default()).unwrap();
    assert!(bed.said().contains("AWS advises against the colon in hall:lamp"));
    bed.provision("hall:lamp", &Topics::default()).unwrap();
    assert!(!bed.said().contains("colon"));
}

#[test]
fn a_fleet_stops_goes_on_and_reports() {
    let bed = Bed::new("ap-southeast-2");
    let fleet = fleet(&bed, "serial,thing\n1,a\n2,b\n3,c\n");
    let run = || {
        let told = RefCell::new(Vec::new());
        let outcome = bed.session(|session| {
            fleet.provision(session, &|_| Ok(Topics::default()), &|thing, outcome| {
                told.borrow_mut().push(format!("{thing} {outcome}"));
            })
        });
        (outcome, told.into_inner())
    };
    let report = || std::fs::read_to_string(fleet.report()).unwrap();

    // The second thing's certificate is made, but nobody hears of it, and others were made since.
    bed.provision("a", &Topics::default()).unwrap();
    bed.fault("create-certificate-from-csr", Fault::AnswerLost, 1);
    let page = r#"{"certificates":[{"certificateArn":"arn:aws:iot:r:1:cert/x","creationDate":9999999999,
        "certificateId":"0123456789012345678901234567890123456789012345678901234567890123"}],"nextMarker":"x"}"#;
    bed.fault("list-certificates", Fault::Answer(page), 1);
    let (outcome, told) = run();
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains("stopped at b; 1 of 3 are complete"), "{error}");
    assert_eq!(told, ["a complete", "b failed"]);
    let text = report();
    assert!(text.starts_with("serial,thing,outcome,certificate,endpoint,account,region,error\n"));
    assert!(text.contains("\n3,c,waiting,"), "{text}");

    let (outcome, told) = run();
    outcome.unwrap();
    assert_eq!(told, ["a complete", "b provisioned", "c provisioned"]);
    let account = bed.account();
    assert_eq!(account.things, ["a", "b", "c"]);
    assert_eq!((account.certificates.len(), account.policies.len()), (3, 1));
    let certificate = bed.journal("b").unwrap().certificate.unwrap().id;
    assert!(report().contains(&format!("\n2,b,provisioned,{certificate},")), "{}", report());

    // What is complete costs no call but the two that open the session.
    bed.seen();
    run().0.unwrap();
    assert_eq!(bed.seen(), ["get-caller-identity"]);
}

#[test]
fn a_fleets_old_policy_goes_once_at_the_end() {
    let bed = Bed::new("us-gov-west-1");
    let fleet = fleet(&bed, "thing\na\nb\n");
    let provision = |topics: &Topics, retire: bool| {
        bed.session(|session| {
            session.end_old_topics = retire;
            let outcomes = fleet.provision(session, &|_| Ok(topics.clone()), &|_, _| ())?;
            Ok((outcomes, fleet.with_old_topics(session)))
        })
    };
    let asked = |seen: &[String]| {
        let asked = |operation: &str| seen.iter().filter(|call| *call == operation).count();
        (asked("list-targets-for-policy"), asked("delete-policy"))
    };
    let one = Topics::default();
    provision(&one, false).unwrap();
    let policies = bed.account().policies;
    as_before_updates(&bed, &["a", "b"]);
    // Stopped on the way, it is not forgotten.
    bed.fault("detach-policy", Fault::AnswerLost, 1);
    provision(&one, false).unwrap_err();
    bed.fault("list-targets-for-policy", Fault::Lost, 1);
    provision(&one, false).unwrap_err();
    bed.seen();
    provision(&one, false).unwrap();
    assert_eq!(asked(&bed.seen()), (1, 1));
    assert_eq!(bed.account().policies, policies);
    for thing in ["a", "b"] {
        assert_eq!(bed.journal(thing).unwrap().old_policies.len(), 0, "{thing}");
    }
    provision(&one, false).unwrap();
    assert_eq!(bed.seen(), ["get-caller-identity"]);

    // Of other topics it stays, until a person says or a device has proved that it has the new ones.
    let two = own_topics("x");
    assert_eq!(provision(&two, false).unwrap().1, 2);
    ThingFolder::new(&bed.certs(), "a").unwrap().note_proved(&two).unwrap();
    bed.seen();
    let (outcomes, old_topics) = provision(&two, false).unwrap();
    assert_eq!(outcomes, [Outcome::Provisioned, Outcome::Complete]);
    assert_eq!((old_topics, asked(&bed.seen())), (1, (1, 0)));
    assert_eq!(provision(&two, true).unwrap().1, 0);
    assert_eq!(asked(&bed.seen()), (1, 1));
    assert_eq!(bed.account().policies.len(), 1);
}

/// With a fleet's size grows what one thing costs, if all journals are read and the whole report is
/// written for each.
#[test]
fn the_report_is_written_now_and_then() {
    let bed = Bed::new("cn-north-1");
    bed.provision("t0", &Topics::default()).unwrap();
    let notes = std::fs::read_to_string(bed.file("t0", "thing.json")).unwrap();
    let mut lines = "thing\nt0\n".to_owned();
    for index in 1..100 {
        let thing = format!("t{index}");
        lines += &format!("{thing}\n");
        std::fs::create_dir(bed.certs().join(&thing)).unwrap();
        for file in ["device.key", "device.pem"] {
            std::fs::copy(bed.file("t0", file), bed.file(&thing, file)).unwrap();
        }
        let notes = notes.replace("\"t0\"", &format!("{thing:?}"));
        std::fs::write(bed.file(&thing, "thing.json"), notes).unwrap();
    }
    let fleet = fleet(&bed, &lines);
    let (mut versions, begun) = (RefCell::new(Vec::new()), Instant::now());
    let outcomes = bed.session(|session| {
        fleet.provision(session, &|_| Ok(Topics::default()), &|thing, _| {
            // It is not looked at again.
            std::fs::remove_file(bed.file(thing, "thing.json")).unwrap();
            let modified = std::fs::metadata(fleet.report()).unwrap().modified().unwrap();
            versions.borrow_mut().push(modified);
        })
    });
    assert!(outcomes.unwrap().iter().all(|outcome| *outcome == Outcome::Complete));
    versions.get_mut().dedup();
    let written = versions.get_mut().len();
    assert!(written as u64 <= 2 + begun.elapsed().as_secs(), "{written} times");
    let report = std::fs::read_to_string(fleet.report()).unwrap();
    assert_eq!(report.matches(",complete,").count(), 100);
    assert_eq!(report.matches(".amazonaws.com").count(), 100);
}

#[test]
fn one_things_fault_does_not_stop_a_fleet() {
    let bed = Bed::new("me-central-1");
    std::fs::create_dir_all(bed.certs().join("a")).unwrap();
    std::fs::write(bed.file("a", "device.key"), "no key").unwrap();
    let fleet = fleet(&bed, "thing\na\nb\n");
    let outcomes = bed
        .session(|session| fleet.provision(session, &|_| Ok(Topics::default()), &|_, _| ()))
        .unwrap();
    assert!(matches!(&outcomes[0], Outcome::Failed(why) if why.contains("P-256")), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Provisioned);
}

/// Sees a device or does not, as the test wants.
struct Prophet {
    sees: bool,
    asked: Vec<String>,
}

impl Witness for Prophet {
    fn advice(&self, _: &str) -> String {
        String::new()
    }

    fn sees(&mut self, _: &str, certificate: &Certificate, _: Duration) -> anyhow::Result<bool> {
        self.asked.push(certificate.id.clone());
        Ok(self.sees)
    }
}

/// Rotates; returns what came of it and which certificate the identity was written with.
fn rotate(bed: &Bed, prophet: &mut Prophet) -> (anyhow::Result<Journal>, Vec<String>) {
    let written = RefCell::new(Vec::new());
    let write_identity = |journal: &Journal| {
        written.borrow_mut().push(journal.certificate.clone().unwrap().id);
        Ok(())
    };
    let outcome = bed.session(|session| {
        let limit = Duration::from_secs(1);
        let mut rotation = Rotation { write_identity: &write_identity, witness: prophet, limit };
        session.rotate("demo", &Topics::default(), &mut rotation)
    });
    (outcome, written.into_inner())
}

#[test]
fn the_old_certificate_goes_only_when_the_device_was_seen_with_the_new() {
    let bed = Bed::new("sa-east-1");
    let old = bed.provision("demo", &Topics::default()).unwrap().certificate.unwrap().id;
    let old_key = std::fs::read(bed.file("demo", "device.key")).unwrap();
    let mut prophet = Prophet { sees: false, asked: Vec::new() };
    let (outcome, written) = rotate(&bed, &mut prophet);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("was not seen") && error.contains("stays valid"), "{error}");
    let journal = bed.journal("demo").unwrap();
    let new = journal.certificate.clone().unwrap().id;
    assert_ne!(new, old);
    assert_eq!((&prophet.asked[..], &written[..]), (&[new.clone()][..], &[new.clone()][..]));
    assert_eq!(bed.account().certificates.len(), 2);
    assert_eq!(std::fs::read(bed.file("demo", "device.old.key")).unwrap(), old_key);
    assert_ne!(std::fs::read(bed.file("demo", "device.key")).unwrap(), old_key);

    prophet.sees = true;
    let (outcome, _) = rotate(&bed, &mut prophet);
    let journal = outcome.unwrap();
    assert_eq!(journal.certificate.unwrap().id, new);
    assert_eq!(journal.retiring, None);
    let account = bed.account();
    assert_eq!(account.certificates, [new]);
    assert_eq!(account.policies, [journal.policy.unwrap()]);
    assert!(!bed.file("demo", "device.old.key").exists());
    bed.deprovision("demo").unwrap();
    assert_eq!(bed.account(), Account::default());
}

#[test]
fn a_rotation_goes_on_after_a_fault_at_any_change() {
    let bed = Bed::new("ap-east-1");
    bed.provision("demo", &Topics::default()).unwrap();
    for operation in [
        "create-certificate-from-csr",
        "attach-policy",
        "attach-thing-principal",
        "detach-thing-principal",
        "detach-policy",
        "update-certificate",
        "delete-certificate",
    ] {
        let old = bed.journal("demo").unwrap().certificate.unwrap().id;
        let mut prophet = Prophet { sees: true, asked: Vec::new() };
        bed.fault(operation, Fault::AnswerLost, 1);
        rotate(&bed, &mut prophet).0.unwrap_err();
        // A device in the field connects once in months: who has seen it does not wait for it again.
        prophet.sees = prophet.asked.is_empty();
        let journal = rotate(&bed, &mut prophet).0.unwrap();
        let new = journal.certificate.unwrap().id;
        assert_ne!(new, old, "{operation}");
        let account = bed.account();
        assert_eq!(account.certificates, [new], "{operation}");
        assert_eq!(account.policies.len(), 1, "{operation}");
        assert!(!bed.file("demo", "device.old.key").exists());
    }
}

/// A cloud in a folder, and who looks there for `demo`, how, and with which certificate.
fn looking() -> (TempDir, LocalCloud, ClientOptions, PresenceEvents, Certificate) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::below(folder.path(), "demo");
    let cloud = LocalCloud::start(&settings, &folder.path().join("cloud")).unwrap();
    let options = operator_options(&cloud.pki, cloud.broker.operator_port());
    let mut events = PresenceEvents::new(options.clone());
    events.prepare("demo").unwrap();
    let new = Certificate { id: "new".to_owned(), arn: "arn:cert/new".to_owned() };
    (folder, cloud, options, events, new)
}

/// AWS tells that `demo` has connected with this certificate.
fn tell(aws: &mut MqttClient, certificate: &str, retain: bool) {
    let event = format!(
        r#"{{"clientId":"demo","timestamp":1,"eventType":"connected","principalIdentifier":"{certificate}"}}"#
    );
    aws.publish("$aws/events/presence/connected/demo", event.as_bytes(), retain).unwrap();
}

#[test]
fn presence_events_tell_which_certificate_a_device_has() {
    let (_folder, cloud, _, mut events, new) = looking();
    let mut aws = cloud.operator().unwrap();
    tell(&mut aws, "old", false);
    assert!(!events.sees("demo", &new, Duration::from_millis(500)).unwrap());
    tell(&mut aws, "old", false);
    tell(&mut aws, "new", false);
    assert!(events.sees("demo", &new, Duration::from_secs(5)).unwrap());
}

/// A laptop's network that blinks once in ten minutes ends nobody's rotation.
#[test]
fn who_looks_for_a_device_comes_back() {
    let (_folder, mut cloud, options, mut events, new) = looking();
    let mut aws = cloud.operator().unwrap();
    // The broker ends the older of two connections of one client.
    drop(MqttClient::connect(&options).unwrap());
    tell(&mut aws, "new", true);
    assert!(events.sees("demo", &new, Duration::from_secs(20)).unwrap());
    // One that does not come back is told, with what is to be done.
    cloud.broker.stop().unwrap();
    let error = format!("{:#}", events.sees("demo", &new, Duration::from_millis(500)).unwrap_err());
    assert!(error.contains("is lost") && error.contains("same command again"), "{error}");
}

/// Whoever rotates has a client of its own: two people, or two terminals, do not end each other.
#[test]
fn the_operator_may_look_for_any_thing_at_once() {
    let bed = Bed::new("us-gov-east-1");
    let operator =
        || bed.session(|session| Ok(session.operator()?.client_id().to_owned())).unwrap();
    let first = operator();
    let policies = bed.account().policies;
    bed.seen();
    let second = operator();
    assert!(first != second && first.starts_with(&format!("{OPERATOR}-")), "{first} {second}");
    assert_eq!(changes(&bed.seen()), [""; 0]);
    assert_eq!(bed.account().policies, policies);
    // What one before this one had goes.
    as_before_updates(&bed, &[OPERATOR]);
    operator();
    assert_eq!(bed.account().policies, policies);
}

/// The program itself, with the AWS CLI found on PATH.
fn thing(bed: &Bed, arguments: &[&str]) -> Command {
    bed.thing(Path::new(env!("CARGO_BIN_EXE_thing")), arguments)
}

/// What it says when it succeeds, which it must.
#[track_caller]
fn succeeds(bed: &Bed, arguments: &[&str]) -> String {
    let output = thing(bed, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A profile with an MFA device: the AWS CLI asks for its code at the terminal, as Python's getpass
/// does, which only a program in the foreground may.
#[test]
fn the_aws_cli_may_ask_for_a_code() {
    let bed = Bed::new("eu-west-1");
    let folder = bed.folder.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let asking = format!(
        "#!/bin/sh\nset -e\ncase $* in *get-caller-identity*)\n\
         stty -echo </dev/tty; printf 'MFA code: ' >/dev/tty; read code </dev/tty\n\
         stty echo </dev/tty; test \"$code\" = 654321\nesac\nexec '{}' \"$@\"\n",
        quick_aws().display()
    );
    files::write_program(&folder.join("aws"), &asking).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(folder).chain(std::env::split_paths(&path));
    let mut command = Command::new("script");
    command.args(["-qefc", concat!(env!("CARGO_BIN_EXE_thing"), " deprovision"), "/dev/null"]);
    command.env("PATH", std::env::join_paths(path).unwrap()).envs(bed.environment());
    command.env("AWS_REGION", "eu-west-1").env("THING", "demo").env_remove("AWS_PROFILE");
    command.current_dir(bed.folder.path()).stdin(Stdio::piped());
    let mut terminal = Owned::spawn(command.stdout(Stdio::piped())).unwrap();
    let mut screen = terminal.child().stdout.take().unwrap();
    let mut keyboard = terminal.child().stdin.take().unwrap();
    let mut shown = String::new();
    let mut read = |until: &str| {
        let mut some = [0; 256];
        while !shown.contains(until) {
            let count = screen.read(&mut some).unwrap();
            assert_ne!(count, 0, "{shown}");
            shown.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        shown.clone()
    };
    read("MFA code: ");
    keyboard.write_all(b"654321\n").unwrap();
    let shown = read("nothing to remove");
    assert!(!shown.contains("654321"), "{shown}");
    assert!(terminal.wait(Duration::from_secs(20)).unwrap().unwrap().success());
}

#[test]
fn the_program_can_be_killed_and_goes_on() {
    let bed = Bed::new("ap-southeast-1");
    for operation in ["create-certificate-from-csr", "attach-policy"] {
        let process = Arc::new(Mutex::new(None));
        bed.fault(operation, Fault::KillAfter(Arc::clone(&process)), 1);
        // Held until the process is known: the proxy asks for it.
        let mut known = process.lock().unwrap();
        let child = thing(&bed, &["provision"]).spawn().unwrap();
        *known = Some(child.id());
        drop(known);
        assert!(!child.wait_with_output().unwrap().status.success());
        assert_eq!(bed.account().certificates.len(), 1);
    }
    let text = succeeds(&bed, &["provision"]);
    assert!(
        text.contains("AWS account  123456789012\n") && text.contains("demo is complete"),
        "{text}"
    );
    assert_eq!(bed.account().certificates.len(), 1);

    let list = bed.folder.path().join("things.csv");
    std::fs::write(&list, "thing\ndemo\n").unwrap();
    let list = list.to_str().unwrap();
    let text = succeeds(&bed, &["provision-fleet", "--file", list]);
    assert!(text.contains("0 provisioned, 1 complete before, 0 failed"), "{text}");

    succeeds(&bed, &["deprovision"]);
    assert_eq!(bed.account(), Account::default());
}
