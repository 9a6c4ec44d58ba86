//! Checks what writers and readers have recorded against what Goch promises (docs/guarantees.md).
//!
//! Writers record each send and its ack, readers each event they were given. When all is quiet, the
//! log and the history are read whole, and [`check`] compares: the log decides what the truth is,
//! everything else has to agree with it.

mod record;
mod rules;

pub use record::{Ack, Channel, Given, Recording, Said, Send, Subscription, Way};
pub use rules::{Rule, Violation, check};
