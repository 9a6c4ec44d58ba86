//! What has become of one message, for whoever is about to change it or to erase what is left of it.

use async_nats::jetstream::message::StreamMessage;
use goch_contract::{
    ChannelName, Error, MembershipId, Seq,
    event::{FROM_HEADER, Logged, MEMBERSHIP_HEADER, kind_of_sender},
    services::broker::{Revised, Revisions},
};

use super::{ReadError, Replay, single::event};

/// What is left of a message.
pub(crate) struct Remains {
    /// The message, if it is one and still there, and its edits.
    pub(crate) events: Vec<Seq>,
    /// Whether the log has a deletion of it.
    pub(crate) has_deletion: bool,
}

impl Replay {
    /// What has become of a message.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn revised(&self, request: &Revisions) -> Result<Revised, Error> {
        self.persist(|| self.read_revised(&request.channel, request.message)).await
    }

    async fn read_revised(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Revised, ReadError> {
        // Read from the stream's leader: a follower may not have it yet.
        let stored = self.stored(channel, message).await?;
        let tail = self.tail(channel).await?;
        if stored.is_some() && tail < message {
            return Err(ReadError::Gap);
        }
        let revisions = self.revisions_of(channel, message, tail).await?;
        let mut latest = None;
        for revision in revisions.iter().rev() {
            latest = self.stored(channel, revision.seq).await?.as_ref().and_then(logged);
            if latest.is_some() {
                break;
            }
        }
        let membership = stored.as_ref().and_then(|stored| stored.headers.get(MEMBERSHIP_HEADER));
        let membership = membership.and_then(|id| MembershipId::parse(id.as_str()).ok());
        let author = stored.as_ref().map(|stored| kind_of_sender(&stored.headers));
        let (message, author) = (stored.as_ref().and_then(logged), author.unwrap_or_default());
        Ok(Revised { message, membership, author, latest, tail })
    }

    /// What is to be erased of a message that is deleted.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn remains(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Remains, Error> {
        self.persist(|| self.read_remains(channel, message)).await
    }

    async fn read_remains(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Remains, ReadError> {
        let tail = self.tail(channel).await?;
        let revisions = self.revisions_of(channel, message, tail).await?;
        let has_deletion = revisions.iter().any(|revision| revision.deletes);
        let stored = self.stored(channel, message).await?;
        let is_message = stored.is_some_and(|stored| stored.headers.get(FROM_HEADER).is_some());
        let edits = revisions.iter().filter(|revision| !revision.deletes);
        let edits = edits.map(|revision| revision.seq);
        let events = is_message.then_some(message).into_iter().chain(edits).collect();
        Ok(Remains { events, has_deletion })
    }
}

fn logged(message: &StreamMessage) -> Option<Logged> {
    let (seq, event) = (Seq(message.sequence), event(message)?);
    Some(Logged::new(seq, Seq(0), event))
}
