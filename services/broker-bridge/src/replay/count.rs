//! Counting messages, without their bodies: one pass over the channel for all who ask.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_nats::jetstream::consumer::DeliverPolicy;
use goch_contract::{
    ChannelName, Error, Seq, Uid,
    event::{FROM_HEADER, Revision},
    services::broker::{SENDERS_MAX, Span, SpanCount},
};

use super::{ReadError, Replay, Select, page::Entry};

/// What a pass over a channel has found.
#[derive(Debug, Default)]
struct Messages {
    /// All, rising.
    all: Vec<Seq>,
    /// The same, by sender.
    own: HashMap<Uid, Vec<Seq>>,
    /// Messages that are deleted, rising, some of which may not have been erased yet; and by which
    /// events.
    deletions: BTreeSet<(Seq, Seq)>,
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
        let mut found = Messages::default();
        if let Some((after, end)) = extent(spans, tail) {
            self.find_messages(channel, after, end, tail, &mut found).await?;
        }
        Ok(found.answer(spans, tail))
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
        while let Some(entry) = reader.next().await? {
            found.read(&entry, end);
        }
        found.leave_out_deleted();
        Ok(())
    }
}

/// Where a span ends in a channel that ends at `tail`.
fn end_of(span: &Span, tail: Seq) -> Seq {
    tail.min(Seq(span.before.0.saturating_sub(1)))
}

/// After which event and up to which one the spans reach together; none if there is nothing in them.
fn extent(spans: &[Span], tail: Seq) -> Option<(Seq, Seq)> {
    let asked = spans.iter().filter(|span| end_of(span, tail) > span.after);
    let after = asked.clone().map(|span| span.after).min()?;
    Some((after, asked.map(|span| end_of(span, tail)).max()?))
}

/// How many of `seqs`, which rise, lie in a span that ends at `end`.
fn within(seqs: &[Seq], span: &Span, end: Seq) -> u64 {
    let until = |bound: Seq| seqs.partition_point(|seq| *seq <= bound);
    until(end).saturating_sub(until(span.after)) as u64
}

impl Messages {
    /// Takes the next event; messages up to `end`, and what deletes any.
    fn read(&mut self, entry: &Entry, end: Seq) {
        let Some(headers) = &entry.headers else { return };
        // Only messages have the header.
        if let Some(from) = headers.get(FROM_HEADER).filter(|_| entry.seq <= end) {
            self.all.push(entry.seq);
            if let Some(own) = self.own.get_mut(from.as_str()) {
                own.push(entry.seq);
            } else if let Ok(uid) = Uid::parse(from.as_str()) {
                self.own.insert(uid, vec![entry.seq]);
            }
        }
        let revision = Revision::of_headers(entry.seq, headers);
        let deletion = revision.filter(|revision| revision.deletes);
        self.deletions.extend(deletion.map(|it| (it.message, it.seq)));
    }

    fn leave_out_deleted(&mut self) {
        let is_there = |seq: &Seq| {
            let deletions = (*seq, Seq(0))..=(*seq, Seq(u64::MAX));
            self.deletions.range(deletions).next().is_none()
        };
        self.all.retain(is_there);
        for own in self.own.values_mut() {
            own.retain(is_there);
        }
    }

    /// The counts of spans; who said how many for as many of them as an answer has room for.
    fn answer(&self, spans: &[Span], tail: Seq) -> Vec<SpanCount> {
        let mut senders = 0;
        let counts = spans.iter().map(|span| {
            let mut count = self.count(span, end_of(span, tail));
            if span.by_sender && senders < SENDERS_MAX {
                let by_sender = self.by_sender(span, end_of(span, tail));
                senders += by_sender.len();
                count.by_sender = Some(by_sender).filter(|_| senders <= SENDERS_MAX);
            }
            count
        });
        counts.collect()
    }

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
    use async_nats::HeaderMap;
    use goch_contract::event::{DELETED_HEADER, MESSAGE_HEADER};

    use super::*;

