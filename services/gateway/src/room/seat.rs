//! A socket's place in a room, subscribed or watching; dropping it leaves the room.

use std::{rc::Rc, time::Instant};

use goch_contract::{Seq, Uid};

use super::{Room, Subscriber};
use crate::socket::outbox::Outbox;

/// The place of a socket that gets the channel's events and is online in it.
pub(crate) struct Seat {
    room: Rc<Room>,
    key: usize,
}

/// The place of a socket that gets a member's unread count.
pub(crate) struct WatchSeat {
    room: Rc<Room>,
    key: usize,
}

impl Room {
    /// Seats a socket that has everything up to `given`: it gets what comes after that and after the
    /// ring's present end.
    pub(crate) fn seat(self: &Rc<Self>, outbox: Rc<Outbox>, uid: Uid, given: Seq) -> Seat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        state.presence.enter(&uid);
        let key = state.subscribers.insert(Subscriber { outbox, uid, given });
        self.stir();
        Seat { room: Rc::clone(self), key }
    }

    /// Seats a watcher: once it was told a count, it gets every other one.
    pub(crate) fn watch(self: &Rc<Self>, outbox: Rc<Outbox>, uid: Uid) -> WatchSeat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        let key = state.reading.watch(outbox, uid);
        WatchSeat { room: Rc::clone(self), key }
    }
}

impl Seat {
    pub(crate) fn room(&self) -> &Rc<Room> {
        &self.room
    }

    /// Notes that the socket was given a page up to `given`.
    pub(crate) fn note_given(&self, given: Seq) {
        let mut state = self.room.state.borrow_mut();
        if let Some(subscriber) = state.subscribers.get_mut(self.key) {
            subscriber.given = subscriber.given.max(given);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.room.state.borrow_mut();
        if let Some(subscriber) = state.subscribers.try_remove(self.key) {
            state.presence.leave(&subscriber.uid, now);
        }
        state.note_departure(now);
    }
}

impl WatchSeat {
    /// Notes what the watcher was told.
    pub(crate) fn note_told(&self, count: u64) {
        self.room.state.borrow_mut().reading.note_told(self.key, count);
        // It may have changed in the meantime.
        self.room.stir();
    }
}

impl Drop for WatchSeat {
    fn drop(&mut self) {
        let mut state = self.room.state.borrow_mut();
        state.reading.unwatch(self.key);
        state.note_departure(Instant::now());
    }
}
