//! What a person keeps of a thing, and what becomes of it: `config.toml`, the folder
//! `certs/<thing>/`, and the identity region that the device reads.
//!
//! ```
//! use std::path::Path;
//! use things::config::Config;
//! use things::topics::Topics;
//!
//! # fn main() -> Result<(), things::problem::Problem> {
//! // Without a file, all settings have their defaults.
//! let config = Config::load(Path::new("no/such/config.toml"))?;
//! assert_eq!(config.topics("demo", Topics::default())?, Topics::default());
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod device_identity;
pub mod folder;
pub mod identity_region;
pub mod log_modules;
pub mod pem_file;
pub mod problem;
pub mod settings;
pub mod topics;
