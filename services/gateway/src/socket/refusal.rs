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
        let Some(cost) = cost(error.code, is_authorized) else { return true };
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

/// As how many refused frames an error counts; none if a client that does nothing wrong may run into it.
fn cost(code: ErrorCode, is_authorized: bool) -> Option<u32> {
    match code {
        ErrorCode::Unauthorized if !is_authorized => Some(GUESS_COST),
        ErrorCode::BadFrame
        | ErrorCode::BadRequest
        | ErrorCode::Empty
        | ErrorCode::TooLong
        | ErrorCode::RateLimited
        | ErrorCode::Forbidden
        | ErrorCode::Unauthorized => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_of_a_stranger_costs_more_than_a_mistake_and_an_outage_of_ours_nothing() {
        assert_eq!(cost(ErrorCode::Unauthorized, false), Some(GUESS_COST));
        assert_eq!(cost(ErrorCode::Unauthorized, true), Some(1));
        for is_authorized in [false, true] {
            assert_eq!(cost(ErrorCode::BadFrame, is_authorized), Some(1));
            assert_eq!(cost(ErrorCode::RateLimited, is_authorized), Some(1));
            assert_eq!(cost(ErrorCode::Unavailable, is_authorized), None);
        }
    }
}
