//! Checks what writers and readers have recorded against what Goch promises (docs/guarantees.md).
//!
//! Writers record each send, edit and deletion and its ack, readers each event they were given. When all
//! is quiet, the log and the history are read whole, and [`check`] compares: the log decides what the
//! truth is, everything else has to agree with it. What was not acked may have happened or not; the log
//! tells, and then it has happened for everybody.

mod record;
mod rule;
mod rules;
#[cfg(test)]
mod tests;
mod truth;

pub use record::{
    Ack, Channel, Content, Given, Look, Recording, Revised, Revision, Said, Send, Subscription, Way,
};
pub use rule::{Rule, Violation};
pub use rules::check;
