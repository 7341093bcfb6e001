//! What a thing may do on AWS.
//!
//! Four statements, one for each thing that MQTT needs, and no action with a wildcard:
//!
//! | Action | Resource | Why |
//! | --- | --- | --- |
//! | `iot:Connect` | `client/${iot:Connection.Thing.ThingName}`, while the certificate is attached to that thing | a stolen certificate cannot take the place of another device: two clients with one id push each other out |
//! | `iot:Publish` | `topic/<status topic>` | the status, and the last will, which AWS checks as a publish when the device connects |
//! | | `topic/` and, below the thing's own `$aws/things/…/`, `jobs/start-next`, `jobs/$next/get`, `jobs/*/update`, `streams/*/get/cbor` | updates: to begin a job, to name one that cannot be begun, to say how it goes, to ask for blocks |
//! | `iot:Subscribe` | `topicfilter/<control topic>`, and below the same `jobs/*`, `streams/*` | the subscriptions |
//! | `iot:Receive` | `topic/<control topic>`, and the same two | the delivery: unlike the above it is checked for each message, so that a change of policy also ends old subscriptions |
//!
//! The wildcards stand for ids of jobs and streams, which nobody knows beforehand. The variable in front
//! of them is who asks and who is answered, and only AWS publishes there. Of a job AWS looks whether it
//! is that thing's; of a stream it does not, so that a thing reads each stream whose id it knows. A
//! pattern that binds streams to things (`streams/*-${iot:Connection.Thing.ThingName}/…`) would shut out
//! streams of others' naming and things whose names no stream's id can hold (a colon, 128 characters).
//! So the id of a stream that brings a private key is a secret (`updates::Order::stream`).
//!
//! What the settings name besides for the application is added to the last three; a `*` is there where
//! a filter has `+` or `#`.
//!
//! Where a level of a topic is the thing's own name, the policy has the variable instead.
//! Such a policy is the same for a whole fleet. Its name holds a hash of its content, so that
//! one name never means two things and an existing policy is never changed under another
//! device: other topics make another policy. The certificate has both of them until the device was
//! seen with the new topics: AWS checks the last will of the old ones when it connects.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use cloud::presence;
use serde_json::{Value, json};
use things::topics::{self, Topics, UPDATE_ANSWERS, UPDATE_REQUESTS};

/// The names of all policies made here begin so.
pub(super) const PREFIX: &str = "esp8266-thing-";

/// AWS puts the name of the connected thing here.
const THING: &str = "${iot:Connection.Thing.ThingName}";

/// A policy: its name and its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Name in the account.
    pub name: String,
    /// JSON.
    pub document: String,
}

impl Policy {
    /// The policy for `thing` with these topics. `scope` is the beginning of all ARNs:
    /// `arn:aws:iot:REGION:ACCOUNT`.
    ///
    /// # Errors
    /// When a topic would mean something else in a policy than in MQTT.
    pub fn new(scope: &str, thing: &str, topics: &Topics) -> Result<Self> {
        let status = own_in_policy(&topics.status, thing)?;
        let control = own_in_policy(&topics.control, thing)?;
        let besides = |topics: &[String], check: Check| -> Result<Vec<String>> {
            topics.iter().map(|topic| in_policy(topic, thing, check)).collect()
        };
        let publish = besides(&topics.publish, topics::check_published)?;
        let subscribe = besides(&topics.subscribe, topics::check_subscribed)?;
        let allow =
            |action: &str, kind: &str, own: &str, besides: &[String], of_updates: &[&str]| {
                // An id is one level of a topic; behind `jobs/` and `streams/` is anything.
                let of_updates = of_updates
                    .iter()
                    .map(|path| format!("$aws/things/{THING}/{}", wildcards(path)));
                let own = std::iter::once(own.to_owned()).chain(besides.iter().cloned());
                let resources: Vec<String> =
                    own.chain(of_updates).map(|topic| format!("{scope}:{kind}/{topic}")).collect();
                json!({"Effect": "Allow", "Action": action, "Resource": resources})
            };
        let mut connect = allow("iot:Connect", "client", THING, &[], &[]);
        connect["Condition"] = json!({"Bool": {"iot:Connection.Thing.IsAttached": "true"}});
        let document = json!({
            "Version": "2012-10-17",
            "Statement": [
                connect,
                allow("iot:Publish", "topic", &status, &publish, &UPDATE_REQUESTS),
                allow("iot:Subscribe", "topicfilter", &control, &subscribe, &UPDATE_ANSWERS),
                allow("iot:Receive", "topic", &control, &subscribe, &UPDATE_ANSWERS),
            ]
        });
        // Length of AWS's limit for a policy document, without white space.
        let policy = Self::named_by_content(&document);
        if policy.document.len() > 2048 {
            bail!("the topics are too long: AWS takes policies of 2048 characters");
        }
        Ok(policy)
    }

