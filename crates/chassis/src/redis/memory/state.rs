//! What is known of Redis's memory from what its nodes have said, and for how long it holds.

use std::time::Duration;

use tokio::time::Instant;

/// How long what it has said holds; it is asked each second.
pub(super) const HOLDS_FOR: Duration = Duration::from_secs(15);

/// Below this share of its maximum there is room again in a Redis that was full. Less than 1, because what was left
/// out is written again then.
const ROOM_BELOW: f64 = 0.95;

/// What is known of Redis's memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Used of the maximum; 0 where there is none, or none is known.
    pub(super) fullness: f64,
    /// When a write was last refused, or Redis last said that it had no room; none if it has.
    pub(super) full: Option<Instant>,
    /// Since when no node has said how full it is, although Redis answers.
    pub(super) silent_since: Option<Instant>,
}

impl State {
    /// Takes in what was heard of a Redis that answers.
    pub(super) fn hear(&mut self, heard: Heard, now: Instant) {
        let is_old = |since: Instant| now.duration_since(since) >= HOLDS_FOR;
        if let Some(usage) = heard.fullest {
            self.fullness = usage.fullness();
            self.silent_since = None;
            if self.fullness >= ROOM_BELOW {
                self.full = self.full.map(|_| now);
                return;
            }
        } else if is_old(*self.silent_since.get_or_insert(now)) {
            self.fullness = 0.0;
        }
        // It may be another node that has refused the write, so each is to say that it has room. One that does not
        // say so is tried after a while: it would be done without for ever.
        self.full = self.full.filter(|since| !heard.is_whole && !is_old(*since));
    }
}

/// What the nodes have said, asked one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// What the fullest uses, of those that have said so.
    pub(super) fullest: Option<Usage>,
    /// Whether each node has.
    pub(super) is_whole: bool,
}

impl Default for Heard {
    fn default() -> Self {
        Self { fullest: None, is_whole: true }
    }
}

impl Heard {
    /// Adds what one more node uses, if it has said so.
    pub(super) fn add(&mut self, usage: Option<Usage>) {
        self.is_whole &= usage.is_some();
        let both = [self.fullest, usage].into_iter().flatten();
        self.fullest = both.max_by(|one, other| one.fullness().total_cmp(&other.fullness()));
    }
}

/// What a node uses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) used: u64,
    /// 0 for no limit.
    pub(super) max: u64,
}

impl Usage {
    /// Reads an answer to `INFO memory`.
    pub(super) fn parse(info: &str) -> Self {
        let number = |name: &str| {
            let mut values =
                info.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.next().and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        // Redis does not count these against its maximum either.
        let used = number("used_memory").saturating_sub(number("mem_not_counted_for_evict"));
        Self { used, max: number("maxmemory") }
    }

    /// Used of the maximum; 0 where there is none.
    #[expect(clippy::cast_precision_loss, reason = "nobody needs more than a few digits")]
    pub(super) fn fullness(self) -> f64 {
        if self.max > 0 { self.used as f64 / self.max as f64 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(used: u64, max: u64) -> Usage {
        Usage { used, max }
    }

    #[test]
    fn what_a_node_uses_is_read_as_it_counts_itself() {
        let info = "# Memory\r\nused_memory:1500\r\nused_memory_human:1.46K\r\nmaxmemory:2000\r\n\
                    maxmemory_policy:noeviction\r\nmem_not_counted_for_evict:500\r\n";
        assert_eq!(Usage::parse(info), usage(1_000, 2_000));
        assert_eq!(Usage::parse("junk"), Usage::default());
        assert!(Usage::parse("used_memory:5\r\nmaxmemory:0\r\n").fullness().abs() < f64::EPSILON);
    }

    fn heard(nodes: [Option<Usage>; 2]) -> Heard {
        let mut heard = Heard::default();
        for node in nodes {
            heard.add(node);
        }
        heard
    }

    #[test]
    fn of_a_cluster_the_fullest_node_counts() {
        let small = Some(usage(9, 10));
        for nodes in [[Some(usage(100, 1_000)), small], [small, Some(usage(5_000, 0))]] {
            assert_eq!(heard(nodes), Heard { fullest: small, is_whole: true });
        }
        assert_eq!(heard([small, None]), Heard { fullest: small, is_whole: false });
        assert_eq!(heard([None, None]), Heard { fullest: None, is_whole: false });
    }
}
