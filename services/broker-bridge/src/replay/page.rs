//! What fits into a page, and how its events chain.

use std::collections::VecDeque;

use async_nats::{HeaderMap, Subject, jetstream::message::StreamMessage};
use bytes::Bytes;
use goch_contract::{
    Seq, UnixMillis,
    event::{Logged, Outline, actor_of, is_trusted},
    services::{
        broker::CaughtUp,
        history::{PAGE_BYTES_MAX, Page},
    },
};
use serde_json::value::RawValue;

use crate::metrics::BridgeMetrics;

/// A message of the log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) seq: Seq,
    pub(super) subject: Subject,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

impl From<StreamMessage> for Entry {
    fn from(message: StreamMessage) -> Self {
        let StreamMessage { subject, sequence, headers, payload, .. } = message;
        Self { seq: Seq(sequence), subject, headers: Some(headers), payload }
    }
}

impl Entry {
    /// The event's own time.
    pub(super) fn time(&self) -> Option<UnixMillis> {
        serde_json::from_slice::<Outline<'_>>(&self.payload).ok().map(|outline| outline.time)
    }

    /// The entry as an answer has it.
    fn logged(&self, prev: Seq, event: Box<RawValue>) -> Logged {
        Logged { seq: self.seq, prev, event, actor: self.headers.as_ref().and_then(actor_of) }
    }

    /// The event; none if nobody could read it, and the whole page with it.
    fn event(&self, metrics: &BridgeMetrics) -> Option<Box<RawValue>> {
        let event = is_trusted(&self.payload)
            .then(|| serde_json::from_slice::<Box<RawValue>>(&self.payload).ok())
            .flatten()
            .filter(|event| event.get().starts_with('{'));
        if event.is_none() {
            metrics.unreadable.inc();
            tracing::warn!(seq = %self.seq, "a stored event cannot be read and is left out");
        }
        event
    }
}

/// The first events after a point.
pub(super) struct Forward<'a> {
    page: Page,
    bytes: usize,
    limit: usize,
    /// The readable event before the next one.
    prev: Seq,
    last_read: Option<Seq>,
    metrics: &'a BridgeMetrics,
}

impl<'a> Forward<'a> {
    /// `prev` is the event before the first one; 0 if it is unknown.
    pub(super) fn new(prev: Seq, limit: u32, metrics: &'a BridgeMetrics) -> Self {
        Self {
            page: Page::default(),
            bytes: 0,
            limit: limit as usize,
            prev,
            last_read: None,
            metrics,
        }
    }

    /// Takes note of an event that is before the page.
    pub(super) fn pass(&mut self, entry: &Entry) {
        self.prev = entry.seq;
        self.last_read = Some(entry.seq);
    }

    /// Adds an event, if it can be read; false when it does not fit and the page is complete.
    pub(super) fn push(&mut self, entry: &Entry) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some(event) = entry.event(self.metrics) else {
            self.last_read = Some(entry.seq);
            return true;
        };
        let bytes = self.bytes + event.get().len();
        // An event that is larger than a page gets one to itself.
        if bytes > PAGE_BYTES_MAX && !self.page.events.is_empty() {
            self.page.more = true;
            return false;
        }
        self.bytes = bytes;
        self.page.events.push(entry.logged(self.prev, event));
        self.prev = entry.seq;
        self.last_read = Some(entry.seq);
        self.metrics.replayed.inc();
        true
    }

    pub(super) fn has_room(&self) -> bool {
        self.page.events.len() < self.limit
    }

    /// The last event that was read, readable or not.
    pub(super) fn last_read(&self) -> Seq {
        self.last_read.unwrap_or_default()
    }

    /// The page of a channel that ends at `tail`.
    pub(super) fn finish(mut self, tail: Seq) -> Page {
        self.page.more |= !self.has_room() && self.last_read() < tail;
        self.page
    }

    /// The same, with where the channel ends as far as this was read: an answer that lacks events up
    /// to `tail` must not claim to reach it.
    pub(super) fn caught_up(self, after: Seq, tail: Seq) -> CaughtUp {
        let reached = self.last_read().max(after);
        let page = self.finish(tail);
        let last_seq = if page.more { tail } else { reached };
        CaughtUp { page, last_seq }
    }
}

/// The latest events up to a point, of which more may be read than fit.
pub(super) struct Backward<'a> {
    /// The latest so far; one more than fits, to know what is before the page.
    events: VecDeque<Logged>,
    bytes: usize,
    limit: usize,
    /// Whether there are events before those that are read.
    older: bool,
    metrics: &'a BridgeMetrics,
}

impl<'a> Backward<'a> {
    pub(super) fn new(limit: u32, older: bool, metrics: &'a BridgeMetrics) -> Self {
        Self { events: VecDeque::new(), bytes: 0, limit: limit as usize, older, metrics }
    }

