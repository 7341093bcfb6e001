//! AWS IoT on this machine: a broker with AWS's rules, the door of a provisioned thing, name and
//! time servers, the certificates of all of them, and a client to look on with.
//!
//! A cloud for a device named `demo`, with its certificates in a folder of its own:
//!
//! ```no_run
//! use cloud::local::LocalCloud;
//! # fn start(settings: &things::settings::Settings) -> anyhow::Result<()> {
//! let cloud = LocalCloud::start(settings, std::path::Path::new("target/thing/cloud"))?;
//! let mut operator = cloud.operator()?;
//! operator.subscribe(&cloud.topics.status)?;
//! # Ok(())
//! # }
//! ```

pub mod broker;
pub mod client;
pub mod dns;
pub mod forbidden;
pub mod gate;
pub mod local;
pub mod pki;
pub mod presence;
mod responder;
pub mod running;
pub mod sntp;
pub mod updates;
