//! Taking events out of the log, for good.
//!
//! A channel's events are purged together. A person's are erased one by one, which also overwrites
//! their bytes where they are stored; each is looked at first, so that a wrong sequence can cost
//! nobody else an event.

use std::time::Duration;

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_chassis::{Chassis, StartError, nats::Nats};
use goch_contract::{ChannelName, Error, Seq, Uid, subjects::Subjects};
use tokio::time::timeout;

use crate::replay::is_of;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Events erased at the same time.
const CONCURRENT_MAX: usize = 16;

/// The log, for erasing. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Eraser {
    log: Stream<()>,
    subjects: Subjects,
}

impl Eraser {
    /// # Errors
    /// When the stream's name is not one, which a valid prefix rules out.
    pub(crate) async fn new(chassis: &Chassis, nats: &Nats) -> Result<Self, StartError> {
        let subjects = chassis.nats.subjects.clone();
        let log = nats
            .jetstream()
            .get_stream_no_info(subjects.log_stream())
            .await
            .map_err(|error| StartError::because("naming the log", error))?;
        Ok(Self { log, subjects })
    }

    /// Removes a channel's events up to `through`. Tells how many there were.
    ///
    /// # Errors
    /// `unavailable`: some may be removed.
    pub(crate) async fn purge(&self, channel: &ChannelName, through: Seq) -> Result<u64, Error> {
        let until = through.0.saturating_add(1);
        let purge = self.log.purge().filter(self.subjects.log(channel)).sequence(until);
        let purged = timeout(CALL_TIMEOUT, purge).await.map_err(|_| away())?;
        let purged = purged.map_err(|error| failed(&error))?;
        tracing::info!(%channel, events = purged.purged, "a channel's events are purged");
        Ok(purged.purged)
    }

    /// Erases events of a person. Tells the log's last sequence afterwards.
    ///
    /// # Errors
    /// `unavailable`: some may be erased.
    pub(crate) async fn erase(&self, uid: &Uid, events: Vec<Seq>) -> Result<Seq, Error> {
        let erasures = events.into_iter().map(|seq| {
            let (eraser, uid) = (self.clone(), uid.clone());
            async move { eraser.erase_one(&uid, seq).await }
        });
        let mut erasures = stream::iter(erasures).buffer_unordered(CONCURRENT_MAX);
        let mut count = 0_u64;
        while let Some(erased) = erasures.try_next().await? {
            count += u64::from(erased);
        }
        tracing::info!(events = count, "a person's events are erased");
        let info = timeout(CALL_TIMEOUT, self.log.get_info()).await.map_err(|_| away())?;
        Ok(Seq(info.map_err(|error| failed(&error))?.state.last_sequence))
    }

    /// Erases one event; false if it is gone already, or is not this person's.
    async fn erase_one(&self, uid: &Uid, seq: Seq) -> Result<bool, Error> {
        // From the stream's leader: a follower may not have it yet.
        let get = timeout(CALL_TIMEOUT, self.log.get_raw_message(seq.0));
        let message = match get.await.map_err(|_| away())? {
            Ok(message) => message,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(false),
            Err(error) => return Err(failed(&error)),
        };
        if !is_of(&message.headers, uid) {
            return Ok(false);
        }
        // Without `no_erase`, so the server overwrites it.
        let delete = timeout(CALL_TIMEOUT, self.log.delete_message(seq.0));
        delete.await.map_err(|_| away())?.map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    tracing::warn!(%error, "events could not be removed");
    away()
}

fn away() -> Error {
    Error::unavailable("the log cannot be changed now")
}
