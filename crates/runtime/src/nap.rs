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

use net::Interface;
use tls::Profile;

/// What the link task does more for a thing that sleeps.
pub(crate) struct Nap {
    /// At start, with the profile of all connections.
    pub recall: fn(&Profile),
    /// Instead of an ordinary request.
    pub request_address: fn(&Interface) -> Result<(), net::Error>,
    /// Before the sleep.
    pub keep: fn(&Profile),
}

pub(crate) static NAP: Nap = Nap { recall, request_address: Interface::request_kept_address, keep };

fn recall(profile: &Profile) {
    let known = profile.recall_verified();
    log::debug!(
        target: "link",
        "certificates found good before the sleep: {}",
        if known { "known" } else { "not known" }
    );
}

fn keep(profile: &Profile) {
    net::keep_address();
    profile.keep_verified();
}
