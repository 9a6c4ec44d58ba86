//! The latest events of one channel, kept in memory.
//!
//! The ring is whole: it holds every event of the channel after `covered_after`, up to its last.
//! So a socket that resumes shortly after a disconnect is answered without asking anybody.

use std::collections::VecDeque;

use bytes::Bytes;
use goch_contract::{
    Seq, Uid,
    event::{Logged, Revision},
    services::history::Page,
};

use super::revision::Heard;

/// Events kept. A first page of the usual size comes out of the ring.
const EVENTS_MAX: usize = 128;
/// Bytes kept, so that large messages do not make large rooms. The newest event always stays.
const BYTES_MAX: usize = 128 * 1024;

/// One event as sockets get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) seq: Seq,
    /// Whose message this is; nobody's for other events.
    pub(crate) from: Option<Uid>,
    /// The event with `seq` and `prev`.
    pub(crate) json: Bytes,
}

impl Kept {
    /// The edit or the deletion that this is, if it is one. Messages, of which there are many, are not
    /// parsed.
    pub(super) fn revision(&self) -> Option<Revision> {
        if self.from.is_some() { None } else { Revision::of_event(self.seq, &self.json) }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Kept>,
    bytes: usize,
    covered_after: Seq,
    /// Whether there is nothing before the ring.
    reaches_start: bool,
    /// Those of its events that edit or delete messages.
    revisions: Vec<Heard>,
}

impl Ring {
    /// An empty ring of a channel whose events after `covered_after` are to come.
    pub(crate) fn new(covered_after: Seq, reaches_start: bool) -> Self {
        let (events, revisions) = (VecDeque::new(), Vec::new());
        Self { events, bytes: 0, covered_after, reaches_start, revisions }
    }

    /// The last event's sequence.
    pub(crate) fn last_seq(&self) -> Seq {
        self.events.back().map_or(self.covered_after, |kept| kept.seq)
    }

    /// Whether there is nothing before the ring.
    pub(crate) fn reaches_start(&self) -> bool {
        self.reaches_start
    }

    /// Every event after this is here.
    pub(crate) fn covered_after(&self) -> Seq {
        self.covered_after
    }

    /// Every edit and deletion after this is here, and stays for a while: what [`Self::amend`] does not add
    /// to events from elsewhere. Later than [`Self::covered_after`], because the oldest events make room for
    /// those that come while a page is fetched.
    pub(crate) fn amends_after(&self) -> Seq {
        let oldest = self.events.iter().take(self.events.len() / 4).last();
        oldest.map_or(self.covered_after, |kept| kept.seq)
    }

    /// Whether every event after `seq` is here.
    pub(crate) fn covers(&self, seq: Seq) -> bool {
        seq >= self.covered_after
    }

    /// The first event's sequence.
    pub(crate) fn first_seq(&self) -> Option<Seq> {
        self.events.front().map(|kept| kept.seq)
    }

    /// Adds the channel's next event, and does to the others what it says; the oldest ones make room for
    /// it.
    pub(crate) fn push(&mut self, kept: Kept) {
        let heard = Heard::of(&kept);
        self.bytes += kept.json.len();
        self.events.push_back(kept);
        if let Some(heard) = heard {
            heard.apply(&mut self.events);
            let Revision { message, deletes, .. } = heard.revision;
            if deletes {
                self.revisions.retain(|earlier| earlier.revision.message != message);
            }
            self.bytes = self.events.iter().map(|kept| kept.json.len()).sum();
            self.revisions.push(heard);
        }
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.json.len();
            self.covered_after = oldest.seq;
            self.reaches_start = false;
            self.revisions.retain(|heard| heard.revision.seq > oldest.seq);
        }
    }

    /// Events of the channel from elsewhere, with what the ring knows of their edits and deletions.
    pub(crate) fn amend(&self, events: Vec<Kept>) -> Vec<Kept> {
        if self.revisions.is_empty() {
            return events;
        }
        let mut events = VecDeque::from(events);
        for heard in &self.revisions {
            heard.apply(&mut events);
        }
        events.into()
    }

    /// A page of the channel from elsewhere as sockets get it, with what the ring knows of its edits and
    /// deletions: as a rule that is nothing, and the events are not parsed. Whoever answered has checked
    /// that they are events.
    pub(crate) fn show(&self, page: &Page) -> Vec<Bytes> {
        if self.revisions.is_empty() {
            let positioned = page.events.iter().filter_map(|logged| logged.positioned().ok());
            return positioned.map(Bytes::from).collect();
        }
        let kept = self.amend(page.events.iter().filter_map(keep).collect());
        kept.into_iter().map(|kept| kept.json).collect()
    }

