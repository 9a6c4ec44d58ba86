//! WebSocket frames: what clients say, and what they are answered.
//!
//! Events of the log are not here: they go out as [`crate::event::write_positioned`] writes them.

mod client;
mod credentials;
mod page;
mod parse;
mod server;
mod signal;

pub use self::{
    client::{ClientFrame, Delete, Edit, History, Send, Subscribe, Watch, WatchedChannel},
    credentials::Credentials,
    page::{Subscribed, history_json},
    parse::RefusedFrame,
    server::ServerFrame,
    signal::Signal,
};
