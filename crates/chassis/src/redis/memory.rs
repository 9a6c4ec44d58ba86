//! How full Redis's memory is, and whether it refuses writes for that.
//!
//! A Redis that has reached `maxmemory` answers reads, and refuses whatever takes more memory. Both are found out
//! for all who ask: the first refusal says that it is full, and a look each second at how much it uses says how
//! full it is, and when there is room again. Of a cluster the fullest node counts.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use fred::{clients::Client, interfaces::ClientLike as _, types::InfoKind};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::{sync::watch, time::timeout};

use crate::metrics::{Metrics, Source};

/// How long a node may take to say how full it is.
const LOOK_WITHIN: Duration = Duration::from_millis(300);

/// How long what it has said holds; it is asked each second.
const HOLDS_FOR: Duration = Duration::from_secs(15);

/// Below this share of its maximum there is room again in a Redis that was full. Less than 1, because what was left
/// out is written again then.
const ROOM_BELOW: f64 = 0.95;

/// What Redis says when it refuses a write, in whatever stands around it where a script was refused.
const REFUSAL: &str = "OOM command not allowed";

/// Whether Redis has refused a command for want of memory.
pub(super) fn is_refusal(error: &fred::error::Error) -> bool {
    error.details().contains(REFUSAL)
}

/// What is known of Redis's memory.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Used of the maximum; 0 where there is none.
    fullness: f64,
    /// A write was refused, and there has not been room since.
    is_full: bool,
}

/// What a node uses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Usage {
    used: u64,
    /// 0 for no limit.
    max: u64,
}

impl Usage {
    /// Reads an answer to `INFO memory`.
    fn parse(info: &str) -> Self {
        let number = |name: &str| {
            let mut values =
                info.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.next().and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        // Redis does not count these against its maximum either.
        let used = number("used_memory").saturating_sub(number("mem_not_counted_for_evict"));
        Self { used, max: number("maxmemory") }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody needs more than a few digits")]
    fn fullness(self) -> f64 {
        if self.max > 0 { self.used as f64 / self.max as f64 } else { 0.0 }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    state: Arc<watch::Sender<State>>,
    refused: Counter,
    full: Gauge,
    ratio: Gauge<f64, AtomicU64>,
    used: Gauge,
    max: Gauge,
    server: Source,
}

impl Memory {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let memory = Self {
            state: Arc::new(watch::Sender::new(State::default())),
            refused: Counter::default(),
            full: Gauge::default(),
            ratio: Gauge::default(),
            used: Gauge::default(),
            max: Gauge::default(),
            server: Source::new(HOLDS_FOR),
        };
        metrics.register(|registry| {
            registry.register(
                "redis_writes_refused",
                "Writes that Redis has refused for want of memory",
                memory.refused.clone(),
            );
            registry.register(
                "redis_full",
                "1 from a write that Redis has refused for want of memory until there is room again",
                memory.full.clone(),
            );
            registry.register(
                "redis_memory_full_ratio",
                "How full Redis's memory is, 0 to 1 and a little more; 0 without a limit",
                memory.server.bind(memory.ratio.clone()),
            );
            registry.register(
                "redis_memory_bytes",
                "What Redis uses of its memory; of a cluster, its fullest node",
                memory.server.bind(memory.used.clone()),
            );
            registry.register(
                "redis_memory_max_bytes",
                "What Redis may use, 0 for any amount; of a cluster, its fullest node",
                memory.server.bind(memory.max.clone()),
            );
        });
        memory
    }

    /// Used of the maximum, as last heard; 0 where there is no maximum.
    pub(super) fn fullness(&self) -> f64 {
        self.state.borrow().fullness
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().is_full
    }

    /// Waits until it is not full.
    pub(super) async fn has_room(&self) {
        // The sender is here, so there is always news to wait for.
        let _ = self.state.subscribe().wait_for(|state| !state.is_full).await;
    }

    /// Notes that a write was refused.
    pub(super) fn note_refusal(&self) {
        self.refused.inc();
        let is_news =
            self.state.send_if_modified(|state| !std::mem::replace(&mut state.is_full, true));
        if is_news {
            self.full.set(1);
            tracing::warn!(
                "Redis is full and refuses writes; what it lacks is read from JetStream"
            );
        }
    }

    /// Asks each node how full it is.
    pub(super) async fn look(&self, client: &Client) {
        let mut fullest = None::<Usage>;
        if client.is_clustered() {
            for node in client.active_connections() {
                let node = client.with_cluster_node(node);
                fullest = fuller(fullest, usage(node.info(Some(InfoKind::Memory))).await);
            }
        } else {
            fullest = usage(client.info(Some(InfoKind::Memory))).await;
        }
        if let Some(usage) = fullest {
            self.note(usage);
        }
    }

    fn note(&self, usage: Usage) {
        let fullness = usage.fullness();
        self.ratio.set(fullness);
        self.used.set(i64::try_from(usage.used).unwrap_or(i64::MAX));
        self.max.set(i64::try_from(usage.max).unwrap_or(i64::MAX));
        self.server.note_heard();
        let mut has_room_again = false;
        self.state.send_modify(|state| {
            state.fullness = fullness;
            has_room_again = state.is_full && fullness < ROOM_BELOW;
            state.is_full &= !has_room_again;
        });
        if has_room_again {
            self.full.set(0);
            tracing::info!(fullness, "Redis has room again");
        }
    }
}

async fn usage(info: impl Future<Output = Result<String, fred::error::Error>>) -> Option<Usage> {
    match timeout(LOOK_WITHIN, info).await {
        Ok(Ok(info)) => Some(Usage::parse(&info)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "Redis does not say how full it is");
            None
        }
        // Whether it answers at all is found out by others.
        Err(_) => None,
    }
}

fn fuller(one: Option<Usage>, other: Option<Usage>) -> Option<Usage> {
    [one, other]
        .into_iter()
        .flatten()
        .max_by(|one, other| one.fullness().total_cmp(&other.fullness()))
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

    #[test]
    fn of_a_cluster_the_fullest_node_counts() {
        let small = Some(usage(9, 10));
        assert_eq!(fuller(Some(usage(100, 1_000)), small), small);
        assert_eq!(fuller(small, Some(usage(5_000, 0))), small);
        assert_eq!(fuller(None, small), small);
        assert_eq!(fuller(None, None), None);
    }

    #[tokio::test]
    async fn it_is_full_from_a_refusal_until_there_is_room() {
        let memory = Memory::register(&Metrics::default());
        memory.note(usage(99, 100));
        assert!(!memory.is_full());
        memory.note_refusal();
        memory.note_refusal();
        assert!(memory.is_full());
        assert_eq!(memory.refused.get(), 2);
        for still in [usage(101, 100), usage(96, 100)] {
            memory.note(still);
            assert!(memory.is_full());
        }
        memory.note(usage(94, 100));
        assert!(!memory.is_full());
        memory.has_room().await;
        // Without a limit there is room.
        memory.note_refusal();
        memory.note(usage(94, 0));
        assert!(!memory.is_full());
    }
}
