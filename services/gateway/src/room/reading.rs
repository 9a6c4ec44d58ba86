//! How far the members of one channel have read, and the unread counts of those who watch it.
//!
//! A count belongs to the end of the room's events: each event that the room takes in adds to it, in
//! the same step. A position is the highest that was answered or signalled, here or to a room of the
//! channel in another worker. When signals may have been missed both are forgotten and asked for anew,
//! so a count is exact or it is not told.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use goch_contract::{
    ChannelName, PersonKind, Seq, Uid, frame::ServerFrame, services::admin::Member,
};
use slab::Slab;

use super::{
    Kept, Ring,
    positions::{ChannelPositions, Counted, Known},
};
use crate::socket::{encode, outbox::Outbox};

/// `read`s that may wait to be stored.
const MARKS_MAX: usize = 10_000;

/// A socket that watches the channel.
struct Watcher {
    outbox: Rc<Outbox>,
    member: Member,
    /// The count that it was given last.
    told: Option<u64>,
}

/// The unread messages of a member who watches the channel.
#[derive(Default)]
struct Tally {
    watchers: usize,
    /// What those who watch are.
    kind: PersonKind,
    position: Option<Seq>,
    /// None while it has to be counted anew.
    count: Option<u64>,
    /// Events up to here are in the count, or were read; the room may not have them yet.
    through: Seq,
}

impl Tally {
    /// Forgets what is known of whoever has the uid.
    fn forget(&mut self) {
        *self = Self { watchers: self.watchers, kind: self.kind, ..Self::default() };
    }

    /// Counts from the room's memory, as far as that reaches back.
    fn recount(&mut self, uid: &Uid, ring: &Ring) {
        self.count = self.position.and_then(|position| ring.unread(uid, position));
        self.through = self.position.unwrap_or_default().max(ring.last_seq());
    }
}

/// See the module.
pub(super) struct Reading {
    positions: Arc<ChannelPositions>,
    /// Whether this room is counted among those that hear all signals.
    listens: bool,
    tallies: HashMap<Uid, Tally>,
    watchers: Slab<Watcher>,
    /// What members have read that is not stored yet.
    marks: HashMap<Uid, (PersonKind, Seq)>,
}

impl Reading {
    pub(super) fn new(positions: Arc<ChannelPositions>) -> Self {
        let (tallies, watchers, marks) = (HashMap::new(), Slab::new(), HashMap::new());
        Self { positions, listens: false, tallies, watchers, marks }
    }

