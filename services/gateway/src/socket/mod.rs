//! One client's connection, from its handshake to its close frame.
//!
//! A message's way begins here: [`connection`] reads the frame, [`send`] publishes it to the log and
//! acks it once it is stored. Its way back to every socket is [`crate::room`].

mod authenticate;
pub(crate) mod budget;
pub(crate) mod closing;
mod connection;
pub(crate) mod encode;
pub(crate) mod flusher;
mod history;
pub(crate) mod incoming;
pub(crate) mod outbox;
mod page;
mod queue;
mod refusal;
mod registry;
mod revise;
mod send;
mod signals;
mod subscribe;
mod watch;

pub(crate) use connection::Connection;
pub(crate) use registry::Sockets;
