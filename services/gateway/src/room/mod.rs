//! A channel as one worker sees it: its local sockets and its latest events.
//!
//! A room gets the channel's events from its [`feed`], in order and whole, and hands each to its
//! sockets: encoded once, as one chunk that all of them share. Rooms belong to one thread; nothing
//! here is locked.

mod feed;
mod positions;
mod presence;
mod reading;
mod revision;
mod ring;
mod rooms;
mod seat;
mod settle;
mod turn;
mod unread;
mod verify;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use goch_contract::{
    ChannelName, Seq, Uid,
    frame::{ServerFrame, Signal},
    presence::PresenceReport,
};
use slab::Slab;
use tokio::sync::Notify;

pub(crate) use positions::Positions;
pub(crate) use presence::PresenceRules;
pub(crate) use ring::{Kept, Ring, keep};
pub(crate) use rooms::{RoomContext, Rooms};
pub(crate) use seat::{Seat, WatchSeat};
pub(crate) use settle::Stirred;

use self::{
    positions::{ChannelPositions, Counted, Known},
    presence::Presence,
    reading::Reading,
    turn::Turn,
};
use crate::socket::{encode, outbox::Outbox};

/// The shortest time between two comparisons of a room's seats with what chat-admin says; each adds
/// up to as much by chance. Only a lost message makes a difference, so it may be long.
const VERIFY_EVERY: Duration = Duration::from_mins(5);

/// How long the live copy of an acked event may take before the room looks into the log.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);

/// The pause after a service did not take or tell what was read.
const WORK_PAUSE: Duration = Duration::from_secs(2);

/// With so many sockets, what comes while they are written to is handed out after that, in one piece.
const LARGE_FROM: usize = 64;

/// See the module.
pub(crate) struct Room {
    channel: ChannelName,
    state: RefCell<State>,
    /// Tells the feed to look into the log for what it may have missed.
    look: Notify,
    /// Where the room waits to be settled, and whether it does.
    stirred: Rc<Stirred>,
    is_stirred: Cell<bool>,
}

struct State {
    ring: Ring,
    subscribers: Slab<Subscriber>,
    presence: Presence,
    reading: Reading,
    /// Whether requests about `reading` are under way, and since when the next may be.
    works: bool,
    work_after: Instant,
    /// The highest sequence that this worker knows to be in the log, from acks of its own sockets.
    acked: Seq,
    /// Since when an acked event has not come as a live copy.
    overdue_since: Option<Instant>,
    empty_since: Option<Instant>,
    next_check: Instant,
    /// When the seats are next compared with what chat-admin says.
    next_verify: Instant,
    /// Whether the channel takes no messages; nothing before that is known.
    closed: Option<bool>,
    /// Whether the channel is gone: nobody may be seated any more.
    is_gone: bool,
}

struct Subscriber {
    outbox: Rc<Outbox>,
    uid: Uid,
    /// The socket has everything up to here, which can be ahead of the room.
    given: Seq,
}

impl Room {
    fn new(
        channel: ChannelName,
        ring: Ring,
        next_check: Instant,
        rules: PresenceRules,
        stirred: Rc<Stirred>,
        positions: Arc<ChannelPositions>,
    ) -> Self {
        let now = Instant::now();
        let state = State {
            subscribers: Slab::new(),
            presence: Presence::new(rules),
            reading: Reading::new(positions),
            works: false,
            work_after: now,
            acked: Seq(0),
            overdue_since: None,
            empty_since: Some(now),
            next_check,
            next_verify: next_check + VERIFY_EVERY.mul_f64(fastrand::f64()),
            closed: turn::closed_by(&ring),
            is_gone: false,
            ring,
        };
        let state = RefCell::new(state);
        let is_stirred = Cell::new(false);
        Self { channel, state, look: Notify::new(), stirred, is_stirred }
    }

    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Reads the latest events.
    pub(crate) fn with_ring<T>(&self, read: impl FnOnce(&Ring) -> T) -> T {
        read(&self.state.borrow().ring)
    }

