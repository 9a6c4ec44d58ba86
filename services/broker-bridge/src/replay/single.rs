//! Single events, and where a channel ends: by one request as a rule, next to nothing for the server.

use std::future::Future;

use async_nats::jetstream::{
    message::StreamMessage,
    stream::{DirectGetErrorKind, RawMessageErrorKind},
};
use goch_contract::{ChannelName, Seq};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{ReadError, Replay, STEP_TIMEOUT, page::Entry};

impl Replay {
    /// The channel's latest event; 0 when it has none.
    pub(super) async fn tail(&self, channel: &ChannelName) -> Result<Seq, ReadError> {
        let last = self.log.direct_get_last_for_subject(self.subjects.log(channel));
        if let Some(message) = found(last).await? {
            return Ok(Seq(message.sequence));
        }
        match self.next(channel, Seq(1)).await? {
            None => Ok(Seq(0)),
            Some(first) => self.hidden_tail(channel, first.seq).await,
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
        let next = self.log.direct_get_next_for_subject(self.subjects.log(channel), Some(start.0));
        Ok(found(next).await?.map(Entry::from))
    }

    /// `seq` if the channel has an event there, else 0.
    pub(super) async fn own(&self, channel: &ChannelName, seq: Seq) -> Result<Seq, ReadError> {
        if seq == Seq(0) {
            return Ok(Seq(0));
        }
        let message = found(self.log.direct_get(seq.0)).await?;
        let subject = self.subjects.log(channel);
        let own = message.is_some_and(|message| message.subject.as_str() == subject);
        Ok(if own { seq } else { Seq(0) })
    }

    /// The event of a channel at `seq`, from the stream's leader.
    pub(super) async fn stored(
        &self,
        channel: &ChannelName,
        seq: Seq,
    ) -> Result<Option<StreamMessage>, ReadError> {
        if seq == Seq(0) {
            return Ok(None);
        }
        let get = timeout(STEP_TIMEOUT, self.log.get_raw_message(seq.0)).await;
        match get.map_err(|_| ReadError::TimedOut)? {
            Ok(message) => {
                let is_own = message.subject.as_str() == self.subjects.log(channel);
                Ok(Some(message).filter(|_| is_own))
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(ReadError::nats(error)),
        }
    }
}

type DirectGetError = async_nats::jetstream::stream::DirectGetError;

/// A message that need not be there.
pub(super) async fn found(
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
