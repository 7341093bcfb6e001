//! Arguments of the verbs that hold a build to something (`checks`).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use checks::size::Budget;
use checks::target_test;

#[derive(clap::Args)]
pub struct Elf {
    /// The firmware
    #[arg(long)]
    pub elf: PathBuf,
}

#[derive(clap::Args)]
pub struct Size {
    #[command(flatten)]
    pub firmware: Elf,
    #[command(flatten)]
    pub budget: Budget,
}

#[derive(clap::Args)]
pub struct TargetTest {
    #[command(flatten)]
    firmware: Elf,
    /// Only tests with this in their names
    #[arg(long, default_value = "")]
    filter: String,
    /// Seconds that one test may take
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

impl TargetTest {
    pub fn run(&self) -> Result<()> {
        target_test::run(&self.firmware.elf, &self.filter, Duration::from_secs(self.timeout))
    }
}
