//! In the place of the network, where it was left out of the build: what is sent gets lost.

/// A network with nobody in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Net;

impl Net {
    /// Says so, and is one.
    #[must_use]
    pub fn new() -> Self {
        eprintln!("virtual-nodemcu: built without the feature `network`: nobody is in the network");
        Self
    }

    /// Forgets the frame.
    pub fn send(&mut self, _frame: &[u8]) {}

    /// There is no frame.
    pub fn poll(&mut self, _receive: impl FnMut(&[u8])) {}
}
