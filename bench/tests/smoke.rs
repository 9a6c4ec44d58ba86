//! Each kind of work in small, against real servers and services: whether everything that is
//! measured also works. How fast it is, only `make bench` tells.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};

use goch_load::{
    client::raise_open_files,
    progress::Progress,
    report,
    results::{
        ACK_P50, ACKS, AUTHORIZATIONS, DELIVERIES, DELIVERY_P50, FRONT_MICROS, KIB_BEFORE, Results,
        SECONDS, Work,
    },
    suite::{Plan, Programs, Suite},
};

#[expect(clippy::unwrap_used, reason = "a test that cannot start has failed")]
fn run(work: Work) -> Results {
    let _ = raise_open_files();
    let load = PathBuf::from(env!("CARGO_BIN_EXE_goch-load"));
    let services = load.parent().unwrap().to_owned();
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/peers");
    let node = node.join("node_modules").is_dir().then_some(node);
    let programs = Programs { services, load, node };
    let plan = Plan { works: vec![work], ..Plan::small() };
    let mut progress = Progress::silent();
    let suite = Suite::start(plan, programs, &mut progress).unwrap();
    suite.run(|_| Ok(())).unwrap()
}

/// Every target of a kind of work has this figure, and it is more than nothing.
fn assert_measured(results: &Results, work: Work, targets: &[&str], figure: &str) {
    let cases = results.cases(work);
    assert!(!cases.is_empty());
    for case in cases {
        for target in targets {
            let value = results.median(work, case, target, figure);
            assert!(value.is_some_and(|value| value > 0.0), "{target}, {figure}: {value:?}");
        }
    }
}

const FLOORS_AND_GOCH: [&str; 3] = ["floor", "floor, one write a frame", "goch"];

#[test]
fn fan_out_is_measured_and_reported() {
    let results = run(Work::FanOut);
    for figure in [FRONT_MICROS, DELIVERIES] {
        assert_measured(&results, Work::FanOut, &FLOORS_AND_GOCH, figure);
        assert_measured(&results, Work::FanOut, &["goch, 2 gateways"], figure);
    }
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("performance.md");
    report::write(&results, &page).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("20 readers, 4 in flight") && text.contains("performance.svg"));
    assert!(std::fs::read_to_string(page.with_extension("svg")).unwrap().contains("<rect"));
}

#[test]
fn many_channels_are_measured() {
    let results = run(Work::ManyChannels);
    assert_measured(&results, Work::ManyChannels, &FLOORS_AND_GOCH, DELIVERIES);
}

#[test]
fn durable_sends_are_measured() {
    let results = run(Work::DurableSend);
    assert_measured(&results, Work::DurableSend, &["bare async-nats", "goch"], ACKS);
}

#[test]
fn latencies_are_measured() {
    let results = run(Work::Latency);
    for figure in [DELIVERY_P50, ACK_P50] {
        assert_measured(&results, Work::Latency, &["bare async-nats", "goch"], figure);
    }
}

#[test]
fn idle_sockets_are_weighed() {
    let results = run(Work::Idle);
    assert_measured(&results, Work::Idle, &["goch"], KIB_BEFORE);
}

#[test]
fn a_storm_is_measured_and_counted() {
    let results = run(Work::Storm);
    assert_measured(&results, Work::Storm, &["floor", "goch"], SECONDS);
    let case = results.cases(Work::Storm)[0];
    assert!(results.median(Work::Storm, case, "goch", AUTHORIZATIONS).is_some());
}

#[test]
fn pages_of_history_are_measured() {
    let results = run(Work::History);
    assert_measured(&results, Work::History, &["bare Redis read", "goch"], DELIVERY_P50);
}
