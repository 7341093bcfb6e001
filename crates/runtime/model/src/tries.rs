//! What becomes of a message that is kept until the server has it, and could not be published.

/// How often a message is sent that has met its connection's end each time: it may be why the
/// server ends it, as AWS does when the policy forbids the topic.
pub const MOST_LOST: u8 = 3;

/// How often it is put off while the heap is too low for it. At one try in two seconds or more that
/// is ten minutes: an update, which takes the heap, is over by then. A message that is too large for
/// this application's heap would otherwise keep the others out for ever.
pub const MOST_PUT_OFF: u16 = 300;

/// Where the message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// In front of the others that wait: it is the oldest.
    First,
    /// Behind them: there may be heap for a smaller one.
    Last,
    /// Nowhere: it was tried often enough.
    Dropped,
}

/// The tries of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    lost: u8,
    put_off: u16,
}

impl Tries {
    /// The connection ended before the server acknowledged it.
    pub fn lost(&mut self) -> Again {
        self.lost = self.lost.saturating_add(1);
        if self.lost < MOST_LOST { Again::First } else { Again::Dropped }
    }

    /// It was not sent, since the heap was too low. That says nothing against it.
    pub fn put_off(&mut self) -> Again {
        self.put_off = self.put_off.saturating_add(1);
        if self.put_off < MOST_PUT_OFF { Again::Last } else { Again::Dropped }
    }

    /// Whether it was put off before.
    #[must_use]
    pub fn was_put_off(&self) -> bool {
        self.put_off > 0
    }
}