    /// The policy of this program's own client: it may connect by names that begin with `name`, as often
    /// at once as there are people who look, and hear when any thing connects.
    #[must_use]
    pub fn operator(scope: &str, name: &str) -> Self {
        let event = presence::topic("*");
        let allow = |action: &str, resource: &str| json!({"Effect": "Allow", "Action": action, "Resource": [format!("{scope}:{resource}")]});
        Self::named_by_content(&json!({
            "Version": "2012-10-17",
            "Statement": [
                allow("iot:Connect", &format!("client/{name}-*")),
                allow("iot:Subscribe", &format!("topicfilter/{event}")),
                allow("iot:Receive", &format!("topic/{event}")),
            ]
        }))
    }

    fn named_by_content(document: &Value) -> Self {
        let document = document.to_string();
        let hash = ring::digest::digest(&ring::digest::SHA256, document.as_bytes());
        Self { name: format!("{PREFIX}{}", hex::encode(&hash.as_ref()[..6])), document }
    }

    /// Whether this policy allows all that `document` allows, as far as that can be told: a policy of
    /// ours has only lists of what is allowed.
    #[must_use]
    pub fn allows_all_of(&self, document: &str) -> bool {
        match (grants(&self.document), grants(document)) {
            (Some(own), Some(others)) => others.is_subset(&own),
            _ => false,
        }
    }

    /// Whether `document`, as AWS gives it back, says the same.
    #[must_use]
    pub fn says_the_same_as(&self, document: &str) -> bool {
        let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
        parse(document).is_some_and(|other| Some(other) == parse(&self.document))
    }
}

/// What a policy document of ours allows: action, resource and condition. `None` when there is
/// anything else in it.
fn grants(document: &str) -> Option<BTreeSet<(String, String, String)>> {
    let document: Value = serde_json::from_str(document).ok()?;
    let mut grants = BTreeSet::new();
    for statement in document["Statement"].as_array()? {
        let known = ["Effect", "Action", "Resource", "Condition"];
        let plain = statement.as_object()?.keys().all(|key| known.contains(&key.as_str()));
        if !plain || statement["Effect"] != "Allow" {
            return None;
        }
        let (action, condition) =
            (statement["Action"].as_str()?, statement["Condition"].to_string());
        for resource in statement["Resource"].as_array()? {
            grants.insert((action.to_owned(), resource.as_str()?.to_owned(), condition.clone()));
        }
    }
    Some(grants)
}

/// What is wrong with a topic or filter of a thing.
type Check = fn(&str, &str) -> Result<(), &'static str>;

/// A topic of the firmware's own as a policy names it: none of AWS's.
fn own_in_policy(topic: &str, thing: &str) -> Result<String> {
    if topic.contains('$') {
        bail!("topic \"{topic}\": with a $ it would be one of AWS's own; choose another topic");
    }
    in_policy(topic, thing, topics::check_published)
}

/// A topic or filter as a policy names it.
fn in_policy(topic: &str, thing: &str, check: Check) -> Result<String> {
    if let Err(flaw) = check(topic, thing) {
        bail!("topic \"{topic}\" {flaw}");
    }
    Ok(wildcards(&with_variable(topic, thing)))
}

