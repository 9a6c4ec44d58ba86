//! The lines that wait because an event of theirs failed, and when each is to be tried again.

use std::collections::{BTreeSet, HashMap};

use goch_contract::{Seq, UnixMillis};
use prometheus_client::metrics::gauge::Gauge;

use super::super::record::{Backlog, Line};

/// See the module.
pub(super) struct Waiting {
    lines: HashMap<Line, Wait>,
    /// When they are due; but for those that are being tried.
    agenda: BTreeSet<(UnixMillis, Line)>,
    /// How many wait, over all that this process delivers.
    gauge: Gauge,
}

/// A line that waits.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) backlog: Backlog,
    /// The last event that was passed over.
    pub(super) skipped: Seq,
}

impl Waiting {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self { lines: HashMap::new(), agenda: BTreeSet::new(), gauge }
    }

    /// Has a line wait until its backlog is due.
    pub(super) fn insert(&mut self, line: Line, backlog: Backlog, skipped: Seq) {
        self.agenda.insert((backlog.due, line.clone()));
        if self.lines.insert(line, Wait { backlog, skipped }).is_none() {
            self.gauge.inc();
        }
    }

    /// Takes note of an event that comes while its line waits, which is true then.
    pub(super) fn pass_over(&mut self, line: &Line, seq: Seq) -> bool {
        let Some(wait) = self.lines.get_mut(line) else { return false };
        wait.skipped = seq;
        true
    }

    /// A line that is due, and where to go on with it.
    pub(super) fn pop_due(&mut self, now: UnixMillis) -> Option<(Line, Seq)> {
        while self.next_due()? <= now {
            let (_, line) = self.agenda.pop_first()?;
            if let Some(wait) = self.lines.get(&line) {
                return Some((line, wait.backlog.next));
            }
        }
        None
    }

    /// When the next line is due.
    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// How a line waits, if it does.
    pub(super) fn get(&self, line: &Line) -> Option<&Wait> {
        self.lines.get(line)
    }

    /// The line waits no more.
    pub(super) fn remove(&mut self, line: &Line) {
        if self.lines.remove(line).is_some() {
            self.gauge.dec();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gauge.dec_by(i64::try_from(self.lines.len()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use goch_contract::ChannelName;

    use super::*;

    fn line(name: &str) -> Line {
        Line::Channel(ChannelName::parse(name).unwrap())
    }

    fn backlog(next: u64, due: u64) -> Backlog {
        Backlog { next: Seq(next), attempts: 1, due: UnixMillis(due), failed_at: UnixMillis(0) }
    }

    #[test]
    fn lines_come_when_they_are_due_and_each_once() {
        let mut waiting = Waiting::new(Gauge::default());
        waiting.insert(line("late"), backlog(2, 20), Seq(0));
        waiting.insert(line("soon"), backlog(1, 10), Seq(0));
        assert_eq!(waiting.pop_due(UnixMillis(9)), None);
        assert_eq!(waiting.next_due(), Some(UnixMillis(10)));
        assert_eq!(waiting.pop_due(UnixMillis(15)), Some((line("soon"), Seq(1))));
        assert_eq!(waiting.pop_due(UnixMillis(15)), None);
        assert_eq!(waiting.next_due(), Some(UnixMillis(20)));
        waiting.remove(&line("late"));
        assert_eq!(waiting.pop_due(UnixMillis(25)), None);
    }

    #[test]
    fn an_event_is_passed_over_while_its_line_waits_and_is_tried() {
        let gauge = Gauge::default();
        let mut waiting = Waiting::new(gauge.clone());
        assert!(!waiting.pass_over(&line("a"), Seq(1)));
        waiting.insert(line("a"), backlog(1, 10), Seq(1));
        assert!(waiting.pop_due(UnixMillis(10)).is_some());
        assert!(waiting.pass_over(&line("a"), Seq(2)));
        assert_eq!(waiting.get(&line("a")).unwrap().skipped, Seq(2));
        assert_eq!(gauge.get(), 1);
        drop(waiting);
        assert_eq!(gauge.get(), 0);
    }
}