    /// Adds the next event, if it can be read; the oldest ones make room for it.
    pub(super) fn push(&mut self, entry: &Entry) {
        let Some(event) = entry.event(self.metrics) else { return };
        self.bytes += event.get().len();
        self.events.push_back(entry.logged(Seq(0), event));
        // What is over after the oldest event is the page.
        while self.events.len() > 2
            && let Some(oldest) = self.events.front()
            && (self.events.len() > self.limit + 1
                || self.bytes - oldest.event.get().len() > PAGE_BYTES_MAX)
        {
            self.bytes -= oldest.event.get().len();
            self.events.pop_front();
            self.older = true;
        }
    }

    pub(super) fn finish(mut self) -> Page {
        let mut prev = Seq(0);
        let is_full = self.events.len() > self.limit || self.bytes > PAGE_BYTES_MAX;
        if (is_full || self.older)
            && self.events.len() > 1
            && let Some(before) = self.events.pop_front()
        {
            prev = before.seq;
            self.older = true;
        }
        self.metrics.replayed.inc_by(self.events.len() as u64);
        let chain = self.events.into_iter().map(|mut logged| {
            logged.prev = std::mem::replace(&mut prev, logged.seq);
            logged
        });
        Page { events: chain.collect(), more: self.older }
    }
}

#[cfg(test)]
mod tests {
    use goch_contract::{Actor, event::ACTOR_HEADER};
    use proptest::prelude::*;

    use super::*;

