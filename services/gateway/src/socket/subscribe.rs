//! `subscribe`: who it is, what was said so far, and a seat in the room from there on.

use std::rc::Rc;

use goch_contract::{
    Error,
    frame::{Subscribe, Subscribed},
};

use super::{
    connection::{Connection, Subscription},
    encode, page,
};
impl Connection {
    /// Subscribes to a channel, or gives another page of one that is subscribed to: live events go
    /// on meanwhile.
    pub(super) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Error> {
        self.check_room_for(&subscribe.channel, &subscribe.uid, 0)?;
        let (channel, uid) = (&subscribe.channel, &subscribe.uid);
        let worker = Rc::clone(&self.worker);
        let display_name = worker.authorizer.authorize(channel, uid, &subscribe.secret).await?;
        self.registered.watched().authorize();
        let room = worker.rooms.open(channel).await?;
        let counted = room.count_unread(&worker.services, uid).await;
        let fetched = page::fetch(&worker, &room, &subscribe).await?;

        // From here to the seat nothing is awaited: no event can fall between page and live.
        let page = room.with_ring(|ring| page::compose(ring, fetched, &subscribe));
        let subscribed = Subscribed {
            id: subscribe.id.as_ref(),
            channel,
            last_seq: page.last_seq,
            unread: counted.ok().and_then(|counted| room.count_on(uid, counted)),
            more: page.more,
            online: room.online(uid),
        };
        self.outbox().push(encode::text(&subscribed.to_json(&page.messages)));
        if !self.subscriptions.contains_key(channel) {
            let seat = room.seat(Rc::clone(self.outbox()), subscribe.uid.clone());
            let subscription = Subscription { seat, uid: subscribe.uid, display_name, typed: None };
            self.subscriptions.insert(subscribe.channel, subscription);
        }
        Ok(())
    }
}