    /// The other members who are online, as far as it is known; nothing when they are a crowd.
    pub(crate) fn online(&self, besides: &Uid) -> Option<Vec<Uid>> {
        self.state.borrow().presence.online(besides)
    }

    /// Whether members may be seated.
    pub(crate) fn is_open(&self) -> bool {
        !self.state.borrow().is_gone
    }

    /// Whether the channel takes no messages.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().closed.unwrap_or_default()
    }

    /// Notes what chat-admin said, unless an event has told it already: events are in order, and an
    /// answer may be old.
    pub(crate) fn note_closed_unless_known(&self, closed: bool) {
        self.state.borrow_mut().closed.get_or_insert(closed);
    }

    /// Whether writing to all sockets takes long.
    fn is_large(&self) -> bool {
        self.state.borrow().subscribers.len() >= LARGE_FROM
    }

    /// Whether so many are online that nobody is told who is typing.
    pub(crate) fn is_crowd(&self) -> bool {
        self.state.borrow().presence.is_crowd()
    }

    /// A member's read position, if it is known.
    fn position(&self, uid: &Uid) -> Option<Seq> {
        self.state.borrow().reading.position(uid)
    }

    /// What is known of how far a member has read.
    fn known(&self, uid: &Uid) -> Option<Known> {
        self.state.borrow().reading.known(uid)
    }

    fn reading_epoch(&self) -> u64 {
        self.state.borrow().reading.epoch()
    }

    /// Notes a member's read position that was signalled.
    fn note_position(self: &Rc<Self>, uid: &Uid, position: Seq) {
        let mut state = self.state.borrow_mut();
        let State { reading, ring, .. } = &mut *state;
        if reading.note_position(uid, position, ring) {
            self.stir();
        }
    }

    /// Notes a member's read position that was answered. False if positions have been forgotten since
    /// `epoch`.
    fn note_answer(self: &Rc<Self>, epoch: u64, uid: &Uid, position: Seq) -> bool {
        let mut state = self.state.borrow_mut();
        let State { reading, ring, .. } = &mut *state;
        let is_changed = reading.note_answer(epoch, uid, position, ring);
        if is_changed == Some(true) {
            self.stir();
        }
        is_changed.is_some()
    }

    fn known_count(&self, uid: &Uid) -> Option<Counted> {
        let state = self.state.borrow();
        state.reading.known_count(uid, &state.ring)
    }

    /// Notes a member's count for those who watch.
    fn note_counted(self: &Rc<Self>, uid: &Uid, counted: Counted) {
        let mut state = self.state.borrow_mut();
        let State { reading, ring, .. } = &mut *state;
        reading.note_counted(uid, counted, ring);
        self.stir();
    }

    /// Remembers a member's count that was asked for.
    fn remember(&self, epoch: u64, uid: &Uid, counted: Counted) {
        self.state.borrow().reading.remember(epoch, uid, counted);
    }

    /// Notes that a member has read up to `seq`; it is stored soon. Tells whether there is room for
    /// that.
    pub(crate) fn mark(self: &Rc<Self>, uid: &Uid, seq: Seq) -> bool {
        let mut state = self.state.borrow_mut();
        // Nobody has read what is not in the log.
        let seq = seq.min(state.ring.last_seq().max(state.acked));
        if state.reading.position(uid).is_some_and(|known| known >= seq) {
            return true;
        }
        self.stir();
        state.reading.mark(uid, seq)
    }

    fn take_marks(&self) -> Vec<(Uid, Seq)> {
        self.state.borrow_mut().reading.take_marks()
    }

    fn uncounted(&self) -> Vec<Uid> {
        self.state.borrow().reading.uncounted()
    }

    /// Has the room settled soon.
    fn stir(self: &Rc<Self>) {
        if !self.is_stirred.replace(true) {
            self.stirred.add(Rc::clone(self));
        }
    }

    /// Tells sockets what has changed. What comes back is for the other workers.
    fn settle(&self, now: Instant) -> Option<PresenceReport> {
        self.is_stirred.set(false);
        let mut state = self.state.borrow_mut();
        let settled = state.presence.settle(now);
        state.reading.tell(&self.channel);
        if !settled.changes.is_empty() {
            self.tell_presence(&state, &settled.changes);
        }
        settled.report
    }

    fn tell_presence(&self, state: &State, changes: &[(Uid, bool)]) {
        let channel = &self.channel;
        let frame_of = |(uid, online): &(Uid, bool)| {
            ServerFrame::Presence { channel, uid, online: *online }.to_json()
        };
        let frames: Vec<_> = changes.iter().map(frame_of).collect();
        let all = text_frames(&frames);
        for (_, subscriber) in &state.subscribers {
            let own = changes.iter().position(|(uid, _)| *uid == subscriber.uid);
            let chunk = match own {
                None => all.clone(),
                Some(own) => text_frames(
                    frames.iter().enumerate().filter(|(index, _)| *index != own).map(|(_, f)| f),
                ),
            };
            if !chunk.is_empty() {
                subscriber.outbox.push(chunk);
            }
        }
    }

    /// Whether requests about what was read are to be made now; then they are under way.
    fn begin_work(&self, now: Instant) -> bool {
        let mut state = self.state.borrow_mut();
        let begins = state.has_work() && !state.works && state.work_after <= now;
        state.works |= begins;
        begins
    }

    fn end_work(self: &Rc<Self>, is_done: bool) {
        let mut state = self.state.borrow_mut();
        state.works = false;
        if is_done {
            self.stir();
        } else {
            state.work_after = Instant::now() + WORK_PAUSE;
        }
    }

    /// Has the room settled if something is due that nothing else has called for.
    fn remind(self: &Rc<Self>, now: Instant) {
        let state = self.state.borrow();
        let has_work = state.has_work() && !state.works && state.work_after <= now;
        if has_work || state.presence.is_due(now) {
            self.stir();
        }
    }

    fn hear(self: &Rc<Self>, report: PresenceReport) {
        if self.state.borrow_mut().presence.hear(report, Instant::now()) {
            self.stir();
        }
    }

    fn presence_answer(&self) -> PresenceReport {
        self.state.borrow().presence.answer(Instant::now())
    }

    fn say_goodbye(self: &Rc<Self>, until: Instant) {
        self.state.borrow_mut().presence.say_goodbye(until);
        self.stir();
    }

    /// Notes that an event is in the log, which reveals a live copy that never comes.
    pub(crate) fn note_acked(&self, seq: Seq) {
        let mut state = self.state.borrow_mut();
        state.acked = state.acked.max(seq);
        if state.acked > state.ring.last_seq() {
            state.overdue_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let since = self.state.borrow().overdue_since;
        since.is_some_and(|since| now.saturating_duration_since(since) > OVERDUE_AFTER)
    }

    fn is_idle(&self, now: Instant, linger: Duration) -> bool {
        let state = self.state.borrow();
        let since = state.empty_since.filter(|_| !state.has_work() && state.presence.is_empty());
        since.is_some_and(|since| now.saturating_duration_since(since) > linger)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.state.borrow().next_check <= now
    }

    fn postpone_check(&self, until: Instant) {
        self.state.borrow_mut().next_check = until;
    }

    fn is_verify_due(&self, now: Instant) -> bool {
        self.state.borrow().next_verify <= now
    }

    fn postpone_verify(&self, until: Instant) {
        self.state.borrow_mut().next_verify = until;
    }

    /// The members who have a seat, each once.
    fn seated(&self) -> Vec<Uid> {
        let state = self.state.borrow();
        let mut uids: Vec<_> = state.seats().map(|(uid, _)| uid.clone()).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    /// Forgets what is only known from core messages, some of which may have been missed, and looks
    /// into the log.
    fn distrust(self: &Rc<Self>) {
        self.distrust_signals();
        self.state.borrow_mut().next_verify = Instant::now();
        self.look.notify_one();
    }

    /// Notes that the room hears all signals from now on. What it was told before may be old, unless it
    /// was told nothing.
    fn listen(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.reading.listen() {
            state.presence.distrust();
            self.stir();
        }
    }

    /// Forgets what is only known from signals, and asks for it.
    fn distrust_signals(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        state.reading.distrust();
        state.presence.distrust();
        self.stir();
    }

    /// Puts everybody out, for good: the channel is gone. Tells how many sockets that closed.
    fn put_out_all(&self) -> u64 {
        self.state.borrow_mut().is_gone = true;
        self.put_out_where(|_| true)
    }

    /// Puts a member's sockets out. Tells how many that closed.
    fn put_out(&self, uid: &Uid) -> u64 {
        self.put_out_where(|seated| seated == uid)
    }

    fn put_out_where(&self, is_meant: impl Fn(&Uid) -> bool) -> u64 {
        let state = self.state.borrow();
        let meant = state.seats().filter(|(uid, _)| is_meant(uid));
        meant.filter(|(_, outbox)| outbox.put_out(&self.channel)).count() as u64
    }

    /// Adds events that follow the ring's end and hands them to the sockets, and does what they say:
    /// the sockets of a member who left get the event and are closed.
    fn deliver(self: &Rc<Self>, events: Vec<Kept>) -> Delivered {
        let Some(first) = events.first().map(|kept| kept.seq) else { return Delivered::default() };
        let turns: Vec<_> = events.iter().filter_map(Turn::of).collect();
        let chunk = text_frames(events.iter().map(|kept| &kept.json));
        let mut state = self.state.borrow_mut();
        if state.reading.count(&events) {
            self.stir();
        }
        for (_, subscriber) in &state.subscribers {
            if subscriber.given < first {
                subscriber.outbox.push(chunk.clone());
            } else {
                let start = events.partition_point(|kept| kept.seq <= subscriber.given);
                if start < events.len() {
                    let rest = text_frames(events[start..].iter().map(|kept| &kept.json));
                    subscriber.outbox.push(rest);
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
            Turn::Left(uid) => self.put_out(&uid),
            Turn::Deleted(message) => {
                let mut state = self.state.borrow_mut();
                let State { reading, ring, .. } = &mut *state;
                reading.count_without(message, ring);
                self.stir();
                0
            }
        }
    }

    /// Hands a signal to the sockets that it is for. A read position also goes to the member's own:
    /// it tells other devices. In a crowd it goes to those alone, and nobody is told who is typing.
    fn signal(&self, signal: &Signal) {
        let state = self.state.borrow();
        let is_crowd = state.presence.is_crowd();
        let is_for = |subscriber: &Subscriber| {
            let is_own = subscriber.uid == *signal.uid();
            match signal {
                Signal::Read { .. } => is_own || !is_crowd,
                Signal::Typing { .. } => !is_own && !is_crowd,
            }
        };
        let frame = encode::text(&signal.to_json());
        for (_, subscriber) in &state.subscribers {
            if is_for(subscriber) {
                subscriber.outbox.push(frame.clone());
            }
        }
    }
}

impl State {
    fn has_work(&self) -> bool {
        self.reading.has_marks() || self.reading.has_uncounted()
    }

    /// Everybody here, subscribed or watching.
    fn seats(&self) -> impl Iterator<Item = (&Uid, &Outbox)> {
        let subscribed = self.subscribers.iter().map(|(_, it)| (&it.uid, &*it.outbox));
        subscribed.chain(self.reading.watchers())
    }

    /// Notes since when the room has been empty.
    fn note_departure(&mut self, now: Instant) {
        if self.subscribers.is_empty() {
            self.subscribers = Slab::new();
        }
        if self.subscribers.is_empty() && !self.reading.has_watchers() {
            self.empty_since = Some(now);
        }
    }
}

/// What became of delivered events.
#[derive(Default)]
struct Delivered {
    /// How many sockets got how many events, multiplied.
    deliveries: u64,
    /// How many sockets were closed with 4001.
    put_out: u64,
}

/// JSON texts as one chunk of text frames.
fn text_frames<J: AsRef<[u8]>>(texts: impl IntoIterator<Item = J> + Clone) -> Bytes {
    let sizes =
        texts.clone().into_iter().map(|json| json.as_ref().len() + encode::HEADER_BYTES_MAX);
    let mut frames = BytesMut::with_capacity(sizes.sum());
    for json in texts {
        encode::append_text(&mut frames, json.as_ref());
    }
    frames.freeze()
}
