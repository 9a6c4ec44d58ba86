//! What an event of the log says to ticketing: no request, one, or one for each member concerned.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, Role, Seq, Uid, UnixMillis,
    event::{Outline, actor_of},
    rest::AdminMember,
    services::{
        admin::{Online, Roster},
        broker::Span,
        history::Unread,
    },
    webhook::EventKind,
};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Webhooks,
    record::{Lane, WebhookRecord},
    sender::Notice,
};

/// Members whose unread messages are asked for at the same time.
const MEMBERS_AT_A_TIME: usize = 16;

/// An event at its place.
#[derive(Debug, Clone)]
pub(crate) struct LogEvent {
    pub(crate) channel: ChannelName,
    pub(crate) seq: Seq,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

/// The version of what webhooks are sent.
const VERSION: u32 = 1;

/// A request's body, as Standard Webhooks shapes it.
#[derive(Serialize)]
struct Body<D> {
    version: u32,
    #[serde(rename = "type")]
    kind: EventKind,
    timestamp: String,
    data: D,
}

/// The data of `message.unread`: who may want an e-mail, and about how much. Never what was said.
#[derive(Serialize)]
struct UnreadData<'a> {
    channel: &'a ChannelName,
    uid: Uid,
    display_name: String,
    role: Role,
    email: Option<String>,
    /// The first message that is unread.
    seq: Seq,
    /// When it was said.
    since: UnixMillis,
    /// All that are unread by now.
    unread: u64,
    /// Whether the member has the channel open somewhere, and yet has not read.
    online: bool,
}

impl<D: Serialize> Body<D> {
    fn of(kind: EventKind, time: UnixMillis, data: D) -> Self {
        Self { version: VERSION, kind, timestamp: rfc3339(time), data }
    }
}

impl LogEvent {
    fn outline(&self) -> Option<Outline<'_>> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// When it was published.
    pub(crate) fn time(&self) -> UnixMillis {
        self.outline().map_or(UnixMillis(0), |outline| outline.time)
    }

    /// Whether a lane of a webhook has to do with it.
    pub(crate) fn is_wanted(&self, lane: Lane, webhook: &WebhookRecord) -> bool {
        self.outline().is_some_and(|outline| match lane {
            Lane::Unread => outline.kind == "message",
            Lane::Events => EventKind::of_event(&outline.kind)
                .is_some_and(|kind| webhook.events.contains(&kind)),
        })
    }
}

impl Webhooks {
    /// The requests that an event asks for.
    ///
    /// # Errors
    /// `unavailable` when it cannot be told now.
    pub(crate) async fn notices(
        &self,
        lane: Lane,
        webhook: &WebhookRecord,
        log: i64,
        event: &LogEvent,
    ) -> Result<Vec<Notice>, Error> {
        if !event.is_wanted(lane, webhook) {
            return Ok(Vec::new());
        }
        match lane {
            Lane::Events => Ok(event_notice(log, event).into_iter().collect()),
            Lane::Unread => self.unread_notices(log, event).await,
        }
    }

    /// One for each member for whom the message is the first one that is unread. Each stretch of
    /// unread messages has one first message, so nobody is told of twice, and nothing needs to be
    /// remembered.
    async fn unread_notices(&self, log: i64, event: &LogEvent) -> Result<Vec<Notice>, Error> {
        let Some(outline) = event.outline() else { return Ok(Vec::new()) };
        let mut unread = Vec::new();
        let mut after = None;
        loop {
            let roster = Roster { channel: event.channel.clone(), after };
            let page = self.services.call(&roster).await?;
            after = page.members.last().map(|member| member.uid.clone());
            let others = page.members.into_iter();
            let others = others.filter(|it| Some(it.uid.as_str()) != outline.from_uid.as_deref());
            let counts = others.map(|member| self.unread_since(event, outline.time, member));
            let counts: Vec<Option<UnreadData<'_>>> =
                stream::iter(counts).buffered(MEMBERS_AT_A_TIME).try_collect().await?;
            unread.extend(counts.into_iter().flatten());
            if !page.more {
                break;
            }
        }
        if !unread.is_empty() {
            let online = self.services.call(&Online { channel: event.channel.clone() }).await?;
            for data in &mut unread {
                data.online = online.contains(&data.uid);
            }
        }
        unread.into_iter().map(|data| unread_notice(log, event.seq, data)).collect()
    }

    /// What is unread of a member, if the message is the first of it.
    async fn unread_since<'a>(
        &self,
        event: &'a LogEvent,
        since: UnixMillis,
        member: AdminMember,
    ) -> Result<Option<UnreadData<'a>>, Error> {
        let (channel, uid) = (event.channel.clone(), member.uid);
        let unread = Unread { channel: channel.clone(), uid: uid.clone(), fresh: false };
        let unread = self.services.call(&unread).await?;
        if unread.count == 0 || unread.position >= event.seq {
            return Ok(None);
        }
        let not_from = uid.clone();
        let (after, before) = (unread.position, event.seq);
        let earlier = Span { not_from, after, before, by_sender: false };
        let earlier = self.replay.count(&channel, &[earlier]).await?;
        if earlier.iter().any(|earlier| earlier.count > 0) {
            return Ok(None);
        }
        Ok(Some(UnreadData {
            channel: &event.channel,
            uid,
            display_name: member.display_name,
            role: member.role,
            email: member.email,
            seq: event.seq,
            since,
            unread: unread.count,
            online: false,
        }))
    }
}

