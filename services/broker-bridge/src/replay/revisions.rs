//! What has become of messages: which events edit or delete which.
//!
//! An edit lies anywhere after its message, so to show a page as it was last edited, what follows it in
//! the channel has to be looked through, up to its end. That is done without bodies, and what is found
//! is remembered: each event of a channel is looked at once, however many of its pages are asked for,
//! and pages that reach the end, as most do, need none of it. So the first page from far back in a
//! channel costs as much as counting its unread messages would; channels are tickets, and bounded.
//! Nothing here is the truth: what is remembered and gone from the log is passed over.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::jetstream::consumer::DeliverPolicy;
use goch_contract::{ChannelName, Seq, event::Revision};
use lru::LruCache;

use super::{ReadError, Replay, Select};

/// Channels whose revisions are remembered; the longest unused is forgotten first.
const CHANNELS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Revisions that are remembered of a channel; one with more is looked through each time.
const REVISIONS_MAX: usize = 10_000;

/// The revisions of a channel after one sequence, up to another.
#[derive(Debug, Default)]
struct Known {
    after: Seq,
    through: Seq,
    revisions: Vec<Revision>,
}

/// What is known of many channels. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Memory(Arc<Mutex<LruCache<ChannelName, Arc<tokio::sync::Mutex<Known>>>>>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(CHANNELS_MAX))))
    }

    fn of(&self, channel: &ChannelName) -> Arc<tokio::sync::Mutex<Known>> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(channels.get_or_insert(channel.clone(), Arc::default))
    }
}

impl Replay {
    /// The revisions of one message, rising by sequence.
    pub(super) async fn revisions_of(
        &self,
        channel: &ChannelName,
        message: Seq,
        tail: Seq,
    ) -> Result<Vec<Revision>, ReadError> {
        if message >= tail {
            return Ok(Vec::new());
        }
        let mut revisions = self.revisions_after(channel, message, tail).await?;
        revisions.retain(|revision| revision.message == message);
        Ok(revisions)
    }

    /// The revisions after `after`, rising by sequence, up to `tail` at least, which is an event.
    pub(super) async fn revisions_after(
        &self,
        channel: &ChannelName,
        after: Seq,
        tail: Seq,
    ) -> Result<Vec<Revision>, ReadError> {
        let (replay, channel) = (self.clone(), channel.clone());
        // In a task of its own, so that what has been read is not lost when nobody waits any more.
        let reading = self.tasks.spawn(async move {
            let known = replay.memory.of(&channel);
            let mut known = known.lock().await;
            replay.learn(&channel, &mut known, after, tail).await?;
            let wanted = known.revisions.iter().filter(|revision| revision.seq > after);
            let wanted = wanted.copied().collect();
            if known.revisions.len() > REVISIONS_MAX {
                *known = Known::default();
            }
            Ok(wanted)
        });
        reading.await.map_err(ReadError::nats)?
    }

    /// Looks through what is not known yet between `after` and `tail`.
    async fn learn(
        &self,
        channel: &ChannelName,
        known: &mut Known,
        after: Seq,
        tail: Seq,
    ) -> Result<(), ReadError> {
        if known.through == Seq(0) {
            *known = Known { after, through: after, revisions: Vec::new() };
        }
        if after < known.after {
            let (mut earlier, _) = self.look_through(channel, after, known.after).await?;
            earlier.append(&mut known.revisions);
            *known = Known { after, revisions: earlier, ..*known };
        }
        if known.through < tail {
            let (later, through) = self.look_through(channel, known.through, tail).await?;
            known.revisions.extend(later);
            known.through = known.through.max(through);
        }
        // It was there a moment ago: the replica that was read lags behind, or it was just deleted.
        if known.through < tail { Err(ReadError::Gap) } else { Ok(()) }
    }

    /// The revisions between two sequences, and the last event that was read.
    async fn look_through(
        &self,
        channel: &ChannelName,
        after: Seq,
        end: Seq,
    ) -> Result<(Vec<Revision>, Seq), ReadError> {
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 };
        let mut reader = self.reader(channel, start, Select::Headers, end).await?;
        let (mut revisions, mut through) = (Vec::new(), Seq(0));
        while let Some(entry) = reader.next().await? {
            let headers = entry.headers.as_ref();
            revisions.extend(headers.and_then(|it| Revision::of_headers(entry.seq, it)));
            through = entry.seq;
        }
        Ok((revisions, through))
    }
}
