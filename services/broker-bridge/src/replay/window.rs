//! The events of a window, as they are stored: after a sequence, since a moment, or the latest.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use goch_contract::{
    ChannelName, Seq, UnixMillis,
    services::{broker::CaughtUp, history::Page},
};

use super::{
    ReadError, Replay,
    page::{Backward, Forward},
    reader::{Reader, Select},
    search::{self, Search},
};

/// Events that are read one by one before a consumer is worth its creation and deletion.
const DIRECT_MAX: usize = 4;

/// By how much the clock of the service that published an event may be ahead of the log's. The log is
/// read from that much earlier, and what is too old by the event's own time is left out.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_mins(1);

impl Replay {
    pub(super) async fn read_after(
        &self,
        channel: &ChannelName,
        after: Seq,
        limit: u32,
    ) -> Result<CaughtUp, ReadError> {
        let start = Seq(after.0.saturating_add(1));
        let tail = self.tail(channel).await?;
        if tail <= after {
            return Ok(CaughtUp { page: Page::default(), last_seq: tail });
        }
        let (first, known) = tokio::try_join!(self.next(channel, start), self.own(channel, after))?;
        let mut page = Forward::new(known, limit, &self.metrics);
        let mut next = first;
        let mut gets = 1;
        while let Some(entry) = next {
            let seq = entry.seq;
            if !page.push(&entry) || !page.has_room() || seq >= tail {
                break;
            }
            if gets == DIRECT_MAX {
                self.stream_after(channel, seq, tail, &mut page).await?;
                break;
            }
            gets += 1;
            next = self.next(channel, Seq(seq.0 + 1)).await?;
        }
        Ok(page.caught_up(after, tail))
    }

    /// Fills a page with the events after `after`.
    async fn stream_after(
        &self,
        channel: &ChannelName,
        after: Seq,
        tail: Seq,
        page: &mut Forward<'_>,
    ) -> Result<(), ReadError> {
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 };
        let mut reader = self.reader(channel, start, Select::Events, tail).await?;
        while let Some(entry) = reader.next().await? {
            if !page.push(&entry) || !page.has_room() {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn read_since(
        &self,
        channel: &ChannelName,
        since: UnixMillis,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let margin = u64::try_from(CLOCK_DIFFERENCE_MAX.as_millis()).unwrap_or(u64::MAX);
        let start = i128::from(since.0.saturating_sub(margin)) * 1_000_000;
        let start_time = async_nats::datetime::from_nanos(start).map_err(ReadError::nats)?;
        let tail = self.tail(channel).await?;
        if tail == Seq(0) {
            return Ok(Page::default());
        }
        // Gone since it was the tail.
        let last = self.stored(channel, tail).await?.ok_or(ReadError::Gap)?;
        if last.time < start_time {
            return Ok(Page::default());
        }
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartTime { start_time };
        let mut reader = self.reader(channel, start, Select::Events, tail).await?;
        let mut page = Forward::new(Seq(0), limit, &self.metrics);
        let mut reached = false;
        while let Some(entry) = reader.next().await? {
            // Only until the first one: order is by sequence, and clocks differ.
            let time = if reached { None } else { entry.time() };
            if time.is_some_and(|time| time < since) {
                page.pass(&entry);
                continue;
            }
            reached = reached || time.is_some();
            if !page.push(&entry) || !page.has_room() {
                break;
            }
        }
        Ok(page.finish(tail))
    }

    pub(super) async fn read_latest(
        &self,
        channel: &ChannelName,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let (tail, first) = tokio::try_join!(self.tail(channel), self.next(channel, Seq(1)))?;
        let end = before.map_or(tail, |before| tail.min(Seq(before.0.saturating_sub(1))));
        let Some(first) = first.map(|entry| entry.seq).filter(|first| *first <= end) else {
            return Ok(Page::default());
        };
        let _permit = self.reading.acquire().await;
        let (mut reader, older) = self.find(channel, first, end, tail, limit).await?;
        let mut page = Backward::new(limit, older, &self.metrics);
        let mut read = 0;
        while let Some(entry) = reader.next().await? {
            page.push(&entry);
            read += 1;
        }
        if older && read <= limit {
            // It began too late: the counts by which the beginning was found are of servers that differ.
            return Err(ReadError::Gap);
        }
        Ok(page.finish())
    }

    /// A reader up to `end` that begins where at least `limit` events, and not many times as many, are
    /// left to read, or at the channel's first event. Tells whether there are older ones.
    pub(super) async fn find(
        &self,
        channel: &ChannelName,
        first: Seq,
        end: Seq,
        tail: Seq,
        limit: u32,
    ) -> Result<(Reader, bool), ReadError> {
        let at = |seq: Seq| DeliverPolicy::ByStartSequence { start_sequence: seq.0 };
        let reader = self.reader(channel, at(first), Select::Events, end).await?;
        let beyond = if end == tail || search::is_enough(reader.pending(), limit) {
            0
        } else {
            let after_end = at(Seq(end.0 + 1));
            self.reader(channel, after_end, Select::Headers, tail).await?.pending()
        };
        let total = reader.pending().saturating_sub(beyond);
        let mut search = Search::new(first, end, total, limit);
        while let Some(probe) = search.next() {
            let reader = self.reader(channel, at(probe), Select::Events, end).await?;
            if search.learn(probe, reader.pending().saturating_sub(beyond)) {
                return Ok((reader, true));
            }
        }
        match search.start() {
            start if start == first => Ok((reader, false)),
            start => Ok((self.reader(channel, at(start), Select::Events, end).await?, true)),
        }
    }
}
