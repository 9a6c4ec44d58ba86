//! The end of a process: begun by a signal, and reached in time whatever hangs.
//!
//! On a thread of its own, with a runtime of its own: all threads of the service's may be blocked. There a signal
//! would not be heard, no time would pass, and nothing could give up.

use std::{io, process, thread, time::Duration};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::shutdown::Shutdown;

/// What a process may take beyond the grace period, before it is cut off.
const OVERTIME: Duration = Duration::from_secs(2);

/// Begins the end at SIGTERM or SIGINT, and ends the process when that takes too long, whoever has begun it.
///
/// # Errors
/// When there can be no such thread, or the signals cannot be listened to.
pub(crate) fn watch(shutdown: &Shutdown) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (terminate, interrupt) = {
        // Listened for from now on, so that no signal comes too early.
        let _guard = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let shutdown = shutdown.clone();
    thread::Builder::new().name("deadline".to_owned()).spawn(move || {
        let code = runtime.block_on(overdue(&shutdown, terminate, interrupt));
        tracing::error!("the process did not end within the grace period and is cut off");
        process::exit(code);
    })?;
    Ok(())
}

/// Waits until the process should have ended: the exit code that it is to have then.
async fn overdue(shutdown: &Shutdown, mut terminate: Signal, mut interrupt: Signal) -> i32 {
    let mut is_told = false;
    let listening = async {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = shutdown.begun() => return,
        };
        is_told = true;
        tracing::info!(signal = name, "shutting down");
        shutdown.begin();
    };
    shutdown.vital("signals", listening).await;
    tokio::time::sleep(shutdown.time_left() + OVERTIME).await;
    i32::from(!is_told)
}
