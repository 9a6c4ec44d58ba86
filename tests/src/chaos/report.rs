//! What a run comes to.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::checker::{Ack, Channel, Recording, Revision, Subscription, Violation};

/// Lines of each kind of defect that are shown.
const LINES_MAX: usize = 10;

/// What was done, and what was broken by it.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How long load and faults went on.
    pub duration: Duration,
    /// How often each fault was injected.
    pub faults: BTreeMap<&'static str, usize>,
    /// Live copies that were lost.
    pub lost: usize,
    /// How long what was lost took at most to be there, by what it was.
    pub waits: BTreeMap<&'static str, Duration>,
    /// Everything that was seen.
    pub recording: Recording,
    /// Sockets that were opened.
    pub connects: usize,
    /// Requests of writers that were refused for the moment.
    pub refusals: usize,
    /// Pages of a resume of which everything had just been deleted, with more behind them.
    pub empty_pages: usize,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Answers that no fault explains, processes that ended by themselves, ends that took too long.
    pub surprises: Vec<String>,
}

impl Report {
    /// Whether all promises were kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.surprises.is_empty()
    }
}

/// How many edits, or else deletions, were asked for.
fn revisions(channel: &Channel, edits: bool) -> usize {
    channel.revisions.iter().filter(|asked| asked.text.is_some() == edits).count()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.recording.channels.values();
        let sum = |count: fn(&Channel) -> usize| channels.clone().map(count).sum();
        let delivered = |channel: &Channel| {
            channel.readers.values().flatten().map(|subscription| subscription.given.len()).sum()
        };
        let faults: usize = self.faults.values().sum();
        let rows: [(&str, usize); 16] = [
            ("faults injected", faults),
            ("live copies lost", self.lost),
            ("sockets opened", self.connects),
            ("messages sent", sum(|channel| channel.sends.len())),
            ("acked", sum(|channel| channel.acks.len())),
            ("of these duplicates", {
                let is_duplicate = |ack: &&Ack| ack.duplicate;
                channels.clone().map(|it| it.acks.iter().filter(is_duplicate).count()).sum()
            }),
            ("edits asked for", sum(|channel| revisions(channel, true))),
            ("deletions asked for", sum(|channel| revisions(channel, false))),
            ("edits and deletions acked", sum(|channel| channel.revision_acks.len())),
            ("refused as deleted already", {
                let is_refused = |asked: &&Revision| asked.refused;
                channels.clone().map(|it| it.revisions.iter().filter(is_refused).count()).sum()
            }),
            ("refused for the moment", self.refusals),
            ("events in the log", sum(|channel| channel.log.len())),
            ("delivered", sum(delivered)),
            ("pages of older events", {
                let looks = |it: &Subscription| it.looks.len();
                channels.clone().flat_map(|it| it.readers.values().flatten()).map(looks).sum()
            }),
            ("empty pages that led on", self.empty_pages),
            ("violations", self.violations.len() + self.surprises.len()),
        ];
        writeln!(formatter, "seed {}, {} s", self.seed, self.duration.as_secs())?;
        for (fault, count) in &self.faults {
            writeln!(formatter, "  {fault:<34}{count:>9}")?;
        }
        for (name, value) in rows {
            writeln!(formatter, "{name:<36}{value:>9}")?;
        }
        for (what, took) in &self.waits {
            writeln!(formatter, "{what:<36}{:>6} ms at most", took.as_millis())?;
        }
        for surprise in self.surprises.iter().take(LINES_MAX) {
            writeln!(formatter, "BROKEN {surprise}")?;
        }
        let mut by_rule: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for violation in &self.violations {
            by_rule.entry(violation.rule).or_default().push(violation);
        }
        for (rule, violations) in by_rule {
            writeln!(formatter, "BROKEN {rule:?}, {} times:", violations.len())?;
            for violation in violations.iter().take(LINES_MAX) {
                writeln!(formatter, "  {violation}")?;
            }
        }
        Ok(())
    }
}
