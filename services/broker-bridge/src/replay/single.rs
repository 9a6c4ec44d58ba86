//! Single events, and where a channel ends.
//!
//! A direct get costs next to nothing, but any replica of the log may answer it, and one that lags behind lacks
//! events that are acked. So a replica is believed what it has; that something is not there, or is the latest, only
//! the stream's leader can say.

use std::future::Future;

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{DirectGetError, DirectGetErrorKind, RawMessageError, RawMessageErrorKind},
};
use goch_contract::{ChannelName, Seq};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{ReadError, Replay, STEP_TIMEOUT, page::Entry};

impl Replay {
    /// The channel's latest event; 0 when it has none.
    pub(super) async fn tail(&self, channel: &ChannelName) -> Result<Seq, ReadError> {
        let subject = self.subjects.log(channel);
        if let Some(message) = stored(self.log.get_last_raw_message_by_subject(&subject)).await? {
            return Ok(Seq(message.sequence));
        }
        match stored(self.log.get_first_raw_message_by_subject(&subject, 1)).await? {
            None => Ok(Seq(0)),
            Some(first) => self.hidden_tail(channel, Seq(first.sequence)).await,
        }
    }

    /// The channel's latest event after the one that was the latest has been deleted: NATS 2.9 then
    /// denies that there is one, until the next event comes.
    async fn hidden_tail(&self, channel: &ChannelName, first: Seq) -> Result<Seq, ReadError> {
        let info = timeout(STEP_TIMEOUT, self.log.get_info()).await;
        let info = info.map_err(|_| ReadError::TimedOut)?.map_err(ReadError::nats)?;
        let end = Seq(info.state.last_sequence);
        let _permit = self.reading.acquire().await;
        let (mut reader, _) = self.find(channel, first, end, end, 1).await?;
        let mut tail = first;
        while let Some(entry) = reader.next().await? {
            tail = entry.seq;
        }
        Ok(tail)
    }

    /// The channel's first event from `start` on.
    pub(super) async fn next(
        &self,
        channel: &ChannelName,
        start: Seq,
    ) -> Result<Option<Entry>, ReadError> {
        let subject = self.subjects.log(channel);
        let next = self.log.direct_get_next_for_subject(subject.as_str(), Some(start.0));
        if let Some(message) = replicated(next).await? {
            return Ok(Some(message.into()));
        }
        let next = self.log.get_first_raw_message_by_subject(subject, start.0);
        Ok(stored(next).await?.map(Entry::from))
    }

    /// The event at `seq`, whichever channel's it is.
    pub(super) async fn event(&self, seq: Seq) -> Result<Option<StreamMessage>, ReadError> {
        match replicated(self.log.direct_get(seq.0)).await? {
            Some(message) => Ok(Some(message)),
            None => stored(self.log.get_raw_message(seq.0)).await,
        }
    }

    /// `seq` if the channel has an event there, else 0.
    pub(super) async fn own(&self, channel: &ChannelName, seq: Seq) -> Result<Seq, ReadError> {
        if seq == Seq(0) {
            return Ok(Seq(0));
        }
        let message = self.event(seq).await?;
        let subject = self.subjects.log(channel);
        let own = message.is_some_and(|message| message.subject.as_str() == subject);
        Ok(if own { seq } else { Seq(0) })
    }

    /// The event of a channel at `seq`, unless it has been erased.
    pub(super) async fn stored(
        &self,
        channel: &ChannelName,
        seq: Seq,
    ) -> Result<Option<StreamMessage>, ReadError> {
        if seq == Seq(0) {
            return Ok(None);
        }
        let message = stored(self.log.get_raw_message(seq.0)).await?;
        Ok(message.filter(|message| message.subject.as_str() == self.subjects.log(channel)))
    }
}

/// What the stream's leader has.
pub(super) async fn stored(
    get: impl Future<Output = Result<StreamMessage, RawMessageError>>,
) -> Result<Option<StreamMessage>, ReadError> {
    match timeout(STEP_TIMEOUT, get).await {
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Ok(Err(error)) => Err(ReadError::nats(error)),
        Err(_) => Err(ReadError::TimedOut),
    }
}

/// What some replica has. None if that one has nothing.
async fn replicated(
    get: impl Future<Output = Result<StreamMessage, DirectGetError>>,
) -> Result<Option<StreamMessage>, ReadError> {
    match timeout(STEP_TIMEOUT, get).await {
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
        Ok(Err(error)) => Err(ReadError::nats(error)),
        Err(_) => Err(ReadError::TimedOut),
    }
}

/// The stored object.
pub(super) fn event(message: &StreamMessage) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(message.payload.to_vec()).ok()?).ok()
}
