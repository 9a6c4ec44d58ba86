//! Decides when the next message is said, and measures a stretch of time.

use std::time::{Duration, Instant};

use mio::{Interest, Token, unix::SourceFd};
use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use super::rooms::{Rooms, Tally};
use crate::{
    client::Sockets,
    error::{Error, Result, Trying as _},
    progress::Progress,
    servers::usage::{Usage, Watched},
};

/// How long nothing may happen while something is due.
const PATIENCE: Duration = Duration::from_secs(15);

/// When the next message is said.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As soon as one of this many has reached all of its readers, in the next channel in turn. With
    /// one channel: message *i + k* is said once every reader has got message *i*.
    InFlight(usize),
    /// In each channel, as soon as one of this many has been acknowledged.
    Unacked(usize),
    /// So many a second, in the next channel in turn, whatever comes back: latencies count from the
    /// moment a message was due, not from when the generator got round to saying it.
    EachSecond(u32),
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// Before it counts.
    pub warm_up: Duration,
    /// While it counts.
    pub measured: Duration,
}

/// What happened while it counted.
#[derive(Debug)]
pub struct Measured {
    /// How long that was.
    pub seconds: f64,
    /// What was said, got and acknowledged.
    pub tally: Tally,
    /// How often a socket was read.
    pub reads: u64,
    /// What it cost each server.
    pub usage: Usage,
}

/// Drives `rooms` at `pace` for `stretch`, then waits until everybody has got everything.
///
/// # Errors
/// When anything is delivered that was not due, or something that is due does not come.
pub fn drive(
    sockets: &mut Sockets,
    rooms: &mut Rooms,
    pace: Pace,
    stretch: Stretch,
    servers: &Watched,
    progress: &mut Progress,
) -> Result<Measured> {
    let mut driver = Driver::new(sockets, rooms, pace)?;
    let started = Instant::now();
    driver.run_until(started + stretch.warm_up, progress)?;
    driver.forget_latencies();

    let (from, before, usage) = (Instant::now(), driver.rooms.tally, servers.cpu());
    let reads = driver.sockets.reads;
    driver.run_until(from + stretch.measured, progress)?;
    let (seconds, after) = (from.elapsed().as_secs_f64(), driver.rooms.tally);
    let usage = servers.cpu().since(&usage);
    let reads = driver.sockets.reads - reads;

    driver.settle()?;
    let tally = Tally {
        said: after.said - before.said,
        completed: after.completed - before.completed,
        deliveries: after.deliveries - before.deliveries,
        acks: after.acks - before.acks,
    };
    Ok(Measured { seconds, tally, reads, usage })
}

/// Says `count` messages in each room and waits until everybody has got them.
///
/// # Errors
/// See [`drive`].
pub fn say_in_each(sockets: &mut Sockets, rooms: &mut Rooms, count: usize) -> Result<()> {
    Driver::new(sockets, rooms, Pace::Unacked(count))?.settle()
}

struct Driver<'a> {
    sockets: &'a mut Sockets,
    rooms: &'a mut Rooms,
    pace: Pace,
    next_room: usize,
    ticker: Option<Ticker>,
    watchdog: (Instant, Tally),
}

impl<'a> Driver<'a> {
    fn new(sockets: &'a mut Sockets, rooms: &'a mut Rooms, pace: Pace) -> Result<Self> {
        let ticker = match pace {
            Pace::EachSecond(rate) => Some(Ticker::start(sockets, rate)?),
            Pace::InFlight(_) | Pace::Unacked(_) => None,
        };
        let watchdog = (Instant::now(), rooms.tally);
        let mut driver = Self { sockets, rooms, pace, next_room: 0, ticker, watchdog };
        let now = Instant::now();
        match pace {
            Pace::InFlight(count) => (0..count).for_each(|_| driver.say_in_turn(now)),
            Pace::Unacked(count) => {
                for room in (0..driver.rooms.len()).flat_map(|room| vec![room; count]) {
                    driver.rooms.say(room, now, driver.sockets);
                }
            }
            Pace::EachSecond(_) => {}
        }
        driver.sockets.flush()?;
        Ok(driver)
    }

