//! What an application wants of each connection.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use rtos::Waker;
use runtime_model::throttle::Throttle;
use runtime_model::{Excerpt, topic};

use crate::nap::{NAP, Nap};
use crate::outbox::Topic;

/// Lines about messages that are ignored: so many at once, then one in so many milliseconds.
const IGNORED_LINES: u32 = 32;
const IGNORED_LINE_MS: u64 = 250;

/// What an application wants of each connection, made once at start.
#[derive(Default)]
pub struct Plan {
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) will: Option<(Topic, &'static str)>,
    pub(crate) report_due: Option<Waker>,
    pub(crate) nap: Option<&'static Nap>,
    may_restart: Option<Box<dyn FnMut() -> bool + Send>>,
}

/// A filter, and who gets its messages.
pub(crate) struct Subscription {
    pub filter: Topic,
    handler: Box<dyn FnMut(Received<'_>) + Send>,
    longest: usize,
}

impl Plan {
    /// Subscribes to a topic, or to a filter with `+` and `#`, on every connection. `handler` gets
    /// each message, in the link task: it must not wait. Of a message at least the first `longest`
    /// bytes are kept, if it has 2 KB at most. Where several filters match, the first one's
    /// handler gets it. Blocks of the thing's own streams on AWS go to updates alone, where the identity
    /// has a key for them.
    pub fn subscribe(
        &mut self,
        filter: impl Into<Topic>,
        longest: usize,
        handler: impl FnMut(Received<'_>) + Send + 'static,
    ) -> &mut Self {
        let handler = Box::new(handler);
        self.subscriptions.push(Subscription { filter: filter.into(), handler, longest });
        self
    }

    /// What the server publishes, at QoS 1, when the connection ends without a word.
    pub fn last_will(&mut self, topic: impl Into<Topic>, payload: &'static str) -> &mut Self {
        self.will = Some((topic.into(), payload));
        self
    }

    /// Is woken when a report is due that was not before: after each connect, when the crash that the
    /// last report told of is told, and when a firmware on trial has proved itself.
    pub fn report_due(&mut self, waker: Waker) -> &mut Self {
        self.report_due = Some(waker);
        self
    }

    /// Asks `ready`, in the link task, before the device restarts for an update that is there and was
    /// found good, and each second until it says yes: it must not wait. Without it the device restarts at
    /// once. The job waits as long, until somebody calls it off or its time is over.
    pub fn may_restart(&mut self, ready: impl FnMut() -> bool + Send + 'static) -> &mut Self {
        self.may_restart = Some(Box::new(ready));
        self
    }

    /// The device sleeps deeply between connections: what makes the next one short is kept by
    /// [`Thing::leave`](crate::Thing::leave) and used when it wakes. It then connects at once: devices
    /// that wake do not do so in step, and a time from before the sleep is a lower bound.
    pub fn sleeps(&mut self) -> &mut Self {
        self.nap = Some(&NAP);
        self
    }

    /// Bytes of a message that are worth keeping.
    pub(crate) fn longest(&self) -> usize {
        self.subscriptions.iter().map(|one| one.longest).max().unwrap_or_default()
    }

    pub(crate) fn is_ready_to_restart(&mut self) -> bool {
        self.may_restart.as_mut().is_none_or(|ready| ready())
    }

    pub(crate) fn wake_reporter(&self) {
        if let Some(waker) = &self.report_due {
            waker.wake();
        }
    }

    /// Hands a message to its handler. One that updates have `taken` may have none.
    pub(crate) fn deliver(&mut self, message: &mqtt::Message, taken: bool, ignored: &mut Throttle) {
        let mut received = Received {
            topic: &message.topic,
            payload: &message.payload,
            length: message.length,
            ignored,
        };
        match self.subscriptions.iter_mut().find(|one| topic::matches(&one.filter, &message.topic))
        {
            Some(subscription) => (subscription.handler)(received),
            None if taken => {}
            // A session that the server kept may hold subscriptions of an earlier identity.
            None => received.ignore(&"no topic of this device"),
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.subscriptions.iter().map(|one: &Subscription| &one.filter))
            .finish()
    }
}

/// A message that has come.
pub struct Received<'a> {
    /// The topic that it was published to.
    pub topic: &'a str,
    /// What was published, or the beginning of it.
    pub payload: &'a [u8],
    /// Bytes that were published.
    pub length: usize,
    ignored: &'a mut Throttle,
}

impl<'a> Received<'a> {
    /// What was published, if all of it was kept.
    #[must_use]
    pub fn whole(&self) -> Option<&'a [u8]> {
        (self.payload.len() == self.length).then_some(self.payload)
    }

    /// Says in the log why nothing is done about this message. When there are many, most are
    /// counted instead: a line takes 90 us a character.
    pub fn ignore(&mut self, reason: &dyn fmt::Display) {
        let Some(unsaid) = self.ignored.take(rtos::uptime_ms()) else { return };
        let Self { topic, payload: start, length, .. } = *self;
        let excerpt = Excerpt { start, length };
        let unsaid = Unsaid(unsaid);
        log::warn!(target: "link", "{topic}: ignored: {reason} ({excerpt}){unsaid}");
    }
}

/// So many lines were left out.
struct Unsaid(u32);

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "; so were {} before", self.0) }
    }
}

/// For messages that are ignored.
pub(crate) const fn throttle() -> Throttle {
    Throttle::new(IGNORED_LINES, IGNORED_LINE_MS)
}
