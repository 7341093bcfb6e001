//! What a thing that sleeps deeply keeps over its sleep, in memory that survives it, to connect
//! sooner. Nothing of it is trusted for lying there:
//!
//! | Kept | By | Checked by |
//! | --- | --- | --- |
//! | the address | `net::keep_address` | the DHCP server, which is asked for it |
//! | certificates that were found good | `tls::Profile::keep_verified` | a seal that needs the private key; dates and names each time |
//! | the time | the board (`TimeStore`) | it counts as a lower bound |
//! | the access point and its channel | the board's radio | the association, and the passphrase |
//!
//! An application that does not sleep has none of this in its firmware.

use mqtt::Client;
use net::Interface;
use rtos::watchdog;
use tls::Profile;

use crate::clock::Keeper;
use crate::link::{LIFE_S, LOOK_MS};
use crate::{Thing, pause};

/// Milliseconds that the last words have to get on their way before the application goes on.
const LAST_WORDS_MS: u32 = 20;

/// What the link task does more for a thing that sleeps.
pub(crate) struct Nap {
    /// At start, with the profile of all connections.
    pub recall: fn(&Profile),
    /// Instead of an ordinary request.
    pub request_address: fn(&Interface) -> Result<(), net::Error>,
    /// Ends the connection for good, before the sleep.
    pub leave: fn(&Thing, Client, &Keeper) -> !,
}

pub(crate) static NAP: Nap =
    Nap { recall, request_address: Interface::request_kept_address, leave };

fn recall(profile: &Profile) {
    let known = profile.recall_verified();
    log::debug!(
        target: "link",
        "certificates found good before the sleep: {}",
        if known { "known" } else { "not known" }
    );
}

fn leave(thing: &Thing, mut client: Client, keeper: &Keeper) -> ! {
    client.leave();
    thing.disconnected();
    net::keep_address();
    client.profile().keep_verified();
    keeper.keep();
    pause(LAST_WORDS_MS);
    log::info!(target: "link", "left");
    thing.left();
    loop {
        watchdog::alive(LIFE_S);
        thing.link().wait(LOOK_MS);
    }
}
