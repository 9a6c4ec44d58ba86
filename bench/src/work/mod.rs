//! The kinds of work, each driven and checked the same way against every server.
//!
//! [`rooms`] knows what is due at which socket and checks it; [`drive`] decides when the next
//! message is said.

pub mod drive;
pub mod fan_out;
pub mod history;
pub mod idle;
pub mod latency;
pub mod rooms;
pub mod storm;
