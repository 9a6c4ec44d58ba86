//! The load generator's sockets: tens of thousands of them, on one thread.
//!
//! [`sockets`] reads and writes, [`frames`] is the framing, [`dialect`] is what the different
//! servers want to hear, [`greeting`] brings a socket from its connection into its channel.

pub mod dialect;
pub mod frames;
pub mod greeting;
pub mod sockets;

pub use dialect::Dialect;
pub use greeting::{Joined, Seat, join};
pub use sockets::{Sockets, raise_open_files};
