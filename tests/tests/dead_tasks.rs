//! What becomes of a process in which a task has died, or hangs. The faults are built into the services
//! where there are debug assertions, and nowhere else.
#![cfg(debug_assertions)]

use goch_tests::{Member, Service, System, until};
use rustix::process::Signal;

/// Tasks without which a service looks alive and is not, and what happens to them.
const FAULTS: [(&str, &str, &str); 12] = [
    ("gateway", "panicked", "flusher of worker 1"),
    ("gateway", "ended", "revocations of worker 0"),
    ("chat-admin", "panicked", "announcer"),
    ("chat-admin", "ended", "finisher"),
    ("chat-admin", "panicked", "sweeper"),
    ("chat-admin", "panicked", "keeper of the copy in Redis"),
    ("chat-admin", "panicked", "endpoint authorize"),
    ("ingest-history", "panicked", "consumer of the log"),
    ("ingest-history", "ended", "probe of Redis"),
    ("broker-bridge", "ended", "topology of the log"),
    ("broker-bridge", "panicked", "manager of webhooks"),
    ("broker-bridge", "panicked", "health port"),
];

/// Starts a service with a fault in it, which has not come about yet.
async fn start_with(service: &mut Service, fault: &str) {
    service.set("FAULT", fault);
    service.start().await;
    assert_eq!(service.health().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_task_that_must_not_end_takes_its_process_along() {
    let mut system = System::builder().start().await;
    for service in system.services() {
        assert_eq!(service.stop().await.code(), Some(0));
        let binary = service.binary();
        for (_, how, task) in FAULTS.iter().filter(|(of, ..)| *of == binary) {
            let kind = if *how == "ended" { "end" } else { "panic" };
            start_with(service, &format!("{kind} {task}")).await;
            service.signal(Signal::USR1);
            let status = service.exit().await;
            let log = service.log();
            assert_eq!(status.code(), Some(70), "{binary}, {task}: {log}");
            let said = format!(r#""task":"{task}","how":"{how}""#);
            assert!(log.contains(&said), "{binary} does not say {said}: {log}");
        }
        let log = service.log();
        assert!(log.contains(r#""place":"crates/chassis/src/faults.rs:"#), "{log}");
        assert!(log.contains(r#""thread":""#) && !log.contains("on purpose"), "{log}");
        start_with(service, "").await;
    }
    // It goes on where it was.
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await.0.say(&channel, "Hello").await;
}

#[tokio::test]
async fn a_loop_that_hangs_is_named_and_a_healthy_one_is_not() {
    let mut system =
        System::builder().gateways(2).env_of_all("FAULT_HUNG_AFTER_SECONDS", "10").build().await;
    system.gateways[0].set("FAULT", "hang heartbeat of worker 1");
    system.chat_admin.set("FAULT", "hang heartbeat of worker 0");
    system.ingest_history.set("FAULT", "hang heartbeat of the runtime");
    system.spawn();
    system.ready().await;
    let sick = [
        (&system.gateways[0], "worker 1"),
        (&system.chat_admin, "worker 0"),
        (&system.ingest_history, "runtime"),
    ];
    for (service, _) in sick {
        assert_eq!(service.health().get("/healthz").await.text, "alive\n");
        service.signal(Signal::USR1);
    }
    for (service, hung) in sick {
        let answer = until("it is found out", async || {
            let answer = service.health().get("/healthz").await;
            (answer.status == 503).then_some(answer)
        })
        .await;
        let named = format!("hung: {hung} for ");
        assert!(answer.text.starts_with(&named), "{}", answer.text);
        assert!(!answer.text.contains(','), "{}", answer.text);
        let ready = service.readiness().await;
        assert_eq!((ready.status, &ready.body["not hung"]), (503, &false.into()));
        assert!(service.log().contains("this process hangs"));
    }
    for service in [&system.gateways[1], &system.broker_bridge] {
        assert_eq!(service.health().get("/healthz").await.status, 200);
        assert_eq!(service.readiness().await.status, 200);
    }
}

#[tokio::test]
async fn a_process_whose_threads_are_blocked_ends_when_it_is_told_to() {
    let mut system = System::builder()
        .env_of_all("FAULT_HUNG_AFTER_SECONDS", "10")
        .env_of_all("FAULT", "hang heartbeat of the runtime")
        .env_of_all("SHUTDOWN_GRACE_SECONDS", "1")
        // The only thread of their runtimes: there no signal is heard, and no time passes.
        .env("ingest-history", "TOKIO_WORKER_THREADS", "1")
        .env("broker-bridge", "TOKIO_WORKER_THREADS", "1")
        .start()
        .await;
    for service in system.services() {
        service.signal(Signal::USR1);
    }
    for service in system.services() {
        until("a thread is blocked", async || {
            let answer = service.health().get("/healthz").await;
            answer.text.starts_with("hung: runtime for ").then_some(())
        })
        .await;
        assert_eq!(service.stop().await.code(), Some(0), "{}", service.log());
        if matches!(service.binary(), "ingest-history" | "broker-bridge") {
            assert!(service.log().contains("is cut off"), "{}", service.log());
        }
    }
}
