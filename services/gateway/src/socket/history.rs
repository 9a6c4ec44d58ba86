//! `history`: older events.

use goch_contract::{
    Error,
    frame::{History, history_json},
    services::history::Window,
};

use super::{connection::Connection, encode};
use crate::{pages, room::Ring};

impl Connection {
    /// Answers with a page of older events.
    pub(super) async fn history(&self, history: History) -> Result<(), Error> {
        let room = self.subscription(&history.channel)?.seat.room();
        let mut before = history.before;
        let (messages, more) = loop {
            let window = Window::Before(before);
            let (services, revised) = (&self.worker.services, room.with_ring(Ring::amends_after));
            let page =
                pages::read(services, room.channel(), window, history.limit, revised).await?;
            let messages = room.with_ring(|ring| ring.show(&page));
            match page.events.first() {
                // All of it has been deleted, and not yet from the log. Without an event the client
                // could not ask on.
                Some(first) if messages.is_empty() && page.more => before = first.seq,
                _ => break (messages, page.more),
            }
        };
        let json = history_json(history.id.as_ref(), &history.channel, &messages, more);
        self.outbox().push(encode::text(&json));
        Ok(())
    }
}
