//! The stand-in by hand: an AWS account for `make provision` and its relatives in a second
//! terminal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_stand_in::{ACCOUNT, Bed};
use process::interrupt::Interrupt;

/// The account's region.
const REGION: &str = "eu-west-1";

fn main() -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let bed = Bed::new(REGION);
    let mut text = format!(
        "# Leads the AWS CLI to the stand-in for AWS, as long as that runs.\n\
         unset AWS_PROFILE AWS_SESSION_TOKEN\nexport AWS_REGION='{REGION}'\n"
    );
    for (name, value) in bed.environment() {
        text.push_str(&format!("export {name}='{value}'\n"));
    }
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/aws-stand-in.env");
    let file = std::env::args_os().nth(1).map_or_else(|| usual.clone(), PathBuf::from);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "An AWS account stands here: {ACCOUNT}, region {REGION}, empty, gone when this stops.\n\
         In a second terminal:\n  \
         . {}      leads the AWS CLI of that terminal here\n  \
         make provision THING=demo\n  \
         make run THING=demo\n\
         Ctrl-C here stops it.",
        if file == usual { "target/aws-stand-in.env".into() } else { file.display().to_string() }
    );
    while !interrupt.happened() {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}