    fn say_in_turn(&mut self, due: Instant) {
        self.rooms.say(self.next_room, due, self.sockets);
        self.next_room = (self.next_room + 1) % self.rooms.len();
    }

    fn run_until(&mut self, end: Instant, progress: &mut Progress) -> Result<()> {
        let (started, before) = (Instant::now(), self.rooms.tally);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.turn((end - now).min(Duration::from_millis(100)))?;
            match self.pace {
                Pace::InFlight(_) => {
                    for _ in 0..self.rooms.completed.len() {
                        self.say_in_turn(now);
                    }
                }
                Pace::Unacked(_) => {
                    let mut acked = std::mem::take(&mut self.rooms.acked);
                    for room in acked.drain(..) {
                        self.rooms.say(room, now, self.sockets);
                    }
                    self.rooms.acked = acked;
                }
                Pace::EachSecond(_) => {
                    while let Some(due) = self.ticker.as_mut().and_then(Ticker::due) {
                        self.say_in_turn(due);
                    }
                }
            }
            self.rooms.completed.clear();
            self.rooms.acked.clear();
            self.sockets.flush()?;
            progress.show(|| rates(started, &before, &self.rooms.tally));
        }
    }

    fn settle(mut self) -> Result<()> {
        while !self.rooms.is_settled() {
            self.turn(Duration::from_millis(100))?;
        }
        self.rooms.completed.clear();
        self.rooms.acked.clear();
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        self.sockets.turn(timeout, self.rooms)?;
        let tally = self.rooms.tally;
        if (tally.deliveries, tally.acks) != (self.watchdog.1.deliveries, self.watchdog.1.acks) {
            self.watchdog = (Instant::now(), tally);
        } else if self.watchdog.0.elapsed() > PATIENCE {
            let what = format!("messages that are due do not come, after {tally:?}");
            return Err(Error::Timeout { what, seconds: PATIENCE.as_secs() });
        }
        Ok(())
    }

    fn forget_latencies(&mut self) {
        if let Some(latencies) = &mut self.rooms.latencies {
            latencies.delivery.clear();
            latencies.ack.clear();
        }
    }
}

fn rates(started: Instant, before: &Tally, now: &Tally) -> String {
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = |before, now| (now - before) as f64 / seconds;
    format!(
        "{:.0} deliveries/s, {:.0} acks/s",
        rate(before.deliveries, now.deliveries),
        rate(before.acks, now.acks)
    )
}

/// A clock that wakes epoll to the microsecond, where its own time-outs count milliseconds.
pub struct Ticker {
    timer: OwnedFd,
    started: Instant,
    interval: Duration,
    taken: u32,
}

impl Ticker {
    /// Ticks `rate` times a second from now on.
    ///
    /// # Errors
    /// When the system gives no timer.
    pub fn start(sockets: &Sockets, rate: u32) -> Result<Self> {
        let interval = Duration::from_secs(1) / rate.max(1);
        let timer = timer(interval)?;
        sockets
            .registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), Token(usize::MAX >> 1), Interest::READABLE)
            .trying("epoll")?;
        Ok(Self { timer, started: Instant::now(), interval, taken: 0 })
    }

    /// The next moment at which a message was due, if that is past.
    fn due(&mut self) -> Option<Instant> {
        let due = self.started + self.interval * (self.taken + 1);
        if due > Instant::now() {
            clear(&self.timer);
            // It may have ticked just before it was read, and does not wake anybody for that again.
            if due > Instant::now() {
                return None;
            }
        }
        self.taken += 1;
        Some(due)
    }
}

/// Reads a timer, which ticks on only after that.
pub fn clear(timer: &OwnedFd) {
    // Nothing to read means that it has not ticked, which is as well.
    let _ = rustix::io::read(timer, &mut [0_u8; 8]);
}

/// A timer that becomes readable every `interval`.
///
/// # Errors
/// When the system gives no timer.
pub fn timer(interval: Duration) -> Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    #[expect(clippy::disallowed_methods, reason = "this crate is for Linux only")]
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags).trying("a timer")?;
    let every = Timespec::try_from(interval).trying("a timer's interval")?;
    let setting = Itimerspec { it_interval: every, it_value: every };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting).trying("a timer")?;
    Ok(timer)
}
