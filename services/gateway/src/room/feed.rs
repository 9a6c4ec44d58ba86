//! Brings a channel's events into its room, in order and whole.
//!
//! Live copies come over core NATS, which may lose some. Each names the event before it, so a hole
//! shows, and nothing later goes out before the log has filled it. What no later event reveals is
//! found by looking into the log: after a reconnect, after an overflow, and now and then.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use goch_contract::{
    Error, Seq, Uid,
    event::{FROM_HEADER, is_trusted, write_positioned},
    frame::Signal,
    presence::PresenceSignal,
    services::broker::Catchup,
};

use super::{Kept, Room, deliver::Delivered, keep};
use crate::{
    ServiceClient,
    metrics::{CloseLabel, GatewayMetrics},
    socket::{closing::Closing, flusher::Flusher},
};

/// Live events that are handed on in one go when they have gathered.
const BATCH_MAX: usize = 64;

/// In a burst, more of it is waited for before a large room's sockets are written to: each takes a
/// system call, whose cost hardly depends on how many events it writes. That takes as long as the
/// last round of writes did, so that readers can answer it and workers that share a channel fall
/// into step, but no shorter and no longer than this.
const GATHER_MIN: Duration = Duration::from_millis(1);
const GATHER_MAX: Duration = Duration::from_millis(20);

/// Several events at once are a burst for so long after their round of writes.
const BURST_FOR: Duration = Duration::from_millis(20);

/// Events asked of the log at a time.
const CATCHUP_LIMIT: u32 = 500;

/// The pause after the log could not be read.
const PAUSE: Duration = Duration::from_millis(500);

/// How often an answer of the log may be older than a live event that has already been seen, before
/// the events between are taken for deleted. A read from a follower can be a moment behind.
const STALE_ANSWERS_MAX: u32 = 10;

/// A room's two subscriptions and what fills its holes.
pub(super) struct Feed {
    pub(super) room: Rc<Room>,
    pub(super) live: Subscriber,
    pub(super) signals: Subscriber,
    pub(super) client: Client,
    pub(super) services: ServiceClient,
    pub(super) metrics: GatewayMetrics,
    pub(super) flusher: Rc<Flusher>,
    pub(super) burst: Burst,
}

/// What is known of a burst of events in a large room.
pub(super) struct Burst {
    /// Until when more events are expected to follow soon.
    until: Instant,
    /// How long they are waited for.
    gather_for: Duration,
}

impl Default for Burst {
    fn default() -> Self {
        Self { until: Instant::now(), gather_for: GATHER_MIN }
    }
}

/// A live copy: the event and its place.
struct Live {
    prev: Seq,
    kept: Kept,
}

