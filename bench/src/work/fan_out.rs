//! One message in, many sockets out; and, with the same means, many channels and durable sends.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    drive::{Pace, Stretch, drive},
    rooms::{Latencies, Rooms},
};
use crate::{
    client::{Joined, Seat, join},
    error::Result,
    progress::Progress,
    results::{Figures, figures},
    servers::{Target, usage::Watched},
    work::latency,
};

/// Sockets between connection and seat at a time, while it is not connecting that is measured.
pub const AT_A_TIME: usize = 200;

/// Connects `seats` to `target` and drives them at `pace` for `stretch`.
///
/// # Errors
/// When anything is delivered that was not due, or something that is due does not come.
pub fn run(
    target: &Target,
    seats: &[Seat],
    pace: Pace,
    stretch: Stretch,
    progress: &mut Progress,
) -> Result<Figures> {
    let Joined { mut sockets, answers, .. } =
        join(target.dialect, &target.addresses, seats, AT_A_TIME, progress)?;
    let mut rooms = Rooms::new(target.dialect, seats, &answers);
    if matches!(pace, Pace::EachSecond(_)) {
        rooms.latencies = Some(Latencies::new()?);
    }
    settle(&target.processes);
    let measured = drive(&mut sockets, &mut rooms, pace, stretch, &target.processes, progress)?;
    drop(sockets);
    // The next measurement must not pay for the end of this one.
    settle(&target.processes);
    let mut figures = figures(&measured, matches!(pace, Pace::Unacked(_)));
    if let Some(latencies) = &rooms.latencies {
        latency::add(&mut figures, latencies);
    }
    Ok(figures)
}

/// Waits until the processes have nothing more to do, but not for long.
pub fn settle(processes: &Watched) {
    const PAUSE: Duration = Duration::from_millis(50);
    let started = Instant::now();
    let mut before = processes.cpu();
    while started.elapsed() < Duration::from_secs(10) {
        thread::sleep(PAUSE);
        let now = processes.cpu();
        if now.since(&before).sum() < PAUSE / 20 {
            return;
        }
        before = now;
    }
}