/// With AWS's variable where a level is the thing's name.
fn with_variable(topic: &str, thing: &str) -> String {
    let levels: Vec<&str> =
        topic.split('/').map(|level| if level == thing { THING } else { level }).collect();
    levels.join("/")
}

/// MQTT's wildcards as those of a policy.
fn wildcards(filter: &str) -> String {
    filter.replace(['+', '#'], "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: &str = "arn:aws:iot:eu-west-1:123456789012";

    fn topics(status: &str, control: &str) -> Topics {
        Topics::new(status, control)
    }

    #[test]
    fn exactly_four_actions_on_what_is_the_things_own() {
        let policy =
            Policy::new(SCOPE, "demo", &topics("esp8266/status", "esp8266/control")).unwrap();
        let document: Value = serde_json::from_str(&policy.document).unwrap();
        let mut allowed = Vec::new();
        for statement in document["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap() {
                let resource = resource.as_str().unwrap().strip_prefix(SCOPE).unwrap();
                allowed.push((statement["Action"].as_str().unwrap(), resource));
            }
        }
        assert_eq!(
            allowed,
            [
                ("iot:Connect", ":client/${iot:Connection.Thing.ThingName}"),
                ("iot:Publish", ":topic/esp8266/status"),
                (
                    "iot:Publish",
                    ":topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/start-next"
                ),
                (
                    "iot:Publish",
                    ":topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/$next/get"
                ),
                (
                    "iot:Publish",
                    ":topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*/update"
                ),
                (
                    "iot:Publish",
                    ":topic/$aws/things/${iot:Connection.Thing.ThingName}/streams/*/get/cbor"
                ),
                ("iot:Subscribe", ":topicfilter/esp8266/control"),
                (
                    "iot:Subscribe",
                    ":topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"
                ),
                (
                    "iot:Subscribe",
                    ":topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/streams/*"
                ),
                ("iot:Receive", ":topic/esp8266/control"),
                ("iot:Receive", ":topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*"),
                ("iot:Receive", ":topic/$aws/things/${iot:Connection.Thing.ThingName}/streams/*"),
            ]
        );
        assert_eq!(
            document["Statement"][0]["Condition"]["Bool"]["iot:Connection.Thing.IsAttached"],
            "true"
        );
        // Each wildcard stands behind the thing's own name.
        for (at, _) in policy.document.match_indices('*') {
            let before = &policy.document[..at];
            let start = before.rfind('"').unwrap();
            assert!(before[start..].contains("$aws/things/${iot:Connection.Thing.ThingName}/"));
        }
    }

    #[test]
    fn a_fleet_shares_the_policy_of_its_pattern() {
        let one = Policy::new(SCOPE, "one", &topics("x/one/status", "x/one/control")).unwrap();
        let two = Policy::new(SCOPE, "two", &topics("x/two/status", "x/two/control")).unwrap();
        assert_eq!(one, two);
        assert!(one.document.contains("topic/x/${iot:Connection.Thing.ThingName}/status"));
        // A part of a level is not the name.
        let other = Policy::new(SCOPE, "one", &topics("x/one2/status", "x/one/control")).unwrap();
        assert_ne!(one, other);
        assert_ne!(one.name, other.name);
    }

    #[test]
    fn an_application_may_do_what_is_named_and_no_more() {
        let plain = topics("s", "c");
        let mut own = plain.clone();
        own.publish = vec!["lamp/heat".into(), "$aws/things/lamp/shadow/update".into()];
        own.subscribe = vec!["house/+/light".into(), "$aws/things/lamp/shadow/update/#".into()];
        let [plain, own] = [plain, own].map(|it| Policy::new(SCOPE, "lamp", &it).unwrap());
        let (plain_grants, grants) = (grants(&plain.document), grants(&own.document));
        let more: Vec<(String, String)> = grants
            .unwrap()
            .difference(&plain_grants.unwrap())
            .map(|(action, resource, _)| (action.clone(), resource[SCOPE.len()..].to_owned()))
            .collect();
        let of = |action: &str, resource: String| (format!("iot:{action}"), resource);
        assert_eq!(
            more,
            [
                of("Publish", format!(":topic/$aws/things/{THING}/shadow/update")),
                of("Publish", format!(":topic/{THING}/heat")),
                of("Receive", format!(":topic/$aws/things/{THING}/shadow/update/*")),
                of("Receive", ":topic/house/*/light".into()),
                of("Subscribe", format!(":topicfilter/$aws/things/{THING}/shadow/update/*")),
                of("Subscribe", ":topicfilter/house/*/light".into()),
            ]
        );
        assert!(own.allows_all_of(&plain.document) && !plain.allows_all_of(&own.document));
        for bad in ["a*", "$aws/things/bulb/shadow/update", "a#", "a/+", ""] {
            let mut topics = topics("s", "c");
            topics.publish.push(bad.to_owned());
            assert!(Policy::new(SCOPE, "lamp", &topics).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn topics_that_would_allow_more_are_refused() {
        for bad in ["a/*", "a?", "${iot:ClientId}", "a/+", "#", "", "a/b/c/d/e/f/g/h/i", "a\n"] {
            assert!(Policy::new(SCOPE, "demo", &topics(bad, "c")).is_err(), "{bad:?}");
            assert!(Policy::new(SCOPE, "demo", &topics("s", bad)).is_err(), "{bad:?}");
        }
        assert!(Policy::new(SCOPE, "demo", &topics(&"x".repeat(257), "c")).is_err());
    }

    #[test]
    fn only_what_allows_no_more_is_covered() {
        let policy = Policy::new(SCOPE, "demo", &topics("s", "c")).unwrap();
        assert!(policy.allows_all_of(&policy.document));
        // As before there were updates.
        let mut older: Value = serde_json::from_str(&policy.document).unwrap();
        for statement in older["Statement"].as_array_mut().unwrap() {
            statement["Resource"].as_array_mut().unwrap().truncate(1);
        }
        assert!(policy.allows_all_of(&older.to_string()));
        for (status, control) in [("s2", "c"), ("s", "c2"), ("c", "s")] {
            let other = Policy::new(SCOPE, "demo", &topics(status, control)).unwrap();
            assert!(!policy.allows_all_of(&other.document), "{status} {control}");
        }
        let document = |from: &str, to: &str| policy.document.replacen(from, to, 1);
        for odd in [
            document("Allow", "Deny"),
            document("\"Action\"", "\"NotAction\""),
            document("IsAttached\":\"true", "IsAttached\":\"false"),
            document("iot:Connect", "iot:*"),
            "{}".to_owned(),
            String::new(),
        ] {
            assert!(!policy.allows_all_of(&odd), "{odd}");
        }
    }

    #[test]
    fn the_operator_hears_and_says_nothing() {
        let document: Value =
            serde_json::from_str(&Policy::operator(SCOPE, "op").document).unwrap();
        let statements = document["Statement"].as_array().unwrap();
        let allowed: Vec<(&str, &str)> = statements
            .iter()
            .map(|it| (it["Action"].as_str().unwrap(), it["Resource"][0].as_str().unwrap()))
            .map(|(action, resource)| (action, resource.strip_prefix(SCOPE).unwrap()))
            .collect();
        assert_eq!(
            allowed,
            [
                ("iot:Connect", ":client/op-*"),
                ("iot:Subscribe", ":topicfilter/$aws/events/presence/connected/*"),
                ("iot:Receive", ":topic/$aws/events/presence/connected/*"),
            ]
        );
    }

    #[test]
    fn documents_are_compared_by_meaning() {
        let policy = Policy::new(SCOPE, "demo", &topics("s", "c")).unwrap();
        let pretty: Value = serde_json::from_str(&policy.document).unwrap();
        assert!(policy.says_the_same_as(&serde_json::to_string_pretty(&pretty).unwrap()));
        assert!(!policy.says_the_same_as(&policy.document.replace("Connect", "Publish")));
        assert!(!policy.says_the_same_as("{"));
    }
}
