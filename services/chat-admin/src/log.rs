//! Publishing events to the log, each acknowledged before it counts as stored.

use async_nats::{
    Client, HeaderMap,
    connection::State,
    header::NATS_MESSAGE_ID,
    jetstream::{self, message::PublishMessage},
};
use goch_chassis::{
    Chassis,
    nats::{Nats, REQUEST_TIMEOUT},
};
use goch_contract::{
    ChannelName, Error, Seq, Uid,
    event::{Event, FROM_HEADER, MEMBER_HEADER},
    subjects::Subjects,
    trace,
};

/// The log, for writing. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    client: Client,
    jetstream: jetstream::Context,
    subjects: Subjects,
}

/// Where the log has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: Seq,
    /// An earlier publish with the same deduplication id stored it.
    pub(crate) duplicate: bool,
}

/// Whose event it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About<'a> {
    /// A message of this sender: what counts as unread.
    Sender(&'a Uid),
    /// The coming or going of this member.
    Member(&'a Uid),
    /// The channel itself.
    Channel,
}

impl Log {
    pub(crate) fn new(chassis: &Chassis, nats: &Nats) -> Self {
        Self {
            client: nats.client.clone(),
            jetstream: nats.jetstream(),
            subjects: chassis.nats.subjects.clone(),
        }
    }

    /// Stores an event of `channel`.
    ///
    /// # Errors
    /// `unavailable`: the event may or may not be stored, and publishing it again with the same
    /// `deduplication_id` is safe.
    pub(crate) async fn publish(
        &self,
        channel: &ChannelName,
        event: &Event,
        deduplication_id: String,
        about: About<'_>,
    ) -> Result<Stored, Error> {
        // While NATS is away the event would wait in the client's buffer and could be stored long
        // after its sender was told that it was not.
        if self.client.connection_state() != State::Connected {
            return Err(not_stored());
        }
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, deduplication_id);
        match about {
            About::Sender(uid) => headers.insert(FROM_HEADER, uid.as_str()),
            About::Member(uid) => headers.insert(MEMBER_HEADER, uid.as_str()),
            About::Channel => {}
        }
        trace::inject(&mut headers);
        let message = PublishMessage::build().payload(event.to_payload().into()).headers(headers);
        let publish =
            async { self.jetstream.send_publish(self.subjects.log(channel), message).await?.await };
        let ack = tokio::time::timeout(REQUEST_TIMEOUT, publish)
            .await
            .map_err(|_| not_stored())?
            .map_err(|error| {
            tracing::warn!(%error, "an event was not stored");
            not_stored()
        })?;
        Ok(Stored { seq: Seq(ack.sequence), duplicate: ack.duplicate })
    }
}

fn not_stored() -> Error {
    Error::unavailable("the log did not store it; try again with the same id")
}