    /// Notes that the room hears all signals from now on. Tells whether it may have missed some before.
    pub(super) fn listen(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.listens, true);
        if is_new {
            self.positions.add_listener();
            self.forget_tallies();
        }
        is_new
    }

    pub(super) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// Who watches, and where.
    pub(super) fn watchers(&self) -> impl Iterator<Item = (Member, &Outbox)> {
        self.watchers.iter().map(|(_, watcher)| (watcher.member.clone(), &*watcher.outbox))
    }

    /// Rises when positions are forgotten.
    pub(super) fn epoch(&self) -> u64 {
        self.positions.epoch()
    }

    /// What is known of a member.
    pub(super) fn known(&self, uid: &Uid) -> Option<Known> {
        self.positions.get(uid)
    }

    /// A member's read position, if it is known.
    pub(super) fn position(&self, uid: &Uid) -> Option<Seq> {
        self.known(uid).map(|known| known.position)
    }

    /// Notes a member's read position that was signalled. Tells whether a watcher's count may have
    /// changed.
    pub(super) fn note_position(&mut self, uid: &Uid, position: Seq, ring: &Ring) -> bool {
        self.positions.note(uid, position);
        self.move_tally(uid, position, ring)
    }

    /// Notes a member's read position that was answered. None if positions have been forgotten since
    /// `epoch`; else whether a watcher's count may have changed.
    pub(super) fn note_answer(
        &mut self,
        epoch: u64,
        uid: &Uid,
        position: Seq,
        ring: &Ring,
    ) -> Option<bool> {
        let holds = self.positions.note_answer(epoch, uid, position);
        holds.then(|| self.move_tally(uid, position, ring))
    }

    fn move_tally(&mut self, uid: &Uid, position: Seq, ring: &Ring) -> bool {
        let Some(tally) = self.tallies.get_mut(uid) else { return false };
        if tally.position.is_some_and(|known| known >= position) {
            return false;
        }
        tally.position = Some(position);
        tally.recount(uid, ring);
        true
    }

    /// The count of a member who is watching, if it is known.
    pub(super) fn known_count(&self, uid: &Uid, ring: &Ring) -> Option<Counted> {
        let tally = self.tallies.get(uid)?;
        let (position, count) = (tally.position?, tally.count?);
        Some(Counted { position, count, through: tally.through.max(ring.last_seq()) })
    }

    /// Notes a member's count, which must reach the end of the room's events.
    pub(super) fn note_counted(&mut self, uid: &Uid, counted: Counted, ring: &Ring) {
        if counted.through >= ring.last_seq()
            && let Some(tally) = self.tallies.get_mut(uid)
            && tally.position.is_none_or(|known| known <= counted.position)
        {
            tally.position = Some(counted.position);
            (tally.count, tally.through) = (Some(counted.count), counted.through);
        }
    }

    /// Remembers a member's count that was asked for, for when the member comes back.
    pub(super) fn remember(&self, epoch: u64, uid: &Uid, counted: Counted) {
        self.positions.note_counted(epoch, uid, counted);
    }

    /// Counts events that the room has taken in. Tells whether a watcher's count may have changed.
    pub(super) fn count(&mut self, events: &[Kept]) -> bool {
        for (uid, tally) in &mut self.tallies {
            if let Some(count) = &mut tally.count {
                let new = events.partition_point(|kept| kept.seq <= tally.through);
                *count += Ring::of_others(uid, &events[new..]);
            }
        }
        !self.tallies.is_empty()
    }

    /// Counts anew those for whom a deleted message may have been unread; where the ring cannot tell, the
    /// log is asked.
    pub(super) fn count_without(&mut self, message: Seq, ring: &Ring) {
        for (uid, tally) in &mut self.tallies {
            if tally.position.is_none_or(|position| position < message) {
                tally.recount(uid, ring);
            }
        }
    }

    /// Seats a watcher.
    pub(super) fn watch(&mut self, outbox: Rc<Outbox>, member: Member, kind: PersonKind) -> usize {
        let known = self.position(&member.uid);
        let tally = self.tallies.entry(member.uid.clone()).or_default();
        tally.kind = kind;
        tally.position = tally.position.or(known);
        tally.watchers += 1;
        self.watchers.insert(Watcher { outbox, member, told: None })
    }

    /// Removes a watcher.
    pub(super) fn unwatch(&mut self, key: usize) {
        let Some(watcher) = self.watchers.try_remove(key) else { return };
        if let Some(tally) = self.tallies.get_mut(&watcher.member.uid) {
            tally.watchers -= 1;
            if tally.watchers == 0 {
                self.tallies.remove(&watcher.member.uid);
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
            let count = self.tallies.get(&watcher.member.uid).and_then(|tally| tally.count);
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
    pub(super) fn uncounted(&self) -> Vec<(Uid, PersonKind)> {
        let uncounted = self.tallies.iter().filter(|(_, tally)| tally.count.is_none());
        uncounted.map(|(uid, tally)| (uid.clone(), tally.kind)).collect()
    }

    /// Forgets how far somebody has read who has left: whoever has the uid next may be another person.
    pub(super) fn forget(&mut self, uid: &Uid) {
        self.marks.remove(uid);
        self.positions.forget_member(uid);
        if let Some(tally) = self.tallies.get_mut(uid) {
            tally.forget();
        }
    }

    /// Forgets what signals told, some of which may have been missed.
    pub(super) fn distrust(&mut self) {
        self.positions.forget();
        self.forget_tallies();
    }

    fn forget_tallies(&mut self) {
        self.tallies.values_mut().for_each(Tally::forget);
    }

    /// Notes that a member has read up to `seq`, to be stored soon. Tells whether it will be.
    pub(super) fn mark(&mut self, uid: &Uid, kind: PersonKind, seq: Seq) -> bool {
        if let Some((_, marked)) = self.marks.get_mut(uid).filter(|(of, _)| *of == kind) {
            *marked = seq.max(*marked);
            return true;
        }
        let has_room = self.marks.len() < MARKS_MAX || self.marks.contains_key(uid);
        if has_room {
            self.marks.insert(uid.clone(), (kind, seq));
        }
        has_room
    }

    pub(super) fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// What is to be stored.
    pub(super) fn take_marks(&mut self) -> Vec<(Uid, (PersonKind, Seq))> {
        std::mem::take(&mut self.marks).into_iter().collect()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.listens {
            self.positions.remove_listener();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use goch_contract::MembershipId;

    use super::*;
    use crate::room::positions::Positions;

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn ann() -> Member {
        Member { uid: uid("ann"), membership: MembershipId::parse("a").unwrap() }
    }

    fn said(seq: u64, from: &str) -> Kept {
        Kept { seq: Seq(seq), from: Some(uid(from)), json: Bytes::from_static(b"{}") }
    }

    fn reading() -> Reading {
        let channel = ChannelName::parse("c").unwrap();
        let mut reading = Reading::new(Arc::new(Positions::default()).of(&channel));
        reading.listen();
        reading
    }

    /// Ann has been counted at the end of a room's events.
    fn note_count(reading: &mut Reading, count: u64) {
        let counted = Counted { position: Seq(10), count, through: Seq(10) };
        reading.note_counted(&uid("ann"), counted, &Ring::new(Seq(10), false));
    }

    fn watched_by_ann() -> (Reading, usize) {
        let mut reading = reading();
        let key = reading.watch(Outbox::unconnected(1_000), ann(), PersonKind::Account);
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
        note_count(&mut reading, 7);
        reading.count(&[said(12, "bob"), said(13, "ann"), said(14, "eve")]);
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
        assert_eq!(reading.uncounted(), [(uid("ann"), PersonKind::Account)]);
    }

    #[test]
    fn what_history_has_counted_before_the_room_had_it_is_not_counted_again() {
        let (mut reading, _) = watched_by_ann();
        let counted = Counted { position: Seq(3), count: 9, through: Seq(12) };
        reading.note_counted(&uid("ann"), counted, &Ring::new(Seq(13), false));
        assert_eq!(count(&reading), None, "it is older than the room");
        reading.note_counted(&uid("ann"), counted, &Ring::new(Seq(10), false));
        reading.count(&[said(11, "bob"), said(12, "bob")]);
        assert_eq!(count(&reading), Some(9));
        reading.count(&[said(13, "bob")]);
        assert_eq!(count(&reading), Some(10));
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
        note_count(&mut reading, 5);
        reading.count_without(Seq(9), &ring);
        assert_eq!(count(&reading), Some(5));
        reading.distrust();
        reading.count_without(Seq(11), &ring);
        assert_eq!(reading.uncounted(), [(uid("ann"), PersonKind::Account)]);
    }

    #[test]
    fn a_watcher_is_told_changes_after_its_answer() {
        let (mut reading, key) = watched_by_ann();
        let channel = ChannelName::parse("c").unwrap();
        note_count(&mut reading, 1);
        reading.tell(&channel);
        reading.note_told(key, 1);
        reading.tell(&channel);
        assert_eq!(reading.watchers[key].outbox.bytes(), 0);
        reading.count(&[said(12, "bob")]);
        reading.tell(&channel);
        assert!(reading.watchers[key].outbox.bytes() > 0);
        assert_eq!(reading.watchers[key].told, Some(2));
    }

    #[test]
    fn reads_of_a_moment_are_stored_as_one() {
        let mut reading = reading();
        for seq in [4, 9, 7] {
            assert!(reading.mark(&uid("ann"), PersonKind::Account, Seq(seq)));
        }
        assert_eq!(reading.take_marks(), [(uid("ann"), (PersonKind::Account, Seq(9)))]);
        assert!(!reading.has_marks());
    }
}
