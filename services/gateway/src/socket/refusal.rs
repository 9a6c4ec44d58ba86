//! What a socket is refused: frames beyond its rate, and whatever is wrong. One that is refused too
//! much is closed.

use std::time::Instant;

use goch_contract::{
    Error, ErrorCode, MessageId,
    frame::{ClientFrame, ServerFrame},
};

use super::{closing::Closing, connection::Connection, incoming::Message};
use crate::metrics::CodeLabel;

/// A wrong guess of a socket that has not subscribed yet counts as so many refused frames.
const GUESS_COST: u32 = 5;

impl Connection {
    /// Refuses a message that is one too many. It is read for its id only, and that no more often than
    /// a socket may be refused something.
    pub(super) fn refuse_unread(&self, message: &Message, error: &Error) {
        let Message::Text(text) = message else {
            self.count_error(error);
            self.note_refusal(error);
            return;
        };
        if !self.note_refusal(error) {
            return;
        }
        let id = match ClientFrame::parse(text, &self.worker.config.limits) {
            Ok(frame) => frame.id().cloned(),
            Err(refused) => refused.id,
        };
        self.count_error(error);
        self.answer(&ServerFrame::error(id.as_ref(), error));
    }

    /// Lets a frame through, or one that counts as `count`, unless the socket or its address has sent
    /// too many.
    pub(super) fn take_frames(&self, count: u32, now: Instant) -> Result<(), Error> {
        let who = if self.frames.take_many(count, now).is_err() {
            "socket"
        } else if !self.address.take_frames(count, now) {
            "address"
        } else {
            return Ok(());
        };
        self.worker.edge.count("frames");
        let message = format!("too many frames from this {who}; wait, then send it again");
        Err(Error::new(ErrorCode::RateLimited, message))
    }

    pub(super) fn refuse(&self, id: Option<&MessageId>, error: &Error) {
        self.count_error(error);
        self.answer(&ServerFrame::error(id, error));
        self.note_refusal(error);
    }

    /// Closes the socket when too much of what it sent was refused. Tells whether it goes on.
    pub(super) fn note_refusal(&self, error: &Error) -> bool {
        let is_authorized = self.registered.watched().is_authorized();
        let cost = match error.code {
            ErrorCode::Unauthorized if !is_authorized => GUESS_COST,
            ErrorCode::BadFrame
            | ErrorCode::BadRequest
            | ErrorCode::Empty
            | ErrorCode::TooLong
            | ErrorCode::RateLimited
            | ErrorCode::Forbidden
            | ErrorCode::Unauthorized => 1,
            // What a client may run into that does nothing wrong.
            _ => return true,
        };
        let goes_on = self.refusals.take_many(cost, Instant::now()).is_ok();
        if !goes_on {
            self.worker.edge.count("refusals");
            self.registered.close(Closing::Refused);
        }
        goes_on
    }

    pub(super) fn count_error(&self, error: &Error) {
        let code = CodeLabel { code: error.code.as_str() };
        self.worker.metrics.errors.get_or_create(&code).inc();
    }
}
