//! The channels that wait because an event of theirs failed, and when each is to be tried again.

use std::collections::{BTreeSet, HashMap};

use goch_contract::{ChannelName, Seq, UnixMillis};
use prometheus_client::metrics::gauge::Gauge;

use super::super::record::Backlog;

/// See the module.
pub(super) struct Waiting {
    channels: HashMap<ChannelName, Wait>,
    /// When they are due; but for those that are being tried.
    agenda: BTreeSet<(UnixMillis, ChannelName)>,
    /// How many wait, over all that this process delivers.
    gauge: Gauge,
}

/// A channel that waits.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) backlog: Backlog,
    /// The last event that was passed over.
    pub(super) skipped: Seq,
}

impl Waiting {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { channels: HashMap::new(), agenda: BTreeSet::new(), gauge }
    }

    /// Has a channel wait until its backlog is due.
    pub(super) fn insert(&mut self, channel: ChannelName, backlog: Backlog, skipped: Seq) {
        self.agenda.insert((backlog.due, channel.clone()));
        if self.channels.insert(channel, Wait { backlog, skipped }).is_none() {
            self.gauge.inc();
        }
    }

    /// Takes note of an event that comes while its channel waits, which is true then.
    pub(super) fn pass_over(&mut self, channel: &ChannelName, seq: Seq) -> bool {
        let Some(wait) = self.channels.get_mut(channel) else { return false };
        wait.skipped = seq;
        true
    }

    /// A channel that is due, and where to go on with it.
    pub(super) fn pop_due(&mut self, now: UnixMillis) -> Option<(ChannelName, Seq)> {
        while self.next_due()? <= now {
            let (_, channel) = self.agenda.pop_first()?;
            if let Some(wait) = self.channels.get(&channel) {
                return Some((channel, wait.backlog.next));
            }
        }
        None
    }

    /// When the next channel is due.
    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// How a channel waits, if it does.
    pub(super) fn get(&self, channel: &ChannelName) -> Option<&Wait> {
        self.channels.get(channel)
    }

    /// The channel waits no more.
    pub(super) fn remove(&mut self, channel: &ChannelName) {
        if self.channels.remove(channel).is_some() {
            self.gauge.dec();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gauge.dec_by(i64::try_from(self.channels.len()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn backlog(next: u64, due: u64) -> Backlog {
        Backlog { next: Seq(next), attempts: 1, due: UnixMillis(due), failed_at: UnixMillis(0) }
    }

    #[test]
    fn channels_come_when_they_are_due_and_each_once() {
        let mut waiting = Waiting::new(Gauge::default());
        waiting.insert(channel("late"), backlog(2, 20), Seq(0));
        waiting.insert(channel("soon"), backlog(1, 10), Seq(0));
        assert_eq!(waiting.pop_due(UnixMillis(9)), None);
        assert_eq!(waiting.next_due(), Some(UnixMillis(10)));
        assert_eq!(waiting.pop_due(UnixMillis(15)), Some((channel("soon"), Seq(1))));
        assert_eq!(waiting.pop_due(UnixMillis(15)), None);
        assert_eq!(waiting.next_due(), Some(UnixMillis(20)));
        waiting.remove(&channel("late"));
        assert_eq!(waiting.pop_due(UnixMillis(25)), None);
    }

    #[test]
    fn an_event_is_passed_over_while_its_channel_waits_and_is_tried() {
        let gauge = Gauge::default();
        let mut waiting = Waiting::new(gauge.clone());
        assert!(!waiting.pass_over(&channel("a"), Seq(1)));
        waiting.insert(channel("a"), backlog(1, 10), Seq(1));
        assert!(waiting.pop_due(UnixMillis(10)).is_some());
        assert!(waiting.pass_over(&channel("a"), Seq(2)));
        assert_eq!(waiting.get(&channel("a")).unwrap().skipped, Seq(2));
        assert_eq!(gauge.get(), 1);
        drop(waiting);
        assert_eq!(gauge.get(), 0);
    }
}