    /// Whether a message up to `seq` has been deleted after `seq`, as far as the ring reaches.
    pub(crate) fn has_deleted_since(&self, seq: Seq) -> bool {
        let is_it = |it: &Revision| it.deletes && it.seq > seq && it.message <= seq;
        self.revisions.iter().any(|heard| is_it(&heard.revision))
    }

    /// The events after `seq`.
    pub(crate) fn after(&self, seq: Seq) -> impl ExactSizeIterator<Item = &Kept> {
        let start = self.events.partition_point(|kept| kept.seq <= seq);
        self.events.range(start..)
    }

    /// The latest `limit` events, or as many as are here.
    pub(crate) fn latest(&self, limit: usize) -> impl ExactSizeIterator<Item = &Kept> {
        self.events.range(self.events.len().saturating_sub(limit)..)
    }

    /// Messages of others than `uid` after `position`, if that can be told from here.
    pub(crate) fn unread(&self, uid: &Uid, position: Seq) -> Option<u64> {
        let count = || Self::of_others(uid, self.after(position));
        (self.covers(position) || self.reaches_start).then(count)
    }

    /// How many of `events` are messages of others than `uid`.
    pub(crate) fn of_others<'a>(uid: &Uid, events: impl IntoIterator<Item = &'a Kept>) -> u64 {
        let is_others = |kept: &&Kept| kept.from.as_ref().is_some_and(|from| from != uid);
        events.into_iter().filter(is_others).count() as u64
    }
}

