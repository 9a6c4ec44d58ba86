//! `watch`: unread counts of channels that are not open, now and at each change.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Instant,
};

use futures_util::{StreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Uid, UnixMillis,
    frame::{ServerFrame, Watch, WatchedChannel},
};

use super::{
    authenticate::{Admitted, Way, admit, admit_to_room, renew},
    connection::Connection,
};
use crate::{
    edge::Caller,
    room::{Room, WatchSeat},
    socket::outbox::Outbox,
    worker::Worker,
};

/// Channels of one `watch` that are opened at a time.
const OPENED_AT_ONCE: usize = 8;

/// A channel that this socket watches.
pub(super) struct Watching {
    seat: WatchSeat,
    pub(super) uid: Uid,
    /// When the token ends; never for a member with a secret.
    pub(super) expires_at: Option<UnixMillis>,
    /// Whether it takes the place of a subscription, as it does for whoever has joined unasked.
    takes_place: bool,
    /// Whether it is no member who watches.
    pub(super) is_observer: bool,
}

impl Connection {
    /// Watches channels. Each is answered for itself: by its unread count, or by an error.
    pub(super) async fn watch(&mut self, watch: Watch) -> Result<(), Error> {
        let (id, channels) = (watch.id, watch.channels);
        // Each is as much work as a frame of its own; one has been counted.
        let more = u32::try_from(channels.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.take_frames(more, Instant::now())?;
        let (admitted, refused) = self.part(channels);
        for (channel, error) in &refused {
            self.refuse_channel(id.as_ref(), channel, error);
        }
        let worker = Rc::clone(&self.worker);
        let outbox = Rc::clone(self.outbox());
        let caller = self.caller();
        // Who has proved nothing yet asks one question at a time.
        let at_once = if self.registered.watched().is_authorized() { OPENED_AT_ONCE } else { 1 };
        let places = Cell::new(self.places_left());
        let admitted = admitted.into_iter().map(|wanted| (self.way_of(&wanted.channel), wanted));
        let admitted: Vec<_> = admitted.collect();
        let opened = stream::iter(admitted).map(|(known, wanted)| {
            let place = if known.is_some() { Place::Taken } else { Place::Of(&places) };
            open(&worker, &outbox, wanted, &caller, known, place)
        });
        let mut opened = opened.buffer_unordered(at_once);
        while let Some((channel, outcome)) = opened.next().await {
            if !outbox.is_open() {
                break;
            }
            match outcome {
                Ok(watching) => self.begin_watching(id.as_ref(), &channel, watching),
                Err(error) => self.refuse_channel(id.as_ref(), &channel, &error),
            }
        }
        Ok(())
    }

    /// Parts the channels that there is room for from those there is none for.
    fn part(
        &self,
        channels: Vec<WatchedChannel>,
    ) -> (Vec<WatchedChannel>, Vec<(ChannelName, Error)>) {
        let (mut admitted, mut refused) = (Vec::<WatchedChannel>::new(), Vec::new());
        for wanted in channels {
            let is_named_twice = admitted.iter().any(|known| known.channel == wanted.channel);
            let fresh = admitted.iter().filter(|known| !self.has(&known.channel)).count();
            if is_named_twice {
                let error = Error::bad_request("channels", "the channel is named twice");
                refused.push((wanted.channel, error));
            } else if let Err(error) = self.check_watches(&wanted.channel, fresh) {
                refused.push((wanted.channel, error));
            } else {
                admitted.push(wanted);
            }
        }
        (admitted, refused)
    }

    fn begin_watching(&mut self, id: Option<&MessageId>, channel: &ChannelName, opened: Opened) {
        self.registered.watched().authorize();
        if let Err(error) = self.check_member(channel, &opened.watching.uid) {
            return self.refuse_channel(id, channel, &error);
        }
        let Opened { watching, count } = opened;
        let expires_at = watching.expires_at;
        // A channel that was watched before is watched once.
        let known = self.watches.entry(channel.clone());
        let watching = known.or_insert(watching);
        renew(&mut watching.expires_at, expires_at);
        watching.seat.note_told(count);
        self.note_expiry();
        self.answer(&ServerFrame::Unread { id, channel, count });
    }

    fn refuse_channel(&self, id: Option<&MessageId>, channel: &ChannelName, error: &Error) {
        self.count_error(error);
        self.answer(&ServerFrame::Error {
            id,
            code: error.code,
            message: &error.message,
            field: Some("channels"),
            channel: Some(channel),
        });
        self.note_refusal(error);
    }

    /// Whether the channel is subscribed to or watched on this socket.
    fn has(&self, channel: &ChannelName) -> bool {
        self.subscriptions.contains_key(channel) || self.watches.contains_key(channel)
    }

    /// Checks that the socket does not have the channel as another member.
    pub(super) fn check_member(&self, channel: &ChannelName, uid: &Uid) -> Result<(), Error> {
        let subscribed = self.subscriptions.get(channel).map(|subscription| &subscription.uid);
        let watching = self.watches.get(channel).map(|watching| &watching.uid);
        if subscribed.or(watching).is_some_and(|known| known != uid) {
            let message = "this socket has the channel as another member";
            return Err(Error::bad_request("channel", message));
        }
        Ok(())
    }

    /// How the socket has the channel, if it has it.
    pub(super) fn way_of(&self, channel: &ChannelName) -> Option<Way> {
        let subscribed = self.subscriptions.get(channel);
        let subscribed = subscribed.map(|it| it.seat.profile().is_observer());
        let is_observer =
            subscribed.or_else(|| self.watches.get(channel).map(|it| it.is_observer))?;
        Some(if is_observer { Way::Observer } else { Way::Member })
    }

    /// Checks that the socket may watch the channel, beside `more` new ones.
    fn check_watches(&self, channel: &ChannelName, more: usize) -> Result<(), Error> {
        let max = self.worker.config.limits.watched_per_socket;
        if !self.has(channel) && self.watches.len() + more >= max {
            let message = format!("a socket may watch {max} channels");
            return Err(Error::of_field(ErrorCode::RateLimited, "channel", message));
        }
        Ok(())
    }

    /// Checks that the socket may subscribe to the channel.
    pub(super) fn check_room_for(&self, channel: &ChannelName) -> Result<(), Error> {
        if self.has(channel) || self.places_left() > 0 {
            return Ok(());
        }
        Err(no_place(&self.worker))
    }

    /// Channels that the socket may have beside those that it is subscribed to, and watches as a guest.
    fn places_left(&self) -> usize {
        let max = self.worker.config.limits.subscriptions_per_socket;
        let takes_place = |(channel, watching): &(&ChannelName, &Watching)| {
            watching.takes_place && !self.subscriptions.contains_key(*channel)
        };
        max.saturating_sub(
            self.subscriptions.len() + self.watches.iter().filter(takes_place).count(),
        )
    }
}

fn no_place(worker: &Worker) -> Error {
    let max = worker.config.limits.subscriptions_per_socket;
    let message = format!("a socket may have {max} channels, subscribed or, by a guest, watched");
    Error::of_field(ErrorCode::RateLimited, "channel", message)
}

/// Where somebody sits who watches as a guest.
enum Place<'a> {
    /// The socket has the channel already.
    Taken,
    /// It is one of so many that are left.
    Of(&'a Cell<usize>),
}

impl Place<'_> {
    /// Takes the place; false if there is none.
    fn take(&mut self) -> bool {
        if let Self::Of(left) = self {
            let Some(fewer) = left.get().checked_sub(1) else { return false };
            left.set(fewer);
            *self = Self::Taken;
        }
        true
    }
}

