//! Which crate may depend on which: the house, floor by floor.
//!
//! A crate may use those of the floors below its own, in its own wing and in those that the wing
//! stands on. What only tests need (dev-dependencies) does not count. Cargo itself refuses circles;
//! this refuses the first step that would climb.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// A part of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wing {
    /// Pure formats and decisions, for chip and host alike.
    Shared,
    /// What runs on the chip.
    Firmware,
    /// Programs of this machine.
    Host,
    /// What tests the others.
    Tests,
}

impl Wing {
    /// Whether crates of this wing may use those of `other`.
    fn stands_on(self, other: Self) -> bool {
        self == other || self == Self::Tests || other == Self::Shared
    }
}

/// Every crate, from the ground up: a floor may use those above it in this list.
const HOUSE: &[(Wing, &[&[&str]])] = &[
    (
        Wing::Shared,
        &[
            &[
                "app-model",
                "clock",
                "dns",
                "gcm",
                "identity",
                "p256-lx106",
                "packets",
                "rsa-lx106",
                "runtime-model",
                "slots",
                "soft-i2c",
                "wpa",
            ],
            &["board-facts", "records", "update"],
        ],
    ),
    (
        Wing::Firmware,
        &[
            &["boot-stage", "lx106", "vendor-sys"],
            &["rtos", "tls"],
            &["mqtt", "net"],
            &["runtime"],
            &["app", "launch"],
            &["esp8266-chip"],
            &[BOARDS, EXAMPLES],
        ],
    ),
    (
        Wing::Host,
        &[
            &["isa", "process"],
            &["certificates", "virtual-nodemcu"],
            &["board", "things"],
            &["cloud"],
            &["checks", "provisioning", "releases"],
            &["updates"],
            &["thing"],
        ],
    ),
    (
        Wing::Tests,
        &[
            &[
                "aws-stand-in",
                "board-tests",
                "boot-tests",
                "crypto-tests",
                "curve-tests",
                "fuzz",
                "pin-tests",
                "target-tests",
            ],
            &["e2e", "fleet-tests"],
            &["features"],
        ],
    ),
];

/// Stands for all boards, each a crate `firmware-NAME`: whoever adds one need not come here.
const BOARDS: &str = "firmware-";

/// Stands for all examples, each a crate `example-NAME`.
const EXAMPLES: &str = "example-";

/// Where the list stands, for those who must change it.
const LIST: &str = "HOUSE in host/checks/src/floors.rs";

/// What `cargo metadata` says of a workspace.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none is an ordinary one.
    kind: Option<String>,
    /// Of crates of this workspace only.
    path: Option<String>,
}

/// Checks what `cargo metadata --no-deps --format-version 1` writes to `metadata`.
///
/// # Errors
/// With each dependency that climbs, each crate without a floor, and each floor's crate that does
/// not exist.
pub fn check(metadata: impl Read) -> Result<()> {
    let metadata: Metadata =
        serde_json::from_reader(metadata).context("this is not what `cargo metadata` writes")?;
    let flaws = flaws(&metadata);
    if flaws.is_empty() {
        return Ok(());
    }
    bail!("the floors do not hold ({LIST}):\n  {}", flaws.join("\n  "));
}