    fn entry(seq: u64, bytes: usize) -> Entry {
        let text = "x".repeat(bytes);
        let payload =
            format!(r#"{{"type":"message","channel":"c","time":{seq},"text":"{text}"}}"#).into();
        Entry { seq: Seq(seq), subject: "goch.log.c".into(), headers: None, payload }
    }

    fn junk(seq: u64) -> Entry {
        let payload = Bytes::from_static(b"{\"type\":\"message\",\"channel\":\"c\",");
        Entry { seq: Seq(seq), subject: "goch.log.c".into(), headers: None, payload }
    }

    fn chain(page: &Page) -> Vec<(u64, u64)> {
        page.events.iter().map(|logged| (logged.prev.0, logged.seq.0)).collect()
    }

    #[test]
    fn a_page_forwards_chains_and_ends_at_its_limit() {
        let metrics = BridgeMetrics::default();
        let mut page = Forward::new(Seq(2), 2, &metrics);
        assert!(page.push(&entry(4, 1)) && page.push(&junk(5)) && page.push(&entry(9, 1)));
        assert!(!page.push(&entry(11, 1)));
        let answer = page.caught_up(Seq(2), Seq(11));
        assert_eq!(chain(&answer.page), [(2, 4), (4, 9)]);
        assert!(answer.page.more);
        assert_eq!(answer.last_seq, Seq(11));
    }

    #[test]
    fn a_page_tells_who_had_an_event_happen() {
        let metrics = BridgeMetrics::default();
        let mut by_desk = entry(4, 1);
        let mut headers = HeaderMap::new();
        headers.insert(ACTOR_HEADER, "desk");
        by_desk.headers = Some(headers);
        let mut forward = Forward::new(Seq(0), 2, &metrics);
        let mut backward = Backward::new(2, false, &metrics);
        for entry in [by_desk, entry(9, 1)] {
            forward.push(&entry);
            backward.push(&entry);
        }
        for page in [forward.finish(Seq(9)), backward.finish()] {
            let actors = page.events.iter().map(|logged| logged.actor.as_ref().map(Actor::as_str));
            assert_eq!(actors.collect::<Vec<_>>(), [Some("desk"), None]);
        }
    }

    #[test]
    fn an_answer_that_lacks_the_end_does_not_claim_it() {
        let metrics = BridgeMetrics::default();
        let mut page = Forward::new(Seq(0), 10, &metrics);
        assert!(page.push(&entry(4, 1)));
        let answer = page.caught_up(Seq(0), Seq(9));
        assert_eq!((answer.page.more, answer.last_seq), (false, Seq(4)));
        // What cannot be read was read nevertheless.
        let mut page = Forward::new(Seq(0), 10, &metrics);
        assert!(page.push(&junk(9)));
        assert_eq!(page.caught_up(Seq(4), Seq(9)).last_seq, Seq(9));
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_and_has_at_least_one_event() {
        let metrics = BridgeMetrics::default();
        let mut page = Forward::new(Seq(0), 10, &metrics);
        assert!(page.push(&entry(1, PAGE_BYTES_MAX)));
        assert!(!page.push(&entry(2, 1)));
        let page = page.finish(Seq(2));
        assert_eq!((page.events.len(), page.more), (1, true));

        let mut page = Backward::new(10, false, &metrics);
        for seq in 1..=4 {
            page.push(&entry(seq, PAGE_BYTES_MAX / 2 - 200));
        }
        let page = page.finish();
        assert_eq!(chain(&page), [(2, 3), (3, 4)]);
        assert!(page.more);
        let mut page = Backward::new(10, false, &metrics);
        page.push(&entry(1, 1));
        page.push(&entry(2, PAGE_BYTES_MAX));
        assert_eq!(chain(&page.finish()), [(1, 2)]);
    }

    #[test]
    fn a_page_backwards_has_the_latest_and_knows_what_is_before_it() {
        let metrics = BridgeMetrics::default();
        let mut page = Backward::new(2, false, &metrics);
        for entry in [entry(1, 1), entry(3, 1), entry(5, 1), junk(6), entry(8, 1)] {
            page.push(&entry);
        }
        let page = page.finish();
        assert_eq!((chain(&page), page.more), (vec![(3, 5), (5, 8)], true));

        let mut page = Backward::new(2, false, &metrics);
        page.push(&entry(1, 1));
        page.push(&entry(3, 1));
        let page = page.finish();
        assert_eq!((chain(&page), page.more), (vec![(0, 1), (1, 3)], false));
    }

    /// Events of which some cannot be read, each of so many quarters of a page or of a few bytes.
    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let size = prop_oneof![3 => Just(0), 4 => 1_usize..=4, 1 => Just(5), 1 => Just(9)];
        prop::collection::vec(size, 0..12).prop_map(|sizes| {
            let places = (1_u64..).map(|place| 3 * place);
            let entries = places.zip(sizes).map(|(seq, size)| match size {
                9 => junk(seq),
                0 => entry(seq, 1),
                quarters => {
                    let empty = entry(seq, 0).payload.len();
                    entry(seq, quarters * PAGE_BYTES_MAX / 4 - empty)
                }
            });
            entries.collect()
        })
    }

    /// How many of these events are a page: all that fit, and one at least.
    fn fitting<'a>(events: impl Iterator<Item = &'a Entry>, limit: u32) -> usize {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.payload.len();
            bytes <= PAGE_BYTES_MAX
        };
        let events: Vec<_> = events.take(limit as usize).collect();
        events.iter().copied().take_while(fits).count().max(events.len().min(1))
    }

    fn is_readable(entry: &Entry) -> bool {
        entry.payload.ends_with(b"}")
    }

    fn seqs(entries: &[&Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq.0).collect()
    }

    /// Whether each event's predecessor is the one before it, and the first one's is `prev`.
    fn is_chain(page: &Page, prev: u64) -> bool {
        let befores = std::iter::once(prev).chain(page.events.iter().map(|logged| logged.seq.0));
        chain(page).iter().map(|(prev, _)| *prev).eq(befores.take(page.events.len()))
    }

    proptest! {
        // Megabytes each.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn forwards_the_first_that_fit_are_a_page_and_whether_there_are_more_is_said(
            entries in entries(),
            limit in 1_u32..8,
        ) {
            let metrics = BridgeMetrics::default();
            let mut page = Forward::new(Seq(1), limit, &metrics);
            let mut read = 0;
            for entry in &entries {
                if !page.push(entry) {
                    break;
                }
                read += 1;
                if !page.has_room() {
                    break;
                }
            }
            let readable: Vec<_> = entries.iter().filter(|entry| is_readable(entry)).collect();
            let count = fitting(readable.iter().copied(), limit);
            let tail = entries.last().map_or(Seq(1), |entry| entry.seq);
            let answer = page.caught_up(Seq(1), tail);
            let found: Vec<_> = answer.page.events.iter().map(|logged| logged.seq.0).collect();
            prop_assert_eq!(found, seqs(&readable[..count]));
            prop_assert!(is_chain(&answer.page, 1));
            prop_assert_eq!(answer.page.more, read < entries.len());
            prop_assert_eq!(answer.last_seq, tail);
        }

        #[test]
        fn backwards_the_last_that_fit_are_a_page_and_the_one_before_them_is_known(
            entries in entries(),
            limit in 1_u32..8,
            older: bool,
        ) {
            let metrics = BridgeMetrics::default();
            let mut page = Backward::new(limit, older, &metrics);
            for entry in &entries {
                page.push(entry);
            }
            let page = page.finish();
            let readable: Vec<_> = entries.iter().filter(|entry| is_readable(entry)).collect();
            let mut count = fitting(readable.iter().rev().copied(), limit);
            // What is before the first one is not known if that was not read.
            if older && count == readable.len() && count > 1 {
                count -= 1;
            }
            let (before, expected) = readable.split_at(readable.len() - count);
            let found: Vec<_> = page.events.iter().map(|logged| logged.seq.0).collect();
            prop_assert_eq!(found, seqs(expected));
            prop_assert!(is_chain(&page, before.last().map_or(0, |entry| entry.seq.0)));
            prop_assert_eq!(page.more, older || !before.is_empty());
            prop_assert_eq!(metrics.replayed.get(), count as u64);
        }
    }

    #[test]
    fn what_is_before_a_page_is_the_predecessor_of_its_first_event() {
        let metrics = BridgeMetrics::default();
        let mut page = Forward::new(Seq(0), 10, &metrics);
        page.pass(&entry(4, 1));
        assert_eq!(page.last_read(), Seq(4));
        assert!(page.push(&entry(9, 1)));
        assert_eq!(chain(&page.finish(Seq(9))), [(4, 9)]);
        assert_eq!(entry(4, 1).time(), Some(UnixMillis(4)));
        assert_eq!(junk(4).time(), None);
    }
}
