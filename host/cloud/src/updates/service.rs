//! The account on the broker: a thread that hears things and persons, and answers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Outgoing;
use super::account::Account;
use super::requests::{Call, Reply, TOPIC, reply_topic};
use crate::client::{ClientOptions, MqttClient};
use crate::presence::now;

/// What is heard: the requests of things, and not the answers to them.
const FILTERS: [&str; 7] = [
    "$aws/things/+/jobs/get",
    "$aws/things/+/jobs/start-next",
    "$aws/things/+/jobs/+/get",
    "$aws/things/+/jobs/+/update",
    "$aws/things/+/streams/+/describe/+",
    "$aws/things/+/streams/+/get/+",
    TOPIC,
];

/// How long nothing may come before time is looked at.
const TURN: Duration = Duration::from_millis(100);
/// How long to wait before a broker that is gone is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// The running services; they end when this is dropped.
#[derive(Debug)]
pub struct Service {
    account: Arc<Mutex<Account>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts the services of the account in `folder` by a connection with `options`, which may
    /// publish and hear everything.
    ///
    /// # Errors
    /// When the account cannot be opened or the broker refuses.
    pub fn start(
        options: ClientOptions,
        folder: &Path,
        things: impl IntoIterator<Item = String>,
    ) -> Result<Self> {
        let account = Arc::new(Mutex::new(Account::open(folder, things)?));
        let stop = Arc::new(AtomicBool::new(false));
        // The first connection here: who is told that the services run can use them.
        let mut client = Some(connect(&options)?);
        let thread = std::thread::Builder::new()
            .name("jobs-and-streams".to_owned())
            .spawn({
                let (account, stop) = (Arc::clone(&account), Arc::clone(&stop));
                move || {
                    while !stop.load(Ordering::Acquire) {
                        match client.take().map_or_else(|| connect(&options), Ok) {
                            // Ends when the broker does; a test starts it again.
                            Ok(client) => drop(serve(client, &account, &stop)),
                            Err(_) => std::thread::sleep(PAUSE),
                        }
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { account, stop, thread: Some(thread) })
    }

    /// The account.
    pub fn account(&self) -> MutexGuard<'_, Account> {
        lock(&self.account)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(options: &ClientOptions) -> Result<MqttClient> {
    let mut client = MqttClient::connect(options)?;
    for filter in FILTERS {
        client.subscribe(filter)?;
    }
    Ok(client)
}

fn serve(mut client: MqttClient, account: &Mutex<Account>, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Acquire) {
        let message = client.next(TURN)?;
        let outgoing = {
            let mut account = lock(account);
            let mut outgoing = account.tick(now());
            if let Some(message) = &message {
                outgoing.extend(handle(&mut account, &message.topic, &message.payload)?);
            }
            if let Err(error) = account.keep() {
                eprintln!("the local cloud cannot keep its jobs: {error:#}");
            }
            outgoing
        };
        for Outgoing { topic, payload } in outgoing {
            client.publish(&topic, &payload, false)?;
        }
    }
    Ok(())
}

fn handle(account: &mut Account, topic: &str, payload: &[u8]) -> Result<Vec<Outgoing>> {
    if topic != TOPIC {
        return Ok(account.message(topic, payload, now()).unwrap_or_default());
    }
    // What is no call, nobody waits for.
    let Ok(Call { asker, number, service, operation, arguments }) = serde_json::from_slice(payload)
    else {
        return Ok(Vec::new());
    };
    let (result, mut outgoing) = match account.call(&service, &operation, &arguments, now()) {
        Ok((answer, outgoing)) => (Ok(answer), outgoing),
        Err(refused) => (Err(refused), Vec::new()),
    };
    let payload = serde_json::to_vec(&Reply { number, result })?;
    outgoing.push(Outgoing { topic: reply_topic(&asker), payload });
    Ok(outgoing)
}
