//! `history`: older events.

use goch_contract::{
    Error,
    frame::{History, history_json},
    services::history::Window,
};

use super::{connection::Connection, encode};
use crate::{pages, room::keep};

impl Connection {
    /// Answers with a page of older events.
    pub(super) async fn history(&self, history: History) -> Result<(), Error> {
        let room = self.subscription(&history.channel)?.seat.room();
        let window = Window::Before(history.before);
        let page =
            pages::read(&self.worker.services, room.channel(), window, history.limit).await?;
        let events = page.events.iter().filter_map(keep).collect();
        let messages = room.with_ring(|ring| ring.amend(events)).into_iter().map(|kept| kept.json);
        let messages: Vec<_> = messages.collect();
        let json = history_json(history.id.as_ref(), &history.channel, &messages, page.more);
        self.outbox().push(encode::text(&json));
        Ok(())
    }
}
