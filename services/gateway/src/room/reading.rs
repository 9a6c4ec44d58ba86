//! How far the members of one channel have read, and the unread counts of those who watch it.
//!
//! A count belongs to the end of the room's events: each event that the room takes in adds to it, in
//! the same step. A position is the highest that was answered or signalled. When signals may have
//! been missed both are forgotten and asked for anew, so a count is exact or it is not told.

use std::{collections::HashMap, rc::Rc};

use goch_contract::{ChannelName, Seq, Uid, frame::ServerFrame};
use slab::Slab;

use super::{Kept, Ring};
use crate::socket::{encode, outbox::Outbox};

/// Read positions that a room remembers of members who do not watch it.
const POSITIONS_MAX: usize = 1_000;

/// `read`s that may wait to be stored.
const MARKS_MAX: usize = 10_000;

/// A socket that watches the channel.
struct Watcher {
    outbox: Rc<Outbox>,
    uid: Uid,
    /// The count that it was given last.
    told: Option<u64>,
}

/// The unread messages of a member who watches the channel.
#[derive(Default)]
struct Tally {
    watchers: usize,
    position: Option<Seq>,
    /// None while it has to be counted anew.
    count: Option<u64>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Reading {
    positions: HashMap<Uid, Seq>,
    tallies: HashMap<Uid, Tally>,
    watchers: Slab<Watcher>,
    /// What members have read that is not stored yet.
    marks: HashMap<Uid, Seq>,
    /// Rises when positions are forgotten, so that an answer from before is not taken for new.
    epoch: u64,
}

impl Reading {
    pub(super) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Who watches, and where.
    pub(super) fn watchers(&self) -> impl Iterator<Item = (&Uid, &Outbox)> {
        self.watchers.iter().map(|(_, watcher)| (&watcher.uid, &*watcher.outbox))
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A member's read position, if it is known.
    pub(super) fn position(&self, uid: &Uid) -> Option<Seq> {
        let watched = self.tallies.get(uid).and_then(|tally| tally.position);
        watched.or_else(|| self.positions.get(uid).copied())
    }

    /// Notes a member's read position. Tells whether a watcher's count may have changed.
    pub(super) fn note_position(&mut self, uid: &Uid, position: Seq, ring: &Ring) -> bool {
        if let Some(known) = self.positions.get_mut(uid) {
            *known = position.max(*known);
        } else if self.positions.len() < POSITIONS_MAX {
            self.positions.insert(uid.clone(), position);
        }
        let Some(tally) = self.tallies.get_mut(uid) else { return false };
        if tally.position.is_some_and(|known| known >= position) {
            return false;
        }
        tally.position = Some(position);
        tally.count = ring.unread(uid, position);
        true
    }

    /// The count of a member who is watching, if it is known.
    pub(super) fn known_count(&self, uid: &Uid) -> Option<u64> {
        self.tallies.get(uid)?.count
    }

    /// Notes a member's count at the end of the room's events.
    pub(super) fn note_count(&mut self, uid: &Uid, count: u64) {
        if let Some(tally) = self.tallies.get_mut(uid) {
            tally.count = Some(count);
        }
    }

    /// Counts events that the room has taken in. Tells whether a watcher's count may have changed.
    pub(super) fn count(&mut self, events: &[Kept]) -> bool {
        for (uid, tally) in &mut self.tallies {
            if let Some(count) = &mut tally.count {
                *count += Ring::of_others(uid, events);
            }
        }
        !self.tallies.is_empty()
    }

    /// Counts anew those for whom a deleted message may have been unread; where the ring cannot tell, the
    /// log is asked.
    pub(super) fn count_without(&mut self, message: Seq, ring: &Ring) {
        for (uid, tally) in &mut self.tallies {
            if tally.position.is_none_or(|position| position < message) {
                tally.count = tally.position.and_then(|position| ring.unread(uid, position));
            }
        }
    }

    /// Seats a watcher.
    pub(super) fn watch(&mut self, outbox: Rc<Outbox>, uid: Uid) -> usize {
        let known = self.positions.get(&uid).copied();
        let tally = self.tallies.entry(uid.clone()).or_default();
        tally.position = tally.position.or(known);
        tally.watchers += 1;
        self.watchers.insert(Watcher { outbox, uid, told: None })
    }

    /// Removes a watcher.
    pub(super) fn unwatch(&mut self, key: usize) {
        let Some(watcher) = self.watchers.try_remove(key) else { return };
        if let Some(tally) = self.tallies.get_mut(&watcher.uid) {
            tally.watchers -= 1;
            if tally.watchers == 0 {
                self.tallies.remove(&watcher.uid);
            }
        }
    }

    /// Notes what a watcher was told in an answer.
    pub(super) fn note_told(&mut self, key: usize, count: u64) {
        if let Some(watcher) = self.watchers.get_mut(key) {
            watcher.told = Some(count);
        }
    }

    /// Tells the watchers whose count is another one than they were told.
    pub(super) fn tell(&mut self, channel: &ChannelName) {
        for (_, watcher) in &mut self.watchers {
            let count = self.tallies.get(&watcher.uid).and_then(|tally| tally.count);
            // The first one is told in the answer to the `watch`.
            if let (Some(count), Some(told)) = (count, watcher.told)
                && count != told
            {
                let unread = ServerFrame::Unread { id: None, channel, count };
                watcher.outbox.push(encode::text(&unread.to_json()));
                watcher.told = Some(count);
            }
        }
    }

    pub(super) fn has_uncounted(&self) -> bool {
        self.tallies.values().any(|tally| tally.count.is_none())
    }

    /// Members whose count must be made anew.
    pub(super) fn uncounted(&self) -> Vec<Uid> {
        let uncounted = self.tallies.iter().filter(|(_, tally)| tally.count.is_none());
        uncounted.map(|(uid, _)| uid.clone()).collect()
    }

    /// Forgets what signals told, some of which may have been missed.
    pub(super) fn distrust(&mut self) {
        self.positions.clear();
        for tally in self.tallies.values_mut() {
            *tally = Tally { watchers: tally.watchers, ..Tally::default() };
        }
        self.epoch += 1;
    }

    /// Notes that a member has read up to `seq`, to be stored soon. Tells whether it will be.
    pub(super) fn mark(&mut self, uid: &Uid, seq: Seq) -> bool {
        if let Some(marked) = self.marks.get_mut(uid) {
            *marked = seq.max(*marked);
            return true;
        }
        let has_room = self.marks.len() < MARKS_MAX;
        if has_room {
            self.marks.insert(uid.clone(), seq);
        }
        has_room
    }

    pub(super) fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// What is to be stored.
    pub(super) fn take_marks(&mut self) -> Vec<(Uid, Seq)> {
        std::mem::take(&mut self.marks).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn said(seq: u64, from: &str) -> Kept {
        Kept { seq: Seq(seq), from: Some(uid(from)), json: Bytes::from_static(b"{}") }
    }

    fn watched_by_ann() -> (Reading, usize) {
        let mut reading = Reading::default();
        let key = reading.watch(Outbox::new(1_000), uid("ann"));
        (reading, key)
    }

    fn count(reading: &Reading) -> Option<u64> {
        reading.tallies[&uid("ann")].count
    }

    #[test]
    fn a_count_rises_with_the_messages_of_others_only() {
        let (mut reading, _) = watched_by_ann();
        reading.count(&[said(1, "bob")]);
        assert_eq!(count(&reading), None, "not counted yet");
        reading.note_count(&uid("ann"), 7);
        reading.count(&[said(2, "bob"), said(3, "ann"), said(4, "eve")]);
        assert_eq!(count(&reading), Some(9));
    }

    #[test]
    fn a_position_counts_anew_where_it_can_and_asks_where_it_cannot() {
        let (mut reading, _) = watched_by_ann();
        let mut ring = Ring::new(Seq(10), false);
        for event in [said(11, "bob"), said(12, "bob")] {
            ring.push(event);
        }
        assert!(reading.note_position(&uid("ann"), Seq(11), &ring));
        assert_eq!(count(&reading), Some(1));
        assert!(!reading.note_position(&uid("ann"), Seq(5), &ring), "never back");
        assert_eq!(count(&reading), Some(1));
        reading.distrust();
        assert!(reading.note_position(&uid("ann"), Seq(5), &ring));
        assert_eq!(reading.uncounted(), [uid("ann")]);
    }

    #[test]
    fn a_deleted_message_is_no_longer_unread() {
        let (mut reading, _) = watched_by_ann();
        let mut ring = Ring::new(Seq(10), false);
        ring.push(said(11, "bob"));
        reading.note_position(&uid("ann"), Seq(10), &ring);
        assert_eq!(count(&reading), Some(1));
        let deletion =
            br#"{"type":"deleted","channel":"c","time":1,"id":"d","message":11,"uid":"bob"}"#;
        ring.push(Kept { seq: Seq(12), from: None, json: Bytes::from_static(deletion) });
        reading.count_without(Seq(11), &ring);
        assert_eq!(count(&reading), Some(0));
        // One that was read before changes nothing, and one that cannot be told from here is asked for.
        reading.note_count(&uid("ann"), 5);
        reading.count_without(Seq(9), &ring);
        assert_eq!(count(&reading), Some(5));
        reading.distrust();
        reading.count_without(Seq(11), &ring);
        assert_eq!(reading.uncounted(), [uid("ann")]);
    }

    #[test]
    fn a_watcher_is_told_changes_after_its_answer() {
        let (mut reading, key) = watched_by_ann();
        let channel = ChannelName::parse("c").unwrap();
        reading.note_count(&uid("ann"), 1);
        reading.tell(&channel);
        reading.note_told(key, 1);
        reading.tell(&channel);
        assert_eq!(reading.watchers[key].outbox.bytes(), 0);
        reading.count(&[said(2, "bob")]);
        reading.tell(&channel);
        assert!(reading.watchers[key].outbox.bytes() > 0);
        assert_eq!(reading.watchers[key].told, Some(2));
    }

    #[test]
    fn reads_of_a_moment_are_stored_as_one() {
        let mut reading = Reading::default();
        for seq in [4, 9, 7] {
            assert!(reading.mark(&uid("ann"), Seq(seq)));
        }
        assert_eq!(reading.take_marks(), [(uid("ann"), Seq(9))]);
        assert!(!reading.has_marks());
    }
}
