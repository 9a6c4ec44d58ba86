//! Finds where the latest events of a long channel begin.
//!
//! How many of a channel's events follow a sequence can be asked, at the price of a consumer. The
//! search guesses as if events were spread evenly, which they nearly are or a few guesses make so, and
//! halves the range in turn, so that no distribution can lead it astray.

use goch_contract::Seq;

/// Events beyond the limit that are wanted: the one before the page, and some for messages that come
/// or go meanwhile.
const SPARE: u64 = 16;

/// Each second probe halves a range of at most 2^64. Should the server's counts contradict each other,
/// the search stops here: reading more than is needed is slow, but right.
const PROBES_MAX: u32 = 128;

/// Whether `count` events can be read to get at the latest `limit`, at no great waste.
pub(super) fn is_enough(count: u64, limit: u32) -> bool {
    count <= wanted(limit) * 2 + SPARE
}

fn wanted(limit: u32) -> u64 {
    u64::from(limit) + SPARE
}

/// See the module.
#[derive(Debug)]
pub(super) struct Search {
    limit: u32,
    /// Too far back: more events follow than are needed.
    low: (u64, u64),
    /// Not far enough.
    high: (u64, u64),
    probes: u32,
}

impl Search {
    /// `total` events lie between `first`, which is one of them, and `end`.
    pub(super) fn new(first: Seq, end: Seq, total: u64, limit: u32) -> Self {
        Self { limit, low: (first.0, total), high: (end.0.saturating_add(1), 0), probes: 0 }
    }

    /// Where to look next; nothing when [`Self::start`] is as good as it gets.
    pub(super) fn next(&mut self) -> Option<Seq> {
        let ((low, above), (high, below)) = (self.low, self.high);
        let range = high.saturating_sub(low);
        if is_enough(above, self.limit) || range < 2 || self.probes == PROBES_MAX {
            return None;
        }
        self.probes += 1;
        let from_high = if self.probes.is_multiple_of(2) || above <= below {
            range / 2
        } else {
            // Aims at the middle of what is good enough.
            let target = wanted(self.limit) * 3 / 2;
            let part = u128::from(target.saturating_sub(below)) * u128::from(range);
            u64::try_from(part / u128::from(above - below)).unwrap_or(range)
        };
        Some(Seq(high - from_high.clamp(1, range - 1)))
    }

    /// Takes note that `count` events follow `probe`; true if the search is over.
    pub(super) fn learn(&mut self, probe: Seq, count: u64) -> bool {
        if count < wanted(self.limit) {
            self.high = (probe.0, count);
        } else {
            self.low = (probe.0, count);
        }
        count >= wanted(self.limit) && is_enough(count, self.limit)
    }

    /// The latest known place that is far enough back.
    pub(super) fn start(&self) -> Seq {
        Seq(self.low.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches among the sequences of a channel; tells the probes and the events left to read.
    fn search(seqs: &[u64], limit: u32) -> (u32, u64) {
        let (first, last) = (seqs[0], seqs[seqs.len() - 1]);
        let count = |start: u64| (seqs.len() - seqs.partition_point(|seq| *seq < start)) as u64;
        let mut search = Search::new(Seq(first), Seq(last), seqs.len() as u64, limit);
        while let Some(probe) = search.next() {
            assert!(probe.0 > first && probe.0 <= last);
            if search.learn(probe, count(probe.0)) {
                break;
            }
        }
        (search.probes, count(search.start().0))
    }

    #[test]
    fn a_short_channel_needs_no_search() {
        let seqs: Vec<u64> = (1..=100).map(|n| n * 1_000).collect();
        assert_eq!(search(&seqs, 50), (0, 100));
    }

    #[test]
    fn an_even_channel_is_found_at_once() {
        let seqs: Vec<u64> = (1..=100_000).map(|n| n * 37).collect();
        let (probes, count) = search(&seqs, 100);
        assert!(probes <= 2, "{probes} probes");
        assert!((100..=300).contains(&count), "{count} events");
    }

    #[test]
    fn no_distribution_leads_astray() {
        let burst_at_start: Vec<u64> = (1..=50_000).chain([1 << 40]).collect();
        let burst_at_end: Vec<u64> =
            std::iter::once(1).chain((1 << 40)..(1 << 40) + 50_000).collect();
        let squares: Vec<u64> = (1..=50_000_u64).map(|n| n * n).collect();
        let powers: Vec<u64> = (0..5_000_u64)
            .map(|n| (1 << (n / 100)) + n)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        for seqs in [burst_at_start, burst_at_end, squares, powers] {
            for limit in [1, 100, 500] {
                let (probes, count) = search(&seqs, limit);
                assert!(probes < PROBES_MAX, "{probes} probes");
                assert!(count >= u64::from(limit) && is_enough(count, limit), "{count} events");
            }
        }
    }
}
