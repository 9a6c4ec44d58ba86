//! What a room hands to its sockets: events, signals, who came and who went. Each is encoded once, as
//! one chunk that all sockets share.

use std::{rc::Rc, sync::Arc};

use bytes::BytesMut;
use goch_contract::{
    frame::{ServerFrame, Signal},
    presence::OnlineMember,
    services::admin::Member,
};

use super::{
    Kept, Room, State, Subscriber,
    turn::{Turn, Update},
};
use crate::socket::{budget::Shared, encode};

/// What became of delivered events.
#[derive(Default)]
pub(super) struct Delivered {
    /// How many sockets got how many events, multiplied.
    pub(super) deliveries: u64,
    /// How many sockets were closed with 4001.
    pub(super) put_out: u64,
}

impl Room {
    /// Adds events that follow the ring's end and hands them to the sockets, and does what they say:
    /// the sockets of a member who left get the event and are closed.
    pub(super) fn deliver(self: &Rc<Self>, events: Vec<Kept>) -> Delivered {
        let Some(first) = events.first().map(|kept| kept.seq) else { return Delivered::default() };
        let turns: Vec<_> = events.iter().filter_map(Turn::of).collect();
        let chunk = Shared::new(text_frames(events.iter().map(|kept| &kept.json)));
        let mut state = self.state.borrow_mut();
        if state.reading.count(&events) {
            self.stir();
        }
        for (_, subscriber) in &state.subscribers {
            if subscriber.given < first {
                subscriber.outbox.push_shared(&chunk);
            } else {
                let start = events.partition_point(|kept| kept.seq <= subscriber.given);
                if start < events.len() {
                    let rest = text_frames(events[start..].iter().map(|kept| &kept.json));
                    subscriber.outbox.push(rest.freeze());
                }
            }
        }
        let deliveries = (events.len() * state.subscribers.len()) as u64;
        for kept in events {
            state.ring.push(kept);
        }
        if state.ring.last_seq() >= state.acked {
            state.overdue_since = None;
        }
        drop(state);
        let put_out = turns.into_iter().map(|turn| self.turn(turn)).sum();
        Delivered { deliveries, put_out }
    }

    /// Does what an event says. Tells how many sockets that closed.
    fn turn(self: &Rc<Self>, turn: Turn) -> u64 {
        match turn {
            Turn::Closed(closed) => {
                self.state.borrow_mut().closed = Some(closed);
                0
            }
            Turn::Left(member) => {
                self.state.borrow_mut().reading.forget(&member.uid);
                self.put_out(&member)
            }
            Turn::Updated(update) => {
                self.update(&update);
                0
            }
            Turn::Deleted(message) => {
                let mut state = self.state.borrow_mut();
                let State { reading, ring, .. } = &mut *state;
                reading.count_without(message, ring);
                self.stir();
                0
            }
        }
    }

    /// Has everything that a member says from now on go out under another name or role.
    fn update(self: &Rc<Self>, update: &Update) {
        let mut state = self.state.borrow_mut();
        let State { subscribers, presence, .. } = &mut *state;
        let mut updated = None;
        for (_, subscriber) in subscribers {
            let mut known = subscriber.profile.borrow_mut();
            if known.is_of(&update.member) {
                let profile = updated.get_or_insert_with(|| Arc::new(update.of(&known)));
                let profile = Arc::clone(profile);
                *known = profile;
                presence.note_role(&update.member.uid, &update.role);
                self.stir();
            }
        }
    }

    /// Hands a signal to the sockets that it is for. A read position also goes to the member's own:
    /// it tells other devices. In a crowd it goes to those alone, and nobody is told who is typing.
    pub(super) fn signal(&self, signal: &Signal) {
        let state = self.state.borrow();
        let is_crowd = state.presence.is_crowd();
        let is_for = |subscriber: &Subscriber| {
            let is_own = subscriber.profile.borrow().uid == *signal.uid();
            match signal {
                Signal::Read { .. } => is_own || !is_crowd,
                Signal::Typing { .. } => !is_own && !is_crowd,
            }
        };
        let frame = Shared::new(text_frames([signal.to_json()]));
        for (_, subscriber) in &state.subscribers {
            if is_for(subscriber) {
                subscriber.outbox.push_shared(&frame);
            }
        }
    }

    /// Tells each socket who else came and who went.
    pub(super) fn tell_presence(&self, state: &State, changes: &[(OnlineMember, bool)]) {
        if changes.is_empty() {
            return;
        }
        let channel = &self.channel;
        let frame_of = |(OnlineMember { uid, role }, online): &(OnlineMember, bool)| {
            ServerFrame::Presence { channel, uid, role, online: *online }.to_json()
        };
        let frames: Vec<_> = changes.iter().map(frame_of).collect();
        let all = Shared::new(text_frames(&frames));
        for (_, subscriber) in &state.subscribers {
            let profile = subscriber.profile.borrow();
            let own = changes.iter().position(|(member, _)| member.uid == profile.uid);
            let Some(own) = own else {
                subscriber.outbox.push_shared(&all);
                continue;
            };
            let others = frames.iter().enumerate().filter(|(index, _)| *index != own);
            let chunk = text_frames(others.map(|(_, frame)| frame));
            if !chunk.is_empty() {
                subscriber.outbox.push(chunk.freeze());
            }
        }
    }

    /// Puts everybody out, for good: the channel is gone. Tells how many sockets that closed.
    pub(super) fn put_out_all(&self) -> u64 {
        self.state.borrow_mut().is_gone = true;
        self.put_out_where(|_| true)
    }

    /// Puts a member's sockets out. Tells how many that closed.
    pub(super) fn put_out(&self, member: &Member) -> u64 {
        self.put_out_where(|seated| seated == member)
    }

    fn put_out_where(&self, is_meant: impl Fn(&Member) -> bool) -> u64 {
        let state = self.state.borrow();
        let meant = state.seats().filter(|(member, _)| is_meant(member));
        meant.filter(|(_, outbox)| outbox.put_out(&self.channel)).count() as u64
    }
}

/// JSON texts as one chunk of text frames.
fn text_frames<J: AsRef<[u8]>>(texts: impl IntoIterator<Item = J> + Clone) -> BytesMut {
    let sizes =
        texts.clone().into_iter().map(|json| json.as_ref().len() + encode::HEADER_BYTES_MAX);
    let mut frames = BytesMut::with_capacity(sizes.sum());
    for json in texts {
        encode::append_text(&mut frames, json.as_ref());
    }
    frames
}
