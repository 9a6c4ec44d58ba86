//! What has become of messages: which events edit or delete which.
//!
//! An edit lies anywhere after its message, so to show a page as it was last edited, what follows it in
//! the channel has to be looked through, up to its end. That is done without bodies, and what is found
//! is remembered: each event of a channel is looked at once, however many of its pages are asked for,
//! and pages that reach the end, as most do, need none of it. So the first page from far back in a
//! channel costs as much as counting its unread messages would; channels are tickets, and bounded.
//! Nothing here is the truth: what is remembered and gone from the log is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_nats::jetstream::{
    consumer::DeliverPolicy, message::StreamMessage, stream::RawMessageErrorKind,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, Seq,
    event::{FROM_HEADER, Logged, Revision, edited},
    services::{
        broker::{Revised, Revisions},
        history::{PAGE_BYTES_MAX, Page},
    },
};
use lru::LruCache;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{CONCURRENT_GETS_MAX, ReadError, Replay, STEP_TIMEOUT, Select, found};

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

/// The latest revisions of messages, by message: rising by sequence.
type ByMessage = BTreeMap<Seq, Vec<Revision>>;

/// From which end a page was filled, and at which it may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    First,
    Last,
}

impl Replay {
    /// Has a page's messages say what they were last edited to, without those that are deleted, and their
    /// edits: their erasure may still be under way.
    pub(super) async fn show(
        &self,
        channel: &ChannelName,
        mut page: Page,
        kept: Kept,
    ) -> Result<Page, ReadError> {
        let (Some(first), Some(last)) = (page.events.first(), page.events.last()) else {
            return Ok(page);
        };
        let (first, last) = (first.seq, last.seq);
        let in_page: Vec<_> = page.events.iter().filter_map(Logged::revision).collect();
        let mut revisions = in_page.clone();
        let tail = self.tail(channel).await?;
        if last < tail {
            revisions.extend(self.revisions_after(channel, last, tail).await?);
        }
        let edited: BTreeSet<_> = in_page.iter().map(|revision| revision.message).collect();
        revisions.retain(|Revision { message, .. }| {
            (first..=last).contains(message) || edited.contains(message)
        });
        if revisions.is_empty() {
            return Ok(page);
        }
        self.apply(&mut page.events, revisions).await?;
        if page.events.is_empty() && page.more {
            // There is no page of nothing in the middle of a channel. A moment later these are erased.
            return Err(ReadError::Erasing);
        }
        cut(&mut page, kept);
        Ok(page)
    }

    /// Has events say what they were last edited to, without messages that are deleted and their edits.
    pub(super) async fn apply(
        &self,
        events: &mut Vec<Logged>,
        revisions: Vec<Revision>,
    ) -> Result<(), ReadError> {
        let mut of_messages = ByMessage::new();
        for revision in revisions {
            of_messages.entry(revision.message).or_default().push(revision);
        }
        let at_hand: BTreeMap<Seq, Box<RawValue>> = events
            .iter()
            .filter(|logged| logged.revision().is_some())
            .map(|logged| (logged.seq, logged.event.clone()))
            .collect();
        let is_of_deleted = |logged: &Logged| {
            let edit = logged.revision().filter(|revision| !revision.deletes);
            let all = edit.and_then(|edit| of_messages.get(&edit.message));
            all.is_some_and(|all| all.iter().any(|revision| revision.deletes))
        };
        let of_deleted: BTreeSet<Seq> =
            events.iter().filter(|logged| is_of_deleted(logged)).map(|logged| logged.seq).collect();
        let texts: Vec<_> = events
            .iter()
            .map(|logged| self.latest_text(logged, of_messages.get(&logged.seq), &at_hand))
            .collect();
        let texts: Vec<_> = stream::iter(texts).buffered(CONCURRENT_GETS_MAX).try_collect().await?;
        let mut shown = Vec::with_capacity(events.len());
        let mut gone = None;
        for (mut logged, text) in events.drain(..).zip(texts) {
            logged.prev = gone.take().unwrap_or(logged.prev);
            let is_gone = of_deleted.contains(&logged.seq);
            match if is_gone { Text::Deleted } else { text } {
                Text::AsStored => shown.push(logged),
                Text::Edited(event) => shown.push(Logged { event, ..logged }),
                Text::Deleted => gone = Some(logged.prev),
            }
        }
        *events = shown;
        Ok(())
    }

