//! A socket's place in a room, subscribed or watching; dropping it leaves the room.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

use goch_contract::Seq;

use super::{Room, Subscriber};
use crate::{profile::Profile, socket::outbox::Outbox};

/// The place of a socket that gets the channel's events and, unless it is an observer's, is online in it.
pub(crate) struct Seat {
    room: Rc<Room>,
    key: usize,
    /// Shared with the room, which hears of changes.
    profile: Rc<RefCell<Arc<Profile>>>,
}

/// The place of a socket that gets a member's unread count.
pub(crate) struct WatchSeat {
    room: Rc<Room>,
    key: usize,
}

impl Room {
    /// Seats a socket that has everything up to `given`: it gets what comes after that and after the
    /// ring's present end.
    pub(crate) fn seat(
        self: &Rc<Self>,
        outbox: Rc<Outbox>,
        profile: Arc<Profile>,
        given: Seq,
    ) -> Seat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        if !profile.is_observer() {
            state.presence.enter(&profile.uid, &profile.role);
        }
        let profile = Rc::new(RefCell::new(profile));
        let subscriber = Subscriber { outbox, profile: Rc::clone(&profile), given };
        let key = state.subscribers.insert(subscriber);
        self.stir();
        Seat { room: Rc::clone(self), key, profile }
    }

    /// Seats a watcher: once it was told a count, it gets every other one.
    pub(crate) fn watch(self: &Rc<Self>, outbox: Rc<Outbox>, profile: &Profile) -> WatchSeat {
        let mut state = self.state.borrow_mut();
        state.empty_since = None;
        let key = state.reading.watch(outbox, profile.member(), profile.kind);
        WatchSeat { room: Rc::clone(self), key }
    }
}

impl Seat {
    pub(crate) fn room(&self) -> &Rc<Room> {
        &self.room
    }

    /// Who the member is to the others, as far as the room has heard.
    pub(crate) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.borrow())
    }

    /// Notes who the member is, as chat-admin says.
    pub(crate) fn set_profile(&self, profile: Arc<Profile>) {
        if !profile.is_observer() {
            self.room.state.borrow_mut().presence.note_role(&profile.uid, &profile.role);
        }
        self.room.stir();
        self.profile.replace(profile);
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
            let profile = subscriber.profile.borrow();
            if !profile.is_observer() {
                state.presence.leave(&profile.uid, now);
            }
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
