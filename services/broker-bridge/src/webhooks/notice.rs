//! What an event of the log says to ticketing: no request, one, or one for each member concerned.

use std::fmt::Write as _;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, Seq, Tenants, Uid, UnixMillis,
    ended::{Ended, PersonErased},
    event::{Outline, actor_of},
    rest::AdminMember,
    services::{
        admin::{Online, Roster},
        broker::Span,
        history::Unread,
    },
    subjects::Subjects,
    webhook::{Body, EventKind, MessageUnread},
};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Webhooks,
    record::{Lane, Line, WebhookRecord},
    sender::Notice,
};

/// Members whose unread messages are asked for at the same time.
const MEMBERS_AT_A_TIME: usize = 16;

/// Bytes of a request's id.
const ID_BYTES: usize = 16;

/// An event at its place.
#[derive(Debug, Clone)]
pub(crate) struct LogEvent {
    pub(crate) line: Line,
    pub(crate) seq: Seq,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
    /// It says that something has ended, and is no event of a channel.
    is_end: bool,
}

impl LogEvent {
    /// What the log has on a subject; none if it is none of Goch's.
    pub(crate) fn new(
        subjects: &Subjects,
        subject: &str,
        seq: Seq,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Option<Self> {
        let is_end = subjects.is_ended(subject);
        let line = if subject == subjects.ended_people() {
            Line::People
        } else if is_end {
            Line::Channel(subjects.channel_of_ended(subject)?)
        } else {
            Line::Channel(subjects.channel_of_log(subject)?)
        };
        Some(Self { line, seq, headers, payload, is_end })
    }

    fn outline(&self) -> Option<Outline<'_>> {
        serde_json::from_slice(&self.payload).ok()
    }

    /// When it was published.
    pub(crate) fn time(&self) -> UnixMillis {
        self.outline().map_or(UnixMillis(0), |outline| outline.time)
    }

    /// What it is to a webhook; none if it is nothing to any.
    fn kind(&self) -> Option<EventKind> {
        let outline = self.outline()?;
        // By where it stands, too: not everybody who may publish events may say that something has ended.
        if self.is_end {
            EventKind::of_ended(&outline.kind)
        } else {
            EventKind::of_event(&outline.kind)
        }
    }

    /// Whether a lane of a webhook has to do with it.
    pub(crate) fn is_wanted(&self, lane: Lane, webhook: &WebhookRecord, tenants: &Tenants) -> bool {
        let Some(kind) = self.kind() else { return false };
        let is_of_lane = match lane {
            Lane::Unread => kind == EventKind::MessageCreated,
            Lane::Events => webhook.events.contains(&kind),
        };
        is_of_lane
            && match &self.line {
                Line::Channel(channel) => webhook.is_about(channel, tenants),
                Line::People => self.erased().is_some_and(|person| match &person.channel {
                    Some(channel) => webhook.is_about(channel, tenants),
                    None => webhook.is_about_account_of(person.tenant.as_ref()),
                }),
            }
    }

    /// Whose data is erased.
    fn erased(&self) -> Option<PersonErased> {
        match serde_json::from_slice(&self.payload).ok()? {
            Ended::PersonErased(erased) => Some(erased),
            Ended::ChannelDeleted(_) => None,
        }
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
        if !event.is_wanted(lane, webhook, &self.tenants) {
            return Ok(Vec::new());
        }
        match (lane, &event.line) {
            (Lane::Events, _) => Ok(event_notice(webhook, log, event).into_iter().collect()),
            (Lane::Unread, Line::Channel(channel)) => {
                self.unread_notices(webhook, log, channel, event).await
            }
            (Lane::Unread, Line::People) => Ok(Vec::new()),
        }
    }

