//! Reading events, as they were last edited.

use bytes::Bytes;
use fred::{interfaces::SortedSetsInterface as _, types::Value};
use goch_chassis::redis::queue_script;
use goch_contract::{
    ChannelName, Seq, UnixMillis,
    event::{self, Logged},
    services::history::{PAGE_BYTES_MAX, Window},
};

use super::{
    LAST, READ_TIMEOUT, Store, StoreError,
    layout::{digits, read_event},
    read_seq,
};
use crate::progress::Progress;

/// Events of a channel, as far as Redis knows them.
#[derive(Debug)]
pub(crate) struct View {
    /// Every event after this one is in Redis; the event before them, 0 for none.
    pub(crate) floor: Seq,
    /// Every event from `floor` up to here was written.
    pub(crate) certain: Seq,
    /// Rising by sequence, each with its `prev`.
    pub(crate) events: Vec<Logged>,
    /// Whether there are no more events in Redis in that direction, rather than no more room.
    pub(crate) ended: bool,
    /// Whether events before the moment that was asked for are in Redis.
    pub(crate) skipped: bool,
}

/// What Redis knows of a channel's latest message.
#[derive(Debug)]
pub(crate) enum Last {
    /// The channel is not known.
    Unknown,
    /// There is none after this event.
    NoneAfter(Seq),
    Message(Logged),
}

impl Store {
    /// Events of a channel; none when Redis does not know the channel.
    pub(crate) async fn read(
        &self,
        progress: Progress,
        channel: &ChannelName,
        window: Window,
        limit: u32,
    ) -> Result<Option<View>, StoreError> {
        let (direction, bound) = match window {
            Window::Latest => ("backward", u64::MAX),
            Window::Before(Seq(bound)) => ("backward", bound),
            Window::After(Seq(bound)) => ("forward", bound),
            Window::Since(UnixMillis(bound)) => ("since", bound),
        };
        let arguments = vec![
            digits(progress.written.0),
            direction.to_owned(),
            digits(bound),
            limit.to_string(),
            PAGE_BYTES_MAX.to_string(),
        ];
        let answer =
            self.ask(&self.scripts.read, self.key(progress.generation, channel), arguments);
        let Some(answer) = answer.await? else { return Ok(None) };
        read_view(answer, direction == "backward").map(Some).ok_or(StoreError::Unreadable)
    }

    /// The latest message of each channel, in one round trip.
    pub(crate) async fn last(
        &self,
        progress: Progress,
        channels: &[ChannelName],
    ) -> Result<Vec<Last>, StoreError> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let written = digits(progress.written.0);
        let asked = async {
            let pipeline = self.redis.client().pipeline();
            for channel in channels {
                let key = self.key(progress.generation, channel);
                queue_script(&pipeline, LAST, &[key], &[&written]).await?;
            }
            pipeline.all::<Vec<Value>>().await
        };
        let answers = self.redis.read(READ_TIMEOUT, asked).await?;
        let last = |answer| read_last(answer).ok_or(StoreError::Unreadable);
        answers.into_iter().map(last).collect()
    }

    /// The latest event that Redis has, certain or not; 0 for none.
    pub(crate) async fn newest(
        &self,
        progress: Progress,
        channel: &ChannelName,
    ) -> Result<Seq, StoreError> {
        let key = self.key(progress.generation, channel);
        let client = self.redis.client();
        let newest = client.zrevrangebylex::<Vec<Bytes>, _, _, _>(key, "(f", "[e", Some((0, 1)));
        let newest = self.redis.read(READ_TIMEOUT, newest).await?;
        Ok(newest.first().and_then(|member| read_event(member)).map_or(Seq(0), |event| event.seq))
    }
}

fn read_view(answer: Value, backward: bool) -> Option<View> {
    let [floor, certain, predecessor, ended, skipped, rows, edits] =
        <[Value; 7]>::try_from(answer.into_array()).ok()?;
    let rows = rows.into_array().into_iter();
    let mut events =
        rows.map(|row| row.as_bytes().and_then(read_event)).collect::<Option<Vec<_>>>()?;
    for pair in edits.into_array().chunks_exact(2) {
        // Lua counts from one.
        let event = events.get_mut(usize::try_from(pair[0].as_u64()?).ok()?.checked_sub(1)?)?;
        edit(event, &pair[1])?;
    }
    if backward {
        events.reverse();
    }
    let mut prev = read_seq(&predecessor)?;
    for event in &mut events {
        event.prev = std::mem::replace(&mut prev, event.seq);
    }
    Some(View {
        floor: read_seq(&floor)?,
        certain: read_seq(&certain)?,
        events,
        ended: ended.as_i64()? == 1,
        skipped: skipped.as_i64()? == 1,
    })
}

fn read_last(answer: Value) -> Option<Last> {
    if answer.is_null() {
        return Some(Last::Unknown);
    }
    match answer.into_array().as_slice() {
        [floor] => Some(Last::NoneAfter(read_seq(floor)?)),
        [_, message, predecessor, edits @ ..] => {
            let mut message = read_event(message.as_bytes()?)?;
            message.prev = read_seq(predecessor)?;
            if let Some(latest) = edits.first() {
                edit(&mut message, latest)?;
            }
            Some(Last::Message(message))
        }
        _ => None,
    }
}

/// Has a message say what it was edited to by the event in `row`.
fn edit(message: &mut Logged, row: &Value) -> Option<()> {
    message.event = event::edited(&message.event, &read_event(row.as_bytes()?)?.event)?;
    Some(())
}