impl Feed {
    /// Runs until it is dropped, or until NATS has closed the subscription for good.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                message = self.live.next() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
                signal = self.signals.next() => {
                    if let Some(signal) = signal {
                        self.signal(signal).await;
                    }
                }
                () = self.room.look.notified() => self.look().await,
            }
        }
    }

    /// Takes a live copy and those that have gathered behind it.
    async fn take(&mut self, first: Message) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        let mut last = self.room.with_ring(super::Ring::last_seq);
        let is_large = self.room.is_large();
        let mut gathers = is_large && Instant::now() < self.burst.until;
        while let Some(message) = next {
            if let Some(live) = self.read(&message)
                && live.kept.seq > last
            {
                if live.prev != last {
                    // Also when `prev` is 0, which means "unknown" once there was an event.
                    self.deliver(std::mem::take(&mut batch));
                    self.metrics.holes.inc();
                    self.close_distance(live.prev).await;
                    last = self.room.with_ring(super::Ring::last_seq);
                }
                if live.kept.seq > last {
                    last = live.kept.seq;
                    batch.push(live.kept);
                }
            }
            if batch.len() >= BATCH_MAX {
                break;
            }
            next = self.live.next().now_or_never().flatten();
            if next.is_none() && std::mem::take(&mut gathers) {
                tokio::time::sleep(self.burst.gather_for).await;
                next = self.live.next().now_or_never().flatten();
            }
        }
        let is_burst = batch.len() > 1;
        self.deliver(batch);
        if is_large {
            let begun = Instant::now();
            self.flusher.flushed().await;
            let ended = Instant::now();
            self.burst.gather_for = (ended - begun).clamp(GATHER_MIN, GATHER_MAX);
            if is_burst {
                self.burst.until = ended + BURST_FOR;
            }
        }
    }

    fn deliver(&self, events: Vec<Kept>) {
        if !events.is_empty() {
            self.metrics.count_delivered(&self.room.deliver(events));
        }
    }

    fn read(&self, message: &Message) -> Option<Live> {
        let live = parse(message);
        if live.is_none() {
            let channel = self.room.channel();
            tracing::warn!(%channel, "a live message is not one of Goch's events");
        }
        live
    }

    /// Looks into the log once. If it cannot be read, live events go on, and the room is due for a
    /// check again.
    async fn look(&self) {
        let looked = catch_up(&self.room, &self.services, &self.metrics).await;
        if let Err(error) = looked {
            let channel = self.room.channel();
            tracing::debug!(%channel, %error, "the log could not be looked into");
            self.room.postpone_check(Instant::now());
        }
    }

    /// Asks the log for what follows the room's last event and hands it on, until the log has no
    /// more. `until` is known to have been in the log. Tries for as long as it takes: nothing later
    /// may go out before.
    async fn close_distance(&self, until: Seq) {
        let mut stale_answers = 0;
        loop {
            match catch_up(&self.room, &self.services, &self.metrics).await {
                Ok(log_end) if log_end >= until => return,
                Ok(_) if stale_answers == STALE_ANSWERS_MAX => return,
                Ok(_) => stale_answers += 1,
                Err(error) => {
                    let channel = self.room.channel();
                    tracing::warn!(%channel, %error, "a hole waits for the log");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn signal(&self, message: Message) {
        if let Ok(signal) = serde_json::from_slice::<Signal>(&message.payload) {
            if let Signal::Read { uid, seq, .. } = &signal {
                self.room.note_position(uid, *seq);
            }
            return self.room.signal(&signal);
        }
        match serde_json::from_slice(&message.payload) {
            Ok(PresenceSignal::Report(report)) => self.room.hear(report),
            Ok(PresenceSignal::Query) => {
                let Some(reply) = message.reply else { return };
                let answer = PresenceSignal::Report(self.room.presence_answer()).to_payload();
                if let Err(error) = self.client.publish(reply, answer.into()).await {
                    tracing::debug!(%error, "a question for presence was not answered");
                }
            }
            // Of a newer service.
            Err(_) => {}
        }
    }
}

/// Hands on everything in the log after the room's last event. Tells the log's end.
pub(super) async fn catch_up(
    room: &Rc<Room>,
    services: &ServiceClient,
    metrics: &GatewayMetrics,
) -> Result<Seq, Error> {
    loop {
        let after = room.with_ring(super::Ring::last_seq);
        let request = Catchup { channel: room.channel().clone(), after, limit: CATCHUP_LIMIT };
        let answer = services.call(&request).await?;
        let events: Vec<_> = answer.page.events.iter().filter_map(keep).collect();
        let is_empty = events.is_empty();
        if !is_empty {
            metrics.count_delivered(&room.deliver(events));
        }
        if !answer.page.more || is_empty {
            return Ok(answer.last_seq);
        }
    }
}

impl GatewayMetrics {
    fn count_delivered(&self, delivered: &Delivered) {
        self.deliveries.inc_by(delivered.deliveries);
        self.count_put_out(delivered.put_out);
    }

    /// Counts sockets that were closed because their members may not use the channel any more.
    pub(super) fn count_put_out(&self, sockets: u64) {
        if sockets > 0 {
            let code = Closing::Removed.code();
            self.closes.get_or_create(&CloseLabel { code }).inc_by(sockets);
        }
    }
}

fn sequence(headers: &HeaderMap, name: &str) -> Option<Seq> {
    headers.get(name)?.as_str().parse().ok().map(Seq)
}

/// Adds an event's place, which the server put into the headers, to the event.
fn parse(message: &Message) -> Option<Live> {
    let headers = message.headers.as_ref()?;
    let seq = sequence(headers, "Nats-Sequence")?;
    let prev = sequence(headers, "Nats-Last-Sequence")?;
    if !is_trusted(&message.payload) {
        return None;
    }
    let mut json = Vec::new();
    write_positioned(&mut json, &message.payload, seq, prev).ok()?;
    let from = headers.get(FROM_HEADER).and_then(|uid| Uid::parse(uid.as_str()).ok());
    Some(Live { prev, kept: Kept { seq, from, json: json.into() } })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn live(payload: Vec<u8>, seq: &str, prev: &str, from: &str) -> Message {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Sequence", seq);
        headers.insert("Nats-Last-Sequence", prev);
        headers.insert(FROM_HEADER, from);
        Message {
            subject: "goch.live.c".into(),
            reply: None,
            payload: payload.into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    proptest! {
        #[test]
        fn a_live_copy_gets_its_place_from_its_headers(seq: u64, prev: u64, from in "[ -~]{0,8}") {
            let payload = br#"{"type":"message","time":5}"#.to_vec();
            let message = live(payload, &seq.to_string(), &prev.to_string(), &from);
            let live = parse(&message).unwrap();
            prop_assert_eq!((live.kept.seq, live.prev), (Seq(seq), Seq(prev)));
            prop_assert_eq!(live.kept.from, Uid::parse(&from).ok());
            let expected = format!(r#"{{"type":"message","time":5,"seq":{seq},"prev":{prev}}}"#);
            prop_assert_eq!(live.kept.json, expected);
        }

        #[test]
        fn a_place_that_is_not_a_number_or_an_event_that_is_none_is_refused(
            payload: Vec<u8>,
            word in "[^0-9\\pC][ -~]{0,8}",
        ) {
            let event = br#"{"type":"message","time":5}"#.to_vec();
            let word = word.replace('+', "x");
            prop_assert!(parse(&live(event.clone(), &word, "0", "ann")).is_none());
            prop_assert!(parse(&live(event, "1", &word, "ann")).is_none());
            if let Some(live) = parse(&live(payload, "1", "0", "ann")) {
                prop_assert!(std::str::from_utf8(&live.kept.json).is_ok());
            }
        }
    }
}
