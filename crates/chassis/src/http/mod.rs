//! What a public HTTP server needs beside its routes: that no client holds a connection for long
//! without getting on, or too many of them.
//!
//! The HTTP library bounds the head of a connection's first request, and nothing else. So each
//! connection is a [`Guarded`] stream, which ends it when a request does not lead to an answer in time,
//! whatever its client sends; the body of a request that is being read must come at a least rate
//! ([`pace()`]), so that its client can be told; and connections have a [`Place`] among those of their
//! address before anything of them is read.

mod deprecated;
mod guarded;
mod pace;
mod places;

use std::time::Duration;

use actix_web::dev::Server;
pub use deprecated::deprecated;
pub use guarded::Guarded;
pub(crate) use pace::is_too_slow;
pub use pace::{pace, within_deadline};
pub use places::{Place, Places, limited_as};
use tokio::task::JoinHandle;

use crate::shutdown::Shutdown;

/// How long a client may take to send the head of a connection's first request.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a request may take, its body and its answer included.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(15);

/// How long a client may take to read an answer that ends the connection although there is something of
/// a request left to read.
pub const LINGER: Duration = Duration::from_secs(1);

/// How long the first byte of an answer may stay out after the first byte of a request. A little more
/// than [`REQUEST_WITHIN`], so that a client who can be told is told.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long a connection may be idle, or not take more of an answer.
const IDLE_WITHIN: Duration = Duration::from_mins(1);

/// Runs a server as a vital task of the service ([`Shutdown::vital`]); `name` is what the log calls it.
#[expect(clippy::must_use_candidate, reason = "it runs without being waited for")]
pub fn spawn_server(name: &'static str, server: Server, shutdown: &Shutdown) -> JoinHandle<()> {
    let serving = async move {
        if let Err(error) = server.await {
            tracing::error!(name, %error, "a server failed");
        }
    };
    tokio::spawn(shutdown.vital(name, serving))
}
