//! `read` and `typing`: what members tell each other without its being stored in the log.

use std::time::{Duration, Instant};

use goch_contract::{ChannelName, Error, Seq, frame::Signal};

use super::connection::Connection;

/// One `typing` of a socket in a channel stands for this long; more of them are not passed on.
const TYPING_EVERY: Duration = Duration::from_secs(1);

impl Connection {
    /// Has the member's read position moved. What one member reads within a moment is stored at
    /// once, and told to the channel when it is.
    pub(super) fn read(&self, channel: &ChannelName, seq: Seq) -> Result<(), Error> {
        let subscription = self.subscription(channel)?;
        // Who is no member has no position, and what others do not know of is no fault of the client's.
        let profile = subscription.seat.profile();
        if profile.is_observer() {
            return Ok(());
        }
        if subscription.seat.room().mark(&subscription.uid, profile.kind, seq) {
            return Ok(());
        }
        Err(Error::unavailable("too many read positions wait to be stored"))
    }

    /// Tells the others that the member is typing.
    pub(super) async fn typing(&mut self, channel: &ChannelName) -> Result<(), Error> {
        let now = Instant::now();
        let subscription = self.subscription(channel)?;
        let recently = |typed: Instant| now.saturating_duration_since(typed) < TYPING_EVERY;
        let seat = &subscription.seat;
        let is_unheard = seat.room().is_crowd() || seat.profile().is_observer();
        if subscription.typed.is_some_and(recently) || is_unheard {
            return Ok(());
        }
        let signal = Signal::Typing { channel: channel.clone(), uid: subscription.uid.clone() };
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.typed = Some(now);
        }
        let subject = self.worker.subjects.signal(channel);
        self.worker
            .client
            .publish(subject, signal.to_json().into())
            .await
            .map_err(|_| Error::unavailable("the message broker is away"))
    }
}