    /// One for each member for whom the message is the first one that is unread. Each stretch of
    /// unread messages has one first message, so nobody is told of twice, and nothing needs to be
    /// remembered.
    async fn unread_notices(
        &self,
        webhook: &WebhookRecord,
        log: i64,
        channel: &ChannelName,
        event: &LogEvent,
    ) -> Result<Vec<Notice>, Error> {
        let Some(outline) = event.outline() else { return Ok(Vec::new()) };
        let mut unread = Vec::new();
        let mut after = None;
        loop {
            let roster = Roster { channel: channel.clone(), after };
            let page = self.services.call(&roster).await?;
            after = page.members.last().map(|member| member.uid.clone());
            let others = page.members.into_iter();
            let others = others.filter(|it| Some(it.uid.as_str()) != outline.from_uid.as_deref());
            let counts =
                others.map(|member| self.unread_since(channel, event.seq, outline.time, member));
            let counts: Vec<Option<MessageUnread>> =
                stream::iter(counts).buffered(MEMBERS_AT_A_TIME).try_collect().await?;
            unread.extend(counts.into_iter().flatten());
            if !page.more {
                break;
            }
        }
        if !unread.is_empty() {
            let online = self.services.call(&Online { channel: channel.clone() }).await?;
            for data in &mut unread {
                data.online = online.contains(&data.uid);
            }
        }
        unread.into_iter().map(|data| unread_notice(webhook, log, event.seq, data)).collect()
    }

    /// What is unread of a member, if the message at `first` is the first of it.
    async fn unread_since(
        &self,
        channel: &ChannelName,
        first: Seq,
        since: UnixMillis,
        member: AdminMember,
    ) -> Result<Option<MessageUnread>, Error> {
        let (uid, kind) = (member.uid, member.kind);
        let unread = Unread { channel: channel.clone(), uid: uid.clone(), kind, fresh: false };
        let unread = self.services.call(&unread).await?;
        if unread.count == 0 || unread.position >= first {
            return Ok(None);
        }
        let not_from = uid.clone();
        let (after, before) = (unread.position, first);
        let earlier = Span { not_from, after, before, by_sender: false };
        let earlier = self.replay.count(channel, &[earlier]).await?;
        if earlier.iter().any(|earlier| earlier.count > 0) {
            return Ok(None);
        }
        Ok(Some(MessageUnread {
            channel: channel.clone(),
            uid,
            display_name: member.display_name,
            role: member.role,
            email: member.email,
            seq: first,
            since,
            unread: unread.count,
            online: false,
        }))
    }
}