fn flaws(Metadata { packages }: &Metadata) -> Vec<String> {
    let places: HashMap<&str, (Wing, usize)> = HOUSE
        .iter()
        .flat_map(|(wing, floors)| {
            floors.iter().enumerate().flat_map(move |(floor, crates)| {
                crates.iter().map(move |name| (*name, (*wing, floor)))
            })
        })
        .collect();
    let place = |name: &str| {
        let many = [BOARDS, EXAMPLES].into_iter().find(|many| name.starts_with(many));
        places.get(many.unwrap_or(name)).copied()
    };
    let mut flaws = Vec::new();
    for Package { name, dependencies } in packages {
        let Some((wing, floor)) = place(name) else {
            flaws.push(format!("{name} has no floor: give it one in {LIST}"));
            continue;
        };
        let used = dependencies
            .iter()
            .filter(|used| used.path.is_some() && used.kind.as_deref() != Some("dev"));
        for Dependency { name: used, .. } in used {
            // One without a floor is told of by its own name.
            let Some((other, below)) = place(used) else { continue };
            if !wing.stands_on(other) {
                flaws.push(format!(
                    "{name} ({wing:?}) may not use {used}, which is of another wing ({other:?}): \
                     move what both need to a crate of the wing Shared"
                ));
            } else if wing == other && below >= floor {
                flaws.push(format!(
                    "{name} (floor {floor} of {wing:?}) may not use {used} (floor {below}), which \
                     is no lower: move what it needs down, or pass it in"
                ));
            }
        }
    }
    let stands = |name: &str| packages.iter().any(|package| package.name == name);
    for name in places.keys().filter(|name| ![BOARDS, EXAMPLES].contains(name) && !stands(name)) {
        flaws.push(format!("{name} has a floor and does not exist: take it out of {LIST}"));
    }
    flaws.sort();
    flaws
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole house without dependencies, but for those of `name`.
    fn found(name: &str, dependencies: &str) -> Vec<String> {
        let mut packages: Vec<String> = HOUSE
            .iter()
            .flat_map(|(_, floors)| floors.iter().copied().flatten())
            .filter(|other| **other != name)
            .map(|other| format!(r#"{{"name": "{other}", "dependencies": []}}"#))
            .collect();
        packages.push(format!(r#"{{"name": "{name}", "dependencies": [{dependencies}]}}"#));
        let text = format!(r#"{{"packages": [{}]}}"#, packages.join(","));
        flaws(&serde_json::from_str(&text).unwrap())
    }

    fn uses(name: &str, kind: &str) -> String {
        format!(r#"{{"name": "{name}", "kind": {kind}, "path": "/x/{name}"}}"#)
    }

    #[test]
    fn a_step_down_is_allowed_and_a_climb_is_not() {
        assert_eq!(found("cloud", &uses("things", "null")), [""; 0]);
        let flaws = found("things", &uses("cloud", "null"));
        assert_eq!(flaws.len(), 1);
        assert!(flaws[0].contains("things (floor 2 of Host) may not use cloud (floor 3)"));
        // The same floor is no lower, and a build script climbs as well as any.
        assert_eq!(found("board", &uses("things", "null")).len(), 1);
        assert_eq!(found("things", &uses("cloud", "\"build\"")).len(), 1);
        assert_eq!(found("things", &uses("cloud", "\"dev\"")), [""; 0]);
    }

    #[test]
    fn wings_meet_only_in_what_they_share() {
        assert_eq!(found("app", &uses("identity", "null")), [""; 0]);
        assert_eq!(found("things", &uses("identity", "null")), [""; 0]);
        assert_eq!(found("firmware-lamp", &uses("esp8266-chip", "null")), [""; 0]);
        assert_eq!(found("app", &uses("firmware-lamp", "null")).len(), 1);
        assert_eq!(found("example-lamp", &uses("runtime", "null")), [""; 0]);
        assert_eq!(found("runtime", &uses("example-lamp", "null")).len(), 1);
        assert_eq!(found("e2e", &uses("firmware-qemu", "null")), [""; 0]);
        for (name, used) in [("thing", "mqtt"), ("rtos", "process"), ("identity", "rtos")] {
            let flaws = found(name, &uses(used, "null"));
            assert!(flaws.len() == 1 && flaws[0].contains("another wing"), "{flaws:?}");
        }
        assert_eq!(found("cloud", &uses("e2e", "null")).len(), 1);
    }

    #[test]
    fn every_crate_has_a_floor() {
        let flaws = found("newcomer", "");
        assert!(flaws.len() == 1 && flaws[0].starts_with("newcomer has no floor"), "{flaws:?}");
        let flaws = super::flaws(&Metadata { packages: Vec::new() });
        assert!(flaws.iter().any(|flaw| flaw.starts_with("thing has a floor and does not exist")));
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        assert!(check(&b""[..]).is_err());
        let error = check(&br#"{"packages": []}"#[..]).unwrap_err().to_string();
        assert!(error.starts_with("the floors do not hold"), "{error}");
    }
}
