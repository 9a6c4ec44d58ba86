//! How full Redis's memory is, and whether it refuses writes for that.
//!
//! A Redis that has reached `maxmemory` answers reads, and refuses whatever takes more memory. Both are found out
//! for all who ask: the first refusal says that it is full, and a look each second at how much it uses says how
//! full it is, and when there is room again. Of a cluster the fullest node counts, and there is room when each has
//! said so. What has not been said again for a while does not hold any more: a Redis that does not say how full it
//! is, is asked to take writes from time to time.

mod state;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, ClusterInterface as _},
    types::InfoKind,
};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use self::state::{HOLDS_FOR, Heard, State, Usage};
use crate::metrics::{Metrics, Source};

/// How long a node may take to say how full it is.
const LOOK_WITHIN: Duration = Duration::from_millis(300);

/// What Redis says when it refuses a write, in whatever stands around it where a script was refused.
const REFUSAL: &str = "OOM command not allowed";

/// Whether Redis has refused a command for want of memory.
pub(super) fn is_refusal(error: &fred::error::Error) -> bool {
    error.details().contains(REFUSAL)
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
    /// Whether the log has it that Redis does not say how full it is. Once is enough.
    is_silence_reported: Arc<AtomicBool>,
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
            is_silence_reported: Arc::default(),
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
        self.state.borrow().full.is_some()
    }

    /// Waits until it is not full.
    pub(super) async fn has_room(&self) {
        // The sender is here, so there is always news to wait for.
        let _ = self.state.subscribe().wait_for(|state| state.full.is_none()).await;
    }

    /// Notes that a write was refused.
    pub(super) fn note_refusal(&self) {
        self.refused.inc();
        let is_news =
            self.state.send_if_modified(|state| state.full.replace(Instant::now()).is_none());
        if is_news {
            self.full.set(1);
            tracing::warn!(
                "Redis is full and refuses writes; what it lacks is read from JetStream"
            );
        }
    }

    /// Asks each node of a Redis that answers how full it is.
    pub(super) async fn look(&self, client: &Client) {
        let mut heard = Heard::default();
        if client.is_clustered() {
            let nodes = client.active_connections();
            // One without a connection says nothing.
            heard.is_whole = !nodes.is_empty() && nodes.len() >= client.num_primary_cluster_nodes();
            for node in nodes {
                let node = client.with_cluster_node(node);
                heard.add(usage(node.info(Some(InfoKind::Memory))).await);
            }
        } else {
            heard.add(usage(client.info(Some(InfoKind::Memory))).await);
        }
        self.note(heard);
    }

    fn note(&self, heard: Heard) {
        if let Some(usage) = heard.fullest {
            self.ratio.set(usage.fullness());
            self.used.set(i64::try_from(usage.used).unwrap_or(i64::MAX));
            self.max.set(i64::try_from(usage.max).unwrap_or(i64::MAX));
            self.server.note_heard();
        }
        let (now, mut before, mut after) = (Instant::now(), State::default(), State::default());
        self.state.send_modify(|state| {
            before = *state;
            state.hear(heard, now);
            after = *state;
        });
        if before.full.is_some() && after.full.is_none() {
            self.full.set(0);
            let fullness = after.fullness;
            if heard.is_whole {
                tracing::info!(fullness, "Redis has room again");
            } else {
                tracing::info!("Redis does not say whether it has room again, so it is tried");
            }
        }
        let is_silent = after.silent_since.is_some_and(|since| now - since >= HOLDS_FOR);
        if is_silent && !self.is_silence_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Redis does not say how full it is; windows do not shrink before it is full. Is INFO among \
                 the rights of this service's user?"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(used: u64, max: u64) -> Usage {
        Usage { used, max }
    }

    fn heard(nodes: &[Option<Usage>]) -> Heard {
        let mut heard = Heard::default();
        for node in nodes {
            heard.add(*node);
        }
        heard
    }

    fn note(memory: &Memory, used: u64, max: u64) {
        memory.note(heard(&[Some(usage(used, max))]));
    }

    #[tokio::test]
    async fn it_is_full_from_a_refusal_until_there_is_room() {
        let memory = Memory::register(&Metrics::default());
        note(&memory, 99, 100);
        assert!(!memory.is_full());
        memory.note_refusal();
        memory.note_refusal();
        assert!(memory.is_full());
        assert_eq!(memory.refused.get(), 2);
        for still in [101, 96] {
            note(&memory, still, 100);
            assert!(memory.is_full());
        }
        note(&memory, 94, 100);
        assert!(!memory.is_full());
        memory.has_room().await;
        // Without a limit there is room.
        memory.note_refusal();
        note(&memory, 94, 0);
        assert!(!memory.is_full());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_is_full_until_each_node_has_said_that_there_is_room() {
        let memory = Memory::register(&Metrics::default());
        let (full, roomy) = (Some(usage(100, 100)), Some(usage(10, 100)));
        memory.note_refusal();
        memory.note(heard(&[roomy, full]));
        // The one that is full says nothing for a moment.
        memory.note(heard(&[roomy, None]));
        assert!(memory.is_full());
        memory.note(heard(&[roomy, roomy]));
        assert!(!memory.is_full());
        // One that is full is so however long the other says nothing.
        memory.note_refusal();
        for _ in 0..3 {
            tokio::time::advance(HOLDS_FOR).await;
            memory.note(heard(&[full, None]));
            assert!(memory.is_full());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_does_not_say_how_full_it_is_is_tried_again() {
        let memory = Memory::register(&Metrics::default());
        note(&memory, 97, 100);
        memory.note_refusal();
        memory.note(heard(&[None]));
        tokio::time::advance(HOLDS_FOR / 2).await;
        // It still is.
        memory.note_refusal();
        tokio::time::advance(HOLDS_FOR * 3 / 4).await;
        memory.note(heard(&[None]));
        assert!(memory.is_full());
        tokio::time::advance(HOLDS_FOR / 4).await;
        memory.note(heard(&[None]));
        assert!(!memory.is_full());
        assert_eq!(memory.full.get(), 0);
        // What it said long ago does not hold either.
        assert!(memory.fullness().abs() < f64::EPSILON);
    }
}
