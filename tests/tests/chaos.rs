//! A short run of load and faults with a fixed seed; `make chaos` runs longer ones.

use std::time::Duration;

use goch_tests::chaos::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acked_is_lost_while_everything_fails_in_turn() {
    let plan = Plan { seed: 4, duration: Duration::from_secs(45), ..Plan::default() };
    let report = run(&plan).await;
    assert!(report.is_clean(), "{report}");
}
