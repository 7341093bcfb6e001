//! What Mosquitto lets pass, or throws away with a yes, and AWS IoT ends the connection for: read from
//! its log.
//!
//! Mosquitto's access list answers PUBLISH at QoS 1 with PUBACK and delivers nothing, grants any
//! subscription, and looks at a last will only when it is due. AWS IoT checks all three against the
//! policy at once, a last will as a message that is published, and takes no topic with more slashes than its
//! quota.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use things::topics::check_filter;

use crate::broker::{Connection, Grant};
use crate::pki::OPERATOR;

/// What devices do that Mosquitto passes over and AWS IoT ends the connection for, in words, each
/// deed once. After `None` there is more as soon as there is more in the log. The operator may do
/// everything.
#[derive(Debug)]
pub struct Forbidden {
    log: PathBuf,
    /// So many bytes of it were read.
    read: u64,
    grants: Vec<Grant>,
    /// Users by the client ids that they connected with.
    users: BTreeMap<String, String>,
    /// What the last line was about.
    about: About,
    waiting: VecDeque<String>,
    told: BTreeSet<String>,
}

/// What the next line of the log may go on with.
#[derive(Debug)]
enum About {
    Nothing,
    /// A client has connected: does it leave a last will?
    Connected(String),
    /// It does: for which topic?
    LastWill(String),
    /// The filters of a SUBSCRIBE.
    Subscribe(String),
}

impl Iterator for Forbidden {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.waiting.is_empty() {
            // A log that cannot be read now can be read later.
            let mut bytes = Vec::new();
            let mut file = File::open(&self.log).ok()?;
            file.seek(SeekFrom::Start(self.read)).ok()?;
            file.read_to_end(&mut bytes).ok()?;
            // What has no end yet is written at this moment.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
            self.read += whole as u64;
            String::from_utf8_lossy(&bytes[..whole]).lines().for_each(|line| self.line(line));
        }
        self.waiting.pop_front()
    }
}

impl Forbidden {
    /// Reads a log of Mosquitto 2.0 with all its types of lines, from its beginning.
    pub(crate) fn new(log: PathBuf, grants: Vec<Grant>) -> Self {
        Self {
            log,
            read: 0,
            grants,
            users: BTreeMap::new(),
            about: About::Nothing,
            waiting: VecDeque::new(),
            told: BTreeSet::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let said = line.split_once(": ").map_or("", |(_, said)| said);
        self.about = match std::mem::replace(&mut self.about, About::Nothing) {
            // `Will message specified (5 bytes) (r0, q1).`, then a tab and the topic.
            About::Connected(client) if said.starts_with("Will message specified ") => {
                About::LastWill(client)
            }
            About::LastWill(client) => {
                self.publishes(&client, said.trim_start_matches('\t'), "a last will for");
                About::Nothing
            }
            // For each filter a tab and `FILTER (QoS 1)`, then `ID 1 FILTER`.
            About::Subscribe(client) if !said.starts_with("Sending SUBACK ") => {
                let filter = said.strip_prefix('\t').and_then(|line| line.rsplit_once(" (QoS "));
                if let Some((filter, _)) = filter {
                    self.subscribes(&client, filter);
                }
                About::Subscribe(client)
            }
            _ => self.begins(line, said),
        };
    }

    /// A line that goes on with nothing.
    fn begins(&mut self, line: &str, said: &str) -> About {
        if let Some(Connection { client_id, user, .. }) = Connection::parse(line) {
            self.users.insert(client_id.clone(), user);
            return About::Connected(client_id);
        }
        if let Some(client) = said.strip_prefix("Received SUBSCRIBE from ") {
            return About::Subscribe(client.to_owned());
        }
        if let Some((client, topic)) = published(said) {
            self.publishes(client, topic, "a message to");
        }
        About::Nothing
    }

    fn publishes(&mut self, client: &str, topic: &str, deed: &str) {
        self.judge(client, topic, deed, identity::check_topic(topic), |grant| &grant.publish);
    }

    fn subscribes(&mut self, client: &str, filter: &str) {
        self.judge(client, filter, "a subscription to", check_filter(filter), |grant| {
            &grant.receive
        });
    }

    fn judge(
        &mut self,
        client: &str,
        topic: &str,
        deed: &str,
        sound: Result<(), &str>,
        of: impl Fn(&Grant) -> &Vec<String>,
    ) {
        let user = self.users.get(client);
        let mut grants = self.grants.iter().filter(|grant| Some(&grant.user) == user);
        let granted = grants.any(|grant| of(grant).iter().any(|filter| covers(filter, topic)));
        let why = match sound {
            Err(reason) => format!(": it {reason}"),
            Ok(()) if granted => return,
            Ok(()) => ", which its policy does not allow".to_owned(),
        };
        let user = user.map_or(client, String::as_str);
        let deed = format!("{user}: {deed} {topic}{why}");
        if user != OPERATOR && self.told.insert(deed.clone()) {
            self.waiting.push_back(deed);
        }
    }
}

/// Reads `Received PUBLISH from ID (d0, q1, r0, m1, 'TOPIC', ... (5 bytes))`, or `Denied` for
/// `Received`.
fn published(line: &str) -> Option<(&str, &str)> {
    let rest =
        line.strip_prefix("Received PUBLISH from ").or(line.strip_prefix("Denied PUBLISH from "));
    let (rest, _) = rest?.rsplit_once("', ... (")?;
    let (client, rest) = rest.split_once(" (d")?;
    Some((client, rest.split_once(", '")?.1))
}

/// Whether a filter matches all that another, or a topic, stands for. One with a wildcard in front
/// matches nothing that begins with `$` (MQTT 3.1.1, 4.7.2).
fn covers(filter: &str, wanted: &str) -> bool {
    if wanted.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let mut wanted = wanted.split('/');
    for level in filter.split('/') {
        match (level, wanted.next()) {
            ("#", _) => return true,
            ("+", Some(other)) if other != "#" => {}
            (level, Some(other)) if level == other => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_cover_filters() {
        for (filter, wanted, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/#", "a/+/c", true),
            ("a/#", "a/#", true),
            ("a/#", "a", true),
            ("a/b", "a/+", false),
            ("#", "a/b", true),
            ("#", "$aws/a", false),
            ("$aws/#", "$aws/a", true),
        ] {
            assert_eq!(covers(filter, wanted), expected, "{filter} {wanted}");
        }
    }
}