    async fn latest_text(
        &self,
        logged: &Logged,
        revisions: Option<&Vec<Revision>>,
        at_hand: &BTreeMap<Seq, Box<RawValue>>,
    ) -> Result<Text, ReadError> {
        let revisions = revisions.map(Vec::as_slice).unwrap_or_default();
        if revisions.iter().any(|revision| revision.deletes) {
            return Ok(Text::Deleted);
        }
        // The latest that the log still has: a person's edits may have been erased.
        for revision in revisions.iter().rev() {
            let event = match at_hand.get(&revision.seq) {
                Some(event) => Some(event.clone()),
                None => found(self.log.direct_get(revision.seq.0)).await?.as_ref().and_then(event),
            };
            if let Some(event) = event.and_then(|edit| edited(&logged.event, &edit)) {
                return Ok(Text::Edited(event));
            }
        }
        Ok(Text::AsStored)
    }

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
        Ok(Revised { message: stored.as_ref().and_then(logged), latest, tail })
    }

    /// What is to be erased of a message that the log has a deletion of: the message, if it is one and
    /// still there, and its edits. None if it has no deletion.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn remains(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Option<Vec<Seq>>, Error> {
        self.persist(|| self.read_remains(channel, message)).await
    }

    async fn read_remains(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Option<Vec<Seq>>, ReadError> {
        let tail = self.tail(channel).await?;
        let revisions = self.revisions_of(channel, message, tail).await?;
        if !revisions.iter().any(|revision| revision.deletes) {
            return Ok(None);
        }
        let stored = self.stored(channel, message).await?;
        let is_message = stored.is_some_and(|stored| stored.headers.get(FROM_HEADER).is_some());
        let edits = revisions.iter().filter(|revision| !revision.deletes);
        let edits = edits.map(|revision| revision.seq);
        Ok(Some(is_message.then_some(message).into_iter().chain(edits).collect()))
    }

    /// The event of a channel at `seq`, from the stream's leader.
    async fn stored(
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

    /// The revisions of one message, rising by sequence.
    async fn revisions_of(
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

/// What a message says now.
enum Text {
    AsStored,
    Edited(Box<RawValue>),
    Deleted,
}

fn event(message: &StreamMessage) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(message.payload.to_vec()).ok()?).ok()
}

fn logged(message: &StreamMessage) -> Option<Logged> {
    let (seq, event) = (Seq(message.sequence), event(message)?);
    Some(Logged { seq, prev: Seq(0), event })
}

/// Cuts a page whose edited texts have made it larger than an answer may be.
fn cut(page: &mut Page, kept: Kept) {
    let mut bytes = 0;
    let mut fits = |logged: &Logged| {
        bytes += logged.event.get().len();
        bytes <= PAGE_BYTES_MAX
    };
    let count = match kept {
        Kept::First => page.events.iter().take_while(|logged| fits(logged)).count(),
        Kept::Last => page.events.iter().rev().take_while(|logged| fits(logged)).count(),
    };
    // One that is larger than a page gets one to itself.
    let count = count.max(1).min(page.events.len());
    if count < page.events.len() {
        page.more = true;
        match kept {
            Kept::First => page.events.truncate(count),
            Kept::Last => _ = page.events.drain(..page.events.len() - count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(seq: u64, event: &str) -> Logged {
        let event = RawValue::from_string(event.to_owned()).unwrap();
        Logged { seq: Seq(seq), prev: Seq(seq - 1), event }
    }

    #[test]
    fn a_page_that_has_grown_is_cut_where_it_can_be_asked_on() {
        let large = format!("\"{}\"", "x".repeat(PAGE_BYTES_MAX / 2));
        let page =
            || Page { events: (1..=3).map(|seq| logged(seq, &large)).collect(), more: false };
        for (kept, seq) in [(Kept::First, 1), (Kept::Last, 3)] {
            let mut page = page();
            cut(&mut page, kept);
            let seqs: Vec<_> = page.events.iter().map(|logged| logged.seq.0).collect();
            assert_eq!((seqs, page.more), (vec![seq], true));
        }
    }
}