fn unread_notice(log: i64, seq: Seq, data: UnreadData<'_>) -> Result<Notice, Error> {
    let id = format!("{log}-{seq}-unread-{}", data.uid);
    let body = Body::of(EventKind::MessageUnread, UnixMillis::now(), data);
    let body = serde_json::to_vec(&body)
        .map_err(|_| Error::new(ErrorCode::Internal, "a notice cannot be serialized"))?;
    Ok(Notice { id, body })
}

/// The stored event with its sequence, and who of ticketing had it happen; nothing if it cannot be read.
fn event_notice(log: i64, event: &LogEvent) -> Option<Notice> {
    let outline = event.outline()?;
    let kind = EventKind::of_event(&outline.kind)?;
    let object = std::str::from_utf8(&event.payload).ok()?.trim_end().strip_suffix('}')?;
    let mut data = format!("{object},\"seq\":{}", event.seq);
    if let Some(actor) = event.headers.as_ref().and_then(actor_of) {
        // The name of a credential needs no escaping.
        data = format!("{data},\"actor\":\"{actor}\"");
    }
    let data = RawValue::from_string(format!("{data}}}")).ok()?;
    let body = Body::of(kind, outline.time, data);
    let id = format!("{log}-{}", event.seq);
    Some(Notice { id, body: serde_json::to_vec(&body).ok()? })
}

fn rfc3339(time: UnixMillis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use goch_contract::event::ACTOR_HEADER;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_notice_has_its_golden_form() {
        let payload = r#"{"type":"closed","channel":"ticket-42","time":1700000000123}"#;
        let mut event = LogEvent {
            channel: ChannelName::parse("ticket-42").unwrap(),
            seq: Seq(7),
            headers: None,
            payload: payload.into(),
        };
        let notice = event_notice(1_690_000_000, &event).unwrap();
        assert_eq!(notice.id, "1690000000-7");
        assert_eq!(
            String::from_utf8(notice.body).unwrap(),
            r#"{"version":1,"type":"channel.closed","timestamp":"2023-11-14T22:13:20.123Z","data":{"type":"closed","channel":"ticket-42","time":1700000000123,"seq":7}}"#
        );
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR_HEADER, "help-desk");
        event.headers = Some(headers);
        let notice = event_notice(1_690_000_000, &event).unwrap();
        let body: Value = serde_json::from_slice(&notice.body).unwrap();
        assert_eq!(body["data"]["actor"], "help-desk");
    }

    /// Payloads that version 1 has ever sent, by their type.
    const FIXTURES: &str = include_str!("../../../../crates/contract/fixtures/v1/webhooks.json");

    /// What is sent for the event that a payload is about, or the unread message.
    fn sent_again(payload: &Value) -> Value {
        let mut data = payload["data"].clone();
        let channel = ChannelName::parse(data["channel"].as_str().unwrap()).unwrap();
        let seq = Seq(data["seq"].as_u64().unwrap());
        let notice = if payload["type"] == "message.unread" {
            let text = |field: &str| data[field].as_str().map(str::to_owned);
            let unread = UnreadData {
                channel: &channel,
                uid: Uid::parse(data["uid"].as_str().unwrap()).unwrap(),
                display_name: text("display_name").unwrap(),
                role: Role::parse(data["role"].as_str().unwrap()).unwrap(),
                email: text("email"),
                seq,
                since: UnixMillis(data["since"].as_u64().unwrap()),
                unread: data["unread"].as_u64().unwrap(),
                online: data["online"].as_bool().unwrap(),
            };
            unread_notice(1, seq, unread).unwrap()
        } else {
            let stored = data.as_object_mut().unwrap();
            stored.remove("seq");
            let headers = stored.remove("actor").map(|actor| {
                let mut headers = HeaderMap::new();
                headers.insert(ACTOR_HEADER, actor.as_str().unwrap());
                headers
            });
            let payload = Bytes::from(data.to_string());
            event_notice(1, &LogEvent { channel, seq, headers, payload }).unwrap()
        };
        serde_json::from_slice(&notice.body).unwrap()
    }

    #[test]
    fn every_payload_of_version_1_is_sent_as_ever() {
        let fixtures: BTreeMap<String, Vec<Value>> = serde_json::from_str(FIXTURES).unwrap();
        let missing = EventKind::ALL.map(EventKind::as_str);
        let missing: Vec<_> =
            missing.iter().filter(|kind| !fixtures.contains_key(**kind)).collect();
        let place = "crates/contract/fixtures/v1/webhooks.json";
        assert!(missing.is_empty(), "add a payload of {missing:?} to {place}");
        for (kind, payloads) in fixtures {
            assert!(!payloads.is_empty(), "add a payload of {kind} to {place}");
            for payload in payloads {
                assert_eq!(payload["type"], kind);
                let sent = sent_again(&payload);
                // The moment of a reminder is the present one.
                for field in ["version", "type", "timestamp"] {
                    let is_now = field == "timestamp" && kind == "message.unread";
                    assert!(is_now || sent[field] == payload[field], "{field}: {sent}");
                }
                // There may be more by now.
                for (field, value) in payload["data"].as_object().unwrap() {
                    assert_eq!(sent["data"].get(field), Some(value), "{kind}: {field}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_event_says_nothing() {
        for payload in ["", "{}", "[]", r#"{"type":"pinned","time":1}"#, r#"{"type":"closed"}"#] {
            let channel = ChannelName::parse("c").unwrap();
            let payload = Bytes::from_static(payload.as_bytes());
            let event = LogEvent { channel, seq: Seq(1), headers: None, payload };
            assert!(event_notice(1, &event).is_none());
        }
    }
}
