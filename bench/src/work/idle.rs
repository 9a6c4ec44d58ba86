//! What a socket costs while it says nothing, before and after there was traffic.

use super::{
    drive::{Pace, Stretch, drive},
    fan_out::{AT_A_TIME, settle},
    rooms::Rooms,
};
use crate::{
    client::{Seat, join},
    error::Result,
    progress::Progress,
    results::{Figures, KIB_AFTER, KIB_BEFORE, KIB_RSS},
    servers::Target,
};

/// Connects `seats` to `target`, which must be fresh, and weighs it before, with them, and after
/// traffic.
///
/// # Errors
/// When anything is delivered that was not due, or something that is due does not come.
#[expect(clippy::cast_precision_loss, reason = "bytes of a process are far below 2^52")]
pub fn run(
    target: &Target,
    seats: &[Seat],
    traffic: Stretch,
    progress: &mut Progress,
) -> Result<Figures> {
    let processes = &target.processes;
    let empty = processes.front_memory()?;
    let mut joined = join(target.dialect, &target.addresses, seats, AT_A_TIME, progress)?;
    settle(processes);
    let before = processes.front_memory()?;
    let mut rooms = Rooms::new(target.dialect, seats, &joined.answers);
    drive(&mut joined.sockets, &mut rooms, Pace::InFlight(4), traffic, processes, progress)?;
    settle(processes);
    let after = processes.front_memory()?;
    let kib =
        |now: u64, empty: u64| now.saturating_sub(empty) as f64 / 1_024.0 / seats.len() as f64;
    Ok(Figures::from([
        (KIB_BEFORE.to_owned(), kib(before.pss, empty.pss)),
        (KIB_AFTER.to_owned(), kib(after.pss, empty.pss)),
        (KIB_RSS.to_owned(), kib(after.rss, empty.rss)),
    ]))
}
