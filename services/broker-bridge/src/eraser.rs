//! Taking events out of the log, for good.
//!
//! Events are deleted one by one, which also overwrites their bytes where they are stored. A person's
//! are looked at first, so that a wrong sequence can cost nobody else an event.

use std::time::Duration;

use async_nats::jetstream::{
    ErrorCode as JetStreamCode,
    stream::{DeleteMessageErrorKind, RawMessageErrorKind, Stream},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, Person, Seq, event::is_of, services::broker::EraseMessage,
};
use tokio::time::timeout;

use crate::replay::{Remains, Replay};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Events of a channel that one request removes.
const PURGE_MAX: usize = 1_000;

/// Events erased at the same time.
const CONCURRENT_MAX: usize = 16;

/// The log, for erasing. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Eraser {
    log: Stream<()>,
    replay: Replay,
}

impl Eraser {
    pub(crate) fn new(replay: &Replay) -> Self {
        Self { log: replay.log().clone(), replay: replay.clone() }
    }

    /// Removes a channel's events up to `through`, or some of them: tells whether there are more.
    ///
    /// One by one, because NATS before 2.10 makes all consumers of the log skip events when a part of
    /// it is purged.
    ///
    /// # Errors
    /// `unavailable`: some may be removed.
    pub(crate) async fn purge(&self, channel: &ChannelName, through: Seq) -> Result<bool, Error> {
        let (events, more) = self.replay.sequences(channel, through, PURGE_MAX).await?;
        let deletions = events.into_iter().map(|seq| {
            let eraser = self.clone();
            async move { eraser.delete(seq).await }
        });
        let mut deletions = stream::iter(deletions).buffer_unordered(CONCURRENT_MAX);
        let mut count = 0_u64;
        while let Some(deleted) = deletions.try_next().await? {
            count += u64::from(deleted);
        }
        tracing::info!(%channel, events = count, "a channel's events are removed");
        Ok(more)
    }

    /// Erases events of a person. Tells the log's last sequence afterwards.
    ///
    /// # Errors
    /// `unavailable`: some may be erased.
    pub(crate) async fn erase(&self, person: &Person, events: Vec<Seq>) -> Result<Seq, Error> {
        let erasures = events.into_iter().map(|seq| {
            let (eraser, person) = (self.clone(), person.clone());
            async move { eraser.erase_one(&person, seq).await }
        });
        let mut erasures = stream::iter(erasures).buffer_unordered(CONCURRENT_MAX);
        let mut count = 0_u64;
        while let Some(erased) = erasures.try_next().await? {
            count += u64::from(erased);
        }
        tracing::info!(events = count, "a person's events are erased");
        self.last_sequence().await
    }

    /// Erases a message that is deleted, with its edits. Tells the log's last sequence afterwards.
    ///
    /// # Errors
    /// `not_found` when the log has no deletion of it and must have one; `unavailable`: some may be
    /// erased.
    pub(crate) async fn erase_message(&self, request: &EraseMessage) -> Result<Seq, Error> {
        let EraseMessage { channel, message, before_deletion } = request;
        let Remains { events, has_deletion } = self.replay.remains(channel, *message).await?;
        if !has_deletion && !before_deletion {
            let reason = "the log has no deletion of it";
            return Err(Error::of_field(ErrorCode::NotFound, "message", reason));
        }
        for seq in events {
            self.delete(seq).await?;
        }
        tracing::info!(%channel, %message, "a deleted message is erased");
        self.last_sequence().await
    }

    async fn last_sequence(&self) -> Result<Seq, Error> {
        let info = timeout(CALL_TIMEOUT, self.log.get_info()).await.map_err(|_| away())?;
        Ok(Seq(info.map_err(|error| failed(&error))?.state.last_sequence))
    }

    /// Erases one event; false if it is gone already, or is not this person's.
    async fn erase_one(&self, person: &Person, seq: Seq) -> Result<bool, Error> {
        // From the stream's leader: a follower may not have it yet.
        let get = timeout(CALL_TIMEOUT, self.log.get_raw_message(seq.0));
        let message = match get.await.map_err(|_| away())? {
            Ok(message) => message,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(false),
            Err(error) => return Err(failed(&error)),
        };
        let channel = self.replay.subjects().channel_of_log(&message.subject);
        let is_there = channel.is_some_and(|channel| person.is_known_in(&channel));
        if !is_there || !is_of(&message.headers, person) {
            return Ok(false);
        }
        self.delete(seq).await
    }

    /// Deletes an event; false if it is gone already.
    ///
    /// # Errors
    /// `unavailable`: it may be deleted.
    pub(crate) async fn delete(&self, seq: Seq) -> Result<bool, Error> {
        // Without `no_erase`, so the server overwrites it.
        let delete = timeout(CALL_TIMEOUT, self.log.delete_message(seq.0));
        match delete.await.map_err(|_| away())? {
            Ok(deleted) => Ok(deleted),
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(error)
                    if error.error_code() == JetStreamCode::SEQUENCE_NOT_FOUND
                        || error.error_code() == JetStreamCode::STREAM_MESSAGE_DELETE_FAILED =>
                {
                    Ok(false)
                }
                _ => Err(failed(&error)),
            },
        }
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    tracing::warn!(%error, "events could not be removed");
    away()
}

fn away() -> Error {
    Error::unavailable("the log cannot be changed now")
}
