//! A channel as one worker sees it: its local sockets and its latest events.
//!
//! A room gets the channel's events from its [`feed`], in order and whole, and hands each to its
//! sockets: encoded once, as one chunk that all of them share. Rooms belong to one thread; nothing
//! here is locked.

mod feed;
mod ring;
mod rooms;

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

use crate::socket::{encode, outbox::Outbox};

/// Read positions that a room remembers.
const POSITIONS_MAX: usize = 1_000;

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
}

struct Subscriber {
    outbox: Rc<Outbox>,
    uid: Uid,
    /// The socket has everything up to here, which can be ahead of the room.
    given: Seq,
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
            ring,
            subscribers: Slab::new(),
            positions: HashMap::new(),
            acked: Seq(0),
            overdue_since: None,
            empty_since: Some(Instant::now()),
            next_check,
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

    /// Seats a socket that has everything up to `given`: it gets what comes after that and after the
    /// ring's present end.
    pub(crate) fn seat(self: &Rc<Self>, outbox: Rc<Outbox>, uid: Uid, given: Seq) -> Seat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        let key = state.subscribers.insert(Subscriber { outbox, uid, given });
        Seat { room: Rc::clone(self), key }
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

    /// Forgets what is only known from core messages, some of which may have been missed, and looks
    /// into the log.
    fn distrust(&self) {
        self.state.borrow_mut().positions.clear();
        self.look.notify_one();
    }

    /// Adds events that follow the ring's end and hands them to the sockets. Tells how many sockets
    /// got how many events, multiplied.
    fn deliver(&self, events: Vec<Kept>) -> u64 {
        let Some(first) = events.first().map(|kept| kept.seq) else { return 0 };
        let chunk = frames(&events);
        let mut state = self.state.borrow_mut();
        for (_, subscriber) in &state.subscribers {
            if subscriber.given < first {
                subscriber.outbox.push(chunk.clone());
            } else {
                let start = events.partition_point(|kept| kept.seq <= subscriber.given);
                subscriber.outbox.push(frames(&events[start..]));
            }
        }
        let deliveries = (events.len() * state.subscribers.len()) as u64;
        for kept in events {
            state.ring.push(kept);
        }
        if state.ring.last_seq() >= state.acked {
            state.overdue_since = None;
        }
        deliveries
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

/// Events as one chunk of text frames.
fn frames(events: &[Kept]) -> Bytes {
    let bytes = events.iter().map(|kept| kept.json.len() + 10).sum();
    let mut frames = BytesMut::with_capacity(bytes);
    for kept in events {
        encode::append_text(&mut frames, &kept.json);
    }
    frames.freeze()
}
