//! How many NATS servers store the log: what broker-bridge does where there are too few.

use goch_tests::{Metrics, Servers, Service, System, until};

/// Waits until it has logged a line with all of these words.
async fn logs(service: &Service, words: &[&str]) {
    until(&format!("it logs {words:?}"), async || {
        let log = service.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_broker_bridge_that_cannot_have_its_replicas_is_not_ready_and_says_why() {
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let folder = tempfile::tempdir().unwrap();
    let mut new = system.broker_bridge.replica("new", folder.path());
    new.set("LOG_REPLICAS", "3");
    new.spawn();
    logs(&new, &["waiting for the log's topology", "has 1 replicas where LOG_REPLICAS is 3"]).await;
    logs(&new, &["ERROR", "num_replicas", "a change is refused"]).await;
    let metrics = Metrics::of(&new).await;
    for store in ["log", "channels", "members", "dead_letters"] {
        let label = format!("store=\"{store}\"");
        assert_eq!(metrics.sum("goch_store_replicas_wanted", &label), 3, "{store}");
        assert_eq!(metrics.sum("goch_store_replicas", &label), 1, "{store}");
        assert_eq!(metrics.sum("goch_store_replicas_current", &label), 1, "{store}");
    }
    let state = new.readiness().await;
    assert_eq!((state.status, &state.body["topology"]), (503, &false.into()), "{}", state.text);
    // It waits, and whoever is there goes on.
    assert!(new.is_running());
    assert_eq!(system.broker_bridge.readiness().await.status, 200);
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, &serde_json::json!({"text": "x"})).await.expect(201);
    // What was wrong is put right by configuration.
    assert!(new.stop().await.success());
    new.set("LOG_REPLICAS", "1");
    new.start().await;
    assert!(system.broker_bridge.is_running());
}

#[tokio::test]
async fn a_log_that_cannot_have_its_replicas_is_not_created_with_fewer() {
    let mut servers = Servers::new();
    servers.start().await;
    let mut system =
        System::builder().servers(servers).env("broker-bridge", "LOG_REPLICAS", "3").build().await;
    system.broker_bridge.spawn();
    let refused = ["waiting for the log's topology", "refuses to create the stream", "replicas"];
    logs(&system.broker_bridge, &refused).await;
    assert_eq!(system.broker_bridge.readiness().await.status, 503);
    assert!(system.broker_bridge.is_running());
}

#[tokio::test]
async fn a_log_is_never_made_smaller_than_what_it_has() {
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let path = format!("/v1/admin/channels/{channel}/messages");
    let mut first = None;
    for _ in 0..20 {
        let body = serde_json::json!({"text": "x".repeat(1_000)});
        let posted = system.admin().post(&path, &body).await.expect(201).body;
        first.get_or_insert(posted["seq"].clone());
    }
    assert!(system.broker_bridge.stop().await.success());
    system.broker_bridge.set("LOG_MAX_BYTES", "10000");
    system.broker_bridge.start().await;
    system.servers().redis.flush().await;
    until("the first message is still in the log", async || {
        let page = system.admin().get(&format!("{path}?limit=100")).await.expect(200).body;
        goch_tests::events(&page)
            .iter()
            .any(|event| Some(&event["seq"]) == first.as_ref())
            .then_some(())
    })
    .await;
    logs(&system.broker_bridge, &["ERROR", "max_bytes", "a change is refused"]).await;
}

#[tokio::test]
async fn a_setting_that_is_refused_holds_back_no_other_one() {
    let prefix = goch_tests::unique("refused");
    let mut system = System::builder().prefix(&prefix).start().await;
    assert!(system.broker_bridge.stop().await.success());
    // More than any disk has.
    system.broker_bridge.set("LOG_MAX_BYTES", "1000000000000000000");
    system.broker_bridge.set("DEDUPLICATION_SECONDS", "300");
    system.broker_bridge.start().await;
    logs(&system.broker_bridge, &["ERROR", "max_bytes", "a change is refused"]).await;
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let log = async_nats::jetstream::new(client).get_stream(format!("{prefix}_log")).await.unwrap();
    let config = log.get_info().await.unwrap().config;
    assert_eq!((config.duplicate_window.as_secs(), config.max_bytes), (300, -1));
}
