//! What an account needs once, before the first update: a store, a role by which AWS IoT reads it,
//! and the permissions of whoever orders updates. None of it is made here: it is shown.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::account::Place;
use crate::order::Order;
use crate::plan::Unprepared;

fn allow(actions: &[&str], resources: &[String]) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn policy(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Who may take the role: AWS IoT, for this account.
fn trust(place: &Place) -> Value {
    policy(&[json!({
        "Effect": "Allow",
        "Principal": { "Service": "iot.amazonaws.com" },
        "Action": "sts:AssumeRole",
        "Condition": { "StringEquals": { "aws:SourceAccount": place.account } },
    })])
}

fn objects(place: &Place, bucket: &str) -> String {
    format!("arn:{}:s3:::{bucket}/updates/*", place.partition)
}

/// What is allowed with a store, as long as it is this account's own: a name alone says no account.
fn allow_in_own_store(place: &Place, actions: &[&str], resource: String) -> Value {
    let mut statement = allow(actions, &[resource]);
    statement["Condition"] = json!({ "StringEquals": { "aws:ResourceAccount": place.account } });
    statement
}

/// What the role may: read images.
fn reading(place: &Place, bucket: &str) -> Value {
    let actions = ["s3:GetObject", "s3:GetObjectVersion"];
    policy(&[allow_in_own_store(place, &actions, objects(place, bucket))])
}

/// The command that lets a role read a store. The policy has the store's name: one of the same name is
/// replaced, and with it the right to read another store.
fn let_role_read(place: &Place, bucket: &str, role: &str) -> String {
    format!(
        "aws iam put-role-policy --role-name {role} --policy-name read-{bucket} --policy-document '{}'",
        reading(place, bucket)
    )
}

/// What to do when a stream is refused, which is made for the role: AWS has one answer for who may not
/// make it, and for a role that may not read.
pub(crate) fn stream_remedy(place: &Place, order: &Order) -> String {
    let Order { bucket, role, .. } = order;
    format!(
        "either you lack a permission, or the role {role} may not read the store {bucket} (then whoever \
         administers the account runs `{}`)",
        let_role_read(place, bucket, role)
    )
}

/// What whoever orders updates may: the policy, as JSON in lines. `role` is the role's ARN.
#[must_use]
pub fn operator_policy(place: &Place, bucket: &str, role: &str) -> String {
    let arn = |kind: &str| place.arn(kind, "*");
    let mut pass = allow(&["iam:PassRole"], &[role.to_owned()]);
    pass["Condition"] = json!({ "StringEquals": { "iam:PassedToService": "iot.amazonaws.com" } });
    let document = policy(&[
        allow(
            &[
                "iot:CreateJob",
                "iot:DescribeJob",
                "iot:CancelJob",
                "iot:DeleteJob",
                "iot:ListJobExecutionsForJob",
                "iot:DescribeJobExecution",
            ],
            &[arn("job"), arn("thing"), arn("thinggroup")],
        ),
        allow(&["iot:DescribeThing", "iot:DescribeThingGroup"], &[arn("thing"), arn("thinggroup")]),
        allow(&["iot:CreateStream", "iot:DescribeStream", "iot:DeleteStream"], &[arn("stream")]),
        allow_in_own_store(
            place,
            &["s3:ListBucket"],
            format!("arn:{}:s3:::{bucket}", place.partition),
        ),
        allow_in_own_store(
            place,
            &["s3:PutObject", "s3:GetObject", "s3:DeleteObject"],
            objects(place, bucket),
        ),
        allow(&["iam:GetRole"], &[role.to_owned()]),
        pass,
    ]);
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// What to do about what is missing: the commands for the account's administrator.
pub(crate) fn remedy(place: &Place, order: &Order, missing: Unprepared) -> String {
    let Order { bucket, role, .. } = order;
    let mut text = format!(
        "account {} is not prepared for updates in {}. Once, whoever administers it runs:\n",
        place.account, place.region
    );
    if missing.bucket {
        // The oldest region takes no name for itself.
        let at = match place.region.as_str() {
            "us-east-1" => String::new(),
            region => format!(" --create-bucket-configuration LocationConstraint={region}"),
        };
        let _ = write!(
            text,
            "\n  # the store for images\n  aws s3api create-bucket --region {} --bucket {bucket}{at}\n",
            place.region
        );
    }
    if missing.role {
        let _ = write!(
            text,
            "\n  # the role by which AWS IoT reads them, and nothing else\n  \
             aws iam create-role --role-name {role} --assume-role-policy-document '{}'\n",
            trust(place)
        );
    }
    // Also for a role that is there: one for all regions, it cannot read a store that is new.
    let _ = write!(
        text,
        "\n  # that this role may read this store\n  {}\n",
        let_role_read(place, bucket, role)
    );
    text.push_str(
        "\nthen give the same command again. (Others: BUCKET=… and ROLE=…. What you may do yourself is \
         printed by `make update-policy`.)",
    );
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::order::Targets;
    use crate::order::tests::order;

    pub(crate) fn place() -> Place {
        Place {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            partition: "aws".to_owned(),
            who: "arn:aws:iam::123456789012:user/x".to_owned(),
            local: false,
        }
    }

    /// A role is there for all regions, a store for one.
    #[test]
    fn a_new_store_is_to_be_read_by_the_role_that_is_there() {
        let mut order = order(Targets::Thing("lamp".to_owned()));
        for (bucket, role, commands) in [(true, true, 3), (true, false, 2), (false, true, 2)] {
            let mut names = Vec::new();
            for store in ["a-store", "another"] {
                order.bucket = store.to_owned();
                let told = remedy(&place(), &order, Unprepared { bucket, role });
                let shown = told.lines().filter(|line| line.starts_with("  aws "));
                assert_eq!(shown.count(), commands, "{told}");
                let allows = told.lines().find(|line| line.contains("put-role-policy")).unwrap();
                assert!(allows.contains(&format!("arn:aws:s3:::{store}/updates/*")), "{allows}");
                let name = allows.split_once("--policy-name ").unwrap().1.split(' ').next();
                names.push(name.unwrap().to_owned());
            }
            assert_ne!(names[0], names[1], "one would replace the other");
        }
    }

    #[test]
    fn no_action_is_a_wildcard_and_no_resource_is_all() {
        let policies = [
            operator_policy(&place(), "bucket", &place().role_arn("role")),
            reading(&place(), "bucket").to_string(),
            trust(&place()).to_string(),
        ];
        for policy in policies {
            let policy: Value = serde_json::from_str(&policy).unwrap();
            for statement in policy["Statement"].as_array().unwrap() {
                for action in statement["Action"].as_array().into_iter().flatten() {
                    assert!(!action.as_str().unwrap().contains('*'), "{action}");
                }
                for resource in statement["Resource"].as_array().into_iter().flatten() {
                    let resource = resource.as_str().unwrap();
                    assert!(resource.starts_with("arn:aws:"), "{resource}");
                    let before = resource.strip_suffix('*').unwrap_or(resource);
                    // Kind of the thing, or the store and the folder.
                    assert!(!before.contains('*') && !before.ends_with(':'), "{resource}");
                    // The name of a store says no account.
                    let own = &statement["Condition"]["StringEquals"]["aws:ResourceAccount"];
                    assert_eq!(resource.contains(":s3:"), *own == "123456789012", "{resource}");
                }
            }
        }
    }
}
