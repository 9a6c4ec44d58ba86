//! `subscribe`: who it is, what was said so far, and a seat in the room from there on.

use std::{rc::Rc, time::Duration};

use futures_util::future::join;
use goch_contract::{
    ChannelName, Error, ErrorCode, Uid,
    frame::{Subscribe, Subscribed},
    services::history::Unread,
};
use tokio::time::timeout;

use super::{
    connection::{Connection, Subscription},
    encode, page,
};
use crate::room::Room;

/// How long a subscription waits for the count of unread messages, which it can do without.
const UNREAD_WITHIN: Duration = Duration::from_secs(2);

impl Connection {
    /// Subscribes to a channel, or gives another page of one that is subscribed to: live events go
    /// on meanwhile.
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Error> {
        self.check_room_for(&subscribe.channel, &subscribe.uid)?;
        let (channel, uid) = (&subscribe.channel, &subscribe.uid);
        let worker = Rc::clone(&self.worker);
        let display_name = worker.authorizer.authorize(channel, uid, &subscribe.secret).await?;
        self.registered.watched().authorize();
        let room = worker.rooms.open(channel).await?;
        let (unread, fetched) =
            join(self.unread(&room, uid), page::fetch(&worker, &room, &subscribe)).await;
        let fetched = fetched?;

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
            let seat = room.seat(Rc::clone(self.outbox()), subscribe.uid.clone(), page.end);
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
        let answer = timeout(UNREAD_WITHIN, self.worker.services.call(&request)).await;
        match answer.unwrap_or_else(|_| Err(Error::unavailable("the count takes too long"))) {
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
