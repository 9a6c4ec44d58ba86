//! A connection that may fail at any moment, for clients that go on anyway.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

use crate::member::Member;

/// How long a handshake or an answer may take before the connection counts as dead. Longer than the
/// gateway's own five seconds, so that it gets to say `unavailable`.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The connection is of no use any more.
#[derive(Debug)]
pub(super) struct Broken;

impl From<Error> for Broken {
    fn from(_: Error) -> Self {
        Self
    }
}

/// An open socket.
pub(super) struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    pub(super) async fn open(address: &str) -> Result<Self, Broken> {
        let url = format!("ws://{address}/connect");
        let connected = timeout(ANSWER_WITHIN, connect_async(url)).await.map_err(|_| Broken)?;
        Ok(Self(connected?.0))
    }

    pub(super) async fn send(&mut self, frame: &Value) -> Result<(), Broken> {
        let sending = self.0.send(Message::text(frame.to_string()));
        Ok(timeout(ANSWER_WITHIN, sending).await.map_err(|_| Broken)??)
    }

    /// The next frame, however long it takes.
    pub(super) async fn next(&mut self) -> Result<Value, Broken> {
        loop {
            match self.0.next().await.ok_or(Broken)?? {
                Message::Text(text) => return serde_json::from_str(&text).map_err(|_| Broken),
                Message::Close(_) => return Err(Broken),
                _ => {}
            }
        }
    }

    /// The next frame, if it comes in time.
    pub(super) async fn answer(&mut self) -> Result<Value, Broken> {
        timeout(ANSWER_WITHIN, self.next()).await.map_err(|_| Broken)?
    }

    /// Asks for the events after `after`.
    pub(super) async fn subscribe(
        &mut self,
        member: &Member,
        after: u64,
        limit: u32,
    ) -> Result<(), Broken> {
        let mut frame = member.subscribe_frame();
        frame["id"] = json!("subscribe");
        frame["after"] = json!(after);
        frame["limit"] = json!(limit);
        self.send(&frame).await
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let _ = timeout(ANSWER_WITHIN, self.0.close(None)).await;
    }
}

/// Whether an error frame says that the same may work later.
pub(super) fn is_temporary(frame: &Value) -> bool {
    frame["type"] == "error"
        && matches!(frame["code"].as_str(), Some("unavailable" | "internal" | "rate_limited"))
}
