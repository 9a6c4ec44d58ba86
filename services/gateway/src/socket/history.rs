//! `history`: older events.

use goch_contract::{
    Error,
    frame::{History, history_json},
    services::history::Window,
};

use super::{connection::Connection, encode};
use crate::pages;

impl Connection {
    /// Answers with a page of older events.
    pub(super) async fn history(&self, history: History) -> Result<(), Error> {
        let room = self.subscription(&history.channel)?.seat.room();
        let window = Window::Before(history.before);
        let page =
            pages::read(&self.worker.services, room.channel(), window, history.limit).await?;
        let json = history_json(history.id.as_ref(), &history.channel, &page.events, page.more);
        self.outbox().push(encode::text(&json));
        Ok(())
    }
}
