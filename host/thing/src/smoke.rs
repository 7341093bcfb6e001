//! `thing smoke`: does the whole chain work?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::context::{Configured, Context};
use board::boards;
use board::machine::{Firmware, Machine, VirtualNetwork};
use board::status::{Led, Report, Status};
use board_facts::Board;
use cloud::broker::KEEP_ALIVE;
use cloud::client::{Message, MqttClient};
use cloud::local::LocalCloud;
use process::interrupt::Interrupt;
use process::output;
use process::scratch;
use things::device_identity::{DeviceIdentity, Wifi};

/// The device, once it runs, must be done by then.
const LIMIT: Duration = Duration::from_secs(115);

/// Between two looks at whether the board lives.
const TURN: Duration = Duration::from_millis(200);

/// Lines of the console shown with a failure.
const TAIL: usize = 40;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    firmware: Firmware,
    /// The firmware is an application of one's own: it has passed once it has published something
    #[arg(long)]
    application: bool,
}

/// Starts cloud and device, waits for a status, switches the LED on and off and checks
/// that the device says and shows so. Of an application it knows only that it publishes.
pub fn smoke(context: Context, Arguments { firmware, application }: &Arguments) -> Result<()> {
    let Configured { settings, config, folder: folder_of_thing, .. } = context.configure()?;
    let interrupt = Interrupt::watch()?;
    // A folder of its own: it may run beside `make run`.
    let folder = scratch::folder()?;
    let cloud = LocalCloud::start_configured(&settings, folder.path(), &config, &folder_of_thing)?;
    if cloud.stands_in_for_aws() {
        let endpoints = cloud.device_identity().endpoints;
        output::line(format!(
            "smoke: {} by its identity on AWS, at {}",
            cloud.thing, endpoints.host
        ))?;
    }
    let mut operator = cloud.operator()?;
    operator.subscribe(if *application { "#" } else { &cloud.topics.status })?;
    let (device, network) = with_network(cloud.device_identity(), firmware.radio);
    let region = device.region()?;
    let mut check = Check {
        machine: firmware.start(&region, folder.path(), false, &network)?,
        board: firmware.board.clone(),
        operator: &mut operator,
        cloud: &cloud,
        interrupt,
        deadline: Instant::now() + LIMIT,
    };
    let outcome = if *application { check.application() } else { check.run() };
    let lines = check.machine.finish();
    match outcome {
        Ok(()) => output::line("smoke: passed"),
        Err(error) => {
            let log = cloud.broker.log();
            show_end("the device's console", lines.iter().map(String::as_str));
            show_end("the broker's log", log.lines());
            for line in cloud.gate_log() {
                eprintln!("{line}");
            }
            eprintln!("---");
            Err(error)
        }
    }
}

fn show_end<'l>(what: &str, lines: impl Iterator<Item = &'l str>) {
    eprintln!("--- end of {what}");
    let lines: Vec<_> = lines.collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        eprintln!("{line}");
    }
}

/// The identity of a device with a radio, and the network to join: its preferred one, or one
/// that is made for it.
pub fn with_network(mut device: DeviceIdentity, radio: bool) -> (DeviceIdentity, VirtualNetwork) {
    let usual = VirtualNetwork::usual();
    match device.wifi.first() {
        _ if !radio => (device, usual),
        Some(wifi) => {
            let (ssid, passphrase) = (wifi.ssid().to_owned(), wifi.passphrase().to_owned());
            (device, VirtualNetwork { ssid, passphrase })
        }
        None => {
            device.wifi.push(Wifi::new(usual.ssid.clone(), usual.passphrase.clone()));
            (device, usual)
        }
    }
}

struct Check<'a> {
    machine: Machine,
    board: Board,
    operator: &'a mut MqttClient,
    cloud: &'a LocalCloud,
    interrupt: Interrupt,
    deadline: Instant,
}

impl Check<'_> {
    fn run(&mut self) -> Result<()> {
        let first = self.status("the first status", |_| true)?;
        output::line(format!(
            "smoke: status received after {} s on the device's clock",
            first.uptime_s
        ))?;
        for led in [Led::On, Led::Off] {
            let mark = self.machine.console.mark();
            self.operator.publish(&self.cloud.topics.control, led.word().as_bytes(), false)?;
            let what = format!("a status with the LED {}", led.word());
            self.status(&what, |status| status.led == led)?;
            let what = format!("the LED {}", led.word());
            let wanted = boards::led_line(&self.board, led);
            let left = self.left()?;
            self.machine.console.wait_for(mark, left, &what, |line| line == wanted)?;
            output::line(format!("smoke: LED {}", led.word()))?;
        }
        self.connection()
    }

    /// Waits for the first message, wherever it goes.
    fn application(&mut self) -> Result<()> {
        let message = self.message("anything")?;
        let payload = message.payload.escape_ascii();
        output::line(format!("smoke: published to {}: {payload}", message.topic))?;
        self.connection()
    }

    /// Checks what the broker lets pass but AWS IoT would change or not take.
    fn connection(&self) -> Result<()> {
        let connections = self.cloud.broker.connections();
        let device = connections
            .iter()
            .find(|connection| connection.user == self.cloud.thing)
            .context("the broker's log does not show the device's connection")?;
        if !KEEP_ALIVE.contains(&device.keep_alive_s) {
            bail!(
                "the device's keep-alive is {} s, AWS IoT takes {} to {} s",
                device.keep_alive_s,
                KEEP_ALIVE.start(),
                KEEP_ALIVE.end()
            );
        }
        if let Some(deed) = self.cloud.broker.forbidden().next() {
            bail!("AWS IoT would end the connection: {deed}");
        }
        Ok(())
    }

    fn status(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Result<Status> {
        loop {
            let message = self.message(what)?;
            if let Report::Online(status) = Report::parse(&message.payload)?
                && wanted(&status)
            {
                return Ok(status);
            }
        }
    }

    fn message(&mut self, what: &str) -> Result<Message> {
        loop {
            self.lives(what)?;
            if let Some(message) = self.operator.next(TURN)? {
                return Ok(message);
            }
        }
    }

    /// Whether it makes sense to wait on.
    fn lives(&mut self, what: &str) -> Result<()> {
        self.left().with_context(|| format!("the device did not send {what}"))?;
        if self.interrupt.happened() {
            bail!("interrupted");
        }
        if let Some(status) = self.machine.process.wait(Duration::ZERO)? {
            bail!("the board ended ({status}) before the device sent {what}");
        }
        Ok(())
    }

    fn left(&self) -> Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("{} s are over", LIMIT.as_secs());
        }
        Ok(left)
    }
}
