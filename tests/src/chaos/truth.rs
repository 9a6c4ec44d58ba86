//! What is true at the end: the log, read whole from JetStream, and what the services say of it.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{self, stream::RawMessageErrorKind};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    checker::{Content, Given, Revised, Said, Way},
    rest::Rest,
    wait::within,
};

/// Events asked of history at a time; odd and small, so that pages begin everywhere.
const PAGE: usize = 97;

/// The log of one installation.
pub(super) struct Log {
    jetstream: jetstream::Context,
    prefix: String,
}

impl Log {
    pub(super) async fn open(url: &str, prefix: &str) -> Self {
        let servers: Vec<_> = url.split(',').map(|url| url.parse().unwrap()).collect();
        let connecting = async_nats::connect::<Vec<async_nats::ServerAddr>>(servers);
        let client = within("a connection to NATS", connecting).await.unwrap();
        Self { jetstream: jetstream::new(client), prefix: prefix.to_owned() }
    }

    /// Whether every deletion that was begun is finished within `patience`: what is left to be done of
    /// each stands in a bucket.
    pub(super) async fn is_settled(&self, patience: Duration) -> bool {
        let bucket = format!("{}_deletions", self.prefix);
        let bucket = within("the deletions", self.jetstream.get_key_value(bucket)).await.unwrap();
        let end = Instant::now() + patience;
        loop {
            let mut keys = within("the deletions", bucket.keys()).await.unwrap();
            if within("a deletion", keys.next()).await.is_none() {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Every event, by channel. The stream's leader is asked for one after the other: whoever went by the
    /// number of events that the stream says it has waited in vain for one, now and then, after crashes of
    /// NATS 2.9 between deletions.
    pub(super) async fn read(&self) -> BTreeMap<String, Vec<Given>> {
        let stream = format!("{}_log", self.prefix);
        let stream = within("the log", self.jetstream.get_stream(stream)).await.unwrap();
        let state = &stream.cached_info().state;
        let mut channels: BTreeMap<String, Vec<Given>> = BTreeMap::new();
        for seq in state.first_sequence..=state.last_sequence {
            let message = match within("an event", stream.get_raw_message(seq)).await {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => continue,
                Err(error) => panic!("the log cannot be read: {error}"),
            };
            let subject = message.subject.as_str();
            let Some(channel) = subject.strip_prefix(&format!("{}.log.", self.prefix)) else {
                // What says that something has ended is no event of a channel.
                continue;
            };
            let channel = channel.to_owned();
            let events = channels.entry(channel).or_default();
            let mut event: Value = serde_json::from_slice(&message.payload).unwrap();
            event["seq"] = seq.into();
            event["prev"] = events.last().map_or(0, |last| last.seq).into();
            events.push(given(&event, Way::Live));
        }
        channels
    }

    /// Read positions, by channel and uid: whoever is there has joined as a guest.
    pub(super) async fn position(&self, channel: &str, uid: &str) -> u64 {
        let bucket = format!("{}_positions", self.prefix);
        let bucket = within("the positions", self.jetstream.get_key_value(bucket)).await.unwrap();
        let value =
            within("a position", bucket.get(format!("{channel}.{uid}.guest"))).await.unwrap();
        let text = value.map(|value| String::from_utf8_lossy(&value).into_owned());
        text.map_or(0, |text| text.trim().parse().expect("a position is a number"))
    }
}

/// A channel's history as ticketing reads it, page by page.
pub(super) async fn history(admin: &Rest, channel: &str) -> Vec<Given> {
    let mut events: Vec<Given> = Vec::new();
    loop {
        let after = events.last().map_or(0, |last| last.seq);
        let path = format!("/v1/admin/channels/{channel}/messages?after={after}&limit={PAGE}");
        let answer = patiently(admin, &path).await;
        let page = answer["messages"].as_array().unwrap();
        events.extend(given_page(page));
        if answer["more"] != true || page.is_empty() {
            return events;
        }
    }
}

/// A member's unread messages as ticketing reads them.
pub(super) async fn unread(admin: &Rest, channel: &str, uid: &str) -> u64 {
    let path = format!("/v1/admin/channels/{channel}/members/{uid}");
    let counted = async || patiently(admin, &path).await["unread"].as_u64();
    crate::wait::until("unread messages are counted", counted).await
}

/// Asks again while a part of the system is still coming back.
async fn patiently(admin: &Rest, path: &str) -> Value {
    crate::wait::until(path, async || {
        let answer = admin.try_get(path).await?;
        if answer.status == 503 {
            sleep(Duration::from_millis(200)).await;
            return None;
        }
        Some(answer.expect(200).body)
    })
    .await
}

/// The events of a page as they are recorded.
pub(super) fn given_page(page: &[Value]) -> Vec<Given> {
    let through = page.last().and_then(|event| event["seq"].as_u64()).unwrap_or_default();
    page.iter().map(|event| given(event, Way::Page { through })).collect()
}

/// An event as it is recorded.
pub(super) fn given(event: &Value, way: Way) -> Given {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let content = match event["type"].as_str() {
        Some("message") => Content::Message(Said {
            uid: text("from_uid"),
            id: text("id"),
            text: text("text"),
            time: number("time"),
            edited_at: event["edited_at"].as_u64(),
        }),
        Some(kind @ ("edited" | "deleted")) => Content::Revised(Revised {
            uid: text("uid"),
            id: text("id"),
            message: number("message"),
            text: (kind == "edited").then(|| text("text")),
            time: number("time"),
        }),
        _ => Content::Other,
    };
    Given { seq: number("seq"), prev: number("prev"), way, content }
}
