//! What a service was told by NATS before it went away is not told on as if it were so.

use std::time::{Duration, Instant};

use goch_tests::{Member, Metrics, NatsServer, Servers, System, until};

/// What a service is told by others, each in some samples.
const HEARD: [(&str, &[&str]); 3] = [
    ("ingest-history", &["goch_history_lag"]),
    (
        "broker-bridge",
        &[
            "goch_log_messages",
            "goch_log_bytes",
            "goch_store_full_ratio",
            "goch_store_bytes",
            "goch_store_max_bytes",
            "goch_history_pending",
            "goch_history_unacknowledged",
        ],
    ),
    (
        "chat-admin",
        &[
            "goch_announcements_waiting",
            "goch_lifecycle_unfinished",
            "goch_projection_whole",
            "goch_projection_lag",
        ],
    ),
];

/// How long until all are left out: 45 seconds for broker-bridge's, whatever a loaded machine adds, and 20 until
/// a NATS that hangs is taken for dead.
const GONE_WITHIN: Duration = Duration::from_mins(3);

/// Which of the gauges are told.
async fn told(system: &mut System) -> Vec<&'static str> {
    let mut told = Vec::new();
    for service in system.services() {
        let Some((_, gauges)) = HEARD.iter().find(|(name, _)| *name == service.binary()) else {
            continue;
        };
        let metrics = Metrics::of(service).await;
        told.extend(gauges.iter().filter(|gauge| metrics.has(gauge)));
    }
    told
}

async fn all_are_told(system: &mut System) {
    let all = HEARD.iter().flat_map(|(_, gauges)| *gauges).count();
    until("every gauge is told", async || (told(system).await.len() == all).then_some(())).await;
}

/// Everything is started, `away` takes NATS away, and `back` brings it back.
async fn gauges_go_and_come_back(
    away: impl FnOnce(&mut NatsServer),
    back: impl AsyncFnOnce(&mut NatsServer),
) {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (_socket, _) = ann.enter(system.gateway()).await;
    all_are_told(&mut system).await;

    away(&mut system.own_servers().nats);
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let told = told(&mut system).await;
        if told.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "still told: {told:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What a service knows of itself stays.
    assert!(Metrics::of(system.gateway()).await.has("goch_sockets"));
    assert!(Metrics::of(&system.chat_admin).await.has("goch_redis_connected"));

    back(&mut system.own_servers().nats).await;
    all_are_told(&mut system).await;
}

#[tokio::test]
async fn gauges_go_with_nats_and_come_back_with_it() {
    gauges_go_and_come_back(NatsServer::kill, async |nats| nats.start().await).await;
}

#[tokio::test]
async fn gauges_go_when_nats_hangs_and_come_back_when_it_answers() {
    gauges_go_and_come_back(|nats| nats.pause(), async |nats| nats.resume()).await;
}
