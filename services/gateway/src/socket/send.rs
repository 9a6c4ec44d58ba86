//! `send`: from a frame to an event in the log, and back to its ack.

use std::{rc::Rc, time::Instant};

use async_nats::{
    HeaderMap,
    connection::State,
    header::NATS_MESSAGE_ID,
    jetstream::{context::PublishAckFuture, message::PublishMessage},
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use goch_chassis::nats::REQUEST_TIMEOUT;
use goch_contract::{
    Error, ErrorCode, MessageId, Seq, UnixMillis,
    event::{Event, MEMBERSHIP_HEADER, Message, Sender, deduplication_id, name_sender},
    frame::{Send, ServerFrame},
    services::broker::stored_time,
    trace,
};
use tracing::Instrument as _;

use super::connection::Connection;
use crate::{ServiceClient, room::Room};

/// What became of a `send`.
pub(super) struct Sent {
    id: MessageId,
    room: Rc<Room>,
    started: Instant,
    outcome: Result<Stored, Error>,
}

struct Stored {
    seq: Seq,
    time: UnixMillis,
    duplicate: bool,
}

impl Connection {
    /// Hands a message to NATS. The returned future is done when the log has stored it, or could
    /// not.
    pub(super) async fn publish(&self, send: Send) -> Result<LocalBoxFuture<'static, Sent>, Error> {
        let subscription = self.subscription(&send.channel)?;
        let started = Instant::now();
        self.take_message(subscription, started)?;
        let room = Rc::clone(subscription.seat.room());
        if room.is_closed() {
            let message = "the channel is closed: it takes no more messages";
            return Err(Error::of_field(ErrorCode::ChannelClosed, "channel", message));
        }
        let time = UnixMillis::now();
        let span = tracing::debug_span!("send", otel.kind = "producer", channel = %send.channel);
        let profile = subscription.seat.profile();
        let headers = span.in_scope(|| {
            let mut headers = HeaderMap::new();
            let sender = Sender::Member(&profile.membership);
            let deduplication = deduplication_id(&send.channel, sender, send.id.as_str());
            headers.insert(NATS_MESSAGE_ID, deduplication);
            name_sender(&mut headers, profile.kind, &profile.uid);
            headers.insert(MEMBERSHIP_HEADER, profile.membership.as_str());
            trace::inject(&mut headers);
            headers
        });
        let id = send.id.clone();
        let event = Event::Message(Message {
            channel: send.channel,
            time,
            id: send.id,
            from_uid: profile.uid.clone(),
            from_name: profile.display_name.clone(),
            from_role: profile.role.clone(),
            text: send.text,
            meta: send.meta,
            edited_at: None,
        });
        let message = PublishMessage::build().payload(event.to_payload().into()).headers(headers);
        let subject = self.worker.subjects.log(room.channel());
        // While NATS is away a message would wait in the client's buffer and could be stored long
        // after its sender was told that it was not.
        if self.worker.client.connection_state() != State::Connected {
            return Err(away());
        }
        let publishing = self.worker.jetstream.send_publish(subject, message);
        let ack = tokio::time::timeout(REQUEST_TIMEOUT, publishing)
            .await
            .map_err(|_| away())?
            .map_err(|error| refused(&error))?;
        let services = self.worker.services.clone();
        let outcome = async move {
            let outcome = stored(ack, time, &room, &services).await;
            Sent { id, room, started, outcome }
        };
        Ok(outcome.instrument(span).boxed_local())
    }

    /// Tells the client what became of its message.
    pub(super) fn acknowledge(&self, sent: Sent) {
        let stored = match sent.outcome {
            Ok(stored) => stored,
            Err(error) => return self.refuse(Some(&sent.id), &error),
        };
        let metrics = &self.worker.metrics;
        metrics.acked.inc();
        metrics.ack_seconds.observe(sent.started.elapsed().as_secs_f64());
        sent.room.note_acked(stored.seq);
        self.answer(&ServerFrame::Ack {
            id: &sent.id,
            channel: sent.room.channel(),
            seq: stored.seq,
            time: stored.time,
            duplicate: stored.duplicate,
        });
    }
}

fn away() -> Error {
    Error::unavailable("the message broker is away; send again with the same id")
}

fn refused(error: &dyn std::error::Error) -> Error {
    tracing::warn!(%error, "a message was not stored");
    Error::unavailable("the message was not stored; send again with the same id")
}

async fn stored(
    ack: PublishAckFuture,
    time: UnixMillis,
    room: &Room,
    services: &ServiceClient,
) -> Result<Stored, Error> {
    let ack = tokio::time::timeout(REQUEST_TIMEOUT, ack)
        .await
        .map_err(|_| away())?
        .map_err(|error| refused(&error))?;
    let seq = Seq(ack.sequence);
    let time = if ack.duplicate { first_time(seq, room, services).await? } else { time };
    Ok(Stored { seq, time, duplicate: ack.duplicate })
}

/// The time of the message that a resend duplicates.
async fn first_time(seq: Seq, room: &Room, services: &ServiceClient) -> Result<UnixMillis, Error> {
    let before = Seq(seq.0.saturating_sub(1));
    let kept = room.with_ring(|ring| ring.after(before).next().map(|kept| kept.json.clone()));
    if let Some(time) = kept.as_deref().and_then(|json| time_of(json, seq)) {
        return Ok(time);
    }
    stored_time(services, room.channel().clone(), seq).await
}

/// The time of a positioned event, if it is the one at `seq`.
fn time_of(json: &[u8], seq: Seq) -> Option<UnixMillis> {
    #[derive(serde::Deserialize)]
    struct Place {
        seq: Seq,
        time: UnixMillis,
    }
    serde_json::from_slice::<Place>(json).ok().filter(|place| place.seq == seq).map(|p| p.time)
}
