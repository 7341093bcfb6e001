//! How far the firmware in a folder gets: `make foreign IMAGES=folder` runs it, and
//! `virtual_nodemcu::survey` says what may be in the folder.
//!
//! usage: foreign FOLDER [SECONDS]    (of the board's time for each; 20)

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use virtual_nodemcu::survey;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("which folder? make foreign IMAGES=folder")?;
    let seconds = match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("{text}: a number of seconds"))?,
        None => 20,
    };
    let (list, settings) = survey::read(Path::new(&folder))?;
    if settings.is_none() {
        eprintln!(
            "without the radio's settings: programs of the SDK want esp_init_data_default_v08.bin in \
             the folder"
        );
    }
    let mut reports = Vec::new();
    for firmware in &list {
        let report = firmware.run(settings.as_deref(), Duration::from_secs(seconds));
        eprintln!("{}: {}", report.name, report.reached);
        reports.push(report);
    }
    print!("{}", survey::table(&reports));
    Ok(())
}
