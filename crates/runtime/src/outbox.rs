//! What is to be published.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use rtos::{Duration, Mutex, Waker};
use runtime_model::tries::{Again, Tries};

use crate::made;

/// A topic: fixed, or made at run time.
pub type Topic = Cow<'static, str>;

/// Most messages that wait, and most bytes of topics and payloads together. In a handshake
/// there are 8 KB of heap left.
const MOST_MESSAGES: usize = 8;
const MOST_BYTES: usize = 2048;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As much is waiting as may wait, or the message is larger than that.
    Full,
    /// The topic is empty, longer than 256 bytes, has more than 7 slashes, a wildcard or a control
    /// character in it, or `$` in front and is none of AWS's own ([`identity::check_topic`]): the
    /// server would end the connection.
    Topic,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much is waiting to be published",
            Self::Topic => "nothing can be published to that topic",
        })
    }
}

impl core::error::Error for Refused {}

/// Why the server does not have a message, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPublished {
    /// It was not even queued.
    Refused(Refused),
    /// There is no connection.
    NotConnected,
    /// It waited for its turn for too long, and was withdrawn.
    TooLate,
    /// There is not enough heap to send it.
    OutOfMemory,
    /// The connection ended before the server said that it has it: it may have it or not.
    Unacknowledged,
}

impl fmt::Display for NotPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(refused) => return refused.fmt(f),
            Self::NotConnected => "there is no connection",
            Self::TooLate => "others were published first for too long",
            Self::OutOfMemory => "the heap is too low",
            Self::Unacknowledged => "the connection ended before the server acknowledged it",
        })
    }
}

impl core::error::Error for NotPublished {}

impl From<Refused> for NotPublished {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// How long a message is worth something.
pub(crate) enum Kind {
    /// Until the server has it, over connections.
    Kept(Tries),
    /// Until there is a newer one, or the connection ends.
    Report {
        /// Whether it tells of the last crash.
        tells_crash: bool,
    },
    /// As long as its sender waits.
    Waited(Arc<Delivery>),
}

/// A message to be published.
pub(crate) struct Outgoing {
    pub topic: Topic,
    pub payload: Vec<u8>,
    pub kind: Kind,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// Where a sender waits.
pub(crate) struct Delivery {
    done: Waker,
    outcome: AtomicU8,
}

/// What [`Delivery`] holds.
const OUTCOMES: [Result<(), NotPublished>; 4] = [
    Ok(()),
    Err(NotPublished::NotConnected),
    Err(NotPublished::OutOfMemory),
    Err(NotPublished::Unacknowledged),
];

impl Delivery {
    pub fn new() -> Result<Arc<Self>, NotPublished> {
        let done = Waker::new().map_err(|_| NotPublished::OutOfMemory)?;
        Ok(Arc::new(Self { done, outcome: AtomicU8::new(0) }))
    }

    fn finish(&self, outcome: Result<(), NotPublished>) {
        let number = OUTCOMES.iter().position(|one| *one == outcome).unwrap_or(1);
        self.outcome.store(number as u8, Ordering::Release);
        self.done.wake();
    }

    /// What came of it, if that is known within so many milliseconds.
    pub fn wait(&self, milliseconds: u32) -> Option<Result<(), NotPublished>> {
        let known = self.done.wait(milliseconds);
        known.then(|| OUTCOMES[usize::from(self.outcome.load(Ordering::Acquire))])
    }
}

/// Messages that wait, oldest first: so few that a plain list does. They come and go in their boxes.
type Waiting = Vec<Box<Outgoing>>;

/// Messages in the order in which they were handed in.
pub(crate) struct Outbox(Mutex<Waiting>);

impl Outbox {
    pub fn new() -> Self {
        Self(made(Mutex::new(Vec::new())))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Waiting) -> T) -> T {
        // A wait without end does not end early.
        work(&mut self.0.lock(Duration::infinite()).expect("the lock"))
    }

    /// Takes a message in. A report replaces the one of its topic that still waits.
    pub fn put(&self, message: Box<Outgoing>) -> Result<(), Refused> {
        if identity::check_topic(&message.topic).is_err() {
            return Err(Refused::Topic);
        }
        self.with(|waiting| {
            if let Kind::Report { .. } = message.kind {
                remove(waiting, |other| {
                    matches!(other.kind, Kind::Report { .. }) && other.topic == message.topic
                });
            }
            let bytes: usize = waiting.iter().map(|one| one.bytes()).sum();
            if waiting.len() >= MOST_MESSAGES || bytes + message.bytes() > MOST_BYTES {
                return Err(Refused::Full);
            }
            waiting.push(message);
            Ok(())
        })
    }

    /// The first message, or, where reports have to wait, the first that is none.
    pub fn take(&self, reports: bool) -> Option<Box<Outgoing>> {
        self.with(|waiting| {
            remove(waiting, |one| reports || !matches!(one.kind, Kind::Report { .. }))
        })
    }

    /// The sender waits no more. False when the message is on its way.
    pub fn withdraw(&self, delivery: &Arc<Delivery>) -> bool {
        let own = |one: &Outgoing| matches!(&one.kind, Kind::Waited(other) if Arc::ptr_eq(other, delivery));
        self.with(|waiting| remove(waiting, own).is_some())
    }

    /// Forgets the reports that wait.
    pub fn forget_reports(&self) {
        while self
            .with(|waiting| remove(waiting, |one| matches!(one.kind, Kind::Report { .. })))
            .is_some()
        {}
    }

    /// What could not be published goes where that is worth something: back to the others, to who
    /// waits for it, or nowhere.
    pub fn failed(&self, mut message: Box<Outgoing>, error: NotPublished) {
        match &mut message.kind {
            Kind::Kept(tries) => {
                let again = match error {
                    NotPublished::OutOfMemory => tries.put_off(),
                    _ => tries.lost(),
                };
                if again == Again::Dropped {
                    log::error!(target: "link", "{}: a message is dropped: {error}", message.topic);
                    return;
                }
                self.with(|waiting| {
                    let place = if again == Again::First { 0 } else { waiting.len() };
                    waiting.insert(place, message);
                });
            }
            Kind::Report { .. } => {}
            Kind::Waited(delivery) => delivery.finish(Err(error)),
        }
    }

    /// The connection has ended: only what is kept waits for the next.
    pub fn disconnected(&self) {
        let passing = |one: &Outgoing| !matches!(one.kind, Kind::Kept(_));
        while let Some(message) = self.with(|waiting| remove(waiting, passing)) {
            self.failed(message, NotPublished::NotConnected);
        }
    }
}

/// Takes the first message of that kind out.
fn remove(waiting: &mut Waiting, wanted: impl Fn(&Outgoing) -> bool) -> Option<Box<Outgoing>> {
    let place = waiting.iter().position(|one| wanted(one))?;
    Some(waiting.remove(place))
}

impl Outgoing {
    /// The server has it: tells who waits for that.
    pub fn arrived(&self) {
        if let Kind::Waited(delivery) = &self.kind {
            delivery.finish(Ok(()));
        }
    }
}
