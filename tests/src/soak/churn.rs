//! Clients that come and go.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::{names::members_path, rest::Rest, socket::Socket, system::System, wait::unique};

/// Channels that clients know of; the oldest are forgotten, and half of them deleted.
const KNOWN_MAX: usize = 40;

/// How often a client opens a channel of its own instead of joining one.
const NEW_CHANNEL: f64 = 0.3;

/// The most that one client says before it leaves.
const MESSAGES_MAX: usize = 8;

/// What clients have done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Channels that were created.
    pub channels: usize,
    /// Of these deleted.
    pub deleted: usize,
    /// Sockets that were opened.
    pub sockets: usize,
    /// Messages that were acked.
    pub acked: usize,
    /// Frames that were read.
    pub frames: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.channels += other.channels;
        self.deleted += other.deleted;
        self.sockets += other.sockets;
        self.acked += other.acked;
        self.frames += other.frames;
    }
}

/// What all clients share.
pub(super) struct Churn {
    gateway: String,
    public: Rest,
    admin: Rest,
    known: Mutex<VecDeque<String>>,
}

impl Churn {
    pub(super) fn new(system: &System) -> Self {
        let gateway = system.gateway().address();
        let (public, admin) = (system.gateway().rest(), system.admin());
        Self { gateway, public, admin, known: Mutex::default() }
    }

    fn known<T>(&self, act: impl FnOnce(&mut VecDeque<String>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One client after the other.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) -> Counts {
        let mut counts = Counts::default();
        while !stop.is_cancelled() {
            // A channel that was deleted meanwhile ends it early.
            if let Some(channel) = self.channel(&mut counts).await {
                let _ = self.live(&channel, &mut counts).await;
            }
            sleep(Duration::from_millis(fastrand::u64(1..50))).await;
        }
        counts
    }

    /// A channel to go to.
    async fn channel(&self, counts: &mut Counts) -> Option<String> {
        let one_of_these = |known: &mut VecDeque<String>| fastrand::choice(known.iter()).cloned();
        if fastrand::f64() > NEW_CHANNEL
            && let Some(name) = self.known(one_of_these)
        {
            return Some(name);
        }
        let name = unique("soak");
        let body = json!({"name": name, "is_private": false});
        let request = self.admin.request(Method::POST, "/v1/admin/channels").json(&body);
        self.admin.try_send(request).await?.expect(201);
        counts.channels += 1;
        let forgotten = self.known(|known| {
            known.push_back(name.clone());
            (known.len() > KNOWN_MAX).then(|| known.pop_front()).flatten()
        });
        if let Some(old) = forgotten.filter(|_| fastrand::bool()) {
            let path = format!("/v1/admin/channels/{old}");
            let request = self.admin.request(Method::DELETE, &path);
            let deleted = self.admin.try_send(request).await?;
            assert!(matches!(deleted.status, 200..=204), "{}", deleted.text);
            counts.deleted += 1;
        }
        Some(name)
    }

    /// One client, from joining to leaving. None if the channel or the socket ended first.
    async fn live(&self, channel: &str, counts: &mut Counts) -> Option<()> {
        let uid = unique("member");
        let body = json!({"uid": uid, "display_name": uid, "email": "a@b.c"});
        let request = self.public.request(Method::POST, &members_path(channel)).json(&body);
        let joined = self.public.try_send(request).await?;
        let secret = joined.body["secret"].as_str()?.to_owned();
        let mut socket = Socket::try_connect_to(&self.gateway, "", &[]).await.ok()?;
        counts.sockets += 1;
        let subscribe = json!({"type": "subscribe", "id": "s", "channel": channel, "uid": uid,
                               "secret": secret});
        let subscribed = ask(&mut socket, &subscribe, counts).await?;
        for number in 0..fastrand::usize(..=MESSAGES_MAX) {
            let text = "x".repeat(fastrand::usize(1..2_000));
            let frame = json!({"type": "send", "id": format!("m{number}"), "channel": channel,
                               "text": text});
            let answer = ask(&mut socket, &frame, counts).await?;
            counts.acked += usize::from(answer["type"] == "ack");
            tell(&mut socket, &json!({"type": "typing", "channel": channel})).await?;
        }
        let read = json!({"type": "read", "channel": channel, "seq": subscribed["last_seq"]});
        tell(&mut socket, &read).await?;
        let history = json!({"type": "history", "id": "h", "channel": channel,
                             "before": subscribed["last_seq"], "limit": 20});
        ask(&mut socket, &history, counts).await?;
        match fastrand::u8(..3) {
            0 => {
                let leave = json!({"type": "unsubscribe", "id": "u", "channel": channel});
                ask(&mut socket, &leave, counts).await?;
            }
            1 => {
                socket.try_send_message(Message::Close(None)).await.ok()?;
                while socket.next().await.is_some() {}
            }
            // Gone without a word.
            _ => {}
        }
        Some(())
    }
}

async fn tell(socket: &mut Socket, frame: &Value) -> Option<()> {
    socket.try_send_message(Message::text(frame.to_string())).await.ok()
}

/// The answer; none if the socket is closed first.
async fn ask(socket: &mut Socket, frame: &Value, counts: &mut Counts) -> Option<Value> {
    tell(socket, frame).await?;
    loop {
        let answer = socket.next().await?;
        counts.frames += 1;
        if answer["id"] == frame["id"] && answer["type"] != "message" {
            return Some(answer);
        }
    }
}
