//! The boot ROM's functions that this program does itself, against a dump of the ROM:
//! `make rom-compare ROM=file` runs it.
//!
//! usage: rom_compare FILE [ROUNDS]    (calls of each function; 2000)

use anyhow::{Context as _, Result, anyhow, bail};
use virtual_nodemcu::compare::Comparison;

const WHICH: &str = "which file? A dump of your chip's boot ROM: \
                     esptool --chip esp8266 dump-mem 0x40000000 65536 bootrom.bin";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context(WHICH)?;
    let rounds = match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("{text}: a number of rounds"))?,
        None => 2000,
    };
    let dump = std::fs::read(&file).with_context(|| file.clone())?;
    let mut comparison = Comparison::new(&dump, 1).map_err(|text| anyhow!("{file}: {text}"))?;
    let verdicts = comparison.all(rounds);
    let different: Vec<_> =
        verdicts.iter().filter_map(|verdict| verdict.difference.as_ref()).collect();
    for text in &different {
        println!("{text}");
    }
    println!(
        "{} functions called {rounds} times each: {} as the dump, {} not",
        verdicts.len(),
        verdicts.len() - different.len(),
        different.len()
    );
    if !different.is_empty() {
        bail!("not all functions do what the dump does");
    }
    Ok(())
}
