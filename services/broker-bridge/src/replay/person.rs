//! Where events are that are to be taken out: a channel's, or a person's.
//!
//! The log has no index by person, so for an account it is read from one end to the other, and for a guest the one
//! channel is, without bodies, a part in each request. That is seldom needed, and headers are quick to read.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::consumer::DeliverPolicy;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, Person, Seq,
    event::{Logged, is_of},
    services::{
        broker::{Find, Found},
        history::PAGE_BYTES_MAX,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::{CONCURRENT_GETS_MAX, ReadError, Replay, STEP_TIMEOUT, Select, reader::Reader};

/// How long one request looks through the log.
const LOOK_FOR: Duration = Duration::from_secs(2);

impl Replay {
    /// A person's events in a part of the log.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn find_person(&self, request: &Find) -> Result<Found, Error> {
        self.persist(|| async {
            let mut found = self.read_person(&request.person, request.after, request.limit).await?;
            if request.shown {
                self.show_all(&mut found.events).await?;
            }
            Ok(found)
        })
        .await
    }

    /// Where a channel's first events up to `through` are, and whether there are more.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn sequences(
        &self,
        channel: &ChannelName,
        through: Seq,
        max: usize,
    ) -> Result<(Vec<Seq>, bool), Error> {
        self.persist(|| self.read_sequences(channel, through, max)).await
    }

    /// Has messages of any channels say what they were last edited to.
    async fn show_all(&self, events: &mut Vec<Logged>) -> Result<(), ReadError> {
        let mut first_of = BTreeMap::new();
        for logged in events.iter() {
            if let Some(channel) = channel_of(logged) {
                first_of.entry(channel).or_insert(logged.seq);
            }
        }
        let mut revisions = Vec::new();
        for (channel, first) in first_of {
            let tail = self.tail(&channel).await?;
            if first < tail {
                revisions.extend(self.revisions_after(&channel, first, tail).await?);
            }
        }
        self.apply(events, revisions).await
    }

    async fn read_sequences(
        &self,
        channel: &ChannelName,
        through: Seq,
        max: usize,
    ) -> Result<(Vec<Seq>, bool), ReadError> {
        let end = through.min(self.tail(channel).await?);
        let _permit = self.reading.acquire().await;
        let mut reader = self.reader(channel, DeliverPolicy::All, Select::Headers, end).await?;
        let mut seqs = Vec::new();
        while let Some(entry) = reader.next().await? {
            if seqs.len() == max {
                return Ok((seqs, true));
            }
            seqs.push(entry.seq);
        }
        Ok((seqs, false))
    }

    async fn read_person(
        &self,
        person: &Person,
        after: Seq,
        limit: u32,
    ) -> Result<Found, ReadError> {
        let info = timeout(STEP_TIMEOUT, self.log.get_info()).await;
        let info = info.map_err(|_| ReadError::TimedOut)?.map_err(ReadError::nats)?;
        let end = Seq(info.state.last_sequence);
        if end <= after {
            return Ok(Found { events: Vec::new(), through: after, more: false });
        }
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartSequence { start_sequence: after.0.saturating_add(1) };
        // What a guest has done is in one channel.
        let one = person.channel().map(|channel| self.subjects.log(channel));
        let subject = one.unwrap_or_else(|| self.subjects.log_of_all());
        self.metrics.readers.inc();
        let mut reader =
            Reader::open(&self.log, &self.tasks, subject, start, Select::Headers, end).await?;
        let stop_at = Instant::now() + LOOK_FOR;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut seqs, mut through) = (Vec::new(), end);
        while let Some(entry) = reader.next().await? {
            let is_named = entry.headers.as_ref().is_some_and(|headers| is_of(headers, person));
            let channel = || self.subjects.channel_of_log(&entry.subject);
            // Whoever has the uid in another tenant's channels is somebody else.
            if is_named && channel().is_some_and(|channel| person.is_known_in(&channel)) {
                seqs.push(entry.seq);
            }
            if seqs.len() >= limit || Instant::now() >= stop_at {
                through = entry.seq;
                break;
            }
        }
        let (events, through) = self.read_bodies(seqs, through).await?;
        Ok(Found { events, through, more: through < end })
    }

    /// The events, as many as fit into an answer, and up to where that is.
    async fn read_bodies(
        &self,
        seqs: Vec<Seq>,
        through: Seq,
    ) -> Result<(Vec<Logged>, Seq), ReadError> {
        let gets = seqs.into_iter().map(|seq| {
            let replay = self.clone();
            async move { replay.event(seq).await }
        });
        let mut messages = stream::iter(gets).buffered(CONCURRENT_GETS_MAX);
        let (mut events, mut bytes) = (Vec::<Logged>::new(), 0);
        while let Some(message) = messages.try_next().await? {
            // Gone meanwhile.
            let Some(message) = message else { continue };
            bytes += message.payload.len();
            if bytes > PAGE_BYTES_MAX
                && let Some(last) = events.last()
            {
                let through = last.seq;
                return Ok((events, through));
            }
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            if let Ok(event) = RawValue::from_string(text) {
                events.push(Logged::new(Seq(message.sequence), Seq(0), event));
            }
        }
        Ok((events, through))
    }
}

fn channel_of(logged: &Logged) -> Option<ChannelName> {
    #[derive(Deserialize)]
    struct Place {
        channel: ChannelName,
    }
    serde_json::from_str::<Place>(logged.event.get()).ok().map(|place| place.channel)
}
