//! What `examples/battery` takes from one wake to the next sleep, on the virtual NodeMCU: instructions,
//! and, with the radio, time and an estimate of charge.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use checks::budget::{self, Figure};
use clap::Parser;
use e2e::Stage;
use e2e::sleeper::{Awake, Sleeper};
use things::device_identity::Wifi;

/// The most instructions from wake to sleep, without Wi-Fi's own.
const INSTRUCTIONS: u64 = 25_000_000;
/// The longest time awake at 160 MHz over the virtual access point.
const AWAKE: Duration = Duration::from_secs(1);

/// Currents in mA: "ESP8266EX Datasheet", power consumption. The receiver is on as long as the chip
/// is awake; that it sends for a tenth of that time is a guess to the safe side.
const RECEIVE: f64 = 56.0;
const SEND: f64 = 170.0;
const SENDS: f64 = 0.1;
const DEEP_SLEEP: f64 = 0.020;

/// What a battery is asked for in examples, in mAh.
const BATTERY: f64 = 2000.0;

/// Measures a thing that sleeps.
#[derive(Parser)]
struct Options {
    /// Folder with the flash files
    #[arg(long)]
    image: PathBuf,
    /// They have the radio: an access point in the air instead of a cable
    #[arg(long)]
    radio: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("battery: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut stage = Stage::new();
    let mut access_points = Vec::new();
    if options.radio {
        stage.identity.wifi = vec![Wifi::new("home".into(), "correct horse battery".into())];
        access_points.push("ssid=home,psk=correct horse battery,channel=6,rssi=-50");
    }
    let mut watcher = stage.watch();
    let mut sleeper = Sleeper::new(&options.image, &stage.region(), &access_points)?;
    sleeper.measure(300);
    let first = sleeper.run()?;
    sleeper.measure(700);
    sleeper.wake();
    let woken = sleeper.run()?;
    for (level, woken_by, awake) in [(300, "power-on", &first), (700, "deep-sleep", &woken)] {
        let wanted = format!("{{\"level\":{level},\"woken_by\":\"{woken_by}\"}}");
        let payload = watcher.payload(Duration::from_secs(60));
        ensure!(payload == wanted.as_bytes(), "published, not {wanted}:\n{}", awake.said);
    }
    let instructions = (!options.radio).then_some(INSTRUCTIONS);
    let figures = [
        Figure::instructions("power-on to asleep", first.instructions, None),
        Figure::instructions("wake to asleep", woken.instructions, instructions),
    ];
    println!("{}", budget::table(&figures));
    budget::check(&figures, "tests/e2e/src/bin/battery.rs")?;
    if options.radio {
        estimate(&woken);
        ensure!(
            woken.time <= AWAKE,
            "awake for {:.3} s of {:.3}:\n{}",
            woken.time.as_secs_f64(),
            AWAKE.as_secs_f64(),
            woken.said
        );
    }
    woken.said.lines().find(|line| line.contains("left")).context("it did not leave")?;
    Ok(())
}

/// Prints what that takes out of a battery.
fn estimate(Awake { time, sleep, .. }: &Awake) {
    let (awake, asleep) = (time.as_secs_f64(), sleep.as_secs_f64());
    let busy = RECEIVE * (1.0 - SENDS) + SEND * SENDS;
    // mA times seconds, in uAh.
    let charge = |current: f64, seconds: f64| current * seconds / 3.6;
    let (working, sleeping) = (charge(busy, awake), charge(DEEP_SLEEP, asleep));
    let mean = (working + sleeping) * 3.6 / (awake + asleep);
    println!(
        "awake for {awake:.3} s, asleep for {asleep:.0} s\n\
         charge, estimated from the datasheet's currents: {working:.1} uAh awake ({busy:.0} mA), \
         {sleeping:.1} uAh asleep (20 uA)\n\
         {:.3} mA in the mean: {BATTERY:.0} mAh last {:.0} days, without what the battery loses by itself",
        mean,
        BATTERY / mean / 24.0
    );
}
