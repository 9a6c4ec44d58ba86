//! Works off what has gathered in rooms, several times a second: tells sockets who came and went and
//! how much is unread, tells other workers who is here, stores what was read.
//!
//! Gathering first is what bounds the cost: a hundred `read`s of a member, or a hundred messages for
//! a watcher, become one.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::rt;
use async_nats::connection::State;
use futures_util::{StreamExt as _, stream};
use goch_contract::{
    ErrorCode, PersonKind, Seq, Uid,
    frame::Signal,
    presence::{PresenceReport, PresenceSignal},
    services::history::Read,
};

use super::{Room, Rooms};

/// Requests that are under way for one room.
const REQUESTS_PER_ROOM: usize = 8;

/// The pause after a service did not take or tell what was read.
const WORK_PAUSE: Duration = Duration::from_secs(2);

/// How long storing what was read last may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Rooms that have something to settle.
#[derive(Default)]
pub(crate) struct Stirred(RefCell<Vec<Rc<Room>>>);

impl Stirred {
    pub(super) fn add(&self, room: Rc<Room>) {
        self.0.borrow_mut().push(room);
    }
}

impl Rooms {
    /// Works off what has gathered.
    pub(crate) async fn settle(self: &Rc<Self>) {
        let stirred = std::mem::take(&mut *self.context.stirred.0.borrow_mut());
        for room in stirred {
            let now = Instant::now();
            if let Some(report) = room.settle(now) {
                self.publish(&room, PresenceSignal::Report(report).to_payload()).await;
            }
            if room.begin_work(now) {
                let work = self.works.track_future(Rc::clone(self).work(room));
                rt::spawn(self.context.shutdown.panic_free("reading of a room", work));
            }
        }
    }

    /// Tells the others that this worker's members will be back elsewhere by `until`.
    pub(crate) async fn say_goodbye(self: &Rc<Self>, until: Instant) {
        self.for_each(|room| room.say_goodbye(until));
        self.settle().await;
    }

    /// Stores what was read last, as far as it can be stored soon.
    pub(crate) async fn finish(self: &Rc<Self>) {
        self.settle().await;
        self.works.close();
        let stored = async {
            self.works.wait().await;
            self.context.client.flush().await
        };
        if !matches!(tokio::time::timeout(FINISH_TIMEOUT, stored).await, Ok(Ok(()))) {
            tracing::warn!("what was read last may not be stored");
        }
    }

    /// Stores what was read and counts what is unread in one room.
    async fn work(self: Rc<Self>, room: Rc<Room>) {
        // Never closed.
        let Ok(_permit) = self.working.acquire().await else { return };
        let marks = stream::iter(room.take_marks());
        let stored = marks.map(|(uid, (kind, seq))| self.store(&room, uid, kind, seq));
        let all_stored = stored.buffer_unordered(REQUESTS_PER_ROOM);
        let all_stored = all_stored.fold(true, |all, one| std::future::ready(all && one)).await;
        let counted = stream::iter(room.uncounted())
            .map(|(uid, kind)| self.count(&room, uid, kind))
            .buffer_unordered(REQUESTS_PER_ROOM);
        let all_counted = counted.fold(true, |all, one| std::future::ready(all && one)).await;
        room.end_work(all_stored && all_counted);
    }

    async fn count(&self, room: &Rc<Room>, uid: Uid, kind: PersonKind) -> bool {
        let counted = room.count_unread(&self.context.services, &uid, kind).await;
        if let Err(error) = &counted {
            tracing::debug!(channel = %room.channel(), %error, "unread messages are unknown");
        }
        counted.is_ok()
    }

    /// Stores a read position and tells the channel. False if it has to be tried again.
    async fn store(&self, room: &Rc<Room>, uid: Uid, kind: PersonKind, seq: Seq) -> bool {
        let channel = room.channel();
        let request = Read { channel: channel.clone(), uid, kind, seq };
        let position = match self.context.services.call(&request).await {
            Ok(position) => position,
            Err(error) => {
                tracing::debug!(%channel, %error, "a read position was not stored");
                return error.code != ErrorCode::Unavailable || !room.mark(&request.uid, kind, seq);
            }
        };
        room.note_position(&request.uid, position);
        // A position that was behind the stored one has moved nothing.
        if position <= seq {
            let Read { channel, uid, .. } = request;
            let signal = Signal::Read { channel, uid, seq: position };
            self.publish(room, signal.to_json()).await;
        }
        true
    }

    /// Publishes a signal. While NATS is away it is dropped; when it is back, all rooms ask anew.
    async fn publish(&self, room: &Room, payload: Vec<u8>) {
        let client = &self.context.client;
        if client.connection_state() == State::Connected {
            let subject = self.context.subjects.signal(room.channel());
            if let Err(error) = client.publish(subject, payload.into()).await {
                tracing::debug!(channel = %room.channel(), %error, "a signal was not published");
            }
        }
    }
}

impl Room {
    /// Has the room settled soon.
    pub(super) fn stir(self: &Rc<Self>) {
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
    pub(super) fn remind(self: &Rc<Self>, now: Instant) {
        let state = self.state.borrow();
        let has_work = state.has_work() && !state.works && state.work_after <= now;
        if has_work || state.presence.is_due(now) {
            self.stir();
        }
    }
}
