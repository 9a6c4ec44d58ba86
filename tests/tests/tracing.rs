//! Traces: which of them are sent, and how log lines are joined with them.

use std::collections::BTreeSet;

use goch_tests::{Builder, Collector, Member, System, until};
use serde_json::Value;

const MESSAGES: usize = 20;

fn traced(collector: &Collector) -> Builder {
    System::builder()
        .env_of_all("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env_of_all("OTEL_BSP_SCHEDULE_DELAY", "100")
}

#[tokio::test]
async fn with_a_ratio_of_0_no_trace_is_sent_and_with_1_each_is() {
    for (ratio, expected) in [("0", 0), ("1", MESSAGES)] {
        let collector = Collector::start().await;
        let mut system = traced(&collector)
            .env_of_all("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
            .env_of_all("OTEL_TRACES_SAMPLER_ARG", ratio)
            .start()
            .await;
        let channel = system.channel().await;
        let ann = Member::join(system.gateway(), &channel, "ann").await;
        let (mut socket, _) = ann.enter(system.gateway()).await;
        for _ in 0..MESSAGES {
            socket.say(&channel, "Hello").await;
        }
        let path = format!("/v1/admin/channels/{channel}/messages");
        until("all are in the history", async || {
            let page = system.admin().get(&path).await.expect(200).body;
            let messages = page["messages"].as_array()?;
            (messages.iter().filter(|event| event["text"] == "Hello").count() == MESSAGES)
                .then_some(())
        })
        .await;
        drop(socket);
        // What is left is sent at the end.
        for service in system.services() {
            assert!(service.stop().await.success());
        }
        let sent: BTreeSet<_> = collector.traces("goch-gateway", "send").into_iter().collect();
        assert_eq!(sent.len(), expected, "ratio {ratio}");
        // The services behind go by what the gateway has decided.
        let kept: BTreeSet<_> =
            collector.traces("goch-ingest-history", "keep event").into_iter().collect();
        assert!(sent.is_subset(&kept), "ratio {ratio}: {sent:?} {kept:?}");
        let is_silent = collector.is_empty();
        assert_eq!(is_silent, ratio == "0", "ratio {ratio}");
    }
}

#[tokio::test]
async fn a_request_s_log_line_names_the_trace_that_the_collector_has() {
    let collector = Collector::start().await;
    let system = traced(&collector).start().await;
    let channel = system.channel().await;
    let path = format!("/v1/admin/channels/{channel}");
    system.admin().get(&path).await.expect(200);
    let line = until("the request's line", async || {
        let log = system.chat_admin.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"] == "request" && line["path"] == *path)
    })
    .await;
    let trace = line["trace_id"].as_str().expect("a trace");
    assert_eq!(trace.len(), 32, "{line}");
    let trace = u128::from_str_radix(trace, 16).ok();
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");
    until("the collector has that trace", async || {
        let traces = collector.traces("goch-chat-admin", "rest");
        traces.iter().any(|sent| number(sent) == trace).then_some(())
    })
    .await;
    // A line that belongs to no request has none.
    let log = system.chat_admin.log();
    let serving = log.lines().find(|line| line.contains("\"serving\"")).expect("the first lines");
    assert!(!serving.contains("trace_id"), "{serving}");
}

fn number(trace: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(trace.try_into().ok()?))
}
