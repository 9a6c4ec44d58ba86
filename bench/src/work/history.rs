//! A page of history: how long until it is there, through Goch and straight from Redis.

use std::time::{Duration, Instant};

use fred::{
    clients::Client,
    interfaces::{ClientLike as _, SortedSetsInterface as _},
    types::sorted_sets::ZSort,
};
use hdrhistogram::Histogram;

use super::{
    drive::say_in_each,
    latency::histogram,
    rooms::{Latencies, Rooms},
};
use crate::{
    client::{
        Dialect, Joined, Seat, Sockets,
        dialect::Incoming,
        frames::{Opcode, append_masked},
        greeting::Positioned,
        join,
        sockets::Handler,
    },
    error::{Error, Result, Trying as _},
    progress::Progress,
    results::Figures,
    servers::{Target, goch::Goch},
    work::latency,
};

/// Events of a page.
const PAGE: usize = 100;

/// Messages in the channel: more than a gateway keeps in memory, so that the page comes from Redis.
pub const MESSAGES: usize = 400;

/// The page ends so many events before the latest.
const BACK: u64 = 200;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of Redis itself in the tables.
pub const BARE: &str = "bare Redis read";

/// A channel with a history, and its one reader.
pub struct Channel {
    sockets: Sockets,
    seat: Seat,
    before: u64,
}

/// Asks for one page after the other.
struct Pages {
    before: u64,
    /// When the answer was there: looking whether it is right is not part of the wait.
    answered: Option<Instant>,
}

impl Handler for Pages {
    fn upgraded(&mut self, socket: usize, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::wrong(format!("socket {socket} shook hands twice")))
    }

    fn text(&mut self, _: usize, payload: &[u8], _: &mut Vec<u8>) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct History {
            messages: Vec<Positioned>,
            more: bool,
        }
        let arrived = Instant::now();
        let Incoming::Answer(answer) = Dialect::Goch.classify(payload)? else { return Ok(()) };
        let page: History = serde_json::from_slice(answer).trying("reading a page")?;
        let is_chained = page
            .messages
            .windows(2)
            .all(|pair| pair[0].seq == pair[1].prev && pair[0].seq < pair[1].seq);
        let is_whole = page.messages.len() == PAGE
            && page.messages.last().is_some_and(|last| last.seq + 1 == self.before);
        if !is_chained || !is_whole || !page.more {
            return Err(Error::wrong(format!("a page that is not whole: {:?}", page.messages)));
        }
        self.answered = Some(arrived);
        Ok(())
    }
}

impl Channel {
    /// Fills the channel of `seat`, where nobody else says anything meanwhile, and waits until Redis
    /// has it all.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn fill(target: &Target, seat: &Seat, progress: &mut Progress) -> Result<Self> {
        let seats = std::slice::from_ref(seat);
        let Joined { mut sockets, answers, .. } =
            join(target.dialect, &target.addresses, seats, 1, progress)?;
        let mut rooms = Rooms::new(target.dialect, seats, &answers);
        say_in_each(&mut sockets, &mut rooms, MESSAGES)?;
        let last = rooms.last_seq_of(0).ok_or_else(|| Error::wrong("a channel without events"))?;
        Ok(Self { sockets, seat: seat.clone(), before: last - BACK })
    }

    /// Asks for the same page `count` times.
    ///
    /// # Errors
    /// When a page is not what it should be.
    pub fn read(&mut self, count: usize) -> Result<Figures> {
        let mut pages = Pages { before: self.before, answered: None };
        let mut times = histogram()?;
        let Seat { channel, .. } = &self.seat;
        let frame = format!(
            r#"{{"type":"history","id":"page","channel":"{channel}","before":{},"limit":{PAGE}}}"#,
            self.before
        );
        for _ in 0..count {
            let started = Instant::now();
            self.sockets.say(0, |output| append_masked(output, Opcode::Text, frame.as_bytes()));
            self.sockets.flush()?;
            let answered = loop {
                self.sockets.turn(PATIENCE, &mut pages)?;
                if let Some(answered) = pages.answered.take() {
                    break answered;
                }
                if started.elapsed() > PATIENCE {
                    let what = "a page of history".to_owned();
                    return Err(Error::Timeout { what, seconds: PATIENCE.as_secs() });
                }
            };
            times.saturating_record(micros(answered - started));
        }
        figures(times)
    }

    /// Reads the same events `count` times straight from Redis.
    ///
    /// # Errors
    /// When Redis does not have them.
    pub fn read_bare(&self, goch: &Goch, count: usize) -> Result<Figures> {
        goch.runtime().block_on(async {
            let redis = goch.redis().await?;
            let key = find_key(&redis, &self.seat.channel).await?;
            let bound = format!("(e{:020}", self.before);
            let mut times = histogram()?;
            for _ in 0..count {
                let started = Instant::now();
                let events: Vec<fred::bytes::Bytes> = redis
                    .zrange(
                        key.as_str(),
                        bound.as_str(),
                        "[e",
                        Some(ZSort::ByLex),
                        true,
                        Some((0, i64::try_from(PAGE).unwrap_or(i64::MAX))),
                        false,
                    )
                    .await
                    .trying("reading from Redis")?;
                times.saturating_record(micros(started.elapsed()));
                if events.len() != PAGE {
                    let count = events.len();
                    return Err(Error::wrong(format!("Redis has {count} events of a page")));
                }
            }
            figures(times)
        })
    }
}

async fn find_key(redis: &Client, channel: &str) -> Result<String> {
    let pattern = format!("goch:{{{channel}}}:history:*");
    let keys: Vec<String> = redis
        .custom(fred::cmd!("KEYS"), vec![pattern])
        .await
        .trying("looking for a channel's history in Redis")?;
    keys.into_iter()
        .next()
        .ok_or_else(|| Error::wrong(format!("Redis has no history of {channel}")))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn figures(times: Histogram<u64>) -> Result<Figures> {
    let mut figures = Figures::new();
    latency::add(&mut figures, &Latencies { delivery: times, ack: histogram()? });
    Ok(figures)
}
