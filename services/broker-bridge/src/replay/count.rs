//! Counting messages, without their bodies: one pass over the channel for all who ask.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_nats::jetstream::consumer::DeliverPolicy;
use goch_contract::{
    ChannelName, Error, Seq, Uid,
    event::{FROM_HEADER, Revision},
    services::broker::{SENDERS_MAX, Span, SpanCount},
};

use super::{ReadError, Replay, Select};

/// What a pass over a channel has found.
#[derive(Debug, Default)]
struct Messages {
    /// All, rising.
    all: Vec<Seq>,
    /// The same, by sender.
    own: HashMap<Uid, Vec<Seq>>,
    /// Messages that are deleted, rising, some of which may not have been erased yet; and by which
    /// events.
    deletions: Vec<(Seq, Seq)>,
}

impl Replay {
    /// Counts spans of a channel.
    ///
    /// # Errors
    /// `unavailable` when the log cannot be read in time.
    pub(crate) async fn count(
        &self,
        channel: &ChannelName,
        spans: &[Span],
    ) -> Result<Vec<SpanCount>, Error> {
        self.persist(|| self.read_counts(channel, spans)).await
    }

    async fn read_counts(
        &self,
        channel: &ChannelName,
        spans: &[Span],
    ) -> Result<Vec<SpanCount>, ReadError> {
        let tail = self.tail(channel).await?;
        let end_of = |span: &Span| tail.min(Seq(span.before.0.saturating_sub(1)));
        let asked = spans.iter().filter(|span| end_of(span) > span.after);
        let start = asked.clone().map(|span| span.after).min();
        let end = asked.map(end_of).max();
        let mut found = Messages::default();
        if let (Some(start), Some(end)) = (start, end) {
            self.find_messages(channel, start, end, tail, &mut found).await?;
        }
        let mut senders = 0;
        let counts = spans.iter().map(|span| {
            let mut count = found.count(span, end_of(span));
            if span.by_sender && senders < SENDERS_MAX {
                let by_sender = found.by_sender(span, end_of(span));
                senders += by_sender.len();
                count.by_sender = Some(by_sender).filter(|_| senders <= SENDERS_MAX);
            }
            count
        });
        Ok(counts.collect())
    }

    async fn find_messages(
        &self,
        channel: &ChannelName,
        after: Seq,
        end: Seq,
        tail: Seq,
        found: &mut Messages,
    ) -> Result<(), ReadError> {
        let _permit = self.reading.acquire().await;
        let start = DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 };
        // Beyond the end, for messages before it that are deleted and not yet erased.
        let mut reader = self.reader(channel, start, Select::Headers, tail).await?;
        let mut deletions = BTreeSet::new();
        while let Some(entry) = reader.next().await? {
            let headers = entry.headers.as_ref();
            // Only messages have the header.
            let from = headers.and_then(|headers| headers.get(FROM_HEADER));
            if let Some(from) = from.filter(|_| entry.seq <= end) {
                found.all.push(entry.seq);
                if let Some(own) = found.own.get_mut(from.as_str()) {
                    own.push(entry.seq);
                } else if let Ok(uid) = Uid::parse(from.as_str()) {
                    found.own.insert(uid, vec![entry.seq]);
                }
            }
            let revision = headers.and_then(|headers| Revision::of_headers(entry.seq, headers));
            let deletion = revision.filter(|revision| revision.deletes);
            deletions.extend(deletion.map(|it| (it.message, it.seq)));
        }
        let is_deleted =
            |seq: &Seq| deletions.range((*seq, Seq(0))..=(*seq, Seq(u64::MAX))).next().is_some();
        found.all.retain(|seq| !is_deleted(seq));
        for own in found.own.values_mut() {
            own.retain(|seq| !is_deleted(seq));
        }
        found.deletions = deletions.into_iter().collect();
        Ok(())
    }
}

/// How many of `seqs`, which rise, lie in a span that ends at `end`.
fn within(seqs: &[Seq], span: &Span, end: Seq) -> u64 {
    let until = |bound: Seq| seqs.partition_point(|seq| *seq <= bound);
    until(end).saturating_sub(until(span.after)) as u64
}

impl Messages {
    fn count(&self, span: &Span, end: Seq) -> SpanCount {
        let own = self.own.get(&span.not_from).map_or(0, |own| within(own, span, end));
        let mut earlier = self.deletions.iter().take_while(|(message, _)| *message <= span.after);
        SpanCount {
            count: within(&self.all, span, end) - own,
            by_sender: None,
            through: end.max(span.after),
            deletes_earlier: earlier.any(|(_, by)| *by > span.after),
        }
    }

    fn by_sender(&self, span: &Span, end: Seq) -> BTreeMap<Uid, u64> {
        let counts = self.own.iter().map(|(uid, own)| (uid.clone(), within(own, span, end)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_has_what_lies_in_it_but_for_ones_own() {
        let seqs = |seqs: &[u64]| seqs.iter().copied().map(Seq).collect::<Vec<_>>();
        let [ann, eve] = ["ann", "eve"].map(|uid| Uid::parse(uid).unwrap());
        let messages = Messages {
            all: seqs(&[3, 5, 9, 12]),
            own: [(ann.clone(), seqs(&[5])), (eve.clone(), seqs(&[3, 9, 12]))].into(),
            deletions: vec![(Seq(2), Seq(10))],
        };
        let count = |not_from: &str, after, end| {
            let not_from = Uid::parse(not_from).unwrap();
            let before = Seq(end + 1);
            let span = Span { not_from, after: Seq(after), before, by_sender: false };
            let found = messages.count(&span, Seq(end));
            (found.count, found.through.0, found.deletes_earlier)
        };
        assert_eq!(count("ann", 0, 12), (3, 12, false));
        assert_eq!(count("bob", 0, 12), (4, 12, false));
        assert_eq!(count("ann", 3, 9), (1, 9, true));
        assert_eq!(count("ann", 10, 12), (1, 12, false));
        assert_eq!(count("ann", 15, 12), (0, 15, false));
        let span = Span { not_from: ann.clone(), after: Seq(4), before: Seq(10), by_sender: true };
        assert_eq!(messages.by_sender(&span, Seq(9)), [(ann, 1), (eve, 1)].into());
    }
}
