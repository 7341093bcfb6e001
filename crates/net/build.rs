//! Gives the firmware its build date, below which its clock never goes.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    // The Makefile names the commit's date, so that one commit gives the same bytes.
    let epoch: u64 = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => match text.parse() {
            Ok(seconds) => seconds,
            Err(_) => {
                println!("cargo::error=SOURCE_DATE_EPOCH must be seconds since 1970, not `{text}`");
                return;
            }
        },
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
    };
    println!("cargo::rustc-env=FW_BUILD_EPOCH={epoch}");
}