    #[test]
    fn each_span_has_what_lies_in_it_but_for_ones_own() {
        let seqs = |seqs: &[u64]| seqs.iter().copied().map(Seq).collect::<Vec<_>>();
        let [ann, eve] = ["ann", "eve"].map(|uid| Uid::parse(uid).unwrap());
        let messages = Messages {
            all: seqs(&[3, 5, 9, 12]),
            own: [(ann.clone(), seqs(&[5])), (eve.clone(), seqs(&[3, 9, 12]))].into(),
            deletions: [(Seq(2), Seq(10))].into(),
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

    fn span(after: u64, before: u64) -> Span {
        let not_from = Uid::parse("ann").unwrap();
        Span { not_from, after: Seq(after), before: Seq(before), by_sender: true }
    }

    fn entry(seq: u64, headers: &[(&'static str, &str)]) -> Entry {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let subject = "goch.log.c".into();
        Entry { seq: Seq(seq), subject, headers: Some(map), payload: "{}".into() }
    }

    #[test]
    fn a_pass_reaches_from_the_first_span_to_the_last_and_not_beyond_the_channel() {
        let extent = |spans: &[(u64, u64)]| {
            let spans: Vec<_> = spans.iter().map(|(after, before)| span(*after, *before)).collect();
            extent(&spans, Seq(20)).map(|(after, end)| (after.0, end.0))
        };
        assert_eq!(extent(&[(3, 9), (5, 12)]), Some((3, 11)));
        assert_eq!(extent(&[(3, u64::MAX), (5, 12)]), Some((3, 20)));
        // Nothing lies in these.
        assert_eq!(extent(&[(8, 9), (20, u64::MAX), (1, 0)]), None);
        assert_eq!(extent(&[(1, 2), (7, 9)]), Some((7, 8)));
        assert_eq!(extent(&[]), None);
    }

    #[test]
    fn messages_up_to_the_end_count_but_for_those_that_any_event_deletes() {
        let mut found = Messages::default();
        for entry in [
            entry(1, &[(FROM_HEADER, "ann")]),
            entry(2, &[(FROM_HEADER, "eve")]),
            entry(3, &[]),
            entry(4, &[(FROM_HEADER, "eve")]),
            entry(5, &[(MESSAGE_HEADER, "4")]),
            entry(6, &[(FROM_HEADER, "ann")]),
            entry(7, &[(FROM_HEADER, "ann")]),
            entry(8, &[(MESSAGE_HEADER, "2"), (DELETED_HEADER, "1")]),
            Entry { headers: None, ..entry(9, &[]) },
        ] {
            found.read(&entry, Seq(6));
        }
        found.leave_out_deleted();
        let counts = found.answer(&[span(0, 7), span(4, 7)], Seq(9));
        let [ann, eve] = ["ann", "eve"].map(|uid| Uid::parse(uid).unwrap());
        assert_eq!((counts[0].count, counts[1].count), (1, 0));
        assert_eq!(counts[0].by_sender, Some([(ann.clone(), 2), (eve, 1)].into()));
        assert_eq!(counts[1].by_sender, Some([(ann, 1)].into()));
        assert_eq!((counts[0].deletes_earlier, counts[1].deletes_earlier), (false, true));
    }

    #[test]
    fn who_said_how_many_is_told_as_long_as_there_is_room() {
        let mut found = Messages::default();
        for seq in 1..=SENDERS_MAX as u64 {
            found.read(&entry(seq, &[(FROM_HEADER, &format!("u{seq}"))]), Seq(u64::MAX));
        }
        let all = SENDERS_MAX as u64 + 1;
        let told = |spans: &[Span]| {
            let counts = found.answer(spans, Seq(all)).into_iter();
            counts.map(|count| count.by_sender.map(|senders| senders.len())).collect::<Vec<_>>()
        };
        assert_eq!(told(&[span(0, all), span(0, 2)]), [Some(SENDERS_MAX), None]);
        let rest = SENDERS_MAX - 2;
        assert_eq!(told(&[span(0, 3), span(2, all)]), [Some(2), Some(rest)]);
        assert_eq!(told(&[span(0, 3), span(1, all), span(0, 2)]), [Some(2), None, None]);
        let unwanted = Span { by_sender: false, ..span(0, 3) };
        assert_eq!(told(&[unwanted, span(0, all)]), [None, Some(SENDERS_MAX)]);
    }
}