/// A watched channel with its count.
struct Opened {
    watching: Watching,
    count: u64,
}

async fn open(
    worker: &Worker,
    outbox: &Rc<Outbox>,
    wanted: WatchedChannel,
    caller: &Caller,
    known: Option<Way>,
    place: Place<'_>,
) -> (ChannelName, Result<Opened, Error>) {
    let WatchedChannel { channel, credentials } = wanted;
    let place = RefCell::new(place);
    let admit = async || {
        let admitted = admit(worker, &channel, credentials.clone(), caller, known).await?;
        // Before a room is opened for it.
        if admitted.is_guest() && !place.borrow_mut().take() {
            return Err(no_place(worker));
        }
        Ok(admitted)
    };
    let prepare = async |admitted: &Admitted, room: &Rc<Room>| {
        // Seated before it is counted, so that no change falls in between.
        let profile = &admitted.authorization.profile;
        let seat = room.watch(Rc::clone(outbox), profile);
        let counted = room.count_unread(&worker.services, &profile.uid, profile.kind).await?;
        Ok((seat, counted.count))
    };
    let opened = admit_to_room(worker, &channel, admit, prepare).await;
    let outcome = opened.map(|(admitted, _, (seat, count))| {
        let takes_place = admitted.is_guest();
        let Admitted { uid, expires_at, authorization } = admitted;
        let is_observer = authorization.profile.is_observer();
        Opened { watching: Watching { seat, uid, expires_at, takes_place, is_observer }, count }
    });
    (channel, outcome)
}
