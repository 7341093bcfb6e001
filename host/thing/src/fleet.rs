//! `thing provision-fleet`: many things, with a progress bar.

use std::cell::Cell;
use std::path::PathBuf;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use provisioning::fleet::{Fleet, Outcome};
use things::topics::Topics;

use crate::context::Context;
use crate::provision::Account;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    account: Account,
    /// CSV file with a header; the column `thing` has the names
    #[arg(long)]
    file: PathBuf,
    /// Topics of before end: the devices have their new identities
    #[arg(long)]
    retire: bool,
    /// Add a certificate also to things that were made elsewhere
    #[arg(long)]
    foreign: bool,
}

/// Provisions all things of a list.
pub fn provision(context: &Context, arguments: Arguments) -> Result<()> {
    let config = context.config()?;
    let fleet = Fleet::read(&arguments.file)?;
    let bar = ProgressBar::new(fleet.things().len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")?);
    // Lines of the single steps would bury the bar; whose account it is, one wants to see.
    let started = Cell::new(false);
    let say = |line: &str| {
        if started.get() { bar.set_message(line.to_owned()) } else { println!("{line}") }
    };
    let mut session = arguments.account.open(&context.things, &say)?;
    session.end_old_topics = arguments.retire;
    session.join_foreign_things = arguments.foreign;
    println!("things       {}", fleet.things().len());
    started.set(true);
    let topics = |thing: &str| Ok(config.topics(thing, Topics::default())?);
    let outcomes = fleet.provision(&mut session, &topics, &|thing, outcome| {
        bar.inc(1);
        if let Outcome::Failed(error) = outcome {
            bar.suspend(|| eprintln!("{thing}: {error}"));
        }
    });
    bar.finish_and_clear();
    println!("report       {}", fleet.report().display());
    let outcomes = outcomes?;
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (made, complete) = (count(Outcome::Provisioned), count(Outcome::Complete));
    let failed = outcomes.len() - made - complete;
    println!("{made} provisioned, {complete} complete before, {failed} failed");
    let old_topics = fleet.with_old_topics(&session);
    if old_topics > 0 {
        println!(
            "{old_topics} may use their topics of before, too, until their devices have the new ones: give \
             them their identities, then run the same command again (after `make update-identity`) or \
             with RETIRE=1 (after their cables)"
        );
    }
    if failed > 0 {
        bail!(
            "{failed} things failed: the report says why; mend that and run the same command again"
        );
    }
    Ok(())
}
