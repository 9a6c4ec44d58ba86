//! `read` and `typing`: what members tell each other without its being stored in the log.

use std::time::{Duration, Instant};

use goch_contract::{ChannelName, Error, Seq, frame::Signal, services::history::Read};

use super::connection::Connection;

/// One `typing` of a socket in a channel stands for this long; more of them are not passed on.
const TYPING_EVERY: Duration = Duration::from_secs(1);

impl Connection {
    /// Moves the member's read position, and tells the others.
    pub(super) async fn read(&self, channel: &ChannelName, seq: Seq) -> Result<(), Error> {
        let subscription = self.subscription(channel)?;
        let uid = &subscription.uid;
        let request = Read { channel: channel.clone(), uid: uid.clone(), seq };
        let position = self.worker.services.call(&request).await?;
        subscription.seat.room().note_position(uid, position);
        // A position that was behind the stored one has moved nothing.
        if position <= seq {
            let signal = Signal::Read { channel: channel.clone(), uid: uid.clone(), seq: position };
            self.signal(channel, &signal).await?;
        }
        Ok(())
    }

    /// Tells the others that the member is typing.
    pub(super) async fn typing(&mut self, channel: &ChannelName) -> Result<(), Error> {
        let now = Instant::now();
        let subscription = self.subscription(channel)?;
        let recently = |typed: Instant| now.saturating_duration_since(typed) < TYPING_EVERY;
        if subscription.typed.is_some_and(recently) {
            return Ok(());
        }
        let signal = Signal::Typing { channel: channel.clone(), uid: subscription.uid.clone() };
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.typed = Some(now);
        }
        self.signal(channel, &signal).await
    }

    async fn signal(&self, channel: &ChannelName, signal: &Signal) -> Result<(), Error> {
        let subject = self.worker.subjects.signal(channel);
        self.worker
            .client
            .publish(subject, signal.to_json().into())
            .await
            .map_err(|_| Error::unavailable("the message broker is away"))
    }
}
