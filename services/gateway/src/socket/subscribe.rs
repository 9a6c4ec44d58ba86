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

impl Connection {
    /// Subscribes to a channel, or gives another page of one that is subscribed to: live events go
    /// on meanwhile.
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Error> {
        let channel = &subscribe.channel;
        let worker = Rc::clone(&self.worker);
        let admitted = self.admit(channel, subscribe.credentials.clone()).await?;
        let uid = &admitted.uid;
        self.registered.watched().authorize();
        let room = worker.rooms.open(channel).await?;
        let unread = self.unread(&room, uid).await;
        let fetched = page::fetch(&worker, &room, &subscribe).await?;

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
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            // Another token renews one by token; what was opened with a secret needs none.
            if subscription.expires_at.is_some() {
                subscription.expires_at = admitted.expires_at.or(subscription.expires_at);
            }
        } else {
            let seat = room.seat(Rc::clone(self.outbox()), uid.clone());
            let subscription = Subscription {
                seat,
                messages: worker.edge.member(channel, uid),
                uid: admitted.uid,
                display_name: admitted.display_name,
                typed: None,
                expires_at: admitted.expires_at,
            };
            self.subscriptions.insert(subscribe.channel, subscription);
        }
        self.note_expiry();
        Ok(())
    }

    pub(super) fn check_room_for(&self, channel: &ChannelName, uid: &Uid) -> Result<(), Error> {
        let max = self.worker.config.limits.subscriptions_per_socket;
        match self.subscriptions.get(channel) {
            Some(subscription) if subscription.uid != *uid => Err(Error::bad_request(
                "channel",
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