/// What a request is known by: the same at each attempt and by whichever replica, another one for each webhook.
/// Nothing is to be learned from it, neither how much happens nor what a webhook is not told.
fn request_id(
    webhook: &WebhookRecord,
    kind: EventKind,
    log: i64,
    seq: Seq,
    uid: Option<&Uid>,
) -> String {
    let uid = uid.map_or("", Uid::as_str);
    let (id, key) = (&webhook.id, &webhook.id_key);
    // No part but the last has a space.
    let digest = Sha256::digest(format!("{key} {id} {kind} {log} {seq} {uid}"));
    digest.iter().take(ID_BYTES).fold(String::with_capacity(2 * ID_BYTES), |mut id, byte| {
        // Writing to a string cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

fn unread_notice(
    webhook: &WebhookRecord,
    log: i64,
    seq: Seq,
    data: MessageUnread,
) -> Result<Notice, Error> {
    let kind = EventKind::MessageUnread;
    let id = request_id(webhook, kind, log, seq, Some(&data.uid));
    let body = Body::new(kind, rfc3339(UnixMillis::now()), data);
    let body = serde_json::to_vec(&body)
        .map_err(|_| Error::new(ErrorCode::Internal, "a notice cannot be serialized"))?;
    Ok(Notice { id, body })
}

/// The stored event with its sequence, and who of ticketing had it happen; nothing if it cannot be read.
fn event_notice(webhook: &WebhookRecord, log: i64, event: &LogEvent) -> Option<Notice> {
    let (outline, kind) = (event.outline()?, event.kind()?);
    let object = std::str::from_utf8(&event.payload).ok()?.trim_end().strip_suffix('}')?;
    let mut data = format!("{object},\"seq\":{}", event.seq);
    if let Some(actor) = event.headers.as_ref().and_then(actor_of) {
        // The name of a credential needs no escaping.
        data = format!("{data},\"actor\":\"{actor}\"");
    }
    let data = RawValue::from_string(format!("{data}}}")).ok()?;
    let id = request_id(webhook, kind, log, event.seq, None);
    let body = Body::new(kind, rfc3339(outline.time), data);
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
    use std::collections::{BTreeMap, BTreeSet};

    use goch_contract::{Secret, TenantName, event::ACTOR_HEADER, webhook::ChannelPattern};
    use serde_json::{Value, json};

    use super::{
        super::{record::Starts, secrets::Secrets},
        *,
    };

    fn webhook(id_key: &str, channels: &[&str]) -> WebhookRecord {
        let channels = channels.iter().map(|pattern| ChannelPattern::parse(pattern).unwrap());
        WebhookRecord {
            id: "5e1f".to_owned(),
            id_key: id_key.to_owned(),
            url: String::new(),
            events: EventKind::ALL.into(),
            tenant: None,
            channels: channels.collect(),
            secrets: Secrets::new(Secret::new("whsec_")),
            created_at: UnixMillis(0),
            enabled_at: UnixMillis(0),
            disabled_reason: None,
            starts: Starts { events: Seq(0), unread: Seq(0) },
            replays: 0,
        }
    }

    fn stored(subject: &str, payload: &str) -> LogEvent {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        LogEvent::new(&Subjects::default(), subject, Seq(7), None, payload).unwrap()
    }

    fn closed() -> LogEvent {
        let closed = r#"{"type":"closed","channel":"ticket-42","time":1700000000123}"#;
        stored("goch.log.ticket-42", closed)
    }

    fn body(event: &LogEvent) -> Value {
        let notice = event_notice(&webhook("key", &["*"]), 1_690_000_000, event).unwrap();
        serde_json::from_slice(&notice.body).unwrap()
    }

    #[test]
    fn a_notice_has_its_golden_form() {
        let mut event = closed();
        let notice = event_notice(&webhook("key", &["*"]), 1_690_000_000, &event).unwrap();
        assert_eq!(notice.id, "82db2198373aac3a6b02875b56257002");
        assert_eq!(
            String::from_utf8(notice.body).unwrap(),
            r#"{"type":"channel.closed","version":"v1","timestamp":"2023-11-14T22:13:20.123Z","data":{"type":"closed","channel":"ticket-42","time":1700000000123,"seq":7}}"#
        );
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR_HEADER, "help-desk");
        event.headers = Some(headers);
        assert_eq!(body(&event)["data"]["actor"], "help-desk");
    }

    #[test]
    fn what_has_ended_is_told_by_what_says_so_and_by_nothing_else() {
        let deleted = r#"{"type":"channel_deleted","channel":"ticket-42","time":1700000000123}"#;
        let event = stored("goch.ended.channel.ticket-42", deleted);
        assert_eq!(
            body(&event),
            json!({"type": "channel.deleted", "version": "v1",
                   "timestamp": "2023-11-14T22:13:20.123Z",
                   "data": {"type": "channel_deleted", "channel": "ticket-42",
                            "time": 1_700_000_000_123_u64, "seq": 7}})
        );
        let erased = r#"{"type":"person_erased","uid":"ann","channel":null,"time":1700000000123}"#;
        assert_eq!(body(&stored("goch.ended.people", erased))["type"], "person.erased");
        for payload in [deleted, erased] {
            assert_eq!(stored("goch.log.ticket-42", payload).kind(), None, "{payload}");
        }
        assert_eq!(stored("goch.ended.people", r#"{"type":"closed","time":1}"#).kind(), None);
    }

    #[test]
    fn the_id_of_a_request_is_the_same_for_an_event_and_another_for_each_webhook() {
        let uid = Uid::parse("ann").unwrap();
        let one = webhook("one", &["*"]);
        let id = |webhook: &WebhookRecord, seq, uid: Option<&Uid>| {
            request_id(webhook, EventKind::MessageUnread, 1_690_000_000, Seq(seq), uid)
        };
        let mut moved = webhook("one", &["acme-*"]);
        moved.url = "https://elsewhere.example.org".to_owned();
        assert_eq!(id(&one, 7, Some(&uid)), id(&moved, 7, Some(&uid)));
        let ids: BTreeSet<_> = [
            id(&one, 7, Some(&uid)),
            id(&one, 7, None),
            id(&one, 8, Some(&uid)),
            id(&webhook("other", &["*"]), 7, Some(&uid)),
            request_id(&one, EventKind::MessageUnread, 1_690_000_001, Seq(7), Some(&uid)),
            request_id(&one, EventKind::MessageCreated, 1_690_000_000, Seq(7), Some(&uid)),
        ]
        .into();
        assert_eq!(ids.len(), 6);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn a_webhook_is_told_of_its_channels_and_of_people_only_if_it_is_about_all() {
        let is_wanted = |channels: &[&str], event: &LogEvent| {
            event.is_wanted(Lane::Events, &webhook("key", channels), &Tenants::default())
        };
        let closed = closed();
        assert!(is_wanted(&["*"], &closed) && is_wanted(&["other", "ticket-*"], &closed));
        assert!(!is_wanted(&["ticket-4", "acme-*"], &closed));
        let erased = |channel: &str| {
            let payload =
                format!(r#"{{"type":"person_erased","uid":"ann","channel":{channel},"time":1}}"#);
            stored("goch.ended.people", &payload)
        };
        assert!(is_wanted(&["a", "*"], &erased("null")) && !is_wanted(&["t*"], &erased("null")));
        assert!(
            is_wanted(&["t*"], &erased(r#""t-1""#)) && !is_wanted(&["u*"], &erased(r#""t-1""#))
        );
    }

    #[test]
    fn a_tenants_webhook_is_told_of_that_ones_channels_and_people_alone() {
        let acme = TenantName::parse("acme").unwrap();
        let tenants = Tenants::new([(acme.clone(), "ticket-".to_owned())]).unwrap();
        let others = Tenants::new([(acme.clone(), "acme-".to_owned())]).unwrap();
        let own = WebhookRecord { tenant: Some(acme), ..webhook("key", &["*"]) };
        let operators = webhook("key", &["*"]);
        let is_wanted =
            |webhook, event: &LogEvent, tenants| event.is_wanted(Lane::Events, webhook, tenants);
        let closed = closed();
        assert!(is_wanted(&own, &closed, &tenants) && is_wanted(&operators, &closed, &tenants));
        // The prefix of today counts.
        assert!(!is_wanted(&own, &closed, &others) && is_wanted(&operators, &closed, &others));
        for (tenant, channel, expected) in [
            ("\"acme\"", "null", true),
            ("null", "null", false),
            ("\"beta\"", "null", false),
            ("null", "\"ticket-1\"", true),
            ("null", "\"other\"", false),
        ] {
            let payload = format!(
                r#"{{"type":"person_erased","uid":"ann","channel":{channel},"tenant":{tenant},"time":1}}"#
            );
            let erased = stored("goch.ended.people", &payload);
            assert_eq!(is_wanted(&own, &erased, &tenants), expected, "{payload}");
            assert!(is_wanted(&operators, &erased, &tenants), "{payload}");
        }
    }

    /// Payloads that version 1 has ever sent, by their type.
    const FIXTURES: &str = include_str!("../../../../crates/contract/fixtures/v1/webhooks.json");

    /// What is sent for the event that a payload is about, or the unread message.
    fn sent_again(payload: &Value) -> Value {
        let (webhook, mut data) = (webhook("key", &["*"]), payload["data"].clone());
        let notice = if payload["type"] == "message.unread" {
            let unread: MessageUnread = serde_json::from_value(data).unwrap();
            unread_notice(&webhook, 1, unread.seq, unread).unwrap()
        } else {
            let stored = data.as_object_mut().unwrap();
            let seq = Seq(stored.remove("seq").unwrap().as_u64().unwrap());
            let headers = stored.remove("actor").map(|actor| {
                let mut headers = HeaderMap::new();
                headers.insert(ACTOR_HEADER, actor.as_str().unwrap());
                headers
            });
            let subject = match stored["type"].as_str().unwrap() {
                "person_erased" => "goch.ended.people".to_owned(),
                "channel_deleted" => {
                    format!("goch.ended.channel.{}", stored["channel"].as_str().unwrap())
                }
                _ => format!("goch.log.{}", stored["channel"].as_str().unwrap()),
            };
            let payload = Bytes::from(data.to_string());
            let event = LogEvent::new(&Subjects::default(), &subject, seq, headers, payload);
            event_notice(&webhook, 1, &event.unwrap()).unwrap()
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
            let event = stored("goch.log.c", payload);
            assert!(event_notice(&webhook("key", &["*"]), 1, &event).is_none());
        }
        let elsewhere =
            LogEvent::new(&Subjects::default(), "goch.live.c", Seq(1), None, Bytes::new());
        assert!(elsewhere.is_none());
    }
}
