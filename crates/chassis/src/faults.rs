//! Defects that a test brings about in a running service, to see what becomes of it.
//!
//! This is compiled only with debug assertions, so no optimised binary has it; deploy/Dockerfile makes
//! sure. `FAULT` names what is to happen to a vital task when the process gets SIGUSR1, and to which:
//! `panic TASK`, `end TASK` or `hang TASK`. `FAULT_HUNG_AFTER_SECONDS` says after how long something counts
//! as hung.

use std::{env, future::Future, pin::pin, thread, time::Duration};

use futures_util::future::select;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `task`, until its fault comes about.
pub(crate) fn within<F: Future<Output = ()>>(name: &str, task: F) -> impl Future + use<F> {
    let fault = env::var("FAULT").unwrap_or_default();
    let fault = fault.strip_suffix(name).and_then(|kind| kind.strip_suffix(' '));
    // Listened for from now on, so that the signal cannot come too early.
    let fault =
        fault.and_then(|kind| Some((kind.to_owned(), signal(SignalKind::user_defined1()).ok()?)));
    async move {
        let Some((kind, signal)) = fault else { return task.await };
        select(pin!(task), pin!(strike(kind, signal))).await;
    }
}

#[expect(clippy::panic, reason = "that is what it is for")]
async fn strike(kind: String, mut signal: Signal) {
    signal.recv().await;
    match &*kind {
        "end" => {}
        "hang" => loop {
            thread::sleep(Duration::from_mins(1));
        },
        _ => panic!("a fault, on purpose"),
    }
}

/// After how long something counts as hung, if a test says so.
pub(crate) fn hung_after() -> Option<Duration> {
    let seconds = env::var("FAULT_HUNG_AFTER_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}