/// A stored event as it is kept; none if it is malformed.
pub(crate) fn keep(logged: &Logged) -> Option<Kept> {
    let payload = logged.event.get().as_bytes();
    let outline: goch_contract::event::Outline<'_> = serde_json::from_slice(payload).ok()?;
    let from = outline.from_uid.filter(|_| outline.kind == "message");
    let from = from.and_then(|uid| Uid::parse(&uid).ok());
    Some(Kept { seq: logged.seq, from, json: logged.positioned().ok()?.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::room::revision;

    fn kept(seq: u64, from: Option<&str>) -> Kept {
        let from = from.map(|uid| Uid::parse(uid).unwrap());
        Kept { seq: Seq(seq), from, json: Bytes::from_static(b"{}") }
    }

    #[test]
    fn a_full_ring_forgets_the_oldest_and_says_so() {
        let mut ring = Ring::new(Seq(0), true);
        for seq in 1..=EVENTS_MAX as u64 + 2 {
            ring.push(kept(seq, None));
        }
        assert!(!ring.covers(Seq(1)) && ring.covers(Seq(2)));
        assert!(!ring.reaches_start());
        assert_eq!(ring.first_seq(), Some(Seq(3)));
        assert_eq!(ring.after(Seq(2)).len(), EVENTS_MAX);
    }

    #[test]
    fn a_page_from_elsewhere_has_to_have_what_the_ring_may_forget_while_it_is_fetched() {
        let mut ring = Ring::new(Seq(7), false);
        assert_eq!(ring.amends_after(), Seq(7));
        for seq in 11..=13 {
            ring.push(kept(seq, None));
        }
        assert_eq!(ring.amends_after(), Seq(7), "such a small one forgets nothing");
        for seq in 14..=EVENTS_MAX as u64 + 10 {
            ring.push(kept(seq, None));
        }
        let asked = ring.amends_after();
        for seq in 0..EVENTS_MAX as u64 / 8 {
            ring.push(kept(EVENTS_MAX as u64 + 11 + seq, None));
        }
        assert!(ring.covered_after() > Seq(7) && ring.covers(asked));
    }

    #[test]
    fn large_events_make_room_too() {
        let mut ring = Ring::new(Seq(0), true);
        for seq in 1..=3 {
            let json = Bytes::from(vec![b' '; BYTES_MAX]);
            ring.push(Kept { seq: Seq(seq), from: None, json });
        }
        assert_eq!(ring.latest(10).len(), 1);
        assert_eq!(ring.last_seq(), Seq(3));
    }

    #[test]
    fn unread_counts_the_messages_of_others_only_when_all_are_here() {
        let ann = Uid::parse("ann").unwrap();
        let mut ring = Ring::new(Seq(10), false);
        for (seq, from) in [(11, Some("ann")), (13, Some("bob")), (17, None), (19, Some("bob"))] {
            ring.push(kept(seq, from));
        }
        assert_eq!(ring.unread(&ann, Seq(10)), Some(2));
        assert_eq!(ring.unread(&ann, Seq(13)), Some(1));
        assert_eq!(ring.unread(&ann, Seq(9)), None);
    }

    #[test]
    fn a_deleted_message_is_neither_here_nor_in_what_comes_from_elsewhere() {
        let (text, edit) =
            (json!({"text": "a"}), json!({"type": "edited", "message": 3, "text": "b"}));
        let deletion = json!({"type": "deleted", "message": 5});
        let mut ring = Ring::new(Seq(4), false);
        for (seq, prev, event) in [(5, 3, &text), (7, 5, &edit), (9, 7, &deletion)] {
            ring.push(revision::tests::kept(seq, prev, event.clone()));
        }
        let seqs: Vec<_> = ring.after(Seq(0)).map(|kept| kept.seq.0).collect();
        assert_eq!(seqs, [7, 9]);
        assert_eq!(ring.bytes, ring.after(Seq(0)).map(|kept| kept.json.len()).sum::<usize>());
        assert!(ring.has_deleted_since(Seq(5)) && !ring.has_deleted_since(Seq(9)));
        assert!(!ring.has_deleted_since(Seq(4)));
        let older = [(3, 0), (5, 3)];
        let older = older.map(|(seq, prev)| revision::tests::kept(seq, prev, text.clone()));
        let amended = ring.amend(older.to_vec());
        assert_eq!(amended.len(), 1);
        assert!(std::str::from_utf8(&amended[0].json).unwrap().contains(r#""text":"b""#));
    }

    #[test]
    fn a_resume_gets_exactly_what_came_after() {
        let mut ring = Ring::new(Seq(0), true);
        for seq in [3, 5, 9] {
            ring.push(kept(seq, None));
        }
        // 4 is another channel's event: a client may name any sequence.
        let seqs: Vec<_> = ring.after(Seq(4)).map(|kept| kept.seq.0).collect();
        assert_eq!(seqs, [5, 9]);
    }

    /// A channel's events: rising sequences with holes, some of them messages of ann or bob, some of
    /// them large.
    fn channel() -> impl Strategy<Value = Vec<Kept>> {
        let author = prop::sample::select(vec![None, Some("ann"), Some("bob")]);
        let size = prop_oneof![9 => 1_usize..200, 1 => 1_usize..BYTES_MAX];
        prop::collection::vec((1_u64..5, author, size), 0..200).prop_map(|events| {
            let mut seq = 0;
            let events = events.into_iter().map(|(step, author, size)| {
                seq += step;
                Kept { json: Bytes::from(vec![b' '; size]), ..kept(seq, author) }
            });
            events.collect()
        })
    }

    proptest! {
        #[test]
        fn a_ring_is_the_whole_end_of_its_channel(events in channel(), asked in 0_u64..800) {
            let mut ring = Ring::new(Seq(0), true);
            for kept in &events {
                ring.push(kept.clone());
            }
            let held: Vec<_> = ring.latest(usize::MAX).cloned().collect();
            prop_assert!(events.ends_with(&held));
            prop_assert!(held.len() <= EVENTS_MAX);
            let bytes: usize = held.iter().map(|kept| kept.json.len()).sum();
            prop_assert!(bytes <= BYTES_MAX || held.len() == 1);
            prop_assert_eq!(ring.reaches_start(), held.len() == events.len());
            prop_assert_eq!(ring.last_seq(), events.last().map_or(Seq(0), |kept| kept.seq));

            let after = |all: &[Kept]| -> Vec<Kept> {
                all.iter().filter(|kept| kept.seq > Seq(asked)).cloned().collect()
            };
            let given: Vec<_> = ring.after(Seq(asked)).cloned().collect();
            prop_assert_eq!(&given, &after(&held));
            // What it says to cover, it has.
            if ring.covers(Seq(asked)) {
                prop_assert_eq!(given, after(&events));
            }
        }

        #[test]
        fn unread_is_what_a_recount_gives(events in channel(), position in 0_u64..800) {
            let mut ring = Ring::new(Seq(0), true);
            for kept in &events {
                ring.push(kept.clone());
            }
            let ann = Uid::parse("ann").unwrap();
            let is_unread = |kept: &&Kept| {
                kept.seq > Seq(position) && kept.from.as_ref().is_some_and(|from| *from != ann)
            };
            let recounted = events.iter().filter(is_unread).count() as u64;
            match ring.unread(&ann, Seq(position)) {
                Some(count) => prop_assert_eq!(count, recounted),
                None => prop_assert!(!ring.covers(Seq(position))),
            }
        }
    }
}
