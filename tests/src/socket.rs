//! A WebSocket client that keeps what it was not asked for yet.

use std::collections::VecDeque;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use crate::{
    member::Member,
    page::events,
    service::Service,
    wait::{unique, within},
};

/// The least receive buffer that Linux gives, about.
const SMALL_BUFFER: u32 = 4_096;

/// The frames of a conversation.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// What the client said.
    pub client: Vec<Value>,
    /// What the gateway said.
    pub server: Vec<Value>,
}

/// One client's connection.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    kept: VecDeque<Value>,
    /// What was said and heard, if anybody wants to know.
    recorded: Option<Recorded>,
    /// The close code, 0 for none, once the connection is closed.
    closed: Option<u16>,
}

impl Socket {
    /// Connects to `/connect`.
    pub async fn connect(gateway: &Service) -> Self {
        Self::connect_with(gateway, "").await
    }

    /// Connects to `/connect` with a query, such as `?channel=…`.
    ///
    /// # Panics
    /// When the gateway does not take the handshake.
    pub async fn connect_with(gateway: &Service, query: &str) -> Self {
        match Self::try_connect(gateway, query).await {
            Ok(socket) => socket,
            Err(error) => panic!("the gateway does not take a socket: {error}"),
        }
    }

    /// Connects, if the gateway lets it.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn try_connect(gateway: &Service, query: &str) -> Result<Self, tungstenite::Error> {
        Self::try_connect_as(gateway, query, &[]).await
    }

    /// Connects with further headers in the handshake, if the gateway lets it.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn try_connect_as(
        gateway: &Service,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        Self::try_connect_to(&gateway.address(), query, headers).await
    }

    /// As [`Self::try_connect_as`], by the gateway's host and port.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn try_connect_to(
        address: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let url = format!("ws://{address}/connect{query}");
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse()?);
        }
        let (stream, _) = within("a WebSocket handshake", connect_async(request)).await?;
        Ok(Self { stream, kept: VecDeque::new(), recorded: None, closed: None })
    }

    /// Connects with a receive buffer of a few kilobytes, so that a reader that stops holds up the
    /// gateway soon.
    pub async fn connect_with_small_buffer(gateway: &Service) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let address = gateway.address();
        let connecting = async {
            let stream = socket.connect(address.parse().unwrap()).await.unwrap();
            let url = format!("ws://{address}/connect");
            client_async(url, MaybeTlsStream::Plain(stream)).await.unwrap()
        };
        let (stream, _) = within("a WebSocket handshake", connecting).await;
        Self { stream, kept: VecDeque::new(), recorded: None, closed: None }
    }

    /// Records all frames from now on.
    pub fn record(&mut self) {
        self.recorded.get_or_insert_default();
    }

    /// The frames since [`Self::record`].
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.recorded.clone().unwrap_or_default()
    }

    /// Sends a frame of the protocol.
    pub async fn send(&mut self, frame: &Value) {
        if let Some(recorded) = &mut self.recorded {
            recorded.client.push(frame.clone());
        }
        self.send_text(&frame.to_string()).await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends any WebSocket message or raw frame.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send_message(&mut self, message: Message) {
        self.try_send_message(message).await.unwrap();
    }

    /// Sends any WebSocket message or raw frame, if the gateway still listens.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn try_send_message(&mut self, message: Message) -> Result<(), tungstenite::Error> {
        within("sending", self.stream.send(message)).await
    }

    /// The next frame in order; none once the connection is closed.
    pub async fn next(&mut self) -> Option<Value> {
        match self.kept.pop_front() {
            Some(frame) => Some(frame),
            None => within("a frame", self.read()).await,
        }
    }

    /// The next frame for which `is_wanted` holds. Others are kept, in order, for who asks later.
    ///
    /// # Panics
    /// When it does not come, or the connection closes first.
    pub async fn expect_where(&mut self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.kept.iter().position(&is_wanted) {
            return self.kept.remove(index).unwrap();
        }
        let found = within(what, async {
            while let Some(frame) = self.read().await {
                if is_wanted(&frame) {
                    return Some(frame);
                }
                self.kept.push_back(frame);
            }
            None
        });
        found.await.unwrap_or_else(|| {
            panic!("closed with {:?} before {what}; kept: {:?}", self.closed, self.kept)
        })
    }

    /// The next frame of a type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |frame| frame["type"] == kind).await
    }

    /// The answer to the frame with this id.
    pub async fn answer_to(&mut self, id: &str) -> Value {
        let what = format!("the answer to {id}");
        // Events, which have a `prev`, can have an id too.
        let is_answer = |frame: &Value| frame["id"] == id && frame["prev"].is_null();
        self.expect_where(&what, is_answer).await
    }

    /// The next `error`, which must have this code and field.
    pub async fn expect_error(&mut self, code: &str, field: Option<&str>) -> Value {
        let error = self.expect("error").await;
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["field"].as_str(), field, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        error
    }

    /// The text of the next message.
    pub async fn expect_text(&mut self) -> String {
        self.expect("message").await["text"].as_str().unwrap().to_owned()
    }

    /// Waits until the connection is closed, and tells the close code: 0 if it ended without one.
    pub async fn expect_close(&mut self) -> u16 {
        within("a close frame", async {
            while let Some(frame) = self.read().await {
                self.kept.push_back(frame);
            }
        })
        .await;
        self.closed.unwrap_or_default()
    }

    /// Subscribes a member; the `subscribed` frame.
    pub async fn subscribe(&mut self, member: &Member) -> Value {
        self.subscribe_with(member, &json!({})).await
    }

    /// Subscribes a member with further fields, such as `after`; the `subscribed` frame.
    pub async fn subscribe_with(&mut self, member: &Member, fields: &Value) -> Value {
        let mut frame = member.subscribe_frame();
        frame["id"] = unique("subscribe").into();
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.ask(&frame, "subscribed").await
    }

    /// Says something and waits for the ack, which is returned.
    pub async fn say(&mut self, channel: &str, text: &str) -> Value {
        let frame = json!({"type": "send", "id": unique("m"), "channel": channel, "text": text});
        self.ask(&frame, "ack").await
    }

    /// Sends a frame that has an id, and checks the type of its answer, which is returned.
    ///
    /// # Panics
    /// When the answer is another one.
    pub async fn ask(&mut self, frame: &Value, kind: &str) -> Value {
        self.send(frame).await;
        let answer = self.answer_to(frame["id"].as_str().unwrap()).await;
        assert_eq!(answer["type"], kind, "{answer}");
        answer
    }

    /// All events of a channel, read backwards in pages of `limit`.
    pub async fn whole_history(&mut self, channel: &str, limit: u32) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let before = all.first().map_or(json!(u32::MAX), |event| event["seq"].clone());
            let frame = json!({"type": "history", "id": unique("history"), "channel": channel,
                               "before": before, "limit": limit});
            let page = self.ask(&frame, "history").await;
            all.splice(0..0, events(&page).iter().cloned());
            if page["more"] == false {
                return all;
            }
        }
    }

    /// A sign of life: the gateway answers a frame that is of no use to anybody. What came before
    /// the answer is in order before it, so tests can tell that something did not come.
    pub async fn ping(&mut self) {
        let id = unique("ping");
        self.send(&json!({"type": "unsubscribe", "id": id, "channel": "nowhere"})).await;
        self.answer_to(&id).await;
    }

    /// All that was kept and not asked for.
    #[must_use]
    pub fn kept(&self) -> Vec<Value> {
        self.kept.iter().cloned().collect()
    }

    /// The next frame off the wire.
    async fn read(&mut self) -> Option<Value> {
        if self.closed.is_some() {
            return None;
        }
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value =
                        serde_json::from_str(&text).expect("a frame that is not JSON");
                    if let Some(recorded) = &mut self.recorded {
                        recorded.server.push(frame.clone());
                    }
                    return Some(frame);
                }
                Some(Ok(Message::Close(close))) => {
                    self.closed = Some(close.map_or(0, |close| close.code.into()));
                    // Answers the close frame.
                    let _ = self.stream.close(None).await;
                    return None;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closed = Some(0);
                    return None;
                }
            }
        }
    }
}
