//! The name server of the local cloud.
//!
//! It knows `*.iot.test`, which it answers with the address under which QEMU's user
//! network shows this machine to the guest, and denies every other name, so that a test
//! can never reach the real world by accident.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use anyhow::Result;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use crate::responder::Responder;

/// This machine's address as QEMU's user network shows it to the guest.
pub const HOST_FROM_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// The zone that is answered.
pub const ZONE: &str = "iot.test";

/// Seconds for which an answer may be kept: short, so that a test that changes a record
/// is noticed.
const TIME_TO_LIVE: u32 = 10;

/// Names with an answer other than [`HOST_FROM_GUEST`]; no address means that the name
/// does not exist. Names are in lower case.
pub type Overrides = HashMap<String, Vec<Ipv4Addr>>;

/// The running name server; stops when dropped.
pub type DnsServer = Responder<Mutex<Overrides>>;

impl DnsServer {
    /// Starts answering on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no socket can be opened.
    pub fn start() -> Result<Self> {
        Self::serve("DNS", Mutex::default(), |request, overrides| {
            reply(request, &*overrides.lock().ok()?)
        })
    }

    /// Answers `name` with these addresses from now on, in this order, or denies it when there
    /// are none.
    pub fn set(&self, name: &str, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        if let Ok(mut overrides) = self.state().lock() {
            overrides.insert(name.to_lowercase(), addresses.into_iter().collect());
        }
    }
}

/// The reply to one datagram; `None` when it is no question and deserves no answer.
fn reply(request: &[u8], overrides: &Overrides) -> Option<Vec<u8>> {
    let question = Packet::parse(request).ok()?;
    if question.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let mut answer = Packet::new_reply(question.id());
    answer.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if question.has_flags(PacketFlag::RECURSION_DESIRED) {
        answer.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    for asked in question.questions {
        let name = asked.qname.to_string().to_lowercase();
        match addresses_of(&name, overrides).as_slice() {
            [] => *answer.rcode_mut() = RCODE::NameError,
            addresses => {
                let wants_address = matches!(asked.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY)
                    && matches!(asked.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
                // A name that exists without a record of the asked type gets an empty
                // answer, not a denial (RFC 2308).
                if wants_address {
                    answer.answers.extend(addresses.iter().map(|address| {
                        ResourceRecord::new(
                            asked.qname.clone(),
                            CLASS::IN,
                            TIME_TO_LIVE,
                            RData::A(A::from(*address)),
                        )
                    }));
                }
            }
        }
        answer.questions.push(asked);
    }
    answer.build_bytes_vec_compressed().ok()
}

fn addresses_of(name: &str, overrides: &Overrides) -> Vec<Ipv4Addr> {
    if let Some(known) = overrides.get(name) {
        return known.clone();
    }
    let inside = name.strip_suffix(ZONE).is_some_and(|host| host.ends_with('.'));
    inside.then_some(HOST_FROM_GUEST).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{Name, Question};
    use std::net::UdpSocket;

    fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(77);
        let (kind, class) = (QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN));
        packet.questions.push(Question::new(Name::new(name).unwrap(), kind, class, false));
        packet.build_bytes_vec().unwrap()
    }

    fn ask(name: &str, kind: TYPE, overrides: &Overrides) -> (RCODE, Vec<Ipv4Addr>) {
        let bytes = reply(&query(name, kind), overrides).unwrap();
        let answer = Packet::parse(&bytes).unwrap();
        assert_eq!(answer.id(), 77);
        assert!(answer.has_flags(PacketFlag::RESPONSE));
        let addresses = answer
            .answers
            .iter()
            .filter_map(|record| match &record.rdata {
                RData::A(a) => Some(Ipv4Addr::from(a.address)),
                _ => None,
            })
            .collect();
        (answer.rcode(), addresses)
    }

    #[test]
    fn names_of_the_zone_are_the_host() {
        for name in ["local-ats.iot.test", "TIME.iot.test"] {
            assert_eq!(
                ask(name, TYPE::A, &Overrides::new()),
                (RCODE::NoError, vec![HOST_FROM_GUEST])
            );
        }
    }

    #[test]
    fn other_names_do_not_exist() {
        for name in ["example.com", "notiot.test", "iot.test"] {
            assert_eq!(ask(name, TYPE::A, &Overrides::new()), (RCODE::NameError, vec![]));
        }
    }

    #[test]
    fn other_types_are_empty() {
        assert_eq!(
            ask("local-ats.iot.test", TYPE::AAAA, &Overrides::new()),
            (RCODE::NoError, vec![])
        );
    }

    #[test]
    fn overrides_win() {
        let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
        let overrides = Overrides::from([
            ("a.iot.test".to_owned(), vec![]),
            ("b.iot.test".to_owned(), vec![elsewhere, HOST_FROM_GUEST]),
        ]);
        assert_eq!(ask("a.iot.test", TYPE::A, &overrides).0, RCODE::NameError);
        assert_eq!(ask("b.iot.test", TYPE::A, &overrides).1, vec![elsewhere, HOST_FROM_GUEST]);
    }

    #[test]
    fn rubbish_and_replies_get_no_answer() {
        assert!(reply(&[1, 2, 3], &Overrides::new()).is_none());
        let answer = Packet::new_reply(1).build_bytes_vec().unwrap();
        assert!(reply(&answer, &Overrides::new()).is_none());
    }

    #[test]
    fn answers_over_a_socket() {
        let server = DnsServer::start().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        socket.send_to(&query("x.iot.test", TYPE::A), server.address()).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(Packet::parse(&buffer[..length]).unwrap().answers.len(), 1);
        assert_eq!(server.answered(), 1);
    }
}
