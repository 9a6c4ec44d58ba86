//! `subscribe`: who it is, what was said so far, and a seat in the room from there on.

use std::{rc::Rc, time::Duration};

use futures_util::future::join;
use goch_contract::{
    Error,
    frame::{Subscribe, Subscribed},
};
use tokio::time::timeout;

use super::{
    authenticate::{Admitted, admit_to_room, renew},
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
        let channel = &subscribe.channel;
        let worker = Rc::clone(&self.worker);
        let admit = async || {
            let admitted = self.admit(channel, subscribe.credentials.clone()).await?;
            self.registered.watched().authorize();
            Ok(admitted)
        };
        let prepare = async |admitted: &Admitted, room: &Rc<Room>| {
            let kind = admitted.authorization.profile.kind;
            let counting = room.count_unread(&worker.services, &admitted.uid, kind);
            let counting = timeout(UNREAD_WITHIN, counting);
            let (counted, fetched) = join(counting, page::fetch(&worker, room, &subscribe)).await;
            let fetched = page::reach(&worker, room, subscribe.limit, fetched?).await?;
            Ok((counted, fetched))
        };
        let (admitted, room, (counted, fetched)) =
            admit_to_room(&worker, channel, admit, prepare).await?;
        let uid = &admitted.uid;

        room.note_closed_unless_known(admitted.authorization.closed);
        // From here to the seat nothing is awaited: no event can fall between page and live.
        let page = room.with_ring(|ring| page::compose(ring, fetched, &subscribe));
        let subscribed = Subscribed {
            id: subscribe.id.as_ref(),
            channel,
            uid,
            last_seq: page.last_seq,
            unread: counted.ok().and_then(Result::ok).and_then(|it| room.count_on(uid, it)),
            more: page.more,
            online: room.online(uid),
        };
        self.outbox().push(encode::text(&subscribed.to_json(&page.messages)));
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.seat.note_given(page.end);
            subscription.seat.set_profile(admitted.authorization.profile);
            renew(&mut subscription.expires_at, admitted.expires_at);
        } else {
            let profile = admitted.authorization.profile;
            let seat = room.seat(Rc::clone(self.outbox()), profile, page.end);
            let subscription = Subscription {
                seat,
                messages: worker.edge.member(channel, uid),
                limits: worker.edge.channel(channel),
                uid: admitted.uid,
                typed: None,
                expires_at: admitted.expires_at,
            };
            self.subscriptions.insert(subscribe.channel, subscription);
        }
        self.note_expiry();
        Ok(())
    }
}
