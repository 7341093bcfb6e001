//! A fleet's update as a person orders it: the signed image goes to a store, a stream reads it, a job
//! tells the things, and all of that is followed until it is over and then cleared away.
//!
//! The same commands go to AWS, by the person's own AWS CLI, or to the local cloud, which plays them
//! ([`account`]). What comes next is decided by a pure function (`plan`); an order is written down
//! before anything is made ([`order`]), so that a command that was interrupted anywhere is simply
//! given again: it looks, goes on, and makes nothing twice.

pub mod account;
pub mod order;
mod plan;
pub mod run;
mod setup;
mod standing;

pub use account::{Account, Aws, Local, Place, find_role};
pub use order::{Content, Limits, Order, Orders, Targets};
pub use plan::Goal;
pub use run::{End, Update, Watcher};
pub use setup::operator_policy;
pub use standing::{Standing, ThingStanding};
