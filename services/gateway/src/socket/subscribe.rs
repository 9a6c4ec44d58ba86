//! `subscribe`: who it is, what was said so far, and a seat in the room from there on.

use std::rc::Rc;

use goch_contract::{
    ChannelName, Error, ErrorCode, Uid,
    frame::{Subscribe, Subscribed},
    services::history::Unread,
};

use super::{
    connection::{Connection, Subscription},
    encode, page,
};
use crate::room::Room;

/// How often a member is authorised anew because something was revoked meanwhile.
const AUTHORIZE_ATTEMPTS_MAX: usize = 3;

impl Connection {
    /// Subscribes to a channel, or gives another page of one that is subscribed to: live events go
    /// on meanwhile.
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Error> {
        self.check_room_for(&subscribe.channel, &subscribe.uid)?;
        let (channel, uid) = (&subscribe.channel, &subscribe.uid);
        let worker = Rc::clone(&self.worker);
        let mut attempts = 0;
        let (authorization, room, unread, fetched) = loop {
            let authorization =
                worker.authorizer.authorize(channel, uid, &subscribe.secret).await?;
            self.registered.watched().authorize();
            let room = worker.rooms.open(channel).await?;
            let unread = self.unread(&room, uid).await;
            let fetched = page::fetch(&worker, &room, &subscribe).await?;
            // Whoever was removed meanwhile has no seat yet from which to be put out.
            if worker.authorizer.still_holds(&authorization, channel, uid) && room.is_open() {
                break (authorization, room, unread, fetched);
            }
            attempts += 1;
            if attempts == AUTHORIZE_ATTEMPTS_MAX {
                return Err(Error::unavailable("the channel is changing; subscribe again"));
            }
        };

        room.note_closed_unless_known(authorization.closed);
        // From here to the seat nothing is awaited: no event can fall between page and live.
        let page = room.with_ring(|ring| page::compose(ring, fetched, &subscribe));
        let subscribed = Subscribed {
            id: subscribe.id.as_ref(),
            channel,
            last_seq: page.last_seq,
            unread: room.unread(uid).or(unread),
            more: page.more,
        };
        self.outbox().push(encode::text(&subscribed.to_json(&page.messages)));
        if !self.subscriptions.contains_key(channel) {
            let seat = room.seat(Rc::clone(self.outbox()), subscribe.uid.clone());
            let display_name = authorization.display_name;
            let subscription = Subscription { seat, uid: subscribe.uid, display_name, typed: None };
            self.subscriptions.insert(subscribe.channel, subscription);
        }
        Ok(())
    }

    fn check_room_for(&self, channel: &ChannelName, uid: &Uid) -> Result<(), Error> {
        let max = self.worker.config.limits.subscriptions_per_socket;
        match self.subscriptions.get(channel) {
            Some(subscription) if subscription.uid != *uid => Err(Error::bad_request(
                "uid",
                "this socket is subscribed to the channel as another member",
            )),
            None if self.subscriptions.len() >= max => Err(Error::of_field(
                ErrorCode::RateLimited,
                "channel",
                format!("a socket may be subscribed to {max} channels"),
            )),
            _ => Ok(()),
        }
    }

    /// A member's unread messages; nothing when no service can tell.
    async fn unread(&self, room: &Room, uid: &Uid) -> Option<u64> {
        if let Some(count) = room.unread(uid) {
            return Some(count);
        }
        let request = Unread { channel: room.channel().clone(), uid: uid.clone() };
        match self.worker.services.call(&request).await {
            Ok(unread) => {
                room.note_position(uid, unread.position);
                Some(unread.count)
            }
            Err(error) => {
                tracing::debug!(channel = %room.channel(), %error, "unread messages are unknown");
                None
            }
        }
    }
}
