//! Pages as they are shown: messages as they were last edited, without those that are deleted.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Seq,
    event::{Logged, Revision, edited},
    services::history::{PAGE_BYTES_MAX, Page},
};
use serde_json::value::RawValue;

use super::{CONCURRENT_GETS_MAX, ReadError, Replay, single::event};

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
                None => self.event(revision.seq).await?.as_ref().and_then(event),
            };
            if let Some(event) = event.and_then(|edit| edited(&logged.event, &edit)) {
                return Ok(Text::Edited(event));
            }
        }
        Ok(Text::AsStored)
    }
}

/// What a message says now.
enum Text {
    AsStored,
    Edited(Box<RawValue>),
    Deleted,
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
        Logged::new(Seq(seq), Seq(seq - 1), event)
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

    #[test]
    fn a_page_that_fits_exactly_is_whole_and_an_event_that_never_fits_gets_one_to_itself() {
        let of = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        for kept in [Kept::First, Kept::Last] {
            let [half, whole] = [of(PAGE_BYTES_MAX / 2), of(PAGE_BYTES_MAX + 1)];
            let mut page = Page { events: vec![logged(1, &half), logged(2, &half)], more: false };
            cut(&mut page, kept);
            assert_eq!((page.events.len(), page.more), (2, false));
            let mut page = Page { events: vec![logged(1, &whole)], more: false };
            cut(&mut page, kept);
            assert_eq!((page.events.len(), page.more), (1, false));
            let mut page = Page::default();
            cut(&mut page, kept);
            assert_eq!((page.events.len(), page.more), (0, false));
        }
    }
}
