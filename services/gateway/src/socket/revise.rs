//! `edit` and `delete`: a member revises a message.
//!
//! That is rare, so it does not go to the log by the short way of a `send`: chat-admin finds the
//! message, decides, and publishes.

use std::time::Instant;

use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Seq,
    frame::{Delete, Edit, ServerFrame},
    services::admin::{Change, Member, Revise, Revision},
};

use super::connection::{Connection, Subscription};

impl Connection {
    /// Changes what a message says.
    pub(super) async fn edit(&self, edit: Edit) -> Result<(), Error> {
        let Edit { id, channel, seq, text, meta } = edit;
        self.revise(channel, seq, id, Change::Edit { text, meta }).await
    }

    /// Withdraws a message.
    pub(super) async fn delete(&self, delete: Delete) -> Result<(), Error> {
        let Delete { id, channel, seq } = delete;
        self.revise(channel, seq, id, Change::Delete).await
    }

    async fn revise(
        &self,
        channel: ChannelName,
        message: Seq,
        id: MessageId,
        change: Change,
    ) -> Result<(), Error> {
        let subscription = self.subscription(&channel)?;
        self.take_message(subscription, Instant::now())?;
        let room = subscription.seat.room();
        if room.is_closed() {
            let message = "the channel is closed: its messages stay as they are";
            return Err(Error::of_field(ErrorCode::ChannelClosed, "channel", message));
        }
        let Member { uid, membership } = subscription.seat.profile().member();
        let request = Revise { channel, message, uid, membership, id, change };
        let Revision { seq, time, duplicate } = self.worker.services.call(&request).await?;
        room.note_acked(seq);
        let (id, channel) = (&request.id, &request.channel);
        self.answer(&ServerFrame::Ack { id, channel, seq, time, duplicate });
        Ok(())
    }

    /// Lets a message, an edit or a deletion through unless an observer sends it, the member has sent too many, or all
    /// who are in the channel have.
    pub(super) fn take_message(
        &self,
        subscription: &Subscription,
        now: Instant,
    ) -> Result<(), Error> {
        if subscription.seat.profile().is_observer() {
            let message = "who only hears a channel says nothing in it";
            return Err(Error::of_field(ErrorCode::Forbidden, "channel", message));
        }
        let message = if subscription.messages.take(now).is_err() {
            self.worker.edge.count("messages");
            "too many messages from this member; wait, then send with the same id"
        } else if subscription.limits.messages.take(now).is_err() {
            self.worker.edge.count("channel_messages");
            "too many messages in this channel; wait, then send with the same id"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorCode::RateLimited, message))
    }
}
