//! Load and faults at the same time, and then the question whether anything was lost.
//!
//! Writers talk, edit and delete, and readers listen and look back, through all gateways over real
//! sockets, some of them by the JavaScript client where Node is, while [`faults`] kills, pauses, wipes, cuts
//! and [loses](losses) what they depend on, in an order that the seed decides. At the end everything is
//! started again, what was begun is finished, the log is read whole straight from JetStream, and the
//! [`crate::checker`] compares it with what everybody has seen.

mod crew;
mod faults;
mod javascript;
mod line;
mod losses;
mod plan;
mod quiet;
mod reader;
mod report;
mod run;
mod truth;
mod writer;

pub use self::{plan::Plan, report::Report, run::run};
