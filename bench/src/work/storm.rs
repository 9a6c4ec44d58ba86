//! Everybody is cut off and comes back at once, to rooms that are still warm.

use super::{
    drive::say_in_each,
    fan_out::{AT_A_TIME, settle},
    rooms::Rooms,
};
use crate::{
    client::{Dialect, Joined, Seat, greeting::Subscribed, join},
    error::{Error, Result},
    progress::Progress,
    results::{AUTHORIZATIONS, Figures, PERIODIC, REDIS_COMMANDS, REQUESTS, SECONDS, cpu_figures},
    servers::{Target, goch::Goch},
};

/// Sockets between connection and seat at a time.
const STORM: usize = 1_000;

/// Messages that everybody has missed when they come back.
const MISSED: usize = 3;

/// Cuts `seats` off from `target` and measures until all are back. Goch must give each exactly what
/// it has missed; what that costs behind the gateways is counted at `goch`.
///
/// # Errors
/// When anything is missing, or not due.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn run(
    target: &Target,
    goch: Option<&Goch>,
    seats: &[Seat],
    progress: &mut Progress,
) -> Result<Figures> {
    let Joined { mut sockets, answers, .. } =
        join(target.dialect, &target.addresses, seats, AT_A_TIME, progress)?;
    let mut rooms = Rooms::new(target.dialect, seats, &answers);
    // In whatever order: otherwise each would find the very worker that it was at.
    let mut order: Vec<usize> = (0..seats.len()).collect();
    fastrand::shuffle(&mut order);
    let mut back: Vec<Seat> = order.iter().map(|socket| seats[*socket].clone()).collect();
    if target.dialect == Dialect::Goch {
        say_in_each(&mut sockets, &mut rooms, 1)?;
        for (seat, socket) in back.iter_mut().zip(&order) {
            seat.after = rooms.last_seq_of(*socket);
        }
        say_in_each(&mut sockets, &mut rooms, MISSED)?;
    }
    drop(sockets);
    settle(&target.processes);

    let before = goch.map(Counts::read).transpose()?;
    let cpu = target.processes.cpu();
    let joined = join(target.dialect, &target.addresses, &back, STORM, progress)?;
    let usage = target.processes.cpu().since(&cpu);
    let after = goch.map(Counts::read).transpose()?;

    for (socket, answer) in joined.answers.iter().enumerate() {
        check(socket, back[socket].after, rooms.last_seq_of(order[socket]), answer)?;
    }
    let mut figures = cpu_figures(&usage, seats.len() as f64);
    figures.insert(SECONDS.to_owned(), joined.took.as_secs_f64());
    if let (Some(before), Some(after)) = (before, after) {
        after.since(&before).add(&mut figures);
    }
    drop(joined);
    settle(&target.processes);
    Ok(figures)
}

/// A page must have what was missed: all of it, in order, and nothing else.
fn check(socket: usize, after: Option<u64>, last: Option<u64>, answer: &Subscribed) -> Result<()> {
    let mut known = after;
    for message in &answer.messages {
        if Some(message.prev) != known || message.seq <= message.prev {
            return Err(Error::wrong(format!("socket {socket} resumed with a hole: {answer:?}")));
        }
        known = Some(message.seq);
    }
    let is_whole = known == last
        && answer.messages.len() == MISSED
        && Some(answer.last_seq) == last
        && !answer.more;
    if is_whole {
        return Ok(());
    }
    Err(Error::wrong(format!("socket {socket} resumed after {after:?} up to {last:?}: {answer:?}")))
}

/// What happened behind the gateways so far.
struct Counts {
    authorizations: u64,
    /// Of rooms and members, which come with time and not with sockets.
    periodic: u64,
    others: u64,
    redis: u64,
}

impl Counts {
    fn read(goch: &Goch) -> Result<Self> {
        let mut counts =
            Self { authorizations: 0, periodic: 0, others: 0, redis: goch.redis_commands()? };
        for (endpoint, count) in goch.requests()? {
            match endpoint.as_str() {
                "chat-admin authorize" => counts.authorizations += count,
                "broker-bridge tails" | "chat-admin verify" => counts.periodic += count,
                _ => counts.others += count,
            }
        }
        Ok(counts)
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            authorizations: self.authorizations - earlier.authorizations,
            periodic: self.periodic - earlier.periodic,
            others: self.others - earlier.others,
            redis: self.redis - earlier.redis,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn add(&self, figures: &mut Figures) {
        figures.insert(AUTHORIZATIONS.to_owned(), self.authorizations as f64);
        figures.insert(PERIODIC.to_owned(), self.periodic as f64);
        figures.insert(REQUESTS.to_owned(), self.others as f64);
        figures.insert(REDIS_COMMANDS.to_owned(), self.redis as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::greeting::Positioned;

    fn answer(positions: &[(u64, u64)]) -> Subscribed {
        let messages = positions.iter().map(|(seq, prev)| Positioned { seq: *seq, prev: *prev });
        Subscribed { last_seq: 9, more: false, messages: messages.collect() }
    }

    #[test]
    fn a_page_with_a_hole_or_without_the_end_is_refused() {
        let whole = answer(&[(6, 5), (8, 6), (9, 8)]);
        assert!(check(0, Some(5), Some(9), &whole).is_ok());
        assert!(check(0, Some(5), Some(10), &whole).is_err());
        assert!(check(0, Some(4), Some(9), &whole).is_err());
        assert!(check(0, Some(5), Some(9), &answer(&[(6, 5), (9, 8)])).is_err());
        assert!(check(0, Some(5), Some(9), &answer(&[])).is_err());
    }
}
