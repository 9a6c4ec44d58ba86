//! A channel as one worker sees it: its local sockets and its latest events.
//!
//! A room gets the channel's events from its [`feed`], in order and whole, and hands each to its
//! sockets ([`deliver`]): encoded once, as one chunk that all of them share. What can wait is gathered and
//! worked off several times a second ([`settle`]). Rooms belong to one thread; nothing
//! here is locked.

mod deliver;
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
mod verify_schedule;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use goch_contract::{
    ChannelName, PersonKind, Seq, Uid,
    presence::{OnlineMember, PresenceReport},
    services::admin::Member,
};
use slab::Slab;
use tokio::sync::Notify;

pub(crate) use positions::Positions;
pub(crate) use presence::PresenceRules;
pub(crate) use revision::follow;
pub(crate) use ring::{Kept, Ring, keep};
pub(crate) use rooms::{RoomContext, Rooms};
pub(crate) use seat::{Seat, WatchSeat};
pub(crate) use settle::Stirred;

use self::{
    positions::{ChannelPositions, Counted, Known},
    presence::Presence,
    reading::Reading,
    verify_schedule::{Scope, VerifySchedule},
};
use crate::{profile::Profile, socket::outbox::Outbox};

/// The shortest time between two comparisons of a room's seats with what chat-admin says; each adds
/// up to as much by chance. Only a lost message makes a difference, so it may be long.
const VERIFY_EVERY: Duration = Duration::from_mins(5);

/// How long the live copy of an acked event may take before the room looks into the log.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);

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
    verify: VerifySchedule,
    /// Whether the channel takes no messages; nothing before that is known.
    closed: Option<bool>,
    /// Whether the channel is gone: nobody may be seated any more.
    is_gone: bool,
}

struct Subscriber {
    outbox: Rc<Outbox>,
    profile: Rc<RefCell<Arc<Profile>>>,
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
            verify: VerifySchedule::new(next_check + VERIFY_EVERY.mul_f64(fastrand::f64())),
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
    pub(crate) fn online(&self, besides: &Uid) -> Option<Vec<OnlineMember>> {
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
    pub(crate) fn mark(self: &Rc<Self>, uid: &Uid, kind: PersonKind, seq: Seq) -> bool {
        let mut state = self.state.borrow_mut();
        // Nobody has read what is not in the log.
        let seq = seq.min(state.ring.last_seq().max(state.acked));
        if state.reading.position(uid).is_some_and(|known| known >= seq) {
            return true;
        }
        self.stir();
        state.reading.mark(uid, kind, seq)
    }

    fn take_marks(&self) -> Vec<(Uid, (PersonKind, Seq))> {
        self.state.borrow_mut().reading.take_marks()
    }

    fn uncounted(&self) -> Vec<(Uid, PersonKind)> {
        self.state.borrow().reading.uncounted()
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
        self.state.borrow().verify.is_due(now)
    }

    /// What is due at `now` and which members with a seat that concerns, each once. The whole room is due
    /// again at `next`.
    fn begin_verify(&self, now: Instant, next: Instant) -> Option<(Scope, Vec<Member>)> {
        let mut state = self.state.borrow_mut();
        let scope = state.verify.begin(now, next)?;
        let members = state.seats().map(|(member, _)| member);
        let mut members: Vec<_> = members.filter(|member| scope.has(&member.uid)).collect();
        members.sort_unstable();
        members.dedup();
        Some((scope, members))
    }

    /// Has what could not be looked after looked after at the next opportunity.
    fn retry_verify(&self, scope: &Scope, now: Instant) {
        self.state.borrow_mut().verify.retry(scope, now);
    }

    /// Has this member's seats looked after by then, if there are any.
    fn hurry_verify(&self, uid: &Uid, by: Instant) {
        let mut state = self.state.borrow_mut();
        if state.seats().any(|(member, _)| member.uid == *uid) {
            state.verify.hurry(uid, by);
        }
    }

    /// Forgets what is only known from core messages, some of which may have been missed, and looks
    /// into the log.
    fn distrust(self: &Rc<Self>) {
        self.distrust_signals();
        self.state.borrow_mut().verify.retry(&Scope::All, Instant::now());
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
}

impl State {
    fn has_work(&self) -> bool {
        self.reading.has_marks() || self.reading.has_uncounted()
    }

    /// Everybody here, subscribed or watching.
    fn seats(&self) -> impl Iterator<Item = (Member, &Outbox)> {
        let subscribed =
            self.subscribers.iter().map(|(_, it)| (it.profile.borrow().member(), &*it.outbox));
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
