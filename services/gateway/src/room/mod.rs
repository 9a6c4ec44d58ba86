//! A channel as one worker sees it: its local sockets and its latest events.
//!
//! A room gets the channel's events from its [`feed`], in order and whole, and hands each to its
//! sockets: encoded once, as one chunk that all of them share. Rooms belong to one thread; nothing
//! here is locked.

mod feed;
mod ring;
mod rooms;
mod turn;
mod verify;

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use goch_contract::{ChannelName, Seq, Uid};
use slab::Slab;
use tokio::sync::Notify;

pub(crate) use ring::{Kept, Ring, keep};
pub(crate) use rooms::{RoomContext, Rooms};

use self::turn::Turn;
use crate::socket::{encode, outbox::Outbox};

/// Read positions that a room remembers.
const POSITIONS_MAX: usize = 1_000;

/// The shortest time between two comparisons of a room's seats with what chat-admin says; each adds
/// up to as much by chance. Only a lost message makes a difference, so it may be long.
const VERIFY_EVERY: Duration = Duration::from_mins(5);

/// How long the live copy of an acked event may take before the room looks into the log.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Room {
    channel: ChannelName,
    state: RefCell<State>,
    /// Tells the feed to look into the log for what it may have missed.
    look: Notify,
}

struct State {
    ring: Ring,
    subscribers: Slab<Subscriber>,
    /// Read positions of members who have subscribed here, kept current by signals.
    positions: HashMap<Uid, Seq>,
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
}

/// A socket's place in a room; dropping it leaves the room.
pub(crate) struct Seat {
    room: Rc<Room>,
    key: usize,
}

impl Seat {
    pub(crate) fn room(&self) -> &Rc<Room> {
        &self.room
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.room.state.borrow_mut();
        state.subscribers.try_remove(self.key);
        if state.subscribers.is_empty() {
            state.subscribers = Slab::new();
            state.empty_since = Some(Instant::now());
        }
    }
}

impl Room {
    fn new(channel: ChannelName, ring: Ring, next_check: Instant) -> Self {
        let state = State {
            subscribers: Slab::new(),
            positions: HashMap::new(),
            acked: Seq(0),
            overdue_since: None,
            empty_since: Some(Instant::now()),
            next_check,
            next_verify: next_check + VERIFY_EVERY.mul_f64(fastrand::f64()),
            closed: turn::closed_by(&ring),
            is_gone: false,
            ring,
        };
        Self { channel, state: RefCell::new(state), look: Notify::new() }
    }

    pub(crate) fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Reads the latest events.
    pub(crate) fn with_ring<T>(&self, read: impl FnOnce(&Ring) -> T) -> T {
        read(&self.state.borrow().ring)
    }

    /// Seats a socket: it gets everything after the ring's present end.
    pub(crate) fn seat(self: &Rc<Self>, outbox: Rc<Outbox>, uid: Uid) -> Seat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        let key = state.subscribers.insert(Subscriber { outbox, uid });
        Seat { room: Rc::clone(self), key }
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

    /// A member's unread messages, if they can be told without asking.
    pub(crate) fn unread(&self, uid: &Uid) -> Option<u64> {
        let state = self.state.borrow();
        state.ring.unread(uid, *state.positions.get(uid)?)
    }

    /// Notes a member's read position.
    pub(crate) fn note_position(&self, uid: &Uid, position: Seq) {
        let mut state = self.state.borrow_mut();
        if let Some(known) = state.positions.get_mut(uid) {
            *known = position.max(*known);
        } else if state.positions.len() < POSITIONS_MAX {
            state.positions.insert(uid.clone(), position);
        }
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
        let since = self.state.borrow().empty_since;
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
        let mut uids: Vec<_> = state.subscribers.iter().map(|(_, s)| s.uid.clone()).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    /// Forgets what is only known from core messages, some of which may have been missed, and looks
    /// into the log.
    fn distrust(&self) {
        let mut state = self.state.borrow_mut();
        state.positions.clear();
        state.next_verify = Instant::now();
        self.look.notify_one();
    }

    /// Puts everybody out, for good: the channel is gone. Tells how many sockets that closed.
    fn put_out_all(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.is_gone = true;
        let open = state.subscribers.iter().filter(|(_, s)| s.outbox.put_out(&self.channel));
        open.count() as u64
    }

    /// Puts a member's sockets out. Tells how many that closed.
    fn put_out(&self, uid: &Uid) -> u64 {
        let state = self.state.borrow();
        let seats = state.subscribers.iter().filter(|(_, subscriber)| subscriber.uid == *uid);
        seats.filter(|(_, subscriber)| subscriber.outbox.put_out(&self.channel)).count() as u64
    }

    /// Adds events that follow the ring's end and hands them to the sockets, and does what they say:
    /// the sockets of a member who left get the event and are closed.
    fn deliver(&self, events: Vec<Kept>) -> Delivered {
        let chunk = frames(&events);
        let count = events.len() as u64;
        let turns: Vec<_> = events.iter().filter_map(Turn::of).collect();
        let mut state = self.state.borrow_mut();
        for kept in events {
            state.ring.push(kept);
        }
        if state.ring.last_seq() >= state.acked {
            state.overdue_since = None;
        }
        for (_, subscriber) in &state.subscribers {
            subscriber.outbox.push(chunk.clone());
        }
        let deliveries = count * state.subscribers.len() as u64;
        drop(state);
        let put_out = turns.into_iter().map(|turn| self.turn(turn)).sum();
        Delivered { deliveries, put_out }
    }

    /// Does what an event says. Tells how many sockets that closed.
    fn turn(&self, turn: Turn) -> u64 {
        match turn {
            Turn::Closed(closed) => {
                self.state.borrow_mut().closed = Some(closed);
                0
            }
            Turn::Left(uid) => self.put_out(&uid),
        }
    }

    /// Hands a signal to the sockets of others than `from`.
    fn signal(&self, from: &Uid, json: &[u8]) {
        let frame = encode::text(json);
        let state = self.state.borrow();
        for (_, subscriber) in &state.subscribers {
            if subscriber.uid != *from {
                subscriber.outbox.push(frame.clone());
            }
        }
    }
}

/// What became of delivered events.
struct Delivered {
    /// How many sockets got how many events, multiplied.
    deliveries: u64,
    /// How many sockets were closed with 4001.
    put_out: u64,
}

/// Events as one chunk of text frames.
fn frames(events: &[Kept]) -> Bytes {
    let bytes = events.iter().map(|kept| kept.json.len() + 10).sum();
    let mut frames = BytesMut::with_capacity(bytes);
    for kept in events {
        encode::append_text(&mut frames, &kept.json);
    }
    frames.freeze()
}
