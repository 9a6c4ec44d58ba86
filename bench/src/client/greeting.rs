//! Brings sockets from their connections into their channels, so many at a time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    dialect::{Dialect, Incoming},
    frames::{Opcode, append_masked},
    sockets::{Handler, Sockets},
};
use crate::{
    error::{Error, Result, Trying as _},
    progress::Progress,
};

/// How long nothing may happen while sockets connect.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket to be: its channel, and who sits there.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The channel.
    pub channel: String,
    /// The member.
    pub uid: String,
    /// The member's secret; only Goch asks for it.
    pub secret: String,
    /// The sequence that is resumed after; the latest event is asked for if there is none.
    pub after: Option<u64>,
}

/// Sockets that sit in their channels, numbered as their seats.
pub struct Joined {
    /// The sockets.
    pub sockets: Sockets,
    /// How long it took from the first connection to the last one seated.
    pub took: Duration,
    /// What Goch answered to each socket's subscription.
    pub answers: Vec<Subscribed>,
}

/// What a `subscribed` frame says.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Subscribed {
    /// The channel's latest event.
    pub last_seq: u64,
    /// Whether more events remain than are in the page.
    pub more: bool,
    /// The page.
    pub messages: Vec<Positioned>,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Positioned {
    /// Its sequence.
    pub seq: u64,
    /// The sequence of the one before.
    pub prev: u64,
}

struct Greeting<'a> {
    dialect: Dialect,
    seats: &'a [Seat],
    answers: Vec<Subscribed>,
    seated: usize,
}

impl Handler for Greeting<'_> {
    fn upgraded(&mut self, socket: usize, reply: &mut Vec<u8>) -> Result<()> {
        let seat = &self.seats[socket];
        match self.dialect {
            Dialect::Goch => {
                let Seat { channel, uid, secret, after } = seat;
                // A page of one: what is measured is the socket, not the history.
                let page =
                    after.map_or(r#""limit":1"#.to_owned(), |after| format!(r#""after":{after}"#));
                let frame = format!(
                    r#"{{"type":"subscribe","channel":"{channel}","uid":"{uid}","secret":"{secret}",{page}}}"#
                );
                append_masked(reply, Opcode::Text, frame.as_bytes());
            }
            Dialect::Plain => self.seated += 1,
            // The server speaks first.
            Dialect::SocketIo => {}
        }
        Ok(())
    }

    fn text(&mut self, socket: usize, payload: &[u8], reply: &mut Vec<u8>) -> Result<()> {
        match self.dialect.classify(payload)? {
            Incoming::Echo(echo) => append_masked(reply, Opcode::Text, echo),
            Incoming::Answer(answer) => self.answered(socket, answer, reply)?,
            Incoming::Other => {}
            Incoming::Delivery(_) | Incoming::Ack(_) => {
                return Err(Error::wrong("a message before anything was said"));
            }
        }
        Ok(())
    }
}

impl Greeting<'_> {
    fn answered(&mut self, socket: usize, answer: &[u8], reply: &mut Vec<u8>) -> Result<()> {
        if self.dialect == Dialect::SocketIo && answer.starts_with(b"40") {
            let frame = format!(r#"42["join","{}"]"#, self.seats[socket].channel);
            append_masked(reply, Opcode::Text, frame.as_bytes());
            return Ok(());
        }
        if self.dialect == Dialect::Goch {
            self.answers[socket] =
                serde_json::from_slice(answer).trying("reading a subscribed frame")?;
        }
        self.seated += 1;
        Ok(())
    }
}

/// Connects one socket per seat, spread over `servers` in turn, at most `at_a_time` of them between
/// their connection and their seat.
///
/// # Errors
/// When a server refuses one, or nothing happens for a long time.
pub fn join(
    dialect: Dialect,
    servers: &[SocketAddr],
    seats: &[Seat],
    at_a_time: usize,
    progress: &mut Progress,
) -> Result<Joined> {
    let mut sockets = Sockets::new()?;
    let answers = if dialect == Dialect::Goch { seats.len() } else { 0 };
    let answers = vec![Subscribed::default(); answers];
    let mut greeting = Greeting { dialect, seats, answers, seated: 0 };
    let started = Instant::now();
    let mut last = (started, 0);
    while greeting.seated < seats.len() {
        while sockets.len() < seats.len() && sockets.len() < greeting.seated + at_a_time {
            let number = sockets.len();
            sockets.open(servers[number % servers.len()], &dialect.path(&seats[number].channel))?;
        }
        sockets.turn(Duration::from_millis(100), &mut greeting)?;
        if greeting.seated > last.1 {
            last = (Instant::now(), greeting.seated);
            progress.show(|| format!("{} of {} sockets seated", greeting.seated, seats.len()));
        } else if last.0.elapsed() > PATIENCE {
            let what = format!("{} of {} sockets seated", greeting.seated, seats.len());
            return Err(Error::Timeout { what, seconds: PATIENCE.as_secs() });
        }
    }
    Ok(Joined { sockets, took: started.elapsed(), answers: greeting.answers })
}
